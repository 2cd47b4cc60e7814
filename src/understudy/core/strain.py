"""Is everything slow at once? Then it is no member's fault, and nobody is cut off for it.

1. A member is strained from an attempt that its own adaptive limit cut off, until its next first content, or
   for `LASTS` seconds.
2. Strain is general while more than half of the pool's members are strained. First contents are then waited
   for as long as `timeout_ms` allows.
"""

from __future__ import annotations

LASTS = 60.0


class Strain:
    """A pool's. Members are known by their positions."""

    __slots__ = ("_cut_at",)

    def __init__(self) -> None:
        self._cut_at: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Strain of {sorted(self._cut_at)}>"

    def cut(self, member: int, now: float) -> None:
        self._cut_at[member] = now

    def began(self, member: int) -> None:
        """First content."""
        if self._cut_at:
            self._cut_at.pop(member, None)

    def is_general(self, now: float, members: int) -> bool:
        """Of so many members in all."""
        if not self._cut_at:
            return False
        strained = sum(now < instant + LASTS for instant in self._cut_at.values())
        return 2 * strained > members
