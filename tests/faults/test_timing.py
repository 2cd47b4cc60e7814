"""Late, slow, silent. The scripts' seconds are thousandths here."""

from __future__ import annotations

import time

import pytest

from tests.faults.raw import Client, play, stream
from understudy.faults import TEXT, FaultProvider


@pytest.mark.parametrize("asked", [True, False])
async def test_a_delay_is_late_and_then_fine(asked: bool) -> None:
    began = time.monotonic()
    answer = await play("delay 30s", stream=asked)
    assert time.monotonic() - began >= 0.03
    assert (answer.text, answer.ending) == (TEXT, "end")


async def test_a_delay_after_a_place_has_sent_everything_before_it() -> None:
    async with FaultProvider("delay 1h after=20") as provider, Client(provider) as client:
        client.send(stream=True)
        (request,) = await provider.wait_for_requests(1)
        data = await client.reader.readuntil(b'" line"')
        while request.tokens < 20:
            data += await client.reader.readuntil(b"}\n\n")
        assert request.tokens == 20
        assert request.finished is None


@pytest.mark.parametrize(
    ("script", "head", "events"),
    [
        ("silence 20s", b"", 0),
        ("silence 20s after=headers", b"HTTP/1.1 200 OK", 0),
        ("silence 20s after=preamble", b"HTTP/1.1 200 OK", 1),
        ("silence 20s after=5", b"HTTP/1.1 200 OK", 6),
        ("stall 20s", b"HTTP/1.1 200 OK", 21),
        ("silence 20s after=finish", b"HTTP/1.1 200 OK", 62),
        ("silence 20s after=done", b"HTTP/1.1 200 OK", 62),
    ],
)
async def test_silence_after_a_place_then_the_connection_closes(
    script: str, head: bytes, events: int
) -> None:
    answer = await stream(script)
    assert answer.ending == "cut"
    assert answer.head.startswith(head)
    assert len(answer.events) == events
    assert ("[DONE]" in answer.data) is script.endswith("done")


@pytest.mark.parametrize("asked", [True, False])
async def test_silence_without_a_time_lasts_until_the_client_leaves_and_that_is_seen(asked: bool) -> None:
    async with FaultProvider("silence") as provider:
        async with Client(provider) as client:
            client.send(stream=asked)
            (request,) = await provider.wait_for_requests(1)
            assert not request.settled
            left = time.monotonic()
        assert 0 <= await provider.wait_closed(request) - left < 1.0
        assert request.status is None


async def test_tokens_drip_with_a_pause_between_them() -> None:
    began = time.monotonic()
    answer = await stream("drip every=5s + tokens 7")
    assert time.monotonic() - began >= 6 * 0.005
    assert len(answer.events) == 1 + 7 + 1


async def test_a_drip_of_no_time_is_no_pause() -> None:
    assert (await stream("drip every=0", time_scale=1000.0)).text == TEXT


async def test_tokens_keep_a_pace() -> None:
    began = time.monotonic()
    assert (await stream("pace 0.2/s + tokens 7")).ending == "end"
    assert time.monotonic() - began >= 6 * 0.005
