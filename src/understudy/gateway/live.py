"""``GET /live``: what happens, as server-sent events, for the page and for ``understudy top``.

| event | data |
|---|---|
| ``hello`` | once, first: who the reader is taken for, and whether there are admin routes |
| ``picture`` | every second: `picture` |
| ``decision`` | a request that ended, or an attempt of one that failed: its summary (`journal`) |
| ``change`` | what has become of a member, by itself or by an operator's hand |
| ``missed`` | how many decisions and changes the reader was too slow for |
| ``end`` | the gateway shuts down; nothing follows |

1. While nobody listens nothing is computed, no timer runs, and no balancer is listened to.
2. A picture is drawn once a beat, whoever reads it. A reader that has not taken the last one gets the newest
   instead: pictures never queue.
3. At most `BACKLOG` decisions and changes wait for a reader. The oldest give way, smooth requests before
   others, and are counted. They are put into words once, when the first reader takes them.
4. A reader that takes nothing for `patience` seconds is cut off, and at most `READERS` are let in.
5. A client reads of its own requests, the operator of all. Members are everybody's, as in the statistics.
6. When the gateway drains every stream says so and ends, within `last_seconds` whatever the reader does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from understudy._version import __version__
from understudy.core.events import AttemptFailed, Event
from understudy.gateway.conversation import STREAM
from understudy.gateway.http import ClientLeft, HttpError, Receive, Request, Scope, Send, answer
from understudy.gateway.journal import Entry
from understudy.gateway.picture import draw, instant
from understudy.gateway.presence import Presence, cut
from understudy.library.balancer import Balancer
from understudy.observe.words import change_words

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway

BEAT = 1.0
BACKLOG = 200
READERS = 100
PATIENCE = 30.0
LAST_SECONDS = 1.0


class News:
    """One decision or change. `client` is whose it is, None everybody's; what is `smooth` makes way first."""

    __slots__ = ("_data", "_tell", "client", "event", "smooth")

    def __init__(
        self, event: str, client: str | None, tell: Callable[[], Mapping[str, Any]], *, smooth: bool = False
    ) -> None:
        self.event = event
        self.client = client
        self.smooth = smooth
        self._tell = tell
        self._data: bytes | None = None

    def data(self) -> bytes:
        """In words, once for all readers."""
        if self._data is None:
            self._data = _event(self.event, msgspec.json.encode(self._tell()))
        return self._data


class Reader:
    """What waits for one reader. `client` is who it is, None the operator."""

    def __init__(self, client: str | None) -> None:
        self.client = client
        self.ended = False
        self.limit: asyncio.Timeout | None = None  # of what is being written
        self._picture = b""
        self._news: deque[News] = deque()
        self._missed = 0
        self._woken = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Reader {self.client or 'operator'}, {len(self._news)} news wait, {self._missed} missed>"

    def show(self, picture: bytes) -> None:
        """Rule 2."""
        self._picture = picture
        self._woken.set()

    def tell(self, news: News) -> None:
        """Rules 3 and 5."""
        if self.client is not None and news.client not in (None, self.client):
            return
        if len(self._news) >= BACKLOG:
            self._make_way()
        self._news.append(news)
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    async def next(self) -> bytes:
        """All that waits, at least something."""
        await self._woken.wait()
        self._woken.clear()
        pieces = [news.data() for news in self._news]
        self._news.clear()
        if self._missed:
            pieces.append(_event("missed", b'{"count":%d}' % self._missed))
            self._missed = 0
        pieces.append(self._picture)
        self._picture = b""
        if self.ended:
            pieces.append(_event("end", b'{"reason":"the gateway shuts down"}'))
        return b"".join(pieces)

    def _make_way(self) -> None:
        self._missed += 1
        oldest = next((news for news in self._news if news.smooth), self._news[0])
        self._news.remove(oldest)


class _Ear:
    """Listens to one profile's balancer while there are readers."""

    def __init__(self, live: Live, profile: str) -> None:
        self._live = live
        self._profile = profile

    def observe(self, event: Event) -> None:
        self._live.heard(self._profile, event)


