"""A pool whose members speak Anthropic's Messages, OpenAI chat and Gemini, heard through the official SDKs.

An answer is looked at three times over: as its SDK hands it out piece by piece, as the SDK puts it together,
and as it was on the wire, where every event must be of a type that the SDK declares.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.e2e.gateway_replies import joined
from tests.e2e.gateway_theatre import (
    PATIENT,
    QUESTION,
    Format,
    GatewayTheatre,
    Protocol,
    Reply,
    gateway_theatre,
    left_within_a_second,
)
from understudy.faults import TEXT, TOKENS

MEMBERS: tuple[Format, ...] = ("anthropic", "openai", "gemini")
CLIENTS: tuple[Protocol, ...] = ("anthropic", "openai", "responses")
NAMES = ("lead", "second", "third")
# What a member says that is out of the question, at once and without being asked again
OUT = "status 401"

PROPER_ENDS: dict[Protocol, str] = {"anthropic": "end_turn", "openai": "stop", "responses": "completed"}

# Only the clock that is meant to run out is short.
SHORT: Mapping[str, Mapping[str, int]] = {
    "timeout": {"timeout_ms": 400, "unary_timeout_ms": 400},
    "stall": {"stall_timeout_ms": 300},
    "connect": {"connect_timeout_ms": 300},
}


@asynccontextmanager
async def mixed_pool(
    *scripts: str, speaks: Sequence[Format] = MEMBERS, runs_out: str = "", **options: Any
) -> AsyncIterator[GatewayTheatre]:
    """A member for each format; those without a script are well."""
    well = ["fine"] * (len(speaks) - len(scripts))
    clocks = {**PATIENT, **SHORT.get(runs_out, {})}
    async with gateway_theatre(*scripts, *well, speaks=speaks, **{**clocks, **options}) as house:
        house.hears_to_the_end = True
        yield house


def all_out_before(place: int) -> list[tuple[str, str]]:
    """Those before this place, each with its failure."""
    return [(name, "auth") for name in NAMES[:place]]


def playing_at(place: int, script: str) -> list[str]:
    """The scripts of a pool where the member at this place plays, and those before it are out."""
    return [*[OUT] * place, script]


def shapes(only: str, place: int) -> list[bool]:
    """Streamed or not: in the first place both, later on a stream if there is one."""
    both = [streamed for streamed in (True, False) if not only or (only == "stream") == streamed]
    return both if place == 0 else both[:1]


def shape(streamed: bool) -> str:
    return "stream" if streamed else "unary"


# What a client hears


@dataclass(slots=True)
class Heard:
    """`text` came piece by piece, `whole` is the SDK's own; without it the answer had no proper end."""

    text: str = ""
    whole: Any = None
    error: Any = None
    reply: Reply = field(init=False)


async def hear(house: GatewayTheatre, client: Protocol, *, stream: bool = True, **fields: Any) -> Heard:
    """One request through the client's SDK, heard to its end."""
    heard = Heard()
    hearing = _STREAMED[client] if stream else _UNARY[client]
    try:
        async with asyncio.timeout(30):
            await hearing(house, heard, {"model": "evening", **fields})
    except (anthropic.APIError, openai.APIError) as error:
        heard.error = error
    heard.reply = house.heard(client)
    if heard.reply.status == 200:
        check_types(heard.reply)
    return heard


_Fields = dict[str, Any]


def _user() -> list[Any]:
    return [{"role": "user", "content": QUESTION}]


