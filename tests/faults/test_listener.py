from __future__ import annotations

import asyncio

import pytest

from understudy.faults.connection import Connection
from understudy.faults.listener import Listener
from understudy.faults.waiting import Changes


async def forever(connection: Connection) -> None:
    await connection.wait(None)


async def test_closing_ends_every_connection_and_its_task() -> None:
    ended = 0

    async def serve(connection: Connection) -> None:
        nonlocal ended
        try:
            await asyncio.sleep(3600)
        finally:
            ended += 1

    changes = Changes()
    listener = Listener(serve, changes, host="127.0.0.1", port=0)
    await listener.open()
    clients = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3)]
    await changes.wait_until(lambda: listener.open_connections == 3, 5.0)
    await listener.close()
    assert (ended, listener.open_connections, listener.connections) == (3, 0, 3)
    for reader, writer in clients:
        assert await reader.read() == b""
        writer.close()
    assert len(asyncio.all_tasks()) == 1
    await listener.close()


async def test_a_closed_listener_refuses() -> None:
    listener = Listener(forever, Changes(), host="127.0.0.1", port=0)
    await listener.open()
    assert listener.is_open
    await listener.close()
    assert not listener.is_open
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)


async def test_a_port_that_is_taken_is_an_error() -> None:
    first = Listener(forever, Changes(), host="127.0.0.1", port=0)
    await first.open()
    with pytest.raises(OSError, match="address already in use"):
        await Listener(forever, Changes(), host="127.0.0.1", port=first.port).open()
    await first.close()
