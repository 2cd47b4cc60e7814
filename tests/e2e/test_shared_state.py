"""F68, F69, F70: replicas that share what they know through a real Redis. Real processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.e2e.redis_server import RedisServer, needs_redis
from tests.e2e.shared_house import House, Replica, house

pytestmark = needs_redis

BRIEF: Any = {"circuit_breaker_recovery_timeout_ms": 1000}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(port=0) as server:
        yield server


async def open_lead(made: House, replica: Replica) -> None:
    """By three failures of it."""
    for _ in range(3):
        assert (await replica.ask()).status == 200
    assert await replica.circuit() == "open"


def sees(replica: Replica, state: str, name: str = "lead") -> Callable[[], Any]:
    async def look() -> bool:
        return await replica.circuit(name) == state

    return look


async def test_a_circuit_that_one_opened_is_honoured_by_the_other_within_a_second(
    tmp_path: Path, server: RedisServer
) -> None:
    async with house(tmp_path, [server.url] * 2, "status 500") as made:
        one, two = made.replicas
        await open_lead(made, one)
        assert await made.until(sees(two, "open")) < 1.0
        asked = len(made.lead.requests)
        assert (await two.ask()).status == 200
        assert len(made.lead.requests) == asked
        assert any("State = open (as another process says)" in line for line in two.lines)


async def test_there_is_one_probe_in_the_whole_fleet(tmp_path: Path, server: RedisServer) -> None:
    async with house(tmp_path, [server.url] * 2, "status 500", **BRIEF) as made:
        one, two = made.replicas
        await open_lead(made, one)
        await made.until(sees(two, "open"))
        made.lead.set_script("delay 1.5s")
        asked = len(made.lead.requests)
        await asyncio.sleep(1.1)
        replies = await asyncio.gather(*(replica.ask() for replica in (one, two) for _ in range(5)))
        assert {reply.status for reply in replies} == {200}
        assert len(made.lead.requests) == asked + 1
        for replica in (one, two):
            assert await made.until(sees(replica, "closed")) < 1.0


async def test_an_operators_hand_on_one_reaches_all(tmp_path: Path, server: RedisServer) -> None:
    async with house(tmp_path, [server.url] * 2) as made:
        one, two = made.replicas

        async def drained() -> bool:
            return bool((await two.member())["drained"])

        async def enabled() -> bool:
            return not await drained()

        await one.act("drain")
        assert await made.until(drained) < 1.0
        await two.act("open")
        assert await made.until(sees(one, "open")) < 1.0
        await one.act("reset")
        await one.act("enable")
        assert await made.until(sees(two, "closed")) < 1.0
        assert await made.until(enabled) < 1.0


async def test_statistics_are_those_of_all(tmp_path: Path, server: RedisServer) -> None:
    async with house(tmp_path, [server.url] * 2) as made:
        one, two = made.replicas
        for replica in (one, one, two):
            await replica.ask()

        async def counted() -> bool:
            every = [(await replica.stats())["total_requests"] for replica in (one, two)]
            return every == [3, 3]

        await made.until(counted, 4.0)
        stats = await one.stats()
        assert (stats["workers"], stats["answered"], stats["backends"]["lead"]["successes"]) == (2, 3, 3)
        assert stats["worker"] != (await two.stats())["worker"]


async def test_where_one_stays_all_stay(tmp_path: Path, server: RedisServer) -> None:
    async with house(tmp_path, [server.url] * 2, "status 500", policy="failover_sticky") as made:
        one, two = made.replicas
        await one.ask()
        made.lead.set_script("fine")
        await asyncio.sleep(1.0)
        asked = len(made.lead.requests)
        assert (await two.ask()).headers["x-understudy-backend"] == "second"
        assert len(made.lead.requests) == asked


async def test_a_profile_that_is_loaded_anew_goes_on_sharing(tmp_path: Path, server: RedisServer) -> None:
    async with house(tmp_path, [server.url] * 2, "status 500") as made:
        one, two = made.replicas
        path = tmp_path / "evening.json"
        path.write_text(path.read_text().replace('"timeout_ms": 2000', '"timeout_ms": 1900', 1))
        for replica in (one, two):
            assert (await replica.ask("/admin/reload")).status == 200
        await open_lead(made, one)
        assert await made.until(sees(two, "open")) < 1.0


@pytest.mark.parametrize("skew", [0.0, 30.0, -30.0])
async def test_f69_a_bench_of_one_holds_for_the_other_and_a_shorter_one_does_not_end_it(
    tmp_path: Path, server: RedisServer, skew: float
) -> None:
    """Whatever the replicas' clocks say: instants travel as seconds from now, by the server's."""
    script = "429 retry-after=40; 429 retry-after=5"
    async with house(tmp_path, [server.url] * 2, script, retry_after_max_ms=0, skew=skew) as made:
        one, two = made.replicas
        await one.ask()

        async def benched() -> bool:
            return bool((await two.member())["bench_remaining_ms"] > 0)

        assert await made.until(benched) < 1.0
        remaining = (await two.member())["bench_remaining_ms"]
        assert 37_000 < remaining <= 41_000
        assert len(made.lead.requests) == 1
        assert (await two.ask()).status == 200
        assert len(made.lead.requests) == 1


@pytest.mark.parametrize("limits", [{"rpm_limit": 40}, {"tpm_limit": 40 * 1000}])
async def test_f70_two_replicas_at_one_ceiling_take_no_more_than_it(
    tmp_path: Path, server: RedisServer, limits: dict[str, int]
) -> None:
    """Two times fifty at once; a request reserves its 999 tokens' answer and a short prompt."""
    async with house(tmp_path, [server.url] * 2, "delay 1s", member=limits, timeout_ms=9000) as made:
        replies = await asyncio.gather(
            *(replica.ask(max_tokens=980) for replica in made.replicas for _ in range(50))
        )
        assert Counter(reply.status for reply in replies) == {200: 100}
        assert 38 <= len(made.lead.requests) <= 40


