"""Carries requests to modelled backends and their replies back, in the loop's time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf

from understudy.errors import ConnectionReset, TransportError
from understudy.runtime.ports import HttpRequest
from understudy.simulate.backend import ModelledBackend, Reply
from understudy.simulate.loop import VirtualLoop


class ModelledResponse:
    """Plays a reply's body, for as long as the backend has not fallen over since."""

    __slots__ = ("_backend", "_falls", "_loop", "_next", "_pieces", "headers", "status")

    reconnected = False

    def __init__(self, reply: Reply, backend: ModelledBackend, loop: VirtualLoop) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._pieces = reply.pieces
        self._next = 0
        self._loop = loop
        self._backend: ModelledBackend | None = backend
        self._falls = backend.falls

    async def wait(self, when: float) -> None:
        """Until its next part comes."""
        if when > self._loop.time():
            await until(when, self._loop)
        if self._backend is not None and self._backend.falls != self._falls:
            raise ConnectionReset("connection reset: the backend fell over")

    async def read(self) -> bytes:
        if self._next == len(self._pieces):
            return b""
        when, what = self._pieces[self._next]
        self._next += 1
        await self.wait(when)
        if isinstance(what, TransportError):
            raise what
        return what

    def close(self) -> None:
        if self._backend is not None:
            self._backend.in_flight -= self._backend.falls == self._falls
            self._backend = None


class ModelledTransport:
    """`backends` are by their base URL."""

    def __init__(self, backends: Mapping[str, ModelledBackend], loop: VirtualLoop) -> None:
        self._backends = backends
        self._loop = loop
        self._of: dict[str, ModelledBackend] = {}

    async def send(self, request: HttpRequest) -> ModelledResponse:
        backend, loop = self._backend(request.url), self._loop
        reply = backend.reply(request, loop.time())
        backend.in_flight += 1
        response = ModelledResponse(reply, backend, loop)
        try:
            await response.wait(reply.at)
            if reply.error is not None:
                raise reply.error
        except BaseException:
            response.close()
            raise
        return response

    async def close(self) -> None:
        """There is nothing to close."""

    def _backend(self, url: str) -> ModelledBackend:
        backend = self._of.get(url)
        if backend is None:
            backend = next(backend for base, backend in self._backends.items() if url.startswith(base))
            self._of[url] = backend
        return backend


async def until(when: float, loop: VirtualLoop) -> None:
    """Wait for an instant, for ever if it is infinite.

    A waiter that is cancelled has taken its timer back before the next one rings (the loop's rule 1).
    """
    reached: asyncio.Future[None] = asyncio.Future(loop=loop)
    timer = None if when == inf else loop.call_at(when, reached.set_result, None)
    try:
        await reached
    except asyncio.CancelledError:
        if timer is not None:
            timer.cancel()
        raise
