"""One request, however it comes in over ASGI, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from understudy.gateway.http import (
    LONGEST_VALUE,
    ClientLeft,
    HttpError,
    Message,
    Request,
    answer,
    answer_json,
    header_value,
    no_route,
)

Given = Sequence[tuple[bytes, bytes]]


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


class Line:
    """What comes in, message by message, and what goes out. After the last message nothing comes."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []
        self.reads = 0

    async def receive(self) -> Message:
        self.reads += 1
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def request(self, path: str = "/", headers: Given = (), method: str = "POST") -> Request:
        return Request({"method": method, "path": path, "headers": list(headers)}, self.receive)


def request(path: str = "/", headers: Given = ()) -> Request:
    return Line().request(path, headers)


# Paths and headers


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/v1/models", "/models"),
        ("/models", "/models"),
        ("/models/", "/models"),
        ("/v1/models//", "/models"),
        ("/v1/v1/models", "/models"),
        ("/v1", "/v1"),
        ("/v1/", "/"),
        ("/v11/models", "/v11/models"),
        ("/x/v1/models", "/x/v1/models"),
        ("/", "/"),
        ("//", "/"),
        ("", "/"),
    ],
)
def test_a_path_is_the_same_with_and_without_version_and_slash(path: str, plain: str) -> None:
    assert request(path).path == plain


def test_it_shows_what_is_asked_and_not_by_whom() -> None:
    asked = request("/v1/models", [(b"authorization", b"Bearer key")])

    assert repr(asked) == "<Request POST /models>"


def test_headers_are_text_where_text_is_wanted() -> None:
    asked = request(headers=[(b"anthropic-beta", b"caf\xe9"), (b"x", b"y")])

    assert asked.header(b"anthropic-beta") == "café"
    assert asked.header(b"accept") is None
    assert asked.passed_on(("anthropic-beta", "anthropic-version")) == {"anthropic-beta": "café"}
    assert asked.passed_on(()) == {}


@pytest.mark.parametrize(
    "name", [b"authorization", b"x-api-key", b"content-type", b"content-length", b"host"]
)
def test_a_header_that_decides_comes_once(name: bytes) -> None:
    asked = request(headers=[(name, b"a"), (b"x", b"y"), (name, b"a")])

    with pytest.raises(HttpError, match=f"{name.decode()} came more than once") as caught:
        asked.check_headers()
    assert (caught.value.status, caught.value.code) == (400, "duplicate_header")


def test_other_headers_may_come_again() -> None:
    request(headers=[(b"accept", b"a"), (b"accept", b"b"), (b"host", b"x")]).check_headers()
    request(headers=[(b"accept", b"a"), (b"host", b"x")]).check_headers()


@pytest.mark.parametrize(
    ("path", "headers", "is_anthropic"),
    [
        ("/v1/messages", [], True),
        ("/messages/count_tokens", [], True),
        ("/v1/models", [(b"anthropic-version", b"2023-06-01")], True),
        ("/v1/models", [], False),
        ("/v1/chat/completions", [], False),
    ],
)
def test_its_id_is_where_each_protocols_clients_look_for_it(
    path: str, headers: Given, is_anthropic: bool
) -> None:
    asked = request(path, headers)
    asked.id = "req_1"

    assert asked.is_anthropic is is_anthropic
    assert asked.id_headers == [
        (b"x-request-id", b"req_1"),
        *([(b"request-id", b"req_1")] if is_anthropic else []),
    ]


# Bodies


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"whole")],
        [piece(b"wh", more=True), piece(b"", more=True), piece(b"ole")],
        [piece(b"whole", more=True), piece(b"")],
        [{"type": "http.request", "more_body": True}, piece(b"whole")],
        [{"type": "http.request", "body": b"whole"}],
    ],
)
async def test_a_body_is_read_in_whole(messages: list[Message]) -> None:
    line = Line(*messages)

    assert await line.request().body(100) == b"whole"
    assert line.reads == len(messages)


async def test_who_leaves_while_sending_is_gone() -> None:
    with pytest.raises(ClientLeft):
        await Line(piece(b"wh", more=True), GONE).request().body(100)


