"""Pools that share what they know: rule by rule, then any history, in which they always come to agree."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.stage import Stage
from understudy.core.breaker import Breaker, Permit, State
from understudy.core.events import VerdictAdopted
from understudy.core.fleet import Fleet
from understudy.core.member import Member
from understudy.core.policies.failover_sticky import FailoverSticky
from understudy.core.shared import Lease, Picture, Report, Usage
from understudy.state.board import Board

ACTIONS = ("drain", "enable", "open", "close", "reset")


class Replica(Stage):
    """A stage with others. Its clock is its own: it stands where it likes."""

    def __init__(self, name: str = "one", *, now: float = 1000.0, policy: str = "failover") -> None:
        super().__init__("ab", policy, now=now)
        self.fleet = Fleet(self.pool, name)
        self.heard: list[VerdictAdopted] = []

    @property
    def a(self) -> Member:
        return self.member("a")

    @property
    def circuit(self) -> Breaker:
        return self.a.breaker

    def report(self, *, whole: bool = False) -> Report:
        return self.fleet.report(self.now, whole=whole)

    def heed(self, report: Report, picture: Picture) -> None:
        for event in self.fleet.heed(report, picture, self.now):
            assert isinstance(event, VerdictAdopted)
            self.heard.append(event)

    def act(self, action: str) -> None:
        """As an operator does."""
        match action:
            case "drain" | "enable":
                self.a.health.drained = action == "drain"
            case "open" | "close":
                self.circuit.force(State.OPEN if action == "open" else State.CLOSED, self.now)
            case _:
                self.circuit.reset()
                self.a.benched_until = self.now
        self.fleet.acted(self.a, action)

    def probe(self) -> Permit:
        permit = self.circuit.try_acquire(self.now, self.pool.settings.breaker)
        assert permit is not None
        assert permit.probe
        return permit

    def succeeds(self, permit: Permit) -> None:
        self.circuit.record_opening(permit, self.now, self.pool.settings.breaker)

    def fails(self, permit: Permit) -> None:
        self.circuit.record_failure(permit, self.now, self.pool.settings.breaker, after_content=False)

    @property
    def opens_in(self) -> float:
        return (self.circuit.next_probe_at(self.now, self.pool.settings.breaker) or 0.0) - self.now

    @property
    def benched_for(self) -> float:
        return self.a.benched_until - self.now


class House:
    """Replicas around one board, whose clock is its own."""

    def __init__(self, *nows: float, policy: str = "failover") -> None:
        self.births = 0
        self.board = Board("first")
        self.now = 50_000.0
        self.replicas = [Replica(f"r{number}", now=now, policy=policy) for number, now in enumerate(nows)]

    def __iter__(self) -> Iterator[Replica]:
        return iter(self.replicas)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for replica in self.replicas:
            replica.advance(seconds)

    def meet(self, *replicas: Replica, whole: bool = False) -> None:
        """Each takes its report there, in this order, and hears the answer."""
        for replica in replicas or self.replicas:
            report = replica.report(whole=whole)
            replica.heed(report, self.board.exchange(report, self.now))

    def lease(self, replica: Replica) -> Lease:
        holder = replica.fleet.lease(replica.a)
        return self.board.lease("a", holder, replica.circuit.epoch, 30.0, self.now)

    def flush(self) -> None:
        self.births += 1
        self.board = Board(str(self.births))


@pytest.fixture
def house() -> House:
    """Two with clocks that stand apart."""
    return House(1000.0, 31_000.0)


class TestTelling:
    """Rules 1 and 3."""

    def test_who_has_no_news_says_nothing(self, house: House) -> None:
        one, _ = house
        assert one.report().told == ()

    def test_an_opening_is_told_until_it_is_known_to_have_arrived(self, house: House) -> None:
        one, _ = house
        one.open("a")
        assert [told.member for told in one.report().told] == ["a"]
        assert [told.member for told in one.report().told] == ["a"]
        house.meet()
        assert one.report().told == ()

    def test_what_is_over_is_no_news(self, house: House) -> None:
        one, _ = house
        one.a.bench(one.now, 5.0, 900.0)
        one.advance(6.0)
        assert one.report().told == ()

    def test_a_store_that_was_emptied_learns_all_of_it_again(self, house: House) -> None:
        one, _ = house
        one.open("a")
        house.meet()
        house.flush()
        house.meet()
        assert [told.member for told in one.report().told] == ["a"]
        third = Replica("late", now=5.0)
        house.meet(one, third)
        assert third.state("a") is State.OPEN

    def test_a_store_that_went_back_learns_what_it_lost(self, house: House) -> None:
        one, two = house
        house.meet()
        behind = Board("first")
        one.open("a")
        house.meet(one)
        house.board = behind
        house.meet(one, one, two)
        assert two.state("a") is State.OPEN

    def test_a_change_that_was_lost_unnoticed_is_told_again_after_a_whole_picture(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.meet(one)
        house.board = Board("first")
        two.open("b")
        house.meet(two)
        house.meet(one, two)
        assert two.state("a") is State.CLOSED
        house.meet(one, whole=True)
        house.meet(one, two)
        assert two.state("a") is State.OPEN

    def test_reloaded_members_hear_all_of_it_again(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.meet()
        fresh = Replica("fresh")
        two.fleet.bind(fresh.pool)
        report = two.fleet.report(fresh.now)
        two.fleet.heed(report, house.board.exchange(report, house.now), fresh.now)
        assert fresh.state("a") is State.OPEN


class TestCircuits:
    """Rules 2 and 6."""

    def test_an_opening_is_heard_with_its_deadline_by_the_other_clock(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.advance(10.0)
        house.meet()
        assert two.state("a") is State.OPEN
        assert two.opens_in == pytest.approx(20.0)
        assert [(event.backend, event.state) for event in two.heard] == [("a", "open")]
        assert two.pool.quiet_since == two.now

    def test_the_teller_is_told_nothing_new(self, house: House) -> None:
        one, _ = house
        one.open("a")
        house.meet()
        house.meet()
        assert one.heard == []

    def test_a_close_undoes_the_opening_for_all_and_eases_the_member_in(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.meet()
        house.advance(30.0)
        two.succeeds(two.probe())
        house.meet(two, one)
        assert one.state("a") is State.CLOSED
        assert one.a.health.slow_start is not None
        assert one.circuit.epoch == two.circuit.epoch == 1

    def test_nobody_is_eased_in_where_that_is_off(self, house: House) -> None:
        one, two = house
        one.pool.settings = Stage(routing={"slow_start": 0.0}).pool.settings
        one.open("a")
        house.meet()
        house.advance(30.0)
        two.succeeds(two.probe())
        house.meet(two, one)
        assert one.a.health.slow_start is None

    def test_a_stale_opening_never_undoes_a_newer_close(self, house: House) -> None:
        one, two = house
        one.open("a")
        stale = one.report()
        house.meet()
        house.advance(30.0)
        two.succeeds(two.probe())
        house.meet(two)
        house.board.exchange(stale, house.now)
        house.meet()
        assert [replica.state("a") for replica in house] == [State.CLOSED, State.CLOSED]

    def test_the_later_of_two_deadlines_holds(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.advance(10.0)
        two.open("a")
        house.meet()
        house.meet()
        assert one.opens_in == two.opens_in == pytest.approx(30.0)
        assert one.heard == []

    def test_a_probe_that_is_out_is_not_cut_short_by_hearsay(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.advance(30.0)
        probe = one.probe()
        two.open("a")
        house.meet(two, one)
        assert one.circuit.is_probed_here(one.now, one.pool.settings.breaker)
        one.succeeds(probe)
        house.meet()
        assert two.state("a") is State.CLOSED

    def test_hearsay_is_offered_again_when_the_probe_ended_without_blame(self, house: House) -> None:
        one, two = house
        one.open("a")
        house.advance(30.0)
        probe = one.probe()
        two.open("a")
        house.meet(two, one)
        one.circuit.hand_back(probe)
        house.meet(one)
        assert one.opens_in == pytest.approx(30.0)

    def test_a_forced_circuit_is_not_moved_by_an_opening_of_the_same_epoch(self, house: House) -> None:
        one, two = house
        two.act("close")
        one.circuit.epoch = 1
        one.open("a")
        house.meet(one, two)
        assert two.circuit.forced is State.CLOSED
        assert two.circuit.phase is State.CLOSED

    def test_a_hand_that_this_one_felt_alone_outweighs_none_of_the_same_epoch(self, house: House) -> None:
        one, two = house
        one.act("close")
        house.meet(one)
        house.flush()
        two.circuit.epoch = 1
        two.open("a")
        house.meet(two, one)
        assert one.circuit.forced is State.CLOSED
        house.meet(one, two)
        assert two.circuit.forced is State.CLOSED

    def test_a_breaker_that_is_off_opens_for_nobody(self, house: House) -> None:
        one, two = house
        two.set(breaker={"enabled": False})
        one.open("a")
        house.meet()
        assert two.circuit.phase == "closed"
        two.set(breaker={"enabled": True})
        house.meet()
        assert two.circuit.phase == "open"

    def test_a_closed_circuit_of_a_higher_epoch_leaves_the_count_alone(self, house: House) -> None:
        one, two = house
        permit = two.circuit.try_acquire(two.now, two.pool.settings.breaker)
        assert permit is not None
        two.fails(permit)
        one.act("drain")
        house.meet()
        assert two.circuit.epoch == 1
        assert two.circuit.failures(two.now, two.pool.settings.breaker) == 1


class TestBenches:
    def test_a_bench_is_heard_and_never_shortened(self, house: House) -> None:
        one, two = house
        one.a.bench(one.now, 60.0, 900.0)
        two.a.bench(two.now, 5.0, 900.0)
        house.meet()
        house.meet()
        assert one.benched_for == two.benched_for == pytest.approx(60.0)

    def test_a_bench_from_before_a_reset_here_is_not_taken_over(self, house: House) -> None:
        one, two = house
        one.a.bench(one.now, 60.0, 900.0)
        house.meet()
        two.act("reset")
        picture = house.board.exchange(one.report(whole=True), house.now)
        two.fleet._acts.clear()  # as if it had arrived, but before this picture was drawn
        two.heed(two.report(whole=True), picture)
        assert two.benched_for <= 0

    def test_it_does_not_grow_with_telling(self, house: House) -> None:
        one, two = house
        one.a.bench(one.now, 60.0, 900.0)
        for _ in range(20):
            house.meet()
            house.advance(1.0)
        assert one.benched_for == two.benched_for == pytest.approx(40.0)


class TestOperators:
    """Rule 4."""

    @pytest.mark.parametrize("action", ["open", "close", "drain"])
    def test_a_hand_on_one_is_a_hand_on_all(self, house: House, action: str) -> None:
        one, two = house
        one.act(action)
        house.meet()
        assert two.circuit.forced == one.circuit.forced
        assert two.a.health.drained == one.a.health.drained
        assert two.circuit.epoch == one.circuit.epoch == 1

    def test_reset_takes_everything_back(self, house: House) -> None:
        one, two = house
        one.act("open")
        one.a.bench(one.now, 60.0, 900.0)
        house.meet()
        two.a.health.exhausted_until = inf
        two.a.health.slow_start = None
        one.act("reset")
        house.meet()
        assert two.state("a") is State.CLOSED
        assert two.circuit.forced is None
        assert two.benched_for <= 0
        assert two.a.health.exhausted_until == 0
        assert two.a.health.slow_start is None

    def test_enable_undoes_a_drain_elsewhere(self, house: House) -> None:
        one, two = house
        one.act("drain")
        house.meet()
        two.act("enable")
        house.meet(two, one)
        assert not one.a.health.drained

    def test_two_hands_at_once_both_count(self, house: House) -> None:
        one, two = house
        one.act("drain")
        two.act("open")
        house.meet()
        house.meet()
        for replica in house:
            assert replica.a.health.drained
            assert replica.circuit.forced is State.OPEN
            assert replica.circuit.epoch == 2

    def test_what_is_told_again_counts_once(self, house: House) -> None:
        one, _ = house
        one.act("drain")
        house.board.exchange(one.report(), house.now)
        house.meet()
        assert one.circuit.epoch == 1

    def test_until_it_has_arrived_no_other_word_moves_the_member(self, house: House) -> None:
        one, two = house
        report = one.report()
        two.act("open")
        two.act("open")
        house.meet(two)
        picture = house.board.exchange(report, house.now)
        one.act("close")
        one.heed(report, picture)
        assert one.circuit.forced is State.CLOSED
        house.meet()
        house.meet()
        assert two.circuit.forced is State.CLOSED

    def test_a_hand_on_a_member_that_is_gone_is_forgotten(self, house: House) -> None:
        one, _ = house
        one.act("drain")
        one.fleet.bind(Replica("fresh").pool)
        assert [told.action for told in one.report().told] == ["drain"], "it is there in the new one"
        one.fleet.bind(Stage("b").pool)
        assert one.report().told == ()

    def test_an_operator_beats_a_store_that_has_forgotten(self, house: House) -> None:
        one, two = house
        for _ in range(3):
            one.act("drain")
        house.meet()
        house.flush()
        one.act("enable")
        house.meet()
        house.meet()
        assert not two.a.health.drained
        assert two.circuit.epoch == one.circuit.epoch


class TestLeases:
    """Rule 5."""

    def due(self, house: House) -> tuple[Replica, Replica]:
        one, two = house
        one.open("a")
        house.meet()
        house.advance(30.0)
        return one, two

    def test_one_at_a_time_has_leave_to_probe(self, house: House) -> None:
        one, two = self.due(house)
        assert house.lease(one) == Lease(True)
        assert house.lease(two) == Lease(False, 30.0)

    def test_who_hears_of_it_admits_none_meanwhile(self, house: House) -> None:
        one, two = self.due(house)
        house.lease(one)
        one.probe()
        house.meet()
        breaker = two.pool.settings.breaker
        assert not two.circuit.admits(two.now, breaker)
        assert two.circuit.probing(two.now, breaker)
        assert two.opens_in == pytest.approx(30.0)
        assert two.pool.quiet_since == two.now

    def test_the_holder_is_not_kept_out_by_its_own(self, house: House) -> None:
        one, _ = self.due(house)
        house.lease(one)
        one.circuit.hand_back(one.probe())
        house.meet(one)
        assert one.circuit.admits(one.now, one.pool.settings.breaker)

    def test_it_is_returned_when_the_probe_ended_without_blame(self, house: House) -> None:
        one, two = self.due(house)
        house.lease(one)
        probe = one.probe()
        house.meet()
        one.circuit.hand_back(probe)
        house.meet()
        assert two.circuit.admits(two.now, two.pool.settings.breaker)
        assert house.lease(two).granted
        assert one.report().told == ()

    def test_one_that_was_not_used_is_returned_at_the_next_beat(self, house: House) -> None:
        one, two = self.due(house)
        house.lease(one)
        one.circuit.leased_until = one.now + 30.0
        house.meet(one)
        assert one.circuit.leased_until == 0.0
        assert house.lease(two).granted

    def test_while_it_is_asked_for_it_is_not_returned(self, house: House) -> None:
        one, two = self.due(house)
        one.circuit.is_asking = True
        one.circuit.elsewhere_until = one.now + 0.05
        house.lease(one)
        house.meet(one)
        assert one.circuit.elsewhere_until == one.now + 0.05
        assert not house.lease(two).granted

    def test_who_has_it_may_ask_again(self, house: House) -> None:
        one, two = self.due(house)
        assert house.lease(one).granted
        assert house.lease(one).granted
        assert not house.lease(two).granted

    def test_a_return_that_was_lost_is_told_again_and_a_new_lease_has_another_name(
        self, house: House
    ) -> None:
        one, two = self.due(house)
        house.lease(one)
        lost = one.report()
        assert [told.returned for told in lost.told] == ["r0.1"]
        assert [told.returned for told in one.report().told] == ["r0.1"]
        assert not house.lease(one).granted, "the old one is not back yet"
        house.meet(one)
        assert house.lease(two).granted

    def test_no_more_than_one_probe_is_out_whatever_the_settings_say(self, house: House) -> None:
        one, _ = self.due(house)
        one.set(breaker={"half_open_max": 3})
        one.probe()
        assert not one.circuit.admits(one.now, one.pool.settings.breaker)
        assert one.opens_in == pytest.approx(30.0)

    def test_it_ends_with_its_time(self, house: House) -> None:
        one, two = self.due(house)
        house.lease(one)
        house.advance(30.0)
        assert house.lease(two).granted

    def test_it_is_not_given_to_whom_an_epoch_that_is_over_holds(self, house: House) -> None:
        one, two = self.due(house)
        house.lease(two)
        two.succeeds(two.probe())
        house.meet(two)
        assert house.lease(one) == Lease(False)


class TestPins:
    def sticky(self, replica: Replica) -> FailoverSticky:
        assert isinstance(replica.pool.policy, FailoverSticky)
        return replica.pool.policy

    def test_who_is_moved_does_not_go_back_before_its_time(self) -> None:
        house = House(1000.0, 2000.0, policy="failover_sticky")
        one, two = house
        self.sticky(one).stays = 1
        assert one.fleet.has_moved
        house.meet()
        assert not one.fleet.has_moved
        two.advance(299.0)
        two.begin().asks("b")
        two.advance(1.0)
        two.begin().asks("a")

    def test_where_one_pool_stays_all_stay(self) -> None:
        house = House(1000.0, 2000.0, policy="failover_sticky")
        one, two = house
        self.sticky(one).stays = 1
        house.meet()
        assert self.sticky(two).stays == 1
        self.sticky(two).stays = None
        house.meet(two, one)
        assert self.sticky(one).stays is None

    def test_a_pin_to_a_member_that_is_not_here_moves_nothing(self) -> None:
        house = House(1000.0, 2000.0, policy="failover_sticky")
        one, two = house
        one.member("b").identity = "elsewhere"
        self.sticky(one).stays = 1
        house.meet()
        house.meet()
        assert self.sticky(two).stays is None
        assert self.sticky(one).stays == 1

    def test_a_policy_without_one_passes_it_by(self) -> None:
        house = House(1000.0, policy="failover_sticky")
        plain = Replica("plain")
        (one,) = house
        self.sticky(one).stays = 1
        house.meet(one, plain)
        assert plain.heard == []


class TestUsage:
    """Rule 7."""

    def test_it_is_told_once_by_the_second(self, house: House) -> None:
        one, _ = house
        one.fleet.spend("a", 1000.2, 100.0, 1.0)
        one.fleet.spend("a", 1000.9, -40.0, 0.0)
        one.fleet.spend("b", 1000.9, 0.0, 0.0)
        assert one.fleet.take_spent(1002.0) == {"a": [Usage(2.0, 60.0, 1.0)]}
        assert one.fleet.take_spent(1002.0) == {}

    def test_what_may_be_lost_is_told_again_if_it_was_taken(self, house: House) -> None:
        one, _ = house
        one.fleet.put_back("a", [Usage(2.0, 60.0, 0.0), Usage(3.0, -60.0, 0.0)], 1002.0)
        assert one.fleet.take_spent(1003.0) == {"a": [Usage(3.0, 60.0, 0.0)]}

    def test_what_has_left_the_minute_is_not_told(self, house: House) -> None:
        one, _ = house
        one.fleet.spend("a", 1000.0, 100.0, 1.0)
        assert one.fleet.take_spent(1061.0) == {}


def test_repr_tells_what_is_known(house: House) -> None:
    one, _ = house
    one.open("a")
    house.meet()
    assert repr(one.fleet) == "<Fleet of <Pool company, failover, 2 members>, 1 known>"


class FleetMachine(RuleBasedStateMachine):
    """Three replicas, one board. Reports and answers are late, lost, or arrive though nobody waits."""

    @initialize()
    def begin(self) -> None:
        self.house = House(1000.0, 31_000.0, 5.0)
        self.under_way: dict[int, tuple[Report, Picture | None]] = {}
        self.forsaken: list[Report] = []
        self.probes: dict[int, Permit] = {}
        self.seen = [(0, 0, 0.0)] * 3

    which = st.integers(0, 2)

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 10.0, 31.0]))
    def advance(self, seconds: float) -> None:
        self.house.advance(seconds)

    @rule(number=which)
    def opens(self, number: int) -> None:
        replica = self.house.replicas[number]
        if replica.circuit.forced is None and replica.state("a") is State.CLOSED:
            replica.open("a")

    @rule(number=which, seconds=st.sampled_from([1.0, 20.0, 90.0]))
    def benches(self, number: int, seconds: float) -> None:
        replica = self.house.replicas[number]
        replica.a.bench(replica.now, seconds, 900.0)

    @rule(number=which, leased=st.booleans())
    def begins_to_probe(self, number: int, leased: bool) -> None:
        replica = self.house.replicas[number]
        breaker, settings = replica.circuit, replica.pool.settings.breaker
        if breaker.phase is State.CLOSED or not breaker.admits(replica.now, settings):
            return
        if leased and not self.house.lease(replica).granted:
            return
        permit = breaker.try_acquire(replica.now, settings)
        if permit is not None and permit.probe:
            self.probes[number] = permit

    @precondition(lambda self: self.probes)
    @rule(data=st.data(), end=st.sampled_from(["good", "bad", "nothing"]))
    def ends_its_probe(self, data: st.DataObject, end: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.probes)))
        replica, permit = self.house.replicas[number], self.probes.pop(number)
        match end:
            case "good":
                replica.succeeds(permit)
            case "bad":
                replica.fails(permit)
            case _:
                replica.circuit.hand_back(permit)

    @rule(number=which, action=st.sampled_from(ACTIONS))
    def acts(self, number: int, action: str) -> None:
        self.house.replicas[number].act(action)
        if action == "reset":
            self.seen[number] = (0, self.seen[number][1] + 1, 0.0)

    @rule(number=which, whole=st.booleans())
    def sends(self, number: int, whole: bool) -> None:
        if number not in self.under_way:
            self.under_way[number] = self.house.replicas[number].report(whole=whole), None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrives(self, data: st.DataObject) -> None:
        """There, or back here."""
        number = data.draw(st.sampled_from(sorted(self.under_way)))
        report, picture = self.under_way[number]
        if picture is None:
            self.under_way[number] = report, self.house.board.exchange(report, self.house.now)
        else:
            del self.under_way[number]
            self.house.replicas[number].heed(report, picture)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def is_given_up(self, data: st.DataObject) -> None:
        """The answer is lost; or the report, which may yet arrive."""
        number = data.draw(st.sampled_from(sorted(self.under_way)))
        report, picture = self.under_way.pop(number)
        if picture is None:
            self.forsaken.append(report)

    @precondition(lambda self: self.forsaken)
    @rule()
    def arrives_though_nobody_waits(self) -> None:
        self.house.board.exchange(self.forsaken.pop(0), self.house.now)

    @rule()
    def forgets(self) -> None:
        self.house.flush()

    @invariant()
    def no_epoch_goes_back_and_no_bench_is_shortened_but_by_a_reset(self) -> None:
        for number, replica in enumerate(self.house):
            epoch, resets, benched_until = self.seen[number]
            now_resets = replica.fleet.resets_of("a")
            assert replica.circuit.epoch >= epoch
            assert now_resets > resets or replica.a.benched_until >= benched_until
            self.seen[number] = replica.circuit.epoch, now_resets, replica.a.benched_until

    def teardown(self) -> None:
        for number, permit in self.probes.items():
            self.house.replicas[number].circuit.hand_back(permit)
        for _ in range(4):
            self.house.meet(whole=True)
        views = [
            (
                replica.circuit.verdict(replica.pool.settings.breaker)[:2],
                replica.circuit.forced,
                replica.a.health.drained,
                replica.fleet.resets_of("a"),
                round(max(0.0, replica.benched_for), 3),
                round(max(0.0, replica.opens_in), 3) if replica.circuit.forced is None else 0,
            )
            for replica in self.house
        ]
        assert views[0] == views[1] == views[2], views
        assert all(replica.report().told == () for replica in self.house)


FleetMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMachine = FleetMachine.TestCase
