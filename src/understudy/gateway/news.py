"""Decisions and changes on their way to whoever watches, here or at another worker.

1. They are put into words once, when the first reader takes them.
2. At most `BACKLOG` wait. The oldest give way, smooth requests before others, and are counted by whose they
   were.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

BACKLOG = 200


class News:
    """One decision or change. `client` is whose it is, None everybody's; what is `smooth` makes way first.

    `number` is its place among those of this worker, 0 for another one's.
    """

    __slots__ = ("_data", "_tell", "client", "event", "number", "smooth")

    def __init__(
        self,
        event: str,
        client: str | None,
        tell: Callable[[], Mapping[str, Any] | msgspec.Raw],
        *,
        smooth: bool = False,
    ) -> None:
        self.event = event
        self.client = client
        self.smooth = smooth
        self.number = 0
        self._tell = tell
        self._data: bytes | None = None

    def json(self) -> bytes:
        """Rule 1."""
        if self._data is None:
            self._data = msgspec.json.encode(self._tell())
        return self._data

    def data(self) -> bytes:
        """As it stands in the stream."""
        return event_bytes(self.event, self.json())


class Backlog:
    """Rule 2. `missed` are the clients of those that gave way."""

    def __init__(self) -> None:
        self.missed: Counter[str | None] = Counter()
        self._news: deque[News] = deque()

    def __len__(self) -> int:
        return len(self._news)

    def __iter__(self) -> Iterator[News]:
        return iter(self._news)

    def add(self, news: News) -> None:
        if len(self._news) >= BACKLOG:
            self._make_way()
        self._news.append(news)

    def clear(self) -> None:
        self._news.clear()

    def drop_until(self, number: int) -> None:
        """These have arrived."""
        while self._news and self._news[0].number <= number:
            self._news.popleft()

    def _make_way(self) -> None:
        oldest = next((news for news in self._news if news.smooth), self._news[0])
        self.missed[oldest.client] += 1
        self._news.remove(oldest)


def event_bytes(name: str, data: bytes) -> bytes:
    """A server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
