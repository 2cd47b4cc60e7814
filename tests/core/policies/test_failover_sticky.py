"""Failover that stays with who answered, and goes back in its own time."""

from __future__ import annotations

from tests.core.stage import Asking, Stage, takes
from understudy.core.policies import FailoverSticky

BACK = 300.0


def stage(names: str = "abc", **more: object) -> Stage:
    return Stage(names, "failover_sticky", count=1, **more)  # type: ignore[arg-type]


def plays(house: Stage, *walk: str, kind: str = "server_error") -> None:
    """Each but the last fails; the last one answers."""
    request = house.begin()
    for name in walk[:-1]:
        request.asks(name)
        request.fails(kind)
    request.asks(walk[-1])
    request.answers()


def test_the_profiles_order_is_the_order_until_a_failover() -> None:
    house = stage()
    plays(house, "a")
    plays(house, "a")
    assert repr(house.pool.policy) == "<FailoverSticky, nowhere>"


def test_after_a_failover_the_pool_stays_with_who_answered() -> None:
    house = stage()
    plays(house, "a", "b")
    assert repr(house.pool.policy) == "<FailoverSticky, at 1>"
    house.advance(BACK - 1)
    plays(house, "b")


def test_it_goes_back_when_nothing_has_spoken_against_the_better_one_for_so_long() -> None:
    house = stage()
    plays(house, "a", "b")
    house.advance(BACK)
    plays(house, "a")
    house.advance(1)
    plays(house, "a")


def test_how_long_is_a_setting() -> None:
    house = stage(routing={"failback_after": 5.0})
    plays(house, "a", "b")
    house.advance(4.9)
    plays(house, "b")
    house.advance(0.1)
    plays(house, "a")


def test_a_failed_return_begins_the_time_anew_and_the_pool_stays() -> None:
    house = stage()
    plays(house, "a", "b")
    house.advance(BACK)
    plays(house, "a", "b")
    house.advance(BACK - 1)
    plays(house, "b")
    house.advance(1)
    plays(house, "a")


def test_an_open_circuit_speaks_against_it_until_it_would_be_probed() -> None:
    house = stage()
    plays(house, "a", "b")
    house.open("a")
    house.advance(30 + BACK - 1)
    plays(house, "b")
    house.advance(1)
    plays(house, "a")


def test_of_several_better_ones_the_best_that_is_due_is_first() -> None:
    house = stage()
    plays(house, "a", "b", "c")
    house.advance(BACK - 10)
    house.member("a").bench(house.now, 5.0, 900.0)
    house.advance(10)
    plays(house, "b")
    assert repr(house.pool.policy) == "<FailoverSticky, at 1>"
    house.advance(BACK)
    plays(house, "a")


def test_a_failing_stand_in_moves_the_pool_on() -> None:
    house = stage()
    plays(house, "a", "b")
    house.advance(1)
    plays(house, "b", "a")  # the order behind the one it stays with is the profile's
    house.advance(1)
    plays(house, "a")


def test_what_a_member_cannot_take_moves_nothing() -> None:
    house = stage("ab", members={"a": {"supports": takes()}})
    request = house.begin(needs=Asking(takes("images")))
    request.asks("b")
    request.answers()
    plays(house, "a")


def test_nor_does_the_failure_of_who_stood_in_for_that() -> None:
    house = stage("abc", members={"a": {"supports": takes()}})
    request = house.begin(needs=Asking(takes("images")))
    request.asks("b")
    request.fails("server_error")
    request.asks("c")
    request.answers()
    plays(house, "a")
    assert repr(house.pool.policy) == "<FailoverSticky, nowhere>"


def test_an_unfit_request_does_not_bring_the_pool_back_early() -> None:
    house = stage("ab", members={"b": {"supports": takes()}})
    plays(house, "a", "b")
    request = house.begin(needs=Asking(takes("images")))
    request.asks("a")
    request.answers()
    plays(house, "b")


def test_the_callers_own_fault_moves_nothing() -> None:
    house = stage("ab")
    plays(house, "a", "b", kind="context_length")
    plays(house, "a")


def test_a_pool_that_has_become_smaller_begins_with_its_first() -> None:
    house = stage()
    plays(house, "a", "b", "c")
    house.pool.members = house.pool.members[:2]
    house.advance(1)
    plays(house, "a")


def test_a_drained_member_is_not_gone_back_to() -> None:
    house = stage("ab")
    plays(house, "a", "b")
    house.member("a").health.drained = True
    house.advance(2 * BACK)
    plays(house, "b")


def test_a_circuit_left_half_open_does_not_hold_it_back_for_ever() -> None:
    house = stage("ab")
    plays(house, "a", "b")
    house.open("a")
    house.advance(30 + BACK)
    probe = house.begin()
    probe.asks("a")
    probe.is_abandoned()
    probe.leaves()
    plays(house, "a")


def test_while_a_probe_is_out_the_others_stay_where_they_are() -> None:
    house = stage("ab")
    plays(house, "a", "b")
    house.open("a")
    house.advance(30 + BACK)
    house.begin().asks("a")
    plays(house, "b")


def test_a_short_retry_after_of_the_first_is_waited_for() -> None:
    assert (FailoverSticky.name, FailoverSticky.waits_for_first) == ("failover_sticky", True)
