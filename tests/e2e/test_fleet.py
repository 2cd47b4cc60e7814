"""Two gateways × two workers behind one Redis are one. Real processes, providers and Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import pytest

from tests.e2e.fleet import WORKERS, Fleet, Gateway, fleet
from tests.e2e.redis_server import RedisServer, needs_redis
from tests.e2e.workforce import figure

pytestmark = needs_redis

SECOND = 1.0
"""Within which all know what one knows."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(port=0) as server:
        yield server


async def open_lead(made: Fleet) -> None:
    """By failures that the first gateway's first worker alone has seen."""
    for _ in range(3):
        assert (await made.gateways[0].force.ask(1)).status == 200
    assert len(made.lead.requests) == 3


async def test_a_circuit_that_one_worker_opened_is_honoured_by_all_four_within_a_second(
    tmp_path: Path, server: RedisServer
) -> None:
    async with fleet(tmp_path, server.url, "status 500") as made:
        await open_lead(made)
        await asyncio.sleep(SECOND)
        assert await made.ask_each() == ["second"] * 4
        assert len(made.lead.requests) == 3


async def test_each_lease_is_one_probe_in_the_whole_fleet_and_its_success_closes_all_four(
    tmp_path: Path, server: RedisServer
) -> None:
    recovery: dict[str, Any] = {"circuit_breaker_recovery_timeout_ms": 1500}
    async with fleet(tmp_path, server.url, "status 500", **recovery) as made:
        await open_lead(made)
        await made.volley(3, at=time.monotonic() + 1.6)
        assert len(made.lead.requests) == 4, "one probe, which fails at once"
        made.lead.set_script("delay 1s")
        await made.volley(3, at=time.monotonic() + 1.6)
        assert len(made.lead.requests) == 5, "one probe, which takes as long as the volley"
        made.lead.set_script("fine")
        await asyncio.sleep(SECOND)
        assert await made.ask_each() == ["lead"] * 4


@pytest.mark.parametrize("limits", [{"rpm_limit": 20}, {"tpm_limit": 20 * 1000}])
async def test_volleys_at_both_gateways_pass_a_ceiling_by_one_reservation_at_most(
    tmp_path: Path, server: RedisServer, limits: dict[str, int]
) -> None:
    """A request reserves its 980 tokens' answer and a short prompt. All have asked before one is answered."""
    async with fleet(tmp_path, server.url, "delay 2s", member=limits) as made:
        await made.volley(13, max_tokens=980)
        assert 19 <= len(made.lead.requests) <= 21


async def test_what_an_operator_tells_one_worker_all_four_obey_within_a_second(
    tmp_path: Path, server: RedisServer
) -> None:
    async with fleet(tmp_path, server.url) as made:
        await made.act(0, 2, "drain")
        await asyncio.sleep(SECOND)
        assert await made.ask_each() == ["second"] * 4
        assert made.lead.requests == []
        await made.act(1, 1, "enable")
        await asyncio.sleep(SECOND)
        assert await made.ask_each() == ["lead"] * 4


async def test_statistics_are_the_fleets_and_metrics_are_the_gateways(
    tmp_path: Path, server: RedisServer
) -> None:
    async with fleet(tmp_path, server.url) as made:
        one, two = (gateway.force for gateway in made.gateways)
        for force, worker, times in [(one, 1, 2), (one, 2, 3), (two, 1, 4), (two, 2, 1)]:
            for _ in range(times):
                assert (await force.ask(worker)).status == 200
        await made.until_counted(10)
        for force in (one, two):
            for worker in (1, 2):
                evening = (await force.get("/stats", worker)).value["profiles"]["evening"]
                lead = evening["backends"]["lead"]
                assert evening["workers"] == 4
                counts = evening["total_requests"], evening["answered"], lead["successes"]
                assert counts == (10, 10, 10) == (len(made.lead.requests),) * 3
        for force in (one, two):
            for worker in (1, 2):
                series = await force.metrics(worker)
                answered = figure(series, "understudy_requests_total", profile="evening", result="answered")
                assert answered == 5


# Something dies under load


class Asked(NamedTuple):
    """One request of the load: when, for how long, and how often its connection broke before that."""

    at: float
    seconds: float
    broken: int


