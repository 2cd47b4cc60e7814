"""The head of a response, and the life of its connection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from tests.faults.raw import Client, play, stream
from understudy.faults import TEXT, FaultProvider, ScriptError
from understudy.faults.heads import GARBAGE


async def test_more_headers_also_with_dates() -> None:
    answer = await play(
        "header x-ratelimit-remaining-requests=0 anthropic-ratelimit-tokens-reset=rfc3339:+30s"
    )
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    reset = datetime.fromisoformat(answer.headers["anthropic-ratelimit-tokens-reset"])
    assert 28 < (reset - datetime.now(UTC)).total_seconds() < 31
    assert answer.text == TEXT


async def test_a_header_may_repeat_and_goes_with_every_reply() -> None:
    answer = await play("429 + header set-cookie=a set-cookie=b x-two=2")
    assert answer.head.count(b"set-cookie: ") == 2
    assert answer.headers["x-two"] == "2"


def test_a_header_value_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ScriptError, match="'header': x is 'date:soon'"):
        FaultProvider("header x=date:soon")


async def test_a_header_of_a_size() -> None:
    assert len((await play("big-header 64KiB")).headers["x-big"]) == 65536


async def test_a_clock_that_is_wrong() -> None:
    date = parsedate_to_datetime((await play("skew -1h")).headers["date"])
    assert -3605 < (date - datetime.now(UTC)).total_seconds() < -3595


async def test_a_head_byte_by_byte() -> None:
    async with FaultProvider("slow-head every=1h", time_scale=1.0) as provider, Client(provider) as client:
        client.send()
        assert await client.reader.readexactly(1) == b"H"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.reader.readexactly(1)
    answer = await play("slow-head every=1s", time_scale=0.0001)
    assert answer.text == TEXT


async def test_interim_responses_come_first() -> None:
    async with FaultProvider("interim 103 times=2 + interim") as provider, Client(provider) as client:
        client.send()
        for line in (b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 103 Early Hints"):
            assert await client.reader.readuntil(b"\r\n\r\n") == line + b"\r\n\r\n"
        assert (await client.receive()).text == TEXT


async def test_bytes_that_are_no_http() -> None:
    for asked in (True, False):
        answer = await play("garbage", stream=asked)
        assert (answer.head, answer.body) == (b"", GARBAGE)


async def test_http10_ends_the_body_with_the_connection() -> None:
    answer = await stream("http10")
    assert answer.head.startswith(b"HTTP/1.0 200")
    assert "transfer-encoding" not in answer.headers
    assert answer.text == TEXT
    assert (await play("http10")).text == TEXT


@pytest.mark.parametrize(("script", "said"), [("close", "close"), ("http10", "close"), ("hang-up", None)])
async def test_the_connection_closes_with_or_without_a_word(script: str, said: str | None) -> None:
    async with FaultProvider(script) as provider, Client(provider) as client:
        answer = await client.ask()
        assert (answer.ending, answer.text) == ("end", TEXT)
        assert answer.headers.get("connection") == said
        assert await client.reader.read() == b""
        await provider.wait_for_connections(0)


async def test_a_kept_connection_can_be_dead_on_reuse_without_a_byte() -> None:
    async with FaultProvider("when reused cut after=request") as provider:
        async with Client(provider) as client:
            assert (await client.ask()).text == TEXT
            answer = await client.ask()
            assert (answer.ending, answer.head) == ("cut", b"")
        async with Client(provider) as client:
            assert (await client.ask()).text == TEXT
        assert [request.reused for request in provider.requests] == [False, True, False]
