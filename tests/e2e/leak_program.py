"""Twenty thousand requests, one in five of them hit by a fault, through one balancer.

Prints one JSON object: what is left afterwards, and how resident memory went. Run by test_no_leak.py in
a process of its own, so that nothing but the balancer is measured; the provider is another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection

from understudy import Balancer, LoadBalancerProfile, RequestError, StandardProfile
from understudy.faults import FaultProvider

FAULTS = (
    "status 500",
    "reset",
    "cut after=headers",
    "stall after=20",
    "cut after=30",
    "end after=30",
    "429 retry-after-ms=1",
    "html 200",
    "malformed after=5",
    "silence after=headers",
    "empty null",
    "hang-up",
)
SCRIPT = "; ".join(f"fine; fine; fine; fine; {fault}" for fault in FAULTS) + "; loop"
CONCURRENCY = 50
WARM_UP = 2_000


def serve(port: Connection) -> None:
    logging.disable()  # asyncio's remarks about clients that have left

    async def run() -> None:
        async with FaultProvider(SCRIPT, log_size=10) as provider:
            port.send(provider.base_url)
            await asyncio.Event().wait()

    asyncio.run(run())


def sockets() -> int:
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(link.startswith("socket:") for link in links)


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def living_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


async def ask(lb: Balancer, number: int) -> None:
    """Streams, unary calls, and callers who leave in the middle."""
    with contextlib.suppress(RequestError):
        if number % 3 == 0:
            await lb.complete("Hi")
            return
        async with lb.stream("Hi") as stream:
            async for chunk in stream:
                if number % 10 == 1 and chunk.text:
                    return


async def requests(lb: Balancer, count: int) -> None:
    numbers: Iterator[int] = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await ask(lb, number)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def main(url: str, total: int) -> dict[str, object]:
    settings = {
        "timeout_ms": 200,
        "unary_timeout_ms": 200,
        "stall_timeout_ms": 50,
        "failover_retry_delay_ms": 1,
        "circuit_breaker_recovery_timeout_ms": 20,
    }
    profile = LoadBalancerProfile("leak", "roundrobin", ("a", "b", "c"), settings=settings)
    members = [StandardProfile(name, "openai", name, settings={"base-url": url}) for name in "abc"]
    before = sockets()
    async with Balancer(profile, members) as lb:
        await requests(lb, WARM_UP)
        alive, warm = living_objects(), resident()
        await requests(lb, total - WARM_UP)
        stats = lb.stats()
        grown = resident() - warm
        alive = living_objects() - alive
    await asyncio.sleep(0.1)
    return {
        "tasks": len(asyncio.all_tasks()) - 1,
        "sockets": sockets() - before,
        "grown": grown,
        "objects": alive,
        "requests": stats.total_requests,
        "answered": stats.answered,
        "cancelled": stats.cancelled,
        "failed": stats.failed,
        "in_flight": stats.in_flight + sum(backend.in_flight for backend in stats.backends),
        "kinds": sorted({kind for backend in stats.backends for kind in backend.by_kind}),
    }


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    provider = context.Process(target=serve, args=(sender,), daemon=True)
    provider.start()
    print(json.dumps(asyncio.run(main(receiver.recv(), int(sys.argv[1])))))
    provider.kill()
    provider.join()
