"""The official SDKs as clients, each against members of both formats.

Whoever the member is, the SDK sees its own protocol: its types, its words for why an answer ended, its
exception classes, its headers. What it sends reaches the member in the member's own format.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from tests.e2e.gateway_theatre import (
    CLIENT_KEY,
    PATHS,
    PROTOCOLS,
    QUESTION,
    GatewayTheatre,
    Protocol,
    asking,
    authorized,
    patient_theatre,
    visit,
)
from tests.e2e.theatre import left_within_a_second
from understudy.faults import TEXT, TOKENS
from understudy.faults.answers import ARGUMENTS
from understudy.gateway.admission import Door
from understudy.runtime.ports import HttpRequest, HttpResponse

MEMBERS = pytest.mark.parametrize("members", PROTOCOLS, ids=[f"of {name}" for name in PROTOCOLS])
SDKS = pytest.mark.parametrize("sdk", PROTOCOLS)
STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])

MESSAGES: Any = [{"role": "user", "content": QUESTION}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "units": {"enum": ["metric", "imperial"]}},
    "required": ["city"],
}
NAMES = ["get_weather", "get_time", "get_news"]
OPENAI_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": f"Tells {name}", "parameters": SCHEMA}}
    for name in NAMES
]
ANTHROPIC_TOOLS: Any = [
    {"name": name, "description": f"Tells {name}", "input_schema": SCHEMA} for name in NAMES
]

ANTHROPIC_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


async def say(house: GatewayTheatre, sdk: Protocol, *, stream: bool = False, **options: Any) -> Any:
    """The same question through either SDK."""
    if sdk == "openai":
        create: Any = house.openai.chat.completions.create
    else:
        create = house.anthropic.messages.create
        options = {"max_tokens": 1000, **options}
    return await create(**{"model": "evening", "messages": MESSAGES, "stream": stream, **options})


async def texts(sdk: Protocol, stream: Any) -> AsyncIterator[str]:
    """The text of a stream, as it comes."""
    async for item in stream:
        if sdk == "openai":
            if item.choices and item.choices[0].delta.content:
                yield item.choices[0].delta.content
        elif item.type == "content_block_delta" and item.delta.type == "text_delta":
            yield item.delta.text


# Answers


@MEMBERS
async def test_openai_unary(members: Protocol) -> None:
    async with patient_theatre(speaks=members) as house:
        raw = await house.openai.chat.completions.with_raw_response.create(model="evening", messages=MESSAGES)
        ChatCompletion.model_validate_json(raw.content)
        answer = raw.parse()
        (choice,) = answer.choices
        assert (choice.message.content, choice.message.role) == (TEXT, "assistant")
        assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
        assert (answer.object, answer.model) == ("chat.completion", "lead-model")
        assert answer.created > 1_700_000_000
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(TOKENS)
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + len(TOKENS)
        assert answer.usage.prompt_tokens == (len(QUESTION) + 3) // 4


@MEMBERS
async def test_anthropic_unary(members: Protocol) -> None:
    async with patient_theatre(speaks=members) as house:
        raw = await house.anthropic.messages.with_raw_response.create(
            model="evening", max_tokens=1000, messages=MESSAGES
        )
        Message.model_validate_json(await raw.read())
        answer = await raw.parse()
        (block,) = answer.content
        assert block.type == "text"
        assert block.text == TEXT
        assert (answer.type, answer.role, answer.model) == ("message", "assistant", "lead-model")
        assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
        assert answer.id.startswith("msg_")
        assert answer.usage.output_tokens == len(TOKENS)
        assert answer.usage.input_tokens == (len(QUESTION) + 3) // 4


@MEMBERS
async def test_openai_stream(members: Protocol) -> None:
    async with patient_theatre(speaks=members) as house:
        stream = await say(house, "openai", stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk.model_dump())
        *rest, last = chunks
        assert "".join(chunk.choices[0].delta.content or "" for chunk in rest) == TEXT
        assert [chunk.choices[0].delta.role for chunk in rest].count("assistant") == 1
        assert [chunk.choices[0].finish_reason for chunk in rest if chunk.choices[0].finish_reason] == [
            "stop"
        ]
        assert len({chunk.id for chunk in chunks}) == 1
        assert {chunk.model for chunk in chunks} == {"lead-model"}
        assert last.choices == []
        assert last.usage.completion_tokens == len(TOKENS)
        assert len(rest) >= len(TOKENS), "as it comes, not in one piece"


@MEMBERS
async def test_openai_stream_without_usage_has_a_choice_in_every_chunk(members: Protocol) -> None:
    async with patient_theatre(speaks=members) as house:
        chunks = [chunk async for chunk in await say(house, "openai", stream=True)]
        assert all(len(chunk.choices) == 1 for chunk in chunks)


@MEMBERS
async def test_anthropic_stream(members: Protocol) -> None:
    async with patient_theatre(speaks=members) as house:
        events = [event async for event in await say(house, "anthropic", stream=True)]
        for event in events:
            ANTHROPIC_EVENT.validate_python(event.model_dump())
        kinds = [event.type for event in events]
        deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
        assert "".join(deltas) == TEXT
        assert len(deltas) >= len(TOKENS), "as it comes, not in one piece"
        assert [kind for kind in kinds if kind != "content_block_delta"] == [
            "message_start",
            "content_block_start",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert events[0].message.model == "lead-model"
        assert (events[-2].delta.stop_reason, events[-2].usage.output_tokens) == ("end_turn", len(TOKENS))


@MEMBERS
async def test_both_sdks_own_accumulators_put_a_stream_together(members: Protocol) -> None:
    async with patient_theatre("reasoning 5; tools 2 with-text", speaks=members) as house:
        async with house.anthropic.messages.stream(
            model="evening", max_tokens=1000, messages=MESSAGES
        ) as stream:
            message = await stream.get_final_message()
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[1].type == "text"
        assert (message.content[1].text, message.usage.output_tokens) == (TEXT, len(TOKENS) + 5)
        async with house.openai.chat.completions.stream(
            model="evening", messages=MESSAGES, tools=OPENAI_TOOLS
        ) as opened:
            final = await opened.get_final_completion()
        assert final.choices[0].message.content == TEXT
        calls = final.choices[0].message.tool_calls
        assert calls is not None
        assert [call.function.arguments for call in calls] == [ARGUMENTS] * 2


# Tools


@MEMBERS
@STREAM_AND_UNARY
async def test_openai_parallel_tool_calls(members: Protocol, streamed: bool) -> None:
    async with patient_theatre("tools 3 split=1", speaks=members) as house:
        answer = await say(house, "openai", stream=streamed, tools=OPENAI_TOOLS, tool_choice="required")
        if streamed:
            calls: dict[int, list[str]] = {}
            finish = None
            async for chunk in answer:
                (choice,) = chunk.choices
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or ():
                    one = calls.setdefault(call.index, ["", "", ""])
                    one[0] += call.id or ""
                    one[1] += call.function.name or ""
                    one[2] += call.function.arguments or ""
            found = [tuple(calls[index]) for index in range(3)]
        else:
            made = answer.choices[0].message.tool_calls
            found = [(call.id, call.function.name, call.function.arguments) for call in made]
            finish = answer.choices[0].finish_reason
            assert answer.choices[0].message.content is None
        assert finish == "tool_calls"
        assert [call[:2] for call in found] == [(f"call_{index:04d}", NAMES[index]) for index in range(3)]
        if streamed or members == "openai":
            assert [call[2] for call in found] == [ARGUMENTS] * 3, "byte by byte"
        else:  # there arguments are a value
            assert [json.loads(call[2]) for call in found] == [json.loads(ARGUMENTS)] * 3
        body = house.lead.requests[0].body
        if members == "openai":
            assert (body["tools"], body["tool_choice"]) == (OPENAI_TOOLS, "required")
        else:
            assert (body["tools"], body["tool_choice"]) == (ANTHROPIC_TOOLS, {"type": "any"})


@MEMBERS
@STREAM_AND_UNARY
async def test_anthropic_parallel_tool_calls(members: Protocol, streamed: bool) -> None:
    script = "tools 3 split=1" + (" interleaved" if members == "openai" else "")
    async with patient_theatre(script, speaks=members) as house:
        answer = await say(
            house, "anthropic", stream=streamed, tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"}
        )
        if streamed:
            events = [event async for event in answer]
            starts = {
                event.index: event.content_block for event in events if event.type == "content_block_start"
            }
            pieces = dict.fromkeys(starts, "")
            for event in events:
                if event.type == "content_block_delta":
                    pieces[event.index] += event.delta.partial_json
            assert list(pieces.values()) == [ARGUMENTS] * 3, "byte by byte"
            blocks = list(starts.values())
            reason = events[-2].delta.stop_reason
        else:
            blocks, reason = answer.content, answer.stop_reason
            assert [block.input for block in blocks] == [json.loads(ARGUMENTS)] * 3
        assert reason == "tool_use"
        assert [(block.type, block.id, block.name) for block in blocks] == [
            ("tool_use", f"call_{index:04d}", NAMES[index]) for index in range(3)
        ]
        body = house.lead.requests[0].body
        if members == "anthropic":
            assert (body["tools"], body["tool_choice"]) == (ANTHROPIC_TOOLS, {"type": "any"})
        else:
            assert (body["tools"], body["tool_choice"]) == (OPENAI_TOOLS, "required")


# What is sent


@MEMBERS
async def test_openai_images_system_prompts_and_tool_results_reach_the_member_in_its_format(
    members: Protocol,
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": ARGUMENTS},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    async with patient_theatre(speaks=members) as house:
        await say(house, "openai", messages=messages, max_tokens=99, stop=["END"], temperature=0.5)
        body = house.lead.requests[0].body
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("lead-model", 99, 0.5)
        if members == "openai":
            assert (body["messages"], body["stop"]) == (messages, ["END"])
            return
        assert body["stop_sequences"] == ["END"]
        assert body["system"] == [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind."},
        ]
        assert body["messages"] == [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {
                        "type": "tool_use",
                        "id": "call_1",
                        "name": "get_weather",
                        "input": json.loads(ARGUMENTS),
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [{"type": "text", "text": "21 degrees"}],
                    }
                ],
            },
        ]


@MEMBERS
async def test_anthropic_images_system_prompts_and_tool_results_reach_the_member_in_its_format(
    members: Protocol,
) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "東京"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 degrees"},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    async with patient_theatre(speaks=members) as house:
        await say(
            house,
            "anthropic",
            messages=messages,
            system="Be brief.",
            max_tokens=99,
            stop_sequences=["END"],
            extra_body={"temperature": 0.5},
        )
        body = house.lead.requests[0].body
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("lead-model", 99, 0.5)
        if members == "anthropic":
            assert (body["messages"], body["system"], body["stop_sequences"]) == (
                messages,
                "Be brief.",
                ["END"],
            )
            return
        assert body["stop"] == ["END"]
        system, question, called, result, after = body["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        assert question["content"] == [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ]
        assert (called["role"], called["content"]) == ("assistant", "Let me see.")
        (call,) = called["tool_calls"]
        assert (call["id"], call["type"], call["function"]["name"]) == ("toolu_1", "function", "get_weather")
        assert json.loads(call["function"]["arguments"]) == {"city": "東京"}
        assert result == {"role": "tool", "tool_call_id": "toolu_1", "content": "21 degrees"}
        assert after == {"role": "user", "content": "And now?"}


@MEMBERS
@STREAM_AND_UNARY
@pytest.mark.parametrize(
    ("script", "in_openai", "in_anthropic"),
    [
        ("finish stop", "stop", "end_turn"),
        ("finish length after=20", "length", "max_tokens"),
        ("finish content_filter after=20", "content_filter", "refusal"),
        ("tools 1", "tool_calls", "tool_use"),
    ],
)
async def test_why_an_answer_ended_is_said_in_each_protocols_own_word(
    script: str, in_openai: str, in_anthropic: str, members: Protocol, streamed: bool
) -> None:
    async with patient_theatre(script, speaks=members) as house:
        answer = await say(house, "openai", stream=streamed)
        if streamed:
            reasons = [chunk.choices[0].finish_reason async for chunk in answer]
            assert [reason for reason in reasons if reason] == [in_openai]
        else:
            assert answer.choices[0].finish_reason == in_openai
        message = await say(house, "anthropic", stream=streamed)
        if streamed:
            events = [event async for event in message]
            assert [event.delta.stop_reason for event in events if event.type == "message_delta"] == [
                in_anthropic
            ]
        else:
            assert message.stop_reason == in_anthropic


async def test_several_choices_are_given_by_members_that_can() -> None:
    async with patient_theatre() as house:
        answer = await say(house, "openai", n=2)
        assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
    async with patient_theatre(speaks="anthropic") as house:
        with pytest.raises(openai.BadRequestError, match="one choice"):
            await say(house, "openai", n=2)


# Errors


class TrappedAnswer:
    """The beginning of an answer, and a bug behind it."""

    status = 200
    headers: Mapping[str, str] = {"content-type": "text/event-stream"}
    reconnected = False

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning

    async def read(self) -> bytes:
        if not self._beginning:
            raise RuntimeError("trap")
        beginning, self._beginning = self._beginning, b""
        return beginning

    def close(self) -> None:
        pass


class Trap:
    """A transport with a bug: at once, or in the body of an answer that begins so."""

    def __init__(self, beginning: bytes = b"") -> None:
        self._beginning = beginning

    async def send(self, request: HttpRequest) -> HttpResponse:
        if not self._beginning:
            raise RuntimeError("trap")
        return TrappedAnswer(self._beginning)

    async def close(self) -> None:
        pass


# lead and second, settings, status, what each SDK raises, code
ERRORS: list[tuple[str, dict[str, Any], int, Any, Any, str | None]] = [
    ("status 400", {}, 400, openai.BadRequestError, anthropic.BadRequestError, None),
    ("status 413", {}, 413, openai.APIStatusError, anthropic.ContentTooLargeError, None),
    ("status 422", {}, 422, openai.UnprocessableEntityError, anthropic.UnprocessableEntityError, None),
    ("429 retry-after=30", {}, 429, openai.RateLimitError, anthropic.RateLimitError, "rate_limited"),
    ("says openai-quota", {}, 429, openai.RateLimitError, anthropic.RateLimitError, "rate_limited"),
    ("status 401", {}, 502, openai.InternalServerError, anthropic.InternalServerError, "all_backends_failed"),
    ("status 500", {}, 502, openai.InternalServerError, anthropic.InternalServerError, "all_backends_failed"),
    ("silence", {"timeout_ms": 50, "unary_timeout_ms": 50}, 504, openai.InternalServerError,
     anthropic.GatewayTimeoutError, "timeout"),
    ("silence", {"request_timeout_ms": 50}, 504, openai.InternalServerError,
     anthropic.GatewayTimeoutError, "deadline_exceeded"),
]  # fmt: skip


@MEMBERS
@SDKS
@STREAM_AND_UNARY
@pytest.mark.parametrize(("script", "settings", "status", "in_openai", "in_anthropic", "code"), ERRORS)
async def test_the_sdk_raises_its_own_exception(
    script: str,
    settings: dict[str, Any],
    status: int,
    in_openai: Any,
    in_anthropic: Any,
    code: str | None,
    sdk: Protocol,
    members: Protocol,
    streamed: bool,
) -> None:
    async with patient_theatre(script, script, speaks=members, **settings) as house:
        with pytest.raises(in_openai if sdk == "openai" else in_anthropic) as raised:
            await say(house, sdk, stream=streamed)
        error: Any = raised.value
        assert type(error) is (in_openai if sdk == "openai" else in_anthropic)
        assert error.status_code == status
        assert error.response.headers.get("retry-after") == ("30" if "retry-after" in script else None)
        said = error.body if sdk == "openai" else error.body["error"]
        assert isinstance(said["message"], str)
        assert code is None or said["code"] == code


@SDKS
async def test_a_wrong_key_a_missing_key_and_an_unknown_model(sdk: Protocol) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    async with patient_theatre() as house:
        with pytest.raises(errors.NotFoundError, match="did you mean evening") as raised:
            await say(house, sdk, model="evning")
        assert raised.value.response.status_code == 404
        client: Any = house.openai if sdk == "openai" else house.anthropic
        stranger = client.with_options(api_key="not-a-key")
        create = stranger.chat.completions.create if sdk == "openai" else stranger.messages.create
        with pytest.raises(errors.AuthenticationError, match="not known here"):
            await create(**asking(sdk))
        assert house.lead.requests == []


@SDKS
async def test_open_circuits_a_bug_of_ours_and_a_body_that_is_too_large(sdk: Protocol) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    unavailable = errors.InternalServerError if sdk == "openai" else anthropic.ServiceUnavailableError
    too_large = errors.APIStatusError if sdk == "openai" else anthropic.ContentTooLargeError
    async with patient_theatre("status 500", "status 500", circuit_breaker_failure_threshold=1) as house:
        with pytest.raises(errors.InternalServerError):
            await say(house, sdk)
        with pytest.raises(unavailable, match="circuit breakers open") as raised:
            await say(house, sdk)
        assert raised.value.status_code == 503
        assert 0 < int(raised.value.response.headers["retry-after"]) <= 30
        house.gateway.conversations.body_limit = 1000
        with pytest.raises(too_large, match="larger than 1000 bytes") as raised:
            await say(house, sdk, messages=[{"role": "user", "content": "x" * 2000}])
        assert raised.value.status_code == 413
    async with patient_theatre(transport=Trap()) as house:
        for streamed in (True, False):
            with pytest.raises(errors.InternalServerError, match="a bug of the gateway's own") as raised:
                await say(house, sdk, stream=streamed)
            assert raised.value.status_code == 500
            assert "trap" not in str(raised.value), "what it is stays in the log"


@SDKS
async def test_a_bug_of_ours_after_content_is_no_proper_end(sdk: Protocol) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    beginning = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
    async with patient_theatre(transport=Trap(beginning)) as house:
        stream = await say(house, sdk, stream=True)
        got: list[str] = []
        with pytest.raises((errors.APIConnectionError, httpx2.RemoteProtocolError)):
            await _read(texts(sdk, stream), got)
        assert got == ["Hello"]
        assert (await house.pool())["in_flight"] == 0


@MEMBERS
@SDKS
@pytest.mark.parametrize("script", ["error openai-overloaded after=20", "cut after=20", "stall after=20"])
async def test_a_stream_that_breaks_off_raises_after_its_content(
    script: str, sdk: Protocol, members: Protocol
) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    async with patient_theatre(script, speaks=members, stall_timeout_ms=300) as house:
        stream = await say(house, sdk, stream=True)
        got: list[str] = []
        with pytest.raises(errors.APIError, match="lead broke off after its first content") as raised:
            await _read(texts(sdk, stream), got)
        assert "".join(got) == "".join(TOKENS[:20])
        body = raised.value.body if sdk == "openai" else raised.value.body["error"]
        assert body["causes"][0]["backend"] == "lead"
        assert house.second.requests == []


async def _read(items: AsyncIterator[str], into: list[str]) -> None:
    async for item in items:
        into.append(item)


@MEMBERS
@SDKS
async def test_comments_are_nothing_to_an_sdk(sdk: Protocol, members: Protocol) -> None:
    async with patient_theatre("delay 0.2s", speaks=members, comment_seconds=0.02) as house:
        assert "".join([text async for text in texts(sdk, await say(house, sdk, stream=True))]) == TEXT


@SDKS
async def test_when_all_fail_after_comments_the_sdk_raises_too(sdk: Protocol) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    script = "delay 0.1s + status 500"
    async with patient_theatre(script, script, comment_seconds=0.02) as house:
        stream = await say(house, sdk, stream=True)
        got: list[str] = []
        with pytest.raises(errors.APIError, match="All backends failed"):
            await _read(texts(sdk, stream), got)
        assert got == []


# Leaving


# Where the client leaves: script, profile's settings, streamed
LEAVING: list[tuple[str, str, dict[str, Any], bool]] = [
    ("while the head is waited for", "silence", {}, True),
    ("before content", "silence after=headers", {}, True),
    ("after the preamble", "silence after=preamble", {}, True),
    ("in the back-off", "status 500", {"failover_retry_delay_ms": 5000}, True),
    ("unary, while the head is waited for", "silence", {}, False),
    ("unary, in the middle of the body", "silence after=20", {}, False),
    ("unary, in the back-off", "status 500", {"failover_retry_delay_ms": 5000}, False),
    ("while a rate limit is waited out", "429 retry-after-ms=1900", {}, False),
]  # fmt: skip


@MEMBERS
@SDKS
@pytest.mark.parametrize(("script", "settings", "streamed"), [case[1:] for case in LEAVING],
                         ids=[case[0] for case in LEAVING])  # fmt: skip
async def test_f64_a_cancelled_call_ends_the_attempt_within_a_second(
    script: str, settings: dict[str, Any], streamed: bool, sdk: Protocol, members: Protocol
) -> None:
    async with patient_theatre(script, speaks=members, **settings) as house:
        task = asyncio.create_task(
            say(house, sdk, stream=streamed, extra_headers={"x-request-id": "leaving-1"})
        )
        (request,) = await house.lead.wait_for_requests(1)
        await asyncio.sleep(0.05)
        left = await _cancelled(task)
        if request.finished is None:
            await left_within_a_second(house.lead, request, left)
        await _check_neutral(house, left)


@MEMBERS
@SDKS
async def test_f64_a_closed_stream_ends_the_attempt_within_a_second(sdk: Protocol, members: Protocol) -> None:
    async with patient_theatre("stall after=20", speaks=members) as house:
        stream = await say(house, sdk, stream=True, extra_headers={"x-request-id": "leaving-1"})
        got = [text async for text in _first(20, texts(sdk, stream))]
        assert "".join(got) == "".join(TOKENS[:20])
        await stream.close()
        left = time.monotonic()
        await left_within_a_second(house.lead, house.lead.requests[0], left)
        await _check_neutral(house, left)
        assert (await house.stats())["output_tokens"] > 0, "what was sent has been paid for"


@MEMBERS
@SDKS
@STREAM_AND_UNARY
async def test_f64_a_client_that_leaves_the_queue_is_asked_for_nowhere(
    sdk: Protocol, members: Protocol, streamed: bool
) -> None:
    door = Door(1, 10, 20.0)
    async with patient_theatre("stall after=20", speaks=members, door=door) as house:
        stream = await say(house, sdk, stream=True)
        waiting = asyncio.create_task(say(house, sdk, stream=streamed))
        async with asyncio.timeout(1):
            while not door.waiting:
                await asyncio.sleep(0.005)
        left = await _cancelled(waiting)
        async with asyncio.timeout(1):
            while door.waiting:
                await asyncio.sleep(0.005)
        assert time.monotonic() - left < 1
        await stream.close()
        await left_within_a_second(house.lead, house.lead.requests[0], time.monotonic())
        assert len(house.lead.requests) == 1


async def _cancelled(task: asyncio.Task[Any]) -> float:
    task.cancel()
    left = time.monotonic()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    return left


async def _first(count: int, items: AsyncIterator[str]) -> AsyncIterator[str]:
    async for item in items:
        yield item
        count -= 1
        if not count:
            return


async def _check_neutral(house: GatewayTheatre, left: float) -> None:
    """Nobody is blamed and nobody else is asked."""
    entry = await house.told("leaving-1")
    while entry["status"] == "running":
        await asyncio.sleep(0.01)
        entry = await house.told("leaving-1")
    assert time.monotonic() - left < 1
    assert entry["status"] == "cancelled"
    pool = await house.pool()
    assert (pool["cancelled"], pool["answered"], pool["failed"], pool["in_flight"]) == (1, 0, 0, 0)
    lead = pool["backends"]["lead"]
    assert lead["failures"] + lead["refused"] + lead["cancelled"] == 1
    assert lead["circuit_breaker"]["failures"] == lead["failures"]
    assert len(house.lead.requests) == 1
    assert house.second.requests == []


@SDKS
async def test_a_full_queue_is_503(sdk: Protocol) -> None:
    unavailable: Any = openai.InternalServerError if sdk == "openai" else anthropic.ServiceUnavailableError
    async with patient_theatre("stall after=20", door=Door(1, 0, 20.0)) as house:
        stream = await say(house, sdk, stream=True)
        with pytest.raises(unavailable, match="this profile is busy") as raised:
            await say(house, sdk)
        assert (raised.value.status_code, raised.value.response.headers["retry-after"]) == (503, "1")
        await stream.close()


# Headers


Raw = Callable[..., Awaitable[Any]]


def _raw(house: GatewayTheatre, sdk: Protocol) -> Raw:
    client: Any = house.openai.chat.completions if sdk == "openai" else house.anthropic.messages
    create: Raw = client.with_raw_response.create
    return create


@MEMBERS
@SDKS
@STREAM_AND_UNARY
async def test_the_headers_say_who_answered_and_what_it_took(
    sdk: Protocol, members: Protocol, streamed: bool
) -> None:
    async with patient_theatre("delay 0.1s + status 500", speaks=members) as house:
        create = _raw(house, sdk)
        headers = (await create(**asking(sdk, stream=streamed))).headers
        assert headers["x-request-id"].startswith("req_")
        assert headers["x-understudy-profile"] == "evening"
        assert headers["x-understudy-backend"] == "second"
        assert headers["x-understudy-model"] == "second-model"
        assert headers["x-understudy-attempts"] == "3"
        assert 0 < float(headers["x-understudy-overhead-ms"]) < 80, "neither the backends' time nor the waits"
        assert "retry-after" not in headers
        headers = (await create(**asking(sdk), extra_headers={"x-request-id": "mine/1"})).headers
        assert headers["x-request-id"] == "mine/1"
        headers = (await create(**asking(sdk), extra_headers={"x-request-id": "not \t plain"})).headers
        assert headers["x-request-id"].startswith("req_")


@SDKS
async def test_the_time_that_a_client_takes_to_send_is_no_overhead(sdk: Protocol) -> None:
    async with patient_theatre() as house, visit(house.port, sdk) as visitor:
        body = json.dumps(asking(sdk)).encode()
        headers = {**authorized(sdk), "content-length": str(len(body))}
        await visitor.send("POST", PATHS[sdk], headers, b"")
        await asyncio.sleep(0.3)
        visitor.writer.write(body)
        await visitor.read_head()
        reply = await visitor.read_rest()
        assert reply.text == TEXT
        assert float(reply.headers["x-understudy-overhead-ms"]) < 200


@SDKS
async def test_a_place_in_the_queue_is_taken_in_turn_and_waiting_for_it_is_no_overhead(sdk: Protocol) -> None:
    async with patient_theatre("delay 0.2s after=20; fine", door=Door(1, 10, 20.0)) as house:
        first = asyncio.create_task(house.ask(sdk, stream=True))
        await house.lead.wait_for_requests(1)
        raw = await _raw(house, sdk)(**asking(sdk))
        assert (await first).text == TEXT
        assert raw.headers["x-understudy-attempts"] == "1"
        assert float(raw.headers["x-understudy-overhead-ms"]) < 150
        earlier, later = house.lead.requests
        assert earlier.finished is not None
        assert later.arrived >= earlier.finished


@SDKS
async def test_a_connection_is_as_good_as_new_after_a_refusal_or_a_failure(sdk: Protocol) -> None:
    """One connection throughout: what was not read of a refused body is not taken for the next request."""
    async with (
        patient_theatre("cut after=20; 2x status 400; fine", speaks=sdk) as house,
        visit(house.port, sdk) as visitor,
    ):
        large = {"messages": [{"role": "user", "content": "x" * 300_000}]}
        seen = []
        for key, fields in (
            ("wrong", large),
            (CLIENT_KEY, {"stream": True}),
            (CLIENT_KEY, {"model": "nobody", **large}),
            (CLIENT_KEY, {}),
            (CLIENT_KEY, {"stream": True}),
            (CLIENT_KEY, {"stream": True}),
            (CLIENT_KEY, {}),
        ):
            body = json.dumps(asking(sdk, **fields)).encode()
            await visitor.send("POST", PATHS[sdk], authorized(sdk, key), body)
            visitor.forget()
            await visitor.read_head()
            reply = await visitor.read_rest()
            seen.append((reply.status, reply.error is None))
        expected = [(401, False), (200, False), (404, False), (400, False), (400, False)]
        assert seen == [*expected, (200, True), (200, True)]


async def test_http_10_and_a_client_that_waits_for_a_word_before_it_sends_are_served() -> None:
    async with patient_theatre() as house, visit(house.port) as visitor:
        body = json.dumps(asking("openai", stream=True)).encode()
        head = f"x-api-key: {CLIENT_KEY}\r\ncontent-length: {len(body)}\r\n".encode()
        line = b"POST /v1/chat/completions HTTP/"
        visitor.writer.write(line + b"1.1\r\nhost: gateway\r\nexpect: 100-continue\r\n" + head + b"\r\n")
        await visitor.read_head()
        assert visitor.status == 100
        visitor.writer.write(body)
        await visitor.read_head()
        assert (await visitor.read_rest()).text == TEXT
        async with visit(house.port) as older:
            older.writer.write(line + b"1.0\r\n" + head + b"\r\n" + body)
            await older.read_head()
            assert "transfer-encoding" not in older.headers
            answer = await older.read_to_the_end()
            assert answer.endswith(b"data: [DONE]\n\n")


@SDKS
@STREAM_AND_UNARY
async def test_headers_of_an_error(sdk: Protocol, streamed: bool) -> None:
    errors: Any = openai if sdk == "openai" else anthropic
    async with patient_theatre("429 retry-after=60", "429 retry-after=29.5", retry_after_max_ms=1) as house:
        with pytest.raises(errors.RateLimitError) as raised:
            await say(house, sdk, stream=streamed, extra_headers={"x-request-id": "mine-2"})
        headers = raised.value.response.headers
        assert headers["x-request-id"] == "mine-2"
        assert (headers["x-understudy-profile"], headers["x-understudy-attempts"]) == ("evening", "2")
        assert headers["retry-after"] in ("29", "30")
        with pytest.raises(errors.NotFoundError) as raised:
            await say(house, sdk, model="nobody", extra_headers={"x-request-id": "mine-3"})
        assert raised.value.response.headers["x-request-id"] == "mine-3"


@SDKS
async def test_each_sdk_finds_the_request_id_where_it_looks_for_it(sdk: Protocol) -> None:
    async with patient_theatre() as house:
        answer = await say(house, sdk, extra_headers={"x-request-id": "mine-4"})
        assert answer._request_id == "mine-4"
        errors: Any = openai if sdk == "openai" else anthropic
        with pytest.raises(errors.NotFoundError) as raised:
            await say(house, sdk, model="nobody", extra_headers={"x-request-id": "mine-5"})
        assert raised.value.request_id == "mine-5"


# Models, counting, plain use


async def test_models_are_listed_and_found_by_both_sdks() -> None:
    async with patient_theatre(aliases={"gpt-5": "evening", "claude-*": "evening"}) as house:
        listed = await house.openai.models.list()
        assert [model.id for model in listed.data] == ["evening", "gpt-5"]
        assert {(model.object, model.owned_by) for model in listed.data} == {("model", "understudy")}
        assert (await house.openai.models.retrieve("evening")).id == "evening"
        with pytest.raises(openai.NotFoundError, match="did you mean evening"):
            await house.openai.models.retrieve("evenin")
        page = await house.anthropic.models.list()
        assert [model.id for model in page.data] == ["evening", "gpt-5"]
        assert {model.type for model in page.data} == {"model"}
        assert page.has_more is False
        assert [model.id async for model in house.anthropic.models.list()] == ["evening", "gpt-5"]
        found = await house.anthropic.models.retrieve("gpt-5")
        assert (found.id, found.display_name, found.created_at.year) == ("gpt-5", "gpt-5", 1970)
        with pytest.raises(anthropic.NotFoundError, match="did you mean evening"):
            await house.anthropic.models.retrieve("evenin")


@SDKS
async def test_a_model_may_be_an_alias_a_pattern_or_fall_to_the_default(sdk: Protocol) -> None:
    aliases = {"gpt-5": "evening", "claude-*": "evening"}
    async with patient_theatre(aliases=aliases) as house:
        for model in ("gpt-5", "claude-of-next-year"):
            answer = await say(house, sdk, model=model)
            assert answer.model == "lead-model", "as the backend wrote it"
    async with patient_theatre(default="evening") as house:
        raw = await _raw(house, sdk)(**asking(sdk, model="whatever-agents-send"))
        assert raw.headers["x-understudy-profile"] == "evening"
        assert house.lead.requests[0].model == "lead-model"


async def test_anthropic_counts_tokens_without_asking_anybody() -> None:
    async with patient_theatre() as house:
        count = house.anthropic.messages.count_tokens
        few = (await count(model="evening", messages=MESSAGES)).input_tokens
        many = (
            await count(model="evening", messages=MESSAGES, system="x" * 4000, tools=ANTHROPIC_TOOLS)
        ).input_tokens
        assert 0 < few < 20
        assert many > few + 1000
        assert (
            await house.anthropic.beta.messages.count_tokens(model="evening", messages=MESSAGES)
        ).input_tokens
        with pytest.raises(anthropic.NotFoundError):
            await count(model="evning", messages=MESSAGES)
        assert house.lead.requests == []


@SDKS
async def test_paths_are_the_same_without_v1_or_with_one_too_many(sdk: Protocol) -> None:
    async with patient_theatre() as house:
        client: Any = house.openai if sdk == "openai" else house.anthropic
        for base_url in (house.origin, f"{house.origin}/", f"{house.origin}/v1", f"{house.origin}/v1/"):
            moved = client.with_options(base_url=base_url)
            create = moved.chat.completions.create if sdk == "openai" else moved.messages.create
            assert (await create(**asking(sdk))).model == "lead-model"
            assert (await moved.models.list()).data[0].id == "evening"


@asynccontextmanager
async def _curl(house: GatewayTheatre, path: str, headers: dict[str, str], body: Any) -> AsyncIterator[Any]:
    async with visit(house.port, "anthropic" if "messages" in path else "openai") as visitor:
        await visitor.send("POST", path, headers, json.dumps(body).encode())
        await visitor.read_head()
        yield await visitor.read_rest()


@SDKS
async def test_plain_use_as_with_curl_takes_either_way_of_giving_a_key(sdk: Protocol) -> None:
    key = "client-key-of-bob-0123456789"
    async with patient_theatre() as house:
        for path in (PATHS[sdk], PATHS[sdk].removeprefix("/v1"), PATHS[sdk] + "/", PATHS[sdk] + "?beta=true"):
            for headers in ({"authorization": f"bearer {key}"}, {"x-api-key": key}):
                async with _curl(house, path, headers, asking(sdk)) as reply:
                    assert (reply.status, reply.text) == (200, TEXT)
        async with _curl(house, PATHS[sdk], {}, asking(sdk)) as reply:
            assert (reply.status, reply.error["code"]) == (401, "missing_api_key")
