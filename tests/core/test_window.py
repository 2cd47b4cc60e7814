"""Five minutes of tokens and of generating them: the rules, then any history against plain lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from understudy.core.window import RollingSum, StreamEvidence, TokenWindow


def stream(
    window: TokenWindow, now: float, tokens: float, seconds: float, *, pieces: int = 10
) -> tuple[StreamEvidence, float]:
    """A stream of so many tokens, evenly over so many seconds; returns its end."""
    evidence = StreamEvidence(window, now)
    for _ in range(pieces):
        now += seconds / pieces
        evidence.content(now, tokens / pieces)
    return evidence, now


class TestTpm:
    """Rule 1."""

    def test_a_thousand_tokens_fade_over_five_minutes(self) -> None:
        window = TokenWindow()
        window.add(1000.0, 1000)
        assert window.tpm(1000.0) == 1000
        assert window.tpm(1060.0) == 1000
        assert window.tpm(1240.0) == 250
        assert window.tpm(1299.99) == pytest.approx(200, rel=0.001)
        assert window.tpm(1300.0) is None

    def test_tokens_in_and_out_add_up(self) -> None:
        window = TokenWindow()
        for second in range(120):
            window.add(1000.0 + second, 50)
        assert window.tpm(1120.0) == 3000

    def test_what_has_expired_makes_room(self) -> None:
        window = TokenWindow()
        window.add(1000.0, 1000)
        window.add(1240.0, 300)
        assert window.tpm(1330.0) == 200

    def test_nothing_is_none(self) -> None:
        window = TokenWindow()
        assert window.tpm(1000.0) is None
        window.add(1000.0, 0)
        assert window.tpm(1000.0) is None

    def test_memory_is_bounded_by_the_window(self) -> None:
        total = RollingSum()
        for tick in range(20_000):
            total.add(1000.0 + tick / 10, 1.0)
        assert len(total._buckets) <= 301
        assert total.total(3000.0)[0] == pytest.approx(3000, abs=10)


class TestServingRate:
    """Rules 2 to 5."""

    def test_it_is_tokens_per_minute_of_generating(self) -> None:
        window = TokenWindow()
        stream(window, 1000.0, 500, 10.0)
        assert window.serving_rate(1010.0) == 3000

    def test_a_quiet_user_does_not_make_a_backend_look_slow(self) -> None:
        window = TokenWindow()
        stream(window, 1000.0, 500, 10.0)
        assert window.serving_rate(1250.0) == 3000

    def test_parallel_streams_are_not_added_up(self) -> None:
        window = TokenWindow()
        for _ in range(10):
            stream(window, 1000.0, 500, 10.0)
        assert window.serving_rate(1010.0) == 3000

    def test_it_expires_with_the_window(self) -> None:
        window = TokenWindow()
        stream(window, 1000.0, 500, 10.0)
        assert window.serving_rate(1311.0) is None

    def test_the_first_content_takes_no_time(self) -> None:
        window = TokenWindow()
        evidence = StreamEvidence(window, 1000.0)
        evidence.content(1000.0, 300)
        evidence.content(1002.0, 300)
        assert window.serving_rate(1002.0) == 18_000

    def test_time_in_which_the_caller_was_slow_is_not_generating(self) -> None:
        window = TokenWindow()
        evidence = StreamEvidence(window, 1000.0)
        evidence.content(1010.0, 250)
        evidence.content(1100.0, 250, paused=80.0)
        assert window.serving_rate(1100.0) == 1500

    def test_more_pause_than_passed_is_no_negative_time(self) -> None:
        window = TokenWindow()
        evidence = StreamEvidence(window, 1000.0)
        evidence.content(1010.0, 500, paused=20.0)
        evidence.content(1020.0, 500)
        assert window.serving_rate(1020.0) == 6000

    def test_a_final_stall_is_generating_time(self) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 500, 10.0)
        evidence.stalled(now + 30.0)
        assert window.serving_rate(now + 30.0) == 750

    def test_a_slow_drip_counts_as_it_arrives(self) -> None:
        window = TokenWindow()
        evidence = StreamEvidence(window, 1000.0)
        rates = []
        for number in range(1, 6):
            evidence.content(1000.0 + 5 * number, 1)
            rates.append(window.serving_rate(1000.0 + 5 * number))
        assert rates == [None, None, None, 12, 12]

    @pytest.mark.parametrize(
        ("tokens", "seconds", "counts"),
        [
            (1000, 0.99, False),
            (1000, 1.0, True),
            (19, 9.99, False),
            (20, 9.99, True),
            (19, 10.0, True),
        ],
    )
    def test_short_streams_are_no_evidence(self, tokens: int, seconds: float, counts: bool) -> None:
        window = TokenWindow()
        stream(window, 1000.0, 7_777, 10.0)
        before = window.serving_rate(1100.0)
        stream(window, 1090.0, tokens, seconds, pieces=1)
        assert (window.serving_rate(1100.0) != before) is counts

    def test_many_short_streams_are_none_either(self) -> None:
        window = TokenWindow()
        for number in range(100):
            stream(window, 1000.0 + number, 15, 2.0)
        assert window.serving_rate(1100.0) is None

    @pytest.mark.parametrize(
        ("tokens", "seconds", "figure"),
        [(199, 19.9, False), (200, 19.9, True), (199, 20.0, True), (20, 20.0, True)],
    )
    def test_a_figure_needs_two_hundred_tokens_or_twenty_seconds(
        self, tokens: int, seconds: float, figure: bool
    ) -> None:
        window = TokenWindow()
        stream(window, 1000.0, tokens, seconds, pieces=1)
        assert (window.serving_rate(1030.0) is not None) is figure


class TestCorrection:
    """Rule 6."""

    def test_the_backends_count_replaces_the_estimate(self) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 500, 10.0)
        evidence.correct(now, 1000)
        assert window.serving_rate(now) == 6000

    @pytest.mark.parametrize("counted", [250, 500, 2000])
    def test_estimates_and_corrections_leave_the_window_together(self, counted: int) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 500, 100.0, pieces=100)
        evidence.correct(now, counted)
        for later in (now, 1350.0, 1370.0):
            assert window.serving_rate(later) == pytest.approx(counted / 100 * 60, rel=0.05)

    def test_a_stream_longer_than_the_window_is_corrected_where_it_still_counts(self) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 9000, 900.0, pieces=900)
        evidence.correct(now, 4500)
        for later in (now, now + 150, now + 250):
            assert window.serving_rate(later) == pytest.approx(300, rel=0.02)

    def test_what_has_left_the_window_is_not_corrected_any_more(self) -> None:
        window = TokenWindow()
        slow_reader, _ = stream(window, 1000.0, 500, 10.0)
        stream(window, 1400.0, 500, 10.0)
        slow_reader.correct(1410.0, 5000)
        assert window.serving_rate(1410.0) == 3000

    def test_a_stream_remembers_no_more_than_the_window(self) -> None:
        evidence, _ = stream(TokenWindow(), 1000.0, 9000, 900.0, pieces=1800)
        assert len(evidence._shares) == 300

    def test_a_short_stream_may_become_evidence(self) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 19, 2.0)
        evidence.correct(now, 200)
        assert window.serving_rate(now) == pytest.approx(6000)

    @pytest.mark.parametrize("estimated", [3, 7, 19, 21, 30])
    def test_twenty_by_the_backends_count_are_twenty(self, estimated: int) -> None:
        window = TokenWindow()
        for _ in range(11):
            evidence, now = stream(window, 1000.0, estimated, 1.5)
            evidence.correct(now, 20)
        assert window.serving_rate(1010.0) == pytest.approx(800)

    def test_or_be_none_after_all(self) -> None:
        window = TokenWindow()
        for number in range(20):
            evidence, now = stream(window, 1000.0 + number, 25, 2.0)
            evidence.correct(now, 15)
        assert window.serving_rate(1030.0) is None

    def test_no_visible_tokens_are_not_believed_where_content_was_seen(self) -> None:
        window = TokenWindow()
        evidence, now = stream(window, 1000.0, 500, 10.0)
        evidence.correct(now, 0)
        assert window.serving_rate(now) == 3000

    def test_a_stream_without_content_has_nothing_to_correct(self) -> None:
        window = TokenWindow()
        evidence = StreamEvidence(window, 1000.0)
        evidence.stalled(1030.0)
        evidence.correct(1030.0, 1000)
        assert window.serving_rate(1030.0) == 0.0


def test_asking_changes_nothing() -> None:
    window = TokenWindow()
    window.add(1000.0, 1000)
    stream(window, 1000.0, 500, 10.0)
    assert (window.tpm(5000.0), window.serving_rate(5000.0)) == (None, None)
    assert window.tpm(1000.0) == 1000
    assert window.serving_rate(1010.0) == 3000


GAPS = st.floats(0, 90)
AMOUNTS = st.integers(1, 10_000)


@given(st.lists(st.tuples(GAPS, AMOUNTS), min_size=1, max_size=60), st.floats(0, 320))
def test_tpm_is_the_exact_figure_within_a_bucket(history: list[tuple[float, int]], later: float) -> None:
    """An entry counts for five minutes, or up to a second less."""
    window, entries, now = TokenWindow(), [], 1000.0
    for gap, tokens in history:
        now += gap
        window.add(now, tokens)
        entries.append((now, tokens))
    now += later
    fresh = [entry for entry in entries if now - entry[0] < 300]
    on_the_edge = sum(now - entered >= 299 for entered, _ in fresh)
    shown = window.tpm(now) or 0.0
    exact = [
        figure
        for dropped in range(on_the_edge + 1)
        for slack in (0.0, 1.0)
        for figure in [exact_tpm(fresh[dropped:], now + slack)]
    ]
    assert min(exact) - 1e-6 <= shown <= max(exact) + 1e-6


def exact_tpm(entries: list[tuple[float, int]], now: float) -> float:
    if not entries:
        return 0.0
    return sum(tokens for _, tokens in entries) / max(1.0, (now - entries[0][0]) / 60)


@dataclass
class Content:
    at: float
    tokens: float
    seconds: float


@dataclass
class NaiveStream:
    """A stream as a list of all that arrived; `entered` says when each became evidence."""

    evidence: StreamEvidence
    last: float
    contents: list[Content] = field(default_factory=list)
    entered: list[float | None] = field(default_factory=list)

    def arrived(self, now: float, tokens: float, paused: float) -> None:
        self.contents.append(Content(now, tokens, max(0.0, now - self.last - paused)))
        self.entered.append(None)
        self.last = now
        self.enter(now)

    def corrected(self, now: float, visible: int) -> None:
        estimated = sum(content.tokens for content in self.contents)
        if visible <= 0 or estimated <= 0:
            return
        for content in self.contents:
            content.tokens *= visible / estimated
        self.enter(now)
        if not self.long_enough():
            self.contents.clear()

    def long_enough(self) -> bool:
        tokens = sum(content.tokens for content in self.contents)
        seconds = sum(content.seconds for content in self.contents)
        # The sum of corrected pieces is a rounding error off what they were corrected to.
        return seconds >= 1 and (tokens > 20 - 1e-9 or seconds >= 10)

    def enter(self, now: float) -> None:
        if self.long_enough():
            self.entered = [now if at is None else at for at in self.entered]

    def inside(self, now: float) -> list[Content]:
        return [
            content
            for content, at in zip(self.contents, self.entered, strict=False)
            if at is not None and now < math.floor(at) + 300
        ]


class WindowMachine(RuleBasedStateMachine):
    """Several streams at once, with pauses, stalls and corrections, over long times."""

    def __init__(self) -> None:
        super().__init__()
        self.window = TokenWindow()
        self.streams: list[NaiveStream] = []
        self.running: list[NaiveStream] = []
        self.entries: list[tuple[float, int]] = []
        self.now = 1000.0

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 3.25, 20.0, 61.5, 299.0, 400.0]))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule(tokens=st.integers(0, 5000))
    def add(self, tokens: int) -> None:
        self.window.add(self.now, tokens)
        self.entries.append((self.now, tokens))

    @rule()
    def begin(self) -> None:
        running = NaiveStream(StreamEvidence(self.window, self.now), self.now)
        self.streams.append(running)
        self.running.append(running)

    @precondition(lambda self: self.running)
    @rule(
        pick=st.integers(0, 99),
        tokens=st.sampled_from([0.25, 4.0, 30.0, 800.0]),
        paused=st.sampled_from([0.0, 0.0, 0.5, 30.0]),
    )
    def content(self, pick: int, tokens: float, paused: float) -> None:
        running = self.running[pick % len(self.running)]
        running.evidence.content(self.now, tokens, paused)
        running.arrived(self.now, tokens, paused)

    @precondition(lambda self: self.running)
    @rule(
        pick=st.integers(0, 99),
        drip=st.sampled_from([(1.0, 40.0), (0.5, 3.0), (5.0, 1.0)]),
        pieces=st.integers(5, 40),
    )
    def keeps_streaming(self, pick: int, drip: tuple[float, float], pieces: int) -> None:
        gap, tokens = drip
        running = self.running[pick % len(self.running)]
        for _ in range(pieces):
            self.now += gap
            running.evidence.content(self.now, tokens)
            running.arrived(self.now, tokens, 0.0)

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 99), visible=st.one_of(st.none(), st.integers(0, 4000)), stalls=st.booleans())
    def end(self, pick: int, visible: int | None, stalls: bool) -> None:
        running = self.running.pop(pick % len(self.running))
        if stalls:
            running.evidence.stalled(self.now)
            running.arrived(self.now, 0.0, 0.0)
        if visible is not None:
            running.evidence.correct(self.now, visible)
            running.corrected(self.now, visible)

    @invariant()
    def serving_rate_is_that_of_the_lists(self) -> None:
        inside = [content for running in self.streams for content in running.inside(self.now)]
        tokens = sum(content.tokens for content in inside)
        seconds = sum(content.seconds for content in inside)
        if abs(tokens - 200) < 1e-6:
            return  # a corrected sum may fall on either side
        shown = self.window.serving_rate(self.now)
        if tokens < 200 and seconds < 20:
            assert shown is None
        else:
            assert shown == pytest.approx(tokens * 60 / seconds, rel=1e-6, abs=1e-6)

    @invariant()
    def tpm_is_that_of_the_lists(self) -> None:
        inside = [(at, tokens) for at, tokens in self.entries if tokens and self.now < math.floor(at) + 300]
        shown = self.window.tpm(self.now)
        if not inside:
            assert shown is None
        else:
            oldest = math.floor(inside[0][0])
            total = sum(tokens for _, tokens in inside)
            assert shown == pytest.approx(total / max(1.0, (self.now - oldest) / 60))


TestAnyStreams = WindowMachine.TestCase
TestAnyStreams.settings = settings(max_examples=60, stateful_step_count=40)
