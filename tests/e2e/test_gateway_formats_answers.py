"""Answers of members of every format, as the official SDK of every client's format reads them.

Each SDK has them in three ways: whole, event by event, and put together by its own accumulator. Whatever it
reads is of its declared types (`format_clients`).
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.e2e.format_answers import Said, joined
from tests.e2e.format_clients import (
    EVERY_WAY,
    FORMATS,
    PAIRS,
    TOOL_NAMES,
    UNARY_AND_STREAM,
    Client,
    How,
    ask,
    tools,
)
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from understudy.faults import TEXT, TOKENS
from understudy.faults.answers import ARGUMENTS

THOUGHT = " thought-1 thought-2 thought-3"
ENDS: dict[Client, dict[str, str]] = {
    "openai": {
        "whole": "stop",
        "called": "tool_calls",
        "length": "length",
        "content_filter": "content_filter",
    },
    "openai-responses": {
        "whole": "completed",
        "called": "completed",
        "length": "incomplete: max_output_tokens",
        "content_filter": "incomplete: content_filter",
    },
    "anthropic": {
        "whole": "end_turn",
        "called": "tool_use",
        "length": "max_tokens",
        "content_filter": "refusal",
    },
}
# What OpenAI's accumulator says instead of an answer.
CUT_SHORT: dict[str, type[Exception]] = {
    "length": openai.LengthFinishReasonError,
    "content_filter": openai.ContentFilterFinishReasonError,
}


def input_tokens(house: GatewayTheatre) -> int:
    """What the provider counts of the newest prompt: one token for every four characters."""
    return (house.lead.requests[-1].prompt_size + 3) // 4


# Text


@PAIRS
@EVERY_WAY
async def test_an_answer_is_whole_with_its_model_one_end_and_its_usage(
    client: Client, members: Format, how: How
) -> None:
    async with patient_theatre(speaks=members) as house:
        said = await ask(house, client, how)
        assert (said.text, said.reasoning, said.refusal, said.calls) == (TEXT, "", "", ())
        assert (said.model, said.finish) == ("lead-model", ENDS[client]["whole"])
        assert said.usage == (input_tokens(house), len(TOKENS), 0)
        assert said.order in ((), ("text",))


@PAIRS
async def test_a_stream_says_every_token_by_itself(client: Client, members: Format) -> None:
    async with patient_theatre(speaks=members) as house:
        said = await ask(house, client, "stream")
        assert [text for text in map(piece, said.events) if text] == list(TOKENS)


def piece(event: Any) -> str | None:
    """What of the text an event brings."""
    if hasattr(event, "choices"):
        return event.choices[0].delta.content if event.choices else None
    if event.type == "response.output_text.delta":
        return str(event.delta)
    return getattr(event.delta, "text", None) if event.type == "content_block_delta" else None


@PAIRS
@UNARY_AND_STREAM
async def test_characters_in_pieces_are_whole_again(client: Client, members: Format, how: How) -> None:
    """Cut between any two bytes, written as escapes, and in halves that come in two events."""
    script = "split 1; escape + split 7; surrogates; surrogates + split 3"
    async with patient_theatre(script, speaks=members) as house:
        for _ in script.split(";"):
            said = await ask(house, client, how)
            assert joined(said.text) == TEXT


@PAIRS
@EVERY_WAY
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_why_an_answer_was_cut_short_is_said_in_the_clients_word(
    client: Client, members: Format, how: How, reason: str
) -> None:
    async with patient_theatre(f"finish {reason}", speaks=members) as house:
        if (client, how) == ("openai", "helper"):
            with pytest.raises(CUT_SHORT[reason]):
                await ask(house, client, how)
            return
        said = await ask(house, client, how)
        assert (said.text, said.finish) == (TEXT, ENDS[client][reason])


@PAIRS
@EVERY_WAY
async def test_a_refusal_is_one_where_both_know_it_and_else_a_text(
    client: Client, members: Format, how: How
) -> None:
    """Anthropic says by its stop reason that the text is one, Gemini says nothing of it."""
    end = "content_filter" if members == "anthropic" else "whole"
    async with patient_theatre("refusal", speaks=members) as house:
        if (client, how, members) == ("openai", "helper", "anthropic"):
            with pytest.raises(openai.ContentFilterFinishReasonError):
                await ask(house, client, how)
            return
        said = await ask(house, client, how)
        both = client != "anthropic" and members in ("openai", "openai-responses")
        assert (said.text, said.refusal) == (("", TEXT) if both else (TEXT, ""))
        assert said.finish == ENDS[client][end]


# Tools


@PAIRS
@EVERY_WAY
async def test_parallel_calls_keep_their_ids_names_and_every_byte_of_their_arguments(
    client: Client, members: Format, how: How
) -> None:
    """Interleaved, a character at a time, and cut between any two bytes."""
    scripts = ("tools 3 split=1 interleaved", "tools 2 split=3 with-text interleaved + split 5 + escape")
    async with patient_theatre("; ".join(scripts), speaks=members) as house:
        said = await ask(house, client, how, tools=tools(client))
        check_calls(said, client, members, how, 3)
        assert (said.text, said.order) in (("", ()), ("", ("call",)))
        # Of each call its name is a token, and so is each character of the arguments.
        assert said.usage == (input_tokens(house), 3 * (1 + len(ARGUMENTS)), 0)
        said = await ask(house, client, how, tools=tools(client))
        check_calls(said, client, members, how, 2)
        assert (said.text, said.order) in ((TEXT, ()), (TEXT, ("text", "call")))


def check_calls(said: Said, client: Client, members: Format, how: How, count: int) -> None:
    assert said.finish == ENDS[client]["called"]
    assert [call.id for call in said.calls] == [f"call_{number:04}" for number in range(count)]
    assert [call.name for call in said.calls] == list(TOOL_NAMES[:count])
    assert [call.arguments for call in said.calls] == [arguments(client, members, how)] * count


def arguments(client: Client, members: Format, how: How) -> Any:
    """As the member says them: as text or, in Gemini and Anthropic's whole answers, as a value, which it
    writes without spaces. Anthropic's clients have a value too, but for a stream's events.
    """
    value = json.loads(ARGUMENTS)
    if client == "anthropic" and how != "stream":
        return value
    if members == "gemini" or (members == "anthropic" and how == "unary"):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ARGUMENTS


@PAIRS
@UNARY_AND_STREAM
async def test_arguments_that_are_nothing_are_an_empty_object_or_nothing(
    client: Client, members: Format, how: How
) -> None:
    async with patient_theatre("tools arguments=''", speaks=members) as house:
        said = await ask(house, client, how, tools=tools(client))
        (call,) = said.calls
        assert call.arguments in ("", "{}", {})
        assert said.finish == ENDS[client]["called"]


# Reasoning


@PAIRS
@EVERY_WAY
async def test_reasoning_stands_before_the_text_in_the_clients_own_place(
    client: Client, members: Format, how: How
) -> None:
    async with patient_theatre("reasoning 3", speaks=members) as house:
        said = await ask(house, client, how)
        assert (said.reasoning, said.text, said.finish) == (THOUGHT, TEXT, ENDS[client]["whole"])
        assert said.order[:2] in ((), ("thought", "text"))
        thought = 0 if members == "anthropic" else 3  # whose provider here does not count it apart
        assert said.usage == (input_tokens(house), len(TOKENS) + 3, thought)


@PAIRS
@EVERY_WAY
async def test_reasoning_text_and_calls_come_in_their_order(
    client: Client, members: Format, how: How
) -> None:
    async with patient_theatre("reasoning 3 + tools 2 with-text", speaks=members) as house:
        said = await ask(house, client, how, tools=tools(client))
        assert (said.reasoning, said.text) == (THOUGHT, TEXT)
        check_calls(said, client, members, how, 2)
        assert tuple(dict.fromkeys(said.order)) in ((), ("thought", "text", "call"))


@EVERY_WAY
@pytest.mark.parametrize("members", FORMATS)
async def test_an_anthropic_message_is_thoughts_then_text(members: Format, how: How) -> None:
    """Gemini signs no thought but the answer: that state is a thought of its own, without words. In a stream
    it comes when the thoughts are over.
    """
    async with patient_theatre("reasoning 3", speaks=members) as house:
        said = await ask(house, "anthropic", how)
    (turn,) = said.turn
    content = [(block["type"], block.get("text", block.get("thinking"))) for block in turn["content"]]
    expected = [("thinking", THOUGHT), ("text", TEXT)]
    if members == "gemini":
        expected.insert(1 if how == "unary" else 2, ("thinking", ""))
    assert content == expected
