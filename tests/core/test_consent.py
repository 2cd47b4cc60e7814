"""What a request needs of others that share its pool (F70)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stage import Asking, Stage, Walk
from understudy.core.consent import Consent, NeedLease, NeedRoom
from understudy.core.dispatch import Step
from understudy.core.fleet import Fleet
from understudy.core.outcome import Abandoned, Tokens
from understudy.core.settings import Ceilings, HedgeSettings
from understudy.core.shared import Room, Usage, Wanted
from understudy.errors import NoBackendAvailable, SkipEntry


class Shared(Stage):
    """A stage whose pool others share; the first member has these ceilings."""

    def __init__(self, names: str = "ab", *, fail_closed: bool = False, **limits: int) -> None:
        members = {names[0]: {"ceilings": Ceilings(**limits)}} if limits else {}
        super().__init__(names, members=members, count=1, delay=0.0)
        self.fleet = self.pool.fleet = Fleet(self.pool, "one")
        self.pool.settings = replace(self.pool.settings, ceilings_fail_closed=fail_closed)

    def due(self, name: str = "a") -> None:
        """The member is to be probed."""
        self.open(name)
        self.advance(30.0)

    def spent(self) -> dict[str, list[Usage]]:
        return self.fleet.take_spent(self.now)


def asking(tokens: int, limit: int = 0) -> Any:
    return Asking(tokens=tokens, answer_limit=limit)


def passed_over(walk: Walk) -> list[tuple[str, float | None]]:
    return [(str(entry.reason), entry.until) for entry in walk.dispatch.trail if isinstance(entry, SkipEntry)]


def step(walk: Walk) -> Step:
    return walk.dispatch.next_step(walk.stage.now)


def consent(walk: Walk) -> Consent:
    assert walk.dispatch.consent is not None
    return walk.dispatch.consent


def needs_room(walk: Walk) -> NeedRoom:
    need = step(walk)
    assert isinstance(need, NeedRoom), need
    return need


def is_given_room(walk: Walk) -> None:
    consent(walk).has_room(needs_room(walk), Room(True), walk.stage.now)


def is_refused_room(walk: Walk, ceiling: str = "tpm_limit", seconds: float = 30.0) -> None:
    consent(walk).has_room(needs_room(walk), Room(False, ceiling, seconds), walk.stage.now)


class TestNothing:
    def test_a_member_without_ceilings_and_with_a_closed_circuit_needs_no_consent(self) -> None:
        Shared().begin().asks("a")

    def test_nor_does_one_that_is_limited_by_itself_alone(self) -> None:
        Shared(concurrency=2, takeovers=3).begin().asks("a")

    def test_nor_does_a_pool_that_nobody_shares(self) -> None:
        walk = Stage(members={"a": {"ceilings": Ceilings(tokens=1000)}}).begin()
        walk.asks("a")
        assert walk.dispatch.consent is None


class TestLeases:
    """Rules 1 and 3."""

    def test_a_probe_needs_one(self) -> None:
        stage = Shared()
        stage.due()
        walk = stage.begin()
        assert step(walk) == NeedLease(stage.member("a"))
        stage.fleet.has_lease(stage.member("a"), stage.now)
        assert walk.asks("a").permit.probe

    def test_an_early_one_too(self) -> None:
        stage = Shared("a")
        stage.open("a")
        stage.advance(5.0)
        walk = stage.begin()
        assert step(walk) == NeedLease(stage.member("a"))
        stage.fleet.has_lease(stage.member("a"), stage.now)
        assert walk.asks("a").permit.probe

    def test_who_is_asked_in_spite_of_its_circuit_is_no_probe_and_needs_none(self) -> None:
        stage = Shared("a")
        stage.due()
        needed = consent(stage.begin()).needed
        assert needed(stage.member("a"), stage.now) == NeedLease(stage.member("a"))
        assert needed(stage.member("a"), stage.now, anyway=True) is None

    def test_it_is_used_once(self) -> None:
        stage = Shared("a")
        stage.due()
        walk = stage.begin()
        step(walk)
        stage.fleet.has_lease(stage.member("a"), stage.now)
        walk.asks("a")
        walk.is_abandoned()
        assert step(stage.begin()) == NeedLease(stage.member("a"))

    def test_without_it_the_next_member_is_asked(self) -> None:
        stage = Shared()
        stage.due()
        walk = stage.begin()
        step(walk)
        stage.fleet.is_refused(stage.member("a"), 12.0, stage.now)
        walk.asks("b")
        assert passed_over(walk) == [("probe_in_flight", 12.0)]

    def test_who_has_nobody_else_waits_for_the_probe_elsewhere(self) -> None:
        stage = Shared("a")
        stage.due()
        walk = stage.begin()
        step(walk)
        stage.fleet.is_refused(stage.member("a"), 12.0, stage.now)
        walk.rests(12.0)


class TestRoom:
    """Rules 2 and 4."""

    def test_a_limited_member_needs_room_for_its_prompt_and_answer(self) -> None:
        stage = Shared(tokens=1000, requests=10)
        walk = stage.begin(needs=asking(100, 50))
        assert needs_room(walk) == NeedRoom(stage.member("a"), Wanted(150, 1000, 10))

    def test_tokens_are_not_counted_where_requests_alone_are_limited(self) -> None:
        asked = asking(100, 50)
        assert needs_room(Shared(requests=10).begin(needs=asked)).wanted == Wanted(0, None, 10)

    def test_given_it_is_asked(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100))
        is_given_room(walk)
        walk.asks("a")

    def test_what_was_not_used_is_given_back(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100, 50))
        is_given_room(walk)
        walk.asks("a")
        walk.answers(Tokens(80, 20, False))
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(-50, 0)]

    def test_what_was_used_beyond_it_is_told(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100, 50))
        is_given_room(walk)
        walk.asks("a")
        walk.answers(Tokens(180, 20, False))
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(50, 0)]

    def test_what_was_never_sent_is_given_back_in_whole(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100, 50))
        is_given_room(walk)
        walk.asks("a")
        walk.fails("connect")
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(-150, -1)]

    def test_room_that_another_members_attempt_left_unused_is_given_back(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100))
        is_given_room(walk)
        stage.member("a").bench(stage.now, 60.0, 900.0)
        walk.asks("b")
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(-600, -1)]

    def test_so_is_that_of_a_request_that_leaves(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100))
        is_given_room(walk)
        walk.leaves()
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(-600, -1)]

    def test_it_is_asked_for_before_the_lease(self) -> None:
        stage = Shared("a", tokens=1000)
        stage.due()
        walk = stage.begin(needs=asking(100))
        is_given_room(walk)
        assert step(walk) == NeedLease(stage.member("a"))
        stage.fleet.has_lease(stage.member("a"), stage.now)
        walk.asks("a")

    def test_a_hedge_needs_it_too(self) -> None:
        stage = Shared("ba", tokens=1000)
        stage.pool.settings = replace(stage.pool.settings, hedge=HedgeSettings(2.0, None, 1.0))
        stage.pool.members = (stage.member("a"), stage.member("b"))
        walk = stage.begin(needs=asking(100))
        walk.asks("a")
        stage.advance(2.0)
        need = walk.dispatch.hedge(walk.running, stage.now)
        assert isinstance(need, NeedRoom)
        consent(walk).has_room(need, Room(True), stage.now)
        hedge = walk.dispatch.hedge(walk.running, stage.now)
        assert hedge is not None
        assert not isinstance(hedge, NeedLease | NeedRoom)
        assert (hedge.member.name, hedge.is_hedge) == ("b", True)
        walk.dispatch.settle(hedge, Abandoned(), stage.now)
        assert [usage[1:3] for usage in stage.spent()["b"]] == [(-500, 0)]


class TestRefusals:
    """Rule 5."""

    def test_it_does_not_stand_against_whom_there_was_room_for_before(self) -> None:
        stage = Shared(tokens=2000)
        first, second = stage.begin(needs=asking(100)), stage.begin(needs=asking(100))
        is_given_room(first)
        is_refused_room(second)
        first.asks("a")
        second.asks("b")

    def test_the_next_member_is_asked_and_the_reason_is_told(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100))
        is_refused_room(walk)
        walk.asks("b")
        assert passed_over(walk) == [("tpm_limit", 30.0)]

    def test_who_needs_less_asks_again_and_who_needs_as_much_does_not(self) -> None:
        stage = Shared(tokens=1000)
        is_refused_room(stage.begin(needs=asking(100)))
        stage.begin(needs=asking(100)).asks("b")
        needs_room(stage.begin(needs=asking(50)))

    def test_a_ceiling_of_requests_stands_against_all(self) -> None:
        stage = Shared(requests=10)
        is_refused_room(stage.begin(needs=asking(100)), "rpm_limit")
        walk = stage.begin(needs=asking(1))
        walk.asks("b")
        assert passed_over(walk) == [("rpm_limit", 30.0)]

    def test_it_is_looked_at_again_after_a_second(self) -> None:
        stage = Shared(tokens=1000)
        is_refused_room(stage.begin(needs=asking(100)))
        assert not stage.fleet.looks_again(stage.now + 0.9)
        stage.advance(1.0)
        needs_room(stage.begin(needs=asking(100)))
        assert stage.fleet.looks_again(stage.now)
        assert stage.member("a").health.full is None

    def test_or_as_soon_as_there_will_be_room(self) -> None:
        stage = Shared(tokens=1000)
        is_refused_room(stage.begin(needs=asking(100)), seconds=0.4)
        stage.advance(0.4)
        needs_room(stage.begin(needs=asking(100)))

    def test_or_when_an_attempt_here_gave_room_back(self) -> None:
        stage = Shared(tokens=2000)
        running = stage.begin(needs=asking(100))
        is_given_room(running)
        running.asks("a")
        is_refused_room(stage.begin(needs=asking(100)))
        running.answers(Tokens(10, 10, False))
        needs_room(stage.begin(needs=asking(100)))


class TestNoAnswer:
    """Rule 3."""

    def test_the_process_goes_by_its_own_ceilings_and_tells_later_what_it_used(self) -> None:
        stage = Shared(tokens=1000)
        walk = stage.begin(needs=asking(100))
        consent(walk).has_no_answer(needs_room(walk), stage.now)
        walk.asks("a")
        walk.answers(Tokens(80, 20, False))
        assert [usage[1:3] for usage in stage.spent()["a"]] == [(100, 1)]

    def test_its_own_ceilings_still_hold(self) -> None:
        stage = Shared("a", tokens=1000)
        walk = stage.begin(needs=asking(900))
        consent(walk).has_no_answer(needs_room(walk), stage.now)
        walk.asks("a")
        stage.begin(needs=asking(900)).gives_up()

    @pytest.mark.parametrize("limit", ["tokens", "requests"])
    def test_where_ceilings_fail_closed_the_member_is_not_asked(self, limit: str) -> None:
        limits: Any = {limit: 1000}
        stage = Shared(fail_closed=True, **limits)
        walk = stage.begin(needs=asking(100))
        consent(walk).has_no_answer(needs_room(walk), stage.now)
        walk.asks("b")
        assert passed_over(walk) == [("ceiling_unknown", 0.5)]

    def test_the_last_one_is_waited_for_and_then_given_up(self) -> None:
        stage = Shared("a", fail_closed=True, tokens=1000)
        stage.set(wait_for_capacity=0.0)
        walk = stage.begin(needs=asking(100))
        consent(walk).has_no_answer(needs_room(walk), stage.now)
        error = walk.gives_up()
        assert isinstance(error, NoBackendAvailable)
        assert error.retryable
        assert error.retry_after == pytest.approx(0.5)


def test_repr_tells_how_much_it_holds() -> None:
    stage = Shared(tokens=1000)
    walk = stage.begin(needs=asking(100))
    is_given_room(walk)
    assert repr(consent(walk)) == "<Consent, 1 rooms>"
