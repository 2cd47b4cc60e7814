"""The limits of the opt-in transport, as far as they are promises; the rest is in the contract."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.servers import Peer, serve
from understudy.errors import ConnectionReset
from understudy.runtime.ports import HttpRequest
from understudy.runtime.pyreqwest_transport import PyreqwestTransport


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.watch()


async def test_the_silence_limit_closes_what_a_cancelled_request_left_open() -> None:
    transport = PyreqwestTransport(silence_limit=0.3)
    async with serve(silent) as server:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.send(HttpRequest(server.url, {}, b"{}")), 0.05)
        await asyncio.wait_for(server.peers[0].gone.wait(), 1.0)
    await transport.close()


async def test_a_silence_beyond_the_limit_is_a_reset() -> None:
    transport = PyreqwestTransport(silence_limit=0.1)
    async with serve(silent) as server:
        with pytest.raises(ConnectionReset):
            await transport.send(HttpRequest(server.url, {}, b"{}"))
    await transport.close()
