"""What people read."""

from __future__ import annotations

import io

import pytest

from tests.cli.builders import backend_stats, stats_of
from understudy.cli.render import failover_note, stats_text, trail_words
from understudy.errors import AttemptEntry, SkipEntry, SkipReason, TrailEntry

STATS = stats_of(backend_stats("synthetic"))


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def attempt(backend: str, outcome: str, **changes: object) -> AttemptEntry:
    facts: dict[str, object] = {
        "backend": backend, "attempt": 1, "outcome": outcome, "status": None, "started": 0.0,
        "duration": 0.012, "first_content": None,
    }  # fmt: skip
    return AttemptEntry(**(facts | changes))  # type: ignore[arg-type]


class TestStatistics:
    @pytest.mark.parametrize(("stream", "plain"), [(io.StringIO(), False), (Screen(), True)])
    def test_a_pipe_and_plain_get_the_plain_table(self, stream: io.StringIO, plain: bool) -> None:
        stats_text(STATS, stream, plain=plain)

        assert stream.getvalue() == f"{STATS}\n"

    def test_a_terminal_gets_another_table(self) -> None:
        stream = Screen()
        stats_text(STATS, stream, plain=False)

        assert "Load Balancer Statistics" in stream.getvalue()
        assert "Backend Metrics:" not in stream.getvalue()


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
