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
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from ssl import SSLContext
from typing import cast

import aiohttp
from yarl import URL

from understudy.errors import ConnectFailed
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
from understudy.runtime.head import DEFAULT_HEADERS, HEAD_LIMIT, joined_headers
from understudy.runtime.ports import HttpRequest

_READ_LIMIT = 256 * 1024
_BUFFER_LOW_WATER = 64 * 1024
_KEEP_ALIVE_SECONDS = 30.0
_WHOLE_BODY_LIMIT = 256 * 1024


class AiohttpResponse:
    """An answer over aiohttp; see `ports.HttpResponse`."""

    __slots__ = ("_border", "_held", "_response", "headers", "reconnected", "status")

    def __init__(self, response: WatchedResponse, border: map_exceptions, reconnected: bool) -> None:
        self._response = response
        self._border = border
        self._held = b""
        self.status = response.status
        self.headers = joined_headers(response.headers.items())
        self.reconnected = reconnected

    async def read(self) -> bytes:
        try:
            with self._border:
                data = self._held or await self._response.read_any()
        except BaseException:
            self.close()
            raise
        self._held = data[_READ_LIMIT:]
        return data[:_READ_LIMIT]

    def close(self) -> None:
        if self._response.connection is not None:
            self._response.watch.abort()
        self._response.close()


class AiohttpTransport:
    """Sends over aiohttp; see `ports.Transport`."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._contexts: dict[str | None, SSLContext] = {}
        self._proxies = EnvironmentProxies()
        self._watches: set[Watch] = set()
        self._closed = False

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<{type(self).__name__}, {len(self._watches)} connections{state}>"

    async def send(self, request: HttpRequest) -> AiohttpResponse:
        way = Opening(request.connect_timeout, self._watches)
        # Never reset: the task's next request sets its own, and a reset fails where a coroutine is
        # closed outside its task.
        opening.set(way)
        border = map_exceptions(way)
        with border:
            try:
                response, reconnected = await self._post(request, fresh=False), False
            except UnansweredReuse:
                response, reconnected = await self._post(request, fresh=True), True
        return AiohttpResponse(response, border, reconnected)

    async def close(self) -> None:
        self._closed = True
        for watch in tuple(self._watches):
            watch.abort()
        for session in self._sessions.values():
            await session.close()

    async def _post(self, request: HttpRequest, *, fresh: bool) -> WatchedResponse:
        url = _url(request.url)
        context = await self._tls(request.ca_file) if url.scheme == "https" else True
        response = await self._session(fresh).post(
            url,
            data=_body(request.body),
            headers=request.headers,
            allow_redirects=False,
            timeout=_timeout(request.connect_timeout),
            proxy=self._proxies.find(url),
            ssl=context,
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

    def _session(self, fresh: bool) -> aiohttp.ClientSession:
        """The session with the pool, or the one whose connections are new and never kept."""
        if self._closed:
            raise ConnectFailed("the transport is closed")
        if fresh not in self._sessions:
            self._sessions[fresh] = _new_session(fresh)
        return self._sessions[fresh]


def _url(text: str) -> URL:
    with suppress(ValueError):
        url = URL(text)
        if url.scheme in ("http", "https") and url.raw_host:
            return url
    raise ConnectFailed(f"not a URL to connect to: {text}")


def _body(body: bytes) -> bytes | BytesIO:
    # A large body goes out in pieces, so that other requests are not held up by one write.
    return body if len(body) < _WHOLE_BODY_LIMIT else BytesIO(body)


def _new_session(fresh: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            force_close=fresh,
            keepalive_timeout=None if fresh else _KEEP_ALIVE_SECONDS,
            socket_factory=open_socket,
        ),
        headers=DEFAULT_HEADERS,
        response_class=WatchedResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_BUFFER_LOW_WATER,
        max_field_size=HEAD_LIMIT,
    )


@lru_cache
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect)
