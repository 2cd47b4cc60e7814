"""Facts about the picture of a gateway."""

from __future__ import annotations

import asyncio
import json

from tests.gateway.stage import Stage
from tests.runtime.house import completion
from understudy.gateway.glance import Glance, Part
from understudy.gateway.picture import draw
from understudy.gateway.profiles import Profiles
from understudy.gateway.views import account
from understudy.gateway.worker import Worker


async def test_a_large_gateway_is_drawn_profile_by_profile_and_others_come_first_meanwhile() -> None:
    stage = Stage(completion())
    gateway = stage.gateway
    gateway.worker = Worker(3, of=3)
    gateway.draining = True
    await stage.clock.advance(0.25)
    gateway.profiles = Profiles({str(number): Stage(completion()).served for number in range(5)})
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    busy = asyncio.ensure_future(other())
    picture = json.loads(await draw(gateway, [], []))
    busy.cancel()
    assert turns >= 5
    assert list(picture["profiles"]) == list("01234")
    assert (picture["at"], picture["worker"]) == ("2023-11-14T22:13:20.250Z", "3")
    assert picture["draining"]


async def test_who_waits_at_any_workers_door_or_for_capacity_is_counted() -> None:
    gateway = Stage(completion()).gateway
    told = account(gateway)
    told.stats["evening"]["waiting"] = 4
    picture = json.loads(await draw(gateway, [Glance(0, {"evening": Part(2, 3, {})})], [told]))
    profile = picture["profiles"]["evening"]
    assert (profile["in_flight"], profile["waiting"]) == (2, 7)
