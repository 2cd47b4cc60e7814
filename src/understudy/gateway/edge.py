"""The edge: uvicorn's HTTP protocol with the limits that it does not have.

1. A head is at most `HEAD_LIMIT` bytes (431) and `HEADERS_LIMIT` headers (431), and complete within
   `HEAD_SECONDS` (408), from its first byte or, for a connection's first one, from the connection's begin.
   Who says nothing at all in that time gets no answer. What stands between the chunks of a body and after
   the last is bounded as a head is, and thrown away: a trailer never becomes a header.
2. HTTP/1.1 has exactly one ``Host`` (400). Whatever could be read in two ways, such as two lengths or a
   length and chunks, is refused by the parser (400).
3. A refusal is in the shape of the protocol whose path was asked, and closes the connection. Nothing is put
   into an answer that is on its way, or before one that is due: these are given, nothing more is read, and
   then the connection closes.
4. The application can ask to be called back when the client leaves (`presence.EXTENSION`), and can leave one
   that takes nothing any more (`presence.CUT`).
5. An offer to change the protocol is not taken up: the request is served as it is, with its body, and so is
   what follows. (Java's client offers HTTP/2 with every first request.)
6. HTTP/1.0 knows no chunks: an answer without a length ends with its connection. Nor is a connection used
   again if the client was answered while it waited for leave to send its body (``Expect``).
7. A client that is still sending can read its answer. What nobody wants any more is read and thrown away:
   after a refusal of ours for `LINGER_SECONDS`, the rest of a body until the keep-alive ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from understudy.gateway.presence import CUT, EXTENSION
from understudy.wire import anthropic_client, openai_client
from understudy.wire.dialect import Dialect, ErrorReply

HEAD_LIMIT = 64 * 1024
HEADERS_LIMIT = 100
HEAD_SECONDS = 10.0
LINGER_SECONDS = 1.0


class Refusal(Exception):
    """Raised inside the parser's callbacks."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = ErrorReply(status, code, message)


_NOT_HTTP = Refusal(400, "invalid_http", "this is no valid HTTP request")
_TOO_SLOW = Refusal(408, "request_timeout", "the head was not complete in time")
_TOO_LARGE = Refusal(431, "headers_too_large", f"the head is larger than {HEAD_LIMIT} bytes")
_TOO_MANY = Refusal(431, "too_many_headers", f"there are more than {HEADERS_LIMIT} headers")
_NO_HOST = Refusal(400, "invalid_host", "there must be exactly one Host header")

_TRAILERS: Any = deque(maxlen=0)  # takes them all and keeps none
_FRAMING = (b"content-length", b"transfer-encoding")


class _Deaf:
    """The parser of a connection that nothing more is read from."""

    def feed_data(self, data: bytes) -> None: ...


class CautiousCycle(RequestResponseCycle):
    """Rule 6."""

    _has_length = True

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._begin(message["headers"])
        elif not self._has_length:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

    def _begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        if self.waiting_for_100_continue:
            self.keep_alive = False
        if self.scope["http_version"] == "1.0" and not any(name == b"content-length" for name, _ in headers):
            self._has_length = self.chunked_encoding = False


