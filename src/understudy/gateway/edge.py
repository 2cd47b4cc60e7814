"""The edge: uvicorn's HTTP protocol with the limits that it does not have.

1. A head is at most `HEAD_LIMIT` bytes (431) and `HEADERS_LIMIT` headers (431), and complete within
   `HEAD_SECONDS` (408), from its first byte or, for a connection's first one, from the connection's begin.
2. HTTP/1.1 has exactly one ``Host`` (400). Whatever could be read in two ways, such as two lengths or a
   length and chunks, is refused by the parser (400).
3. A refusal is in the shape of the protocol whose path was asked, and closes the connection. If an answer
   is on its way over that connection, nothing is put into it: the connection closes.
4. The application can ask to be called back when the client leaves (`presence.EXTENSION`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from understudy.gateway.presence import EXTENSION
from understudy.wire import anthropic_client, openai_client
from understudy.wire.dialect import Dialect, ErrorReply

HEAD_LIMIT = 64 * 1024
HEADERS_LIMIT = 100
HEAD_SECONDS = 10.0


class Refusal(Exception):
    """Raised inside the parser's callbacks."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = ErrorReply(status, code, message)


_NOT_HTTP = Refusal(400, "invalid_http", "this is no valid HTTP request")
_TOO_SLOW = Refusal(408, "request_timeout", f"the head was not complete within {HEAD_SECONDS:.0f} s")
_TOO_LARGE = Refusal(431, "headers_too_large", f"the head is larger than {HEAD_LIMIT} bytes")
_TOO_MANY = Refusal(431, "too_many_headers", f"there are more than {HEADERS_LIMIT} headers")
_NO_HOST = Refusal(400, "invalid_host", "there must be exactly one Host header")


class EdgeProtocol(HttpToolsProtocol):
    """One client's connection."""

    url = b""
    _refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = False
        self._head_size = 0  # of a head still arriving: what came in earlier pieces
        self._piece_size = 0
        self._when_gone: Callable[[], None] | None = None
        self._extensions: Any = {EXTENSION: self._tell}
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        if self._when_gone is not None:
            self._when_gone()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._piece_size = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # We speak nothing else: the request is served as it is.
        except httptools.HttpParserError:
            self._refuse(self._refusal or _NOT_HTTP)
            return
        if self._in_head:
            self._wait_for_head(len(data))

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        self._refusal = self._problem()
        self._head_size = 0
        if self._refusal is not None:
            raise self._refusal
        super().on_headers_complete()
        self.scope["extensions"] = self._extensions

    def _wait_for_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            self._refuse(_TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def _problem(self) -> Refusal | None:
        headers = self.headers
        if len(headers) > HEADERS_LIMIT:
            return _TOO_MANY
        # The pieces may hold more than the head, so it is measured only where it may be too large.
        if self._head_size + self._piece_size > HEAD_LIMIT and self._exact_size() > HEAD_LIMIT:
            return _TOO_LARGE
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            return _NO_HOST
        return None

    def _exact_size(self) -> int:
        lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return len(b"POST  HTTP/1.1\r\n\r\n") + len(self.url) + lines

    def _tell(self, when_gone: Callable[[], None] | None) -> None:
        self._when_gone = when_gone

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Rule 3."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(refusal.reply, self._dialect()))
        self.transport.close()

    def _dialect(self) -> Dialect:
        return anthropic_client if b"/messages" in self.url else openai_client


def _answer(reply: ErrorReply, dialect: Dialect) -> bytes:
    body = dialect.write_error(reply)
    return (
        b"HTTP/1.1 %d %b\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (
            reply.status,
            HTTPStatus(reply.status).phrase.encode(),
            len(body),
            body,
        )
    )


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
