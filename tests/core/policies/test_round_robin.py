"""Round robin: each request begins with the member after the one that was asked last."""

from __future__ import annotations

from tests.core.stage import Stage, member
from understudy.core.demand import UNKNOWN
from understudy.core.member import Member
from understudy.core.policies import RoundRobin


def names(members: list[Member]) -> str:
    return "".join(candidate.name for candidate in members)


def test_the_turn_goes_round() -> None:
    members = [member(name, index) for index, name in enumerate("abc")]
    policy = RoundRobin()
    begun = []
    for _ in range(4):
        ranked = list(policy.rank(members, 0.0, UNKNOWN))
        begun.append(names(ranked))
        policy.picked(ranked[0], members, 0.0, UNKNOWN)
    assert begun == ["abc", "bca", "cab", "abc"]


def test_ranking_changes_nothing() -> None:
    members = [member(name, index) for index, name in enumerate("ab")]
    policy = RoundRobin()
    policy.picked(members[0], members, 0.0, UNKNOWN)
    before = repr(policy)
    assert (
        names(list(policy.rank(members, 0.0, UNKNOWN)))
        == names(list(policy.rank(members, 1.0, UNKNOWN)))
        == "ba"
    )
    assert repr(policy) == before == "<RoundRobin, turn of 1>"


def test_the_one_that_stood_in_has_had_its_turn() -> None:
    """With `a` dead, b and c share its load instead of b carrying all of it."""
    stage = Stage("abc", "roundrobin")
    stage.open("a")
    asked = []
    for _ in range(6):
        walk = stage.begin()
        asked.append(walk.dispatch.next_step(stage.now).member.name)  # type: ignore[union-attr]
    assert "".join(asked) == "bcbcbc"


def test_nobody_to_rank_is_no_error() -> None:
    assert list(RoundRobin().rank([], 0.0, UNKNOWN)) == []


def test_no_first_is_preferred_so_none_is_waited_for() -> None:
    assert not RoundRobin().waits_for_first
    assert RoundRobin().name == "roundrobin"
