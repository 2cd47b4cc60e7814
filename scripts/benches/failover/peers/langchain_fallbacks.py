"""LangChain's ``with_fallbacks``; retries off, as its documentation advises for fallbacks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from langchain_openai import ChatOpenAI

from benches.failover.calls import Stream
from benches.failover.pool import Pool
from benches.failover.worker import MODEL, PROMPT, run


@asynccontextmanager
async def open_client(pool: Pool) -> AsyncIterator[Stream]:
    first, *others = (
        ChatOpenAI(model=MODEL, base_url=url, api_key="none", max_retries=0, timeout=pool.timeout)
        for url in pool.backends
    )
    model = first.with_fallbacks(others)

    async def stream() -> AsyncGenerator[str, None]:
        async for chunk in model.astream(PROMPT):
            yield str(chunk.content)

    yield stream


if __name__ == "__main__":
    run(open_client)
