"""Conversations that were begun with another account: whoever cannot read its state answers all the same.

What members are sent is in the providers' logs; that they were asked once more, without the state, is in the
trail.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.gateway_replies import Protocol, Reply
from tests.e2e.gateway_theatre import GatewayTheatre, patient_theatre
from understudy.faults import TEXT
from understudy.faults import Request as Logged
from understudy.faults.wordings import WORDINGS

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
STATE = "c3RhdGUgb2YgYW5vdGhlciBhY2NvdW50"

# Conversations with state, as clients hand them back, and how the provider of each refuses it.
SIGNED = {"type": "thinking", "thinking": "Hm", "signature": STATE}
SAYS: dict[Protocol, str] = {
    "openai": "thinking-signature",
    "responses": "encrypted-content",
    "anthropic": "thinking-signature",
}
BEGUN: dict[Protocol, dict[str, Any]] = {
    "openai": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "Hello",
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": STATE}],
            },
            {"role": "user", "content": "And?"},
        ]
    },
    "responses": {
        "store": False,
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": STATE},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "And?"},
        ],
    },
    "anthropic": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [SIGNED, {"type": "text", "text": "Hello"}]},
            {"role": "user", "content": "And?"},
        ]
    },
}


def has_state(request: Logged) -> bool:
    return STATE in json.dumps(request.body)


async def trail(house: GatewayTheatre, reply: Reply) -> list[dict[str, Any]]:
    told = await house.told(reply.headers["x-request-id"])
    steps: list[dict[str, Any]] = told["trail"]
    return steps


@STREAM_AND_UNARY
@pytest.mark.parametrize("protocol", BEGUN)
async def test_a_member_that_refuses_it_is_asked_once_more_without(
    protocol: Protocol, streamed: bool
) -> None:
    async with patient_theatre(f"says {SAYS[protocol]}; fine", speaks=protocol) as house:
        reply = await house.ask(protocol, stream=streamed, **BEGUN[protocol])
        assert (reply.status, reply.text) == (200, TEXT)
        assert list(map(has_state, house.lead.requests)) == [True, False]
        [step] = await trail(house, reply)
        assert (step["backend"], step["outcome"], step["dropped_field"]) == (
            "lead",
            "success",
            "provider_state",
        )
        assert house.second.requests == []
        assert (await house.stats())["refused"] == 0


@STREAM_AND_UNARY
@pytest.mark.parametrize("protocol", BEGUN)
async def test_so_is_one_that_says_so_in_its_answer(protocol: Protocol, streamed: bool) -> None:
    script = f"error {SAYS[protocol]} after=preamble; fine"
    async with patient_theatre(script, speaks=protocol) as house:
        reply = await house.ask(protocol, stream=streamed, **BEGUN[protocol])
        assert (reply.status, reply.text, len(reply.ids)) == (200, TEXT, 1)
        assert list(map(has_state, house.lead.requests)) == [True, False]


@pytest.mark.parametrize("protocol", BEGUN)
async def test_if_that_does_not_help_the_next_one_gets_the_conversation_as_it_came(
    protocol: Protocol,
) -> None:
    async with patient_theatre(f"says {SAYS[protocol]}", speaks=protocol) as house:
        reply = await house.ask(protocol, stream=True, **BEGUN[protocol])
        assert (reply.status, reply.text) == (200, TEXT)
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
        assert list(map(has_state, house.lead.requests + house.second.requests)) == [True, False, True]
        assert (await house.stats())["circuit_breaker"]["failures"] == 0


@pytest.mark.parametrize("protocol", BEGUN)
async def test_if_nobody_takes_it_the_client_hears_the_first_ones_words(protocol: Protocol) -> None:
    script = f"says {SAYS[protocol]}"
    async with patient_theatre(script, script, speaks=protocol) as house:
        reply = await house.ask(protocol, stream=True, **BEGUN[protocol])
        assert reply.status == 400
        assert reply.error is not None
        assert reply.error["message"] in WORDINGS[SAYS[protocol]].value["error"]["message"]
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "unfit")]


async def test_in_the_middle_of_tool_use_claude_goes_on_without_thinking() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [SIGNED, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain"}]},
    ]
    asked: dict[str, Any] = {
        "messages": turns,
        "max_tokens": 9000,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    }
    async with patient_theatre("says thinking-signature; fine", speaks="anthropic") as house:
        reply = await house.ask("anthropic", stream=True, **asked)
        assert (reply.status, reply.text) == (200, TEXT)
        first, second = (request.body for request in house.lead.requests)
        assert first == {**asked, "model": "lead-model", "stream": True}
        assert second["messages"][1]["content"] == [use]
        assert "thinking" not in second
        assert second["context_management"] == {"edits": []}
        [step] = await trail(house, reply)
        assert (step["dropped_field"], step["left_out"]) == ("provider_state", ["thinking"])


@pytest.mark.parametrize("said", ["Corrupted thought signature.", "Thought signature is not valid"])
async def test_gemini_too_is_asked_once_more_without_the_signatures_of_another_account(said: str) -> None:
    """It has no clients of its own here, so that all its state comes as words of ours."""
    script = f"reasoning; 400 message='{said}'; fine"
    async with patient_theatre(script, speaks=("gemini", "gemini")) as house:
        first = await house.ask("openai")
        message = first.value["choices"][0]["message"]
        history: dict[str, Any] = {
            "messages": [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "And?"}]
        }
        reply = await house.ask("openai", **history)
        assert (reply.status, reply.text) == (200, TEXT)
        signed = ["thoughtSignature" in json.dumps(request.body) for request in house.lead.requests]
        assert signed == [False, True, False]
        [step] = await trail(house, reply)
        assert step["dropped_field"] == "provider_state"


@pytest.mark.parametrize("members", ["anthropic", "responses"])
async def test_what_one_member_issued_another_of_its_format_is_not_bothered_with(members: Protocol) -> None:
    """A client of another format holds it as a word of ours, which says where it was issued."""
    async with patient_theatre("reasoning; 503; 503; fine", speaks=members) as house:
        asked: dict[str, Any] = {"reasoning_effort": "low", "max_tokens": 9000}
        first = await house.ask("openai", **asked)
        message = first.value["choices"][0]["message"]
        assert message["reasoning_details"]
        history: dict[str, Any] = {
            "messages": [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "And?"}]
        }

        other = await house.ask("openai", **asked, **history)
        assert other.headers["x-understudy-backend"] == "second"
        own = await house.ask("openai", **asked, **history)
        assert own.headers["x-understudy-backend"] == "lead"

        assert not thoughts(house.second.requests[0])
        assert thoughts(house.lead.requests[-1])
        assert "127.0.0.1" not in json.dumps(message)


def thoughts(request: Logged) -> list[Any]:
    said = request.body.get("input") or [
        block for turn in request.body["messages"] for block in turn["content"] if isinstance(block, dict)
    ]
    return [block for block in said if block.get("type") in ("reasoning", "thinking")]
