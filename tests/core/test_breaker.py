"""The circuit breaker: its rules one by one, then any history against a model that forgets nothing."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from understudy.core.breaker import FAILED_IN_A_ROW, Breaker, Permit, State
from understudy.core.settings import BreakerSettings


class Circuit:
    """A breaker with its settings and a clock that is a number."""

    def __init__(self, **given: Any) -> None:
        self.breaker = Breaker()
        self.settings = replace(BreakerSettings(), **given)
        self.now = 1000.0

    def set(self, **changed: Any) -> None:
        self.settings = replace(self.settings, **changed)

    def state(self) -> State:
        return self.breaker.state(self.now, self.settings)

    @property
    def admits(self) -> bool:
        return self.breaker.admits(self.now, self.settings)

    @property
    def next_probe_in(self) -> float | None:
        at = self.breaker.next_probe_at(self.now, self.settings)
        return None if at is None else at - self.now

    @property
    def failures(self) -> int:
        return self.breaker.failures(self.now, self.settings)

    def refused(self) -> bool:
        return self.breaker.try_acquire(self.now, self.settings) is None

    def permit(self) -> Permit:
        permit = self.breaker.try_acquire(self.now, self.settings)
        assert permit is not None
        return permit

    def probe(self) -> Permit:
        permit = self.permit()
        assert permit.probe
        return permit

    def opens(self, permit: Permit) -> None:
        self.breaker.record_opening(permit, self.now, self.settings)

    def ends(self, permit: Permit) -> None:
        self.breaker.record_ending(permit, self.now, self.settings)

    def fails(self, permit: Permit, *, after_content: bool = False) -> None:
        self.breaker.record_failure(permit, self.now, self.settings, after_content=after_content)

    # Whole attempts

    def good(self, times: int = 1) -> None:
        """Streams that answer and end properly."""
        for _ in range(times):
            permit = self.permit()
            self.opens(permit)
            self.ends(permit)

    def bad(self, times: int = 1, lasting: float = 0.0) -> None:
        """Attempts that fail before content."""
        for _ in range(times):
            permit = self.permit()
            self.now += lasting
            self.fails(permit)

    def breaks_anyway(self) -> None:
        """Asked in spite of the circuit; begins well and breaks off."""
        permit = self.breaker.acquire_anyway(self.now)
        self.opens(permit)
        self.fails(permit, after_content=True)

    def cut(self, times: int = 1) -> None:
        """Streams that fail after content."""
        for _ in range(times):
            permit = self.permit()
            self.opens(permit)
            self.fails(permit, after_content=True)


def opened(**given: Any) -> Circuit:
    circuit = Circuit(**given)
    circuit.bad(3)
    assert circuit.state() is State.OPEN
    return circuit


def half_open(**given: Any) -> Circuit:
    circuit = opened(**given)
    circuit.now += circuit.settings.recovery_timeout
    return circuit


class TestOpening:
    """Rules 1 to 3."""

    def test_three_of_three_failures_open(self) -> None:
        circuit = Circuit()
        circuit.bad(2)
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN
        assert circuit.breaker.opened_at == circuit.now

    def test_failures_of_both_series_meet_the_threshold_together(self) -> None:
        circuit = Circuit()
        circuit.bad(2)
        circuit.cut()
        assert circuit.state() is State.OPEN

    def test_the_rate_is_judged_within_the_series_of_the_new_failure(self) -> None:
        """A hundred streams that began well say nothing about how streams end."""
        circuit = Circuit()
        for _ in range(100):
            permit = circuit.permit()
            circuit.opens(permit)
            circuit.breaker.hand_back(permit)
        circuit.bad(3)
        assert circuit.state() is State.CLOSED
        circuit.cut()
        assert circuit.state() is State.OPEN

    @pytest.mark.parametrize("after_content", [False, True], ids=["openings", "endings"])
    def test_of_a_hundred_at_once_the_first_to_fail_say_little(self, after_content: bool) -> None:
        circuit = Circuit()
        running = [circuit.permit() for _ in range(100)]
        for permit in running if after_content else []:
            circuit.opens(permit)
        for permit in running[:9]:
            circuit.fails(permit, after_content=after_content)
        assert circuit.state() is State.CLOSED
        circuit.fails(running[9], after_content=after_content)
        assert circuit.state() is State.OPEN

    def test_of_three_at_once_three_failures_open(self) -> None:
        circuit = Circuit()
        for permit in [circuit.permit() for _ in range(3)]:
            circuit.fails(permit)
        assert circuit.state() is State.OPEN

    def test_only_attempts_without_an_outcome_are_undecided(self) -> None:
        """Ended well, badly or without blame: none of them counts twice."""
        circuit = Circuit(failure_rate=1.0)
        circuit.breaker.hand_back(circuit.permit())
        for permit in [circuit.permit() for _ in range(20)]:
            circuit.opens(permit)
            circuit.ends(permit)
        circuit.now += 61
        circuit.bad(2)
        circuit.cut()
        assert circuit.state() is State.OPEN

    def test_attempts_from_before_a_transition_are_not_waited_for(self) -> None:
        circuit = Circuit()
        old = [circuit.permit() for _ in range(20)]
        circuit.bad(10)
        circuit.now += 30
        circuit.opens(circuit.probe())
        for permit in old:
            circuit.breaker.hand_back(permit)
        circuit.bad(3)
        assert circuit.state() is State.OPEN

    def test_good_endings_do_not_excuse_bad_openings(self) -> None:
        circuit = Circuit()
        streams = [circuit.permit() for _ in range(20)]
        for permit in streams:
            circuit.opens(permit)
        circuit.now += 61  # the openings have left the window; nothing has ended yet
        for permit in streams:
            circuit.ends(permit)
        circuit.bad(3)
        assert circuit.state() is State.OPEN

    def test_five_percent_noise_never_opens(self) -> None:
        circuit = Circuit()
        for number in range(2000):
            circuit.now += 0.05
            if number % 20 == 10:
                circuit.bad()
            else:
                circuit.good()
            assert circuit.state() is State.CLOSED

    def test_an_outage_after_long_health_opens_within_ten_requests(self) -> None:
        circuit = Circuit()
        circuit.good(500)
        circuit.bad(9)
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN

    def test_only_the_newest_twenty_are_judged(self) -> None:
        circuit = Circuit(failure_rate=0.95)
        circuit.good(1)
        circuit.bad(18)
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN

    def test_a_larger_threshold_makes_the_series_longer(self) -> None:
        circuit = Circuit(failure_threshold=30)
        circuit.bad(29)
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN

    def test_the_rate_opens_where_it_is_met_exactly(self) -> None:
        circuit = Circuit(failure_rate=0.55)
        circuit.good(9)
        circuit.bad(10)
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN

    def test_with_a_rate_of_zero_the_plain_count_decides(self) -> None:
        circuit = Circuit(failure_rate=0.0)
        circuit.bad(2)
        circuit.good(200)
        circuit.bad()
        assert circuit.state() is State.OPEN

    def test_only_a_failure_opens(self) -> None:
        circuit = Circuit(failure_threshold=5)
        circuit.bad(4)
        circuit.set(failure_threshold=3)
        circuit.good()
        assert circuit.state() is State.CLOSED
        circuit.bad()
        assert circuit.state() is State.OPEN


class TestWindow:
    """Rule 2."""

    def test_quick_failures_age_out_after_the_window(self) -> None:
        circuit = Circuit()
        circuit.bad(2)
        circuit.now += 59.9
        assert circuit.failures == 2
        circuit.now += 0.1
        assert circuit.failures == 0
        circuit.bad()
        assert circuit.state() is State.CLOSED

    def test_three_timeouts_of_a_sequential_caller_meet(self) -> None:
        circuit = Circuit()
        circuit.bad(2, lasting=60.0)
        assert circuit.state() is State.CLOSED
        circuit.bad(lasting=60.0)
        assert circuit.state() is State.OPEN

    def test_a_failure_stays_for_the_threshold_times_its_own_duration_longer(self) -> None:
        circuit = Circuit()
        circuit.bad(lasting=10.0)
        circuit.now += 89.9
        assert circuit.failures == 1
        circuit.now += 0.1
        assert circuit.failures == 0

    def test_successes_age_out_too(self) -> None:
        circuit = Circuit()
        circuit.good(20)
        circuit.now += 60
        circuit.bad(3)
        assert circuit.state() is State.OPEN

    def test_failures_that_aged_out_of_a_series_do_not_count(self) -> None:
        circuit = Circuit(failure_rate=0.01)
        circuit.bad(2)
        circuit.now += 60
        circuit.bad(2)
        assert circuit.state() is State.CLOSED

    def test_successes_that_push_failures_out_are_not_counted_as_forgotten_failures(self) -> None:
        """The failures shown are those inside the window, however many successes there were."""
        circuit = Circuit()
        circuit.bad(2)
        circuit.good(50)
        assert circuit.failures == 2


class TestRecovery:
    """Rules 4 and 5."""

    def test_an_open_circuit_admits_nothing_until_its_time_has_passed(self) -> None:
        circuit = opened()
        circuit.now += 29.9
        assert circuit.state() is State.OPEN
        assert not circuit.admits
        assert circuit.refused()
        assert round(circuit.next_probe_in or 0, 6) == 0.1
        circuit.now = 1030.0
        assert circuit.state() is State.HALF_OPEN
        assert circuit.admits
        assert circuit.probe()

    def test_a_live_change_holds_for_a_circuit_already_open(self) -> None:
        circuit = opened()
        circuit.now += 5
        circuit.set(recovery_timeout=4.0)
        assert circuit.state() is State.HALF_OPEN

    def test_half_open_admits_one_probe(self) -> None:
        circuit = half_open()
        circuit.probe()
        assert circuit.state() is State.HALF_OPEN
        assert circuit.refused()
        assert circuit.breaker.probing(circuit.now, circuit.settings)

    def test_half_open_admits_as_many_probes_as_configured(self) -> None:
        circuit = half_open(half_open_max=3)
        for _ in range(3):
            circuit.probe()
        assert circuit.refused()

    def test_a_probes_slot_is_free_after_its_lease(self) -> None:
        circuit = half_open()
        circuit.probe()
        circuit.now += 29.9
        assert circuit.refused()
        assert round(circuit.next_probe_in or 0, 6) == 0.1
        circuit.now += 0.1
        assert not circuit.breaker.probing(circuit.now, circuit.settings)
        assert circuit.probe()

    def test_a_lease_is_at_least_five_seconds(self) -> None:
        circuit = half_open(recovery_timeout=0.1)
        circuit.probe()
        circuit.now += 4.9
        assert circuit.refused()
        circuit.now += 0.2
        assert circuit.probe()

    def test_a_late_success_still_closes(self) -> None:
        circuit = half_open()
        late = circuit.probe()
        circuit.now += 100
        circuit.opens(late)
        assert circuit.state() is State.CLOSED

    def test_a_late_failure_still_opens(self) -> None:
        circuit = half_open()
        late = circuit.probe()
        circuit.now += 100
        circuit.probe()
        circuit.fails(late)
        assert circuit.state() is State.OPEN

    def test_a_late_outcome_counts_no_more_once_a_newer_probe_has_settled(self) -> None:
        circuit = half_open()
        late = circuit.probe()
        circuit.now += 100
        circuit.opens(circuit.probe())
        circuit.fails(late)
        assert circuit.state() is State.CLOSED
        assert circuit.failures == 0

    def test_a_late_outcome_still_counts_after_a_newer_probe_without_blame(self) -> None:
        circuit = half_open()
        late = circuit.probe()
        circuit.now += 100
        circuit.breaker.hand_back(circuit.probe())
        circuit.opens(late)
        assert circuit.state() is State.CLOSED

    def test_when_fewer_probes_are_allowed_than_are_out_the_next_waits_for_enough_leases(self) -> None:
        circuit = half_open(half_open_max=3)
        for _ in range(3):
            circuit.probe()
            circuit.now += 1
        circuit.set(half_open_max=2)
        assert circuit.next_probe_in == 28.0
        circuit.now += 28
        assert circuit.admits
        assert circuit.next_probe_in == 0.0

    def test_a_free_slot_shows_as_now(self) -> None:
        circuit = half_open(half_open_max=2)
        circuit.probe()
        assert circuit.next_probe_in == 0.0


class TestProbes:
    """Rules 6 to 9."""

    def test_first_content_closes_and_empties_both_series(self) -> None:
        circuit = half_open()
        circuit.opens(circuit.probe())
        assert circuit.state() is State.CLOSED
        assert circuit.failures == 0
        assert circuit.breaker.opened_at is None
        assert circuit.next_probe_in is None
        circuit.bad(2)
        assert circuit.state() is State.CLOSED

    def test_the_closer_failing_later_opens_again(self) -> None:
        circuit = half_open()
        closer = circuit.probe()
        circuit.opens(closer)
        circuit.now += 100
        circuit.fails(closer, after_content=True)
        assert circuit.state() is State.OPEN
        assert circuit.next_probe_in == 30.0

    def test_the_closer_ending_well_says_nothing_more(self) -> None:
        circuit = half_open()
        closer = circuit.probe()
        circuit.opens(closer)
        circuit.ends(closer)
        circuit.cut(3)
        assert circuit.state() is State.OPEN

    def test_the_closer_opens_nothing_that_has_moved_on(self) -> None:
        circuit = half_open()
        closer = circuit.probe()
        circuit.opens(closer)
        circuit.bad(3)
        circuit.now += 30
        circuit.probe()
        circuit.fails(closer, after_content=True)
        assert circuit.state() is State.HALF_OPEN

    def test_another_probe_cannot_reopen_what_the_first_has_closed(self) -> None:
        circuit = half_open(half_open_max=2)
        first, second = circuit.probe(), circuit.probe()
        circuit.opens(first)
        circuit.fails(second)
        assert circuit.state() is State.CLOSED

    def test_a_failed_probe_opens_for_the_recovery_time(self) -> None:
        circuit = half_open()
        circuit.fails(circuit.probe())
        assert circuit.state() is State.OPEN
        assert circuit.next_probe_in == 30.0

    def test_a_slow_failed_probe_opens_for_four_times_its_duration(self) -> None:
        circuit = half_open()
        probe = circuit.probe()
        circuit.now += 60
        circuit.fails(probe)
        assert circuit.next_probe_in == 240.0

    def test_a_failed_probe_opens_whatever_the_window_holds(self) -> None:
        circuit = half_open()
        circuit.now += 1000
        circuit.set(failure_threshold=100, failure_rate=1.0)
        circuit.fails(circuit.probe())
        assert circuit.state() is State.OPEN

    def test_the_next_opening_lasts_the_plain_time_again(self) -> None:
        circuit = half_open()
        probe = circuit.probe()
        circuit.now += 60
        circuit.fails(probe)
        circuit.now += 240
        circuit.opens(circuit.probe())
        circuit.bad(3)
        assert circuit.next_probe_in == 30.0

    def test_a_failed_probe_is_among_the_failures_shown(self) -> None:
        circuit = half_open()
        circuit.now += 1000
        circuit.fails(circuit.probe())
        assert circuit.failures == 1

    def test_a_probe_without_blame_hands_its_permit_back(self) -> None:
        circuit = half_open()
        circuit.breaker.hand_back(circuit.probe())
        assert circuit.state() is State.HALF_OPEN
        assert circuit.probe()

    def test_handing_back_a_plain_permit_changes_nothing(self) -> None:
        circuit = Circuit()
        circuit.breaker.hand_back(circuit.permit())
        assert circuit.state() is State.CLOSED

    def test_outcomes_from_before_the_opening_decide_nothing(self) -> None:
        circuit = Circuit()
        early = circuit.permit()
        streaming = circuit.permit()
        circuit.opens(streaming)
        circuit.bad(3)
        circuit.now += 30
        circuit.opens(early)
        circuit.ends(streaming)
        circuit.fails(early)
        assert circuit.state() is State.HALF_OPEN
        assert circuit.failures == 3

    def test_outcomes_from_before_the_closing_decide_nothing(self) -> None:
        circuit = Circuit()
        old = [circuit.permit() for _ in range(6)]
        circuit.bad(6)
        circuit.now += 30
        circuit.opens(circuit.probe())
        for permit in old:
            circuit.fails(permit)
        assert circuit.state() is State.CLOSED
        assert circuit.failures == 0

    def test_good_outcomes_from_before_the_closing_do_not_soften_the_rate(self) -> None:
        circuit = Circuit()
        old = [circuit.permit() for _ in range(20)]
        circuit.bad(10)
        circuit.now += 30
        circuit.opens(circuit.probe())
        for permit in old:
            circuit.opens(permit)
            circuit.ends(permit)
        circuit.bad(3)
        assert circuit.state() is State.OPEN

    def test_the_last_failure_is_remembered_whenever_its_attempt_began(self) -> None:
        circuit = Circuit()
        old = circuit.permit()
        circuit.bad(3)
        circuit.now += 7
        circuit.fails(old)
        assert circuit.breaker.last_failure_at == circuit.now


class TestEarlyProbe:
    def test_comes_before_the_circuits_time(self) -> None:
        circuit = opened()
        probe = circuit.breaker.try_acquire_early(circuit.now, circuit.settings)
        assert probe is not None
        assert probe.probe
        assert circuit.state() is State.HALF_OPEN
        assert circuit.refused()

    @pytest.mark.parametrize("state", [Circuit, half_open])
    def test_only_of_an_open_circuit(self, state: Callable[[], Circuit]) -> None:
        circuit = state()
        assert circuit.breaker.try_acquire_early(circuit.now, circuit.settings) is None

    def test_is_allowed_after_a_sixth_of_the_time_the_circuit_stays_open(self) -> None:
        circuit = half_open()
        assert circuit.breaker.early_after(circuit.settings) == 5.0
        probe = circuit.probe()
        circuit.now += 60
        circuit.fails(probe)
        assert circuit.breaker.early_after(circuit.settings) == 40.0


class TestDisabled:
    """Rule 12."""

    def test_failures_never_open(self) -> None:
        circuit = Circuit(enabled=False)
        circuit.bad(30)
        circuit.set(enabled=True)
        assert circuit.state() is State.CLOSED

    def test_it_admits_everything_and_taking_a_permit_closes(self) -> None:
        circuit = opened()
        circuit.set(enabled=False)
        assert circuit.state() is State.CLOSED
        assert circuit.admits
        assert circuit.next_probe_in is None
        assert str(circuit.breaker.phase) == "open"
        assert not circuit.permit().probe
        assert str(circuit.breaker.phase) == "closed"
        circuit.set(enabled=True)
        assert circuit.state() is State.CLOSED

    def test_an_untouched_open_circuit_is_open_again_when_switched_on(self) -> None:
        circuit = opened()
        circuit.set(enabled=False)
        circuit.now += 1
        circuit.set(enabled=True)
        assert circuit.state() is State.OPEN

    def test_a_probe_that_fails_while_switched_off_opens_nothing(self) -> None:
        circuit = half_open()
        probe = circuit.probe()
        circuit.set(enabled=False)
        assert not circuit.breaker.probing(circuit.now, circuit.settings)
        circuit.fails(probe)
        circuit.set(enabled=True)
        assert circuit.state() is State.HALF_OPEN
        assert circuit.probe()

    def test_the_closer_that_fails_while_switched_off_opens_nothing(self) -> None:
        circuit = half_open()
        closer = circuit.probe()
        circuit.opens(closer)
        circuit.set(enabled=False)
        circuit.fails(closer, after_content=True)
        circuit.set(enabled=True)
        assert circuit.state() is State.CLOSED

    def test_no_early_probe_is_given(self) -> None:
        circuit = opened()
        circuit.set(enabled=False)
        assert circuit.breaker.try_acquire_early(circuit.now, circuit.settings) is None


class TestForced:
    """Rule 13."""

    def test_forced_open_it_admits_nothing_ever(self) -> None:
        circuit = Circuit()
        circuit.breaker.force(State.OPEN, circuit.now)
        for seconds in (0, 30, 1e6):
            circuit.now += seconds
            assert (circuit.state(), circuit.admits, circuit.next_probe_in) == (State.OPEN, False, inf)
            assert circuit.refused()
        assert circuit.breaker.early_after(circuit.settings) == inf

    def test_forced_open_it_stays_so_also_when_breakers_are_switched_off(self) -> None:
        circuit = Circuit(enabled=False)
        circuit.breaker.force(State.OPEN, circuit.now)
        assert (circuit.state(), circuit.admits, circuit.refused()) == (State.OPEN, False, True)

    def test_nothing_that_was_in_flight_moves_one_that_is_forced_open(self) -> None:
        circuit = Circuit()
        plain = circuit.permit()
        circuit.breaker.force(State.OPEN, circuit.now)
        circuit.opens(plain)
        circuit.breaker.record_failure(plain, circuit.now, circuit.settings, after_content=True)
        assert circuit.state() is State.OPEN

    def test_a_probe_in_flight_does_not_close_one_that_is_forced_open(self) -> None:
        circuit = Circuit(failure_threshold=1)
        circuit.breaker.record_failure(circuit.permit(), circuit.now, circuit.settings, after_content=False)
        circuit.now += 30
        probe = circuit.probe()
        circuit.breaker.force(State.OPEN, circuit.now)
        circuit.opens(probe)
        assert circuit.state() is State.OPEN

    def test_forced_closed_it_admits_everything_and_never_opens(self) -> None:
        circuit = Circuit(failure_threshold=1, failure_rate=0)
        circuit.breaker.record_failure(circuit.permit(), circuit.now, circuit.settings, after_content=False)
        assert circuit.state() is State.OPEN
        circuit.breaker.force(State.CLOSED, circuit.now)
        for _ in range(5):
            assert (circuit.state(), circuit.admits, circuit.next_probe_in) == (State.CLOSED, True, None)
            circuit.breaker.record_failure(
                circuit.permit(), circuit.now, circuit.settings, after_content=False
            )

    @pytest.mark.parametrize("state", [State.OPEN, State.CLOSED])
    def test_reset_takes_the_force_away_and_remembers_nothing(self, state: State) -> None:
        circuit = Circuit(failure_threshold=2)
        circuit.breaker.record_failure(circuit.permit(), circuit.now, circuit.settings, after_content=False)
        circuit.breaker.force(state, circuit.now)
        circuit.breaker.reset()
        assert (circuit.state(), circuit.failures, circuit.breaker.forced) == (State.CLOSED, 0, None)
        circuit.breaker.record_failure(circuit.permit(), circuit.now, circuit.settings, after_content=False)
        assert circuit.state() is State.CLOSED
        circuit.breaker.record_failure(circuit.permit(), circuit.now, circuit.settings, after_content=False)
        assert circuit.state() is State.OPEN


def test_repr_shows_what_a_debugger_wants() -> None:
    circuit = half_open()
    assert repr(circuit.breaker) == "<Breaker open, 0 probes out, 3 failures>"
    assert repr(circuit.probe()) == "<Permit probe, generation 2>"
    assert repr(circuit.breaker) == "<Breaker half-open, 1 probes out, 3 failures>"
    assert repr(Circuit().permit()) == "<Permit plain, generation 0>"


def test_equal_permits_are_not_the_same_permit() -> None:
    circuit = half_open(half_open_max=2)
    first, _second = circuit.probe(), circuit.probe()
    circuit.breaker.hand_back(first)
    circuit.breaker.hand_back(first)
    assert circuit.probe()
    assert circuit.refused()


# Any history


@dataclass
class Settled:
    """One outcome of the naive model's history; `era` is the number of transitions before it."""

    era: int
    series: str
    at: float
    duration: float
    good: bool


