"""F71: what a running ``understudy serve`` makes of signals while streams are open. Real processes.

Readiness is off at once, new requests are refused politely, open streams finish; what does not finish in
time ends with its protocol's own error. The process always leaves with status 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway_theatre import (
    PATHS,
    PROTOCOLS,
    Protocol,
    Reply,
    Visitor,
    asking,
    visit,
)
from understudy.faults import TEXT, FaultProvider

BOTH = pytest.mark.parametrize("protocol", PROTOCOLS)


class House:
    """The process, its port, and the provider that is both of its members."""

    def __init__(self, process: Process, port: int, provider: FaultProvider) -> None:
        self.process = process
        self.port = port
        self.provider = provider

    @asynccontextmanager
    async def stream(self, protocol: Protocol) -> AsyncIterator[Visitor]:
        """A stream of which the first word has come."""
        async with visit(self.port, protocol) as visitor:
            body = json.dumps(asking(protocol, stream=True)).encode()
            await visitor.send("POST", PATHS[protocol], {}, body)
            await visitor.read_head()
            await visitor.read_until(b"The")
            yield visitor

    async def request(self, path: str, protocol: Protocol = "openai") -> Reply:
        async with visit(self.port, protocol) as visitor:
            is_chat = path in PATHS.values()
            body = json.dumps(asking(protocol)).encode() if is_chat else b""
            await visitor.send("POST" if is_chat else "GET", path, {}, body)
            await visitor.read_head()
            return await visitor.read_rest()

    async def until_draining(self) -> float:
        """How long it took."""
        began = time.monotonic()
        while (await self.request("/health/readiness")).status == 200:
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def until_refused(self) -> None:
        """Nobody listens any more."""
        async with asyncio.timeout(3):
            with suppress(ConnectionRefusedError):
                while True:
                    # Whoever connects as the listener closes is not refused yet, and not answered either.
                    with suppress(asyncio.IncompleteReadError, ConnectionResetError):
                        await self.request("/health/liveness")
                    await asyncio.sleep(0.01)

    async def check_left(self, within: float = 5.0) -> None:
        """With status 0, and nothing to say on stderr but what it logs."""
        async with asyncio.timeout(within):
            assert await self.process.wait() == 0
        assert self.process.stderr is not None
        assert "Traceback" not in (await self.process.stderr.read()).decode()


@asynccontextmanager
async def serving(folder: Path, script: str, protocol: Protocol, *options: str) -> AsyncIterator[House]:
    async with FaultProvider(script) as provider:
        member: dict[str, Any] = {
            "type": "standard",
            "provider": protocol,
            "model": "some-model",
            "ephemeralSettings": {"base-url": provider.base_url, "auth-key-env": "MEMBER_KEY"},
        }
        profile: dict[str, Any] = {
            "type": "loadbalancer",
            "policy": "failover",
            "profiles": ["lead", "second"],
            "ephemeralSettings": {"stall_timeout_ms": 20000, "timeout_ms": 20000},
        }
        for name, value in {"lead": member, "second": member, "evening": profile}.items():
            (folder / f"{name}.json").write_text(json.dumps({"version": 1, **value}))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "understudy", "serve", "--port", "0"),
            *("--profile-load", str(folder / "evening.json"), *options),
            env={**os.environ, "MEMBER_KEY": "sk-member-0123456789", "UNDERSTUDY_HOME": str(folder)},
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        try:
            url = (await process.stdout.readline()).decode().strip()
            yield House(process, int(url.rpartition(":")[2]), provider)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@BOTH
async def test_f71_on_sigterm_new_requests_are_refused_politely_and_the_stream_finishes(
    tmp_path: Path, protocol: Protocol
) -> None:
    async with (
        serving(tmp_path, "delay 1.2s after=20", protocol, "--drain-delay", "0.8") as house,
        house.stream(protocol) as visitor,
    ):
        house.process.send_signal(signal.SIGTERM)
        assert await house.until_draining() < 0.5, "readiness is off at once"
        assert (await house.request("/health/liveness")).status == 200
        for path in ("/health/readiness", PATHS[protocol], "/v1/models"):
            refused = await house.request(path, protocol)
            assert (refused.status, refused.headers["connection"]) == (503, "close")
        refused = await house.request(PATHS[protocol], protocol)
        assert refused.error is not None
        assert (refused.error["code"], refused.headers["retry-after"]) == ("shutting_down", "1")
        assert ("type" in refused.value) is (protocol == "anthropic")
        assert len(house.provider.requests) == 1
        reply = await visitor.read_rest()
        assert (reply.text, reply.error, reply.dones, reply.whole) == (TEXT, None, 1, True)
        await house.check_left()
        await house.until_refused()


@BOTH
async def test_f71_what_does_not_finish_in_time_ends_with_an_error_of_the_protocol(
    tmp_path: Path, protocol: Protocol
) -> None:
    options = ("--drain-delay", "0.1", "--drain-timeout", "0.3")
    async with (
        serving(tmp_path, "stall after=20", protocol, *options) as house,
        house.stream(protocol) as visitor,
    ):
        told = time.monotonic()
        house.process.send_signal(signal.SIGTERM)
        reply = await visitor.read_rest()
        assert 0.35 < time.monotonic() - told < 3
        assert (reply.whole, reply.dones) == (True, 0)
        assert reply.error is not None
        assert reply.error["code"] == "shutting_down"
        assert reply.events[-1].name == ("error" if protocol == "anthropic" else "message")
        assert await house.provider.wait_closed(house.provider.requests[0]) - told < 3
        await house.check_left()


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
async def test_f71_a_second_signal_ends_it_at_once(tmp_path: Path, again: signal.Signals) -> None:
    async with (
        serving(tmp_path, "stall after=20", "openai", "--drain-delay", "20") as house,
        house.stream("openai") as visitor,
    ):
        house.process.send_signal(signal.SIGTERM)
        await house.until_draining()
        told = time.monotonic()
        house.process.send_signal(again)
        reply = await visitor.read_rest()
        assert reply.error is not None
        assert reply.error["code"] == "shutting_down"
        assert time.monotonic() - told < 1
        await house.check_left()


async def test_f71_sigint_does_not_wait_for_others_to_notice(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "delay 0.6s after=20", "anthropic", "--drain-delay", "20") as house,
        house.stream("anthropic") as visitor,
    ):
        house.process.send_signal(signal.SIGINT)
        await house.until_refused()
        reply = await visitor.read_rest()
        assert (reply.text, reply.dones, reply.whole) == (TEXT, 1, True)
        await house.check_left()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_f71_with_nothing_open_it_leaves_right_away(tmp_path: Path, told: signal.Signals) -> None:
    async with serving(tmp_path, "fine", "openai", "--drain-delay", "0.1") as house:
        assert (await house.request(PATHS["openai"])).text == TEXT
        house.process.send_signal(told)
        await house.check_left(within=3)


async def test_f71_a_unary_request_in_flight_is_answered_too(tmp_path: Path) -> None:
    async with serving(tmp_path, "delay 0.6s", "openai", "--drain-delay", "0.1") as house:
        asked = asyncio.create_task(house.request(PATHS["openai"]))
        await house.provider.wait_for_requests(1)
        house.process.send_signal(signal.SIGTERM)
        assert (await asked).text == TEXT
        await house.check_left()


async def test_f71_who_watches_live_is_told_and_holds_nothing_up(tmp_path: Path) -> None:
    """One reads, one has stopped reading."""
    async with (
        serving(tmp_path, "fine", "openai", "--drain-delay", "0.1") as house,
        visit(house.port) as watcher,
        visit(house.port) as sleeper,
    ):
        for visitor in (watcher, sleeper):
            await visitor.send("GET", "/live", {}, b"")
            await visitor.read_head()
            await visitor.read_until(b"event: picture")
        house.process.send_signal(signal.SIGTERM)
        await watcher.read_until(b"event: end")
        assert (await watcher.read_rest()).whole
        await house.check_left(within=4)
