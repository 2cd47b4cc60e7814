"""An Anthropic client before members of three formats: what is not taken, and clients that leave or dawdle.

What a member refuses for the request's sake goes to the client in Anthropic's shape, or to the next member.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anthropic
import pytest

from tests.e2e.gateway_theatre import Format, Protocol
from tests.e2e.mixed_pool import (
    MEMBERS,
    NAMES,
    OUT,
    check_answered,
    check_told,
    hear,
    mixed_pool,
    playing_at,
)
from tests.e2e.theatre import left_within_a_second
from understudy.faults import TEXT
from understudy.faults.wordings import WORDINGS
from understudy.gateway.conversation import COMMENT

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
PLACES = pytest.mark.parametrize("place", range(3), ids=MEMBERS)
CLIENT: Protocol = "anthropic"


# The request itself


SMALL, LARGE = {"context-limit": 8000}, {"context-limit": 9000}


async def test_f34_only_a_member_with_a_larger_window_is_asked() -> None:
    settings = {"lead": SMALL, "second": SMALL, "third": LARGE}
    async with mixed_pool("says anthropic-context", own_settings=settings) as house:
        heard = await hear(house, CLIENT)
        await check_answered(house, heard, "third", [("lead", "context_length")])
        assert await house.skips(heard.reply) == [("second", "context_length")]


@STREAM_AND_UNARY
async def test_f34_else_the_client_gets_the_first_members_own_words(streamed: bool) -> None:
    async with mixed_pool("says anthropic-context", member_settings=SMALL) as house:
        heard = await hear(house, CLIENT, stream=streamed)
        assert isinstance(heard.error, anthropic.BadRequestError)
        assert heard.reply.body == WORDINGS["anthropic-context"].body
        assert await house.skips(heard.reply) == [("second", "context_length"), ("third", "context_length")]
        assert (await house.stats())["circuit_breaker"]["failures"] == 0


# What members of each format refuse for the request's sake, the kind of it
REJECTED = [
    (("anthropic", "openai", "gemini"), "prefill", "invalid_request"),
    (("openai", "anthropic", "gemini"), "openai-filter", "content_filter"),
    (("openai", "anthropic", "gemini"), "azure-filter", "content_filter"),
    (("openai", "anthropic", "gemini"), "openrouter-moderation", "content_filter"),
    (("openai", "anthropic", "gemini"), "unknown-parameter", "invalid_request"),
    (("gemini", "anthropic", "openai"), "unknown-name", "invalid_request"),
]


@pytest.mark.parametrize(("speaks", "wording", "kind"), REJECTED)
@STREAM_AND_UNARY
async def test_f35_f63_what_blames_the_request_goes_to_the_client_in_its_own_shape(
    streamed: bool, speaks: Any, wording: str, kind: str
) -> None:
    async with mixed_pool(f"says {wording}", speaks=speaks) as house:
        heard = await hear(house, CLIENT, stream=streamed)
        assert isinstance(heard.error, anthropic.BadRequestError)
        assert (heard.reply.status, heard.reply.value["type"]) == (400, "error")
        said = WORDINGS[wording].value["error"]["message"]
        assert said[:40] in heard.reply.value["error"]["message"]
        await check_told(house, heard, [("lead", kind)])
        assert (await house.stats())["circuit_breaker"]["failures"] == 0


async def test_f63_a_fallback_that_rejects_the_request_is_recorded_and_the_next_one_asked() -> None:
    async with mixed_pool(OUT, "says unknown-parameter") as house:
        heard = await hear(house, CLIENT)
        await check_answered(house, heard, "third", [("lead", "auth"), ("second", "invalid_request")])


async def test_f35_after_a_content_filter_nobody_else_is_asked_and_the_first_cause_is_what_is_reported() -> (
    None
):
    async with mixed_pool(OUT, "says openai-filter") as house:
        heard = await hear(house, CLIENT)
        assert isinstance(heard.error, anthropic.InternalServerError)
        assert (heard.reply.status, heard.reply.value["error"]["code"]) == (502, "all_backends_failed")
        await check_told(house, heard, [("lead", "auth"), ("second", "content_filter")])


# Members of each format, and how they say that they cannot read what another one has signed
SIGNED = [
    (("anthropic", "openai", "gemini"), "thinking-signature"),
    (("gemini", "anthropic", "openai"), "thought-signature"),
    (("openai-responses", "anthropic", "gemini"), "encrypted-content"),
]


@pytest.mark.parametrize(("speaks", "wording"), SIGNED)
async def test_f63_who_cannot_read_what_is_signed_is_passed_over(speaks: Any, wording: str) -> None:
    async with mixed_pool(f"says {wording}", speaks=speaks) as house:
        heard = await hear(house, CLIENT)
        await check_answered(house, heard, "second", [("lead", "unfit")])


async def test_f63_a_member_that_does_not_know_stream_options_is_asked_once_more_without() -> None:
    async with mixed_pool(OUT, "when usage says stream-options") as house:
        heard = await hear(house, CLIENT)
        # So it tells no usage.
        await check_answered(house, heard, "second", [("lead", "auth")], tokens=None, requests={"second": 2})


@pytest.mark.parametrize("status", [400, 405, 413, 422])
async def test_f36_the_clients_own_mistake_keeps_its_status(status: int) -> None:
    async with mixed_pool(f"status {status} message='so not'") as house:
        heard = await hear(house, CLIENT)
        assert isinstance(heard.error, anthropic.APIStatusError)
        assert (heard.error.status_code, heard.reply.value["error"]["message"]) == (status, "so not")
        await check_told(house, heard, [("lead", "invalid_request")])


async def test_f37_the_users_own_rule_makes_a_400_a_server_error() -> None:
    rules = [{"status": 400, "match": "try again", "kind": "server_error"}]
    async with mixed_pool(OUT, "400 message='please try again later'", error_rules=rules) as house:
        heard = await hear(house, CLIENT)
        failed = [("lead", "auth"), *[("second", "server_error")] * 2]
        await check_answered(house, heard, "third", failed)


@PLACES
@pytest.mark.parametrize("occasion", ["stream", "unary"])
async def test_f67_a_refusal_of_one_shape_only_is_classed_like_any(occasion: str, place: int) -> None:
    streamed = occasion == "stream"
    async with mixed_pool(*playing_at(place, f"when {occasion} status 401")) as house:
        refused = await hear(house, CLIENT, stream=streamed)
        assert (NAMES[place], "auth") in await house.attempts(refused.reply)
        fine = await hear(house, CLIENT, stream=not streamed)
        assert (await house.attempts(fine.reply))[-1] == (NAMES[place], "success")


# Clients


@PLACES
@pytest.mark.parametrize(
    ("script", "streamed"),
    [("silence", True), ("silence after=preamble", True), ("stall after=20", True), ("silence", False)],
)
async def test_f64_a_client_that_leaves_is_seen_leaving_within_a_second(
    script: str, streamed: bool, place: int
) -> None:
    provider = NAMES[place]
    async with mixed_pool(*playing_at(place, script)) as house:
        async with house.visit(CLIENT, stream=streamed):
            (request,) = await house.providers[provider].wait_for_requests(1)
            await asyncio.sleep(0.05)
            left = time.monotonic()
        await left_within_a_second(house.providers[provider], request, left)
        member = await house.stats(provider)
        assert (member["cancelled"], member["failures"]) == (1, 0)
        assert (member["output_tokens"] > 0) is ("stall" in script), "what was sent has been paid for"
        assert [len(each.requests) for each in house.providers.values()][place + 1 :] == [0] * (2 - place)


@pytest.mark.parametrize("member", MEMBERS)
async def test_f65_a_clients_own_timeout_twenty_times_blames_nobody(member: Format) -> None:
    async with mixed_pool("silence", speaks=(member, "openai")) as house:

        async def impatient() -> None:
            async with house.visit(CLIENT):
                await house.lead.wait_for_requests(20)
                await asyncio.sleep(0.1)

        await asyncio.gather(*(impatient() for _ in range(20)))
        for request in house.lead.requests:
            await left_within_a_second(house.lead, request, time.monotonic())
        lead = await house.stats()
        assert (lead["cancelled"], lead["failures"], lead["bench_remaining_ms"]) == (20, 0, 0)
        assert lead["circuit_breaker"]["state"] == "closed"
        assert house.second.requests == []


LONG = 30_000


@pytest.mark.parametrize("place", [0, 2], ids=[MEMBERS[0], MEMBERS[2]])
async def test_f66_a_slow_reader_is_not_taken_for_a_member_that_stalls(place: int) -> None:
    """The client stands still for longer than the stall clock, while megabytes wait to be sent."""
    member = NAMES[place]
    async with (
        mixed_pool(*playing_at(place, f"tokens {LONG} + escape"), runs_out="stall") as house,
        house.visit(CLIENT) as visitor,
    ):
        await visitor.read_head()
        await visitor.read_until(b"content_block_delta")
        pieces = [visitor.body]
        await asyncio.sleep(0.5)
        (request,) = house.providers[member].requests
        assert request.finished is None, "the member waits for the client"
        while piece := await visitor.read_piece():
            pieces.append(piece)
            visitor.body = b""
        body = b"".join(pieces)
        assert body.count(b"event: content_block_delta") == LONG
        assert (body.count(b"event: message_start"), body.count(b"event: message_stop")) == (1, 1)
        stats = await house.stats(member)
        assert (stats["successes"], stats["by_kind"]) == (1, {})


# Signs of life


async def test_f74_comments_keep_a_stream_awake_and_two_failures_before_content_still_fail_over() -> None:
    async with mixed_pool(
        "silence", "delay 0.2s + status 500", "delay 0.1s", runs_out="timeout", comment_seconds=0.05
    ) as house:
        heard = await hear(house, CLIENT)
        comments = heard.reply.body.count(COMMENT)
        assert comments >= 6
        assert heard.reply.body.startswith(COMMENT * comments), "all of them before the first content"
        assert (heard.error, heard.text, heard.reply.model) == (None, TEXT, "third-model")
        assert [name for name, _ in await house.attempts(heard.reply)] == [
            "lead",
            "second",
            "second",
            "third",
        ]


async def test_f74_only_when_all_have_failed_does_a_stream_that_was_kept_awake_end_with_an_error() -> None:
    async with mixed_pool("delay 0.2s + status 500", OUT, "empty choices", comment_seconds=0.05) as house:
        reply = await house.ask(CLIENT, stream=True)
        assert (reply.status, reply.whole, reply.dones, reply.text) == (200, True, 0, "")
        (event,) = reply.events
        assert event.name == "error"
        assert [cause["backend"] for cause in event.value["error"]["causes"]] == [
            "lead", "lead", "second", "third", "third"
        ]  # fmt: skip
        heard = await hear(house, CLIENT)
        assert isinstance(heard.error, anthropic.APIStatusError)
        assert heard.error.body == heard.reply.events[-1].value
