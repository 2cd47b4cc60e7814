"""Facts about the server: what it listens on, and how it comes to its end.

It runs on the test's own loop and a real socket; its backends are scripted, on a manual clock. What runs as a
process of its own is in tests/e2e/test_gateway_signals.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.gateway.house import chat
from tests.gateway.stage import Stage
from tests.runtime.house import DONE, STOP, completion, delta, stream
from understudy.gateway.server import ListenFailed, Server, listen
from understudy.gateway.worker import Line

HELD = stream(delta("Hello"), 60.0, STOP, DONE)


class Visitor:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, path: str = "/v1/chat/completions", **fields: Any) -> None:
        body = json.dumps(chat(**fields)).encode() if path.startswith("/v1") else b""
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def until(self, part: bytes) -> bytes:
        return await self.reader.readuntil(part)

    async def rest(self) -> bytes:
        """All that comes until the other side closes."""
        return await self.reader.read()


class House:
    """A server that runs, and its visitors."""

    def __init__(self, stage: Stage, server: Server) -> None:
        self.stage = stage
        self.server = server
        self.port: int = server.listener.getsockname()[1]
        self.ready = asyncio.Event()
        self.running = asyncio.ensure_future(server.run_until_stopped(self.ready.set))
        self._writers: list[asyncio.StreamWriter] = []

    async def visit(self) -> Visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return Visitor(reader, writer)

    async def stream(self) -> Visitor:
        """A visitor who has had the first word of a stream."""
        visitor = await self.visit()
        visitor.ask(stream=True)
        await visitor.until(b"Hello")
        return visitor

    async def until_draining(self) -> None:
        while not self.stage.gateway.draining:
            await asyncio.sleep(0)

    async def is_closed(self) -> None:
        """Wait until nobody is let in any more."""
        with suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.transport.abort()
                await asyncio.sleep(0.001)

    async def check_ended(self, within: float) -> None:
        """It ends by itself, and leaves nothing open."""
        async with asyncio.timeout(within):
            await self.running
        assert self.server.server_state.connections == set()
        assert self.server.server_state.tasks == set()
        assert self.server.listener.fileno() == -1
        assert self.stage.gateway.running == 0

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self.server.stop(delay=False)
        self.server.stop(delay=False)
        await asyncio.wait({self.running})


@asynccontextmanager
async def serving(
    *scripts: Any,
    drain_delay: float = 0.0,
    drain_timeout: float = 30.0,
    last_words: float = 2.0,
    reload: Callable[[], Awaitable[None]] | None = None,
    line: Line | None = None,
) -> AsyncIterator[House]:
    stage = Stage(*(scripts or [completion()]), stall_timeout_ms=600_000)
    server = Server(
        stage.gateway,
        listen("127.0.0.1", 0),
        drain_delay=drain_delay,
        drain_timeout=drain_timeout,
        reload=reload,
        line=line,
    )
    server.last_words = last_words
    house = House(stage, server)
    await house.ready.wait()
    try:
        yield house
    finally:
        await house.close()


# Listening


def test_port_0_takes_a_free_one_and_the_url_says_which() -> None:
    with listen("127.0.0.1", 0) as bound:
        server = Server(Stage(completion()).gateway, bound)
        assert server.url == f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert not server.url.endswith(":0")


def test_an_address_of_the_newer_kind_stands_in_brackets() -> None:
    with listen("::1", 0) as bound:
        url = Server(Stage(completion()).gateway, bound).url
        assert url == f"http://[::1]:{bound.getsockname()[1]}"


def test_an_address_that_is_taken_is_one_line() -> None:
    with listen("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(ListenFailed) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 100, "a..b"])
def test_so_is_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ListenFailed, match=r"^cannot listen on .*:80: .+$"):
        listen(host, 80)


def test_a_port_may_be_taken_again_at_once() -> None:
    """Connections that linger from the process before do not hinder the next."""
    with listen("127.0.0.1", 0) as bound:
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1


# Serving


async def test_once_ready_requests_are_answered() -> None:
    async with serving() as house:
        visitor = await house.visit()
        visitor.ask()
        assert b" 200 " in await visitor.head()


async def test_sighup_loads_the_profiles_anew() -> None:
    loaded = asyncio.Event()

    async def reload() -> None:
        loaded.set()

    async with serving(reload=reload) as house:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            await loaded.wait()
        assert not house.running.done()


# Rule 1: draining


async def test_while_draining_new_requests_are_refused_politely_and_open_streams_go_on() -> None:
    async with serving(HELD, drain_delay=60) as house:
        open_stream = await house.stream()
        os.kill(os.getpid(), signal.SIGTERM)
        await house.until_draining()
        visitor = await house.visit()
        visitor.ask()
        answer = await visitor.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in answer
        visitor = await house.visit()
        visitor.ask("/health/readiness")
        assert (await visitor.rest()).startswith(b"HTTP/1.1 503 ")
        await house.stage.clock.advance(60)
        assert (await open_stream.until(b"[DONE]")).endswith(b"[DONE]")
        assert not house.running.done(), "the delay has not passed"


async def test_after_the_delay_nobody_is_let_in_and_what_runs_is_served_to_its_end() -> None:
    async with serving(HELD, drain_delay=0.01) as house:
        open_stream, idle = await house.stream(), await house.visit()
        idle.ask("/health/liveness")
        await idle.head()
        house.server.stop()
        await house.is_closed()
        await idle.rest()
        assert not house.running.done()
        await house.stage.clock.advance(60)
        rest = await open_stream.rest()
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await house.check_ended(10)


async def test_sigint_leaves_the_delay_out() -> None:
    async with serving(drain_delay=60) as house:
        os.kill(os.getpid(), signal.SIGINT)
        await house.check_ended(10)


async def test_what_still_runs_when_the_time_is_up_ends_with_the_protocols_own_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(HELD, drain_timeout=0.05) as house:
        open_stream = await house.stream()
        house.server.stop()
        rest = await open_stream.rest()
        assert b'"code":"shutting_down"' in rest
        assert rest.endswith(b"0\r\n\r\n")
        await house.check_ended(10)
    assert "1 requests are cut off: the drain timeout has passed" in caplog.messages


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(again: signal.Signals) -> None:
    async with serving(HELD, drain_delay=60, drain_timeout=60) as house:
        open_stream = await house.stream()
        os.kill(os.getpid(), signal.SIGTERM)
        await house.until_draining()
        os.kill(os.getpid(), again)
        assert b'"code":"shutting_down"' in await open_stream.rest()
        await house.check_ended(10)


# Rule 2: the end


async def test_whatever_being_ready_raises_ends_it_with_nothing_open() -> None:
    stage = Stage(completion())
    server = Server(stage.gateway, listen("127.0.0.1", 0))

    def ready() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await server.run_until_stopped(ready)
    assert server.listener.fileno() == -1
    assert not any(listening.is_serving() for listening in server.servers)


async def test_with_nothing_open_it_ends_right_away() -> None:
    async with serving() as house:
        visitor = await house.visit()
        visitor.ask()
        await visitor.head()
        house.server.stop()
        await house.check_ended(10)


async def test_a_client_that_takes_no_last_words_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """It has stopped reading, while its backend is silent: the error event finds no room."""
    large = delta("x" * 20_000_000)
    async with serving(stream(delta("Hello"), large, 600.0), drain_timeout=0.05, last_words=0.1) as house:
        await house.stream()
        responses = house.stage.transport.responses
        while len(responses[0]._pieces) > 0:
            await asyncio.sleep(0.001)
        other = await house.visit()
        other.ask("/health/liveness")
        await other.head()
        house.server.stop()
        began = time.monotonic()
        await asyncio.wait({house.running}, timeout=10)
        assert house.running.done()
        assert time.monotonic() - began < 5
        house.running.result()
        await house.stage.clock.advance()
        assert (house.server.server_state.tasks, house.stage.gateway.running) == (set(), 0)


# Rule 3


async def test_a_worker_gets_its_orders_over_its_line_and_not_by_signals() -> None:
    reloads: list[str] = []

    async def reload() -> None:
        reloads.append("anew")

    parent, its = socket.socketpair()
    before = signal.getsignal(signal.SIGTERM)
    with parent:
        async with serving(HELD, reload=reload, line=Line(its)) as house:
            assert signal.getsignal(signal.SIGTERM) is before
            visitor = await house.stream()
            parent.send(bytes([signal.SIGHUP]))
            async with asyncio.timeout(5):
                while not reloads:
                    await asyncio.sleep(0)
            parent.send(bytes([signal.SIGTERM]))
            await house.until_draining()
            parent.send(bytes([signal.SIGTERM]))
            assert b"shutting_down" in await visitor.rest()
            await house.check_ended(within=2)
    its.close()


async def test_a_worker_without_a_parent_stops_without_delay() -> None:
    parent, its = socket.socketpair()
    async with serving(line=Line(its), drain_delay=60) as house:
        parent.send(bytes([signal.SIGHUP]))  # there is nothing to load anew
        parent.close()
        await house.check_ended(within=5)
    its.close()
