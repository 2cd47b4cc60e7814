"""The faults once more through the gateway, in both protocols, stream and unary.

Three views of each: what the client got, byte by byte; what the providers' logs show; what the gateway
tells of breaker, metrics and trail. The rows are those of the library (`fault_rows`). Where client and
members speak the same format all of them are played, where they do not those that the formats could make a
difference to.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.fault_rows import (
    AFTER_CONTENT,
    BEFORE_CONTENT,
    TO_THE_CALLER,
    TOLERATED,
    AfterContent,
    BeforeContent,
    Tolerated,
)
from tests.e2e.gateway_theatre import (
    MEMBER_KEYS,
    PATHS,
    PROTOCOLS,
    GatewayTheatre,
    Protocol,
    Reply,
    asking,
    authorized,
    events_of,
    gateway_theatre,
    left_within_a_second,
    visit,
)
from tests.e2e.servers import Peer, serve
from understudy.faults import TEXT, TOKENS, closed_port
from understudy.faults.answers import ARGUMENTS
from understudy.faults.wordings import WORDINGS
from understudy.gateway.conversation import COMMENT

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
BOTH = pytest.mark.parametrize("protocol", PROTOCOLS)

SAME = [(protocol, protocol) for protocol in PROTOCOLS]
CROSSED: list[tuple[Protocol, Protocol]] = [("openai", "anthropic"), ("anthropic", "openai")]

# What two formats could make a difference to.
CROSSED_SCRIPTS = {
    "silence",
    "pings every=0.1s kind=event",
    "error after=preamble",
    "silence after=preamble",
    "reset after=headers",
    "malformed after=headers",
    "malformed",
    "error openai-quota after=0",
    "html 200",
    "status 429",
    "says anthropic-credit",
    "says openai-context",
    "empty null",
    "claim gzip",
    "stall after=20",
    "end after=40",
    "cut after=40",
    "error openai-overloaded after=20",
    "error openai-context after=20",
    "tools 1 + cut after=1",
    "tools 1 + malformed after=3",
    "malformed after=10",
    "as unary",
    "encoding gzip",
    "usage missing",
    "usage twice",
    "done data-after",
    "split 1",
    "surrogates",
    "sse lines=crlf",
    "redirect 307",
}

# In Messages an answer without choices has its proper ending all the same, so the breaker is not told.
ENDS_PROPERLY_IN_MESSAGES = ("empty choices", "empty done")


def _pairs(script: str) -> list[tuple[Protocol, Protocol]]:
    """Client's protocol and members' format."""
    return [*SAME, *CROSSED] if script in CROSSED_SCRIPTS else SAME


def _shapes(only: str) -> list[bool]:
    return [streamed for streamed in (True, False) if not only or (only == "stream") == streamed]


def _name(*facts: object) -> str:
    return "-".join(map(str, facts))


def _shape(streamed: bool) -> str:
    return "stream" if streamed else "unary"


# Before the first content


def _before_content() -> Iterator[Any]:
    for row in BEFORE_CONTENT:
        for client, members in _pairs(row.script) if row.fault not in TO_THE_CALLER else ():
            for streamed in _shapes(row.only):
                name = _name(row, client, members, _shape(streamed))
                yield pytest.param(row, client, members, streamed, id=name)


@pytest.mark.parametrize(("row", "client", "members", "streamed"), list(_before_content()))
async def test_the_second_steps_in_and_the_client_notices_nothing(
    row: BeforeContent, client: Protocol, members: Protocol, streamed: bool
) -> None:
    counts = row.counts and not (members == "anthropic" and row.script in ENDS_PROPERLY_IN_MESSAGES)
    async with gateway_theatre(row.script, speaks=members) as house:
        reply = await house.ask(client, stream=streamed)
        # The client
        assert (reply.status, reply.error, reply.whole) == (200, None, True)
        assert (reply.text, len(reply.ids), reply.dones) == (TEXT, 1, int(streamed))
        assert (reply.model, reply.output_tokens) == ("second-model", len(TOKENS))
        assert reply.headers["x-understudy-backend"] == "second"
        assert reply.headers["x-understudy-model"] == "second-model"
        assert reply.headers["x-understudy-attempts"] == str(row.attempts + 1)
        # The providers
        assert len(house.lead.requests) == row.attempts
        assert len(house.second.requests) == 1
        # Breaker, metrics, trail
        assert await house.attempts(reply) == [("lead", row.kind)] * row.attempts + [("second", "success")]
        pool = await house.pool()
        lead = pool["backends"]["lead"]
        assert lead["by_kind"] == {row.kind: row.attempts}
        assert lead["circuit_breaker"]["failures"] == (row.attempts if counts else 0)
        assert (lead["failures"], lead["refused"]) == ((row.attempts, 0) if counts else (0, row.attempts))
        assert (pool["answered"], pool["failed"], pool["failed_over"]) == (1, 0, 1)
        await house.check_a_healthy_call_succeeds(client)


@BOTH
@STREAM_AND_UNARY
async def test_f01_a_refused_connection_fails_over_at_once(protocol: Protocol, streamed: bool) -> None:
    with closed_port() as port:
        async with gateway_theatre(
            speaks=protocol, urls={"lead": f"http://127.0.0.1:{port}/v1"}, failover_retry_delay_ms=5000
        ) as house:
            began = time.monotonic()
            reply = await house.ask(protocol, stream=streamed)
            assert time.monotonic() - began < 1
            assert reply.text == TEXT
            assert await house.attempts(reply) == [("lead", "connect"), ("second", "success")]


@BOTH
async def test_f22_one_500_is_retried_on_the_same_backend(protocol: Protocol) -> None:
    async with gateway_theatre("status 500; fine", speaks=protocol) as house:
        reply = await house.ask(protocol, stream=True)
        assert (reply.text, reply.model) == (TEXT, "lead-model")
        assert await house.attempts(reply) == [("lead", "server_error"), ("lead", "success")]
        assert house.second.requests == []


@BOTH
async def test_f25_a_short_retry_after_is_waited_out_and_a_long_one_is_not(protocol: Protocol) -> None:
    async with gateway_theatre("429 retry-after-ms=350; fine; 429 retry-after=60", speaks=protocol) as house:
        began = time.monotonic()
        reply = await house.ask(protocol, stream=True)
        assert time.monotonic() - began >= 0.35
        assert float(reply.headers["x-understudy-overhead-ms"]) < 200, "a wait is no work of ours"
        assert await house.attempts(reply) == [("lead", "rate_limited"), ("lead", "success")]
        reply = await house.ask(protocol, stream=True)
        assert await house.attempts(reply) == [("lead", "rate_limited"), ("second", "success")]
        lead = await house.stats()
        assert 58_000 < lead["bench_remaining_ms"] <= 60_000
        assert lead["circuit_breaker"]["failures"] == 0


@BOTH
async def test_f54_a_dead_kept_alive_connection_is_replaced_once_unseen(protocol: Protocol) -> None:
    async with gateway_theatre("fine; when reused cut after=request; fine", speaks=protocol) as house:
        await house.ask(protocol)
        reply = await house.ask(protocol)
        assert (reply.text, reply.headers["x-understudy-attempts"]) == (TEXT, "1")
        entry = await house.told(reply.headers["x-request-id"])
        assert entry["trail"][0]["reconnected"] is True
        assert len(house.lead.requests) == 3


@BOTH
@STREAM_AND_UNARY
async def test_f72_attempts_at_the_providers_are_the_attempts_that_are_told(
    protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre("status 503", "status 503", speaks=protocol, failover_retry_count=3) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.headers["x-understudy-attempts"]) == (502, "6")
        assert len(await house.attempts(reply)) == 6
        assert len(house.lead.requests) == len(house.second.requests) == 3


@BOTH
@pytest.mark.parametrize("members", CROSSED, ids=["openai then anthropic", "anthropic then openai"])
@pytest.mark.parametrize("fault", ["status 500", "silence after=preamble", "error openai-overloaded after=0"])
@STREAM_AND_UNARY
async def test_a_member_of_another_format_steps_in_unseen(
    fault: str, members: tuple[Protocol, Protocol], protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre(fault, speaks=members) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.error, reply.text) == (200, None, TEXT)
        assert (reply.dones, len(reply.ids), reply.model) == (int(streamed), 1, "second-model")
        assert reply.output_tokens == len(TOKENS)
        assert reply.finish == ("stop" if protocol == "openai" else "end_turn")
        assert [request.path for request in house.second.requests] == [PATHS[members[1]]]


@BOTH
@pytest.mark.parametrize("members", [*SAME, *CROSSED])
@STREAM_AND_UNARY
async def test_f38_when_all_are_empty_the_last_of_the_empty_answers_is_the_answer(
    members: tuple[Protocol, Protocol], protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre("empty blank", "empty blank", speaks=members) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.error, reply.text) == (200, None, "")
        assert (reply.dones, len(reply.ids), reply.model) == (int(streamed), 1, "second-model")
        assert (reply.finish, reply.output_tokens) == ("stop" if protocol == "openai" else "end_turn", 0)
        assert (await house.attempts(reply))[-1] == ("second", "refused")
        assert (await house.pool())["answered"] == 1


async def test_a_request_that_one_format_cannot_say_goes_to_a_member_whose_format_can() -> None:
    async with gateway_theatre(speaks=("anthropic", "openai")) as house:
        reply = await house.ask("openai", n=2)
        assert (reply.status, reply.model) == (200, "second-model")
        assert house.lead.requests == []


@BOTH
@STREAM_AND_UNARY
async def test_nothing_of_a_backends_head_reaches_the_client(protocol: Protocol, streamed: bool) -> None:
    extra = (
        "header set-cookie=session=1 x-ratelimit-remaining-tokens=9 openai-organization=org-1 server=theirs"
    )
    async with gateway_theatre(f"{extra}; 400 + {extra}", speaks=protocol) as house:
        for status in (200, 400):
            reply = await house.ask(protocol, stream=streamed)
            assert reply.status == status
            theirs = ("set-cookie", "x-ratelimit-remaining-tokens", "openai-organization", "server")
            assert not [name for name in theirs if name in reply.headers]


# After the first content


def _after_content() -> Iterator[Any]:
    for row in AFTER_CONTENT:
        for client, members in _pairs(row.script):
            yield pytest.param(row, client, members, id=_name(row, client, members))
    # In Messages the last event is the only one that says that this was all.
    for client in PROTOCOLS:
        row = AfterContent("F46", "done missing", "truncated")
        yield pytest.param(row, client, "anthropic", id=_name(row, client, "anthropic"))


@pytest.mark.parametrize(("row", "client", "members"), list(_after_content()))
async def test_the_client_hears_in_its_own_words_that_the_answer_broke_off(
    row: AfterContent, client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(row.script, speaks=members) as house:
        reply = await house.ask(client, stream=True)
        # The client
        assert (reply.status, reply.whole, reply.dones) == (200, True, 0)
        _check_broken_off(reply, row.kind)
        assert TEXT.startswith(reply.text)
        assert reply.text or reply.tools
        assert len(reply.ids) == 1
        # The providers
        (request,) = house.lead.requests
        assert house.second.requests == []
        if row.open_socket:
            await left_within_a_second(house.lead, request, request.arrived + 0.4)
        # Breaker, metrics, trail
        assert await house.attempts(reply) == [("lead", row.kind)]
        assert (await house.told(reply.headers["x-request-id"]))["status"] == "failed"
        lead = await house.stats()
        assert lead["by_kind"] == {row.kind: 1}
        assert lead["circuit_breaker"]["failures"] == int(row.counts)
        assert lead["output_tokens"] > 0, "what was sent has been paid for"
        await house.check_a_healthy_call_succeeds(client)


def _check_broken_off(reply: Reply, kind: str) -> None:
    """The last event is an error in the protocol's own shape, and nothing says that this was all."""
    *_, last = reply.events
    assert (last.name, last.value) == (
        ("message", {"error": reply.error})
        if reply.protocol == "openai"
        else (
            "error",
            {"type": "error", "error": reply.error, "request_id": reply.headers["x-request-id"]},
        )
    )
    assert reply.body.endswith(last.data.encode() + b"\n\n")
    assert reply.error is not None
    assert (reply.error["code"], reply.error["causes"][-1]["kind"]) == (kind, kind)
    assert isinstance(reply.error["type"], str)
    assert "broke off" in reply.error["message"]


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_f62_a_fallback_that_breaks_off_is_one_error_and_no_second_answer(
    client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre("status 401", "cut after=20", speaks=members) as house:
        reply = await house.ask(client, stream=True)
        _check_broken_off(reply, "truncated")
        assert (len(reply.ids), reply.model) == (1, "second-model")
        assert await house.attempts(reply) == [("lead", "auth"), ("second", "truncated")]


# Oddities that are no failures


def _tolerated() -> Iterator[Any]:
    for row in TOLERATED:
        for client, members in _pairs(row.script):
            for streamed in _shapes(row.only):
                if row.fault == "F46" and members == "anthropic":
                    continue  # there it is no oddity: see above
                name = _name(row, client, members, _shape(streamed))
                yield pytest.param(row, client, members, streamed, id=name)


@pytest.mark.parametrize(("row", "client", "members", "streamed"), list(_tolerated()))
async def test_an_oddity_is_no_failure(
    row: Tolerated, client: Protocol, members: Protocol, streamed: bool
) -> None:
    async with gateway_theatre(row.script, speaks=members) as house:
        reply = await house.ask(client, stream=streamed)
        assert (reply.status, reply.error, reply.whole) == (200, None, True)
        assert (reply.text, len(reply.ids), reply.dones) == (TEXT, 1, int(streamed))
        assert reply.model == "lead-model"
        assert reply.finish == ("stop" if client == "openai" else "end_turn")
        assert len(house.lead.requests) == (2 if row.fault == "F53" else 1)
        assert house.second.requests == []
        assert await house.attempts(reply) == [("lead", "success")]
        lead = await house.stats()
        assert (lead["successes"], lead["failures"], lead["circuit_breaker"]["failures"]) == (1, 0, 0)
        assert lead["malformed_events"] == int(row.fault == "F16")
        assert (lead["estimated"] > 0) is row.estimated
        assert row.estimated or lead["output_tokens"] == len(TOKENS) + ("surrogates" in row.script)
        await house.check_a_healthy_call_succeeds(client)


async def test_f35_an_azure_prelude_does_not_hide_the_model_from_an_anthropic_client() -> None:
    async with gateway_theatre("azure") as house:
        reply = await house.ask("anthropic", stream=True)
        assert reply.text == TEXT
        assert (reply.model, reply.ids) == ("lead-model", {"msg_chatcmpl-0000000001"})


@BOTH
@pytest.mark.parametrize(
    ("script", "plain"),
    [
        # The bytes of a healthy answer, however they were wrapped
        ("content-type text/plain", "fine"),
        ("encoding gzip", "fine"),
        ("encoding deflate", "fine"),
        ("split 1", "fine"),
        ("done twice", "fine"),
        ("done data-after", "fine"),
        ("sse lines=crlf", "fine"),
        ("sse lines=cr", "fine"),
        ("sse no-space comments fields bom", "fine"),
        ("malformed after=10", "fine"),
        ("pings every=0.01s times=3 after=10", "fine"),
        ("close", "fine"),
        # Its own bytes, whatever is in them
        ("usage missing", None),
        ("usage zero", None),
        ("usage twice", None),
        ("usage finish", None),
        ("escape", None),
        ("surrogates", None),
        ("tools 2 split=1 interleaved", None),
        ("tools 3 with-text", None),
        ("tools 1 arguments='{broken'", None),
        ("reasoning 20", None),
        ("finish length", None),
        ("finish content_filter", None),
        ("model another", None),
        ("pings every=0.01s times=3 kind=event after=10", None),
    ],
)
async def test_a_stream_in_the_clients_own_format_passes_byte_by_byte(
    script: str, plain: str | None, protocol: Protocol
) -> None:
    async with gateway_theatre(plain or script, speaks=protocol) as house:
        expected = await _asked_directly(house, protocol, stream=True)
        house.lead.set_script(script)
        reply = await house.ask(protocol, stream=True)
        assert _without_ids(reply.body) == _without_ids(expected)
        assert reply.headers["x-understudy-backend"] == "lead"


@BOTH
@pytest.mark.parametrize(
    "script",
    [
        "fine",
        "content-type text/plain",
        "encoding gzip",
        "usage missing",
        "usage zero",
        "escape",
        "surrogates",
        "tools 3 with-text",
        "tools 1 arguments='{broken'",
        "reasoning 20",
        "finish length",
        "model another",
    ],
)
async def test_a_unary_answer_in_the_clients_own_format_passes_byte_by_byte(
    script: str, protocol: Protocol
) -> None:
    plain = "fine" if script.startswith(("content-type", "encoding")) else script
    async with gateway_theatre(plain, speaks=protocol) as house:
        expected = await _asked_directly(house, protocol, stream=False)
        house.lead.set_script(script)
        reply = await house.ask(protocol)
        assert _without_ids(reply.body) == _without_ids(expected)


@BOTH
@STREAM_AND_UNARY
async def test_f41_four_megabytes_on_one_line_pass_too(protocol: Protocol, streamed: bool) -> None:
    async with gateway_theatre("big-event 4MB after=10", speaks=protocol) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.whole, reply.error) == (200, True, None)
        assert len(reply.text) == len(TEXT) + 4_000_000


