"""The recent requests and their trails, for ``GET /requests`` and ``GET /requests/{id}``.

1. The newest `LIMIT` are kept; of two with the same id the later one.
2. A request is listed from its beginning. Once it has ended only its trail is kept, no content ever.
3. A client sees its own requests alone.
4. Whoever wants to know of the requests that end is told of each, `on_end`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from understudy.core import cost
from understudy.errors import AttemptEntry, TrailEntry
from understudy.observe.words import decision_words, entry_words
from understudy.runtime.engine import Call

LIMIT = 1000

_UNTRIED = "nobody was asked"


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

    @property
    def number(self) -> int | None:
        """The request's number in its pool, while it runs."""
        return None if self._call is None else self._call.number

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        return self._trail if self._call is None else self._call.trail

    @property
    def is_smooth(self) -> bool:
        """Did the first who was asked answer? Whoever was passed over cost no time."""
        return self.status == "answered" and sum(isinstance(one, AttemptEntry) for one in self._trail) == 1

    def summary(self) -> dict[str, Any]:
        """What became of it, without the trail."""
        call, trail = self._call, self.trail
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
            "words": decision_words(trail) or _UNTRIED,
        }

    def to_dict(self) -> dict[str, Any]:
        trail = self.trail
        return {
            **self.summary(),
            "trail": [entry.to_dict() for entry in trail],
            "trail_words": [entry_words(entry) for entry in trail],
        }


class Journal:
    """Rules 1 and 4."""

    __slots__ = ("_entries", "_limit", "on_end")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.on_end: Callable[[Entry], None] | None = None

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

    def newest(self, count: int, client: str | None) -> list[Entry]:
        """This client's, the newest first; None as the client sees everybody's."""
        return list(islice(self._seen_by(client), count))

    def summaries(self, count: int, client: str | None) -> list[dict[str, Any]]:
        """The JSON of `newest`."""
        return [entry.summary() for entry in self.newest(count, client)]

    def running(self, profile: str, number: int) -> Entry | None:
        """The entry of a request that runs, by its number in this profile's pool."""
        entries = reversed(self._entries.values())
        return next((one for one in entries if one.number == number and one.profile == profile), None)

    def ended(self, entry: Entry) -> None:
        """Rule 4."""
        if self.on_end is not None:
            self.on_end(entry)

    def _seen_by(self, client: str | None) -> Iterator[Entry]:
        return (entry for entry in reversed(self._entries.values()) if client in (None, entry.client))

    def trail(self, request_id: str, client: str | None) -> dict[str, Any] | None:
        """The JSON of the entry that `find` finds."""
        entry = self.find(request_id, client)
        return None if entry is None else entry.to_dict()
