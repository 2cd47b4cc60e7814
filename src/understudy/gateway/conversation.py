"""One chat request, from its body to the last byte of its answer.

1. The body is read once and decoded as far as deciding takes. Of its fields our own settings are taken out
   (and named in a header): they never go upstream; everything else does.
2. Nothing is sent before there is content or an error, so that the status tells the truth; unless comments
   are switched on that keep proxies awake, which begin the answer early.
3. A batch of chunks is one write, and the next one is read only once the client has taken it: a slow reader
   holds the backend back.
4. After the first byte a failure is the protocol's own error event, and nothing follows it.
5. Whoever leaves ends the attempt. However the answering ends, the call is left and the journal told.
6. A bug of ours is a failure too. Before the first byte it is raised as it is, after it as `BrokenOff`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from understudy.core.latency import Latency
from understudy.core.settings import REGISTRY
from understudy.errors import RequestError
from understudy.gateway.errors import body_as_it_came, reply_to, retry_after, status_of
from understudy.gateway.http import (
    ClientLeft,
    Headers,
    HttpError,
    Receive,
    Request,
    Scope,
    Send,
    answer,
    header_value,
)
from understudy.gateway.journal import Entry, Journal
from understudy.gateway.presence import Presence
from understudy.gateway.profiles import LONGEST_NAME, Profiles, Served
from understudy.runtime.engine import Call
from understudy.runtime.ports import Clock
from understudy.wire.chat import ChatChunk
from understudy.wire.dialect import BadRequest, ClientRequest, Dialect, StreamWriter

_log = logging.getLogger("understudy.gateway")

BODY_LIMIT = 32 * 1024 * 1024
STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
COMMENT = b": still waiting\n\n"

# By these headers a client names its session: ours first, then those of agents.
_SESSIONS = ("x-understudy-session", "x-claude-code-session-id", "session_id", "x-session-id")

# By these it says of which trace the request is a part.
_TRACE = ("traceparent", "tracestate", "baggage")

_KEYS = [setting.key for setting in REGISTRY]
_SETTINGS = frozenset(
    [
        "ephemeralSettings",
        *(key.replace("-", "_") for key in _KEYS),
        *(key.replace("_", "-") for key in _KEYS),
    ]
)


class BrokenOff(Exception):
    """A bug of ours after the answer had begun: the connection must close without its proper end."""


class Conversations:
    """Answers chat requests. `comment_seconds` 0 sends no comments (rule 2)."""

    def __init__(
        self,
        profiles: Profiles,
        journal: Journal,
        *,
        clock: Clock,
        comment_seconds: float = 0.0,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self.profiles = profiles
        self.journal = journal
        self.clock = clock
        self.comment_seconds = comment_seconds
        self.body_limit = body_limit
        self.own_time = Latency()

    async def answer(
        self, request: Request, scope: Scope, receive: Receive, send: Send, client: str, dialect: Dialect
    ) -> None:
        """Raises `HttpError` for what no backend was asked for, `ClientLeft`, and bugs (rule 6)."""
        came = self.clock.now()
        body = await request.body(self.body_limit)
        read = self.clock.now()
        asked = self.read(body, request, dialect)
        ignored = _take_settings(asked)
        served = self.profiles.find(asked.model)
        with Presence(scope, receive):
            queued = self.clock.now()
            await served.door.enter()
            try:
                others = read - came + self.clock.now() - queued
                turn = _Turn(self, request, asked, served, send, came, others)
                turn.headers += ignored
                await turn.run(client)
            finally:
                served.door.leave()

    def read(self, body: bytes, request: Request, dialect: Dialect) -> ClientRequest:
        """What the client asks for; raises `HttpError`."""
        try:
            asked = dialect.read_request(body)
        except BadRequest as error:
            raise HttpError(400, "invalid_request", error.message, param=error.param) from None
        asked.id = request.id
        asked.created = int(self.clock.wall())
        asked.headers = request.passed_on(dialect.PASSED_ON)
        asked.session = next(iter(request.passed_on(_SESSIONS).values()), "")
        if b"traceparent" in request.headers:
            asked.trace = request.passed_on(_TRACE)
        return asked


def _take_settings(asked: ClientRequest) -> Headers:
    """Rule 1."""
    if _SETTINGS.isdisjoint(asked.fields):
        return []
    taken = sorted(_SETTINGS & asked.fields.keys())
    for name in taken:
        del asked.fields[name]
    return [(b"x-understudy-ignored", header_value(", ".join(taken)))]


class _Turn:
    """The answering of one request. `headers` are the answer's, besides those that depend on the backend."""

    __slots__ = (
        "_call",
        "_came",
        "_desk",
        "_others",
        "_request",
        "_send",
        "_started",
        "_writer",
        "asked",
        "headers",
        "served",
    )

    def __init__(
        self,
        desk: Conversations,
        request: Request,
        asked: ClientRequest,
        served: Served,
        send: Send,
        came: float,
        others: float,
    ) -> None:
        self._desk = desk
        self._request = request
        self._send = send
        self._came = came
        # Seconds that others took so far: the client to send, those before it in the queue.
        self._others = others
        self._started = False
        self.asked = asked
        self.served = served
        self.headers: Headers = [*request.id_headers, served.header]
        self._writer: StreamWriter = asked.dialect.StreamWriter(asked)
        self._call: Call = served.balancer.call(asked, stream=asked.stream)

    async def run(self, client: str) -> None:
        """Rule 5."""
        desk, call = self._desk, self._call
        entry = Entry(
            self._request.id,
            client,
            self.served.name,
            self.asked.model[:LONGEST_NAME],
            desk.clock.wall(),
            call,
        )
        desk.journal.add(entry)
        status = "cancelled"
        try:
            status = await self._answer()
        except OSError:
            # So a server may say that the client has left.
            raise ClientLeft from None
        except Exception as bug:
            status = "failed"
            if self._started:
                raise BrokenOff from bug
            raise
        finally:
            call.leave()
            entry.end(status, desk.clock.now() - self._came)
            desk.journal.ended(entry)
            _log.debug("%s", entry)

    # The three ways to answer

    async def _answer(self) -> str:
        """What has become of the request."""
        try:
            await (self._stream() if self.asked.stream else self._unary())
        except RequestError as error:
            await self._fail(error)
            return "failed"
        return "answered"

    async def _unary(self) -> None:
        call = self._call
        chunks: list[ChatChunk] = []
        while (batch := await call.next_batch()) is not None:
            chunks += batch
        await answer(self._send, 200, self._whole(chunks), self._answer_headers() + self._cost_headers())

    async def _stream(self) -> None:
        call, writer = self._call, self._writer
        while (batch := await self._next_batch()) is not None:
            data = writer.write(batch, native=call.is_native) if batch else self._sign_of_life()
            if data:
                await self._write(data)
        await self._write(writer.end(call.usage), last=True)

    def _sign_of_life(self) -> bytes:
        """While a broken answer is gone on with, or a part of it is held back (rule 2)."""
        return COMMENT if self._started else b""

    async def _fail(self, error: RequestError) -> None:
        """Rules 2 and 4."""
        dialect = self.asked.dialect
        if self._started:
            await self._write(self._writer.fail(reply_to(error, self._request.id)), last=True)
            return
        body = body_as_it_came(error, self._call, dialect)
        if body is None:
            body = dialect.write_error(reply_to(error, self._request.id))
        headers = self._answer_headers() + self._cost_headers() + retry_after(error.retry_after)
        await answer(self._send, status_of(error), body, headers)

    def _whole(self, chunks: Sequence[ChatChunk]) -> bytes:
        if self._call.is_native and chunks and chunks[0].raw is not None:
            return chunks[0].raw
        return self.asked.dialect.write_answer(chunks, self._call.usage, self.asked)

    # Writing

    async def _write(self, data: bytes, *, last: bool = False) -> None:
        """Rule 3."""
        if not self._started:
            self._started = True
            headers = [*STREAM, *self._answer_headers()]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def _next_batch(self) -> list[ChatChunk] | None:
        if not self._desk.comment_seconds:
            return await self._call.next_batch()
        reading = asyncio.ensure_future(self._call.next_batch())
        try:
            while not (await asyncio.wait({reading}, timeout=self._desk.comment_seconds))[0]:
                await self._write(COMMENT)
            return await reading
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
            # Looked at here, so that asyncio does not log it where the comment was what failed.
            _ = reading.cancelled() or reading.exception()

    def _answer_headers(self) -> Headers:
        """Who answers, and what it took; of an answer begun early only what is known by then."""
        call, desk = self._call, self._desk
        own_time = call.own_time(self._came + self._others)
        desk.own_time.record(own_time)
        headers = [
            *self.headers,
            (b"x-understudy-attempts", b"%d" % call.attempts),
            (b"x-understudy-overhead-ms", b"%.3f" % (own_time * 1000)),
        ]
        if call.backend is not None:
            headers.append((b"x-understudy-backend", header_value(call.backend)))
            headers.append((b"x-understudy-model", header_value(call.model or call.asked_model or "")))
        return headers

    def _cost_headers(self) -> Headers:
        """What a request that is over cost, if all of that is known."""
        bill = self._call.bill
        if bill.usd is None or bill.is_partial:
            return []
        return [(b"x-understudy-cost", b"%.9f" % bill.usd)]
