"""The edge, byte by byte: however a request is cut, it is read the same way.

What it refuses, and when, is in ``tests/e2e/test_gateway_bad_input.py``.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any, cast

import pytest
import trustme
import uvicorn

from tests.faults.raw import Client
from tests.gateway.house import chat, house, listening, speak
from understudy.faults import TEXT
from understudy.gateway import edge
from understudy.gateway.edge import EdgeProtocol

BODY = json.dumps(chat()).encode()
CHUNKS = b"".join(b"%x;x=y\r\n%b\r\n" % (len(half), half) for half in (BODY[:50], BODY[50:]))

LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
OFFER = b"connection: upgrade\r\nupgrade: h2c\r\n"


def post(headers: bytes, body: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n%b" % (path, headers, body)


RIGHT = {
    "a length": post(LENGTH, BODY),
    "chunks and a trailer": post(CHUNKED, CHUNKS + b"0\r\nx-trailer: y\r\n\r\n"),
    "an offer, a length": post(OFFER + LENGTH, BODY),
    "an offer, chunks and a trailer": post(OFFER + CHUNKED, CHUNKS + b"0\r\nx-trailer: y\r\n\r\n"),
    "empty lines before it": b"\r\n\r\n" + post(LENGTH, BODY),
}
WRONG = {
    "two hosts": post(b"host: y\r\n" + LENGTH, BODY),
    "two lengths": post(LENGTH + LENGTH, BODY),
    "a bad chunk": post(CHUNKED, b"5\r\nhello\r\nzz\r\n"),
    "a bad chunk after an offer": post(OFFER + CHUNKED, b"5\r\nhello\r\nzz\r\n"),
    "a bad coding after an offer": post(OFFER + b"transfer-encoding: x\r\n", BODY),
    "garbage": b"\x00\x01\x02\x03",
}


@dataclass
class Port:
    """All that a client wants to know of a server."""

    port: int


async def said_in_two(line: Client, data: bytes, at: int) -> None:
    """The pieces arrive apart, because the gateway gets its turn in between."""
    line.writer.write(data[:at])
    for _ in range(3):
        await asyncio.sleep(0)
    line.writer.write(data[at:])


@pytest.mark.parametrize("request_", RIGHT.values(), ids=RIGHT)
async def test_a_request_is_the_same_wherever_it_is_cut(request_: bytes) -> None:
    async with house() as open_house, open_house.line() as line:
        for at in range(0, len(request_) + 1, 3):
            await said_in_two(line, request_, at)
            answer = await line.receive()
            assert (answer.status, answer.text) == (200, TEXT), at
        bodies = [asked.body for asked in open_house.lead.requests]

    assert all(body == {**chat(), "model": "lead-model"} for body in bodies)


@pytest.mark.parametrize("request_", WRONG.values(), ids=WRONG)
async def test_so_is_a_refusal(request_: bytes) -> None:
    async with house() as open_house:
        for at in range(0, len(request_) + 1, 3):
            async with open_house.line() as line:
                await said_in_two(line, request_, at)
                answer = await line.receive()
                assert answer.status == 400, at
                assert answer.headers["connection"] == "close"
                assert await line.reader.read() == b""
        assert open_house.lead.requests == []


async def test_pieces_may_hold_several_requests() -> None:
    all_of_them = b"".join(RIGHT.values()) + post(LENGTH, BODY, b"/v1/messages")
    async with house() as open_house, open_house.line() as line:
        for size in (len(all_of_them), 1000, 333, 100):
            await speak(line, [all_of_them[at : at + size] for at in range(0, len(all_of_them), size)])
            answers = [await line.receive() for _ in range(len(RIGHT) + 1)]
            assert [answer.status for answer in answers] == [200] * len(answers)


async def test_a_refusal_can_be_read_over_tls() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(theirs)

    async with house(tls=ours) as open_house, open_house.line(theirs) as line:
        line.writer.write(RIGHT["a length"])
        assert (await line.receive()).text == TEXT
        line.writer.write(WRONG["two lengths"])
        assert (await line.receive()).status == 400


async def test_one_client_pays_for_its_own_refusal_only() -> None:
    async with house() as open_house, open_house.line() as line:
        assert (await open_house.say(WRONG["garbage"])).status == 400
        line.writer.write(RIGHT["a length"])
        assert (await line.receive()).text == TEXT


async def test_an_answer_that_has_begun_is_given_though_the_rest_of_its_request_is_wrong() -> None:
    begun, wrong = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far ", "more_body": True})
        begun.set()
        await wrong.wait()
        await send({"type": "http.response.body", "body": b"so good"})

    async with listening(application) as port, Client(cast(Any, Port(port))) as line:
        line.writer.write(post(CHUNKED, b""))
        await begun.wait()
        line.writer.write(b"zz\r\n")
        await asyncio.sleep(0.01)
        wrong.set()

        assert (await line.receive()).body == b"so far so good"
        assert await line.reader.read() == b""


def test_uvicorn_is_told_of_the_protocol_and_nothing_it_would_log() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        """Never called."""

    config = uvicorn.Config(cast(Any, application), **edge.options())
    config.load()

    assert config.http_protocol_class is EdgeProtocol
    assert config.ws_protocol_class is None
    assert (config.access_log, config.log_config, config.server_header) == (False, None, False)
    assert config.loaded_app is application  # No proxy's headers are believed.
