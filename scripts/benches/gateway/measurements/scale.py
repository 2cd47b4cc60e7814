"""Whether a request costs more where there are more backends, or more profiles."""

from __future__ import annotations

from benches.gateway import columns
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.measurements.unary import COST, RATE, saturate
from benches.gateway.plan import Plan
from benches.gateway.roster import SCALE as VARIANTS
from benches.gateway.stage import Running


def take(running: Running, plan: Plan) -> Figures:
    return saturate(running, plan.scale, plan.warm_up)


SCALE = Measurement(
    name="scale",
    title="More backends, more profiles",
    note="Unary, saturated. Policy failover unless it says otherwise; everybody is well.",
    proxies=list(VARIANTS),
    columns=[COST, RATE, columns.times("× 3 backends", "cpu_us", "backends-3")],
    take=take,
)
