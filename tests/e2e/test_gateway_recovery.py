"""Answers that break off in the middle and go on without a seam, as a gateway's clients see them.

The lead breaks off after each of the canonical answer's sixty tokens in turn, sixty clients at once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.gateway_theatre import PATIENT, PROTOCOLS, GatewayTheatre, Protocol, Reply, gateway_theatre
from tests.e2e.test_recovery import BREAKS, POSITIONS, at_every_position
from understudy.faults import TEXT, TOKENS
from understudy.gateway.admission import Door

SAME = {"model-identity": "understudy-1"}
PREFILLED = {**SAME, "supports": ["tools", "prefill"]}
WHOLE: dict[str, Any] = {
    **PATIENT,
    "stall_timeout_ms": 300,
    "circuit_breaker_enabled": False,
    "stream_recovery": "same_model",
    "member_settings": SAME,
}


def is_whole(reply: Reply) -> bool:
    one = (reply.error, reply.text, reply.dones, len(reply.ids)) == (None, TEXT, 1, 1)
    return one and reply.finish in ("stop", "end_turn") and reply.whole


async def sixty(house: GatewayTheatre, protocol: Protocol) -> list[Reply]:
    return list(await asyncio.gather(*(house.ask(protocol, stream=True) for _ in POSITIONS)))


async def ways(house: GatewayTheatre, reply: Reply) -> list[str]:
    entry = await house.told(reply.headers["x-request-id"])
    return [step.get("recovery", "") for step in entry["trail"] if "outcome" in step]


def check_shape(reply: Reply) -> None:
    """One beginning, one end, numbers that go on."""
    if reply.protocol == "openai":
        values = [event.value for event in reply.events if event.data != "[DONE]"]
        roles = [c["delta"]["role"] for v in values for c in v["choices"] if c["delta"].get("role")]
        finishes = [c["finish_reason"] for v in values for c in v["choices"] if c["finish_reason"]]
        assert (len(roles), finishes) == (1, ["stop"])
        assert len({value["created"] for value in values}) == 1
        assert len({value["model"] for value in values}) == 1
        return
    names = [event.name for event in reply.events if event.name != "ping"]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}
    assert {event.value["index"] for event in reply.events if event.name == "content_block_delta"} == {0}


@pytest.mark.parametrize("settings", [SAME, PREFILLED], ids=["replay", "continuation"])
@pytest.mark.parametrize("speaks", PROTOCOLS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", BREAKS)
async def test_from_every_position(
    how: str, protocol: Protocol, speaks: Protocol, settings: dict[str, Any]
) -> None:
    options = {**WHOLE, "member_settings": settings}
    async with gateway_theatre(
        at_every_position(how), speaks=speaks, door=Door(100, 100, 20.0), **options
    ) as house:
        replies = await sixty(house, protocol)
        for reply in replies:
            assert is_whole(reply), reply.body
            check_shape(reply)
            assert reply.output_tokens is not None
            near = 0 if settings is SAME else 10
            assert abs(reply.output_tokens - len(TOKENS)) <= near
        assert len(house.second.requests) == len(replies)
        if settings is PREFILLED:
            prefilled = [request for request in house.second.requests if is_prefilled(request.body)]
            assert len(prefilled) > 50
            if protocol == "anthropic":
                assert all(request.body["max_tokens"] < 1000 for request in prefilled)


def is_prefilled(body: Any) -> bool:
    return bool(body["messages"][-1]["role"] == "assistant")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_between_formats(protocol: Protocol) -> None:
    """The lead speaks one format, the second another: natively begun, translated from the break on."""
    for speaks in (("openai", "anthropic"), ("anthropic", "openai")):
        async with gateway_theatre(at_every_position("cut"), speaks=speaks, **WHOLE) as house:
            for reply in await sixty(house, protocol):
                assert is_whole(reply), reply.body
                check_shape(reply)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_other_words_are_an_explicit_error(protocol: Protocol) -> None:
    async with gateway_theatre(
        "cut after=20", "text 'Another answer'", failover_retry_count=1, speaks=protocol, **WHOLE
    ) as house:
        reply = await house.ask(protocol, stream=True)
        assert reply.error is not None
        assert reply.text == "".join(TOKENS[:20])
        assert reply.error["message"].startswith("lead broke off after its first content")
        assert await house.attempts(reply) == [
            ("lead", "truncated"),
            ("second", "mismatch"),
            ("lead", "truncated"),
        ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_held_tool_call_is_retried_whole(protocol: Protocol) -> None:
    async with gateway_theatre(
        "tools 1 with-text + cut after=63",
        "tools 1 with-text",
        speaks=protocol,
        hold_tool_calls=True,
        **WHOLE,
    ) as house:
        reply = await house.ask(protocol, stream=True)
        assert (reply.error, reply.text, reply.dones) == (None, TEXT, 1)
        ((name, arguments),) = reply.tools.values()
        assert (name, json.loads(arguments)) == ("get_weather", {"city": "東京 🎭", "units": "metric"})
        assert await ways(house, reply) == ["", "replay"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_comment_goes_out_while_somebody_is_looked_for(protocol: Protocol) -> None:
    async with gateway_theatre("cut after=20", "delay 500ms", speaks=protocol, **WHOLE) as house:
        async with house.visit(protocol) as visitor:
            await visitor.read_head()
            await visitor.read_until(b": still waiting\n\n")
            assert b"[DONE]" not in visitor.body
            assert b"message_stop" not in visitor.body
            reply = await visitor.read_rest()
        assert is_whole(reply)
