"""What is measured, in the order of the report; each file says what its figures mean."""

from __future__ import annotations

from benches.gateway.measurement import Measurement
from benches.gateway.measurements import crowd, events, low, memory, scale, start, translate, unary, volley

ALL: dict[str, Measurement] = {
    measurement.name: measurement
    for measurement in (
        unary.UNARY,
        unary.UNARY_TLS,
        low.LOW,
        events.PACED,
        events.FLOOD,
        translate.TRANSLATE,
        volley.VOLLEY,
        crowd.CROWD,
        memory.HELD,
        memory.SLOW_READER,
        start.START,
        memory.RESIDENT,
        scale.SCALE,
    )
}
