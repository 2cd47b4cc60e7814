"""The floor: what is left of a proxy when it does nothing but pass bytes on.

A bare ASGI application on uvicorn (httptools, uvloop) with aiohttp behind it: no routes, no keys, no
JSON, no failover, no limits. `floor_app.py PORT UPSTREAM CA_FILE`.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn

_PASSED = {b"content-type", b"content-length"}


class Floor:
    """Passes a request to the upstream and its answer back, piece by piece."""

    session: aiohttp.ClientSession

    def __init__(self, upstream: str, ca_file: str) -> None:
        self.upstream = upstream
        self.ca_file = ca_file

    def open(self) -> None:
        tls = ssl.create_default_context(cafile=self.ca_file) if self.upstream.startswith("https") else True
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=None)
        self.session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if not hasattr(self, "session"):
            self.open()
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        url = self.upstream + scope["path"]
        async with self.session.post(url, data=body, headers={"content-type": "application/json"}) as answer:
            await self._pass_on(answer, send)

    async def _pass_on(self, answer: aiohttp.ClientResponse, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() in _PASSED]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for data in answer.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


if __name__ == "__main__":
    port, upstream, ca_file = sys.argv[1:]
    uvicorn.run(
        Floor(upstream, ca_file),
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
