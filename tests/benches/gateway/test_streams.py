"""The reader of streams notices whatever isn't as it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benches import upstream
from benches.gateway import requests, streams
from benches.gateway.failed import Failed
from benches.gateway.mock import stamped
from benches.gateway.requests import Target
from understudy.wire import anthropic_client
from understudy.wire.chat import ChatChunk

HEAD, END = upstream.STREAM[0], upstream.STREAM[-1]
ANSWER = HEAD + stamped(0, 10) + stamped(1, 20) + stamped(2, 30) + END


def recut(answer: bytes, size: int) -> bytes:
    """The same body in pieces of another size, as a proxy may pass it on."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    body = b"".join(rest.split(b"\r\n")[1::2])
    pieces = [upstream.piece(body[at : at + size]) for at in range(0, len(body), size)]
    return b"".join([head, b"\r\n\r\n", *pieces, b"0\r\n\r\n"])


class Deaf(asyncio.Transport):
    """Nobody hears what is written to it."""

    def write(self, data: object) -> None: ...

    def abort(self) -> None: ...


async def hear(*pieces: bytes) -> tuple[int, streams.Stream]:
    stream = streams.Stream()
    stream.connection_made(Deaf())
    playing = asyncio.ensure_future(stream.play(b""))
    await asyncio.sleep(0)
    for data in pieces:
        stream.data_received(data)
    stream.connection_lost(None)
    return await playing, stream


async def test_it_hears_the_same_wherever_the_bytes_are_cut() -> None:
    for answer in (ANSWER, recut(ANSWER, 1000), recut(ANSWER, 37)):
        for at in range(1, len(answer)):
            number, stream = await hear(answer[:at], answer[at:])
            assert (number, stream.events, len(stream.delays), len(stream.firsts)) == (3, 3, 3, 1)


async def test_it_hears_the_same_in_single_bytes() -> None:
    for answer in (ANSWER, recut(ANSWER, 5)):
        number, _ = await hear(*(answer[at : at + 1] for at in range(len(answer))))
        assert number == 3


async def test_it_hears_the_same_in_anthropics_words() -> None:
    chunk = ChatChunk("understudy000@10 ")
    writer = anthropic_client.StreamWriter(anthropic_client.read_request(requests.body().encode()))
    body = writer.write([chunk, ChatChunk("understudy001@20 ", finish_reason="stop")], native=False)
    answer = HEAD.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + upstream.piece(body)
    for end in (recut(answer + upstream.piece(writer.end(None)), size) for size in (1000, 5)):
        number, stream = await hear(end)
        assert (number, len(stream.delays)) == (2, 2)
    with pytest.raises(Failed, match="a stream ended without"):
        await hear(answer + b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HEAD + stamped(0, 1) + stamped(2, 2) + END, "event 2 came where 1 was due"),
        (HEAD + stamped(0, 1) + stamped(0, 2) + END, "event 0 came where 1 was due"),
        (HEAD + stamped(0, 1), "a stream was cut after 1 events"),
        (HEAD + stamped(0, 1) + b"0\r\n\r\n", r"a stream ended without \[DONE\]"),
        (b"HTTP/1.1 503 Busy\r\n\r\nnot\nnow", "answered 503 Busy: not now"),
    ],
)
async def test_it_believes_nothing_less(answer: bytes, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        await hear(answer)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Target]:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"ask")
        writer.write(answer)
        await reader.read()
        writer.close()
        left.set()

    left = asyncio.Event()
    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        yield Target(server.sockets[0].getsockname()[1])
        await left.wait()


async def test_too_few_events_fail_all_the_streams() -> None:
    async with answering(ANSWER) as target, streams.connected(target, 3) as opened:
        await streams.play(opened, b"ask", 3, 0.0)
    async with answering(ANSWER) as target, streams.connected(target, 3) as opened:
        with pytest.raises(Failed, match="a stream ended after 3 of 4 events"):
            await streams.play(opened, b"ask", 4, 0.0)
