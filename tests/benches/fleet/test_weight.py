"""What the model weighs, a real server receives and sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from benches.fleet import weight
from tests.e2e.redis_server import RedisServer, needs_redis
from understudy.core.shared import Record, Report, Told, Verdict
from understudy.state.redis import RedisStore

pytestmark = needs_redis
CALLS = 50
TOLD = tuple(Told(f"{name}~0123456789abcdef", Record(Verdict(1, True, -1.0, 29.0))) for name in "abc")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def traffic(looks: redis.Redis) -> tuple[int, int]:
    told: Any = looks.info("stats")
    return told["total_net_input_bytes"], told["total_net_output_bytes"]


async def test_a_report_and_its_picture_are_as_long_as_they_are_weighed(server: RedisServer) -> None:
    looks, store = redis.Redis(unix_socket_path=str(server.path)), RedisStore(server.url)
    first = await store.exchange("trio", Report(told=TOLD))
    for report in (Report(first.cursor), Report(), Report(told=TOLD)):
        heard = await store.exchange("trio", report)
        before = traffic(looks)
        for _ in range(CALLS):
            await store.exchange("trio", report)
        sent, answered = (late - early for early, late in zip(before, traffic(looks), strict=True))
        assert sent / CALLS == pytest.approx(weight.report("trio", report), rel=0.1)
        # What the server tells of itself is in between, once.
        assert answered / CALLS == pytest.approx(weight.picture(heard), rel=0.1, abs=120)
    await store.close()
    looks.close()


async def test_published_numbers_are_as_long_as_they_are_weighed(server: RedisServer) -> None:
    looks, store = redis.Redis(unix_socket_path=str(server.path)), RedisStore(server.url)
    numbers = b"7" * 2000
    await store.publish("trio", "0123456789ab", numbers, 15.0)
    before = traffic(looks)
    for _ in range(CALLS):
        await store.publish("trio", "0123456789ab", numbers, 15.0)
    sent = traffic(looks)[0] - before[0]
    weighed = weight.script("stats:trio", "0123456789ab", 15_000, numbers)
    assert sent / CALLS == pytest.approx(weighed, rel=0.02)
    await store.close()
    looks.close()
