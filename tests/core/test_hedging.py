"""A second attempt besides a late one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stage import Stage, Walk, failure
from understudy.core.attempt import Attempt
from understudy.core.breaker import State
from understudy.core.events import FellSilent, Hedged
from understudy.core.outcome import Abandoned, Success
from understudy.core.settings import Ceilings, HedgeSettings
from understudy.core.silence import FAR, RACES
from understudy.errors import AllBackendsFailed, SkipEntry, SkipReason

MODEL = {"model": "m"}
LOST = Abandoned("another backend was faster", lost=True)


def stage(names: str = "ab", *, budget: float = 0.1, percentile: int | None = None, **options: Any) -> Stage:
    made = Stage(names, **options)
    after = None if percentile else 2.0
    made.pool.settings = replace(made.pool.settings, hedge=HedgeSettings(after, percentile, budget))
    return made


def late_at(walk: Walk) -> float | None:
    return walk.dispatch.hedge_at(walk.running, walk.stage.now)


def hedged(walk: Walk) -> Attempt | None:
    attempt = walk.dispatch.hedge(walk.running, walk.stage.now)
    assert attempt is None or isinstance(attempt, Attempt)
    return attempt


def grants(walk: Walk) -> float:
    """How long the running attempt has, in seconds."""
    instant = late_at(walk)
    assert instant is not None
    return instant - walk.stage.now


def begun_on(stage: Stage, name: str) -> Walk:
    """A request that found the others drained."""
    for member in stage.pool.members:
        member.health.drained = member.name != name
    walk = begun(stage, name)
    for member in stage.pool.members:
        member.health.drained = False
    return walk


def begun(stage: Stage, name: str = "a") -> Walk:
    walk = stage.begin()
    walk.asks(name)
    return walk


class TestWhen:
    def test_off_never(self) -> None:
        assert late_at(begun(Stage())) is None

    def test_after_so_many_seconds(self) -> None:
        set_up = stage()
        assert late_at(begun(set_up)) == set_up.now + 2.0

    def test_whoever_wants_a_whole_answer_never_unless_it_is_a_probe(self) -> None:
        set_up = stage()
        walk = set_up.begin(stream=False)
        walk.asks("a")
        assert late_at(walk) is None
        set_up.open("a")
        set_up.advance(31)
        walk = set_up.begin(stream=False)
        walk.asks("a")
        assert late_at(walk) == set_up.now

    def test_one_that_goes_on_with_an_answer_never(self) -> None:
        set_up = stage(recovery={"scope": "any"})
        walk = begun(set_up)
        walk.commits()
        walk.fails("truncated")
        walk.asks("b")
        assert late_at(walk) is None

    def test_after_a_percentile_once_there_are_enough(self) -> None:
        set_up = stage(percentile=90)
        starts = set_up.member("a").health.starts
        for seconds in range(1, 20):
            starts.record(float(seconds))
        assert late_at(begun(set_up)) is None
        starts.record(20.0)
        assert grants(begun(set_up)) == pytest.approx(18.0, rel=0.03)

    def test_of_whom_too_little_is_known_after_the_percentile_of_all(self) -> None:
        set_up = stage("abc", percentile=90)
        for name in "bc" * 10:
            assert late_at(begun(set_up)) is None
            walk = begun_on(set_up, name)
            set_up.advance(3.0)
            walk.commits()
            walk.leaves()
        assert grants(begun(set_up)) == pytest.approx(3.0, rel=0.03)
        for _ in range(20):
            set_up.member("a").health.starts.record(0.5)
        assert grants(begun(set_up)) == pytest.approx(0.5, rel=0.03), "its own, once there are enough"

    def test_whole_answers_say_nothing_of_when_a_stream_is_late(self) -> None:
        set_up = stage("a", percentile=90)
        for _ in range(20):
            walk = set_up.begin(stream=False)
            walk.asks("a")
            set_up.advance(9.0)
            walk.answers()
        assert late_at(begun(set_up)) is None
        for _ in range(20):
            walk = begun(set_up)
            set_up.advance(0.5)
            walk.answers()
        assert grants(begun(set_up)) == pytest.approx(0.5, rel=0.03)

    def test_without_a_percentile_nobody_counts(self) -> None:
        set_up = stage("a")
        begun(set_up).answers()
        assert set_up.member("a").health.starts.count == set_up.pool.metrics.starts.count == 0

    def test_a_probe_at_once(self) -> None:
        for set_up in (stage(), stage(percentile=90)):
            set_up.open("a")
            set_up.advance(31)
            assert late_at(begun(set_up)) == set_up.now


class TestWho:
    def test_the_next_healthy_one_that_was_not_asked(self) -> None:
        set_up = stage("abcde", problems={"b": SkipReason.NO_KEY})
        set_up.member("c").bench(set_up.now, 60, 900)
        set_up.open("d")
        set_up.advance(31)  # d is as good as a probe
        walk = begun(set_up)
        set_up.advance(2)
        other = hedged(walk)
        assert other is not None
        assert other.member.name == "e"
        (event,) = walk.told(Hedged)
        assert (event.late, event.after, event.backend) == ("a", 2.0, "e")
        assert set_up.pool.metrics.hedged == 1

    def test_nobody_that_was_asked_before(self) -> None:
        walk = stage("ab").begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        assert hedged(walk) is None

    def test_nobody_who_may_take_over_no_more_in_this_minute(self) -> None:
        set_up = stage("abc", budget=1.0, members={"b": {"ceilings": Ceilings(takeovers=1)}})
        asked = [hedged(begun(set_up)) for _ in range(2)]
        assert [attempt.member.name for attempt in asked if attempt] == ["b", "c"]

    def test_nobody_if_there_is_none(self) -> None:
        set_up = stage("ab")
        set_up.open("b")
        assert hedged(begun(set_up)) is None

    def test_once_per_request(self) -> None:
        walk = begun(stage("abc", budget=1.0))
        assert hedged(walk) is not None
        assert hedged(walk) is None
        assert late_at(walk) is None

    def test_within_the_attempts_of_a_request(self) -> None:
        assert hedged(begun(stage(max_attempts=1))) is None

    def test_within_the_budget(self) -> None:
        """A tenth of the requests, and ten besides, so that an outage is seen through also on a quiet day."""
        set_up = stage(budget=0.1)
        walks = [begun(set_up) for _ in range(20)]
        assert [hedged(walk) is not None for walk in walks] == [True] * 12 + [False] * 8

    def test_but_a_probe_whatever_the_budget(self) -> None:
        set_up = stage(budget=0.0)
        assert hedged(begun(set_up)) is None
        set_up.open("a")
        set_up.advance(31)
        assert hedged(begun(set_up)) is not None


def raced(set_up: Stage, won_in: float = 0.5, late: float = 2.0) -> Walk:
    """A request of a, hedged with b, which wins."""
    walk = begun(set_up)
    set_up.advance(late)
    other = hedged(walk)
    assert other is not None
    set_up.advance(won_in)
    walk.dispatch.commit(other, set_up.now)
    walk.settle(LOST)
    walk.attempt = other
    walk.answers()
    return walk


def silenced(set_up: Stage) -> None:
    for _ in range(RACES):
        raced(set_up)


class TestSilence:
    """A member that loses one race after another without a word is asked last for a while."""

    def test_after_three_in_a_row_it_is_asked_last(self) -> None:
        set_up = stage(budget=10.0)
        for _ in range(RACES - 1):
            assert raced(set_up).told(FellSilent) == []
        (event,) = raced(set_up).told(FellSilent)
        assert (event.backend, event.races, event.seconds) == ("a", 3, 30.0)
        walk = begun(set_up, "b")
        (skip,) = [entry for entry in walk.dispatch.trail if isinstance(entry, SkipEntry)]
        assert (skip.backend, skip.reason) == ("a", "silent")
        assert set_up.state("a") is State.CLOSED, "its circuit knows nothing of it"

    def test_it_is_asked_all_the_same_if_nobody_else_can_be(self) -> None:
        set_up = stage(budget=10.0)
        silenced(set_up)
        set_up.open("b")
        begun(set_up, "a")

    def test_it_is_nobodys_hedge_meanwhile(self) -> None:
        set_up = stage("ab", budget=10.0)
        silenced(set_up)
        assert hedged(begun(set_up, "b")) is None

    def test_then_one_request_tries_it_whatever_the_budget(self) -> None:
        set_up = stage(budget=10.0)
        silenced(set_up)
        set_up.pool.settings = replace(set_up.pool.settings, hedge=HedgeSettings(2.0, None, 0.0))
        set_up.advance(30)
        trial = begun(set_up)
        begun(set_up, "b")
        assert grants(trial) == 2.0, "four times what the winner took, but no more than usual"
        assert hedged(trial) is not None

    def test_a_trial_waits_no_longer_than_it_takes_to_be_heard(self) -> None:
        set_up = stage(budget=10.0)
        for _ in range(RACES):
            raced(set_up, won_in=0.1)
        set_up.advance(30)
        assert grants(begun(set_up)) == pytest.approx(FAR * 0.1)

    def test_a_trial_may_be_a_whole_answer_and_ends_the_row_whenever_that_comes(self) -> None:
        set_up = stage(budget=10.0)
        silenced(set_up)
        set_up.advance(30)
        trial = set_up.begin(stream=False)
        trial.asks("a")
        assert grants(trial) == 2.0
        set_up.begin(stream=False).asks("b")
        set_up.advance(20)
        trial.answers()
        assert set_up.member("a").health.silence.lost == 0
        begun(set_up, "a")

    def test_a_whole_answer_that_was_no_trial_ends_nothing(self) -> None:
        set_up = stage(budget=10.0)
        whole = set_up.begin(stream=False)
        whole.asks("a")
        raced(set_up)
        whole.answers()
        assert set_up.member("a").health.silence.lost == 1

    def test_a_trial_that_is_lost_begins_the_time_anew(self) -> None:
        set_up = stage(budget=10.0)
        silenced(set_up)
        set_up.advance(30)
        assert raced(set_up).told(FellSilent) == [], "that was told"
        begun(set_up, "b")
        set_up.advance(29)
        begun(set_up, "b")
        set_up.advance(1)
        begun(set_up, "a")

    def test_what_is_said_in_time_ends_the_row(self) -> None:
        set_up = stage(budget=10.0)
        for _ in range(RACES - 1):
            raced(set_up)
        walk = begun(set_up)
        set_up.advance(FAR * 0.5)
        walk.answers()
        assert raced(set_up).told(FellSilent) == []

    def test_what_is_said_far_behind_the_others_does_not(self) -> None:
        set_up = stage(budget=10.0)
        for _ in range(RACES - 1):
            raced(set_up)
        walk = begun(set_up)
        set_up.advance(FAR * 0.5 + 0.1)
        walk.answers()
        assert len(raced(set_up).told(FellSilent)) == 1

    def test_a_hedge_that_loses_has_lost_nothing(self) -> None:
        set_up = stage(budget=10.0)
        for _ in range(RACES + 1):
            walk = begun(set_up)
            other = hedged(walk)
            assert other is not None
            walk.commits()
            walk.dispatch.settle(other, LOST, set_up.now)
            walk.answers()
        assert set_up.member("b").health.silence.lost == 0

    def test_nor_has_one_whose_rival_has_said_nothing_either(self) -> None:
        set_up = stage(budget=10.0)
        walk = begun(set_up)
        hedged(walk)
        walk.settle(LOST)
        assert set_up.member("a").health.silence.lost == 0

    def test_a_probe_that_lost_gets_a_start_the_next_time_and_is_asked_last_after_three(self) -> None:
        """Else one that is well but slower than others would be probed beside them for ever."""
        set_up = stage(budget=10.0)
        set_up.open("a")
        set_up.advance(30)
        walk = begun(set_up)
        assert grants(walk) == 0.0
        raced_probes = 0
        while set_up.member("a").health.silence.lost < RACES:
            other = hedged(walk)
            assert other is not None
            set_up.advance(0.5)
            walk.dispatch.commit(other, set_up.now)
            walk.settle(LOST)
            walk.leaves()
            raced_probes += 1
            if raced_probes < RACES:
                walk = begun(set_up)
                assert walk.running.permit.probe
                assert grants(walk) == FAR * 0.5
        begun(set_up, "b")


class TestEnd:
    def test_the_first_to_speak_goes_on_and_the_other_has_lost(self) -> None:
        set_up = stage()
        walk = begun(set_up)
        other = hedged(walk)
        assert other is not None
        walk.dispatch.commit(other, set_up.now)
        walk.settle(LOST)
        walk.dispatch.settle(other, Success(), set_up.now)
        walk.dispatch.answered(set_up.now)
        walk.leaves()
        assert [entry.outcome for entry in walk.dispatch.trail] == ["cancelled", "success"]  # type: ignore[union-attr]
        a, b = set_up.member("a").metrics, set_up.member("b").metrics
        assert (a.cancelled, a.in_flight, b.successes) == (1, 0, 1)
        assert (a.hedged, a.lost, b.hedged, b.lost) == (0, 1, 1, 0)
        trail = [entry.to_dict() for entry in walk.dispatch.trail]
        assert [(entry.get("hedge"), entry.get("lost")) for entry in trail] == [(None, True), (True, None)]
        assert set_up.pool.metrics.failed_over == 0

    def test_the_late_one_may_win(self) -> None:
        set_up = stage()
        walk = begun(set_up)
        other = hedged(walk)
        assert other is not None
        walk.commits()
        walk.dispatch.settle(other, LOST, set_up.now)
        walk.settle(Success())
        walk.dispatch.answered(set_up.now)
        (ended,) = [event for event in walk.dispatch.events if type(event).__name__ == "RequestEnded"]
        assert ended.backend == "a"  # type: ignore[attr-defined]

    def test_both_may_fail(self) -> None:
        set_up = stage(count=1)
        walk = begun(set_up)
        other = hedged(walk)
        assert other is not None
        walk.fails("reset")
        walk.attempt = other
        walk.fails("reset")
        assert isinstance(walk.gives_up(), AllBackendsFailed)

    @pytest.mark.parametrize("kind", ["connect", "content_filter", "server_error"])
    def test_what_became_of_the_other_is_forgotten_once_one_has_spoken(self, kind: str) -> None:
        """Its verdict would stand for the answer's; its back-off would ask another model to go on."""
        set_up = stage("abc", recovery={"scope": "same_model"}, members={"a": MODEL, "c": MODEL})
        set_up.set(on_network_errors=kind != "connect")
        walk = begun(set_up)
        first, other = walk.running, hedged(walk)
        assert other is not None
        walk.attempt = other
        walk.fails(kind)
        walk.attempt = first
        walk.commits()
        walk.fails("server_error")
        walk.asks("c")

    def test_the_back_off_of_one_stands_whatever_became_of_the_other(self) -> None:
        walk = begun(stage("abc", delay=1.0))
        other = hedged(walk)
        assert other is not None
        walk.fails("reset")
        walk.dispatch.settle(other, failure("auth"), walk.stage.now)
        walk.rests(1.0)
        walk.asks("a")

    def test_the_error_tells_of_both_also_where_the_first_has_ended_the_walk(self) -> None:
        set_up = stage("abc", on_network_errors=False)
        walk = begun(set_up)
        other = hedged(walk)
        assert other is not None
        walk.fails("reset")
        walk.attempt = other
        walk.fails("server_error")
        error = walk.gives_up()
        assert [cause.backend for cause in error.causes] == ["a", "b"]
        assert error.trail == walk.dispatch.trail

    @pytest.mark.parametrize("first", ["a", "b"])
    def test_after_which_nobody_may_be_asked_nobody_is(self, first: str) -> None:
        set_up = stage("abc", count=1)
        walk = begun(set_up)
        attempts = {"a": walk.running, "b": hedged(walk)}
        kinds = {first: "content_filter", "ab".replace(first, ""): "reset"}
        for name, kind in kinds.items():
            walk.attempt = attempts[name]
            walk.fails(kind)
        walk.gives_up()

    def test_leaving_settles_both(self) -> None:
        set_up = stage()
        walk = begun(set_up)
        hedged(walk)
        walk.leaves()
        assert [member.metrics.in_flight for member in set_up.pool.members] == [0, 0]
        assert [member.metrics.lost for member in set_up.pool.members] == [0, 0]

    def test_nobody_is_asked_once_the_request_is_too_late(self) -> None:
        set_up = stage(request_timeout=2.0)
        walk = begun(set_up)
        set_up.advance(2.0)
        assert hedged(walk) is None

    def test_time_asking_of_both_counts_once(self) -> None:
        set_up = stage()
        walk = begun(set_up)
        set_up.advance(2)
        hedged(walk)
        set_up.advance(3)
        assert walk.dispatch.time_asking(set_up.now) == 5.0
