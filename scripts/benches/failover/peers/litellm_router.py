"""LiteLLM's Router: one model group of three deployments."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import litellm
from litellm import Router

from benches.failover.calls import Stream
from benches.failover.gateways.litellm import deployments, router_settings
from benches.failover.pool import Pool
from benches.failover.worker import MESSAGES, MODEL, run


@asynccontextmanager
async def open_client(pool: Pool) -> AsyncIterator[Stream]:
    litellm.suppress_debug_info = True
    router = Router(model_list=deployments(pool), **router_settings(pool))

    async def stream() -> AsyncGenerator[str, None]:
        chunks = await router.acompletion(model=MODEL, messages=MESSAGES, stream=True)
        async for chunk in chunks:
            yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

    yield stream


if __name__ == "__main__":
    run(open_client)
