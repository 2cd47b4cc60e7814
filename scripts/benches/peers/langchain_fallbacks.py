"""LangChain's ``with_fallbacks`` over three chat models of langchain-openai, retries off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_openai import ChatOpenAI

from benches.worker import MEMBERS, MODEL, PROMPT, run


class LangChainFallbacks:
    def __init__(self, model: Any) -> None:
        self.model = model

    async def complete(self) -> str:
        return str((await self.model.ainvoke(PROMPT)).content)

    async def stream(self) -> str:
        return "".join([str(chunk.content) async for chunk in self.model.astream(PROMPT)])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[LangChainFallbacks]:
    first, *others = (
        ChatOpenAI(model=MODEL, base_url=base_url, api_key="none", max_retries=0) for _ in range(MEMBERS)
    )
    yield LangChainFallbacks(first.with_fallbacks(others))


if __name__ == "__main__":
    run(open_client)
