"""The mock provider that every client in `benches.library` calls: one process, literal bytes.

It is as lean as asyncio allows, so that it takes as little as possible of the load from the clients.

1. A unary answer is 1.2 KB. A stream is a role chunk, then `CHUNKS` events of about 220 bytes, then
   the finish reason, the usage and ``[DONE]``.
2. Every event is a write of its own, and running streams take turns. Without a pace the next event
   follows at once, so a client that is slower than the provider finds several together; with one,
   events of a stream come so many milliseconds apart, as a real provider's do.
3. It does not start on a port that somebody else already has.

Run: ``python -m benches.upstream PORT``. It prints ``ready`` when it listens, reads a pace (in
milliseconds, 0 for none) from each line of stdin, says ``ready`` again, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

CHUNKS = 200
WORDS = [f"understudy{number:03} " for number in range(CHUNKS)]  # LiteLLM refuses a repeated chunk
TEXT = "".join(WORDS[:70])
STREAMED = "".join(WORDS)
COMMON = {"id": "chatcmpl-bench0000000000000000000", "created": 1700000000, "model": "mock"}


def _usage(output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": 450,
        "completion_tokens": output_tokens,
        "total_tokens": 450 + output_tokens,
    }


def _response(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _unary() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {**COMMON, "object": "chat.completion", "choices": [choice], "usage": _usage(180)}
    return _response("application/json", json.dumps(answer).encode())


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {**COMMON, "object": "chat.completion.chunk", "choices": choices, **more}
    return piece(b"data: %s\n\n" % json.dumps(chunk).encode())


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


def _stream() -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    last = (
        _delta({}, "stop") + _event([], usage=_usage(2 * CHUNKS)) + piece(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    )
    return [head + _delta({"role": "assistant"}), *(_delta({"content": word}) for word in WORDS), last]


UNARY = _unary()
STREAM = _stream()
SILENCE = _response("application/json", b"{}")


class Provider(asyncio.Protocol):
    """One connection; requests come one after another. `pace` is in seconds."""

    pace = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if separator and len(rest) >= _body_length(head):
            body, self.buffer = rest[: _body_length(head)], rest[_body_length(head) :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Clients that ask for anything but a completion get an empty object."""
        if b"/chat/completions" not in head.partition(b"\r\n")[0]:
            self.transport.write(SILENCE)
        elif b'"stream":true' in body.replace(b" ", b""):
            self.play(iter(STREAM))
        else:
            self.transport.write(UNARY)

    def play(self, events: Any) -> None:
        event = next(events, None)
        if event is not None and not self.transport.is_closing():
            self.transport.write(event)
            self.later(self.play, events)

    def later(self, callback: Any, *arguments: Any) -> None:
        loop = asyncio.get_running_loop()
        if self.pace:
            loop.call_later(self.pace, callback, *arguments)
        else:
            loop.call_soon(callback, *arguments)


def _body_length(head: bytes) -> int:
    _, _, value = head.lower().partition(b"content-length:")
    return int(value.partition(b"\r\n")[0]) if value else 0


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Provider, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        Provider.pace = float(line) / 1000
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
