"""Unary requests as fast as the proxy goes: wrk, 32 connections (8 saturate the slow peers)."""

from __future__ import annotations

from benches.gateway import columns, requests, wrk
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.roster import PLAIN, TLS
from benches.gateway.stage import Running

COST = columns.figure("CPU µs a request", "cpu_us")
RATE = columns.figure("requests/s", "per_second")


def saturate(running: Running, seconds: float, warm_up: float) -> Figures:
    connections = running.proxy.loads.connections
    bodies = [requests.body(model) for model in running.proxy.models]
    if warm_up:
        wrk.run(running.folder, running.target, bodies, connections, warm_up)
    before = running.cpu()
    load = wrk.run(running.folder, running.target, bodies, connections, seconds)
    return {"cpu_us": (running.cpu() - before) / load.requests * 1e6, "per_second": load.per_second}


def take(running: Running, plan: Plan) -> Figures:
    return saturate(running, plan.unary, plan.warm_up)


UNARY = Measurement(
    name="unary",
    title="Unary, saturated",
    note="1.9 KB in, 1.2 KB out.",
    proxies=list(PLAIN),
    columns=[
        COST,
        RATE,
        columns.times("× nginx", "cpu_us", "nginx"),
        columns.times("× the floor", "cpu_us", "floor"),
        columns.against("Portkey ÷ it", "cpu_us", "portkey"),
        columns.against("LiteLLM ÷ it", "cpu_us", "litellm"),
    ],
    take=take,
)
UNARY_TLS = Measurement(
    name="unary-tls",
    title="Unary, saturated, TLS to the upstream",
    note="The client's side is plain.",
    proxies=list(TLS),
    columns=[
        COST,
        RATE,
        columns.times("× nginx", "cpu_us", "nginx-tls"),
        columns.times("× the floor", "cpu_us", "floor-tls"),
    ],
    take=take,
)
