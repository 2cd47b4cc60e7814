"""What a proxy keeps in memory: for an open stream, for a slow reader, and for good.

1. Resident memory of the whole process tree, from the kernel. What its processes share counts twice.
2. *Held*: 1 000 streams that say one thing a second (LiteLLM 100), against the same fresh process after
   some calls and streams.
3. *Slow reader*: 200 MB are sent to one who reads nothing for 2 s and then 20 MB a second; the highest
   memory seen meanwhile against that before. It is left after 30 s.
4. *Resident*: after 20 000 and after 50 000 unary requests (Portkey and LiteLLM are given as many as they
   manage in some seconds).
"""

from __future__ import annotations

import asyncio
import socket
import time

from benches.gateway import callers, columns, loops, mock, requests, streams, wrk
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.roster import PEERS
from benches.gateway.stage import Running

MEGABYTE = 1_000_000
PAUSE = 2.0  # seconds
BYTES_PER_SECOND = 20 * MEGABYTE


def warm_up(running: Running) -> None:
    request = requests.request(running.target, requests.body())
    callers.steady(running.target, request, 1e9, running.proxy.loads.rate)
    loops.run(_some_streams(running))


async def _some_streams(running: Running) -> None:
    request = requests.request(running.target, requests.body(say=mock.play(5, 10), stream=True))
    async with streams.connected(running.target, 8) as opened:
        await streams.play(opened, request, 5, 0.01, turns=4)


async def _held(running: Running) -> Figures:
    count, events, opening = running.proxy.loads.held, 5, 3.0
    request = requests.request(running.target, requests.body(say=mock.play(events, 1000), stream=True))
    before = running.resident()
    async with streams.connected(running.target, count) as opened:
        playing = asyncio.ensure_future(streams.play(opened, request, events, opening / count))
        await asyncio.sleep(opening + 0.7)
        during = running.resident()
        if playing.done():
            await playing  # which says what went wrong: nobody ends so early
        playing.cancel()
    return {"streams": count, "before_mb": before / MEGABYTE, "each_kb": (during - before) / count / 1e3}


def held(running: Running, _: Plan) -> Figures:
    warm_up(running)
    return loops.run(_held(running))


class SlowReader:
    """Reads so many bytes a second, and looks at the memory meanwhile."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.before = self.highest = running.resident()
        self.read = 0
        self.looked = 0.0

    def look(self) -> None:
        if time.monotonic() - self.looked > 0.1:
            self.highest = max(self.highest, self.running.resident())
            self.looked = time.monotonic()

    def wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self.look()
            time.sleep(min(left, 0.05))

    def receive(self, opened: socket.socket, patience: float) -> None:
        began = time.monotonic()
        self.wait(began + PAUSE)
        began, tail = time.monotonic(), b""
        while b"[DONE]" not in tail and time.monotonic() - began < patience:
            data = opened.recv(65536)
            if not data:
                raise ConnectionResetError(f"closed after {self.read / MEGABYTE:.0f} MB")
            self.read += len(data)
            tail = tail[-64:] + data[-64:]
            self.look()
            self.wait(began + self.read / BYTES_PER_SECOND)

    def figures(self) -> Figures:
        return {"read_mb": self.read / MEGABYTE, "growth_mb": (self.highest - self.before) / MEGABYTE}


def slow_reader(running: Running, plan: Plan) -> Figures:
    warm_up(running)
    sent = requests.body(say=mock.flood(plan.slow_reader_megabytes), stream=True)
    reader = SlowReader(running)
    with callers.connection(running.target) as opened:
        opened.sendall(requests.request(running.target, sent))
        reader.receive(opened, plan.slow_reader)
    return reader.figures()


def serve(running: Running, count: float) -> int:
    served = 0
    while served < count:
        connections = running.proxy.loads.connections
        served += wrk.run(running.folder, running.target, [requests.body()], connections, 1).requests
    return served


def resident(running: Running, plan: Plan) -> Figures:
    warm_up(running)
    total = running.proxy.loads.served * plan.served
    served = serve(running, 0.4 * total)
    before = running.resident()
    served += serve(running, total - served)
    after = running.resident()
    return {"served": served, "after_mb": after / MEGABYTE, "growth_mb": (after - before) / MEGABYTE}


def once(_: Plan) -> int:
    return 1


HELD = Measurement(
    name="held",
    title="Memory of an open stream",
    note="One round. Streams that say one thing a second, in a fresh process.",
    proxies=PEERS,
    columns=[
        columns.figure("streams", "streams"),
        columns.figure("before, MB", "before_mb"),
        columns.figure("KB a stream", "each_kb"),
    ],
    take=held,
    fresh=True,
    rounds=once,
)
SLOW_READER = Measurement(
    name="slow-reader",
    title="Memory for a slow reader",
    note="One round. The reader waits for 2 s, then takes 20 MB/s, for 30 s at most.",
    proxies=PEERS,
    columns=[
        columns.figure("read in all, MB", "read_mb"),
        columns.figure("memory grew by, MB", "growth_mb", 1),
    ],
    take=slow_reader,
    fresh=True,
    rounds=once,
)
RESIDENT = Measurement(
    name="resident",
    title="Memory that stays",
    note="One round. Resident after so many unary requests, and how much of it the last 60 % brought.",
    proxies=PEERS,
    columns=[
        columns.figure("requests", "served"),
        columns.figure("resident, MB", "after_mb"),
        columns.figure("grown meanwhile, MB", "growth_mb", 1),
    ],
    take=resident,
    fresh=True,
    rounds=once,
)
