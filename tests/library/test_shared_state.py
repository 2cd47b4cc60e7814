"""Balancers that share what they know: `state=`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.runtime.house import completion, refusal
from understudy import Balancer, ConfigurationError, LoadBalancerProfile, StandardProfile, SyncBalancer
from understudy.config.pool import make_pool
from understudy.core.breaker import State
from understudy.runtime.link import Link
from understudy.state.memory import MemoryStore
from understudy.testing import ManualClock, Reply, ScriptedTransport

URLS = {name: f"http://{name}.test/v1" for name in "ab"}


def members(key: str = "sk-one-0123456789") -> list[StandardProfile]:
    return [
        StandardProfile(name, "openai", "m", settings={"base-url": URLS[name], "auth-key": key})
        for name in URLS
    ]


PAIR = LoadBalancerProfile("pair", "failover", ("a", "b"), settings={"failover_retry_count": 1})


class Stage:
    """Two balancers of one profile around one store, on one clock."""

    def __init__(self, reply: Reply | None = None, keys: tuple[str, str] = ("sk-0123456789",) * 2) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.one, self.two = (
            Balancer(PAIR, members(key), clock=self.clock, transport=self.transport(reply), state=self.store)
            for key in keys
        )

    def transport(self, reply: Reply | None) -> ScriptedTransport:
        scripts = {
            f"{url}/chat/completions": [reply if reply and name == "a" else completion()]
            for name, url in URLS.items()
        }
        return ScriptedTransport(self.clock, scripts)

    async def join(self) -> None:
        self.one.share()
        self.two.share()
        await self.clock.advance(1.0)

    async def close(self) -> None:
        await self.one.aclose()
        await self.two.aclose()
        assert self.clock.timers == 0

    def phase(self, balancer: Balancer) -> State:
        return balancer.pool.members[0].breaker.phase


async def test_a_circuit_that_one_opened_is_open_for_the_other() -> None:
    stage = Stage(refusal(500))
    await stage.join()
    for _ in range(3):
        await stage.one.complete("To be?")
    await stage.clock.advance(1.0)
    assert stage.phase(stage.two) is State.OPEN
    assert (await stage.two.complete("To be?")).backend == "b"
    await stage.close()


async def test_an_operators_hand_on_one_is_a_hand_on_the_other() -> None:
    stage = Stage()
    await stage.join()
    stage.one.act("a", "drain")
    await stage.clock.advance(1.0)
    assert stage.two.pool.members[0].health.drained
    stage.two.act("a", "enable")
    await stage.clock.advance(2.0)
    assert not stage.one.pool.members[0].health.drained
    await stage.close()


async def test_statistics_are_those_of_both() -> None:
    stage = Stage()
    await stage.join()
    await stage.one.complete("To be?")
    await stage.two.complete("To be?")
    await stage.clock.advance(2.0)
    stats = await stage.one.fleet_stats()
    assert (stats.workers, stats.answered, stage.one.stats().answered) == (2, 2, 1)
    assert stats.to_dict()["worker"] == stats.worker != (await stage.two.fleet_stats()).worker
    await stage.close()


async def test_who_has_left_is_counted_no_more() -> None:
    stage = Stage()
    await stage.join()
    await stage.two.complete("To be?")
    await stage.clock.advance(2.0)
    await stage.two.aclose()
    assert (await stage.one.fleet_stats()).workers == 1
    await stage.close()


async def test_without_shared_state_they_are_ones_own() -> None:
    async with Balancer(PAIR, members()) as lb:
        lb.share()
        stats = await lb.fleet_stats()
        assert stats == lb.stats()
        assert "workers" not in stats.to_dict()


async def test_a_store_that_cannot_be_asked_leaves_ones_own() -> None:
    async with Balancer(PAIR, members(), state="redis://127.0.0.1:1/0") as lb:
        assert (await lb.fleet_stats()).workers == 1


async def test_members_with_other_keys_are_other_members_and_no_key_is_in_their_name() -> None:
    stage = Stage(refusal(500), ("sk-one-0123456789", "sk-two-0123456789"))
    await stage.join()
    for _ in range(3):
        await stage.one.complete("To be?")
    await stage.clock.advance(1.0)
    assert stage.phase(stage.two) is State.CLOSED
    identities = [one.pool.members[0].identity for one in (stage.one, stage.two)]
    assert identities[0] != identities[1]
    assert all(re.fullmatch("a~[0-9a-f]{16}", identity) for identity in identities)
    await stage.close()


async def test_a_profile_that_is_loaded_anew_is_shared_further() -> None:
    stage = Stage(refusal(500))
    await stage.join()
    stage.two.reload(make_pool(PAIR, members("sk-0123456789"), {}))
    fleet = stage.two.pool.fleet
    assert fleet is not None
    assert fleet.pool is stage.two.pool
    for _ in range(3):
        await stage.one.complete("To be?")
    await stage.clock.advance(1.0)
    assert stage.phase(stage.two) is State.OPEN
    await stage.close()


async def test_a_missing_member_has_an_identity_too() -> None:
    pool = make_pool(LoadBalancerProfile("odd", "failover", ("a", "gone")), members(), {})
    lb = Balancer(pool, state=MemoryStore())
    assert lb.pool.members[1].identity.startswith("gone~")
    await lb.aclose()


async def test_several_pools_may_share_a_link() -> None:
    clock = ManualClock()
    link = Link(MemoryStore(clock), clock)
    lb = Balancer(PAIR, members(), clock=clock, state=link)
    lb.share()
    await clock.advance(0.1)
    assert link.is_quick
    await lb.aclose()


def test_a_url_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(ConfigurationError, match="the state URL has to begin with"):
        Balancer(PAIR, members(), state="localhost")


def test_the_synchronous_one_shares_as_well() -> None:
    store = MemoryStore()
    options: Any = {"transport": Stage().transport(None), "state": store}
    with SyncBalancer(PAIR, members(), **options) as lb:
        assert lb.stats().workers is None
