"""What one event of a stream costs, when events come one by one, and as fast as the proxy goes.

1. *One by one*: 100 streams of 100 events a second each, 10 000 a second in all (LiteLLM 400), in the
   middle of their lives; opening them is not counted. A proxy that is busy finds two in one read now and
   then.
2. *As fast as it goes*: streams of 200 events that the mock writes one by one without a pause, 32 at a time
   (LiteLLM 4), with opening them. The proxy finds many events in one read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benches import upstream
from benches.gateway import columns, loops, mock, requests, streams
from benches.gateway.failed import Failed
from benches.gateway.figures import percentile
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.requests import OPENAI, Client
from benches.gateway.roster import PLAIN, TLS
from benches.gateway.stage import Running

EVERY = 10  # milliseconds
OPENING = 0.5  # seconds, until all are under way


class Window:
    """What happens between now and its end, on streams that are under way."""

    def __init__(self, running: Running, opened: Sequence[streams.Stream]) -> None:
        self.running, self.opened = running, opened
        self.before = self._now()

    def _now(self) -> tuple[float, int, float]:
        return self.running.cpu(), sum(stream.events for stream in self.opened), time.monotonic()

    def figures(self) -> Figures:
        cpu, events, seconds = (now - then for now, then in zip(self._now(), self.before, strict=True))
        if not events:
            raise Failed("no event came")
        return {"cpu_us": cpu / events * 1e6, "per_second": events / seconds, "busy": 100 * cpu / seconds}


async def one_by_one(running: Running, seconds: float, client: Client = OPENAI) -> Figures:
    events = round((OPENING + seconds + 0.2) * 1000 / EVERY)
    sent = requests.body(say=mock.play(events, EVERY), stream=True, client=client)
    request = requests.request(running.target, sent, client)
    count = running.proxy.loads.paced
    async with streams.connected(running.target, count) as opened:
        playing = asyncio.ensure_future(streams.play(opened, request, events, 0.8 * OPENING / count))
        await asyncio.sleep(OPENING)
        window = Window(running, opened)
        await asyncio.sleep(seconds)
        figures = window.figures()
        await playing
        delays = [delay for stream in opened for delay in stream.delays]
    return {**figures, "p99_ms": percentile(delays, 0.99) * 1e3}


async def as_fast_as_it_goes(running: Running, seconds: float, client: Client = OPENAI) -> Figures:
    request = requests.request(running.target, requests.body(stream=True, client=client), client)
    async with streams.connected(running.target, running.proxy.loads.flood) as opened:
        began = time.monotonic()
        await streams.play(opened, request, upstream.CHUNKS, 0.0)
        turns = max(1, round(seconds / (time.monotonic() - began)))
        window = Window(running, opened)
        await streams.play(opened, request, upstream.CHUNKS, 0.0, turns)
        return window.figures()


def paced(running: Running, plan: Plan) -> Figures:
    return loops.run(one_by_one(running, plan.paced))


def flood(running: Running, plan: Plan) -> Figures:
    return loops.run(as_fast_as_it_goes(running, plan.flood))


COST = columns.figure("CPU µs an event", "cpu_us")
RATE = columns.figure("events/s", "per_second")
RATIOS = [columns.times("× nginx", "cpu_us", "nginx"), columns.times("× the floor", "cpu_us", "floor")]

PACED = Measurement(
    name="paced",
    title="An event of a stream, one by one",
    note="100 events/s a stream. Delay is from the mock's write to the client's read.",
    proxies=[*PLAIN, *TLS],
    columns=[
        COST,
        RATE,
        columns.figure("core busy, %", "busy"),
        columns.figure("delay p99, ms", "p99_ms", 1),
        *RATIOS,
    ],
    take=paced,
)
FLOOD = Measurement(
    name="flood",
    title="An event of a stream, as fast as it goes",
    note="Many events in one read. Opening the stream of 200 is in these figures.",
    proxies=[*PLAIN, *TLS],
    columns=[COST, RATE, *RATIOS],
    take=flood,
)
