"""How long to wait before asking the same backend again.

Exponential with a cap and a little jitter, never less than configured: with 1000 ms the 2nd attempt
waits 1 s, the 3rd 2 s, the 4th 4 s, then 8 s, each plus up to 10 %.
"""

from __future__ import annotations

CAP = 8.0
JITTER = 0.1


def delay(base: float, attempts: int, jitter: float) -> float:
    """Seconds to wait after `attempts` attempts; `base` is the configured delay, `jitter` in [0, 1)."""
    # 2**63 s is beyond any cap; the bound keeps a hundred attempts from overflowing a float.
    grown = base * 2.0 ** min(attempts - 1, 63)
    return min(grown, max(CAP, base)) * (1 + JITTER * jitter)
