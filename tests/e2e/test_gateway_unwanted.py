"""Fields that a member's model refuses, from clients and to members of every format.

What the client hears, what the member was sent, and what trail and statistics say: it is asked once more
without, nobody else is asked, nothing is held against it, and the next request leaves it out at once.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.gateway_theatre import Format, GatewayTheatre, Protocol
from tests.e2e.mixed_pool import CLIENTS, Heard, hear, mixed_pool
from understudy.faults import TEXT

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
FROM = pytest.mark.parametrize("client", CLIENTS)

# Members, and how they say that they take no temperature
REFUSALS: list[tuple[Format, str]] = [
    ("openai", "openai-temperature"),
    ("openai", "unrecognized-argument"),
    ("openai-responses", "openai-temperature"),
    ("anthropic", "anthropic-temperature"),
    ("gemini", "unrecognized-argument"),
]


async def step_of(house: GatewayTheatre, heard: Heard) -> dict[str, Any]:
    """The only attempt of a request that was answered in whole."""
    assert (heard.error, heard.text) == (None, TEXT)
    (step,) = (await house.told(heard.reply.headers["x-request-id"]))["trail"]
    assert (step["backend"], step["outcome"]) == ("lead", "success")
    return dict(step)


def was_sent(house: GatewayTheatre, name: str) -> list[bool]:
    """Of each request to the lead, whether the field was in it."""
    bodies = [request.body for request in house.lead.requests]
    return [name in body or name in body.get("generationConfig", {}) for body in bodies]


@pytest.mark.parametrize(("speaks", "wording"), REFUSALS)
@FROM
@STREAM_AND_UNARY
async def test_f63_a_field_that_may_be_left_out_is_left_out_at_once_from_then_on(
    streamed: bool, client: Protocol, speaks: Format, wording: str
) -> None:
    async with mixed_pool(f"when sampling says {wording}", speaks=[speaks, "openai"]) as house:
        first = await step_of(
            house, await hear(house, client, stream=streamed, extra_body={"temperature": 0.7})
        )
        assert (first["dropped_field"], first.get("left_out")) == ("temperature", None)
        again = await step_of(
            house, await hear(house, client, stream=streamed, extra_body={"temperature": 0.7})
        )
        assert (again.get("dropped_field"), again["left_out"]) == (None, ["temperature"])
        assert was_sent(house, "temperature") == [True, False, False]
        assert house.second.requests == []
        stats = await house.stats()
        assert (stats["requests"], stats["successes"], stats["circuit_breaker"]["failures"]) == (2, 2, 0)


@FROM
async def test_f63_a_limit_is_said_by_its_other_name(client: Protocol) -> None:
    limit: dict[str, Any] = {"max_output_tokens" if client == "responses" else "max_tokens": 900}
    async with mixed_pool("when limit says openai-limit", speaks=["openai", "openai"]) as house:
        if client == "openai":
            step = await step_of(house, await hear(house, client, **limit))
            assert step["dropped_field"] == "max_tokens"
        last = await step_of(house, await hear(house, client, **limit))
        assert "left_out" not in last
        assert house.lead.requests[-1].body["max_completion_tokens"] == 900
        assert not was_sent(house, "max_tokens")[-1]


@FROM
async def test_f63_who_takes_no_budget_for_its_thoughts_thinks_adaptively(client: Protocol) -> None:
    asked: dict[Protocol, dict[str, Any]] = {
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 4000}, "max_tokens": 9000},
        "openai": {"reasoning_effort": "medium"},
        "responses": {"reasoning": {"effort": "medium"}},
    }
    async with mixed_pool("when budget says anthropic-budget", speaks=["anthropic", "openai"]) as house:
        first = await step_of(house, await hear(house, client, **asked[client]))
        assert first["dropped_field"] == "thinking.budget_tokens"
        await step_of(house, await hear(house, client, **asked[client]))
        assert [request.body["thinking"]["type"] for request in house.lead.requests] == [
            "enabled",
            "adaptive",
            "adaptive",
        ]
        assert [request.body["output_config"] for request in house.lead.requests[1:]] == [
            {"effort": "medium"}
        ] * 2


@FROM
async def test_what_a_model_is_known_to_refuse_is_never_sent(client: Protocol) -> None:
    asked: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 9000}
    fields = asked if client == "anthropic" else {}
    script = "when sampling says anthropic-temperature; loop"
    models = {"lead": "claude-opus-4-7"}
    async with mixed_pool(script, speaks=["anthropic", "openai"], models=models) as house:
        step = await step_of(house, await hear(house, client, extra_body={"temperature": 1}, **fields))
        assert "dropped_field" not in step
        assert step["left_out"] == ["temperature", *["thinking.budget_tokens"] * (client == "anthropic")]
        assert was_sent(house, "temperature") == [False]
        thinking = house.lead.requests[0].body.get("thinking")
        assert thinking == ({"type": "adaptive"} if client == "anthropic" else None)


async def test_of_two_that_do_not_go_together_one_is_left_out() -> None:
    async with mixed_pool("says anthropic-two; fine", speaks=["anthropic", "openai"]) as house:
        step = await step_of(house, await hear(house, "openai", temperature=0.7, top_p=0.9))
        assert step["dropped_field"] == "top_p"
        await step_of(house, await hear(house, "openai", top_p=0.9))
        assert was_sent(house, "top_p") == [True, False, True]
        assert was_sent(house, "temperature") == [True, True, False]