class Load:
    """Callers who ask both gateways on and on. Who loses its connection asks again, as an SDK does."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def go_on(self, gateway: Gateway) -> None:
        while True:
            self.asked.append(await self._ask(gateway))
            await asyncio.sleep(0.02)

    async def _ask(self, gateway: Gateway) -> Asked:
        began, broken = time.monotonic(), 0
        while True:
            try:
                reply = await gateway.ask()
            except (OSError, EOFError):
                broken += 1
                assert broken < 3
                continue
            assert reply.status == 200, reply.body
            return Asked(began, time.monotonic() - began, broken)

    def between(self, begin: float, end: float) -> list[float]:
        return [asked.seconds for asked in self.asked if begin <= asked.at < end]


CALLERS = 2


@asynccontextmanager
async def under_load(made: Fleet) -> AsyncIterator[Load]:
    """Some callers at each gateway; what goes wrong for one of them is raised at the end."""
    load = Load()
    callers = [
        asyncio.ensure_future(load.go_on(gateway)) for gateway in made.gateways for _ in range(CALLERS)
    ]
    try:
        yield load
    finally:
        for caller in callers:
            caller.cancel()
        ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


def check_latency(
    record: Callable[[str, object], None], before: list[float], during: list[float], after: list[float]
) -> None:
    """Each of four workers, and each of its callers, may wait 50 ms once; the machine adds its noise."""
    for name, took in [("before", before), ("during", during), ("after", after)]:
        assert len(took) >= 10, name
        p99 = quantiles(took, n=100)[-1]
        record(f"{name}_ms", f"p50 {median(took) * 1000:.1f}, p99 {p99 * 1000:.1f}, {len(took)} requests")
    late = sorted(before)[int(len(before) * 0.95)] + 0.045
    most = 4 * CALLERS + len(during) // 10
    assert sum(seconds > late for seconds in during) <= most
    assert median(during) < median(before) + 0.045
    assert median(after) < median(before) + 0.045


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_redis_dies_under_load_and_every_request_is_answered(
    tmp_path: Path,
    server: RedisServer,
    trouble: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Each request asks Redis for room, if it may."""
    member = {"rpm_limit": 100_000}
    async with fleet(tmp_path, server.url, member=member) as made, under_load(made) as load:
        began = time.monotonic()
        await asyncio.sleep(1.0)
        died = time.monotonic()
        server.kill() if trouble == "killed" else server.pause()
        await asyncio.sleep(2.0)
        returns = time.monotonic()
        server.start() if trouble == "killed" else server.resume()
        record_property("back_in_step_s", await made.until_joined(2 * WORKERS, 4.0))
        back = time.monotonic()
        await asyncio.sleep(1.0)
        ended = time.monotonic()
        await made.act(0, 1, "drain")
        await asyncio.sleep(SECOND)
        assert await made.ask_each() == ["second"] * 4
    assert not any(asked.broken for asked in load.asked)
    check_latency(
        record_property, load.between(began, died), load.between(died, returns), load.between(back, ended)
    )


async def test_a_worker_dies_under_load_and_who_takes_its_place_is_in_step(
    tmp_path: Path, server: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    """What the worker was answering breaks off; asked again it is answered, and nothing else is touched."""
    async with fleet(tmp_path, server.url, member={"rpm_limit": 100_000}) as made:
        await made.act(1, 1, "drain")
        force = made.gateways[0].force
        async with under_load(made) as load:
            await asyncio.sleep(1.0)
            killed = force.workers()[1]
            os.kill(killed, signal.SIGKILL)
            died = time.monotonic()
            while force.workers().get(1) in (None, killed):
                await asyncio.sleep(0.02)
            while made.gateways[0].joined() <= WORKERS:
                assert time.monotonic() < died + 5
                await asyncio.sleep(0.02)
            record_property("back_in_step_s", time.monotonic() - died)
            asked = len(made.lead.requests)
            assert await made.ask_each() == ["second"] * 4, "the new one knows what it has not heard"
            assert len(made.lead.requests) == asked
            await asyncio.sleep(1.0)
        broken = [each for each in load.asked if each.broken]
        assert len(broken) <= CALLERS
        assert all(each.at < died + 0.1 for each in broken)
        await made.volley(3)