async def _asked_directly(house: GatewayTheatre, protocol: Protocol, *, stream: bool) -> bytes:
    """What the lead answers without a gateway in between."""
    async with visit(house.lead.port, protocol) as visitor:
        body = json.dumps(asking(protocol, stream=stream, model="lead-model")).encode()
        await visitor.send("POST", PATHS[protocol], {}, body)
        await visitor.read_head()
        return (await visitor.read_rest()).body


def _without_ids(body: bytes) -> bytes:
    return re.sub(rb"(chatcmpl-|msg_)\d+", rb"\1", body)


@pytest.mark.parametrize(
    "script",
    [
        "fine",
        "usage always",
        "usage finish",
        "usage twice",
        "usage zero",
    ],
)
async def test_f44_an_openai_client_that_asked_for_no_usage_gets_no_event_without_choices(
    script: str,
) -> None:
    async with gateway_theatre(script) as house:
        reply = await house.ask("openai", stream=True, stream_options=None)
        assert (reply.text, reply.dones) == (TEXT, 1)
        assert house.lead.requests[0].body["stream_options"] == {"include_usage": True}, "to count"
        assert (await house.stats())["output_tokens"] == pytest.approx(len(TOKENS), rel=0.15)
        assert all(event.value["choices"] for event in reply.events[:-1])


