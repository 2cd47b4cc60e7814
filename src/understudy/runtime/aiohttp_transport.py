"""The default transport: aiohttp.

- One session for a transport's life, made on the loop that sends first. The balancer owns
  concurrency, retries, redirects, decoding and deadlines; aiohttp's own are off.
- The connect timeout covers resolving, connecting and TLS; its message says which it was.
- A request that met a dead kept-alive connection goes out once more, on a connection that has
  never been used and will not be kept (`reconnected`).
- A slow reader holds back the server: about half a mebibyte lies in memory for one answer.
- Proxies come from the environment; ``.netrc`` and cookies are left alone.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from ssl import SSLContext
from typing import cast

import aiohttp
from yarl import URL

from understudy.errors import ConnectFailed, ConnectionReset
from understudy.runtime.aiohttp_errors import map_exceptions
from understudy.runtime.aiohttp_wire import (
    Opening,
    UnansweredReuse,
    Watch,
    WatchedResponse,
    open_socket,
    opening,
    tls_context,
)
from understudy.runtime.environment_proxy import EnvironmentProxies
from understudy.runtime.head import HEAD_LIMIT, joined_headers
from understudy.runtime.ports import HttpRequest

_READ_LIMIT = 256 * 1024
_BUFFER_LOW_WATER = 64 * 1024
_KEEP_ALIVE_SECONDS = 30.0
_WHOLE_BODY_LIMIT = 256 * 1024


class AiohttpResponse:
    """An answer over aiohttp; see `ports.HttpResponse`."""

    __slots__ = ("_border", "_content", "_held", "_response", "_watch", "headers", "reconnected", "status")

    def __init__(self, response: WatchedResponse, border: map_exceptions, reconnected: bool) -> None:
        self._response = response
        self._border = border
        self._content = response.content
        self._watch = response.watch
        self._held = b""
        self.status = response.status
        self.headers = joined_headers(response.headers.items())
        self.reconnected = reconnected

    async def read(self) -> bytes:
        try:
            with self._border:
                data = self._held or await self._content.readany()
        except BaseException:
            self.close()
            raise
        if not data and self._watch.reset:
            raise ConnectionReset("connection reset in the body")
        self._held = data[_READ_LIMIT:]
        return data[:_READ_LIMIT]

    def close(self) -> None:
        if self._response.connection is not None:
            self._watch.abort()
        self._response.close()


class AiohttpTransport:
    """Sends over aiohttp; see `ports.Transport`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._fresh_session: aiohttp.ClientSession | None = None
        self._contexts: dict[str | None, SSLContext] = {}
        self._proxies = EnvironmentProxies()
        self._watches: set[Watch] = set()
        self._closed = False

    async def send(self, request: HttpRequest) -> AiohttpResponse:
        way = Opening(request.connect_timeout, self._watches)
        border = map_exceptions(way)
        token = opening.set(way)
        try:
            with border:
                return await self._send(request, border)
        finally:
            opening.reset(token)

    async def close(self) -> None:
        self._closed = True
        for watch in tuple(self._watches):
            watch.abort()
        for session in (self._session, self._fresh_session):
            if session is not None:
                await session.close()

    async def _send(self, request: HttpRequest, border: map_exceptions) -> AiohttpResponse:
        try:
            return AiohttpResponse(await self._post(self._pooled(), request), border, False)
        except UnansweredReuse:
            return AiohttpResponse(await self._post(self._fresh(), request), border, True)

    async def _post(self, session: aiohttp.ClientSession, request: HttpRequest) -> WatchedResponse:
        url = _url(request.url)
        response = await session.post(
            url,
            data=_body(request.body),
            headers=request.headers,
            allow_redirects=False,
            timeout=_timeout(request.connect_timeout),
            proxy=self._proxies.find(url),
            ssl=await self._tls(request.ca_file) if url.scheme == "https" else True,
        )
        return cast(WatchedResponse, response)

    async def _tls(self, ca_file: str | None) -> SSLContext:
        if ca_file not in self._contexts:
            try:
                context = await asyncio.to_thread(tls_context, ca_file)
            except OSError as error:
                raise ConnectFailed(
                    f"TLS: cannot use CA file {ca_file}: {error.strerror or error}"
                ) from error
            # Two first requests may load at once; the connections of both belong in one pool.
            self._contexts.setdefault(ca_file, context)
        return self._contexts[ca_file]

    def _pooled(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConnectFailed("the transport is closed")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, socket_factory=open_socket
            )
            self._session = _session(connector)
        return self._session

    def _fresh(self) -> aiohttp.ClientSession:
        if self._fresh_session is None:
            self._fresh_session = _session(
                aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=open_socket)
            )
        return self._fresh_session


def _url(text: str) -> URL:
    with suppress(ValueError):
        url = URL(text)
        if url.scheme in ("http", "https") and url.raw_host:
            return url
    raise ConnectFailed(f"not a URL to connect to: {text}")


def _body(body: bytes) -> bytes | BytesIO:
    # A large body goes out in pieces, so that other requests are not held up by one write.
    return body if len(body) < _WHOLE_BODY_LIMIT else BytesIO(body)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        headers={"accept-encoding": "identity"},
        skip_auto_headers=("accept", "content-type", "user-agent"),
        response_class=WatchedResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_BUFFER_LOW_WATER,
        max_line_size=HEAD_LIMIT,
        max_field_size=HEAD_LIMIT,
    )


@lru_cache
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    # aiohttp rounds long timeouts up to whole seconds unless told not to.
    return aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=math.inf)
