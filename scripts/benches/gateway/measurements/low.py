"""Unary requests at low load: 100 a second, one after another on one connection (LiteLLM 20, see below).

Added time is the proxy's median less that of no proxy. At such a load a process wakes up for each request,
with cold caches: a request costs more CPU than at saturation.
"""

from __future__ import annotations

from benches.gateway import callers, columns, requests
from benches.gateway.figures import percentile
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.roster import PLAIN
from benches.gateway.stage import Running


def take(running: Running, plan: Plan) -> Figures:
    rate = running.proxy.loads.rate
    request = requests.request(running.target, requests.body())
    callers.steady(running.target, request, rate, 20)
    count, before = int(rate * plan.low), running.cpu()
    seconds = callers.steady(running.target, request, rate, count)
    return {
        "rate": rate,
        "p50_ms": percentile(seconds, 0.5) * 1e3,
        "p99_ms": percentile(seconds, 0.99) * 1e3,
        "cpu_us": (running.cpu() - before) / (count + 1) * 1e6,
    }


LOW = Measurement(
    name="low",
    title="Unary, low load",
    note="LiteLLM gets 20 a second, because 100 are more than it carries. In brackets: without a proxy.",
    proxies=list(PLAIN),
    columns=[
        columns.figure("requests/s", "rate"),
        columns.added("added p50, ms", "p50_ms"),
        columns.added("added p99, ms", "p99_ms"),
        columns.figure("CPU µs a request", "cpu_us"),
    ],
    take=take,
)