@BOTH
async def test_f51_bytes_that_are_no_utf8_are_replaced_for_a_client_that_could_not_read_them(
    protocol: Protocol,
) -> None:
    for streamed in (True, False):
        async with gateway_theatre("invalid-utf8 after=10", speaks=protocol) as house:
            reply = await house.ask(protocol, stream=streamed)
            assert "\N{REPLACEMENT CHARACTER}" in reply.text


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_f47_a_connection_left_open_after_the_marker_is_an_answer_within_a_second(
    client: Protocol, members: Protocol
) -> None:
    after = "finish" if members == "openai" else "done"
    async with gateway_theatre(f"silence after={after}", speaks=members) as house:
        began = time.monotonic()
        reply = await house.ask(client, stream=True)
        assert time.monotonic() - began < 2
        assert (reply.error, reply.text, reply.dones, reply.whole) == (None, TEXT, 1, True)
        await left_within_a_second(house.lead, house.lead.requests[0], began + 1)


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
@pytest.mark.parametrize("script", ["tools 2 split=1 interleaved", "tools 3 split=2", "tools 1 + split 1"])
async def test_f48_tool_calls_are_put_together_byte_by_byte(
    script: str, client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(script, speaks=members) as house:
        reply = await house.ask(client, stream=True)
        assert (reply.error, reply.dones) == (None, 1)
        calls = list(reply.tools.values())
        assert calls == [(name, ARGUMENTS) for name in ("get_weather", "get_time", "get_news")[: len(calls)]]
        assert len(calls) == int(script.split()[1])
        assert reply.finish == ("tool_calls" if client == "openai" else "tool_use")


# Statuses


SMALL = {"context-limit": 8000}

# lead, second, status, code, the bounds of retry-after
DOWN: list[tuple[str, str, int, str, tuple[int, int] | None]] = [
    # Every reason a limit
    ("429 retry-after=60", "429 retry-after=30", 429, "rate_limited", (29, 30)),
    ("429 retry-after-ms=2500", "429 retry-after=30", 429, "rate_limited", (2, 3)),
    ("status 429", "status 429", 429, "rate_limited", None),
    ("says openai-quota", "says spend-limit", 429, "rate_limited", None),
    ("says anthropic-credit", "429 retry-after=30", 429, "rate_limited", None),  # the first may be asked now
    ("status 402", "status 402", 429, "rate_limited", None),
    ("error openai-rate-limit after=0", "error openai-quota after=0", 429, "rate_limited", None),
    # Every cause a timeout
    ("silence", "silence after=headers", 504, "timeout", None),
    # A mixture, and what is a backend's own affair
    ("429 retry-after=60", "503 retry-after=40", 502, "all_backends_failed", (39, 40)),
    ("503 retry-after=20", "503 retry-after=40", 502, "all_backends_failed", (19, 20)),
    ("429 retry-after=60", "status 500", 502, "all_backends_failed", None),
    ("silence", "status 500", 502, "all_backends_failed", None),
    ("status 401", "status 401", 502, "all_backends_failed", None),
    ("status 403", "says openai-model", 502, "all_backends_failed", None),
    ("status 404", "status 404", 502, "all_backends_failed", None),
    ("status 500", "status 401", 502, "all_backends_failed", None),
    ("garbage", "empty null", 502, "all_backends_failed", None),
    ("html 200", "html 502", 502, "all_backends_failed", None),
    # A later cause that blames the request decides nothing
    ("status 500", "status 400", 502, "all_backends_failed", None),
    ("status 429", "says openai-context", 502, "all_backends_failed", None),
]


@pytest.mark.parametrize(("client", "members"), SAME)
@pytest.mark.parametrize(("lead", "second", "status", "code", "retry_after"), DOWN)
async def test_f61_when_all_fail_the_status_follows_from_all_the_reasons(
    lead: str,
    second: str,
    status: int,
    code: str,
    retry_after: tuple[int, int] | None,
    client: Protocol,
    members: Protocol,
) -> None:
    async with gateway_theatre(lead, second, speaks=members, wait_for_capacity_ms=1) as house:
        began = time.monotonic()
        reply = await house.ask(client, stream=True)
        assert time.monotonic() - began < 2, "bounded"
        assert (reply.status, reply.is_stream) == (status, False)
        error = reply.error
        assert error is not None
        assert error["code"] == code
        assert {cause["backend"] for cause in error["causes"]} == {"lead", "second"}, "each is named"
        assert all(cause["backend"] in error["message"] for cause in error["causes"])
        _check_retry_after(reply, retry_after)
        asked = len(house.lead.requests) + len(house.second.requests)
        assert reply.headers["x-understudy-attempts"] == str(asked) == str(len(error["causes"]))
        assert (await house.told(reply.headers["x-request-id"]))["status"] == "failed"
        assert len(await house.attempts(reply)) == asked
        assert (await house.pool())["failed"] == 1


def _check_retry_after(reply: Reply, bounds: tuple[int, int] | None) -> None:
    told = reply.headers.get("retry-after")
    if bounds is None:
        assert told is None
    else:
        assert told is not None
        assert bounds[0] <= int(told) <= bounds[1]


@BOTH
@STREAM_AND_UNARY
async def test_f61_benched_members_are_429_and_open_circuits_503_without_being_asked(
    protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre("429 retry-after=60", "429 retry-after=30", speaks=protocol) as house:
        await house.ask(protocol, stream=streamed)
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.headers["x-understudy-attempts"]) == (429, "0")
        _check_retry_after(reply, (29, 30))
        assert await house.skips(reply) == [("lead", "benched"), ("second", "benched")]
        assert reply.error is not None
        assert [skip["skipped"] for skip in reply.error["skipped"]] == ["benched", "benched"]
    async with gateway_theatre(
        "status 500", "status 500", speaks=protocol, circuit_breaker_failure_threshold=1
    ) as house:
        assert (await house.ask(protocol, stream=streamed)).status == 502
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.headers["x-understudy-attempts"]) == (503, "0")
        _check_retry_after(reply, (1, 30))
        assert reply.error is not None
        assert reply.error["code"] == "no_backend_available"
        assert "All backends are currently unhealthy" in reply.error["message"]
        assert await house.skips(reply) == [("lead", "circuit_open"), ("second", "circuit_open")]
        assert len(house.lead.requests) + len(house.second.requests) == 2


