"""A gateway of this very process, asked without a socket: what ``understudy top --demo`` looks at.

It is the application itself, called as a server calls it. What it answers is what a client would get.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from understudy.tui.remote import refusal

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway


class InProcess:
    """A `tui.remote.Remote`. `key` is a client's or the operator's, if there are keys."""

    def __init__(self, gateway: Gateway, name: str, key: str = "") -> None:
        self.name = name
        self.gateway = gateway
        self._headers = [(b"x-api-key", key.encode())] if key else []

    def __repr__(self) -> str:
        return f"<InProcess {self.name}>"

    async def get(self, path: str) -> bytes:
        return await self._whole("GET", path)

    async def post(self, path: str, body: bytes = b"") -> bytes:
        return await self._whole("POST", path, body)

    async def live(self) -> AsyncIterator[bytes]:
        visit = _Visit(self.gateway, self._scope("GET", "/live"))
        try:
            status = await visit.status()
            if status != 200:
                raise refusal(self.name, status, b"".join([piece async for piece in visit.pieces()]))
            async for piece in visit.pieces():
                yield piece
        finally:
            await visit.leave()

    async def _whole(self, method: str, path: str, body: bytes = b"") -> bytes:
        visit = _Visit(self.gateway, self._scope(method, path), body)
        try:
            status = await visit.status()
            answer = b"".join([piece async for piece in visit.pieces()])
        finally:
            await visit.leave()
        if status != 200:
            raise refusal(self.name, status, answer)
        return answer

    def _scope(self, method: str, path: str) -> dict[str, Any]:
        path, _, query = path.partition("?")
        return {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": self._headers,
        }


class _Visit:
    """One request. The application writes no further than its reader has read."""

    def __init__(self, gateway: Gateway, scope: dict[str, Any], body: bytes = b"") -> None:
        self._body = body
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self._left = asyncio.Event()
        self._heard = False
        self._task = asyncio.ensure_future(gateway(scope, self._receive, self._send))

    async def status(self) -> int:
        return int((await self._said.get())["status"])

    async def pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._said.get()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def leave(self) -> None:
        self._left.set()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _receive(self) -> dict[str, Any]:
        if not self._heard:
            self._heard = True
            return {"type": "http.request", "body": self._body}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._said.put(message)