async def _messages_streamed(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    asked: _Fields = {"messages": _user(), "max_tokens": 1000, **fields}
    async with house.anthropic.messages.stream(**asked) as stream:
        async for text in stream.text_stream:
            heard.text += text
        heard.whole = await stream.get_final_message()


async def _messages_unary(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    asked: _Fields = {"messages": _user(), "max_tokens": 1000, **fields}
    heard.whole = await house.anthropic.messages.create(**asked)
    heard.text = said(heard.whole)


async def _chat_streamed(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    asked: _Fields = {"messages": _user(), "stream_options": {"include_usage": True}, **fields}
    async with house.openai.chat.completions.stream(**asked) as stream:
        async for event in stream:
            heard.text += event.delta if event.type == "content.delta" else ""
        try:
            heard.whole = await stream.get_final_completion()
        except openai.ContentFilterFinishReasonError:  # how this helper says what the finish reason is
            heard.whole = stream.current_completion_snapshot


async def _chat_unary(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    asked: _Fields = {"messages": _user(), **fields}
    heard.whole = await house.openai.chat.completions.create(**asked)
    heard.text = said(heard.whole)


async def _responses_streamed(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    """A response that failed is an event and no exception."""
    asked: _Fields = {"input": QUESTION, **fields}
    async with house.openai.responses.stream(**asked) as stream:
        async for event in stream:
            heard.text += event.delta if event.type == "response.output_text.delta" else ""
            if event.type in ("response.completed", "response.incomplete"):
                heard.whole = event.response
            elif event.type == "response.failed":
                heard.error = event.response.error


async def _responses_unary(house: GatewayTheatre, heard: Heard, fields: _Fields) -> None:
    asked: _Fields = {"input": QUESTION, **fields}
    heard.whole = await house.openai.responses.create(**asked)
    heard.text = said(heard.whole)


_Hearing = Callable[[GatewayTheatre, Heard, _Fields], Coroutine[Any, Any, None]]
_STREAMED: dict[Protocol, _Hearing] = {
    "anthropic": _messages_streamed,
    "openai": _chat_streamed,
    "responses": _responses_streamed,
}
_UNARY: dict[Protocol, _Hearing] = {
    "anthropic": _messages_unary,
    "openai": _chat_unary,
    "responses": _responses_unary,
}


def said(whole: Any) -> str:
    """All the text of what an SDK has put together."""
    match whole:
        case Message():
            return "".join(block.text for block in whole.content if block.type == "text")
        case ChatCompletion():
            return whole.choices[0].message.content or ""
        case Response():
            return whole.output_text
    raise AssertionError(type(whole))


def calls_of(whole: Any) -> list[tuple[str, Any]]:
    """Name and arguments of the tool calls in what an SDK has put together, as the SDK has them."""
    match whole:
        case Message():
            return [(block.name, block.input) for block in whole.content if block.type == "tool_use"]
        case ChatCompletion():
            calls: Sequence[Any] = whole.choices[0].message.tool_calls or ()
            return [(call.function.name, call.function.arguments) for call in calls]
        case Response():
            return [(item.name, item.arguments) for item in whole.output if item.type == "function_call"]
    raise AssertionError(type(whole))


# What every answer is


_EVENTS: dict[Protocol, TypeAdapter[Any]] = {
    "anthropic": TypeAdapter(RawMessageStreamEvent),
    "openai": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
}
_ANSWERS: dict[Protocol, TypeAdapter[Any]] = {
    "anthropic": TypeAdapter(Message),
    "openai": TypeAdapter(ChatCompletion),
    "responses": TypeAdapter(Response),
}
# Events that Anthropic's SDK reads and that it has no type for; the last one is nobody's (`azure`)
_UNTYPED = ("ping", "error", "prompt_annotations")


def check_types(reply: Reply) -> None:
    """Strictly what the SDK declares, event by event."""
    if not reply.is_stream:
        _ANSWERS[reply.protocol].validate_python(reply.value, strict=True)
        return
    for event in reply.events:
        if event.data != "[DONE]" and event.name not in _UNTYPED and "error" not in event.value:
            _EVENTS[reply.protocol].validate_python(_as_declared(event.value), strict=True)
    _ORDERS[reply.protocol](reply)


def _as_declared(value: dict[str, Any]) -> dict[str, Any]:
    """OpenAI fails responses for reasons that are not among those its SDK declares."""
    error = value.get("response", {}).get("error")
    if error is None or error["code"] not in ("insufficient_quota", "context_length_exceeded"):
        return value
    return {**value, "response": {**value["response"], "error": {**error, "code": "server_error"}}}


def _check_messages(reply: Reply) -> None:
    """One message, whose blocks come one after the other; each event has the name that is its type.

    Where nothing has begun there is only the error.
    """
    events = [event for event in reply.events if event.name != "ping"]
    if [event.name for event in events] == ["error"]:
        return
    assert [event.name for event in events] == [event.value["type"] for event in events]
    assert [event.name == "message_start" for event in events] == [True, *[False] * (len(events) - 1)]
    open_block, begun = None, 0
    for event in events:
        match event.name:
            case "content_block_start":
                assert (open_block, event.value["index"]) == (None, begun)
                open_block, begun = begun, begun + 1
            case "content_block_delta":
                assert event.value["index"] == open_block
            case "content_block_stop":
                assert event.value["index"] == open_block
                open_block = None
            case "message_delta" | "message_stop":
                assert open_block is None
    ends = [event.name in ("message_stop", "error") for event in events]
    assert ends == [*[False] * (len(events) - 1), True], "it ends once, with its last event"


def _check_chunks(reply: Reply) -> None:
    """One completion, which ends or fails once and has one role."""
    assert [event.name for event in reply.events] == ["message"] * len(reply.events)
    values = [event.value for event in reply.events if event.data != "[DONE]"]
    ends = [event.data == "[DONE]" or "error" in event.value for event in reply.events]
    assert ends == [*[False] * (len(ends) - 1), True]
    deltas = [choice["delta"] for value in values for choice in value.get("choices", ())]
    assert [delta["role"] for delta in deltas if delta.get("role")] == ["assistant"]


def _check_response(reply: Reply) -> None:
    """One response, whose events are numbered and which ends once."""
    values = [event.value for event in reply.events]
    assert [event.name for event in reply.events] == [value["type"] for value in values]
    assert [value["sequence_number"] for value in values] == list(range(len(values)))
    kinds = [value["type"] for value in values]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.created") == 1
    ends = [kind in ("response.completed", "response.incomplete", "response.failed") for kind in kinds]
    assert ends == [*[False] * (len(ends) - 1), True]


_ORDERS: dict[Protocol, Callable[[Reply], None]] = {
    "anthropic": _check_messages,
    "openai": _check_chunks,
    "responses": _check_response,
}


# The three views


Attempts = Sequence[tuple[str, str]]


async def check_answered(
    house: GatewayTheatre,
    heard: Heard,
    by: str,
    failed: Attempts = (),
    *,
    tokens: int | None = len(TOKENS),
    requests: Mapping[str, int] | None = None,
) -> None:
    """The client has the whole canonical answer of one member, after the attempts that failed.

    `tokens` None: nobody says how many there were. `requests` as in `check_told`.
    """
    check_whole(heard, by, tokens)
    assert joined([heard.text]) == joined([said(heard.whole)]) == TEXT
    assert heard.reply.finish == PROPER_ENDS[heard.reply.protocol]
    await check_told(house, heard, [*failed, (by, "success")], requests)
    pool = await house.pool()
    assert (pool["answered"], pool["failed"]) == (1, 0)
    assert pool["failed_over"] == int(any(name != by for name, _ in failed))


def check_whole(heard: Heard, by: str, tokens: int | None) -> None:
    """One answer that is all of the member's: its text, its model, its cost."""
    reply = heard.reply
    assert heard.error is None
    assert (reply.status, reply.error, reply.whole) == (200, None, True)
    assert (len(reply.ids), reply.dones) == (1, int(reply.is_stream))
    assert reply.model == heard.whole.model == f"{by}-model" == reply.headers["x-understudy-model"]
    assert reply.headers["x-understudy-backend"] == by
    assert heard.whole.id in reply.ids
    if tokens is not None:
        assert reply.output_tokens == tokens


async def check_told(
    house: GatewayTheatre, heard: Heard, attempts: Attempts, requests: Mapping[str, int] | None = None
) -> None:
    """The attempts are those in the trail, in the head, in the providers' logs and in the numbers.

    `requests` are those of members to whom an attempt is not one request.
    """
    assert await house.attempts(heard.reply) == list(attempts)
    assert heard.reply.headers["x-understudy-attempts"] == str(len(attempts))
    backends = (await house.pool())["backends"]
    for name, provider in house.providers.items():
        outcomes = [outcome for member, outcome in attempts if member == name]
        assert len(provider.requests) == {name: len(outcomes), **(requests or {})}[name]
        assert backends[name]["requests"] == len(outcomes)
        told = {kind: outcomes.count(kind) for kind in outcomes if kind not in ("success", "refused")}
        assert backends[name]["by_kind"] == told


async def check_broken_off(house: GatewayTheatre, heard: Heard, attempts: Attempts) -> None:
    """The client has what was said so far and an error in its protocol's own shape; nobody else was asked."""
    reply = heard.reply
    by, kind = attempts[-1]
    assert (reply.status, reply.whole, reply.dones, len(reply.ids)) == (200, True, 0, 1)
    assert heard.whole is None
    assert TEXT.startswith(heard.text)
    assert heard.text == reply.text
    assert reply.model == f"{by}-model"
    check_error(heard, kind)
    await check_told(house, heard, attempts)
    assert (await house.told(reply.headers["x-request-id"]))["status"] == "failed"
    assert (await house.stats(by))["output_tokens"] > 0, "what was sent has been paid for"


_ERROR_EVENTS: dict[Protocol, str] = {
    "anthropic": "error",
    "openai": "message",
    "responses": "response.failed",
}


def check_error(heard: Heard, kind: str) -> None:
    """The last event is the error, and the SDK knows it for one."""
    reply, last = heard.reply, heard.reply.events[-1]
    assert last.name == _ERROR_EVENTS[reply.protocol]
    error = reply.error
    assert error is not None
    assert error["type" if reply.protocol == "responses" else "code"] == kind
    assert error["causes"][-1]["kind"] == kind
    assert "broke off" in error["message"]
    assert heard.error is not None
    match reply.protocol:
        case "anthropic":
            assert isinstance(heard.error, anthropic.APIStatusError)
            assert heard.error.body == last.value
            assert last.value["request_id"] == reply.headers["x-request-id"]
        case "openai":
            assert isinstance(heard.error, openai.APIError)
            assert heard.error.body == error
        case "responses":
            assert (heard.error.message, heard.error.code) == (error["message"], error["code"])


async def check_left(house: GatewayTheatre, name: str, within: float) -> None:
    """The provider saw the gateway go, `within` so many seconds after the request had come."""
    (request,) = house.providers[name].requests
    await left_within_a_second(house.providers[name], request, request.arrived + within)


async def answered_in(seconds: float, hearing: Coroutine[Any, Any, Heard]) -> Heard:
    began = time.monotonic()
    heard = await hearing
    assert time.monotonic() - began < seconds
    return heard
