from __future__ import annotations

from understudy.faults.json_bytes import dump


def test_json_is_compact_and_utf8() -> None:
    assert dump({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
    assert dump("é", ascii_only=True) == b'"\\u00e9"'


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    assert dump("a\ud83c") == b'"a\\ud83c"'
