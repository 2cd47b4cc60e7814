"""The mock is asked on real sockets; a request says what it wants played."""

from __future__ import annotations

import asyncio
import json
import time

from benches import upstream
from benches.gateway import mock, requests, streams
from tests.benches.gateway.servers import listening


def test_an_event_has_its_number_its_instant_and_the_size_of_the_others() -> None:
    now = time.monotonic_ns()
    event = mock.stamped(7, now)
    chunk = json.loads(event.split(b"data: ")[1].split(b"\n\n")[0])
    assert chunk["choices"] == [
        {"index": 0, "delta": {"content": f"understudy007@{now} "}, "finish_reason": None}
    ]
    assert 200 < len(event) < 250


async def test_so_many_events_are_played_so_far_apart() -> None:
    sent = requests.body(say=mock.play(4, 5), stream=True)
    async with listening() as target, streams.connected(target, 1) as (stream,):
        began = time.monotonic()
        assert await stream.play(requests.request(target, sent)) == 4
        assert time.monotonic() - began >= 4 * 0.005
        assert len(stream.delays) == 4
        assert len(stream.firsts) == 1
        assert stream.firsts[0] < 4 * 0.005
        assert min(stream.delays) >= 0


async def test_without_an_order_it_is_the_upstream_of_all_benches() -> None:
    async with listening() as target, streams.connected(target, 1) as (stream,):
        assert await stream.play(requests.request(target, requests.body(stream=True))) == upstream.CHUNKS
        assert not stream.delays
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(requests.request(target, requests.body()))
        assert await reader.readexactly(len(upstream.UNARY)) == upstream.UNARY
        writer.close()


async def test_a_flood_waits_for_its_reader_and_then_ends() -> None:
    async with listening() as target:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1024)
        writer.write(requests.request(target, requests.body(say=mock.flood(20), stream=True)))
        first = await reader.readuntil(b"data: ")
        assert first.startswith(b"HTTP/1.1 200 OK")
        size = len(first)
        while data := await reader.read(65536):
            size += len(data)
            if data.endswith(b"0\r\n\r\n"):
                break
        assert 0 <= size - 20 * mock.MEGABYTE < 100_000
        writer.close()


async def test_a_stream_whose_reader_left_is_dropped() -> None:
    async with listening() as target:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(requests.request(target, requests.body(say=mock.play(10_000, 1), stream=True)))
        await reader.readuntil(b"understudy001")
        before = len(asyncio.all_tasks())
        writer.transport.abort()
        await asyncio.sleep(0.005)
        assert len(asyncio.all_tasks()) <= before
