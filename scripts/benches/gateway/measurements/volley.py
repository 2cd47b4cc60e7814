"""64 streams of 100 events, one every 5 ms: CPU a stream, and the added time to the first event.

Once begun all at the same instant, so that most of them wait for the others to be opened, and once 4 ms
apart. LiteLLM gets 8 at a time, which is about what it can open in a second.
"""

from __future__ import annotations

from benches.gateway import columns, loops, mock, requests, streams
from benches.gateway.figures import percentile
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.roster import PLAIN
from benches.gateway.stage import Running

EVENTS, EVERY, APART = 100, 5, 0.004


async def _volleys(running: Running, apart: float, volleys: int) -> tuple[float, float]:
    """CPU seconds a stream, and the median time to the first event."""
    request = requests.request(running.target, requests.body(say=mock.play(EVENTS, EVERY), stream=True))
    count = running.proxy.loads.volley
    async with streams.connected(running.target, count) as opened:
        before = running.cpu()
        for _ in range(volleys):
            await streams.play(opened, request, EVENTS, apart)
        cpu = (running.cpu() - before) / (volleys * count)
        return cpu, percentile([first for stream in opened for first in stream.firsts], 0.5)


async def _take(running: Running, volleys: int) -> Figures:
    together_cpu, together = await _volleys(running, 0.0, volleys)
    apart_cpu, apart = await _volleys(running, APART, volleys)
    return {
        "together_cpu_ms": together_cpu * 1e3,
        "together_ms": together * 1e3,
        "apart_cpu_ms": apart_cpu * 1e3,
        "apart_ms": apart * 1e3,
    }


def take(running: Running, plan: Plan) -> Figures:
    return loops.run(_take(running, plan.volleys))


VOLLEY = Measurement(
    name="volley",
    title="64 streams of 100 events, 5 ms apart",
    note="LiteLLM: 8 streams. In brackets: without a proxy.",
    proxies=list(PLAIN),
    columns=[
        columns.figure("CPU ms a stream, begun 4 ms apart", "apart_cpu_ms", 1),
        columns.added("first event, added p50 ms", "apart_ms", 1),
        columns.figure("CPU ms a stream, begun together", "together_cpu_ms", 1),
        columns.added("first event, added p50 ms", "together_ms", 1),
    ],
    take=take,
)
