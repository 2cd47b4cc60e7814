"""LiteLLM's Router over three deployments.

It is given a price for the mock model, without which it looks one up, in vain, for every chunk; its
price list is the one it ships with; its bytecode is compiled beforehand, like every peer's.
"""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import litellm
from litellm import Router

from benches.worker import MEMBERS, MESSAGES, MODEL, run

CALL: dict[str, Any] = {"model": "pool", "messages": MESSAGES}
PRICE = {"input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7}


def router(base_url: str) -> Any:
    litellm.suppress_debug_info = True
    litellm.register_model({f"openai/{MODEL}": {**PRICE, "litellm_provider": "openai", "mode": "chat"}})
    litellm.register_model({MODEL: {**PRICE, "litellm_provider": "openai", "mode": "chat"}})
    model = {"model": f"openai/{MODEL}", "api_base": base_url, "api_key": "none", **PRICE}
    deployments = [{"model_name": "pool", "litellm_params": dict(model)} for _ in range(MEMBERS)]
    return Router(model_list=deployments, num_retries=0)


class LiteLLMRouter:
    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def complete(self) -> str:
        answer = await self.pool.acompletion(**CALL)
        return str(answer.choices[0].message.content)

    async def stream(self) -> str:
        chunks = await self.pool.acompletion(**CALL, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[LiteLLMRouter]:
    yield LiteLLMRouter(router(base_url))


if __name__ == "__main__":
    run(open_client)
