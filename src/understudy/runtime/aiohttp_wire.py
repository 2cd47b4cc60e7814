"""What aiohttp does not tell of a connection, seen by standing between its socket and its parser.

A `Watch` is put on every connection at its first request and stays for the connection's life:

- a connection that has one already is a *reused* one;
- an answer of which nothing came on a reused connection is an `UnansweredReuse`: the peer had
  closed it while it lay idle, and the request may go out once more;
- bytes that arrive while a connection lies idle answer nobody: the connection is dropped, so they
  can never be taken for the next request's answer;
- a head that does not end is cut off;
- a reset in mid-body is a reset, whether or not the body has a length of its own; framing that
  breaks there ends the body with an error, and so does a connection we closed while somebody reads;
- what arrived before such an end is read first, however late;
- a connection given up in the middle is aborted: a polite close would wait for a silent peer, to
  take unsent bytes or to end TLS.

An `Opening` is one request on its way to a connection; it knows how far it has come.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextvars import ContextVar
from typing import Any, cast

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from understudy.errors import ProtocolViolation
from understudy.runtime.head import HEAD_LIMIT, head_size

RESOLVING = "resolving the name"
CONNECTING = "connecting"
TLS_HANDSHAKE = "TLS handshake"

# A head is judged to the byte once it is complete; until then by what can lie in one socket read.
_UNFINISHED_HEAD_LIMIT = HEAD_LIMIT + 256 * 1024
_HEAD_TOO_LONG = f"the head of the answer is beyond {HEAD_LIMIT} bytes"


class UnansweredReuse(Exception):
    """A reused connection died before a byte of the answer came."""


class Opening:
    """One request on its way: the phase it is in, and where its connection is to be kept."""

    __slots__ = ("connect_timeout", "phase", "watches")

    def __init__(self, connect_timeout: float, watches: set[Watch]) -> None:
        self.connect_timeout = connect_timeout
        self.watches = watches
        self.phase = RESOLVING


opening: ContextVar[Opening] = ContextVar("opening")


def open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make the socket for one address, and note that the name is resolved."""
    opening.get().phase = CONNECTING
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)


class TlsContext(ssl.SSLContext):
    """Trusts the platform's roots, and notes when a handshake begins."""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        opening.get().phase = TLS_HANDSHAKE
        return super().wrap_bio(*args, **options)


def tls_context(ca_file: str | None) -> TlsContext:
    """Certificate and host name are verified, always; ``SSL_CERT_FILE`` replaces the platform's roots."""
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Watch(asyncio.Protocol):
    """Passes everything on between one socket and aiohttp's parser, and keeps count."""

    __slots__ = ("_content", "_idle", "_parser", "_transport", "_watches", "received")

    def __init__(self, transport: asyncio.Transport, watches: set[Watch]) -> None:
        self._parser = cast(Any, transport.get_protocol())
        self._transport = transport
        self._watches = watches
        self._content: aiohttp.StreamReader | None = None
        self._idle = False
        self.received = 0
        watches.add(self)
        transport.set_protocol(self)

    def begin(self) -> None:
        """A request goes out: bytes that come are its answer."""
        self._idle = False
        self.received = 0

    def stream(self, content: aiohttp.StreamReader) -> None:
        """The head has come: what follows is `content`."""
        self._content = content
        content.on_eof(self._rest)

    def abort(self) -> None:
        self._transport.abort()

    @property
    def head_overflowed(self) -> bool:
        return self._content is None and self.received > _UNFINISHED_HEAD_LIMIT

    def data_received(self, data: bytes) -> None:
        if self._idle or self.head_overflowed:
            self._transport.abort()
            return
        self.received += len(data)
        self._parser.data_received(data)
        if self._parser.exception() is not None:
            self._transport.abort()

    def eof_received(self) -> bool | None:
        return cast("bool | None", self._parser.eof_received())

    def pause_writing(self) -> None:
        self._parser.pause_writing()

    def resume_writing(self) -> None:
        self._parser.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._watches.discard(self)
        if self._content is None:
            self._parser.connection_lost(error)
        elif error is None:
            self._end_body(self._content)
        else:
            self._break_body(self._content, error)

    def _end_body(self, content: aiohttp.StreamReader) -> None:
        """The parser knows if it was whole, but tells nobody if it had already failed or we closed."""
        fault = self._parser.exception() or aiohttp.ClientConnectionError("connection lost in the body")
        self._parser.connection_lost(None)
        if content.exception() is None and not content.is_eof():
            content.set_exception(fault)

    def _break_body(self, content: aiohttp.StreamReader, error: Exception) -> None:
        """A reset. The parser would make it an end, or a body too short: hence before and after it."""
        content.set_exception(aiohttp.ClientOSError())
        self._parser.connection_lost(error)
        content.set_exception(aiohttp.ClientOSError())

    def _rest(self) -> None:
        """The answer is complete: bytes that come now answer nobody."""
        self._content = None
        self._idle = True


class WatchedResponse(aiohttp.ClientResponse):
    """aiohttp's response, on a watched connection."""

    watch: Watch

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the head; on every way out but the good one the connection is gone."""
        reused = self._stand_between(connection)
        try:
            await super().start(connection)
            self._check_head()
        except BaseException as error:
            self.watch.abort()
            if isinstance(error, aiohttp.ClientConnectionError):
                self._explain(error, reused)
            raise
        self.watch.stream(self.content)
        return self

    async def read_any(self) -> bytes:
        """What has arrived; a fault only once everything before it is read."""
        try:
            return await self.content.readany()
        except (aiohttp.ClientError, HttpProcessingError):
            data = _left_behind(self.content)
            if not data:
                raise
            return data

    def _stand_between(self, connection: Connection) -> bool:
        """Put the connection under watch; was it already?"""
        # aiohttp has only just found or made the connection: its transport is there.
        transport = cast(asyncio.Transport, connection.transport)
        watch = transport.get_protocol()
        reused = isinstance(watch, Watch)
        self.watch = watch if isinstance(watch, Watch) else Watch(transport, opening.get().watches)
        self.watch.begin()
        return reused

    def _check_head(self) -> None:
        if self.watch.received > HEAD_LIMIT and head_size(self.raw_headers) > HEAD_LIMIT:
            raise ProtocolViolation(_HEAD_TOO_LONG)

    def _explain(self, error: aiohttp.ClientConnectionError, reused: bool) -> None:
        if self.watch.head_overflowed:
            raise ProtocolViolation(_HEAD_TOO_LONG) from error
        if reused and not self.watch.received:
            raise UnansweredReuse from error


def _left_behind(content: aiohttp.StreamReader) -> bytes:
    """What lies in the buffer before a fault, which aiohttp would not give out any more."""
    fault = content.exception()
    content.set_exception(cast(Any, None))
    try:
        return content.read_nowait()
    finally:
        content.set_exception(cast(Any, fault))
