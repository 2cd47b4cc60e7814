"""One position of a profile, alive."""

from __future__ import annotations

from tests.core.stage import Stage, member
from understudy.core.member import Member
from understudy.errors import SkipReason


def test_a_bench_lasts_as_asked_but_never_longer_than_allowed() -> None:
    benched = member()
    assert benched.bench(1000.0, 5.0, 900.0) == 1005.0
    assert benched.bench(1000.0, 277403.0, 900.0) == 1900.0


def test_a_bench_is_never_shortened() -> None:
    benched = member()
    benched.bench(1000.0, 60.0, 900.0)
    assert benched.bench(1010.0, 5.0, 900.0) == 1060.0
    assert benched.benched_until == 1060.0


def test_repr_shows_health_and_load() -> None:
    shown = repr(Stage("a").member("a"))
    assert shown == "<Member a, <Breaker closed, 0 probes out, 0 failures>, 0 in flight>"


def test_two_members_of_one_health_are_one_backend_in_two_profiles() -> None:
    before = member("a", 0)
    after = Member("a", 3, before.settings, health=before.health)
    before.bench(1000.0, 60.0, 900.0)
    assert after.benched_until == 1060.0
    assert after.breaker is before.breaker
    assert after.window is before.window
    assert after.metrics is before.metrics


def test_a_member_with_a_problem_or_drained_is_there_to_be_seen_only() -> None:
    healthy, keyless, drained = member(), member(problem=SkipReason.NO_KEY), member()
    drained.health.drained = True
    assert [one.is_listed_only for one in (healthy, keyless, drained)] == [False, True, True]


def test_who_is_up_has_its_share_and_who_is_not_has_none() -> None:
    stage = Stage("abcd", members={"a": {"weight": 3}}, problems={"b": SkipReason.NO_KEY})
    stage.member("c").health.drained = True
    stage.member("d").bench(stage.now, 60.0, 900.0)
    shares = [member.share_if_up(stage.now, stage.pool.settings) for member in stage.pool.members]
    assert shares == [3, None, None, None]


def test_a_circuit_that_admits_nobody_leaves_no_share() -> None:
    stage = Stage("a")
    stage.open("a")
    member, settings = stage.member("a"), stage.pool.settings
    assert member.share_if_up(stage.now, settings) is None
    assert member.share_if_up(stage.now + 30, settings) == 1
