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
6. With several workers all of this is of all of them. Whoever has readers asks the others once a beat
   (`glance`) and waits for `ask_seconds` at most: one that is gone or silent costs its lines, and no more.
7. When the gateway drains every stream says so and ends, within `last_seconds` whatever the reader does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from understudy._version import __version__
from understudy.core.events import AttemptFailed, Event
from understudy.gateway.conversation import STREAM
from understudy.gateway.glance import KEEP_SECONDS, Glance, Part, Relay, bucket_number
from understudy.gateway.http import ClientLeft, HttpError, Receive, Request, Scope, Send, answer
from understudy.gateway.journal import Entry
from understudy.gateway.news import Backlog, News, event_bytes
from understudy.gateway.picture import draw, instant
from understudy.gateway.presence import Presence, cut
from understudy.library.balancer import Balancer
from understudy.observe.words import change_words

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway
    from understudy.gateway.siblings import Account

BEAT = 1.0
READERS = 100
PATIENCE = 30.0
LAST_SECONDS = 1.0
ASK_SECONDS = 0.5


class Reader:
    """What waits for one reader. `client` is who it is, None the operator."""

    def __init__(self, client: str | None) -> None:
        self.client = client
        self.ended = False
        self.limit: asyncio.Timeout | None = None  # of what is being written
        self._picture = b""
        self._news = Backlog()
        self._woken = asyncio.Event()

    def __repr__(self) -> str:
        news = self._news
        return f"<Reader {self.client or 'operator'}, {len(news)} news wait, {news.missed.total()} missed>"

    def show(self, picture: bytes) -> None:
        """Rule 2."""
        self._picture = picture
        self._woken.set()

    def tell(self, news: News) -> None:
        """Rules 3 and 5."""
        if self._may_see(news.client):
            self._news.add(news)
            self._woken.set()

    def miss(self, client: str | None, count: int) -> None:
        """So many of this client's gave way elsewhere."""
        if self._may_see(client):
            self._news.missed[client] += count
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
        if missed := self._news.missed.total():
            pieces.append(event_bytes("missed", b'{"count":%d}' % missed))
            self._news.missed.clear()
        pieces.append(self._picture)
        self._picture = b""
        if self.ended:
            pieces.append(event_bytes("end", b'{"reason":"the gateway shuts down"}'))
        return b"".join(pieces)

    def _may_see(self, client: str | None) -> bool:
        """Rule 5."""
        return self.client is None or client in (None, self.client)


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
    ask_seconds = ASK_SECONDS

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._readers: set[Reader] = set()
        self._relays: dict[int, Relay] = {}
        self._arrived: dict[int, int] = {}  # by worker the number of its last news
        self._number = 0
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
        """Rule 7. Idempotent."""
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
        self._number += 1
        news.number = self._number
        for reader in self._readers:
            reader.tell(news)
        for relay in self._relays.values():
            relay.tell(news)

    def _at(self, event: Event) -> str:
        clock = self._gateway.clock
        return instant(clock.wall() - (clock.now() - event.at))

    # Readers

    def _join(self, client: str | None) -> Reader:
        reader = Reader(client)
        self._readers.add(reader)
        if self._beat is None:
            self._beat = asyncio.ensure_future(self._beats())
        elif self._newest:
            reader.show(self._newest)
        return reader

    def _leave(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if self._readers or self._beat is None:
            return
        self._beat.cancel()
        self._beat = None
        self._newest = b""
        self._arrived.clear()
        self._rest()

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
        return event_bytes("hello", msgspec.json.encode(told))

    # Pictures

    async def _beats(self) -> None:
        clock = self._gateway.clock
        while True:
            began = clock.now()
            self._listen()
            drawn = await self._draw(self._gateway.worker.number)
            self._newest = event_bytes("picture", drawn)
            for reader in self._readers:
                reader.show(self._newest)
            # Whoever did not answer has cost some of the time.
            await self._pause(max(began + BEAT, clock.now() + BEAT - self.ask_seconds))

    async def _draw(self, watcher: int = 0) -> bytes:
        """Tells also what the others have told; but nothing of theirs without a watcher."""
        gateway = self._gateway
        glances: Mapping[int, Glance] = {}
        accounts: Mapping[int, Account] = {}
        if gateway.siblings is not None:
            glances, accounts = await asyncio.gather(
                gateway.siblings.glances(watcher, self._arrived, self.ask_seconds),
                gateway.siblings.accounts(self.ask_seconds),
            )
        if watcher:
            await self._relay(glances)
        return await draw(gateway, list(glances.values()), list(accounts.values()))

    async def _pause(self, until: float) -> None:
        over = asyncio.Event()
        timer = self._gateway.clock.call_at(until, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    # Other workers (rule 6)

    def glance(self, watcher: int, after: int | None) -> Glance:
        """What the worker of this number is told, 0 for one that wants a picture alone."""
        gateway = self._gateway
        parts = {name: Part.of(served) for name, served in gateway.profiles.by_name.items()}
        told = Glance(bucket_number(gateway.clock.now()), parts)
        if watcher:
            relay = self._relay_to(watcher)
            relay.arrived(self._number if after is None else after)
            told.news, told.missed = relay.take()
            told.number = self._number
        return told

    def _relay_to(self, watcher: int) -> Relay:
        """Kept until it has not been asked for long enough."""
        clock = self._gateway.clock
        if not self._relays:
            self._number = max(self._number, int(clock.now() * 1e6))  # above those of who had this place
        timer = clock.call_at(clock.now() + KEEP_SECONDS, lambda: self._forget(watcher))
        relay = self._relays.setdefault(watcher, Relay(timer))
        if relay.timer is not timer:
            relay.timer.cancel()
            relay.timer = timer
        self._listen()
        return relay

    def _forget(self, watcher: int) -> None:
        self._relays.pop(watcher)
        self._rest()

    async def _relay(self, glances: Mapping[int, Glance]) -> None:
        for number, glance in glances.items():
            self._arrived[number] = glance.number
            for news in [told.news() for told in glance.news]:
                for reader in self._readers:
                    reader.tell(news)
            for reader in self._readers:
                for client, count in glance.missed:
                    reader.miss(client, count)
            await asyncio.sleep(0)  # readers take what there is

    def _listen(self) -> None:
        served = self._gateway.profiles.by_name
        self._gateway.journal.on_end = self._request_ended
        self._listen_to({one.balancer: name for name, one in served.items()})

    def _rest(self) -> None:
        """Rule 1."""
        if not (self._readers or self._relays):
            self._gateway.journal.on_end = None
            self._listen_to({})

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