@dataclass(eq=False)
class Try:
    """One permit as the naive model knows it."""

    permit: Permit
    era: int
    granted: float
    probe: bool
    given_back: bool = False
    awaits: str = "openings"
    closed_era: int | None = None


@dataclass
class Naive:
    """A breaker that keeps all history in lists and works everything out again when asked."""

    transitions: list[tuple[State, float, float]] = field(default_factory=list)  # into, at, at least so long
    outcomes: list[Settled] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)

    @property
    def era(self) -> int:
        return len(self.transitions)

    @property
    def phase(self) -> State:
        return self.transitions[-1][0] if self.transitions else State.CLOSED

    def open_until(self, settings: BreakerSettings) -> float:
        _, at, least = next(t for t in reversed(self.transitions) if t[0] is State.OPEN)
        return at + max(settings.recovery_timeout, least)

    def state(self, now: float, settings: BreakerSettings) -> State:
        if not settings.enabled:
            return State.CLOSED
        if self.phase is State.OPEN and now >= self.open_until(settings):
            return State.HALF_OPEN
        return self.phase

    def leases(self, now: float, settings: BreakerSettings) -> list[float]:
        """When the leases of the probes still out end, soonest first."""
        ends = [
            attempt.granted + max(settings.recovery_timeout, 5.0)
            for attempt in self.tries
            if attempt.probe and attempt.era == self.era and not attempt.given_back
        ]
        return sorted(end for end in ends if now < end)

    def admits(self, now: float, settings: BreakerSettings) -> bool:
        state = self.state(now, settings)
        free = len(self.leases(now, settings)) < settings.half_open_max
        return state is State.CLOSED or (state is State.HALF_OPEN and free)

    def next_probe_at(self, now: float, settings: BreakerSettings) -> float | None:
        """Tried out: the first instant of interest at which a probe is admitted."""
        if self.phase is State.CLOSED or not settings.enabled:
            return None
        if self.phase is State.OPEN:
            return self.open_until(settings)
        instants = [now, *self.leases(now, settings)]
        return next(instant for instant in instants if self.admits(instant, settings))

    def inside(self, outcome: Settled, now: float, settings: BreakerSettings) -> bool:
        return now - outcome.at < settings.failure_window + settings.failure_threshold * outcome.duration

    def last_closed(self) -> int:
        """The era that began with the last closing: outcomes from before it are forgotten."""
        eras = [number + 1 for number, (into, _, _) in enumerate(self.transitions) if into is State.CLOSED]
        return max(eras, default=0)

    def series(self, name: str, now: float, settings: BreakerSettings) -> list[Settled]:
        kept = [o for o in self.outcomes if o.series == name and o.era >= self.last_closed()][-20:]
        return [o for o in kept if self.inside(o, now, settings)]

    def failures(self, now: float, settings: BreakerSettings) -> int:
        kept = [o for o in self.outcomes if not o.good and o.era >= self.last_closed()][-20:]
        return sum(self.inside(o, now, settings) for o in kept)

    def opening(self, attempt: Try, now: float, settings: BreakerSettings) -> None:
        attempt.given_back = True
        attempt.awaits = "endings"
        if attempt.era == self.era and attempt.probe:
            self.transitions.append((State.CLOSED, now, 0.0))
            attempt.closed_era = self.era
        elif attempt.era == self.era:
            self.outcomes.append(Settled(self.era, "openings", now, now - attempt.granted, True))

    def ending(self, attempt: Try, now: float) -> None:
        attempt.awaits = ""
        if attempt.era == self.era:
            self.outcomes.append(Settled(self.era, "endings", now, now - attempt.granted, True))

    def failure(self, attempt: Try, now: float, settings: BreakerSettings, after: bool) -> None:
        attempt.given_back = True
        attempt.awaits = ""
        duration = now - attempt.granted
        closer = attempt.closed_era == self.era
        if attempt.era != self.era and not closer:
            return
        series = "probes" if closer or attempt.probe else "endings" if after else "openings"
        self.outcomes.append(Settled(self.era, series, now, duration, False))
        if not settings.enabled:
            return
        if closer or attempt.probe or self.too_many(series, now, settings):
            longest = 4 * duration if attempt.probe and not closer else 0.0
            self.transitions.append((State.OPEN, now, longest))

    def too_many(self, series: str, now: float, settings: BreakerSettings) -> bool:
        if settings.failure_rate == 0:
            return self.failures(now, settings) >= settings.failure_threshold
        bad = [o for name in ("openings", "endings") for o in self.series(name, now, settings) if not o.good]
        judged = self.series(series, now, settings)
        undecided = sum(t.awaits == series and t.era == self.era and not t.probe for t in self.tries)
        among = max(len(judged), min(20, len(judged) + undecided))
        rate = sum(not o.good for o in judged) * 100 >= round(settings.failure_rate * 100) * among
        return len(bad) >= settings.failure_threshold and rate

    def acquired(self, permit: Permit, now: float, settings: BreakerSettings, *, early: bool = False) -> Try:
        if not settings.enabled and self.phase is not State.CLOSED:
            self.transitions.append((State.CLOSED, now, 0.0))
        elif self.phase is State.OPEN:
            assert early or self.state(now, settings) is State.HALF_OPEN
            self.transitions.append((State.HALF_OPEN, now, 0.0))
        attempt = Try(permit, self.era, now, self.phase is State.HALF_OPEN)
        self.tries.append(attempt)
        return attempt


