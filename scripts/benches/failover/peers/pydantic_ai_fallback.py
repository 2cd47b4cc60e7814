"""pydantic-ai's `FallbackModel`, asked directly; the SDK's retries off, as its documentation advises."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benches.failover.calls import Stream
from benches.failover.pool import Pool
from benches.failover.worker import MODEL, PROMPT, run
from benches.peers.pydantic_ai_fallback import text_of


def _model(url: str, timeout: float) -> OpenAIChatModel:
    sdk = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=timeout)
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=sdk))


@asynccontextmanager
async def open_client(pool: Pool) -> AsyncIterator[Stream]:
    model = FallbackModel(*(_model(url, pool.timeout) for url in pool.backends))

    async def stream() -> AsyncGenerator[str, None]:
        messages = [ModelRequest.user_text_prompt(PROMPT)]
        async with model_request_stream(model, messages) as events:
            async for event in events:
                yield text_of(event)

    yield stream


if __name__ == "__main__":
    run(open_client)
