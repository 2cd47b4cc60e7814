"""One client's connection, over a real socket pair of the loopback."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from understudy.faults.connection import AHEAD_LIMIT, ClientLeft, Connection
from understudy.faults.http import BadRequest
from understudy.faults.listener import Listener
from understudy.faults.waiting import Changes

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET / HTTP/1.1\r\n\r\n"


@asynccontextmanager
async def connected(
    serve: Callable[[Connection], Coroutine[Any, Any, Any]],
) -> AsyncIterator[tuple[Streams, asyncio.Future[Any]]]:
    """A client's streams, and what becomes of `serve` with the server's end."""
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def served(connection: Connection) -> None:
        try:
            result.set_result(await serve(connection))
        except Exception as error:
            result.set_exception(error)
        finally:
            connection.close()

    listener = Listener(served, Changes(), host="127.0.0.1", port=0)
    await listener.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        yield (reader, writer), result
    finally:
        writer.transport.abort()
        await listener.close()


def vanish(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_requests_come_out_one_by_one() -> None:
    async def serve(connection: Connection) -> list[str]:
        return [(await connection.next_request()).path for _ in range(2)]

    async with connected(serve) as ((_, writer), result):
        writer.write(b"GET /a HTTP/1.1\r\n\r\nGET /b HTT")
        await asyncio.sleep(0)
        writer.write(b"P/1.1\r\n\r\n")
        assert await result == ["/a", "/b"]


async def test_a_client_is_told_to_continue_once() -> None:
    served: list[Connection] = []

    async def serve(connection: Connection) -> bytes:
        served.append(connection)
        return (await connection.next_request()).body

    async with connected(serve) as ((reader, writer), result):
        writer.write(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        while served[0]._reader.buffered < 2:
            await asyncio.sleep(0)
        writer.write(b"cd")
        assert await result == b"abcd"
        assert await reader.read() == b""


async def test_what_is_no_http_is_told_to_whoever_reads() -> None:
    async def serve(connection: Connection) -> None:
        await connection.next_request()

    async with connected(serve) as ((_, writer), result):
        writer.write(b"nonsense\r\n\r\n")
        with pytest.raises(BadRequest):
            await result


@pytest.mark.parametrize("leave", [lambda writer: writer.close(), vanish, lambda writer: writer.write_eof()])
async def test_a_client_has_left_when_it_closes_resets_or_sends_no_more(
    leave: Callable[[asyncio.StreamWriter], None],
) -> None:
    async def serve(connection: Connection) -> float | None:
        try:
            await connection.wait(None)
        except ClientLeft:
            return connection.left_at
        return None

    async with connected(serve) as ((_, writer), result):
        await asyncio.sleep(0)
        leave(writer)
        assert await result is not None


async def test_whoever_reads_or_writes_is_told_too() -> None:
    async def serve(connection: Connection) -> None:
        with pytest.raises(ClientLeft):
            await connection.next_request()
        with pytest.raises(ClientLeft):
            await connection.write(b"x")
        with pytest.raises(ClientLeft):
            await connection.wait(0.0)
        await connection.write_last(b"x")

    async with connected(serve) as ((_, writer), result):
        writer.close()
        await result


async def test_a_wait_ends_in_its_time_whatever_arrives_meanwhile() -> None:
    async def serve(connection: Connection) -> str:
        await connection.wait(0.005)
        return (await connection.next_request()).method

    async with connected(serve) as ((_, writer), result):
        writer.write(GET)
        assert await result == "GET"


async def test_writing_waits_for_a_slow_client() -> None:
    written = 0

    async def serve(connection: Connection) -> None:
        nonlocal written
        for _ in range(64):
            await connection.write(b"x" * 2**20)
            written += 2**20

    async with connected(serve) as ((reader, _), result):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(result)
        assert written < 32 * 2**20
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await reader.read(2**26)) > 0


async def test_a_cut_sends_what_was_written_first() -> None:
    async def serve(connection: Connection) -> None:
        connection._transport.write(b"x" * 2**25)
        await connection.cut()

    async with connected(serve) as ((reader, _), result):
        assert len(await reader.read()) == 2**25
        await result


async def read_to_the_reset(raw: socket.socket) -> int:
    """How many bytes came before the connection was reset. A stream reader would forget them."""
    loop, count = asyncio.get_running_loop(), 0
    while True:
        try:
            data = await loop.sock_recv(raw, 2**20)
        except ConnectionResetError:
            return count
        assert data, "the connection was closed, not reset"
        count += len(data)


@asynccontextmanager
async def raw_client(
    serve: Callable[[Connection], Coroutine[Any, Any, None]],
) -> AsyncIterator[tuple[socket.socket, Listener]]:
    listener = Listener(serve, Changes(), host="127.0.0.1", port=0)
    await listener.open()
    with socket.socket() as raw:
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", listener.port))
        yield raw, listener
    await listener.close()


async def test_a_reset_sends_what_was_written_first_and_is_a_reset() -> None:
    async def serve(connection: Connection) -> None:
        await connection.write(b"x" * 2**15)
        await connection.wait(0.02)
        await connection.reset()

    async with raw_client(serve) as (raw, _):
        assert await read_to_the_reset(raw) == 2**15


async def test_a_reset_waits_until_the_socket_has_taken_what_was_written() -> None:
    reset = False

    async def serve(connection: Connection) -> None:
        nonlocal reset
        connection._transport.write(b"x" * 2**25)
        await connection.reset()
        reset = True

    async with raw_client(serve) as (raw, listener):
        with pytest.raises(TimeoutError):
            await listener._changes.wait_until(lambda: reset, timeout=0.05)
        assert await read_to_the_reset(raw) > 2**20
        assert reset


async def test_only_so_much_is_taken_ahead_while_nobody_reads() -> None:
    async def serve(connection: Connection) -> None:
        await connection.next_request()
        with pytest.raises(ClientLeft):
            await connection.wait(None)

    async with connected(serve) as ((_, writer), result):
        writer.write(GET + b"x" * (AHEAD_LIMIT - 10))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.shield(result)
        writer.write(b"x" * 100)
        await result


class Peer(asyncio.Transport):
    def __init__(self, host: str) -> None:
        super().__init__({"peername": (host, 1234)})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("2001:db8::1", False),
    ],
)
async def test_a_client_is_local_on_the_loopback(host: str, local: bool) -> None:
    connection = Connection(lambda _: None, lambda _: None)
    connection.connection_made(Peer(host))
    assert connection.is_local is local