async def test_f70_what_failed_attempts_reserved_is_given_back(tmp_path: Path, server: RedisServer) -> None:
    async with house(
        tmp_path, [server.url] * 2, "status 400", member={"tpm_limit": 10_000}, failover_status_codes=[400]
    ) as made:
        for _ in range(4):
            await asyncio.gather(*(replica.ask(max_tokens=4000) for replica in made.replicas))
            await asyncio.sleep(1.2)
        assert len(made.lead.requests) == 8


# F68: the store has troubles of its own


class Trouble:
    """Before, during, after: how requests fare, and how long they take."""

    def __init__(self, made: House) -> None:
        self.made = made

    async def fare(self, requests: int = 30) -> list[float]:
        """All are answered; the seconds that each took, oldest first."""
        took = []
        for number in range(requests):
            began = time.monotonic()
            reply = await self.made.replicas[number % len(self.made.replicas)].ask()
            took.append(time.monotonic() - began)
            assert reply.status == 200, reply.body
        return took

    async def probes_due(self) -> None:
        """The lead's circuit is open, and to be probed: where a request may wait for the store."""
        for replica in self.made.replicas:
            await replica.act("reset")

    async def until_all_share(self, within: float = 5.0) -> None:
        """Back in step: what one does, the other hears."""
        one, two = self.made.replicas

        async def drained(is_drained: bool) -> bool:
            return bool((await two.member())["drained"]) is is_drained

        await one.act("drain")
        await self.made.until(lambda: drained(True), within)
        await one.act("enable")
        await self.made.until(lambda: drained(False), within)

    def check_lines(self, *said: str) -> None:
        """One line for each change of state, and no password in any."""
        for replica in self.made.replicas:
            lines = replica.about_state
            assert len(lines) == len(said), lines
            for line, words in zip(lines, said, strict=True):
                assert words in line


@asynccontextmanager
async def troubled(folder: Path, url: str, **options: Any) -> AsyncIterator[Trouble]:
    """Two replicas whose lead has a ceiling of requests: each request asks the store, if it may."""
    member = {"rpm_limit": 100_000}
    async with house(folder, [url] * 2, member=member, **options) as made:
        trouble = Trouble(made)
        await trouble.fare(6)
        yield trouble


def late(took: list[float], usual: float) -> int:
    """How many took as much longer as a request may wait for the store."""
    return sum(seconds > usual + 0.045 for seconds in took)


SHARED, ALONE = "what is known is shared", "going by what is known here"


async def test_f68_killed_and_started_again(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url) as trouble:
        server.kill()
        await trouble.fare()
        await asyncio.sleep(1.0)
        server.start()
        await trouble.until_all_share()
        await trouble.fare()
        trouble.check_lines(SHARED, ALONE, SHARED)


async def test_f68_frozen(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url) as trouble:
        usual = median(await trouble.fare())
        server.pause()
        took = await trouble.fare(40)
        assert late(took, usual) <= 4, "once for each process, and what the machine adds"
        await asyncio.sleep(2.5)
        server.resume()
        await trouble.until_all_share()
        trouble.check_lines(SHARED, ALONE, SHARED)


async def test_f68_flushed_and_its_scripts_forgotten(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url) as trouble:
        one, two = trouble.made.replicas
        await one.act("open")
        await trouble.made.until(sees(two, "open"))
        server.command("FLUSHALL")
        server.command("SCRIPT", "FLUSH")
        await trouble.fare()
        await trouble.until_all_share()
        assert await one.circuit() == await two.circuit() == "open", "the replicas have told it again"
        trouble.check_lines(SHARED)


