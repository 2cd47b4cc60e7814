"""The caller of a gateway: an HTTP client that reads its events as the openai SDK does.

1. Anything but 200, an event with an ``error``, and a connection that is cut are errors.
2. A body that ends properly is a success, also without a finish reason and ``[DONE]``: nobody told of
   a fault.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benches.failover.calls import Stream
from benches.failover.pool import Pool
from benches.failover.worker import MESSAGES, MODEL, run

BODY = {"model": MODEL, "messages": MESSAGES, "stream": True}


class Refused(Exception):
    """The gateway says that it has no answer, or no more of it."""


def text_of(line: bytes) -> str:
    """What a line of the event stream adds to the answer. Raises `Refused`."""
    if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
        return ""
    event = json.loads(line[5:])
    if event.get("error"):
        raise Refused(f"an error in the stream: {json.dumps(event['error'])}")
    choices = event.get("choices")
    return (choices[0]["delta"].get("content") or "") if choices else ""


async def _pieces(session: aiohttp.ClientSession, url: str) -> AsyncGenerator[str, None]:
    async with session.post(url, json=BODY) as response:
        if response.status != 200:
            raise Refused(f"{response.status}: {(await response.text())[:200]}")
        async for line in response.content:
            yield text_of(line)


@asynccontextmanager
async def open_client(pool: Pool) -> AsyncIterator[Stream]:
    """The only backend is the gateway, the settings are headers."""
    url = f"{pool.backends[0]}/chat/completions"
    async with aiohttp.ClientSession(headers=dict(pool.settings)) as session:
        yield lambda: _pieces(session, url)


if __name__ == "__main__":
    run(open_client)
