"""A house that is open: a gateway on a real socket before two real providers, and clients of bare sockets.

``evening`` is the profile, "lead" and "second" its members. The listener has our own protocol, as
uvicorn would set it up; signals and draining are `server.py`'s, and not here.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import uvicorn
from uvicorn.server import ServerState

from tests.faults.raw import Answer, Client
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import TEXT, FaultProvider
from understudy.gateway import edge
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.edge import EdgeProtocol
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served

PROFILE = "evening"
KEY = "key-of-alice-4711"

SETTINGS: dict[str, Any] = {
    "timeout_ms": 2000,
    "unary_timeout_ms": 2000,
    "stall_timeout_ms": 2000,
    "connect_timeout_ms": 1000,
    "failover_retry_delay_ms": 1,
    "stream_recovery": "off",
}


def chat(**fields: Any) -> dict[str, Any]:
    """A request that both protocols take."""
    messages = [{"role": "user", "content": "What happens when the lead falls silent?"}]
    return {"model": PROFILE, "max_tokens": 100, "messages": messages, **fields}


class House:
    """One evening's gateway."""

    def __init__(self, gateway: Gateway, lead: FaultProvider, second: FaultProvider, port: int) -> None:
        self.gateway = gateway
        self.lead = lead
        self.second = second
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def line(self, tls: ssl.SSLContext | None = None) -> Client:
        """A connection of bare bytes."""
        return Client(cast(FaultProvider, self), tls)

    async def say(self, *pieces: bytes) -> Answer:
        """The first answer to these bytes over a new connection; pieces come one after the other."""
        async with self.line() as line:
            await speak(line, pieces)
            return await line.receive()

    async def hear(self, *pieces: bytes) -> bytes:
        """All that comes in answer to these bytes until the gateway closes the connection."""
        async with self.line() as line, asyncio.timeout(5):
            await speak(line, pieces)
            return await line.reader.read()

    async def post(self, path: str, body: Any, headers: str = "") -> Answer:
        """One request over a new connection; what is not bytes is sent as JSON."""
        async with self.line() as line:
            line.post(path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)
            return await line.receive()

    async def check_it_is_well(self) -> None:
        """The very next request is answered in whole, and nothing is left of those before."""
        answer = await self.post("/v1/chat/completions", chat(), f"authorization: Bearer {KEY}\r\n")
        assert (answer.status, answer.text) == (200, TEXT)
        async with asyncio.timeout(5):
            while self.gateway.running:
                await asyncio.sleep(0.01)
        served = self.gateway.profiles.by_name[PROFILE]
        assert (served.door.inside, served.door.waiting) == (0, 0)
        assert served.balancer.stats().in_flight == 0


async def speak(line: Client, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        line.writer.write(piece)
        await line.writer.drain()
        if len(pieces) > 1:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def house(
    lead: str = "fine",
    second: str = "fine",
    *,
    keys: str = "",
    protocol: type[EdgeProtocol] = EdgeProtocol,
    limit: int = 100,
    queue: int = 100,
    lead_url: str | None = None,
    keep_alive: float = 75,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """Open the house; `settings` are the profile's."""
    async with FaultProvider(lead) as first, FaultProvider(second) as other:
        urls = {"lead": lead_url or first.base_url, "second": other.base_url}
        gateway = _gateway(urls, Door(limit, queue, 1.0), Keys(keys), settings)
        async with listening(gateway, protocol=protocol, keep_alive=keep_alive, tls=tls) as port:
            yield House(gateway, first, other, port)
        await gateway.close()


@asynccontextmanager
async def listening(
    application: Any,
    *,
    protocol: type[EdgeProtocol] = EdgeProtocol,
    keep_alive: float = 75,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A port where this application answers, through our own protocol."""
    options = {**edge.options(), "http": protocol, "timeout_keep_alive": keep_alive}
    config = uvicorn.Config(application, **options)
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: protocol(config, state, {}), "127.0.0.1", 0, ssl=tls
    )
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for connection in list(state.connections):
            cast(EdgeProtocol, connection).transport.abort()
        await asyncio.gather(*state.tasks)


def _gateway(urls: Mapping[str, str], door: Door, keys: Keys, settings: dict[str, Any]) -> Gateway:
    profile = LoadBalancerProfile(PROFILE, "failover", tuple(urls), settings={**SETTINGS, **settings})
    members = [
        StandardProfile(
            name, "openai", f"{name}-model", settings={"base-url": url, "auth-key": f"upstream-{name}"}
        )
        for name, url in urls.items()
    ]
    served = Served(PROFILE, Balancer(profile, members), door)
    return Gateway(Profiles({PROFILE: served}, aliases={"claude-*": PROFILE}), keys=keys)


def caller(gateway: Gateway) -> httpx.AsyncClient:
    """A client that calls the application itself, without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, gateway)), base_url="http://gateway")