@BOTH
async def test_f61_one_benched_and_one_unhealthy_are_503(protocol: Protocol) -> None:
    async with gateway_theatre(
        "429 retry-after=60", "status 500", speaks=protocol, circuit_breaker_failure_threshold=1
    ) as house:
        assert (await house.ask(protocol)).status == 502
        reply = await house.ask(protocol)
        assert reply.status == 503
        assert await house.skips(reply) == [("lead", "benched"), ("second", "circuit_open")]
        _check_retry_after(reply, (1, 30))


@BOTH
async def test_f61_limits_among_causes_and_skips_alike_are_429(protocol: Protocol) -> None:
    async with gateway_theatre("429 retry-after=60", "fine; says openai-quota", speaks=protocol) as house:
        assert (await house.ask(protocol)).status == 200
        reply = await house.ask(protocol)
        assert reply.status == 429
        assert await house.skips(reply) == [("lead", "benched")]
        assert await house.attempts(reply) == [("second", "quota")]


@BOTH
@STREAM_AND_UNARY
async def test_f61_the_deadline_is_504(protocol: Protocol, streamed: bool) -> None:
    async with gateway_theatre(
        "silence",
        "silence",
        speaks=protocol,
        timeout_ms=5000,
        unary_timeout_ms=5000,
        request_timeout_ms=300,
    ) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert reply.status == 504
        assert reply.error is not None
        assert reply.error["code"] == "deadline_exceeded"
        assert (await house.stats())["failures"] == 0, "its own time had not passed: not to blame"
        await left_within_a_second(house.lead, house.lead.requests[0], time.monotonic())


