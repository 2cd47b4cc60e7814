"""A theatre with a gateway at its door: real clients, a real server, real providers, three views.

What a client got is a `Reply`, byte by byte and read in its protocol's own words, or what an official SDK
makes of it. What the providers saw is in their logs. What the balancer thinks is what the gateway tells at
``/stats/evening`` and ``/requests/{id}``. The server is put together as ``understudy serve`` does it, on the
test's own loop. Clocks are as short as in `theatre`.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, Literal

import anthropic
import httpx2
import openai
import uvicorn
from uvicorn.server import ServerState

from tests.e2e.gateway_replies import (
    CLIENT_KEY,
    PATHS,
    PROTOCOLS,
    QUESTION,
    Event,
    Protocol,
    Reply,
    asking,
    authorized,
    events_of,
)
from tests.e2e.theatre import SETTINGS
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import TEXT, FaultProvider, Request
from understudy.gateway import edge
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served
from understudy.runtime.ports import Transport
from understudy.runtime.tracing import Tracer

__all__ = [
    "CLIENT_KEY",
    "MEMBER_KEYS",
    "PATHS",
    "PATIENT",
    "PROTOCOLS",
    "QUESTION",
    "Event",
    "Format",
    "GatewayTheatre",
    "Protocol",
    "Reply",
    "Visitor",
    "asking",
    "authorized",
    "events_of",
    "gateway_theatre",
    "left_within_a_second",
    "patient_theatre",
    "visit",
]

Format = Literal["openai", "openai-responses", "anthropic", "gemini"]
FORMATS: dict[Format | Protocol, Format] = {
    "openai": "openai",
    "openai-responses": "openai-responses",
    "responses": "openai-responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}

NAMES = ("lead", "second", "third", "fourth")
MEMBER_KEYS = {name: f"sk-{name}-0123456789abcdef" for name in NAMES}
PATIENT = {
    "timeout_ms": 20000,
    "unary_timeout_ms": 20000,
    "stall_timeout_ms": 20000,
    "connect_timeout_ms": 5000,
}


class Visitor:
    """One raw connection to the gateway, which reads as much as it is told to."""

    def __init__(
        self, protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.protocol: Protocol = protocol
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self._reader = reader
        self._whole = False

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        length = {"content-length": str(len(body))} if body else {}
        lines = [f"{name}: {value}" for name, value in {"host": "gateway", **length, **headers}.items()]
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def read_head(self) -> None:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    async def read_piece(self) -> bytes:
        """The next part of the body, ``b""`` at its end; raises `EOFError` where it is cut short."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            piece = (await self._reader.readexactly(size + 2))[:-2]
        else:
            left = int(self.headers["content-length"]) - len(self.body)
            piece = await self._reader.readexactly(left)
        self.body += piece
        self._whole = not piece or "content-length" in self.headers
        return piece

    async def read_until(self, part: bytes) -> None:
        """Until this is somewhere in the body."""
        while part not in self.body:
            assert await self.read_piece(), self.body

    async def read_rest(self) -> Reply:
        try:
            while not self._whole:
                await self.read_piece()
        except (EOFError, ConnectionError):
            self.writer.transport.abort()
        return Reply(self.protocol, self.status, self.headers, self.body, self._whole)

    async def read_to_the_end(self) -> bytes:
        """All that comes until the other side closes."""
        return await self._reader.read()

    def forget(self) -> None:
        """Be ready for the next answer over this connection."""
        self.body, self._whole = b"", False

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def visit(port: int, protocol: Protocol = "openai") -> AsyncIterator[Visitor]:
    """A connection of one's own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Visitor(protocol, reader, writer)
    finally:
        writer.transport.abort()


class Tape(httpx2.AsyncByteStream):
    """An answer as an SDK hears it; `to_the_end`: also what the SDK does not care to hear."""

    def __init__(self, response: httpx2.Response, *, to_the_end: bool) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self._response = response
        self._stream = response.stream
        self._source = aiter(response.stream)
        self._body = b""
        self._to_the_end = to_the_end
        self._whole = False
        response.stream = self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source:
            self._body += piece
            yield piece
        self._whole = True

    async def aclose(self) -> None:
        if self._to_the_end and not self._whole:
            async with asyncio.timeout(2):
                async for _ in self:
                    pass
        await self._stream.aclose()

    def reply(self, protocol: Protocol) -> Reply:
        response = self._response
        return Reply(protocol, response.status_code, dict(response.headers), self._body, self._whole)


# The house


class GatewayTheatre:
    """The providers, by the names of the members that lead to them, and the gateway that serves all of these
    as ``evening``.

    `openai` and `anthropic` are the official SDKs, as people set them up: a base URL and a key. They leave
    when they have heard an error, unless `hears_to_the_end` is set: what comes after it is of interest too.
    """

    hears_to_the_end = False

    def __init__(self, providers: Mapping[str, FaultProvider], gateway: Gateway, port: int) -> None:
        self.providers = providers
        self.lead = providers["lead"]
        self.second = providers["second"]
        self.gateway = gateway
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self._tapes: list[Tape] = []
        self.openai = openai.AsyncOpenAI(
            base_url=f"{self.origin}/v1",
            api_key=CLIENT_KEY,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=False, event_hooks=self._hooks),
        )
        self.anthropic = anthropic.AsyncAnthropic(
            base_url=self.origin,
            api_key=CLIENT_KEY,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=False, event_hooks=self._hooks),
        )

    @property
    def _hooks(self) -> dict[str, Any]:
        async def record(response: httpx2.Response) -> None:
            self._tapes.append(Tape(response, to_the_end=self.hears_to_the_end))

        return {"response": [record]}

    def heard(self, protocol: Protocol) -> Reply:
        """What the newest answer to an SDK was on the wire."""
        return self._tapes[-1].reply(protocol)

    @property
    def evening(self) -> Served:
        return self.gateway.profiles.by_name["evening"]

    async def ask(
        self,
        protocol: Protocol,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Reply:
        """One request, read to its end."""
        body = json.dumps(asking(protocol, stream=stream, **fields)).encode()
        return await self.request("POST", PATHS[protocol], body, protocol, headers)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        protocol: Protocol = "openai",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        async with visit(self.port, protocol) as visitor:
            await visitor.send(method, path, {**authorized(protocol), **(headers or {})}, body)
            await visitor.read_head()
            return await visitor.read_rest()

    @asynccontextmanager
    async def visit(
        self, protocol: Protocol, *, stream: bool = True, **fields: Any
    ) -> AsyncIterator[Visitor]:
        """A request that is on its way, for whoever reads slowly or leaves."""
        async with visit(self.port, protocol) as visitor:
            body = json.dumps(asking(protocol, stream=stream, **fields)).encode()
            await visitor.send("POST", PATHS[protocol], authorized(protocol), body)
            yield visitor

    # What the gateway tells

    async def stats(self, backend: str = "lead") -> dict[str, Any]:
        stats: dict[str, Any] = (await self.request("GET", "/stats/evening")).value
        found: dict[str, Any] = stats["backends"][backend]
        return found

    async def pool(self) -> dict[str, Any]:
        stats: dict[str, Any] = (await self.request("GET", "/stats/evening")).value
        return stats

    async def told(self, request_id: str) -> dict[str, Any]:
        """What is kept of a request."""
        entry: dict[str, Any] = (await self.request("GET", f"/requests/{request_id}")).value
        return entry

    async def attempts(self, reply: Reply) -> list[tuple[str, str]]:
        """The attempts in a reply's trail, each with its outcome."""
        entry = await self.told(reply.headers["x-request-id"])
        return [(step["backend"], step["outcome"]) for step in entry["trail"] if "outcome" in step]

    async def skips(self, reply: Reply) -> list[tuple[str, str]]:
        entry = await self.told(reply.headers["x-request-id"])
        return [(step["backend"], step["skipped"]) for step in entry["trail"] if "skipped" in step]

    # What holds after every evening

    async def check_nothing_is_left(self) -> None:
        """Permits and places are back, counts add up, providers are done with every request."""
        async with asyncio.timeout(2):
            while self.gateway.running:
                await asyncio.sleep(0.005)
        pool = self.evening.balancer.stats().to_dict()
        assert pool["in_flight"] == 0
        assert pool["total_requests"] == pool["answered"] + pool["failed"] + pool["cancelled"]
        for backend in pool["backends"].values():
            ended = ("successes", "failures", "refused", "cancelled")
            assert backend["in_flight"] == 0
            assert backend["requests"] == sum(backend[name] for name in ended)
        assert (self.evening.door.inside, self.evening.door.waiting) == (0, 0)
        for provider in self.providers.values():
            for request in provider.requests:
                await provider.wait_settled(request)

    async def check_a_healthy_call_succeeds(self, protocol: Protocol = "openai") -> None:
        """The fault over, the very next request is answered in whole, by the lead if it may be asked."""
        self.lead.set_script("fine")
        lead = await self.stats()
        reply = await self.ask(protocol, stream=True)
        assert (reply.error, reply.text, reply.dones, len(reply.ids)) == (None, TEXT, 1, 1)
        if lead["circuit_breaker"]["state"] == "closed" and not lead["bench_remaining_ms"]:
            assert reply.headers["x-understudy-backend"] == "lead"

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


