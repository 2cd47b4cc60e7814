"""From starting the process to its first answered request, asked every 2 ms; on a core of its own."""

from __future__ import annotations

from benches.gateway import columns
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.plan import Plan
from benches.gateway.roster import PEERS
from benches.gateway.stage import Running


def take(running: Running, _: Plan) -> Figures:
    return {"seconds": running.started_in, "resident_mb": running.resident() / 1e6}


START = Measurement(
    name="start",
    title="Start to the first answered request",
    note="Bytecode is compiled and files are in the page cache.",
    proxies=PEERS,
    columns=[
        columns.figure("seconds", "seconds", 2),
        columns.figure("resident then, MB", "resident_mb"),
    ],
    take=take,
    fresh=True,
    rounds=lambda plan: plan.starts,
)