async def test_f68_full(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url) as trouble:
        server.command("CONFIG", "SET", "maxmemory", "1")
        await trouble.fare()
        await asyncio.sleep(1.5)
        await trouble.fare()
        server.command("CONFIG", "SET", "maxmemory", "0")
        await trouble.until_all_share()
        trouble.check_lines(SHARED, "maxmemory", SHARED)


async def test_f68_failed_over_to_a_replica_that_only_reads(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url) as trouble:
        server.command("REPLICAOF", "127.0.0.1", "1")
        server.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
        await trouble.fare()
        await asyncio.sleep(1.5)
        await trouble.fare()
        server.command("REPLICAOF", "NO", "ONE")
        await trouble.until_all_share()
        trouble.check_lines(SHARED, "read only replica", SHARED)


async def test_f68_a_wrong_password_is_said_once_and_never_shown(tmp_path: Path) -> None:
    with RedisServer(password="the-right-one") as server:
        url = server.url.replace("the-right-one", "a-wrong-one")
        async with house(tmp_path, [url] * 2, joined=False) as made:
            trouble = Trouble(made)
            await trouble.fare()
            await asyncio.sleep(1.0)
            trouble.check_lines("invalid username-password pair")
            server.command("CONFIG", "SET", "requirepass", "a-wrong-one")
            server.password = "a-wrong-one"
            await trouble.until_all_share()
            trouble.check_lines("invalid username-password pair", SHARED)
            assert not any("a-wrong-one" in line for replica in made.replicas for line in replica.lines)


@asynccontextmanager
async def delaying(server: RedisServer) -> AsyncIterator[tuple[str, dict[str, float]]]:
    """A proxy before the server: its URL, and by how many seconds it holds back what the server says.

    Like a long line, it holds each word back by itself: what was said at once arrives at once.
    """
    settings, tasks = {"delay": 0.0}, set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, holds: bool) -> None:
        loop, at = asyncio.get_running_loop(), 0.0
        while data := await reader.read(65536):
            at = max(at, loop.time() + (settings["delay"] if holds else 0.0))
            loop.call_at(at, writer.write, data)
        loop.call_at(at, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", server.port)
        for work in (relay(reader, downstream, holds=False), relay(upstream, writer, holds=True)):
            task = asyncio.ensure_future(work)
            tasks.add(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"redis://127.0.0.1:{port}", settings
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_f68_half_a_second_late(tmp_path: Path, server: RedisServer) -> None:
    async with delaying(server) as (url, proxy), troubled(tmp_path, url) as trouble:
        usual = median(await trouble.fare())
        proxy["delay"] = 0.5
        took = await trouble.fare(40)
        assert late(took, usual) <= 4, "once for each process, and what the machine adds"
        one, two = trouble.made.replicas
        await one.act("open")
        await trouble.made.until(sees(two, "open"), 6.0)  # slow news is still news
        await one.act("reset")
        proxy["delay"] = 0.0
        await trouble.until_all_share()
        await asyncio.sleep(2.0)
        trouble.check_lines(SHARED, "takes more than 50 ms", SHARED)


async def test_f68_money_ceilings_can_fail_closed(tmp_path: Path, server: RedisServer) -> None:
    async with troubled(tmp_path, server.url, ceilings_fail_closed=True) as trouble:
        server.kill()
        await trouble.fare(4)
        asked = len(trouble.made.lead.requests)
        await trouble.fare(10)
        assert len(trouble.made.lead.requests) == asked, "the second, which has no ceiling, answers"
        server.start()
        await trouble.until_all_share()

        async def is_asked_again() -> bool:
            await trouble.fare(2)
            return len(trouble.made.lead.requests) > asked

        await trouble.made.until(is_asked_again)


async def test_it_starts_without_the_store_and_joins_it_later(tmp_path: Path, server: RedisServer) -> None:
    server.kill()
    async with house(tmp_path, [server.url] * 2, joined=False) as made:
        trouble = Trouble(made)
        await trouble.fare()
        server.start()
        await trouble.until_all_share()
        trouble.check_lines(ALONE, SHARED)


async def test_without_hard_ceilings_a_busy_process_asks_the_store_once_in_ten_requests_at_most(
    tmp_path: Path, server: RedisServer
) -> None:
    async with house(tmp_path, [server.url]) as made:
        (replica,) = made.replicas
        before, began, requests = server.operations(), time.monotonic(), 0
        while time.monotonic() - began < 4:
            await asyncio.gather(*(replica.ask() for _ in range(10)))
            requests += 10
        operations = server.operations() - before
        assert operations / (time.monotonic() - began) <= 5
        assert operations / requests <= 0.1, (operations, requests)
