"""The mock provider is asked on real sockets, by clients of the bench and by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benches import upstream
from benches.peers import bare_aiohttp, openai_sdk, understudy_balancer
from benches.worker import Opener


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(upstream.Provider, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(
    "open_client", [bare_aiohttp.open_client, openai_sdk.open_client, understudy_balancer.open_client]
)
async def test_a_client_gets_every_word_unary_and_streamed(open_client: Opener) -> None:
    async with listening() as base_url, open_client(base_url) as client:
        assert await client.complete() == upstream.TEXT
        assert await client.stream() == upstream.STREAMED


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with listening() as base_url:
        port = int(base_url.split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{")
            writer.write(b"}")
            answer = await reader.readexactly(len(upstream.UNARY))
            assert answer == upstream.UNARY
        writer.write(b"GET /health HTTP/1.1\r\n\r\n")
        assert await reader.readexactly(len(upstream.SILENCE)) == upstream.SILENCE
        writer.close()


def test_a_stream_is_one_piece_per_word() -> None:
    assert len(upstream.STREAM) == upstream.CHUNKS + 2
    events = [json.loads(piece.split(b"data: ")[1].split(b"\n\n")[0]) for piece in upstream.STREAM[1:-1]]
    assert [event["choices"][0]["delta"]["content"] for event in events] == upstream.WORDS
    assert all(200 < len(piece) < 240 for piece in upstream.STREAM[1:-1])
    assert upstream.STREAM[-1].endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_pace_sets_events_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream.Provider, "pace", 0.0005)
    began = time.monotonic()
    async with listening() as base_url, bare_aiohttp.open_client(base_url) as client:
        assert await client.stream() == upstream.STREAMED
    assert time.monotonic() - began > upstream.CHUNKS * 0.0005
