"""One try on one backend, as its trail entry shows it."""

from __future__ import annotations

from tests.core.stage import failure, member
from understudy.core.attempt import Attempt
from understudy.core.breaker import Permit
from understudy.core.outcome import Abandoned, Outcome, Success
from understudy.core.settings import MemberSettings, Timeouts
from understudy.errors import AttemptEntry

TIMEOUTS = Timeouts(first_content=5.0, unary=90.0)


def attempt(*, stream: bool = True) -> Attempt:
    return Attempt.begin(member("a", timeouts=TIMEOUTS), 2, Permit(0, 1010.0, False), 1010.0, stream=stream)


def test_a_stream_is_limited_to_its_first_content_and_a_unary_call_to_its_answer() -> None:
    assert attempt(stream=True).limit_at == 1015.0
    assert attempt(stream=True).limit == 5.0
    assert attempt(stream=False).limit == 90.0


def test_a_running_attempt_keeps_the_settings_it_began_with() -> None:
    running = attempt()
    running.member.settings = MemberSettings()
    assert running.settings.timeouts is TIMEOUTS


def ended(outcome: Outcome) -> Attempt:
    result = attempt()
    result.outcome = outcome
    return result


def test_each_outcome_has_its_word() -> None:
    assert attempt().outcome_word() == "running"
    assert ended(Success()).outcome_word() == "success"
    assert ended(Abandoned()).outcome_word() == "cancelled"
    assert ended(failure("stall")).outcome_word() == "stall"


def test_an_empty_answer_is_refused_only_if_it_was_accepted() -> None:
    empty = ended(failure("empty", terminal=True))
    assert empty.outcome_word() == "empty"
    empty.accepted = True
    assert empty.outcome_word() == "refused"


def test_the_entry_of_a_running_attempt_has_no_duration() -> None:
    assert attempt().entry(1000.0) == AttemptEntry(
        backend="a",
        attempt=2,
        outcome="running",
        status=None,
        started=10.0,
        duration=None,
        first_content=None,
    )


def test_the_entry_of_a_failure_tells_what_happened() -> None:
    broken = ended(failure("truncated", message="cut off"))
    broken.committed_at = 1011.5
    broken.ended_at = 1012.0
    broken.status = 200
    broken.reconnected = True
    broken.malformed_events = 1
    broken.dropped_field = "stream_options"
    broken.left_out = ("seed",)
    broken.answer_limit = 8192
    assert broken.entry(1000.0) == AttemptEntry(
        backend="a",
        attempt=2,
        outcome="truncated",
        status=200,
        started=10.0,
        duration=2.0,
        first_content=1.5,
        message="cut off",
        reconnected=True,
        malformed_events=1,
        dropped_field="stream_options",
        left_out=("seed",),
        answer_limit=8192,
    )


def test_the_entry_of_a_success_needs_no_message() -> None:
    assert ended(Success()).entry(1000.0).message == ""
    assert ended(Abandoned("request_timeout_ms passed")).entry(1000.0).message == "request_timeout_ms passed"


def test_repr_shows_where_it_stands() -> None:
    assert repr(attempt()) == "<Attempt 2 on a, running>"
