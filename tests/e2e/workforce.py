"""``understudy serve --workers`` as a real process before a provider that is both of its members.

A visitor to a certain worker connects until that one takes the connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.local_provider import Home
from tests.e2e.gateway_theatre import PATHS, Reply, Visitor, asking, visit
from understudy.faults import FaultProvider

ADMIN_KEY = "key-of-the-operator-4711"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Workforce:
    """The parent process, its workers, and who visits them."""

    def __init__(self, process: Process, port: int, home: Home, provider: FaultProvider, count: int) -> None:
        self.process = process
        self.port = port
        self.home = home
        self.provider = provider
        self.count = count

    # Processes

    def workers(self) -> dict[int, int]:
        """The process ids of the workers by their numbers, as the system names them."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        names = {}
        for pid in map(int, pids):
            with suppress(OSError):  # it has just ended
                names[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        return {int(name.split()[1]): pid for pid, name in names.items() if name.startswith("understudy ")}

    def meeting_places(self) -> list[Path]:
        return list((self.home.path / "tmp").glob("understudy-*"))

    async def line(self) -> str:
        """The next line of the log."""
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            return (await self.process.stderr.readline()).decode()

    async def check_left(self, within: float = 8.0, status: int = 0) -> str:
        """What else it said; nothing of it is left."""
        pids = self.workers().values()
        async with asyncio.timeout(within):
            assert await self.process.wait() == status
        assert not any(is_running(pid) for pid in pids)
        assert self.meeting_places() == []
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode()
        assert "Traceback" not in said
        return said

    # Visits

    @asynccontextmanager
    async def visit(self, worker: int) -> AsyncIterator[Visitor]:
        """A connection that this worker has taken."""
        async with AsyncExitStack() as stack:
            while True:
                visitor = await stack.enter_async_context(visit(self.port))
                if (await get(visitor, "/health/liveness")).headers["x-understudy-worker"] == str(worker):
                    break
            visitor.forget()
            yield visitor

    @asynccontextmanager
    async def stream(self, worker: int) -> AsyncIterator[Visitor]:
        """A stream of that worker of which the first word has come."""
        async with self.visit(worker) as visitor:
            await chat(visitor, stream=True)
            await visitor.read_until(b"The")
            yield visitor

    async def ask(self, worker: int, **fields: Any) -> Reply:
        async with self.visit(worker) as visitor:
            await chat(visitor, **fields)
            return await visitor.read_rest()

    async def get(
        self, path: str, worker: int | None = None, method: str = "GET", body: bytes = b"", key: str = ""
    ) -> Reply:
        async with AsyncExitStack() as stack:
            place = visit(self.port) if worker is None else self.visit(worker)
            return await get(await stack.enter_async_context(place), path, method, body, key)

    async def admin(self, method: str, path: str, body: bytes = b"", worker: int | None = None) -> Reply:
        return await self.get(path, worker, method, body, ADMIN_KEY)

    async def metrics(self, worker: int | None = None) -> Series:
        text = (await self.get("/metrics", worker)).body.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def until_all_are_there(self) -> None:
        async with asyncio.timeout(10):
            while len(self.workers()) < self.count:
                await asyncio.sleep(0.02)

    async def until_nobody_listens(self, within: float = 5.0) -> None:
        async with asyncio.timeout(within):
            with suppress(ConnectionError):
                while await self.get("/health/liveness"):
                    await asyncio.sleep(0.02)


def figure(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


async def get(visitor: Visitor, path: str, method: str = "GET", body: bytes = b"", key: str = "") -> Reply:
    visitor.forget()
    await visitor.send(method, path, {"x-api-key": key} if key else {}, body)
    await visitor.read_head()
    return await visitor.read_rest()


async def chat(visitor: Visitor, **fields: Any) -> None:
    """A request, up to the head of its answer."""
    visitor.forget()
    await visitor.send("POST", PATHS["openai"], {}, json.dumps(asking("openai", **fields)).encode())
    await visitor.read_head()


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@asynccontextmanager
async def workforce(
    folder: Path, script: str = "fine", *options: str, workers: int = 2, **settings: Any
) -> AsyncIterator[Workforce]:
    """`settings` are the profile's."""
    async with FaultProvider(script) as provider:
        home = Home(folder)
        home.backend("lead", provider.base_url)
        home.backend("second", provider.base_url)
        home.pool("evening", "lead", "second", **settings)
        (folder / "tmp").mkdir()
        async with staff(home, provider, *options, workers=workers) as force:
            yield force


@asynccontextmanager
async def staff(
    home: Home, provider: FaultProvider, *options: str, workers: int = 2
) -> AsyncIterator[Workforce]:
    """One gateway that serves what is saved there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "understudy", "serve", "--port", "0"),
        *("--workers", str(workers), *options),
        env={
            **os.environ,
            "UNDERSTUDY_HOME": str(home.path),
            "UNDERSTUDY_ADMIN_KEY": ADMIN_KEY,
            "TMPDIR": str(home.path / "tmp"),
        },
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
        yield Workforce(process, int(url.rpartition(":")[2]), home, provider, workers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
