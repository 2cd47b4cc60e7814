"""One caller, one call after another."""

from __future__ import annotations

import asyncio

import pytest

from benches.gateway import callers, requests
from benches.gateway.failed import Failed
from benches.gateway.requests import Target
from tests.benches.gateway.servers import listening

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
PIECES = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [COUNTED, PIECES])
def test_an_answer_is_complete_at_its_last_byte(answer: bytes) -> None:
    assert [callers.complete(answer[:at]) for at in range(len(answer))] == [False] * len(answer)
    assert callers.complete(answer)


def test_the_gist_of_an_answer_is_one_short_line() -> None:
    answer = b"HTTP/1.1 502 Bad Gateway\r\nServer: x\r\n\r\n<html>\r\n" + 200 * b"<p>"
    assert callers.gist(answer).startswith("502 Bad Gateway: <html> <p>")
    assert len(callers.gist(answer)) < 150


async def test_every_call_of_a_steady_series_is_timed() -> None:
    async with listening() as target:
        request = requests.request(target, requests.body())
        taken = await asyncio.to_thread(callers.steady, target, request, 1000.0, 20)
    assert len(taken) == 20
    assert all(0 < seconds < 1 for seconds in taken)


async def test_anything_but_a_200_and_an_early_end_are_failures() -> None:
    answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?", COUNTED[:-1]]

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answers.pop(0))
        writer.close()

    def ask(target: Target) -> None:
        with callers.connection(target) as opened:
            callers.call(opened, b"?")

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        target = Target(server.sockets[0].getsockname()[1])
        with pytest.raises(Failed, match=r"answered 401 Unauthorized: who\?"):
            await asyncio.to_thread(ask, target)
        with pytest.raises(ConnectionResetError, match="in the middle of an answer"):
            await asyncio.to_thread(ask, target)
