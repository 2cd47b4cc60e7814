"""Mixed pools, and the ways to fail that each format has to itself, before each of the three SDKs.

Anthropic's error event, the failed response of OpenAI's Responses, Gemini's safety stops and calls that it
could not write, what Azure's content filter does; and tool calls, which every format says in its own way.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.gateway_theatre import Format, Protocol
from tests.e2e.mixed_pool import (
    CLIENTS,
    MEMBERS,
    NAMES,
    all_out_before,
    calls_of,
    check_answered,
    check_broken_off,
    check_told,
    check_whole,
    hear,
    mixed_pool,
    playing_at,
)
from understudy.faults import TEXT, TOKENS
from understudy.faults.answers import ARGUMENTS

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS, ids=[f"to {client}" for client in CLIENTS])
PLACES = pytest.mark.parametrize("place", range(3), ids=MEMBERS)

RESPONSES: tuple[Format, ...] = ("openai-responses", "gemini", "anthropic")
GEMINI: tuple[Format, ...] = ("gemini", "openai", "anthropic")
FILTERED: dict[Protocol, str] = {
    "anthropic": "refusal",
    "openai": "content_filter",
    "responses": "content_filter",
}


# Anthropic's error event


@EVERY_CLIENT
async def test_f19_an_overloaded_event_before_content_is_what_a_529_is(client: Protocol) -> None:
    for script in ("error anthropic-overloaded after=preamble", "says anthropic-overloaded"):
        async with mixed_pool(script) as house:
            heard = await hear(house, client)
            await check_answered(house, heard, "second", [("lead", "server_error")] * 2)
            assert (await house.stats())["circuit_breaker"]["failures"] == 2


@EVERY_CLIENT
@pytest.mark.parametrize("form", ["", " form=chunk"], ids=["named", "unnamed"])
async def test_f19_an_overloaded_event_after_content_ends_the_stream(client: Protocol, form: str) -> None:
    async with mixed_pool(f"error anthropic-overloaded after=20{form}") as house:
        heard = await hear(house, client)
        await check_broken_off(house, heard, [("lead", "server_error")])
        assert heard.text == "".join(TOKENS[:20])
        assert "Overloaded" in heard.reply.error["message"]  # type: ignore[index]


# The failed response of Responses

FORMS = pytest.mark.parametrize(
    "form", ["", " form=nested", " form=chunk"], ids=["as documented", "as sent", "failed alone"]
)


@EVERY_CLIENT
@FORMS
async def test_f20_a_response_that_fails_for_its_quota_before_content_is_not_asked_for_again(
    client: Protocol, form: str
) -> None:
    async with mixed_pool(f"error openai-quota after=preamble{form}", speaks=RESPONSES) as house:
        heard = await hear(house, client)
        await check_answered(house, heard, "second", [("lead", "quota")])
        assert (await house.stats())["circuit_breaker"]["failures"] == 1


@EVERY_CLIENT
@FORMS
async def test_f20_after_content_the_stream_ends_as_its_protocol_has_it(client: Protocol, form: str) -> None:
    async with mixed_pool(f"error openai-quota after=20{form}", speaks=RESPONSES) as house:
        heard = await hear(house, client)
        await check_broken_off(house, heard, [("lead", "quota")])
        assert heard.text == "".join(TOKENS[:20])


@EVERY_CLIENT
async def test_f20_a_unary_response_that_failed_is_not_asked_for_again(client: Protocol) -> None:
    async with mixed_pool("error openai-quota", speaks=RESPONSES) as house:
        heard = await hear(house, client, stream=False)
        await check_answered(house, heard, "second", [("lead", "quota")])


# Gemini

STOPS = ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"]


@EVERY_CLIENT
@pytest.mark.parametrize("reason", STOPS)
async def test_f35_a_safety_stop_is_the_answers_end_and_nobody_elses_turn(
    client: Protocol, reason: str
) -> None:
    async with mixed_pool(f"finish {reason} after=20", speaks=GEMINI) as house:
        heard = await hear(house, client)
        check_whole(heard, "lead", 20)
        assert heard.text == "".join(TOKENS[:20])
        assert heard.reply.finish == FILTERED[client]
        await check_told(house, heard, [("lead", "success")])
        assert (await house.stats())["circuit_breaker"]["failures"] == 0


@EVERY_CLIENT
@STREAM_AND_UNARY
async def test_f35_a_safety_stop_without_a_word_is_not_empty(client: Protocol, streamed: bool) -> None:
    async with mixed_pool("finish SAFETY after=0", speaks=GEMINI) as house:
        heard = await hear(house, client, stream=streamed)
        check_whole(heard, "lead", 0)
        assert (heard.text, heard.reply.finish) == ("", FILTERED[client])
        await check_told(house, heard, [("lead", "success")])


@EVERY_CLIENT
@STREAM_AND_UNARY
async def test_f35_a_prompt_that_gemini_blocks_is_the_clients_own_mistake(
    client: Protocol, streamed: bool
) -> None:
    async with mixed_pool("blocked SAFETY", speaks=GEMINI) as house:
        heard = await hear(house, client, stream=streamed)
        assert (heard.reply.status, heard.error.status_code) == (400, 400)
        error = heard.reply.error
        assert error is not None
        assert (error["type"], error["code"]) == ("invalid_request_error", "content_filter")
        assert "SAFETY" in error["message"]
        await check_told(house, heard, [("lead", "content_filter")])


# What Gemini plays instead of content, and what that is
NOTHING_SAID = [
    ("empty choices", "empty"),
    ("empty null", "empty"),
    ("tools 1 arguments='{broken'", "server_error"),
    ("finish MALFORMED_FUNCTION_CALL after=0", "server_error"),
    ("finish OTHER after=0", "server_error"),
    ("error gemini-overloaded after=0 form=bare", "server_error"),
    ("error gemini-overloaded after=0 form=chunk", "server_error"),
]


@EVERY_CLIENT
@pytest.mark.parametrize(("script", "kind"), NOTHING_SAID)
@STREAM_AND_UNARY
async def test_f38_where_gemini_has_nothing_to_say_the_next_member_answers(
    client: Protocol, streamed: bool, script: str, kind: str
) -> None:
    async with mixed_pool(script, speaks=GEMINI) as house:
        heard = await hear(house, client, stream=streamed)
        await check_answered(house, heard, "second", [("lead", kind)] * 2)


@EVERY_CLIENT
@pytest.mark.parametrize("script", ["finish MALFORMED_FUNCTION_CALL after=20", "error after=20 form=chunk"])
async def test_a_call_that_gemini_could_not_write_after_content_is_an_error(
    client: Protocol, script: str
) -> None:
    async with mixed_pool(script, speaks=GEMINI) as house:
        heard = await hear(house, client)
        await check_broken_off(house, heard, [("lead", "server_error")])
        assert heard.text == "".join(TOKENS[:20])


# Azure


# Azure speaks either of OpenAI's formats.
AZURES: list[tuple[Protocol, Format]] = [
    ("anthropic", "openai"),
    ("anthropic", "openai-responses"),
    ("openai", "openai-responses"),
    ("responses", "openai"),
    ("responses", "openai-responses"),
]
EVERY_AZURE = pytest.mark.parametrize(("client", "lead"), AZURES)


@EVERY_AZURE
@STREAM_AND_UNARY
async def test_f35_what_azures_filter_tells_beside_an_answer_disturbs_no_client(
    client: Protocol, lead: Format, streamed: bool
) -> None:
    async with mixed_pool("azure", speaks=(lead, "gemini", "anthropic")) as house:
        heard = await hear(house, client, stream=streamed)
        await check_answered(house, heard, "lead")


async def test_f35_azures_first_event_comes_as_it_is_to_a_client_of_chat() -> None:
    """Without an id, a type and choices, which OpenAI's SDK passes on as they are."""
    async with mixed_pool("azure", speaks=("openai", "gemini", "anthropic")) as house:
        asked: Any = {"model": "evening", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        first, *rest = [chunk async for chunk in await house.openai.chat.completions.create(**asked)]
        assert (first.id, first.choices, first.prompt_filter_results[0]["prompt_index"]) == ("", [], 0)
        assert "".join(choice.delta.content or "" for chunk in rest for choice in chunk.choices) == TEXT


@EVERY_AZURE
@pytest.mark.parametrize("said", [0, 20])
async def test_f35_azures_filter_in_the_middle_is_the_answers_end(
    client: Protocol, lead: Format, said: int
) -> None:
    script = f"azure + finish content_filter after={said}"
    async with mixed_pool(script, speaks=(lead, "gemini", "anthropic")) as house:
        heard = await hear(house, client)
        check_whole(heard, "lead", said)
        assert (heard.text, heard.reply.finish) == ("".join(TOKENS[:said]), FILTERED[client])
        await check_told(house, heard, [("lead", "success")])


@EVERY_CLIENT
@pytest.mark.parametrize("lead", ["openai", "openai-responses"])
async def test_f35_a_prompt_that_azure_filters_is_the_clients_own_mistake(
    client: Protocol, lead: Format
) -> None:
    async with mixed_pool("says azure-filter", speaks=(lead, "gemini", "anthropic")) as house:
        heard = await hear(house, client)
        assert (heard.reply.status, heard.error.status_code) == (400, 400)
        assert heard.reply.error is not None
        assert heard.reply.error["code"] == "content_filter"
        await check_told(house, heard, [("lead", "content_filter")])


# Tool calls

TWO = ["get_weather", "get_time"]
# Only Gemini says arguments as a value, which has no spelling of its own.
COMPACT = json.dumps(json.loads(ARGUMENTS), separators=(",", ":"), ensure_ascii=False)


@EVERY_CLIENT
@PLACES
async def test_f48_tool_calls_of_whoever_steps_in_are_put_together_byte_by_byte(
    client: Protocol, place: int
) -> None:
    script = "tools 2 split=1 interleaved + split 1"
    async with mixed_pool(*playing_at(place, script)) as house:
        heard = await hear(house, client)
        check_whole(heard, NAMES[place], None)
        said = COMPACT if MEMBERS[place] == "gemini" else ARGUMENTS
        assert list(heard.reply.tools.values()) == [(name, said) for name in TWO]
        value = json.loads(ARGUMENTS) if client == "anthropic" else said
        assert calls_of(heard.whole) == [(name, value) for name in TWO]
        await check_told(house, heard, [*all_out_before(place), (NAMES[place], "success")])


@EVERY_CLIENT
@PLACES
async def test_f48_whole_tool_calls_of_whoever_steps_in_say_the_same(client: Protocol, place: int) -> None:
    async with mixed_pool(*playing_at(place, "tools 2")) as house:
        heard = await hear(house, client, stream=False)
        check_whole(heard, NAMES[place], None)
        calls = [
            (name, value if client == "anthropic" else json.loads(value))
            for name, value in calls_of(heard.whole)
        ]
        assert calls == [(name, json.loads(ARGUMENTS)) for name in TWO]


CUTS = ["tools 1 + cut after=1", "tools 1 + cut after=4", "tools 1 + end after=4", "tools 1 + reset after=4"]


@EVERY_CLIENT
@pytest.mark.parametrize("place", [0, 1], ids=MEMBERS[:2])
@pytest.mark.parametrize("script", CUTS)
async def test_f49_a_tool_call_that_is_cut_is_an_error_and_never_without_arguments(
    client: Protocol, place: int, script: str
) -> None:
    async with mixed_pool(*playing_at(place, script)) as house:
        heard = await hear(house, client)
        await check_broken_off(house, heard, [*all_out_before(place), (NAMES[place], "truncated")])
        ((name, arguments),) = heard.reply.tools.values()
        assert name == "get_weather"
        assert ARGUMENTS.startswith(arguments)
        assert (arguments == "") is ("after=1" in script)
        assert heard.reply.finish is None


@EVERY_CLIENT
@pytest.mark.parametrize(("script", "kind"), [(CUTS[1], "reset"), (CUTS[2], "empty"), (CUTS[3], "reset")])
async def test_f49_gemini_says_a_tool_call_whole_or_not_at_all(
    client: Protocol, script: str, kind: str
) -> None:
    async with mixed_pool(script, speaks=GEMINI) as house:
        heard = await hear(house, client)
        await check_answered(house, heard, "second", [("lead", kind)] * 2)


@EVERY_CLIENT
@PLACES
async def test_f49_half_a_unary_answer_with_a_tool_call_is_none(client: Protocol, place: int) -> None:
    async with mixed_pool(
        *playing_at(place, "tools 1 + end after=4"), "fine", speaks=[*MEMBERS, "openai"]
    ) as house:
        heard = await hear(house, client, stream=False)
        check_whole(heard, ("second", "third", "fourth")[place], len(TOKENS))
        assert (heard.text, calls_of(heard.whole)) == (TEXT, [])
        assert (NAMES[place], "protocol") in await house.attempts(heard.reply)


@EVERY_CLIENT
@pytest.mark.parametrize("place", [0, 1], ids=MEMBERS[:2])
@STREAM_AND_UNARY
async def test_f50_arguments_that_are_no_json_are_passed_on(
    client: Protocol, place: int, streamed: bool
) -> None:
    async with mixed_pool(*playing_at(place, """tools arguments='{"city": '""")) as house:
        reply = await house.ask(client, stream=streamed)
        assert (reply.status, reply.error, reply.dones) == (200, None, int(streamed))
        if streamed:
            assert reply.tools == {0: ("get_weather", '{"city": ')}
        else:
            assert json.dumps('{"city": ').encode() in reply.body, "as they are, not as what they might be"
        assert (await house.stats(NAMES[place]))["successes"] == 1


def test_f50_gemini_is_played_above() -> None:
    """Its arguments are a value: what would be no JSON is a call that it could not write."""
    assert any("arguments=" in script for script, _ in NOTHING_SAID)


@EVERY_CLIENT
@PLACES
async def test_a_failure_before_a_tool_call_leaves_nothing_of_it_behind(client: Protocol, place: int) -> None:
    """The preamble had come; the next member says a text."""
    speaks: list[Any] = [MEMBERS[place], *(spoken for spoken in MEMBERS if spoken != MEMBERS[place])]
    async with mixed_pool("tools 1 + end after=preamble", speaks=speaks) as house:
        heard = await hear(house, client)
        await check_answered(house, heard, "second", [("lead", "empty")] * 2)
        assert heard.reply.tools == {}