class EdgeProtocol(HttpToolsProtocol):
    """One client's connection."""

    head_seconds = HEAD_SECONDS
    linger_seconds = LINGER_SECONDS
    url = b""
    _refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = self._is_repeating = False
        # The pieces may hold the end of one request and the beginning of the next. Of a head, `_first` is
        # the piece that it began in, and `_beside` all that came since. Later `_beside` is what came since
        # the head or the last chunk's begin and is no body; less what else the same piece held.
        self._piece = self._first = self._beside = 0
        self._when_gone: Callable[[], None] | None = None
        self._extensions: Any = {EXTENSION: self._tell, CUT: self._cut}
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._time_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        if self._when_gone is not None:
            self._when_gone()

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        self._beside += self._piece
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or _NOT_HTTP)
        if self._beside > HEAD_LIMIT:
            self._refuse(_TOO_LARGE)
        elif self._in_head and self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._time_out)

    def _decline(self, rest: memoryview) -> None:
        """Rule 5."""
        while True:
            try:
                self._repeat_head()
                return self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            except httptools.HttpParserError:
                return self._refuse(self._refusal or _NOT_HTTP)

    def _repeat_head(self) -> None:
        """After an offer the parser expects no body: it is told of the body alone."""
        framing = [b"%b: %b" % header for header in self.scope["headers"] if header[0] in _FRAMING]
        if framing:
            self.cycle.more_body = self._is_repeating = True
            self.parser.feed_data(b"\r\n".join([b"POST %b HTTP/1.1" % self.url, *framing, b"", b""]))

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._in_head = True
        self._first = self._piece
        self._beside = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        if not self._is_repeating:
            self._hand_over()
        self._in_head = self._is_repeating = False
        self._beside = 0
        self.headers = _TRAILERS
        if self.expect_100_continue or self.scope["http_version"] != "1.1":
            self._be_cautious()

    def _hand_over(self) -> None:
        self._unset_keepalive_if_required()
        self._refusal = self._problem()
        if self._refusal is not None:
            raise self._refusal
        super().on_headers_complete()
        self.scope["extensions"] = self._extensions

    def on_body(self, body: bytes) -> None:
        self._beside -= len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._beside = 0

    def _be_cautious(self) -> None:
        match self.scope["http_version"]:
            case "1.1":
                pass
            case "1.0":
                self.cycle.waiting_for_100_continue = False
            case _:
                self._refuse(_NOT_HTTP)
        self.cycle.__class__ = CautiousCycle

    def _problem(self) -> Refusal | None:
        headers = self.headers
        if len(headers) > HEADERS_LIMIT:
            return _TOO_MANY
        # The pieces may hold more than the head, so it is measured only where it may be too large.
        if self._first + self._beside > HEAD_LIMIT and self._size() > HEAD_LIMIT:
            return _TOO_LARGE
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            return _NO_HOST
        return None

    def _size(self) -> int:
        lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return len(b"POST  HTTP/1.1\r\n\r\n") + len(self.url) + lines

    def _tell(self, when_gone: Callable[[], None] | None) -> None:
        self._when_gone = when_gone

    def _cut(self) -> None:
        self.cycle.disconnected = True  # there is nobody to complete the answer for
        self.transport.abort()

    # Refusing

    def _time_out(self) -> None:
        """Rule 1."""
        self._timer = None
        if self._in_head:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Rule 3.

        There are four cases: answers are on their way or due before this one would be; the request had been
        handed over, but its answer has not begun; it has been answered, and now its body turns out wrong;
        or there is only this head.
        """
        if isinstance(self.parser, _Deaf) or self.transport.is_closing():
            return
        self._stop_timer()
        cycle = self.cycle
        is_due = cycle is not None and not cycle.response_complete
        is_handed_over = is_due and not (self._in_head or cycle.response_started or self.pipeline)
        has_answer = is_handed_over or (self._in_head and not is_due)
        self._in_head = False
        self.parser = _Deaf()  # type: ignore[assignment]
        if is_handed_over:
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
        elif is_due:
            cycle.keep_alive = False
            return
        if has_answer:
            self.transport.write(_answer(refusal.reply, self._dialect(), self.config.encoded_headers))
        self._linger()

    def _linger(self) -> None:
        """Rule 7."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(self.linger_seconds, self.transport.close)

    def _dialect(self) -> Dialect:
        headers = self.scope["headers"] if self.scope else ()
        is_anthropic = b"/messages" in self.url or b"anthropic-version" in dict(headers)
        return anthropic_client if is_anthropic else openai_client


def _answer(reply: ErrorReply, dialect: Dialect, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    body = dialect.write_error(reply)
    lines = (
        b"HTTP/1.1 %d %b" % (reply.status, HTTPStatus(reply.status).phrase.encode()),
        b"connection: close",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *(b"%b: %b" % header for header in headers),
        b"",
        body,
    )
    return b"\r\n".join(lines)


def options() -> dict[str, Any]:
    """How uvicorn is to be set up for this protocol."""
    return {
        "http": EdgeProtocol,
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 75,
    }
