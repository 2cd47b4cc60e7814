"""Facts about the scripted transport."""

from __future__ import annotations

import asyncio

import pytest

from understudy.errors import ConnectFailed, ConnectionReset
from understudy.runtime.ports import HttpRequest
from understudy.testing import ManualClock, Reply, ScriptedTransport

URL = "http://a.test"


def request(url: str = URL) -> HttpRequest:
    return HttpRequest(url, {}, b"{}")


async def test_replies_come_in_turn_and_the_last_one_repeats() -> None:
    transport = ScriptedTransport(ManualClock(), {URL: [Reply(status=500), Reply(reconnected=True)]})
    responses = [await transport.send(request()) for _ in range(3)]
    assert [response.status for response in responses] == [500, 200, 200]
    assert [response.reconnected for response in responses] == [False, True, True]
    assert responses[0].headers == {"content-type": "text/event-stream"}
    assert len(transport.requests) == 3


async def test_a_body_arrives_waits_fails_and_ends() -> None:
    clock = ManualClock()
    transport = ScriptedTransport(
        clock, {URL: [Reply(pieces=[b"one", 2.0, b"two", ConnectionReset("gone")])]}
    )
    response = await transport.send(request())
    assert await response.read() == b"one"
    second = asyncio.create_task(response.read())
    await clock.advance(1.9)
    assert not second.done()
    await clock.advance(0.1)
    assert await second == b"two"
    with pytest.raises(ConnectionReset):
        await response.read()
    assert await response.read() == b""


async def test_a_head_waits_and_fails() -> None:
    clock = ManualClock()
    transport = ScriptedTransport(clock, {URL: [Reply(head=[1.0, ConnectFailed("refused")])]})
    sending = asyncio.create_task(transport.send(request()))
    await clock.advance(1)
    with pytest.raises(ConnectFailed):
        await sending


async def test_an_unknown_backend_is_a_mistake_of_the_test() -> None:
    with pytest.raises(KeyError):
        await ScriptedTransport(ManualClock(), {}).send(request())
