"""A client of bare sockets, so that every byte and every ending of an answer can be looked at."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from understudy.faults import FaultProvider

LIMIT = 64 * 1024 * 1024


@dataclass
class Answer:
    """`ending` is ``end`` for a complete body, ``cut`` or ``reset`` for an incomplete one."""

    head: bytes
    body: bytes
    ending: Literal["end", "cut", "reset"]
    chunks: list[bytes]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """What the events of a stream carry (in the plain style)."""
        return [event[6:] for event in self.body.decode().split("\n\n") if event.startswith("data: ")]

    @property
    def events(self) -> list[Any]:
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def named(self) -> list[tuple[str, Any]]:
        """The events of a stream whose events have names (in the plain style)."""
        lines = [event.split("\n") for event in self.body.decode().split("\n\n") if event]
        return [
            (name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines
        ]

    @property
    def text(self) -> str:
        """The text of the first choice, stream or unary."""
        if self.body.startswith(b"{"):
            return str(self.json["choices"][0]["message"]["content"])
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            for choice in event["choices"]
            if choice["index"] == 0
        )

    @property
    def finish(self) -> str | None:
        reasons = [choice["finish_reason"] for event in self.events for choice in event["choices"]]
        return next((reason for reason in reasons if reason), None)


class Client:
    """One connection."""

    def __init__(self, provider: FaultProvider, tls: ssl.SSLContext | None = None) -> None:
        self._provider, self._tls = provider, tls
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        name = "localhost" if self._tls else None
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._provider.port, limit=LIMIT, ssl=self._tls, server_hostname=name
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, *, path: str = "/v1/chat/completions", headers: str = "", **fields: Any) -> None:
        body = json.dumps(chat(**fields)).encode()
        self.post(path, body, headers)

    def post(self, path: str, body: bytes, headers: str = "", method: str = "POST") -> None:
        head = f"{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def ask(self, **fields: Any) -> Answer:
        self.send(**fields)
        return await self.receive()

    async def receive(self) -> Answer:
        async with asyncio.timeout(10):
            return await self._receive()

    async def _receive(self) -> Answer:
        head = b""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 1"):
                head = await self.reader.readuntil(b"\r\n\r\n")
            return await self._body(head)
        except asyncio.IncompleteReadError as error:
            return Answer(head, error.partial, "cut", [])
        except ConnectionResetError:
            return Answer(head, b"", "reset", [])

    async def _body(self, head: bytes) -> Answer:
        headers = Answer(head, b"", "end", []).headers
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
            return Answer(head, body, "end", [body])
        if "transfer-encoding" not in headers:
            body = b"" if b" 204 " in head else await self.reader.read()
            return Answer(head, body, "end", [body])
        return await self._chunked(head)

    async def _chunked(self, head: bytes) -> Answer:
        chunks: list[bytes] = []
        try:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                chunks.append(await self.reader.readexactly(size))
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        except asyncio.IncompleteReadError:
            return Answer(head, b"".join(chunks), "cut", chunks)
        except ConnectionResetError:
            return Answer(head, b"".join(chunks), "reset", chunks)
        return Answer(head, b"".join(chunks), "end", chunks)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Say something."}], **fields}


async def ask(provider: FaultProvider, *, tls: ssl.SSLContext | None = None, **fields: Any) -> Answer:
    """One request on a connection of its own."""
    async with Client(provider, tls) as client:
        return await client.ask(**fields)


async def play(script: str, *, time_scale: float = 0.001, **fields: Any) -> Answer:
    """What one request gets from a provider that plays `script`."""
    async with FaultProvider(script, time_scale=time_scale) as provider:
        return await ask(provider, **fields)


async def stream(script: str, **fields: Any) -> Answer:
    return await play(script, stream=True, **fields)
