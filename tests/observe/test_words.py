"""Decisions in words."""

from __future__ import annotations

import pytest

from understudy.core.events import (
    BackendBenched,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigurationWarning,
    Event,
    FirstContent,
    OperatorActed,
)
from understudy.errors import AttemptEntry, SkipEntry, SkipReason, TrailEntry
from understudy.observe.words import change_words, decision_words, failover_note, trail_words


def attempt(backend: str, outcome: str, **changes: object) -> AttemptEntry:
    facts: dict[str, object] = {
        "backend": backend, "attempt": 1, "outcome": outcome, "status": None, "started": 0.0,
        "duration": 0.012, "first_content": None,
    }  # fmt: skip
    return AttemptEntry(**(facts | changes))  # type: ignore[arg-type]


class TestTrail:
    def test_each_entry_is_a_numbered_line_in_order(self) -> None:
        trail: list[TrailEntry] = [
            attempt("synthetic", "server_error", message="500 Internal Server Error"),
            SkipEntry("chutes", SkipReason.CIRCUIT_OPEN, 12.34),
            attempt("groqgpt", "success", duration=0.84, first_content=0.21),
        ]

        assert trail_words(trail).splitlines() == [
            "1. synthetic, attempt 1: failed after 12 ms: server_error (500 Internal Server Error)",
            "2. chutes was skipped: circuit open, back 12.3 s after the request began",
            "3. groqgpt, attempt 1: answered in 840 ms (first content after 210 ms)",
        ]

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (attempt("a", "cancelled", duration=None), "a, attempt 1: still running"),
            (attempt("a", "cancelled", duration=75.04), "a, attempt 1: cancelled after 75.0 s"),
            (attempt("a", "timeout"), "a, attempt 1: failed after 12 ms: timeout"),
            (attempt("a", "success"), "a, attempt 1: answered in 12 ms"),
            (attempt("a", "refused"), "a, attempt 1: answered in 12 ms, without content"),
            (
                attempt("a", "success", attempt=2, reconnected=True, dropped_field="n", malformed_events=3),
                "a, attempt 2: answered in 12 ms; the kept connection was dead, so it was made anew; "
                "asked once more without n; malformed events dropped: 3",
            ),
            (
                attempt("a", "success", left_out=("seed", "messages[].name"), answer_limit=8192),
                "a, attempt 1: answered in 12 ms; asked for no more than 8192 tokens; "
                "not told of seed, messages[].name",
            ),
            (
                attempt("a", "success", recovery="replay"),
                "a, attempt 1: answered in 12 ms; to go on with the broken answer, by replay",
            ),
            (
                attempt("a", "cancelled", lost=True),
                "a, attempt 1: cancelled after 12 ms, because another was faster",
            ),
            (
                attempt("a", "success", hedge=True),
                "a, attempt 1: answered in 12 ms; asked beside one that was late",
            ),
            (
                attempt("a", "timeout", patience=2.5),
                "a, attempt 1: failed after 12 ms: timeout; given 2500 ms for its first content, by its own "
                "recent answers",
            ),
            (
                attempt("a", "timeout", patience=1.5),
                "a, attempt 1: failed after 12 ms: timeout; given 1500 ms for its first content, by its own "
                "recent answers",
            ),
            (attempt("a", "success", cost_usd=0.0125), "a, attempt 1: answered in 12 ms; it cost $0.012500"),
            (
                attempt("a", "timeout", cost_usd=1.5, cost_estimated=True),
                "a, attempt 1: failed after 12 ms: timeout; it cost $1.50, by estimate",
            ),
            (attempt("a", "auth", cost_usd=0.0), "a, attempt 1: failed after 12 ms: auth"),
            (SkipEntry("a", SkipReason.NO_KEY, None), "a was skipped: it has no key"),
            (SkipEntry("a", SkipReason.NO_IMAGES, None), "a was skipped: its model takes no images"),
        ],
    )
    def test_every_outcome_has_its_words(self, entry: AttemptEntry | SkipEntry, words: str) -> None:
        assert trail_words([entry]) == f"1. {words}"

    @pytest.mark.parametrize("reason", SkipReason)
    def test_every_reason_has_its_words(self, reason: SkipReason) -> None:
        assert trail_words([SkipEntry("a", reason, None)]).startswith("1. a was skipped: ")

    def test_an_upstreams_words_stay_on_their_line_and_move_no_cursor(self) -> None:
        entry = attempt("a", "auth", message="no\n2. b, attempt 1: answered\x1b[2J")

        assert trail_words([entry]) == (
            "1. a, attempt 1: failed after 12 ms: auth (no 2. b, attempt 1: answered\ufffd[2J)"
        )

    def test_an_empty_trail_is_empty(self) -> None:
        assert trail_words([]) == ""


class TestFailoverNote:
    def test_it_says_who_answered_in_whose_place(self) -> None:
        trail: list[TrailEntry] = [attempt("a", "reset"), attempt("a", "reset"), attempt("b", "success")]

        assert failover_note(trail, "b", "qwen3") == "answered by b (qwen3) after a failed: reset"
        assert failover_note(trail, "b", None) == "answered by b after a failed: reset"

    def test_a_member_that_was_overtaken_has_not_failed(self) -> None:
        trail: list[TrailEntry] = [attempt("a", "cancelled", lost=True), attempt("b", "success", hedge=True)]

        assert failover_note(trail, "b", None) == "answered by b after a was late"

    def test_a_member_that_was_skipped_for_now_is_named(self) -> None:
        trail: list[TrailEntry] = [SkipEntry("a", SkipReason.BENCHED, 3.0), attempt("b", "success")]

        assert failover_note(trail, "b", "m") == "answered by b (m) after a was skipped: benched"

    def test_so_is_one_whose_model_could_not_take_the_request(self) -> None:
        trail: list[TrailEntry] = [SkipEntry("a", SkipReason.NO_TOOLS, None), attempt("b", "success")]

        assert (
            failover_note(trail, "b", "m")
            == "answered by b (m) after a was skipped: its model takes no tools"
        )

    def test_there_is_none_if_the_first_member_answered_be_it_at_the_second_attempt(self) -> None:
        trail: list[TrailEntry] = [attempt("a", "server_error"), attempt("a", "success", attempt=2)]

        assert failover_note(trail, "a", "m") is None

    def test_a_member_that_can_never_be_asked_is_not_worth_a_note_at_every_answer(self) -> None:
        trail: list[TrailEntry] = [SkipEntry("a", SkipReason.NO_KEY, None), attempt("b", "success")]

        assert failover_note(trail, "b", "m") is None


