"""The mock, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benches.gateway.mock import Mock
from benches.gateway.requests import Target


@asynccontextmanager
async def listening() -> AsyncIterator[Target]:
    made: list[Mock] = []

    def make() -> Mock:
        made.append(Mock())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        yield Target(server.sockets[0].getsockname()[1])
        for connection in made:
            connection.transport.abort()
        await asyncio.sleep(0)