@cache
def _put_aside_what_is_loaded() -> None:
    """A full collection over all that the SDKs load stops the loop for longer than the short clocks allow."""
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def gateway_theatre(
    lead: str = "fine",
    second: str = "fine",
    *others: str,
    speaks: Format | Protocol | Sequence[Format | Protocol] = "openai",
    urls: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    member_settings: Mapping[str, Any] | None = None,
    own_settings: Mapping[str, Mapping[str, Any]] | None = None,
    time_scale: float = 1.0,
    policy: str = "failover",
    transport: Transport | None = None,
    aliases: Mapping[str, str] | None = None,
    default: str | None = None,
    door: Door | None = None,
    comment_seconds: float = 0.0,
    tracer: Tracer | None = None,
    **settings: Any,
) -> AsyncIterator[GatewayTheatre]:
    """Open the house, with a member for each script. `speaks` are their formats, by the names of formats or
    of clients' protocols. `member_settings` are every member's, `own_settings` those of one by its name,
    `settings` the profile's, over the short clocks.
    """
    _put_aside_what_is_loaded()
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(FaultProvider(script, time_scale=time_scale))
            for name, script in zip(NAMES, (lead, second, *others), strict=False)
        }
        formats = [speaks] * len(providers) if isinstance(speaks, str) else speaks
        cast = [
            StandardProfile(
                name,
                FORMATS[spoken],
                (models or {}).get(name, f"{name}-model"),
                model_params=params or {},
                settings={
                    "base-url": (urls or {}).get(name, provider.base_url),
                    "auth-key-env": name.upper(),
                    **(member_settings or {}),
                    **(own_settings or {}).get(name, {}),
                },
            )
            for (name, provider), spoken in zip(providers.items(), formats, strict=True)
        ]
        profile = LoadBalancerProfile("evening", policy, tuple(providers), settings={**SETTINGS, **settings})
        environ = {name.upper(): key for name, key in MEMBER_KEYS.items()}
        balancer = Balancer(profile, cast, environ=environ, transport=transport or "aiohttp", tracer=tracer)
        await stack.enter_async_context(balancer)
        served = Served("evening", balancer, door or Door(100, 100, 20.0))
        gateway = Gateway(
            Profiles({"evening": served}, default=default, aliases=aliases),
            keys=Keys(f"alice={CLIENT_KEY},bob=client-key-of-bob-0123456789"),
            comment_seconds=comment_seconds,
        )
        port = await stack.enter_async_context(_serving(gateway))
        house = GatewayTheatre(providers, gateway, port)
        stack.push_async_callback(house.close)
        yield house
        await house.check_nothing_is_left()


def patient_theatre(
    lead: str = "fine", second: str = "fine", *others: str, **options: Any
) -> AbstractAsyncContextManager[GatewayTheatre]:
    """The same without a hurry, for tests that are about something else than clocks."""
    return gateway_theatre(lead, second, *others, **{**PATIENT, **options})


@asynccontextmanager
async def _serving(gateway: Gateway) -> AsyncIterator[int]:
    """The port of the gateway, behind the protocol that the product puts in front of it."""
    config = uvicorn.Config(gateway, **edge.options())
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: edge.EdgeProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()
        async with asyncio.timeout(2):
            while state.connections or state.tasks:
                await asyncio.sleep(0.005)
        await listener.wait_closed()


async def left_within_a_second(provider: FaultProvider, request: Request, since: float) -> None:
    """The provider saw the gateway go, at most a second after `since` (monotonic)."""
    assert await provider.wait_closed(request, timeout=2) - since < 1.0