async def test_a_body_may_be_as_large_as_the_limit() -> None:
    assert await Line(piece(b"x" * 50, more=True), piece(b"x" * 50)).request().body(100) == b"x" * 100


async def test_a_body_is_read_no_further_than_its_limit() -> None:
    line = Line(*[piece(b"x" * 40, more=True)] * 9)

    with pytest.raises(HttpError, match="larger than 100 bytes") as caught:
        await line.request().body(100)
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")
    assert line.reads == 3


@pytest.mark.parametrize("length", [b"101", b"9" * 19, b"9" * 5000])
async def test_a_body_known_to_be_too_large_is_not_read(length: bytes) -> None:
    line = Line()

    with pytest.raises(HttpError, match="larger than 100 bytes"):
        await line.request(headers=[(b"content-length", length)]).body(100)
    assert line.reads == 0


@pytest.mark.parametrize("length", [b"100", b"5", b"0005", b"0" * 30 + b"5", b"", b"-1", b"five", b"\xb2"])
async def test_any_other_length_is_seen_when_the_body_is_there(length: bytes) -> None:
    line = Line(piece(b"whole"))

    assert await line.request(headers=[(b"content-length", length)]).body(100) == b"whole"


class HastyRequest(Request):
    piece_seconds = 0


async def test_each_piece_comes_in_time() -> None:
    line = Line(piece(b"wh", more=True))
    asked = HastyRequest({"method": "POST", "path": "/", "headers": []}, line.receive)

    with pytest.raises(HttpError, match="nothing more of the body came for 0 s") as caught:
        await asked.body(100)
    assert (caught.value.status, caught.value.code) == (408, "request_timeout")
    assert caught.value.headers == [(b"connection", b"close")]
    assert line.reads == 2


class DrippedRequest(Request):
    body_seconds = 0


async def test_and_the_whole_body_too() -> None:
    line = Line(piece(b"wh", more=True))
    asked = DrippedRequest({"method": "POST", "path": "/", "headers": []}, line.receive)

    with pytest.raises(HttpError, match="the whole body did not come within 0 s") as caught:
        await asked.body(100)
    assert (caught.value.status, caught.value.code) == (408, "request_timeout")
    assert line.reads == 2


# Answers


def test_a_route_that_is_not_there_is_named_in_short() -> None:
    error = no_route("/" + "x" * 1000)

    assert (error.status, error.code) == (404, "not_found")
    assert error.message == "there is no route /" + "x" * 199


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lead-model", b"lead-model"),
        ("", b""),
        ("a b, c", b"a b, c"),
        ("a\r\nx-evil: 1", b"a??x-evil: 1"),
        ("a\x00b\tc\x7f\x85", b"a?b?c??"),
        ("modèle\u2028\ud800", b"mod?le??"),
        ("🎭", b"?"),
        ("x" * LONGEST_VALUE + "y", b"x" * LONGEST_VALUE),
    ],
)
def test_what_becomes_a_header_is_one_short_line(text: str, value: bytes) -> None:
    assert header_value(text) == value


async def test_an_answer_goes_out_at_once() -> None:
    line = Line()
    await answer(line.send, 418, b"tea", [(b"x", b"y")], (b"content-type", b"text/plain"))

    assert line.sent == [
        {
            "type": "http.response.start",
            "status": 418,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"3"), (b"x", b"y")],
        },
        {"type": "http.response.body", "body": b"tea"},
    ]


@pytest.mark.parametrize("options", [{}, {"headers": [(b"x", b"y")], "status": 503}])
async def test_a_value_is_answered_as_json(options: dict[str, Any]) -> None:
    line = Line()
    asked = line.request()
    asked.id = "req_1"
    await answer_json(line.send, {"status": "alive"}, asked, **options)

    start, body = line.sent
    assert start["status"] == options.get("status", 200)
    assert start["headers"] == [
        (b"content-type", b"application/json"),
        (b"content-length", b"18"),
        (b"x-request-id", b"req_1"),
        *options.get("headers", []),
    ]
    assert body["body"] == b'{"status":"alive"}'
