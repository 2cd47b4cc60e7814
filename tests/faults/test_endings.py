"""How the connection ends when the answer is not whole."""

from __future__ import annotations

import json

import pytest

from tests.faults.raw import play, stream
from understudy.faults import TOKENS


async def test_a_cut_closes_with_the_chunked_body_unterminated() -> None:
    answer = await stream("cut")
    assert (answer.ending, answer.text) == ("cut", "".join(TOKENS[:40]))
    assert answer.finish is None


async def test_a_clean_end_terminates_the_body_without_a_finish_reason() -> None:
    answer = await stream("end")
    assert (answer.ending, answer.text) == ("end", "".join(TOKENS[:40]))
    assert answer.finish is None
    assert "[DONE]" not in answer.data


async def test_a_clean_end_of_a_unary_answer_is_half_of_its_json_with_the_right_length() -> None:
    answer = await play("end after=30")
    assert answer.ending == "end"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_reset_before_the_head_sends_nothing(asked: bool) -> None:
    answer = await play("reset", stream=asked)
    assert (answer.ending, answer.head, answer.body) == ("reset", b"", b"")


async def test_a_reset_in_the_middle_comes_after_what_was_sent() -> None:
    answer = await stream("reset after=20")
    assert (answer.ending, answer.text) == ("reset", "".join(TOKENS[:20]))


@pytest.mark.parametrize(("after", "events"), [("headers", 0), ("preamble", 1), ("finish", 62)])
async def test_every_ending_can_be_at_every_place(after: str, events: int) -> None:
    for word in ("cut", "end", "reset"):
        assert len((await stream(f"{word} after={after}")).events) == events


async def test_a_cut_after_more_tokens_than_there_are_comes_before_the_finish_reason() -> None:
    answer = await stream("cut after=99")
    assert (answer.ending, answer.text, answer.finish) == ("cut", "".join(TOKENS), None)


async def test_a_tool_call_can_be_cut_after_its_name_and_inside_its_arguments() -> None:
    named = await stream("tools + cut after=1")
    call = named.events[1]["choices"][0]["delta"]["tool_calls"][0]
    assert call["function"] == {"name": "get_weather", "arguments": ""}
    assert len(named.events) == 2
    inside = await stream("tools + cut after=4")
    pieces = [
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for event in inside.events[1:]
    ]
    assert "".join(pieces) == '{"city": "東京'[:12]
