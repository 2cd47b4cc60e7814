"""The recent requests and their trails, for ``GET /requests/{id}``.

1. The newest `LIMIT` are kept; of two with the same id the later one.
2. A request is listed from its beginning. Once it has ended only its trail is kept, no content ever.
3. A client sees its own requests alone.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from understudy.core import cost
from understudy.errors import TrailEntry
from understudy.runtime.engine import Call

LIMIT = 1000


class Entry:
    """One request. `began` is seconds since the epoch, `duration` seconds, None while it runs."""

    __slots__ = (
        "_call",
        "_trail",
        "backend",
        "began",
        "client",
        "duration",
        "id",
        "model",
        "profile",
        "status",
    )

    def __init__(
        self, request_id: str, client: str, profile: str, model: str, began: float, call: Call
    ) -> None:
        self.id = request_id
        self.client = client
        self.profile = profile
        self.model = model
        self.began = began
        self.duration: float | None = None
        self.status = "running"
        self.backend: str | None = None
        self._call: Call | None = call
        self._trail: tuple[TrailEntry, ...] = ()

    def __repr__(self) -> str:
        took = "" if self.duration is None else f" in {self.duration * 1000:.0f} ms"
        return f"<Entry {self.id} of {self.client}: {self.profile}, {self.status} by {self.backend}{took}>"

    def end(self, status: str, duration: float) -> None:
        """Rule 2."""
        call, self._call = self._call, None
        assert call is not None, "a request ends once"
        self.status = status
        self.duration = duration
        self.backend = call.backend
        self._trail = call.trail

    def to_dict(self) -> dict[str, Any]:
        call = self._call
        trail = self._trail if call is None else call.trail
        bill = cost.of_trail(trail).to_dict()
        return {
            "id": self.id,
            "profile": self.profile,
            "model": self.model,
            "status": self.status,
            "backend": self.backend if call is None else call.backend,
            "began": self.began,
            "duration_ms": None if self.duration is None else round(self.duration * 1000, 3),
            "cost_usd": bill["cost_usd"],
            "cost_partial": bill["cost_partial"],
            "trail": [entry.to_dict() for entry in trail],
        }


class Journal:
    """Rule 1."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        self._entries.pop(entry.id, None)
        self._entries[entry.id] = entry
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def find(self, request_id: str, client: str | None) -> Entry | None:
        """The entry, if it is this client's; None as the client sees everybody's."""
        entry = self._entries.get(request_id)
        return entry if entry is not None and client in (None, entry.client) else None
