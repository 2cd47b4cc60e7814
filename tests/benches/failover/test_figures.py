"""Each call is counted once, for what its caller got."""

from __future__ import annotations

import json
import math

import pytest

from benches.failover.calls import Call
from benches.failover.figures import KINDS, Run, kind, percentile
from understudy.faults import TEXT

HALF = TEXT[: len(TEXT) // 2]


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        (TEXT, None, "whole"),
        (HALF, None, "short"),
        ("", None, "short"),
        (HALF + TEXT, None, "garbled"),
        (TEXT + TEXT, None, "garbled"),
        (TEXT[1:], None, "garbled"),
        (HALF + TEXT, "ReadError", "garbled"),
        (HALF, "ReadError", "broken"),
        (TEXT, "ReadError", "broken"),
        ("", "Timeout", "failed"),
    ],
)
def test_a_call_is_judged_by_its_text_and_by_what_its_caller_was_told(
    text: str, error: str | None, expected: str
) -> None:
    assert kind(Call(text, None, error)) == expected


@pytest.mark.parametrize(("percent", "expected"), [(50, 150), (95, 285), (99, 297), (100, 300), (0, 1)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile([float(value) for value in range(300, 0, -1)], percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 99))


RUN = Run(
    [
        Call(TEXT, 0.2, None),
        Call(HALF, 0.1, None),
        Call(HALF + TEXT, 0.4, None),
        Call(HALF, 0.3, "ReadError: cut"),
        Call("", None, "Timeout"),
        Call("", None, "Timeout"),
    ],
    [5, 3, 1],
    1.5,
)


def test_answered_is_what_ended_without_an_error_whole_or_not() -> None:
    assert RUN.answered() == 3
    assert RUN.share(RUN.answered()) == 50
    assert RUN.kinds() == {"whole": 1, "short": 1, "garbled": 1, "broken": 1, "failed": 2}
    assert sum(RUN.kinds()[name] for name in KINDS) == len(RUN.calls)


def test_first_content_is_of_those_that_got_any() -> None:
    assert (RUN.first(50), RUN.first(99)) == (0.2, 0.4)


def test_attempts_are_shared_out_among_the_answers() -> None:
    assert RUN.attempts_per_answer() == 3
    assert math.isnan(Run([Call("", None, "Timeout")], [3], 1).attempts_per_answer())


def test_errors_are_counted_most_frequent_first() -> None:
    assert list(RUN.errors().items()) == [("Timeout", 2), ("ReadError: cut", 1)]


def test_a_figure_that_there_is_none_of_is_null_in_json() -> None:
    told = json.loads(json.dumps(Run([Call("", None, "Timeout")], [3], 1).to_dict(), allow_nan=False))
    assert told["first_content_seconds"] == {"p50": None, "p95": None, "p99": None}
    assert told["attempts_per_answer"] is None
    assert (told["failed"], told["attempts"]) == (1, [3])
