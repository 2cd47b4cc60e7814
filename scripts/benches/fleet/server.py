"""What each operation costs a real Redis or Valkey: processor time of its one thread, as it counts it itself.

1. The server is started for this, on a socket of its own, and keeps nothing.
2. `processes` have published numbers of `numbers` bytes, and three members' circuits are known.
3. `seconds_each` is what ``INFO commandstats`` says of the scripts alone; `seconds_in_all` also counts
   reading the request and writing the answer: the server's processor time while it does nothing else.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from understudy.core.shared import Cursor, Record, Report, Told, Verdict, Wanted
from understudy.state.redis import RedisStore

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
POOL = "trio"
MEMBERS = tuple(f"{name}~0123456789abcdef" for name in ("first", "second", "third"))
CALLS = 300
STARTS_WITHIN = 10.0


class Price(NamedTuple):
    """Of one operation, in seconds; bytes to the server and from it."""

    seconds_each: float
    seconds_in_all: float
    sent: float
    answered: float


@contextmanager
def server() -> Iterator[Path]:
    """The socket of one that runs (rule 1)."""
    assert PROGRAM is not None, "neither redis-server nor valkey-server is installed"
    with tempfile.TemporaryDirectory(prefix="us-price-", dir="/tmp") as folder:
        path = Path(folder) / "s"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        process = subprocess.Popen([PROGRAM, *options], stdout=subprocess.DEVNULL)
        try:
            _wait_for(path)
            yield path
        finally:
            process.kill()
            process.wait()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError("the server does not answer")
        time.sleep(0.01)


def prices(processes: int, numbers: int = 2000) -> Mapping[str, Price]:
    """By operation, with so many processes there (rule 2)."""
    with server() as path:
        return asyncio.run(_prices(path, processes, numbers))


async def _prices(path: Path, processes: int, size: int) -> Mapping[str, Price]:
    store = RedisStore(f"unix://{path}")
    looks = redis.Redis(unix_socket_path=str(path))
    told = Report(told=tuple(Told(member, _open(30.0)) for member in MEMBERS))
    cursor = (await store.exchange(POOL, told)).cursor
    for number in range(processes):
        await store.publish(POOL, f"{number:012x}", b"7" * size, 600)
    work = _work(store, cursor, processes, b"7" * size)
    found = {name: await _price(looks, do) for name, do in work.items()}
    await store.close()
    looks.close()
    return found


def _work(
    store: RedisStore, cursor: Cursor, processes: int, numbers: bytes
) -> Mapping[str, Callable[[int], Awaitable[Any]]]:
    quiet = Report(cursor)
    return {
        "exchange, nothing new": lambda _: store.exchange(POOL, quiet),
        "exchange, the whole picture": lambda _: store.exchange(POOL, Report()),
        "exchange, an opening told": lambda turn: store.exchange(
            POOL, Report(cursor, (Told(MEMBERS[0], _open(30.0 + turn)),))
        ),
        "lease, given": lambda turn: store.lease(POOL, MEMBERS[1], "us.1", 0, 30),
        "lease, refused": lambda turn: store.lease(POOL, MEMBERS[1], f"them.{turn}", 0, 30),
        "reserve": lambda _: store.reserve(POOL, MEMBERS[0], [Wanted(100, 10**9, 10**9)]),
        "publish": lambda turn: store.publish(POOL, f"{turn % max(1, processes):012x}", numbers, 600),
        "numbers": lambda _: store.numbers(POOL),
    }


def _open(seconds: float) -> Record:
    return Record(Verdict(1, True, -1.0, seconds))


async def _price(looks: redis.Redis, do: Callable[[int], Awaitable[Any]]) -> Price:
    """Rule 3. The first call is not counted: it may bring the script."""
    await do(0)
    before = _counters(looks)
    for turn in range(1, CALLS + 1):
        await do(turn)
    after = _counters(looks)
    return Price(*((late - early) / CALLS for early, late in zip(before, after, strict=True)))


def _counters(looks: redis.Redis) -> tuple[float, float, float, float]:
    every: Any = looks.info("everything")
    microseconds = every.get("cmdstat_evalsha", {"usec": 0})["usec"]
    processor = every["used_cpu_sys"] + every["used_cpu_user"]
    return microseconds / 1e6, processor, every["total_net_input_bytes"], every["total_net_output_bytes"]