SETTINGS = st.builds(
    BreakerSettings,
    enabled=st.sampled_from([True, True, True, False]),
    failure_threshold=st.sampled_from([1, 2, 3, 5, 20]),
    failure_window=st.sampled_from([0.25, 10.0, 60.0]),
    recovery_timeout=st.sampled_from([0.25, 5.0, 30.0, 100.0]),
    failure_rate=st.sampled_from([0.0, 0.05, 0.5, 0.55, 1.0]),
    half_open_max=st.integers(1, 3),
)
# Quarters of a second, so that both sides add and subtract without rounding.
SECONDS = st.sampled_from([0.0, 0.25, 1.0, 4.75, 5.0, 10.0, 30.0, 61.0, 250.0])
PICK = st.integers(0, 10**6)


class BreakerMachine(RuleBasedStateMachine):
    """Any attempts, however they end, under any settings, changed at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.naive = Naive()
        self.settings = BreakerSettings()
        self.now = 1000.0
        self.waiting: list[Try] = []
        self.streaming: list[Try] = []

    @initialize(settings=SETTINGS)
    def begin(self, settings: BreakerSettings) -> None:
        self.settings = settings

    @rule(settings=SETTINGS)
    def change_settings(self, settings: BreakerSettings) -> None:
        self.settings = settings

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def advance_to_the_next_probe(self) -> None:
        self.now = max(self.now, self.breaker.next_probe_at(self.now, self.settings) or 0.0)

    @rule(times=st.integers(1, 4))
    def acquire(self, times: int) -> None:
        for _ in range(times):
            admitted = self.naive.admits(self.now, self.settings)
            permit = self.breaker.try_acquire(self.now, self.settings)
            assert (permit is not None) == admitted
            self.take(permit)

    @rule()
    def acquire_early(self) -> None:
        is_open = self.naive.state(self.now, self.settings) is State.OPEN
        permit = self.breaker.try_acquire_early(self.now, self.settings)
        assert (permit is not None) == is_open
        self.take(permit, early=True)

    def take(self, permit: Permit | None, *, early: bool = False) -> None:
        if permit is not None:
            attempt = self.naive.acquired(permit, self.now, self.settings, early=early)
            assert permit.probe == attempt.probe
            self.waiting.append(attempt)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK, times=st.integers(1, 4))
    def first_content(self, pick: int, times: int) -> None:
        for attempt in self.some(self.waiting, pick, times):
            self.breaker.record_opening(attempt.permit, self.now, self.settings)
            self.naive.opening(attempt, self.now, self.settings)
            self.streaming.append(attempt)

    @precondition(lambda self: self.streaming)
    @rule(pick=PICK, times=st.integers(1, 4))
    def terminal_marker(self, pick: int, times: int) -> None:
        for attempt in self.some(self.streaming, pick, times):
            self.breaker.record_ending(attempt.permit, self.now, self.settings)
            self.naive.ending(attempt, self.now)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK, times=st.integers(1, 4))
    def failure_before_content(self, pick: int, times: int) -> None:
        for attempt in self.some(self.waiting, pick, times):
            self.fail(attempt, after=False)

    @precondition(lambda self: self.streaming)
    @rule(pick=PICK, times=st.integers(1, 4))
    def failure_after_content(self, pick: int, times: int) -> None:
        for attempt in self.some(self.streaming, pick, times):
            self.fail(attempt, after=True)

    def fail(self, attempt: Try, *, after: bool) -> None:
        self.breaker.record_failure(attempt.permit, self.now, self.settings, after_content=after)
        self.naive.failure(attempt, self.now, self.settings, after)

    @precondition(lambda self: self.waiting or self.streaming)
    @rule(pick=PICK)
    def end_without_blame(self, pick: int) -> None:
        for attempt in self.some(self.waiting or self.streaming, pick, 1):
            self.breaker.hand_back(attempt.permit)
            attempt.given_back = True
            attempt.awaits = ""

    def some(self, attempts: list[Try], pick: int, times: int) -> list[Try]:
        return [attempts.pop(pick % len(attempts)) for _ in range(min(times, len(attempts)))]

    @rule(seconds=st.sampled_from([0.0, 0.25, 1000.0]), settings=SETTINGS)
    def it_lives(self, seconds: float, settings: BreakerSettings) -> None:
        """Rule 10, from here, with everything in flight over, by whatever end."""
        breaker = deepcopy(self.breaker)
        for number, attempt in enumerate(self.waiting + self.streaming):
            if number % 3 == 0:
                breaker.hand_back(attempt.permit)
            elif number % 3 == 1:
                breaker.record_failure(attempt.permit, self.now, settings, after_content=False)
        shown = breaker.next_probe_at(self.now, settings)
        later = max(self.now, shown if shown is not None else 0.0) + seconds
        assert breaker.admits(later, settings)
        assert breaker.try_acquire(later, settings) is not None

    @invariant()
    def both_say_the_same(self) -> None:
        now, settings = self.now, self.settings
        assert self.breaker.state(now, settings) is self.naive.state(now, settings)
        assert self.breaker.admits(now, settings) == self.naive.admits(now, settings)
        assert self.breaker.failures(now, settings) == self.naive.failures(now, settings)
        shown, naive = self.breaker.next_probe_at(now, settings), self.naive.next_probe_at(now, settings)
        assert shown == naive
        probing = bool(self.naive.leases(now, settings)) and settings.enabled
        assert self.breaker.probing(now, settings) == (probing and self.naive.phase is State.HALF_OPEN)

    @invariant()
    def asking_changes_nothing(self) -> None:
        """Rule 11."""
        before = inside(self.breaker)
        for instant in (self.now, self.now + 1000.0):
            self.breaker.state(instant, self.settings)
            self.breaker.admits(instant, self.settings)
            self.breaker.next_probe_at(instant, self.settings)
            self.breaker.failures(instant, self.settings)
            self.breaker.probing(instant, self.settings)
        assert inside(self.breaker) == before


def inside(breaker: Breaker) -> list[Any]:
    """Everything the breaker holds."""
    held = [getattr(breaker, name) for name in Breaker.__slots__]
    return [
        list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value for value in held
    ]


TestAnyHistory = BreakerMachine.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=50)


@given(st.lists(st.tuples(SECONDS, st.booleans()), max_size=40), SETTINGS)
def test_the_shown_instant_is_kept_whatever_happened(
    outcomes: list[tuple[float, bool]], chosen: BreakerSettings
) -> None:
    """Rule 10 for a sequential caller: nothing is admitted before the instant shown, something at it."""
    circuit = Circuit()
    circuit.settings = chosen
    for seconds, good in outcomes:
        if not circuit.admits:
            shown = circuit.next_probe_in
            assert shown is not None
            assert not circuit.breaker.admits(circuit.now + shown - 0.125, chosen)
            circuit.now += shown
        permit = circuit.permit()
        circuit.now += seconds
        settle: Callable[[Permit], None] = circuit.opens if good else circuit.fails
        settle(permit)


def answering_some(**given: Any) -> Circuit:
    """Open, though of five attempts one was answered in between."""
    circuit = Circuit(**given)
    circuit.bad()
    circuit.good()
    circuit.bad(2)
    assert circuit.state() is State.OPEN
    return circuit


def breaking_some(**given: Any) -> Circuit:
    """Open; of four answers that began one was whole, after one that was not."""
    circuit = Circuit(**given)
    circuit.cut()
    circuit.good()
    circuit.cut(2)
    assert circuit.state() is State.OPEN
    return circuit


class TestAnswersSome:
    """Rule 13."""

    def answers(self, circuit: Circuit) -> bool:
        return circuit.breaker.answers_some(circuit.now, circuit.settings)

    def test_who_answers_between_failures_does(self) -> None:
        assert self.answers(answering_some())

    def test_a_new_circuit_an_outage_and_one_after_health_do_not(self) -> None:
        assert not self.answers(Circuit())
        assert not self.answers(opened())
        after_health = Circuit()
        after_health.good(20)
        after_health.bad(10)
        assert after_health.state() is State.OPEN
        assert not self.answers(after_health)

    def test_ten_failures_in_a_row_are_an_outage(self) -> None:
        circuit = answering_some()
        for _ in range(FAILED_IN_A_ROW - 3):
            circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
        assert self.answers(circuit), "nine"
        circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
        assert not self.answers(circuit)

    def test_an_answer_ends_the_row(self) -> None:
        circuit = answering_some()
        for _ in range(3):
            for _ in range(FAILED_IN_A_ROW - 1):
                circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
            circuit.opens(circuit.breaker.acquire_anyway(circuit.now))
        assert self.answers(circuit)

    def test_it_is_known_for_as_long_as_failures_count(self) -> None:
        circuit = answering_some(recovery_timeout=100.0)
        circuit.now += 59.9
        assert self.answers(circuit)
        circuit.now += 0.1
        assert not self.answers(circuit)

    def test_an_answer_long_after_a_failure_says_nothing(self) -> None:
        circuit = Circuit()
        circuit.bad()
        circuit.now += 60
        circuit.good()
        circuit.bad(3)
        assert circuit.state() is State.OPEN
        assert not self.answers(circuit)

    def test_a_good_probe_says_nothing_but_ends_the_row(self) -> None:
        circuit = half_open()
        circuit.opens(circuit.probe())
        circuit.bad(3)
        assert not self.answers(circuit)
        circuit = answering_some(failure_window=500.0)
        for _ in range(5):
            circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
        circuit.now += circuit.settings.recovery_timeout
        circuit.opens(circuit.probe())
        circuit.bad(3)
        assert self.answers(circuit)

    def test_who_ends_an_answer_between_breaks_does(self) -> None:
        assert self.answers(breaking_some())

    def test_openings_before_breaks_do_not(self) -> None:
        circuit = Circuit()
        circuit.cut(3)
        assert circuit.state() is State.OPEN
        assert not self.answers(circuit)

    def test_ten_breaks_in_a_row_are_an_outage_however_many_openings_went_well_between_failures(self) -> None:
        circuit = answering_some()
        for _ in range(FAILED_IN_A_ROW - 1):
            circuit.breaks_anyway()
        assert self.answers(circuit), "nine"
        circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
        circuit.breaks_anyway()
        assert not self.answers(circuit)

    def test_breaks_and_failures_to_begin_are_not_one_row(self) -> None:
        circuit = answering_some()
        for _ in range(FAILED_IN_A_ROW - 3):
            circuit.fails(circuit.breaker.acquire_anyway(circuit.now))
            circuit.fails(circuit.breaker.acquire_anyway(circuit.now), after_content=True)
        assert self.answers(circuit)

    def test_a_whole_answer_ends_the_row_of_breaks(self) -> None:
        circuit = breaking_some()
        for _ in range(3):
            for _ in range(FAILED_IN_A_ROW - 1):
                circuit.breaks_anyway()
            circuit.ends(circuit.breaker.acquire_anyway(circuit.now))
        assert self.answers(circuit)

    def test_what_began_before_the_first_break_of_the_row_ends_it_not(self) -> None:
        circuit = answering_some()
        early = [circuit.breaker.acquire_anyway(circuit.now) for _ in range(2)]
        circuit.now += 1.0
        broken = [circuit.breaker.acquire_anyway(circuit.now) for _ in range(FAILED_IN_A_ROW)]
        circuit.now += 1.0
        late = circuit.breaker.acquire_anyway(circuit.now)
        for permit in (*broken[1:], broken[0]):
            circuit.fails(permit, after_content=True)
        circuit.ends(early[0])
        assert not self.answers(circuit)
        circuit.ends(late)
        assert self.answers(circuit)

    def test_the_first_break_of_a_row_is_the_one_that_began_first(self) -> None:
        circuit = answering_some()
        first = circuit.breaker.acquire_anyway(circuit.now)
        circuit.now += 1.0
        whole = circuit.breaker.acquire_anyway(circuit.now)
        circuit.now += 1.0
        for permit in (first, *(circuit.breaker.acquire_anyway(circuit.now) for _ in range(FAILED_IN_A_ROW))):
            circuit.fails(permit, after_content=True)
        assert not self.answers(circuit)
        circuit.ends(whole)
        assert self.answers(circuit)

    def test_a_new_row_of_breaks_knows_nothing_of_the_last_one(self) -> None:
        circuit = breaking_some()
        circuit.ends(circuit.breaker.acquire_anyway(circuit.now))
        early = circuit.breaker.acquire_anyway(circuit.now)
        circuit.now += 1.0
        for _ in range(FAILED_IN_A_ROW):
            circuit.breaks_anyway()
        circuit.ends(early)
        assert not self.answers(circuit)

    def test_a_probe_that_ends_well_says_nothing_but_ends_the_row_of_breaks(self) -> None:
        circuit = Circuit()
        circuit.cut(3)
        circuit.now += circuit.settings.recovery_timeout
        probe = circuit.probe()
        circuit.opens(probe)
        circuit.ends(probe)
        circuit.cut(3)
        assert circuit.state() is State.OPEN
        assert not self.answers(circuit)
        circuit = breaking_some(failure_window=500.0)
        for _ in range(5):
            circuit.breaks_anyway()
        circuit.now += circuit.settings.recovery_timeout
        probe = circuit.probe()
        circuit.opens(probe)
        circuit.ends(probe)
        for _ in range(FAILED_IN_A_ROW - 1):
            circuit.breaks_anyway()
        assert self.answers(circuit)

    def test_one_that_an_operator_keeps_open_does_not(self) -> None:
        circuit = answering_some()
        circuit.breaker.force(State.OPEN, circuit.now)
        assert not self.answers(circuit)

    @pytest.mark.parametrize("good", [True, False])
    def test_what_is_asked_anyway_decides_nothing(self, good: bool) -> None:
        circuit = answering_some()
        shown = circuit.next_probe_in
        circuit.now += 1
        permit = circuit.breaker.acquire_anyway(circuit.now)
        if good:
            circuit.opens(permit)
            circuit.ends(permit)
        else:
            circuit.fails(permit)
        assert circuit.state() is State.OPEN
        assert circuit.next_probe_in == shown - 1 if shown else None
        circuit.now += 29
        assert circuit.probe()
