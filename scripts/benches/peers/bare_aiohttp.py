"""The floor: an HTTP client and `json`, no balancing, no failover."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benches.worker import CONCURRENCY, MESSAGES, MODEL, run


class BareAiohttp:
    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.url = f"{base_url}/chat/completions"

    async def complete(self) -> str:
        async with self.session.post(self.url, json={"model": MODEL, "messages": MESSAGES}) as response:
            answer = json.loads(await response.read())
            return str(answer["choices"][0]["message"]["content"])

    async def stream(self) -> str:
        body = {"model": MODEL, "messages": MESSAGES, "stream": True}
        text = []
        async with self.session.post(self.url, json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    text.append(choices[0]["delta"].get("content", "") if choices else "")
        return "".join(text)


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[BareAiohttp]:
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(
        connector=connector, headers={"Authorization": "Bearer none"}
    ) as session:
        yield BareAiohttp(session, base_url)


if __name__ == "__main__":
    run(open_client)
