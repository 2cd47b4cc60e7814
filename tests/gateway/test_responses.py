"""Clients of Responses at the gateway: the official SDK before members that speak another format."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.gateway.house import PROFILE, House, house
from understudy.faults import TEXT


def client(evening: House) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="anything", base_url=f"{evening.url}/v1", max_retries=0)


async def test_a_response_is_answered_whole() -> None:
    async with house() as evening, client(evening) as asking:
        answer = await asking.responses.with_raw_response.create(model=PROFILE, input="Hi")
        response = answer.parse()

    assert (response.output_text, response.status) == (TEXT, "completed")
    assert answer.headers["x-understudy-backend"] == "lead"
    assert response.usage is not None
    assert response.usage.output_tokens > 0


async def test_a_response_is_streamed() -> None:
    async with (
        house("status 500") as evening,
        client(evening) as asking,
        asking.responses.stream(model=PROFILE, input=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        response = await stream.get_final_response()

    assert "".join(pieces) == response.output_text == TEXT
    assert response.model == "second-model"


async def test_a_stream_that_breaks_off_ends_as_a_failed_response() -> None:
    async with house("cut after=5") as evening, client(evening) as asking:
        stream = await asking.responses.create(model=PROFILE, input="Hi", stream=True)
        said = [event async for event in stream]

    last = said[-1]
    assert [event.sequence_number for event in said] == list(range(len(said)))
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.type) == ("server_error", "truncated")
    assert last.response.error.to_dict()["causes"]


@pytest.mark.parametrize(
    "fields", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}]
)
async def test_what_needs_a_store_is_refused_and_nobody_is_asked(fields: dict[str, Any]) -> None:
    async with house() as evening, client(evening) as asking:
        with pytest.raises(openai.BadRequestError, match="responses are not stored here") as caught:
            await asking.responses.create(model=PROFILE, input="Hi", **fields)
        assert evening.lead.requests == []

    assert caught.value.param == next(iter(fields))


async def test_a_stored_response_is_not_found() -> None:
    async with house() as evening, client(evening) as asking:
        with pytest.raises(openai.NotFoundError, match="responses are not stored here"):
            await asking.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError, match="responses are not stored here"):
            await asking.responses.cancel("resp_1")


async def test_a_tool_that_only_openai_has_is_named() -> None:
    async with house() as evening, client(evening) as asking:
        with pytest.raises(openai.BadRequestError, match="the tool 'web_search' exists only at OpenAI"):
            await asking.responses.create(model=PROFILE, input="Hi", tools=[{"type": "web_search"}])
        assert evening.lead.requests == []
