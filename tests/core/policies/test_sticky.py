"""Sticky: requests of one session meet the same member."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.core.policies.builders import demand, members, order
from tests.core.stage import Asking, Stage, member
from understudy.core.policies import Sticky

KEYS = [Random(3).getrandbits(64) + number * 7919 & (1 << 64) - 1 for number in range(2000)]


def firsts(names: str = "abc", **settings: tuple[int, ...]) -> dict[int, str]:
    cast = members(names, **settings)
    return {key: order(Sticky(), cast, demand(Asking(affinity=key)))[0] for key in KEYS}


def test_the_same_session_meets_the_same_member() -> None:
    asked = demand(Asking(affinity=42))
    assert len({order(Sticky(), members(), asked, now) for now in (0.0, 10.0, 1e6)}) == 1


def test_sessions_spread_evenly() -> None:
    counts = Counter(firsts().values())
    assert all(580 < counts[name] < 760 for name in "abc"), counts


def test_they_spread_by_weight() -> None:
    counts = Counter(firsts(weight=(2, 1, 0)).values())
    assert 1230 < counts["a"] < 1430
    assert counts["c"] == 0


def test_positions_say_nothing() -> None:
    turned = [member(name, index) for index, name in enumerate("cab")]
    for key in KEYS[:50]:
        asked = demand(Asking(affinity=key))
        assert order(Sticky(), turned, asked) == order(Sticky(), members(), asked)


def test_a_new_member_takes_its_share_and_moves_nobody_else() -> None:
    before, after = firsts("abc"), firsts("abcd")
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} == {"d"}
    assert 400 < len(moved) < 600


def test_without_its_member_a_session_goes_to_the_second_and_comes_back() -> None:
    stage = Stage("abc", "sticky")
    homes = {}
    for key in KEYS[:60]:
        ranked = order(Sticky(), stage.pool.members, demand(Asking(affinity=key)))
        walk = stage.begin(needs=Asking(affinity=key))
        homes[key] = ranked
        walk.asks(ranked[0])
        walk.answers()
    stage.open("a")
    for key, ranked in homes.items():
        walk = stage.begin(needs=Asking(affinity=key))
        walk.asks(ranked.replace("a", "")[0])
        walk.answers()
    assert {ranked.replace("a", "")[0] for ranked in homes.values() if ranked[0] == "a"} == {"b", "c"}
    stage.member("a").breaker.reset()
    for key, ranked in homes.items():
        walk = stage.begin(needs=Asking(affinity=key))
        walk.asks(ranked[0])
        walk.answers()


def test_a_failure_that_is_not_the_backends_moves_nobody() -> None:
    stage = Stage("ab", "sticky")
    home = order(Sticky(), stage.pool.members, demand(Asking(affinity=5)))[0]
    walk = stage.begin(needs=Asking(affinity=5))
    walk.asks(home)
    walk.fails("content_filter")
    walk.leaves()
    stage.begin(needs=Asking(affinity=5)).asks(home)


def test_a_short_retry_after_of_the_first_is_waited_for() -> None:
    assert (Sticky.name, Sticky.waits_for_first) == ("sticky", True)
