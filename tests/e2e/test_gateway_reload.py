"""Profiles loaded anew by a running ``understudy serve``: on SIGHUP, and when files change. Real processes.

A stream that a provider holds open meanwhile finishes on what it started with; the next request is answered
by what the files say now.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.local_provider import Home
from tests.e2e.gateway_theatre import PATHS, Reply, Visitor, asking, visit
from understudy.faults import TEXT, FaultProvider

HOLD = "delay 3s after=20; fine"
ANEW = "INFO understudy.gateway: profiles loaded anew: "
REFUSED = "ERROR understudy.gateway: profiles not loaded, the running ones stay: "


class House:
    """The process, the files it looks at, and the providers that its members lead to."""

    def __init__(self, process: Process, port: int, home: Home, lead: FaultProvider, other: FaultProvider):
        self.process = process
        self.port = port
        self.home = home
        self.lead = lead
        self.other = other

    async def ask(self, model: str = "evening") -> Reply:
        async with self.asking(model) as visitor:
            return await visitor.read_rest()

    @asynccontextmanager
    async def asking(self, model: str = "evening", **fields: Any) -> AsyncIterator[Visitor]:
        async with visit(self.port) as visitor:
            body = json.dumps(asking("openai", model=model, **fields)).encode()
            await visitor.send("POST", PATHS["openai"], {}, body)
            await visitor.read_head()
            yield visitor

    async def answered_by(self, model: str = "evening") -> str | None:
        return (await self.ask(model)).headers.get("x-understudy-backend")

    async def line(self) -> str:
        """The next line of the log."""
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            return (await self.process.stderr.readline()).decode()

    async def end(self) -> str:
        """What else it says until it has left with status 0."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            _, err = await self.process.communicate()
        assert self.process.returncode == 0
        return err.decode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[House]:
    async with FaultProvider(HOLD) as lead, FaultProvider() as other:
        home = Home(folder)
        home.backend("a", lead.base_url)
        home.backend("b", other.base_url)
        home.pool("evening", "a", "b")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "understudy", "serve", "--port", "0"),
            env={**os.environ, "UNDERSTUDY_HOME": str(folder)},
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        try:
            url = (await process.stdout.readline()).decode().strip()
            yield House(process, int(url.rpartition(":")[2]), home, lead, other)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize("told", ["by a signal", "by looking"])
async def test_what_runs_finishes_on_what_it_started_with_and_the_next_is_served_anew(
    tmp_path: Path, told: str
) -> None:
    """Several files are saved: together they are one change."""
    async with serving(tmp_path) as house, house.asking(stream=True) as running:
        await running.read_until(b"The")
        house.home.backend("c", house.other.base_url, "another-model")
        house.home.pool("evening", "c", "b")
        house.home.pool("morning", "b", "c")
        (tmp_path / "gateway.json").write_text('{"aliases": {"gpt-*": "morning"}}')
        if told == "by a signal":
            house.process.send_signal(signal.SIGHUP)
        assert (await house.line()).endswith(f"{ANEW}evening, morning\n")
        assert [await house.answered_by(model) for model in ("evening", "morning", "gpt-4o")] == [
            "c",
            "b",
            "b",
        ]
        assert house.other.requests[0].model == "another-model"
        assert len(house.lead.requests) == 1
        reply = await running.read_rest()
        assert (reply.text, reply.error, reply.dones, reply.whole) == (TEXT, None, 1, True)
        assert reply.headers["x-understudy-backend"] == "a"
        assert await house.end() == ""


async def test_a_profile_that_is_gone_is_not_found_at_once_and_its_streams_finish(tmp_path: Path) -> None:
    async with serving(tmp_path) as house, house.asking(stream=True) as running:
        await running.read_until(b"The")
        house.home.pool("morning", "b", "a")
        (tmp_path / "profiles" / "evening.json").unlink()
        house.process.send_signal(signal.SIGHUP)
        assert (await house.line()).endswith(f"{ANEW}morning\n")
        assert (await house.ask("evening")).status == 404
        reply = await running.read_rest()
        assert (reply.text, reply.error, reply.dones, reply.whole) == (TEXT, None, 1, True)
        assert await house.end() == ""


async def test_a_bad_file_is_one_line_and_the_running_profiles_stay_until_it_is_mended(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as house, house.asking(stream=True) as running:
        await running.read_until(b"The")
        house.home.pool("evening", "b", "a", timout_ms=5)
        line = await house.line()
        assert REFUSED in line
        assert line.endswith("timout_ms: unknown setting (did you mean timeout_ms?)\n")
        assert await house.answered_by() == "a"
        reply = await running.read_rest()
        assert (reply.text, reply.whole) == (TEXT, True)
        house.home.pool("evening", "b", "a", timeout_ms=5000)
        assert (await house.line()).endswith(f"{ANEW}evening\n"), "and nothing was said twice"
        assert await house.answered_by() == "b"
        assert await house.end() == ""
