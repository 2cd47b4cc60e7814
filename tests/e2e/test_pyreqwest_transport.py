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
        sending = asyncio.ensure_future(transport.send(HttpRequest(server.url, {}, b"{}")))
        peer = await server.peer()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(peer.gone.wait(), 2.0)
    await transport.close()


async def test_a_silence_beyond_the_limit_is_a_reset() -> None:
    transport = PyreqwestTransport(silence_limit=0.1)
    async with serve(silent) as server:
        with pytest.raises(ConnectionReset):
            await transport.send(HttpRequest(server.url, {}, b"{}"))
    await transport.close()
