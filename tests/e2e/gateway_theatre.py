"""A theatre with a gateway at its door: real clients, a real server, two real providers, three views.

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
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import anthropic
import openai
import uvicorn
from uvicorn.server import ServerState

from tests.e2e.theatre import SETTINGS
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import TEXT, FaultProvider, Request
from understudy.gateway import edge
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served
from understudy.runtime.ports import Transport

Protocol = Literal["openai", "anthropic"]
PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic")

CLIENT_KEY = "client-key-of-alice-0123456789"
MEMBER_KEYS = {"lead": "sk-lead-0123456789abcdef", "second": "sk-second-0123456789abcdef"}
QUESTION = "What happens when the lead falls silent?"
PATIENT = {
    "timeout_ms": 20000,
    "unary_timeout_ms": 20000,
    "stall_timeout_ms": 20000,
    "connect_timeout_ms": 5000,
}
PATHS: dict[Protocol, str] = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def asking(protocol: Protocol, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A request's body. A stream asks for its usage."""
    body: dict[str, Any] = {
        "model": "evening",
        "stream": stream,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    if protocol == "anthropic":
        body["max_tokens"] = 1000
    elif stream:
        body["stream_options"] = {"include_usage": True}
    return {**body, **fields}


def authorized(protocol: Protocol, key: str = CLIENT_KEY) -> dict[str, str]:
    """The headers by which each protocol's clients say who they are."""
    if protocol == "anthropic":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key}"}


