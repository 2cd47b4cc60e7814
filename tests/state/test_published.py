"""What a real Redis does when many processes publish their numbers, by its own counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.redis_server import RedisServer, needs_redis
from understudy.state.redis import PREFIX, RedisStore

pytestmark = needs_redis
KEY = f"{PREFIX}:stats:evening"
PROCESSES = 50


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url)
    yield store
    await store.close()


def looks_at_all(server: RedisServer) -> int:
    lines = server.command("INFO", "commandstats").decode().splitlines()
    counts = [line.partition("calls=")[2].partition(",")[0] for line in lines if "cmdstat_hgetall" in line]
    return sum(map(int, counts))


async def test_who_publishes_does_not_look_at_all_others_each_time(
    server: RedisServer, store: RedisStore
) -> None:
    for _ in range(2):
        for process in range(PROCESSES):
            await store.publish("evening", f"p{process}", b"{}", 30.0)
    assert looks_at_all(server) == 1
    assert len(await store.numbers("evening")) == PROCESSES


async def test_who_is_silent_is_found_once_its_time_is_over(server: RedisServer, store: RedisStore) -> None:
    await store.publish("evening", "gone", b"{}", 0.1)
    await store.publish("evening", "here", b"{}", 30.0)
    await asyncio.sleep(0.11)
    assert server.command("HEXISTS", KEY, "gone") == b":1\r\n"
    await store.publish("evening", "here", b"{}", 30.0)
    assert server.command("HEXISTS", KEY, "gone") == b":0\r\n"
    assert server.command("HEXISTS", KEY, "here") == b":1\r\n"
