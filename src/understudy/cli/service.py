"""What ``understudy serve`` does once it is known what to serve: in one process, or in several.

1. Several workers are forked from a parent that has read everything and started nothing, so what is wrong
   with the configuration is said once.
2. The URL is told when all of them take requests.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from understudy.cli import debug_log, saved_profiles, tracing
from understudy.gateway import loading, views
from understudy.gateway.admin import VARIABLE, Admin
from understudy.gateway.app import Gateway
from understudy.gateway.keys import Keys
from understudy.gateway.reloading import Reloader
from understudy.gateway.server import Server, url_of
from understudy.gateway.siblings import Siblings
from understudy.gateway.supervisor import Begun, StartFailed, Supervisor
from understudy.gateway.worker import ALONE, Worker
from understudy.library.balancer import make_transport
from understudy.runtime.clock import SystemClock
from understudy.runtime.link import Link
from understudy.state import open_store

# A path to a socket holds about a hundred bytes.
_LONGEST_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Order:
    """The command's options, checked."""

    listener: socket.socket
    keys: Keys
    profiles: Sequence[str]
    aliases: Mapping[str, str]
    settings: Mapping[str, Any]
    transport: Any
    limit: int
    queue: int
    comments: float
    drain_delay: float
    drain_timeout: float
    workers: int
    state: str | None
    otel: bool | None

    @property
    def drain_seconds(self) -> float:
        """How long a worker may take to leave."""
        return self.drain_delay + self.drain_timeout + Server.last_words + 3.0

    def worker(self, number: int) -> Worker:
        return Worker(number, self.workers, is_shared=self.state is not None)

    def plan(self, worker: Worker) -> loading.Plan:
        return loading.Plan(
            saved_profiles.store(),
            os.environ,
            loading.SharedTransport(make_transport(self.transport)),
            names=self.profiles,
            aliases=self.aliases,
            settings=self.settings,
            limit=self.limit,
            queue=self.queue,
            worker=worker,
        )


@dataclass(frozen=True, slots=True)
class Post:
    """What one of several workers has besides: what the parent read, its line, where it meets the others."""

    reading: loading.Reading
    begun: Begun
    folder: Path


def run(order: Order) -> None:
    """Serve until a signal ends it. Raises `ConfigurationError`."""
    if order.workers > 1:
        _run_workers(order)
    else:
        _run_alone(order, order.plan(ALONE), None)


def _run_alone(order: Order, plan: loading.Plan, post: Post | None) -> None:
    with (
        tracing.traced(order.otel, os.environ) as tracer,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(order, replace(plan, tracer=tracer), post))


def _run_workers(order: Order) -> None:
    tracing.check(order.otel)
    plan = order.plan(order.worker(1))
    reading = loading.read(plan)
    loading.load(plan, reading)  # what a balancer would not take is said here
    with _private_folder() as folder:
        begun = _supervise(order)
        if begun is not None:
            worker = order.worker(begun.number)
            _take_name(f"worker {worker.number}")
            _run_alone(order, replace(plan, worker=worker), Post(reading, begun, folder))


def _supervise(order: Order) -> Begun | None:
    gc.collect()
    gc.freeze()  # pages that nobody touches stay shared
    supervisor = Supervisor(
        order.workers,
        announce=lambda: click.echo(url_of(order.listener)),
        stopping=order.listener.close,
        drain_seconds=order.drain_seconds,
    )
    try:
        return supervisor.run()
    except StartFailed as error:
        if error.status is None:
            raise click.ClickException(str(error)) from None
        raise click.exceptions.Exit(error.status) from None  # it has said why


def _take_name(name: str) -> None:
    """In the log, and where the system lists processes."""
    debug_log.name_speaker(name)
    with suppress(OSError):  # not there on every platform
        Path("/proc/self/comm").write_text(f"understudy {name[-1]}")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Where the workers meet. The parent removes it; without the parent, the last of them."""
    parent = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix="understudy-"))
    if len(str(folder)) > _LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="understudy-", dir="/tmp"))
    try:
        yield folder
    finally:
        is_left = os.getppid() != parent and not any(folder.glob("*.socket"))
        if os.getpid() == parent or is_left:
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(order: Order, plan: loading.Plan, post: Post | None) -> None:
    store = open_store(order.state) if order.state else None
    try:
        link = None if store is None else Link(store, SystemClock())
        await _serve_until_stopped(order, replace(plan, state=link), post)
    finally:
        await plan.transport.close_for_good()
        if store is not None:
            await store.close()


async def _serve_until_stopped(order: Order, plan: loading.Plan, post: Post | None) -> None:
    profiles = loading.load(plan, None if post is None else post.reading)
    gateway = Gateway(profiles, keys=order.keys, comment_seconds=order.comments, worker=plan.worker)
    reloader = Reloader(plan, gateway)
    if admin_key := os.environ.get(VARIABLE, "").strip():
        gateway.admin = Admin(admin_key, lambda: gateway.profiles, _reload_all(reloader, post), plan.worker)
    server = Server(
        gateway,
        order.listener,
        drain_delay=order.drain_delay,
        drain_timeout=order.drain_timeout,
        reload=reloader.try_reload,
        line=None if post is None else post.begun.line,
    )
    # What has been imported and read by now stays: the collector need not look through it again.
    gc.collect()
    gc.freeze()
    if post is not None and post.begun.is_late:
        await reloader.try_reload()  # files may have changed since the parent read them
    watching = asyncio.ensure_future(reloader.watch())
    try:
        async with _met(gateway, post):
            await server.run_until_stopped(_ready(server, post))
    finally:
        watching.cancel()


def _ready(server: Server, post: Post | None) -> Callable[[], None]:
    """Rule 2."""
    return (lambda: click.echo(server.url)) if post is None else post.begun.line.ready


def _reload_all(reloader: Reloader, post: Post | None) -> Callable[[], Awaitable[None]]:
    async def reload() -> None:
        await reloader.reload()
        if post is not None:
            post.begun.line.pass_on(signal.SIGHUP)

    return reload


@asynccontextmanager
async def _met(gateway: Gateway, post: Post | None) -> AsyncIterator[None]:
    """The gateway knows its siblings meanwhile."""
    if post is None:
        yield
        return
    journal = gateway.journal
    siblings = Siblings(
        post.folder,
        gateway.worker,
        count=lambda: views.account(gateway),
        find=journal.trail,
        list_newest=journal.summaries,
        glance=gateway.live.glance,
    )
    await siblings.open()
    gateway.siblings = siblings
    try:
        yield
    finally:
        await siblings.close()


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not there on every platform; asyncio's own loop serves too
        return None
    return uvloop.new_event_loop
