"""The SDK most programs use, one backend, its retries off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from benches.worker import MESSAGES, MODEL, run

CALL: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}


def _text(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


class OpenAISdk:
    def __init__(self, sdk: AsyncOpenAI) -> None:
        self.sdk = sdk

    async def complete(self) -> str:
        answer = await self.sdk.chat.completions.create(**CALL)
        return str(answer.choices[0].message.content)

    async def stream(self) -> str:
        async with await self.sdk.chat.completions.create(**CALL, stream=True) as chunks:
            return "".join([_text(chunk) async for chunk in chunks])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[OpenAISdk]:
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as sdk:
        yield OpenAISdk(sdk)


if __name__ == "__main__":
    run(open_client)