# What a client got


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; `name` is ``message`` where the stream gives none."""

    name: str
    data: str

    @property
    def value(self) -> Any:
        return json.loads(self.data)


def events_of(body: bytes) -> list[Event]:
    """The events that are complete; comments are none."""
    events = []
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line.partition(":") for line in block.split("\n") if not line.startswith(":")]
        fields = [(name, value.removeprefix(" ")) for name, _, value in lines]
        data = [value for name, value in fields if name == "data"]
        if data:
            name = next((value for name, value in fields if name == "event"), "message")
            events.append(Event(name, "\n".join(data)))
    return events


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came over the wire. `whole`: its body ended as HTTP wants it."""

    protocol: Protocol
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        return events_of(self.body)

    @property
    def dones(self) -> int:
        """How often it says that this was all."""
        if self.protocol == "openai":
            return sum(event.data == "[DONE]" for event in self.events)
        return sum(event.name == "message_stop" for event in self.events)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error object, in whichever place the protocol has it."""
        error: dict[str, Any] | None
        if not self.is_stream:
            error = self.value.get("error")
            return error
        found = [value for value in self._values if "error" in value]
        assert len(found) <= 1
        return found[0]["error"] if found else None

    @property
    def text(self) -> str:
        """All text; halves of one character that came in two events are joined."""
        return "".join(self._texts).encode("utf-16", "surrogatepass").decode("utf-16")

    @property
    def tools(self) -> dict[int, tuple[str, str]]:
        """Name and arguments of every tool call that a stream has begun, by its place."""
        calls: dict[int, tuple[str, str]] = {}
        for index, name, arguments in self._tool_pieces:
            begun = calls.get(index, ("", ""))
            calls[index] = (begun[0] + name, begun[1] + arguments)
        return calls

    @property
    def ids(self) -> set[str]:
        """The answers that this one is made of: one, if it is not glued together."""
        if self.protocol == "openai":
            return {value["id"] for value in self._values if value.get("choices")}
        if not self.is_stream:
            return {self.value["id"]}
        return {value["message"]["id"] for value in self._values if value.get("type") == "message_start"}

    @property
    def model(self) -> str:
        if self.protocol == "openai" or not self.is_stream:
            return str(next(value["model"] for value in self._values if value.get("model")))
        return str(next(value["message"]["model"] for value in self._values if "message" in value))

    @property
    def finish(self) -> str | None:
        """The finish reason or stop reason."""
        if self.protocol == "openai":
            choices = (choice for value in self._values for choice in value.get("choices", ()))
            return next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), None)
        if not self.is_stream:
            reason: str | None = self.value["stop_reason"]
            return reason
        deltas = (value["delta"] for value in self._values if value.get("type") == "message_delta")
        return next((delta["stop_reason"] for delta in deltas), None)

    @property
    def output_tokens(self) -> int | None:
        name = "completion_tokens" if self.protocol == "openai" else "output_tokens"
        found = [value["usage"] for value in self._values if value.get("usage")]
        return found[-1].get(name) if found else None

    @property
    def _values(self) -> list[dict[str, Any]]:
        """The JSON objects that it consists of."""
        if not self.is_stream:
            return [self.value]
        return [event.value for event in self.events if event.data.startswith("{")]

    @property
    def _texts(self) -> list[str]:
        if self.protocol == "openai":
            choices = [choice for value in self._values for choice in value.get("choices", ())]
            parts = [choice.get("delta") or choice.get("message") for choice in choices]
            return [part["content"] for part in parts if part and part.get("content")]
        if not self.is_stream:
            return [block["text"] for block in self.value["content"] if block["type"] == "text"]
        return [delta["text"] for delta in self._deltas if delta.get("type") == "text_delta"]

    @property
    def _deltas(self) -> list[dict[str, Any]]:
        return [value["delta"] for value in self._values if value.get("type") == "content_block_delta"]

    @property
    def _tool_pieces(self) -> list[tuple[int, str, str]]:
        if self.protocol == "openai":
            return [
                (call["index"], call["function"].get("name") or "", call["function"].get("arguments") or "")
                for value in self._values
                for choice in value.get("choices", ())
                for call in choice["delta"].get("tool_calls") or ()
            ]
        pieces = []
        for value in self._values:
            block, delta = value.get("content_block", {}), value.get("delta", {})
            if block.get("type") == "tool_use":
                pieces.append((value["index"], block["name"], ""))
            elif delta.get("type") == "input_json_delta":
                pieces.append((value["index"], "", delta["partial_json"]))
        return pieces


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


# The house


class GatewayTheatre:
    """The lead, the understudy, and the gateway that serves both as ``evening``.

    `openai` and `anthropic` are the official SDKs, as people set them up: a base URL and a key.
    """

    def __init__(self, lead: FaultProvider, second: FaultProvider, gateway: Gateway, port: int) -> None:
        self.lead = lead
        self.second = second
        self.gateway = gateway
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.openai = openai.AsyncOpenAI(
            base_url=f"{self.origin}/v1",
            api_key=CLIENT_KEY,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=False),
        )
        self.anthropic = anthropic.AsyncAnthropic(
            base_url=self.origin,
            api_key=CLIENT_KEY,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=False),
        )

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
        for provider in (self.lead, self.second):
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
    *,
    speaks: Protocol | Sequence[Protocol] = "openai",
    urls: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    member_settings: Mapping[str, Any] | None = None,
    time_scale: float = 1.0,
    policy: str = "failover",
    transport: Transport | None = None,
    aliases: Mapping[str, str] | None = None,
    default: str | None = None,
    door: Door | None = None,
    comment_seconds: float = 0.0,
    **settings: Any,
) -> AsyncIterator[GatewayTheatre]:
    """Open the house. `speaks` are the members' formats, `settings` the profile's over the short clocks."""
    _put_aside_what_is_loaded()
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(FaultProvider(script, time_scale=time_scale))
            for name, script in {"lead": lead, "second": second}.items()
        }
        formats = (speaks, speaks) if isinstance(speaks, str) else speaks
        cast = [
            StandardProfile(
                name,
                spoken,
                f"{name}-model",
                model_params=params or {},
                settings={
                    "base-url": (urls or {}).get(name, provider.base_url),
                    "auth-key-env": name.upper(),
                    **(member_settings or {}),
                },
            )
            for (name, provider), spoken in zip(providers.items(), formats, strict=True)
        ]
        profile = LoadBalancerProfile("evening", policy, tuple(providers), settings={**SETTINGS, **settings})
        environ = {name.upper(): key for name, key in MEMBER_KEYS.items()}
        balancer = Balancer(profile, cast, environ=environ, transport=transport or "aiohttp")
        await stack.enter_async_context(balancer)
        served = Served("evening", balancer, door or Door(100, 100, 20.0))
        gateway = Gateway(
            Profiles({"evening": served}, default=default, aliases=aliases),
            keys=Keys(f"alice={CLIENT_KEY},bob=client-key-of-bob-0123456789"),
            comment_seconds=comment_seconds,
        )
        port = await stack.enter_async_context(_serving(gateway))
        house = GatewayTheatre(providers["lead"], providers["second"], gateway, port)
        stack.push_async_callback(house.close)
        yield house
        await house.check_nothing_is_left()


def patient_theatre(
    lead: str = "fine", second: str = "fine", **options: Any
) -> AbstractAsyncContextManager[GatewayTheatre]:
    """The same without a hurry, for tests that are about something else than clocks."""
    return gateway_theatre(lead, second, **{**PATIENT, **options})


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