class TestDecision:
    def test_it_is_the_way_to_the_answer_on_one_line(self) -> None:
        trail: list[TrailEntry] = [
            SkipEntry("synthetic", SkipReason.CIRCUIT_OPEN, 12.0),
            attempt("groq", "rate_limited", status=429),
            attempt("chutes", "success", duration=0.8, first_content=0.2, status=200),
        ]

        assert decision_words(trail) == (
            "synthetic skipped: circuit open → groq: rate_limited (429) → chutes answered in 800 ms"
        )

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (attempt("a", "running", duration=None), "a is being asked"),
            (attempt("a", "running", duration=None, hedge=True), "a, asked beside it, is being asked"),
            (attempt("a", "success"), "a answered in 12 ms"),
            (attempt("a", "success", duration=1.84), "a answered in 1.8 s"),
            (attempt("a", "success", recovery="replay"), "a went on in 12 ms"),
            (attempt("a", "success", hedge=True), "a, asked beside it, answered in 12 ms"),
            (attempt("a", "refused"), "a answered in 12 ms, without content"),
            (attempt("a", "cancelled", lost=True), "a was late"),
            (attempt("a", "cancelled"), "a cancelled after 12 ms"),
            (attempt("a", "timeout"), "a: timeout"),
            (attempt("a", "server_error", status=200), "a: server_error"),
            (attempt("a", "truncated", status=200, first_content=0.1), "a broke off: truncated"),
        ],
    )
    def test_every_outcome_is_a_step(self, entry: AttemptEntry, words: str) -> None:
        assert decision_words([entry]) == words

    def test_tries_of_the_same_member_are_one_step(self) -> None:
        tries = [attempt("a", "reset") for _ in range(3)]

        assert decision_words(tries[:2]) == "a: reset twice"
        others = [attempt("a", "server_error", status=status) for status in (500, 503)]
        assert decision_words(others) == "a: server_error (500) → a: server_error (503)"
        assert decision_words([*tries, attempt("a", "success")]) == "a: reset 3 times → a answered in 12 ms"

    def test_members_that_were_passed_over_for_the_same_reason_are_one_step(self) -> None:
        reasons = [SkipReason.BENCHED, SkipReason.BENCHED, SkipReason.CIRCUIT_OPEN]
        skips = [SkipEntry(name, reason, None) for name, reason in zip("abc", reasons, strict=True)]

        assert decision_words(skips) == "a, b skipped: benched → c skipped: circuit open"

    def test_what_holds_for_every_request_is_told_only_where_there_is_nothing_else(self) -> None:
        keyless = SkipEntry("a", SkipReason.NO_KEY, None)

        assert decision_words([keyless, attempt("b", "success")]) == "b answered in 12 ms"
        assert decision_words([keyless]) == "a skipped: it has no key"

    def test_of_a_long_way_the_middle_is_left_out(self) -> None:
        trail = [attempt(f"m{number}", "reset") for number in range(20)]
        words = decision_words(trail)

        assert words.startswith("m0: reset → m1: reset → ")
        assert words.endswith("m5: reset → 13 steps more → m19: reset")
        assert decision_words(trail[:8]).count("→") == 7

    def test_a_name_stays_on_its_line(self) -> None:
        assert decision_words([attempt("a\n→ b answered", "reset")]) == "a → b answered: reset"

    def test_an_empty_trail_is_empty(self) -> None:
        assert decision_words([]) == ""


class TestChange:
    @pytest.mark.parametrize(
        ("event", "words"),
        [
            (BackendBenched(1.0, 1, "a", 12.0), "benched for 12.0 s"),
            (BreakerOpened(1.0, 1, "a", 1, 30.0), "circuit open after 1 failure, probed in 30.0 s"),
            (BreakerOpened(1.0, 1, "a", 3, 30.0), "circuit open after 3 failures, probed in 30.0 s"),
            (BreakerHalfOpened(1.0, 1, "a", False), "half-open, being probed"),
            (BreakerHalfOpened(1.0, 1, "a", True), "half-open, being probed early"),
            (BreakerClosed(1.0, 1, "a"), "circuit closed, well again"),
            (ConfigurationWarning(1.0, 1, "a", "401\nno"), "check key and model: 401 no"),
            (OperatorActed(1.0, 0, "a", "reset"), "reset by an operator"),
            (OperatorActed(1.0, 0, "a", "open"), "circuit held open by an operator"),
            (OperatorActed(1.0, 0, "a", "close"), "circuit held closed by an operator"),
            (OperatorActed(1.0, 0, "a", "drain"), "drained by an operator"),
            (OperatorActed(1.0, 0, "a", "enable"), "taken into service by an operator"),
        ],
    )
    def test_what_becomes_of_a_member_has_its_words(self, event: Event, words: str) -> None:
        assert change_words(event) == ("a", words)

    def test_what_changes_no_member_has_none(self) -> None:
        assert change_words(FirstContent(1.0, 1, "a", 0.2)) is None
