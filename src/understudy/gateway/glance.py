"""What a worker tells another one that somebody watches: its part of the picture, and its news.

1. It is told when asked for, once a beat. Whoever has not asked for `KEEP_SECONDS` is forgotten, and then
   nothing is kept for it.
2. News bear numbers that only grow, also from one worker to whoever takes its place. They are kept
   until a question says that they have arrived, at most `news.BACKLOG`. Who asks for the first time hears of
   what happens from then on.
3. Strips are laid upon each other by the numbers of their buckets: two workers look at the clock at different
   instants. Counts are added; of percentiles the highest is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from understudy.core.history import SECONDS, Bucket
from understudy.gateway.news import Backlog, News
from understudy.runtime.ports import Handle

if TYPE_CHECKING:
    from understudy.gateway.profiles import Served

KEEP_SECONDS = 5.0

Strip = Sequence[Bucket | None]


class Part(msgspec.Struct):
    """One profile at one worker; `waiting` at its door."""

    in_flight: int
    waiting: int
    strips: dict[str, list[Bucket | None]]

    @classmethod
    def of(cls, served: Served) -> Part:
        return cls(served.door.inside, served.door.waiting, served.balancer.strips())


class Told(msgspec.Struct, array_like=True):
    """A decision or change. `data` is its JSON."""

    number: int
    event: str
    client: str | None
    smooth: bool
    data: bytes

    @classmethod
    def of(cls, news: News) -> Told:
        return cls(news.number, news.event, news.client, news.smooth, news.json())

    def news(self) -> News:
        return News(self.event, self.client, lambda: msgspec.Raw(self.data), smooth=self.smooth)


class Glance(msgspec.Struct):
    """`bucket` is the number of each strip's last one, `number` that of the last news there have been,
    `missed` how many of each client gave way.
    """

    bucket: int
    parts: dict[str, Part]
    number: int = 0
    news: list[Told] = []
    missed: list[tuple[str | None, int]] = []


class Relay:
    """What waits for one other worker. `timer` forgets it (rule 1)."""

    def __init__(self, timer: Handle) -> None:
        self.timer = timer
        self._backlog = Backlog()

    def tell(self, news: News) -> None:
        self._backlog.add(news)

    def arrived(self, number: int) -> None:
        """So have all up to this one."""
        self._backlog.drop_until(number)

    def take(self) -> tuple[list[Told], list[tuple[str | None, int]]]:
        """What waits, and what has been missed since the last time."""
        missed = list(self._backlog.missed.items())
        self._backlog.missed.clear()
        return [Told.of(news) for news in self._backlog], missed


def bucket_number(now: float) -> int:
    """Of the bucket that is being filled."""
    return int(now // SECONDS)


def laid_together(strips: Iterable[tuple[int, Strip]]) -> list[Bucket | None]:
    """Rule 3. Each with the number of its last bucket; the first one's buckets are shown."""
    (last, own), *others = strips
    whole = list(own)
    for number, strip in others:
        for place, bucket in enumerate(strip, start=number - last):
            if bucket is not None and 0 <= place < len(whole):
                whole[place] = _added(whole[place], bucket)
    return whole


def _added(one: Bucket | None, other: Bucket) -> Bucket:
    if one is None:
        return other
    seen = [p95 for p95 in (one.p95_first_content_ms, other.p95_first_content_ms) if p95 is not None]
    return Bucket(
        ok=one.ok + other.ok,
        failed=one.failed + other.failed,
        refused=one.refused + other.refused,
        p95_first_content_ms=max(seen, default=None),
        by_kind=dict(Counter(one.by_kind) + Counter(other.by_kind)),
    )
