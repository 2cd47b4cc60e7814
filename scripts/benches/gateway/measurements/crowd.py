"""1 000 streams at once, 5 events a second each: is any event lost or late on one core?

They begin within a second of each other, which spreads their beats. A lost, doubled or disordered event fails
the run; CPU and delay are of the whole time in which all are open.
"""

from __future__ import annotations

import asyncio

from benches.gateway import columns, loops, mock, requests, streams
from benches.gateway.failed import Failed
from benches.gateway.figures import percentile
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.measurements.events import Window
from benches.gateway.plan import Plan
from benches.gateway.roster import PEERS
from benches.gateway.stage import Running

EVERY = 200  # milliseconds
OPENING = 1.0


async def _take(running: Running, seconds: float) -> Figures:
    count = running.proxy.loads.crowd
    events = round((OPENING + seconds) * 1000 / EVERY)
    request = requests.request(running.target, requests.body(say=mock.play(events, EVERY), stream=True))
    async with streams.connected(running.target, count) as opened:
        playing = asyncio.ensure_future(streams.play(opened, request, events, OPENING / count))
        await asyncio.sleep(OPENING)
        window = Window(running, opened)
        await asyncio.sleep(seconds)
        figures = window.figures()
        await playing
        delays = [delay for stream in opened for delay in stream.delays]
    return {
        **figures,
        "events": len(delays),
        "lost": count * events - len(delays),
        "p50_ms": percentile(delays, 0.5) * 1e3,
        "p99_ms": percentile(delays, 0.99) * 1e3,
        "worst_ms": max(delays) * 1e3,
    }


def take(running: Running, plan: Plan) -> Figures:
    if not running.proxy.loads.crowd:
        raise Failed("5 000 events a second are more than it can carry")
    return loops.run(_take(running, plan.crowd))


CROWD = Measurement(
    name="crowd",
    title="1 000 streams at once, 5 events/s each",
    note="Delay is from the mock's write to the client's read.",
    proxies=PEERS,
    columns=[
        columns.figure("events", "events"),
        columns.figure("lost", "lost"),
        columns.figure("delay p50, ms", "p50_ms", 1),
        columns.figure("p99, ms", "p99_ms", 1),
        columns.figure("worst, ms", "worst_ms", 1),
        columns.figure("CPU µs an event", "cpu_us"),
        columns.figure("core busy, %", "busy"),
    ],
    take=take,
)
