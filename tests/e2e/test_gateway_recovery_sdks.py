"""Answers that break off and go on elsewhere, as the official SDKs read them.

To its client's SDK each is one valid answer: every event is of a type that the SDK declares and has its
place, its own accumulator makes of it what a member says that never broke off, and there is one usage. The
one that breaks off may speak the client's format, so that its bytes went out as they came, or another; so may
the one that goes on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.format_answers import Said
from tests.e2e.format_clients import CLIENTS, FORMATS, Client, How, ask, tools
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from tests.e2e.test_gateway_formats_answers import ENDS, THOUGHT
from understudy.faults import TEXT, TOKENS

SAME = {"model-identity": "understudy-1"}
PREFILLED = {**SAME, "supports": ["tools", "prefill"]}
WHOLE: dict[str, Any] = {
    "stream_recovery": "same_model",
    "stall_timeout_ms": 300,
    "failover_retry_delay_ms": 1,
    "circuit_breaker_enabled": False,
    "member_settings": SAME,
}
STREAMS = pytest.mark.parametrize("how", ["stream", "helper"])
FROM = pytest.mark.parametrize("client", CLIENTS)
TO = pytest.mark.parametrize("second", FORMATS)
BROKEN = pytest.mark.parametrize("first", FORMATS)

# After the first token, within the text, before its end
PLACES = (1, 34, 60)


async def ways(house: GatewayTheatre, client: Client) -> list[tuple[str, str]]:
    """Of the newest request: who went on, and how."""
    entry = await house.told(house.heard(_PROTOCOLS[client]).headers["x-request-id"])
    return [(step["backend"], step["recovery"]) for step in entry["trail"] if "recovery" in step]


_PROTOCOLS: dict[Client, Any] = {
    "openai": "openai",
    "openai-responses": "responses",
    "anthropic": "anthropic",
}


def check_whole(said: Said, client: Client) -> None:
    """As if nothing had happened."""
    assert (said.text, said.refusal, said.calls) == (TEXT, "", ())
    assert said.finish == ENDS[client]["whole"]
    assert said.model == "lead-model"


def check_bill(said: Said, house: GatewayTheatre, *, about: int = 0) -> None:
    """Not twice the prompt, and what was shown."""
    tokens_in, tokens_out, _ = said.usage
    assert tokens_in <= (house.lead.requests[0].prompt_size + 3) // 4 + 12
    assert abs(tokens_out - len(TOKENS)) <= about


@FROM
@BROKEN
@TO
@STREAMS
async def test_by_replay(how: How, second: Format, first: Format, client: Client) -> None:
    script = "; ".join(f"cut after={place}" for place in PLACES)
    async with patient_theatre(script, speaks=[first, second], **WHOLE) as house:
        for _ in PLACES:
            said = await ask(house, client, how)
            check_whole(said, client)
            check_bill(said, house, about=0 if first == second else 12)
            assert await ways(house, client) == [("second", "replay")]


@FROM
@BROKEN
@pytest.mark.parametrize("second", ["openai", "anthropic", "gemini"])
async def test_by_continuation(second: Format, first: Format, client: Client) -> None:
    options = {**WHOLE, "member_settings": PREFILLED}
    async with patient_theatre("cut after=40", speaks=[first, second], **options) as house:
        said = await ask(house, client, "stream")
        check_whole(said, client)
        check_bill(said, house, about=12)
        assert await ways(house, client) == [("second", "continuation")]


@FROM
@TO
@pytest.mark.parametrize("broken", ["stall after=30", "error after=30", "end after=30", "reset after=30"])
async def test_however_the_clients_own_format_breaks_off(broken: str, second: Format, client: Client) -> None:
    async with patient_theatre(broken, speaks=[client, second], **WHOLE) as house:
        check_whole(await ask(house, client, "stream"), client)


@FROM
@BROKEN
async def test_twice(first: Format, client: Client) -> None:
    async with patient_theatre(
        "cut after=20; fine", "cut after=40", speaks=[first, client], failover_retry_count=3, **WHOLE
    ) as house:
        check_whole(await ask(house, client, "stream"), client)
        assert await ways(house, client) == [("second", "replay"), ("lead", "replay")]


@FROM
@BROKEN
@TO
@pytest.mark.parametrize("place", [2, 20], ids=["in the thoughts", "in the text"])
async def test_with_thoughts_before_it(place: int, second: Format, first: Format, client: Client) -> None:
    """In the text what the second one thinks is not shown again."""
    scripts = f"reasoning 3 + cut after={place}", "reasoning 3"
    async with patient_theatre(*scripts, speaks=[first, second], **WHOLE) as house:
        said = await ask(house, client, "stream")
        check_whole(said, client)
        assert said.reasoning == THOUGHT
        assert said.order[:2] in ((), ("thought", "text")), "Gemini signs at its end"


@FROM
@BROKEN
@TO
async def test_a_held_tool_call_is_made_whole(second: Format, first: Format, client: Client) -> None:
    script = "tools 1 with-text"
    options = {**WHOLE, "hold_tool_calls": True}
    scripts = f"{script} + cut after=62", script
    async with patient_theatre(*scripts, speaks=[first, second], **options) as house:
        said = await ask(house, client, "stream", tools=tools(client))
        assert (said.text, said.finish) == (TEXT, ENDS[client]["called"])
        assert len(said.calls) == 1


@FROM
async def test_if_nobody_can_the_client_hears_when_to_come_back(client: Client) -> None:
    async with patient_theatre(
        "cut after=20; 429 retry-after=60", "429 retry-after=90", speaks=[client, client], **WHOLE
    ) as house:
        with suppress(openai.APIError, anthropic.APIError, AssertionError):  # OpenAI's SDK has no error there
            await ask(house, client, "stream")
        error = house.heard(_PROTOCOLS[client]).error
        assert error is not None
        assert error["message"].startswith("lead broke off after its first content")
        assert 50 < error["retry_after_s"] <= 60