# By the first member asked, in a provider's own words: status, kind
REJECTED = [
    ("openai-context", 400, "context_length"),
    ("anthropic-context", 400, "context_length"),
    ("prefill", 400, "invalid_request"),
    ("openai-filter", 400, "content_filter"),
    ("azure-filter", 400, "content_filter"),
    ("openrouter-moderation", 400, "content_filter"),
]


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
@pytest.mark.parametrize(("wording", "status", "kind"), REJECTED)
async def test_f34_f35_f63_what_blames_the_request_goes_to_the_client_as_it_came(
    wording: str, status: int, kind: str, client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(f"says {wording}", speaks=members, member_settings=SMALL) as house:
        reply = await house.ask(client, stream=True)
        assert reply.status == status
        assert reply.error is not None
        if client == members and _is_worded_for(client, wording):
            assert reply.body == WORDINGS[wording].body
        else:
            assert reply.error["code"] == kind
            said = WORDINGS[wording].value["error"]["message"]
            assert said[:40] in reply.error["message"]
            assert ("type" in reply.value) is (client == "anthropic")
        assert await house.attempts(reply) == [("lead", kind)]
        assert house.second.requests == []
        assert (await house.stats())["circuit_breaker"]["failures"] == 0


def _is_worded_for(client: Protocol, wording: str) -> bool:
    """OpenAI's clients read every provider's error, Anthropic's only those that say that they are one."""
    return client == "openai" or "type" in WORDINGS[wording].value


@BOTH
@pytest.mark.parametrize("status", [400, 405, 413, 422])
@STREAM_AND_UNARY
async def test_f36_the_clients_own_mistake_keeps_its_status_and_its_words(
    status: int, protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre(f"status {status} message='so not'", speaks=protocol) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
        assert reply.error is not None
        assert reply.error["message"] == "so not"
        assert "causes" not in reply.error, "as it came"
        assert house.second.requests == []


@BOTH
async def test_f40_an_error_body_that_never_ends_is_left_alone(protocol: Protocol) -> None:
    async with gateway_theatre("flood 400", speaks=protocol, timeout_ms=20000) as house:
        reply = await house.ask(protocol, stream=True)
        assert reply.status == 400
        assert len(reply.body) < 10_000
        assert reply.error is not None
        assert reply.error["code"] == "invalid_request"


@BOTH
@pytest.mark.parametrize("occasion", ["stream", "unary"])
async def test_f67_a_refusal_of_one_shape_only_is_classed_like_any(occasion: str, protocol: Protocol) -> None:
    async with gateway_theatre(f"when {occasion} status 401", speaks=protocol) as house:
        refused = await house.ask(protocol, stream=occasion == "stream")
        assert await house.attempts(refused) == [("lead", "auth"), ("second", "success")]
        fine = await house.ask(protocol, stream=occasion != "stream")
        assert await house.attempts(fine) == [("lead", "success")]


# Secrets


KEY = MEMBER_KEYS["lead"]


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
@pytest.mark.parametrize(
    "script",
    [
        f"400 message='you sent {KEY}, which is not it'",
        f'400 body=\'{{"error": {{"message": "no: {KEY}"}}, "key": "{KEY}"}}\'',
        f"401 message='Incorrect API key provided: {KEY}'",
        f"500 message='x-api-key {KEY} is at its end'",
        f"html 200 + header x-echo={KEY}",
    ],
)
@STREAM_AND_UNARY
async def test_a_members_key_that_a_backend_echoes_is_masked(
    script: str, streamed: bool, client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(script, "status 401", speaks=members) as house:
        reply = await house.ask(client, stream=streamed)
        assert reply.status in (400, 502)
        assert KEY.encode() not in reply.body
        assert KEY not in str(reply.headers)
        assert KEY not in json.dumps(await house.told(reply.headers["x-request-id"]))
        assert KEY not in json.dumps(await house.pool())
        if "message" in script:
            assert b"***" in reply.body


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_a_members_key_in_an_error_after_content_is_masked(client: Protocol, members: Protocol) -> None:
    """Played by a server of our own: the provider's wordings hold no key of ours."""
    beginning: dict[Protocol, bytes] = {
        "openai": b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n',
        "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_a",'
        b'"model":"m","content":[]}}\n\nevent: content_block_delta\n'
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}\n\n',
    }
    ending = b'event: error\ndata: {"type":"error","error":{"message":"no such key: %b"}}\n\n' % KEY.encode()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await peer.send(beginning[members] + ending)

    async with serve(play) as server, gateway_theatre(speaks=members, urls={"lead": server.url}) as house:
        reply = await house.ask(client, stream=True)
        assert "Hello" in reply.text
        assert reply.error is not None
        assert "no such key: ***" in reply.error["message"]
        assert KEY.encode() not in reply.body
        assert KEY not in json.dumps(await house.told(reply.headers["x-request-id"]))


# Clients


@BOTH
async def test_f65_a_clients_own_timeout_twenty_times_blames_nobody(protocol: Protocol) -> None:
    async with gateway_theatre("silence", speaks=protocol, timeout_ms=20000) as house:

        async def impatient() -> None:
            async with house.visit(protocol):
                await asyncio.sleep(0.1)

        await asyncio.gather(*(impatient() for _ in range(20)))
        for request in house.lead.requests:
            await left_within_a_second(house.lead, request, time.monotonic())
        lead = await house.stats()
        assert (lead["cancelled"], lead["failures"], lead["bench_remaining_ms"]) == (20, 0, 0)
        assert lead["circuit_breaker"]["state"] == "closed"
        assert house.second.requests == []
        await house.check_a_healthy_call_succeeds(protocol)


PIECE = 16 * 1024
PIECES = 1400


@pytest.mark.parametrize(("client", "members"), [*SAME, CROSSED[1]])
async def test_f66_a_slow_reader_holds_the_backend_back_and_is_not_taken_for_a_stalled_one(
    client: Protocol, members: Protocol
) -> None:
    """The client stands still for far longer than the stall clock, while 22 MB wait to be sent."""
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        first, piece, last = _long_answer(members)
        await peer.send(first)
        for _ in range(PIECES):
            await peer.send(piece)
            sent += 1
        await peer.send(last)

    async with (
        serve(play) as server,
        gateway_theatre(speaks=members, urls={"lead": server.url}) as house,
        house.visit(client) as visitor,
    ):
        await visitor.read_head()
        await visitor.read_until(b"xxx")
        visitor.body = b""
        tracemalloc.start()
        try:
            await asyncio.sleep(0.8)
            held_back_at = sent
            received = 0
            while piece := await visitor.read_piece():
                received += piece.count(b"x")
                visitor.body = visitor.body[-10_000:]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held_back_at < PIECES, "the backend waits for the client"
        assert received > PIECE * (PIECES - 10)
        assert peak < 4_000_000, "what is on its way is bounded"
        assert visitor.body.endswith(b"data: [DONE]\n\n" if client == "openai" else b'"message_stop"}\n\n')
        lead = await house.stats()
        assert (lead["successes"], lead["by_kind"]) == (1, {})


def _long_answer(members: Protocol) -> tuple[bytes, bytes, bytes]:
    """The beginning of a stream, a piece of it, its end."""
    text = b"x" * PIECE
    if members == "openai":
        chunk = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
        first = chunk % (b'{"role":"assistant","content":"xxx"}', b"null")
        piece = chunk % (b'{"content":"%b"}' % text, b"null")
        return first, piece, chunk % (b"{}", b'"stop"') + b"data: [DONE]\n\n"
    delta = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n'
    )
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_a","content":[]}}\n\n'
    stop = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
    last = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    return start + delta % b"xxx", delta % text, stop + last


# Comments


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_f74_comments_keep_a_stream_awake_and_a_failure_before_content_still_fails_over(
    client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(
        "silence", "delay 0.2s", speaks=members, comment_seconds=0.05, timeout_ms=600
    ) as house:
        reply = await house.ask(client, stream=True)
        assert reply.status == 200
        comments = reply.body.count(COMMENT)
        assert comments >= 6, "while the one is silent and while the other is late"
        assert reply.body.startswith(COMMENT * comments), "all of them before the first content"
        assert (reply.error, reply.text, reply.dones, len(reply.ids)) == (None, TEXT, 1, 1)
        assert reply.model == "second-model"
        assert await house.attempts(reply) == [("lead", "timeout"), ("second", "success")]


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_f74_only_when_all_have_failed_does_a_stream_that_was_kept_awake_end_with_an_error(
    client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(
        "silence", "delay 0.05s + status 500", speaks=members, comment_seconds=0.05, timeout_ms=400
    ) as house:
        reply = await house.ask(client, stream=True)
        assert (reply.status, reply.whole, reply.dones, reply.text) == (200, True, 0, "")
        assert reply.body.startswith(COMMENT * 3)
        (event,) = reply.events
        assert event.name == ("error" if client == "anthropic" else "message")
        assert reply.error is not None
        assert reply.error["code"] == "all_backends_failed"
        assert [cause["kind"] for cause in reply.error["causes"]] == ["timeout", *["server_error"] * 2]
        assert (await house.told(reply.headers["x-request-id"]))["status"] == "failed"


@pytest.mark.parametrize(("client", "members"), [*SAME, *CROSSED])
async def test_f74_what_blames_the_request_is_named_in_a_stream_that_was_kept_awake(
    client: Protocol, members: Protocol
) -> None:
    async with gateway_theatre(
        "delay 0.15s + status 400 message='so not'", speaks=members, comment_seconds=0.05
    ) as house:
        reply = await house.ask(client, stream=True)
        assert (reply.status, reply.dones, reply.whole) == (200, 0, True)
        assert reply.error is not None
        assert (reply.error["code"], reply.error["type"]) == ("invalid_request", "invalid_request_error")
        assert "so not" in reply.error["message"]
        assert house.second.requests == []


@BOTH
async def test_f74_comments_never_get_into_an_answer_that_is_no_stream_or_is_quick(
    protocol: Protocol,
) -> None:
    async with gateway_theatre("delay 0.2s", speaks=protocol, comment_seconds=0.05) as house:
        assert (await house.ask(protocol)).text == TEXT
        house.lead.set_script("fine")
        assert COMMENT not in (await house.ask(protocol, stream=True)).body


@BOTH
async def test_f74_between_events_comments_are_sent_too(protocol: Protocol) -> None:
    async with gateway_theatre("delay 0.2s after=20", speaks=protocol, comment_seconds=0.05) as house:
        reply = await house.ask(protocol, stream=True)
        assert reply.body.count(COMMENT) >= 2
        plain = reply.body.replace(COMMENT, b"")
        assert len(events_of(plain)) == len(reply.events)
        assert (reply.text, reply.dones) == (TEXT, 1)


@BOTH
async def test_f74_a_client_that_leaves_while_it_is_kept_awake_ends_the_attempt(protocol: Protocol) -> None:
    async with (
        gateway_theatre("silence", speaks=protocol, comment_seconds=0.02, timeout_ms=20000) as house,
        house.visit(protocol) as visitor,
    ):
        await visitor.read_head()
        await visitor.read_until(COMMENT * 2)
        left = time.monotonic()
        visitor.leave()
        await left_within_a_second(house.lead, house.lead.requests[0], left)
        lead = await house.stats()
        assert (lead["cancelled"], lead["failures"]) == (1, 0)
        assert house.second.requests == []


async def test_authorized_clients_only_reach_a_backend() -> None:
    async with gateway_theatre() as house:
        reply = await house.ask("openai", headers=authorized("openai", "client-key-of-mallory"))
        assert (reply.status, house.lead.requests) == (401, [])
