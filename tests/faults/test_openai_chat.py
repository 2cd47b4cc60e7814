"""The healthy answers, as the OpenAI SDK reads them; and the rules of the format, byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.faults.raw import ask
from understudy.faults import TEXT, TOKENS, FaultProvider, openai_chat
from understudy.faults.answer import Call

MESSAGES: Any = [{"role": "user", "content": "Say something."}]


@pytest.fixture
async def provider() -> AsyncIterator[FaultProvider]:
    async with FaultProvider() as provider:
        yield provider


@pytest.fixture
async def client(provider: FaultProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


async def unary(client: openai.AsyncOpenAI, model: str = "m", **fields: Any) -> ChatCompletion:
    answer = await client.chat.completions.create(model=model, messages=MESSAGES, **fields)
    assert isinstance(answer, ChatCompletion)
    return answer


async def stream(client: openai.AsyncOpenAI, model: str = "m", **fields: Any) -> list[ChatCompletionChunk]:
    chunks = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **fields)
    return [chunk async for chunk in chunks]


def tool_arguments(chunks: list[ChatCompletionChunk]) -> dict[int, str]:
    found: dict[int, str] = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            found[call.index] = found.get(call.index, "") + (call.function.arguments or "")
    return found


async def test_the_sdk_reads_a_unary_answer(client: openai.AsyncOpenAI) -> None:
    answer = await unary(client, "gpt-any")
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-any"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        4,
        60,
        64,
    )


async def test_the_sdk_reads_a_stream_one_chunk_per_token(client: openai.AsyncOpenAI) -> None:
    chunks = await stream(client)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", *TOKENS, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 61 + ["stop"]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_is_told_in_a_last_chunk_of_its_own_if_it_was_asked_for(
    client: openai.AsyncOpenAI,
) -> None:
    *rest, last = await stream(client, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.completion_tokens, last.usage.prompt_tokens) == (60, 4)
    assert all(chunk.usage is None and chunk.choices for chunk in rest)


async def test_without_the_asking_nothing_about_usage_is_in_a_stream(provider: FaultProvider) -> None:
    asked = await ask(provider, stream=True, stream_options={"include_usage": True})
    assert all("usage" in event for event in asked.events)
    assert b"usage" not in (await ask(provider, stream=True)).body


async def test_every_answer_has_an_id_of_its_own(client: openai.AsyncOpenAI) -> None:
    ids = [(await unary(client)).id for _ in range(2)] + [(await stream(client))[0].id]
    assert len(set(ids)) == 3
    assert {len(one) for one in ids} == {len(openai_chat.IDENTITY)}


async def test_the_sdk_reads_tool_calls_of_both_kinds(client: openai.AsyncOpenAI) -> None:
    model = "fault: tools 2 split=1 interleaved"
    whole = (await unary(client, model)).choices[0]
    assert whole.finish_reason == "tool_calls"
    assert whole.message.content is None
    calls: Any = whole.message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    chunks = await stream(client, model)
    assert tool_arguments(chunks) == {index: call.function.arguments for index, call in enumerate(calls)}
    assert json.loads(calls[0].function.arguments) == {"city": "東京 🎭", "units": "metric"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_of_a_tool_call_only_the_first_event_has_id_and_name(client: openai.AsyncOpenAI) -> None:
    chunks = await stream(client, "fault: tools 2")
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    first = [call for call in deltas if call.id]
    assert [(call.index, call.id, call.function and call.function.name) for call in first] == [
        (0, "call_0000", "get_weather"),
        (1, "call_0001", "get_time"),
    ]
    assert all(call.function and call.function.name is None for call in deltas if not call.id)


async def test_interleaved_calls_take_turns_and_others_do_not(client: openai.AsyncOpenAI) -> None:
    async def order(model: str) -> list[int]:
        chunks = await stream(client, model)
        return [call.index for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]

    assert (await order("fault: tools 2 interleaved"))[:4] == [0, 1, 0, 1]
    apart = await order("fault: tools 2")
    assert apart == sorted(apart)


async def test_the_sdk_reads_reasoning_and_its_tokens(client: openai.AsyncOpenAI) -> None:
    answer = await unary(client, "fault: reasoning 3")
    assert answer.choices[0].message.reasoning_content == " thought-1 thought-2 thought-3"  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    assert answer.usage.completion_tokens == 63
    chunks = await stream(client, "fault: reasoning 3")
    assert chunks[1].choices[0].delta.reasoning_content == " thought-1"  # type: ignore[attr-defined]
    assert chunks[4].choices[0].delta.content == TOKENS[0]


async def test_as_many_choices_are_given_as_were_asked_for(client: openai.AsyncOpenAI) -> None:
    answer = await unary(client, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {TEXT}
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 180
    chunks = await stream(client, n=2)
    for index in (0, 1):
        own = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in own) == TEXT
        assert own[-1].finish_reason == "stop"


async def test_the_sdk_lists_the_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["gpt-understudy"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
async def test_the_sdk_reads_errors(
    client: openai.AsyncOpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind, match="not today"):
        await unary(client, f"fault: {status} message='not today'")


async def test_the_sdk_reads_an_error_inside_a_stream(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="overloaded"):
        await stream(client, "fault: error openai-overloaded after=3")


def test_a_call_is_what_the_request_asks_for() -> None:
    body = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "messages": [{"content": "four"}, {"content": [{"type": "text"}]}, {"content": None}, "nonsense"],
    }
    assert openai_chat.read_call(body, "", {}) == Call("m", True, True, 2, 4 + len('[{"type":"text"}]'))


@pytest.mark.parametrize(("asked", "given"), [(128, 128), (129, 1), (10**30, 1), (0, 1), (True, 1), ("3", 1)])
def test_choices_beyond_reason_count_as_not_given(asked: object, given: int) -> None:
    assert openai_chat.read_call({"model": "m", "n": asked}, "/chat/completions", {}).choices == given


def test_what_makes_no_sense_in_a_request_counts_as_not_given() -> None:
    nonsense = {"model": None, "stream": "yes", "stream_options": 3, "n": -1, "messages": "hello"}
    for body in (nonsense, {}):
        assert openai_chat.read_call(body, "", {}) == Call("")


async def test_a_model_whose_name_looks_like_json_does_no_harm(client: openai.AsyncOpenAI) -> None:
    chunks = await stream(client, 'x":0}')
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
