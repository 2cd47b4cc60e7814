"""The CPU of LiteLLM's choice of a deployment, by number of deployments. Arguments: the numbers."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import

import asyncio
import json
import sys
import time
from statistics import median
from typing import Any

from litellm import Router

from benches.worker import MESSAGES


def _router(size: int) -> Any:
    deployments = [
        {
            "model_name": "pool",
            "litellm_params": {
                "model": f"openai/mock{number}",
                "api_base": "http://localhost",
                "api_key": "none",
            },
        }
        for number in range(size)
    ]
    return Router(model_list=deployments, num_retries=0)


async def _selection(size: int) -> float:
    router, figures = _router(size), []
    count = max(20, 3000 // size)
    for _ in range(4):
        before = time.process_time()
        for _ in range(count):
            await router.async_get_available_deployment(
                model="pool", messages=MESSAGES, request_kwargs={"metadata": {}}
            )
        figures.append((time.process_time() - before) / count * 1e6)
    return median(figures[1:])


async def _main() -> None:
    print(json.dumps({size: await _selection(size) for size in map(int, sys.argv[1:])}))


if __name__ == "__main__":
    asyncio.run(_main())
