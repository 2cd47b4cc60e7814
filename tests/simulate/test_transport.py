"""Replies in the loop's time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import inf
from random import Random

import pytest

from understudy.errors import ConnectFailed, ConnectionReset
from understudy.runtime.ports import HttpRequest
from understudy.simulate import openai_words
from understudy.simulate.backend import ModelledBackend, Reply
from understudy.simulate.fate import Fate
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.scenario import Effects, Model
from understudy.simulate.transport import ModelledTransport, until


class Scripted(ModelledBackend):
    """Replies as it is told."""

    def __init__(self, given: Reply) -> None:
        super().__init__("b", "m", openai_words, Model(), Fate(Effects(), ()), Random(1))
        self.given = given

    def reply(self, request: HttpRequest, now: float) -> Reply:
        return self.given


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def request(name: str = "b") -> HttpRequest:
    return HttpRequest(f"http://simulated/{name}/chat/completions", {}, b"")


def test_head_and_pieces_come_in_their_time_and_then_the_end(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(1002.0, 200, {"a": "b"}, ((1002.0, b"one"), (1005.0, b"two"))))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)

    async def play() -> None:
        response = await transport.send(request())
        assert (loop.time(), backend.in_flight) == (1002.0, 1)
        assert (response.status, response.headers, response.reconnected) == (200, {"a": "b"}, False)
        assert await response.read() == b"one"
        assert loop.time() == 1002.0
        assert await response.read() == b"two"
        assert loop.time() == 1005.0
        assert await response.read() == b""
        response.close()
        response.close()
        assert backend.in_flight == 0
        await transport.close()

    loop.run_until_complete(play())


def test_an_error_comes_instead_of_a_head_and_leaves_nothing_open(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(1001.0, 0, {}, (), ConnectFailed("refused")))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)
    with pytest.raises(ConnectFailed, match="refused"):
        loop.run_until_complete(transport.send(request()))
    assert (loop.time(), backend.in_flight) == (1001.0, 0)


def test_an_error_comes_instead_of_a_piece(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(1000.0, 200, {}, ((1001.0, ConnectionReset("gone")),)))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)

    async def play() -> None:
        response = await transport.send(request())
        with pytest.raises(ConnectionReset, match="gone"):
            await response.read()

    loop.run_until_complete(play())


def test_what_is_on_its_way_breaks_off_when_the_backend_falls_over(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(1001.0, 200, {}, ((1001.0, b"one"), (1005.0, b"two"))))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)

    def fall() -> None:
        backend.falls += 1
        backend.in_flight = 0

    async def play() -> None:
        response = await transport.send(request())
        assert await response.read() == b"one"
        loop.call_at(1001.5, fall)
        with pytest.raises(ConnectionReset, match="fell over"):
            await response.read()
        assert loop.time() == 1005.0
        backend.in_flight = 1  # of those that came since
        response.close()
        assert backend.in_flight == 1

    loop.run_until_complete(play())


def test_a_head_does_not_come_from_a_backend_that_fell_over(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(1001.0, 200, {}, ()))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)
    backend.in_flight = 4
    loop.call_at(1000.5, lambda: setattr(backend, "falls", 1))
    with pytest.raises(ConnectionReset, match="fell over"):
        loop.run_until_complete(transport.send(request()))
    assert backend.in_flight == 5, "it was counted before"


def test_whoever_gives_up_waiting_leaves_nothing_open(loop: VirtualLoop) -> None:
    backend = Scripted(Reply(inf, 0, {}, (), ConnectionReset("")))
    transport = ModelledTransport({"http://simulated/b/": backend}, loop)

    async def play() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await transport.send(request())

    loop.run_until_complete(play())
    assert (loop.time(), backend.in_flight) == (1060.0, 0)


def test_a_backend_is_found_by_its_whole_name(loop: VirtualLoop) -> None:
    short, long = (Scripted(Reply(1000.0, status, {}, ())) for status in (201, 202))
    transport = ModelledTransport({"http://simulated/b/": short, "http://simulated/b.b/": long}, loop)

    async def statuses() -> list[int]:
        return [(await transport.send(request(name))).status for name in ("b.b", "b", "b.b")]

    assert loop.run_until_complete(statuses()) == [202, 201, 202]


def test_a_timer_that_rings_as_its_waiter_is_cancelled_harms_nobody(loop: VirtualLoop) -> None:
    async def play() -> None:
        waiting = loop.create_task(until(1001.0, loop))
        # Set before the waiter sets its own, so that both are due at once, and this one first.
        loop.call_at(1001.0, waiting.cancel)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    loop.run_until_complete(play())
    assert told == []
