"""Three official SDKs as clients, and the same question in the words of each.

Each has its answers in three ways: whole, event by event, and put together by its own accumulator, which has
its own idea of a sound stream. `format_answers` reads them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.e2e.format_answers import (
    Called,
    Said,
    checked,
    of_chunks,
    of_completion,
    of_message,
    of_message_events,
    of_response,
    of_response_events,
)
from tests.e2e.gateway_theatre import QUESTION, Format

Client = Literal["openai", "openai-responses", "anthropic"]
How = Literal["unary", "stream", "helper"]

CLIENTS: tuple[Client, ...] = ("openai", "openai-responses", "anthropic")
FORMATS: tuple[Format, ...] = ("openai", "openai-responses", "anthropic", "gemini")
HOWS: tuple[How, ...] = ("unary", "stream", "helper")

ALL_PAIRS: list[tuple[Client, Format]] = [(client, member) for client in CLIENTS for member in FORMATS]
PAIRS = pytest.mark.parametrize(
    ("client", "members"), ALL_PAIRS, ids=[f"{client}<-{member}" for client, member in ALL_PAIRS]
)
EVERY_WAY = pytest.mark.parametrize("how", HOWS)
UNARY_AND_STREAM = pytest.mark.parametrize("how", HOWS[:2])

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "units": {"enum": ["metric", "imperial"]}},
    "required": ["city"],
}
TOOL_NAMES = ("get_weather", "get_time", "get_news")


# What a client says


def tools(client: Client) -> list[Any]:
    """The same three functions in each client's words."""
    return [_tool(client, name, f"Tells {name}") for name in TOOL_NAMES]


def _tool(client: Client, name: str, description: str) -> dict[str, Any]:
    if client == "anthropic":
        return {"name": name, "description": description, "input_schema": PARAMETERS}
    function = {"name": name, "description": description, "parameters": PARAMETERS}
    if client == "openai":
        return {"type": "function", "function": function}
    return {"type": "function", "strict": False, **function}


def question(text: str = QUESTION) -> dict[str, Any]:
    """A user's turn, which is the same in all of them."""
    return {"role": "user", "content": text}


def results(client: Client, calls: Sequence[Called], told: Callable[[Called], str]) -> list[dict[str, Any]]:
    """What follows these calls: for each what is told of it."""
    if client == "openai":
        return [{"role": "tool", "tool_call_id": call.id, "content": told(call)} for call in calls]
    if client == "openai-responses":
        return [{"type": "function_call_output", "call_id": call.id, "output": told(call)} for call in calls]
    blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": told(call)} for call in calls]
    return [{"role": "user", "content": blocks}]


# Asking


class Sdks(Protocol):
    """Whoever has both SDKs, set up to ask the same house."""

    @property
    def openai(self) -> AsyncOpenAI: ...

    @property
    def anthropic(self) -> AsyncAnthropic: ...


async def ask(sdks: Sdks, client: Client, how: How, *turns: Any, **fields: Any) -> Said:
    """One request, read to its end. Without turns the usual question is asked."""
    asking: Callable[..., Awaitable[Said]] = _ASKING[client]
    return await asking(sdks, how, list(turns) or [question()], {"model": "evening", **fields})


async def _chat(sdks: Sdks, how: How, turns: list[Any], fields: Mapping[str, Any]) -> Said:
    completions: Any = sdks.openai.chat.completions
    if how == "unary":
        return of_completion(checked(await completions.create(messages=turns, **fields)))
    fields = {"stream_options": {"include_usage": True}, **fields}
    if how == "stream":
        stream = await completions.create(messages=turns, stream=True, **fields)
        return of_chunks([checked(chunk) async for chunk in stream])
    async with completions.stream(messages=turns, **fields) as opened:
        return of_completion(await opened.get_final_completion())


async def _responses(sdks: Sdks, how: How, turns: list[Any], fields: Mapping[str, Any]) -> Said:
    responses: Any = sdks.openai.responses
    if how == "unary":
        return of_response(checked(await responses.create(input=turns, **fields)))
    if how == "stream":
        stream = await responses.create(input=turns, stream=True, **fields)
        return of_response_events([checked(event) async for event in stream])
    async with responses.stream(input=turns, **fields) as opened:
        events = [event async for event in opened]
        # The accumulator has an answer only if it is complete.
        is_complete = events[-1].type == "response.completed"
        return of_response(await opened.get_final_response() if is_complete else events[-1].response)


async def _messages(sdks: Sdks, how: How, turns: list[Any], fields: Mapping[str, Any]) -> Said:
    messages: Any = sdks.anthropic.messages
    fields = {"max_tokens": 8000, **fields}
    if how == "unary":
        return of_message(checked(await messages.create(messages=turns, **fields)))
    if how == "stream":
        stream = await messages.create(messages=turns, stream=True, **fields)
        return of_message_events([checked(event) async for event in stream])
    async with messages.stream(messages=turns, **fields) as opened:
        return of_message(await opened.get_final_message())


_ASKING: dict[Client, Callable[..., Awaitable[Said]]] = {
    "openai": _chat,
    "openai-responses": _responses,
    "anthropic": _messages,
}