class Live:
    """The readers of one gateway."""

    patience = PATIENCE
    last_seconds = LAST_SECONDS

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._readers: set[Reader] = set()
        self._ears: dict[Balancer, _Ear] = {}
        self._beat: asyncio.Task[None] | None = None
        self._newest = b""
        self._ended = False

    def __repr__(self) -> str:
        return f"<Live, {len(self._readers)} readers>"

    async def answer(
        self, request: Request, scope: Scope, receive: Receive, send: Send, client: str | None
    ) -> None:
        """Raises `HttpError`; `ClientLeft` where the reader was cut off."""
        if request.query("once") == "1" or request.method == "HEAD":
            await answer(send, 200, await self._draw(), request.id_headers)
            return
        if self._ended:
            raise HttpError(503, "shutting_down", "the gateway is shutting down", retry_after=1)
        if len(self._readers) >= READERS:
            raise HttpError(503, "too_many_readers", f"{READERS} read this already", retry_after=10)
        reader = self._join(client)
        try:
            with Presence(scope, receive):
                await self._stream(reader, send, [*STREAM, *request.id_headers])
        except (TimeoutError, OSError):
            cut(scope)
            raise ClientLeft from None
        finally:
            self._leave(reader)

    def end(self) -> None:
        """Rule 6. Idempotent."""
        self._ended = True
        for reader in self._readers:
            reader.end()
            if reader.limit is not None and not reader.limit.expired():
                reader.limit.reschedule(asyncio.get_running_loop().time() + self.last_seconds)

    # What happens

    def heard(self, profile: str, event: Event) -> None:
        """A fact of this profile's balancer."""
        if isinstance(event, AttemptFailed):
            entry = self._gateway.journal.running(profile, event.request)
            if entry is not None:
                self._tell(News("decision", entry.client, _told(_failed(entry, event), self._at(event))))
        if (change := change_words(event)) is not None:
            backend, words = change
            told = {"at": self._at(event), "profile": profile, "backend": backend, "words": words}
            self._tell(News("change", None, lambda: told))

    def _request_ended(self, entry: Entry) -> None:
        at = instant(self._gateway.clock.wall())
        self._tell(
            News("decision", entry.client, lambda: {"at": at, **entry.summary()}, smooth=entry.is_smooth)
        )

    def _tell(self, news: News) -> None:
        for reader in self._readers:
            reader.tell(news)

    def _at(self, event: Event) -> str:
        clock = self._gateway.clock
        return instant(clock.wall() - (clock.now() - event.at))

    # Readers

    def _join(self, client: str | None) -> Reader:
        reader = Reader(client)
        self._readers.add(reader)
        if self._beat is None:
            self._gateway.journal.on_end = self._request_ended
            self._beat = asyncio.ensure_future(self._beats())
        elif self._newest:
            reader.show(self._newest)
        return reader

    def _leave(self, reader: Reader) -> None:
        """Rule 1, after the last."""
        self._readers.discard(reader)
        if self._readers or self._beat is None:
            return
        self._beat.cancel()
        self._beat = None
        self._newest = b""
        self._gateway.journal.on_end = None
        self._listen_to({})

    async def _stream(self, reader: Reader, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._write(reader, send, self._hello(reader))
        while not reader.ended:
            await self._write(reader, send, await reader.next())
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, reader: Reader, send: Send, data: bytes) -> None:
        """Rule 4."""
        async with asyncio.timeout(self.last_seconds if reader.ended else self.patience) as reader.limit:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        reader.limit = None

    def _hello(self, reader: Reader) -> bytes:
        told = {
            "client": reader.client,
            "operator": reader.client is None,
            "admin": self._gateway.admin is not None,
            "version": __version__,
        }
        return _event("hello", msgspec.json.encode(told))

    # Pictures

    async def _beats(self) -> None:
        while True:
            served = self._gateway.profiles.by_name
            self._listen_to({one.balancer: name for name, one in served.items()})
            self._newest = _event("picture", await self._draw())
            for reader in self._readers:
                reader.show(self._newest)
            await self._pause()

    async def _draw(self) -> bytes:
        gateway = self._gateway
        wall = gateway.clock.wall()
        return await draw(gateway.profiles, wall, worker=gateway.worker.name, draining=gateway.draining)

    async def _pause(self) -> None:
        clock = self._gateway.clock
        over = asyncio.Event()
        timer = clock.call_at(clock.now() + BEAT, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    def _listen_to(self, balancers: Mapping[Balancer, str]) -> None:
        """To these and no others: profiles come and go."""
        for balancer in self._ears.keys() - balancers.keys():
            balancer.detach(self._ears.pop(balancer))
        for balancer in balancers.keys() - self._ears.keys():
            self._ears[balancer] = _Ear(self, balancers[balancer])
            balancer.attach(self._ears[balancer])


def _failed(entry: Entry, event: AttemptFailed) -> dict[str, Any]:
    """The summary as it is when an attempt has just failed."""
    told = entry.summary()
    return {**told, "backend": event.backend, "duration_ms": round(event.duration * 1000, 3)}


def _told(summary: Mapping[str, Any], at: str) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"at": at, **summary}


def _event(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
