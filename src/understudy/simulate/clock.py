"""A virtual loop's time as the runtime reads it."""

from __future__ import annotations

from collections.abc import Callable

from understudy.runtime.ports import Handle
from understudy.simulate.loop import START, VirtualLoop

# A midnight, so that a scenario's hours are the wall's.
WALL_START = 1_699_920_000.0


def true_wall(now: float) -> float:
    """What a clock shows that nobody has ever set."""
    return WALL_START + now - START


class VirtualClock:
    """Both clocks over one loop. `set_wall` moves the wall clock, as an operator or a time server would."""

    def __init__(self, loop: VirtualLoop) -> None:
        # Read some twenty times a request: the loop's own methods, without another call in between.
        self.now: Callable[[], float] = loop.time
        self.call_at: Callable[[float, Callable[[], None]], Handle] = loop.call_at
        self._wall_offset = WALL_START - START

    def __repr__(self) -> str:
        return f"<VirtualClock at {self.now()}>"

    def wall(self) -> float:
        return self.now() + self._wall_offset

    def set_wall(self, wall: float) -> None:
        self._wall_offset = wall - self.now()
