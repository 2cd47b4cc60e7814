"""How load moves between members when one of them changes: F31, F55 to F58 and F60, in virtual time."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.core.evening import Law, Turn, at_most, evening, is_closed, refusing, steady, until
from tests.core.stage import Asking, Stage
from understudy.core.latency import bucket_of
from understudy.core.patience import Patience
from understudy.core.settings import Ceilings, Timeouts
from understudy.errors import SkipEntry

SPREADING = ["roundrobin", "weighted", "least_busy", "fastest"]
ALL = [*SPREADING, "failover", "sticky", "cheapest", "failover_sticky"]
BEGAN = 1000.0


def slowing(first: float, factor: float) -> Law:
    """Each request takes that much longer than the one before."""
    taken = iter(first * factor**number for number in range(1000))
    return lambda now, in_flight: Turn(next(taken), 0.1)


def noisy(share: float, law: Law, seed: int = 5) -> Law:
    rng = Random(seed)
    return lambda now, in_flight: (refusing() if rng.random() < share else law)(now, in_flight)


# F57


def test_f57_the_ranking_shifts_long_before_a_gradual_slow_down_ends_in_timeouts() -> None:
    show = evening("ab", "fastest", {"a": slowing(0.4, 1.1), "b": steady(1.0, 0.1)})
    show.arrivals(0.25, 400)
    show.run()
    assert not show.kinds, "nobody ever ran into a limit"
    order = [name for _, name in show.asked]
    shift = max(index for index in range(5, 100) if order[index - 5 : index].count("a") >= 4)
    assert shift < 25
    later = order[shift:]
    assert later.count("a") <= len(later) * 0.2, "only tried again from time to time"
    assert ("a", "a") not in set(pairwise(later)), "no flapping: one look is enough"
    assert later[-50:].count("a") <= 6, "and the slower it is, the less often"


# F58


def recovering(slow_start: float, policy: str = "failover") -> tuple[list[tuple[float, str]], dict[str, int]]:
    """Down for 20 s, then good for two at once; ten requests a second, a second each."""
    show = evening(
        "ab",
        policy,
        {
            "a": until(BEGAN + 20, refusing(), at_most(2, steady(0.5, 0.5))),
            "b": steady(0.5, 0.5),
        },
        routing={"slow_start": slow_start, "failback_after": 10.0},
        delay=0.05,
    )
    show.arrivals(10, 300)
    show.run()
    back = [(at, name) for at, name in show.opened if at > BEGAN + 21]
    return back, show.answered_by(BEGAN + 60)


@pytest.mark.parametrize("policy", ALL)
def test_f58_a_backend_that_comes_back_weak_does_not_collapse_again(policy: str) -> None:
    opened, answered = recovering(30.0, policy)
    assert opened == []
    assert answered["a"] >= 60, "and it has as much as it can carry"
    assert "failed" not in answered


def test_f58_without_a_slow_start_it_does() -> None:
    opened, _ = recovering(0.0)
    assert opened


def test_f58_a_pool_of_one_eases_in_too_and_nobody_is_turned_away_for_it() -> None:
    show = evening(
        "a",
        "failover",
        {"a": until(BEGAN + 5, refusing(), at_most(4, steady(0.2, 0.1)))},
        breaker={"recovery_timeout": 6.0},
        wait_for_capacity=60.0,
    )
    show.arrivals(2, 5)
    show.run()
    show.stage.now = BEGAN + 12
    show.arrivals(8, 40)
    before = len(show.ends)
    show.run()
    assert {end for _, end in show.ends[before:]} == {"a"}
    assert is_closed(show, "a")


def test_when_the_wait_is_over_a_slow_start_turns_nobody_away() -> None:
    house = Stage("a", count=1, wait_for_capacity=2.0)
    house.open("a")
    house.advance(30)
    probe, second, third = (house.begin() for _ in range(3))
    probe.asks("a")
    probe.commits()
    second.asks("a")
    for _ in range(2):
        third.rests(1.0)
    third.asks("a")
    assert [str(e.reason) for e in third.dispatch.trail if isinstance(e, SkipEntry)] == ["slow_start"]


def test_a_slow_start_lets_nobody_back_in_before_its_back_off_is_over() -> None:
    house = Stage("a", wait_for_capacity=0.0, delay=5.0)
    house.open("a")
    house.advance(30)
    probe, failing = house.begin(), house.begin()
    probe.asks("a")
    probe.commits()
    failing.asks("a")
    failing.fails("server_error")
    failing.gives_up()


# F60


@pytest.mark.parametrize("kind", ["rate_limited", "server_error"])
def test_f60_quick_refusals_do_not_attract_traffic(kind: str) -> None:
    show = evening(
        "ab",
        "fastest",
        {"a": refusing(kind, 0.002), "b": steady(4.0, 1.0)},
        breaker={"enabled": False},
        count=1,
    )
    show.arrivals(1, 300)
    show.run()
    assert show.answered_by() == {"b": 300}
    assert show.attempts_on("a", BEGAN + 30) <= 270 * 0.1


def test_f60_of_three_the_refusing_one_is_hardly_asked() -> None:
    show = evening(
        "abc",
        "fastest",
        {"a": refusing("rate_limited", 0.002), "b": steady(2.0), "c": steady(3.0)},
        breaker={"enabled": False},
        count=1,
    )
    show.arrivals(4, 100)
    show.run()
    assert "failed" not in show.answered_by()
    assert show.attempts_on("a", BEGAN + 20) <= 320 * 0.1


def test_f60_once_it_has_recovered_it_is_found_out() -> None:
    show = evening(
        "ab",
        "fastest",
        {"a": until(BEGAN + 60, refusing("rate_limited", 0.002), steady(0.3)), "b": steady(2.0)},
        breaker={"enabled": False},
        count=1,
    )
    show.arrivals(1, 400)
    show.run()
    assert show.attempts_on("a", BEGAN + 200) >= 180


# F55


@pytest.mark.parametrize("policy", ALL)
def test_f55_a_flap_is_served_by_the_others_and_the_member_is_back_soon_after(policy: str) -> None:
    show = evening("ab", policy, {"a": until(BEGAN + 60, refusing(), steady(0.3)), "b": steady(0.3)}, count=1)
    show.arrivals(0.25, 400, needs=lambda: Asking(affinity=Random(len(show.asked)).getrandbits(64)))
    show.run()
    assert "failed" not in show.answered_by()
    assert show.attempts_on("a", BEGAN, BEGAN + 60) <= 6
    assert is_closed(show, "a")
    if policy != "failover_sticky":
        assert show.attempts_on("a", BEGAN + 96, BEGAN + 400) >= 20


def test_f55_under_failover_sticky_it_is_back_after_its_time() -> None:
    laws = {"a": until(BEGAN + 60, refusing(), steady(0.3)), "b": steady(0.3)}
    show = evening("ab", "failover_sticky", laws, count=1, routing={"failback_after": 100.0})
    show.arrivals(0.25, 400)
    show.run()
    assert show.attempts_on("a", BEGAN + 60, BEGAN + 100) == 0
    assert show.attempts_on("a", BEGAN + 200, BEGAN + 400) >= 45


# F56


@pytest.mark.parametrize("policy", ALL)
def test_f56_five_percent_of_failures_open_nothing_and_seventy_do_within_two_seconds(policy: str) -> None:
    show = evening("ab", policy, {"a": noisy(0.05, steady(0.3)), "b": steady(0.3)})
    show.arrivals(20, 60)
    show.run()
    assert (show.opened, "failed" in show.answered_by()) == ([], False)
    if policy == "sticky":
        return  # without a session all requests are one, and may be the other's
    show = evening("ab", policy, {"a": noisy(0.7, steady(0.3)), "b": steady(0.3)})
    show.arrivals(20, 30)
    show.run()
    assert "failed" not in show.answered_by()
    if policy != "fastest":  # it turns away before it comes to that
        assert show.opened[0][0] < BEGAN + 4
    else:
        assert show.attempts_on("a", BEGAN + 2) < 560 * 0.3


@pytest.mark.parametrize("policy", ALL)
def test_f56_at_thirty_percent_every_request_is_answered(policy: str) -> None:
    show = evening("ab", policy, {"a": noisy(0.3, steady(0.3)), "b": steady(0.3)})
    show.arrivals(20, 60)
    show.run()
    assert "failed" not in show.answered_by()


# F31


def test_f31_a_used_up_limit_orders_last_until_its_reset() -> None:
    house = Stage("ab")
    house.member("a").exhaust(house.now, 20.0)
    walk = house.begin()
    walk.asks("b")
    assert walk.dispatch.trail[0] == SkipEntry("a", walk.dispatch.trail[0].reason, 20.0)  # type: ignore[union-attr]
    assert str(walk.dispatch.trail[0].reason) == "provider_limit"
    house.advance(20)
    house.begin().asks("a")


def test_f31_it_never_empties_the_pool() -> None:
    house = Stage("ab", members={"b": {"tpm_threshold": 100}})
    house.member("a").exhaust(house.now, 20.0)
    house.slow("b", 50)
    house.begin().asks("b")
    house.member("b").exhaust(house.now, 10.0)
    house.begin().asks("b")
    house.member("b").bench(house.now, 60.0, 900.0)
    walk = house.begin()
    walk.asks("a")
    assert [str(step.reason) for step in walk.dispatch.trail if isinstance(step, SkipEntry)] == ["benched"]


def test_f31_no_limit_is_believed_to_be_used_up_for_more_than_an_hour() -> None:
    house = Stage("ab")
    house.member("a").exhaust(house.now, 1e9)
    house.advance(3600)
    house.begin().asks("a")


# Queues and ceilings


def test_a_burst_is_served_in_the_order_of_coming_and_never_above_the_ceiling() -> None:
    most = 0

    def law(now: float, in_flight: int) -> Turn:
        nonlocal most
        most = max(most, in_flight)
        return Turn(0.5, 0.5)

    show = evening(
        "a",
        "failover",
        {"a": law},
        members={"a": {"ceilings": Ceilings(concurrency=3)}},
        wait_for_capacity=60.0,
    )
    show.arrivals(100, 0.6)
    show.run()
    assert most == 3
    assert show.answered_by() == {"a": 60}
    assert show.ends[-1][0] - BEGAN < 21.0, "no slot stood empty"


def test_a_ceiling_of_requests_is_kept_through_a_burst() -> None:
    show = evening(
        "a",
        "failover",
        {"a": steady(0.1)},
        members={"a": {"ceilings": Ceilings(requests=10)}},
        wait_for_capacity=200.0,
    )
    show.arrivals(5, 6)
    show.run()
    assert show.answered_by() == {"a": 30}
    starts = [at for at, _ in show.asked]
    assert all(sum(at - 60 < other <= at for other in starts) <= 10 for at in starts)


# Adaptive clocks


def adaptive(names: str) -> dict[str, dict[str, object]]:
    return {name: {"adaptive": True, "timeouts": Timeouts(first_content=60.0)} for name in names}


def test_a_hanging_member_is_left_in_seconds_once_its_pace_is_known() -> None:
    hang: Law = lambda now, in_flight: Turn(600.0)  # noqa: E731
    show = evening(
        "ab",
        "failover",
        {"a": until(BEGAN + 100, steady(0.5), hang), "b": steady(0.5)},
        members=adaptive("ab"),
        count=1,
    )
    show.arrivals(1, 110)
    show.run()
    assert "failed" not in show.answered_by()
    late = [
        end - begin
        for begin, (end, _) in zip([BEGAN + n for n in range(100, 110)], show.ends[100:], strict=True)
    ]
    assert max(late) < 10.0, "and not a minute"


def test_when_everything_is_slow_at_once_nobody_is_cut_off_for_it_for_long() -> None:
    show = evening(
        "abc",
        "roundrobin",
        {name: until(BEGAN + 200, steady(0.5), steady(8.0)) for name in "abc"},
        members=adaptive("abc"),
        count=1,
    )
    show.arrivals(1, 400)
    show.run()
    assert "failed" not in show.answered_by(), "the last one left is waited for"
    assert show.kinds["timeout"] <= 12
    assert len(show.opened) <= 3


def test_the_last_one_that_could_answer_is_waited_for_as_long_as_its_setting_says() -> None:
    house = Stage("ab", members=adaptive("ab"), count=1)
    for name in "ab":
        for _ in range(30):
            house.member(name).health.patience.of(house.now, 1000).began(house.now, bucket_of(0.5))
    walk = house.begin()
    attempt = walk.asks("a")
    assert attempt.limit == pytest.approx(1.5, rel=0.1)
    assert attempt.patience == pytest.approx(attempt.limit)
    walk.fails("timeout", after=attempt.limit)
    last = walk.asks("b")
    assert (last.limit, last.patience) == (60.0, None)
    entry = walk.dispatch.trail[0]
    assert entry.to_dict()["patience_ms"] == pytest.approx(1500, rel=0.1)
    assert "patience_ms" not in walk.dispatch.trail[1].to_dict()


def test_a_request_is_cut_off_by_its_members_habits_only_once() -> None:
    """A question that takes long takes long everywhere."""
    house = Stage("abc", members=adaptive("abc"), count=1)
    for name in "abc":
        for _ in range(30):
            house.member(name).health.patience.of(house.now, 1000).began(house.now, bucket_of(0.5))
    walk = house.begin()
    walk.fails("timeout", after=walk.asks("a").limit)
    second = walk.asks("b")
    assert (second.limit, second.patience) == (60.0, None)
    walk = house.begin()
    walk.asks("a")
    walk.fails("auth")
    assert walk.asks("b").patience is not None, "another failure is no such cut"
    house.member("a").health.patience = Patience()
    walk = house.begin()
    walk.fails("timeout", after=walk.asks("a").limit)
    assert walk.asks("b").patience is not None, "nor is a timeout by the setting"


def test_a_setting_that_is_shorter_stays_the_limit() -> None:
    house = Stage("ab", members={"a": {"adaptive": True, "timeouts": Timeouts(first_content=1.0)}})
    for _ in range(30):
        house.member("a").health.patience.of(house.now, 1000).began(house.now, bucket_of(0.5))
    attempt = house.begin().asks("a")
    assert (attempt.limit, attempt.patience) == (1.0, None)


def test_a_unary_answer_has_its_own_clock() -> None:
    house = Stage("ab", members=adaptive("ab"))
    for _ in range(30):
        house.member("a").health.patience.of(house.now, 1000).began(house.now, bucket_of(0.5))
    assert house.begin(stream=False).asks("a").limit == 240.0
