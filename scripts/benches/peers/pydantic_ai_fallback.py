"""pydantic-ai's `FallbackModel` over three models, asked directly: no agent around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benches.worker import MEMBERS, MODEL, PROMPT, run


def text_of(event: Any) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return str(text)
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return str(text)
    return ""


class PydanticAIFallback:
    def __init__(self, model: FallbackModel) -> None:
        self.model = model

    async def complete(self) -> str:
        answer = await model_request(self.model, [ModelRequest.user_text_prompt(PROMPT)])
        return "".join(part.content for part in answer.parts if isinstance(part, TextPart))

    async def stream(self) -> str:
        messages = [ModelRequest.user_text_prompt(PROMPT)]
        async with model_request_stream(self.model, messages) as events:
            return "".join([text_of(event) async for event in events])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[PydanticAIFallback]:
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as sdk:
        models = [OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=sdk)) for _ in range(MEMBERS)]
        yield PydanticAIFallback(FallbackModel(*models))


if __name__ == "__main__":
    run(open_client)
