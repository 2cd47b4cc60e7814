"""Retry-After in all its spellings."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.wire.retry_after import retry_after, retry_delay

WALL = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()


def date(offset: float) -> str:
    return format_datetime(datetime.fromtimestamp(WALL + offset, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "2"}, 2, id="seconds"),
        pytest.param({"retry-after": "1.5"}, 1.5, id="a fraction"),
        pytest.param({"retry-after": " 7 "}, 7, id="white space"),
        pytest.param({"retry-after": "277403"}, 277403, id="days"),
        pytest.param({"retry-after": "1e12"}, 1e12, id="a number is a number"),
        pytest.param({"retry-after": "0"}, 1, id="zero is a second"),
        pytest.param({"retry-after": "-1"}, 1, id="negative is a second"),
        pytest.param({"retry-after": date(3)}, 3, id="a date"),
        pytest.param({"retry-after": date(3600)}, 3600, id="a date in an hour"),
        pytest.param({"retry-after": date(0)}, 1, id="a date now"),
        pytest.param({"retry-after": date(-3600)}, 1, id="a date past"),
        pytest.param({"retry-after": "Monday, 23-Nov-26 12:00:09 GMT"}, 9, id="an old-fashioned date"),
        pytest.param({"retry-after": "Mon, 23 Nov 2026 12:00:09 -0000"}, 9, id="a date without a zone"),
        pytest.param({"retry-after": "2026-11-23T12:00:09Z"}, 9, id="an ISO date"),
        pytest.param({"retry-after-ms": "350"}, 0.35, id="milliseconds"),
        pytest.param({"retry-after-ms": "350.5", "retry-after": "9"}, 0.3505, id="milliseconds come first"),
        pytest.param({"retry-after-ms": "0", "retry-after": "9"}, 1, id="zero milliseconds are a second"),
        pytest.param({"retry-after-ms": "abc", "retry-after": "9"}, 9, id="nonsense falls through"),
    ],
)
def test_the_retry_after_headers(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers, wall=WALL) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["abc", "NaN", "inf", "-Infinity", "", "1e999", "٣", "1_0", "2 s", "99/99/99"]
)
def test_nonsense_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}, wall=WALL) is None
    assert retry_after({"retry-after-ms": value}, wall=WALL) is None
    assert retry_after({"retry-after": value, "retry-after-ms": value}, wall=WALL) is None


def test_without_headers_there_is_none() -> None:
    assert retry_after({}, wall=WALL) is None


def test_a_date_is_measured_from_the_answers_own_date() -> None:
    headers = {"date": date(-7200), "retry-after": date(-7195)}
    assert retry_after(headers, wall=WALL) == 5
    assert retry_after(headers | {"date": "yesterday"}, wall=WALL) == 1


def test_a_broken_date_header_means_our_own_clock() -> None:
    assert retry_after({"date": "yesterday", "retry-after": date(5)}, wall=WALL) == 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("350ms", 0.35),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400),
        ("20us", 20e-6),
        ("20µs", 20e-6),
        ("20ns", 20e-9),
        ("33011.382867", 33011.382867),
        ("60", 60),
        ("0s", 1),
        ("1795435205", 5),
        ("1795435205000", 5),
        ("2026-11-23T12:00:05Z", 5),
        ("2026-11-23T13:00:05+01:00", 5),
        ("2026-11-23T11:00:00Z", 1),
    ],
)
def test_the_reset_of_a_dimension_that_is_used_up(value: str, seconds: float) -> None:
    openai = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": value}
    plain = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": value}
    anthropic = {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": value}
    for headers in (openai, plain, anthropic):
        assert retry_after(headers, wall=WALL) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "9s"}, id="some left"),
        pytest.param({"x-ratelimit-reset-tokens": "9s"}, id="no word of what is left"),
        pytest.param({"x-ratelimit-remaining-tokens": "0"}, id="no word of the reset"),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "no", "x-ratelimit-reset-tokens": "9s"}, id="not a count"
        ),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, id="nonsense"
        ),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s!"}, id="no duration"
        ),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-requests": "9s"}, id="another's"
        ),
        pytest.param({"other-remaining-tokens": "0", "other-reset-tokens": "9s"}, id="another header"),
    ],
)
def test_no_reset_without_a_dimension_that_is_used_up(headers: dict[str, str]) -> None:
    assert retry_after(headers, wall=WALL) is None


def test_of_several_dimensions_the_latest_decides() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "-5",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-requests-day": "7",
        "x-ratelimit-reset-requests-day": "9h",
        "x-ratelimit-remaining-other": "0",
        "x-ratelimit-reset-other": "whenever",
    }
    assert retry_after(headers, wall=WALL) == 360


def test_a_reset_counts_only_without_a_retry_after() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s"}
    assert retry_after(headers | {"retry-after": "2"}, wall=WALL) == 2
    assert retry_after(headers | {"retry-after": "soon"}, wall=WALL) == 9


@given(st.dictionaries(st.sampled_from(["date", "retry-after", "retry-after-ms"]), st.text()))
def test_whatever_the_headers_hold_the_answer_is_a_positive_number_or_none(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, wall=WALL)
    assert seconds is None or seconds > 0


@given(st.text())
def test_whatever_a_reset_holds_the_answer_is_a_positive_number_or_none(value: str) -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": value}
    seconds = retry_after(headers, wall=WALL)
    assert seconds is None or seconds > 0


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        pytest.param('{"details": [{"retryDelay": "17s"}]}', 17, id="seconds"),
        pytest.param('{"retryDelay":"17.5s"}', 17.5, id="a fraction"),
        pytest.param('{"retryDelay":"1m2s"}', 62, id="a longer duration"),
        pytest.param('{"retryDelay":"0s"}', 1, id="zero is a second"),
        pytest.param(r'{"raw": "{\"retryDelay\": \"17s\"}"}', 17, id="inside another body"),
        pytest.param('[{"error":{"details":[{"retryDelay":"17s"},{"@ty', 17, id="cut short"),
        pytest.param('{"retryDelay":17}', None, id="no duration"),
        pytest.param('{"retryDelay":"-17s"}', None, id="negative"),
        pytest.param('{"retryDelay":"soon"}', None, id="nonsense"),
        pytest.param("retryDelay 17s", None, id="in a sentence"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_delay_that_google_puts_into_the_body(body: str, seconds: float | None) -> None:
    assert retry_delay(body) == seconds


@given(st.text())
def test_whatever_a_delay_holds_the_answer_is_a_positive_number_or_none(value: str) -> None:
    seconds = retry_delay(f'{{"retryDelay":"{value}"}}')
    assert seconds is None or seconds > 0
