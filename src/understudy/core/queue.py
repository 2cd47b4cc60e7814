"""Requests that wait for capacity, first come, first served.

1. A request stands in the line of every member that it waits for. A member that can be asked again goes to
   the first in its line; nobody passes, neither from behind nor by coming anew.
2. Whoever stands behind another in a line need not watch the member: its turn is announced to it.
3. A request leaves all its lines at once: when it is served, or gives up. Those that are first in one of them
   now have their turn.
4. At most `limit` requests wait; one more is turned away.
"""

from __future__ import annotations

from collections.abc import Iterable


class Queue:
    """The lines before one pool's members. Requests and members are known by their numbers.

    `places` has each request's lines; nobody waits while it is empty.
    """

    __slots__ = ("_lines", "places")

    def __init__(self) -> None:
        # Dictionaries keep the order of coming, and let go from the middle at once.
        self._lines: dict[int, dict[int, None]] = {}
        self.places: dict[int, set[int]] = {}

    def __repr__(self) -> str:
        return f"<Queue of {len(self.places)}>"

    def __len__(self) -> int:
        return len(self.places)

    def join(self, request: int, members: Iterable[int], limit: int) -> bool:
        """Stand in these lines, where not already; False if too many wait (rule 4)."""
        places = self.places.get(request)
        if places is None:
            if len(self.places) >= limit:
                return False
            places = self.places[request] = set()
        for member in members:
            places.add(member)
            self._lines.setdefault(member, {}).setdefault(request)
        return True

    def leave(self, request: int) -> list[int]:
        """Out of every line; the requests whose turn that makes it."""
        turns: dict[int, None] = {}
        for member in sorted(self.places.pop(request, ())):
            line = self._lines[member]
            was_first = next(iter(line)) == request
            del line[request]
            if not line:
                del self._lines[member]
            elif was_first:
                turns[next(iter(line))] = None
        return list(turns)

    def first(self, member: int) -> int | None:
        """Who is to have this member next."""
        line = self._lines.get(member)
        return next(iter(line)) if line else None

    def may_take(self, request: int, member: int) -> bool:
        """Does nobody stand before this request?"""
        first = self.first(member)
        return first is None or first == request
