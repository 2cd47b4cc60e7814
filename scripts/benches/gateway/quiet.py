"""Rounds begin when nobody else is busy, as far as patience goes.

Between two rounds every proxy is stopped and nobody asks anything, so what the processor does then is
somebody else's. It may still begin in the middle of a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benches.machine import ticks

LOOK = 0.15  # seconds
BUSY = 0.15  # of all cores
_IDLE = (3, 4)  # columns of the "cpu" line of /proc/stat: idle, and waiting for a disk


def share(before: Sequence[int], after: Sequence[int]) -> float:
    """How much of the machine was in use between two looks."""
    passed = [now - then for then, now in zip(before, after, strict=True)]
    return 1 - sum(passed[column] for column in _IDLE) / max(1, sum(passed[:8]))


def busy() -> float:
    before = ticks()
    time.sleep(LOOK)
    return share(before, ticks())


class Quiet:
    """`patience` is in seconds, for all rounds together; `look` tells the share that is in use."""

    def __init__(self, patience: float, look: Callable[[], float] = busy) -> None:
        self.left = patience
        self._look = look
        self.rounds = self.disturbed = 0

    def wait(self) -> None:
        self.rounds += 1
        while self._look() > BUSY:
            if self.left <= 0:
                self.disturbed += 1
                return
            self.left -= LOOK

    def __str__(self) -> str:
        return f"others busy at the beginning of {self.disturbed} of {self.rounds} rounds"
