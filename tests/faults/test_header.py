from __future__ import annotations

import pytest

from understudy.faults.header import header_value
from understudy.faults.plan import Stage

# Monday, 2 February 2026, 10:00:00 UTC
STAGE = Stage(identity=b"", created=0, wall=1770026400.0, other_origin="", target="")


def sent(text: str) -> str:
    value = header_value(text)
    return value if isinstance(value, str) else value(STAGE)


def test_a_value_stands_for_itself() -> None:
    assert [sent(text) for text in ("2", "abc", "-1", "NaN", "1e12", "a:b")] == [
        "2", "abc", "-1", "NaN", "1e12", "a:b",
    ]  # fmt: skip


def test_a_date_is_counted_from_the_providers_now() -> None:
    assert sent("date:+3s") == "Mon, 02 Feb 2026 10:00:03 GMT"
    assert sent("date:-1h") == "Mon, 02 Feb 2026 09:00:00 GMT"
    assert sent("rfc3339:+30s") == "2026-02-02T10:00:30Z"


def test_a_date_needs_a_sign_and_a_value_one_line() -> None:
    for text in ("date:3s", "rfc3339:", "two\r\nlines"):
        with pytest.raises(ValueError, match=r"\w"):
            header_value(text)
