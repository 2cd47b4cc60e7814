"""Whatever a client sends, it gets a clear refusal in its protocol's shape or the right answer; the gateway
is well afterwards, and nothing of bodies or keys is in the log.

The bytes are sent over bare sockets to a running gateway. Limits that are long are shortened.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.e2e.servers import Peer, serve
from tests.faults.raw import Answer, Client
from tests.gateway.house import KEY, PROFILE, House, chat, house
from understudy.faults import TEXT
from understudy.gateway.edge import EdgeProtocol
from understudy.gateway.http import Request

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BOTH = pytest.mark.parametrize("path", [CHAT, MESSAGES])

AUTHORIZATION = f"authorization: Bearer {KEY}\r\n"
HOST = "host: x\r\n"
SECRET = "what-is-said-stays-between-us"
HIDDEN = (SECRET, KEY, "upstream-lead", "upstream-second")

CHUNKED = "transfer-encoding: chunked"

KB, MB = 1024, 1024 * 1024


class HastyEdge(EdgeProtocol):
    """A head must be complete within a moment, and nobody is listened to for longer after a refusal."""

    head_seconds = 0.2
    linger_seconds = 0.2


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    for name in ("", "understudy", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    yield
    for record in caplog.get_records("call"):
        said = logging.Formatter().format(record)
        assert not [secret for secret in HIDDEN if secret in said]
        assert record.exc_info is None, said


@asynccontextmanager
async def gateway(script: str = "fine", **options: Any) -> AsyncIterator[House]:
    """A gateway with client keys that is well when it is left."""
    async with house(script, keys=f"alice={KEY}", **options) as opened:
        yield opened
        opened.lead.set_script("fine")
        await opened.check_it_is_well()


def request(path: str, *lines: str, method: str = "POST", body: bytes = b"", length: bool = True) -> bytes:
    """A request with the key; `lines` are more headers."""
    if body and length:
        lines = (*lines, f"content-length: {len(body)}")
    head = [f"{method} {path} HTTP/1.1", "host: x", AUTHORIZATION.strip(), *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def get(path: str, *lines: str) -> bytes:
    return request(path, *lines, method="GET")


def asking(path: str = CHAT, *lines: str, **fields: Any) -> bytes:
    """A right request."""
    return request(path, *lines, body=json.dumps(chat(**fields)).encode())


def check_refusal(answer: Answer, status: int, code: str, *, path: str = CHAT) -> dict[str, Any]:
    """The error, in the shape of the path's protocol."""
    assert (answer.status, answer.headers["content-type"], answer.ending) == (
        status,
        "application/json",
        "end",
    )
    error: dict[str, Any] = answer.json["error"]
    assert error["code"] == code
    assert error["message"]
    assert answer.json.get("type") == ("error" if path.startswith(MESSAGES) else None)
    return error


def parse(said: bytes) -> Answer:
    """A whole connection's bytes as one answer with a length."""
    head, _, body = said.partition(b"\r\n\r\n")
    answer = Answer(head, body, "end", [body])
    assert int(answer.headers["content-length"]) == len(body)
    return answer


# Bodies


def nested(levels: int, field: str = "messages") -> bytes:
    value = b"[" * levels + b"]" * levels
    return b'{"model": "evening", "messages": [{"role": "user", "content": "x"}], "%b": %b}' % (
        field.encode(),
        value,
    )


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"no JSON",
        b'{"model": "evening", "messages": [{"role": "user", "content": "' + SECRET.encode(),
        b'{"model": "evening", "messages": [], }',
        b'{"model": "evening" "messages": []}',
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b'[{"model": "evening"}]',
        b"\xff\xfe{\x00}\x00",
        b'{"model": "\xff"}',
        json.dumps(chat(model="\xe9"), ensure_ascii=False).encode("latin-1"),
        b"\xef\xbb\xbf" + json.dumps(chat()).encode(),
        json.dumps(chat()).encode("utf-16"),
        json.dumps(chat()).encode() + b"{}",
        b'{"model": "evening", "messages": NaN}',
        b"\x00",
        nested(100_000),
        nested(100_000, "metadata"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_what_is_no_json_object_is_refused(path: str, body: bytes) -> None:
    async with gateway() as open_house:
        answer = await open_house.post(path, body, AUTHORIZATION)

        check_refusal(answer, 400, "invalid_request", path=path)
        assert not open_house.lead.requests


@BOTH
@pytest.mark.parametrize("within", ["messages", "metadata"])
async def test_nesting_of_any_depth_is_served_or_refused(path: str, within: str) -> None:
    async with gateway() as open_house:
        for levels in (50, 200, 400, 600, 800, 850, 900, 925, 950, 975, 1000, 2000, 20_000):
            answer = await open_house.post(path, nested(levels, within), AUTHORIZATION)
            assert answer.status in (200, 400), levels


@BOTH
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"model": ["evening"]}, "model"),
        ({"model": {"name": "evening"}}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": SECRET}, "messages"),
        ({"messages": [SECRET]}, "messages"),
        ({"messages": [None]}, "messages"),
        ({"messages": [[{"role": "user", "content": SECRET}]]}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream": {}}, "stream"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(path: str, fields: dict[str, Any], param: str) -> None:
    async with gateway() as open_house:
        answer = await open_house.post(path, chat(**fields), AUTHORIZATION)

        assert check_refusal(answer, 400, "invalid_request", path=path)["param"] == param


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", [], {}, True])
async def test_a_count_of_answers_is_a_whole_number(count: object) -> None:
    async with gateway() as open_house:
        answer = await open_house.post(CHAT, chat(n=count), AUTHORIZATION)

        assert check_refusal(answer, 400, "invalid_request")["param"] == "n"


@pytest.mark.parametrize("options", ["x", 7, [], {"include_usage": "yes"}])
async def test_options_of_the_wrong_type_are_refused(options: object) -> None:
    async with gateway() as open_house:
        answer = await open_house.post(CHAT, chat(stream_options=options), AUTHORIZATION)

        assert check_refusal(answer, 400, "invalid_request")["param"] == "stream_options"


@BOTH
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        r'"\ud800"',
        r'"a\u0000b"',
        r'"a\r\nx-evil: 1"',
        '"../../etc/passwd"',
        '"evening/../evening"',
        '"%2e%2e%2f"',
        '"Evening"',
        '"[a-"',
        '"{0}%s"',
    ],
)
async def test_an_unknown_model_is_not_found_whatever_its_name(path: str, model: str, stream: bool) -> None:
    async with gateway() as open_house:
        body = json.dumps(chat(model="?", stream=stream)).replace('"?"', model).encode()
        answer = await open_house.post(path, body, AUTHORIZATION)

        assert answer.status in (400, 404)
        assert answer.json["error"]["code"] in ("model_not_found", "invalid_request")
        assert b"\r\nx-evil" not in answer.head


@BOTH
async def test_a_model_name_of_a_megabyte_is_refused_at_once(path: str) -> None:
    async with gateway() as open_house, asyncio.timeout(2):
        answer = await open_house.post(path, chat(model="evenin" * (MB // 6)), AUTHORIZATION)

        assert answer.status in (400, 404)
        assert len(answer.body) < 1000


async def test_of_a_field_that_comes_twice_the_last_one_counts() -> None:
    async with gateway() as open_house:
        body = b'{"model": "nobody", "model": "evening", "messages": [{"role": "user", "content": "x"}]}'
        answer = await open_house.post(CHAT, body, AUTHORIZATION)

        assert answer.status == 200
        assert open_house.lead.requests[0].model == "lead-model"


# Large bodies


async def test_a_body_known_to_be_too_large_is_refused_before_it_comes() -> None:
    async with gateway() as open_house:
        answer = await open_house.say(request(CHAT, f"content-length: {50 * MB}"))

        check_refusal(answer, 413, "request_too_large")


async def test_a_client_that_sends_on_can_read_its_refusal_and_ask_again() -> None:
    async with gateway() as open_house, open_house.line() as line:
        line.writer.write(request(CHAT, f"content-length: {50 * MB}"))
        for _ in range(50):
            line.writer.write(b"x" * MB)
            await line.writer.drain()

        check_refusal(await line.receive(), 413, "request_too_large")
        line.writer.write(asking())
        assert (await line.receive()).text == TEXT


@BOTH
async def test_a_body_without_a_length_is_refused_once_it_is_too_large(path: str) -> None:
    async with gateway() as open_house, open_house.line() as line:
        open_house.gateway.conversations.body_limit = MB
        line.writer.write(request(path, "transfer-encoding: chunked"))
        for _ in range(20):
            line.writer.write(b"%x\r\n%b\r\n" % (128 * KB, b"x" * (128 * KB)))
            await line.writer.drain()

        check_refusal(await line.receive(), 413, "request_too_large", path=path)


async def test_a_body_at_the_limit_is_taken() -> None:
    async with gateway() as open_house:
        body = json.dumps(chat()).encode()
        open_house.gateway.conversations.body_limit = len(body)

        assert (await open_house.post(CHAT, body, AUTHORIZATION)).status == 200
        assert (await open_house.post(CHAT, body + b" ", AUTHORIZATION)).status == 413


async def test_nobody_is_given_leave_to_send_a_body_that_is_too_large() -> None:
    async with gateway() as open_house:
        head = request(CHAT, f"content-length: {50 * MB}", "expect: 100-continue")
        said = await open_house.hear(head)

        assert said.startswith(b"HTTP/1.1 413 ")
        assert parse(said).headers["connection"] == "close"


async def test_who_asks_for_leave_to_send_a_body_gets_it() -> None:
    async with gateway() as open_house, open_house.line() as line:
        whole = asking(CHAT, "expect: 100-continue")
        head, _, body = whole.partition(b"\r\n\r\n")
        line.writer.write(head + b"\r\n\r\n")
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.writer.write(body)
        assert (await line.receive()).text == TEXT
        line.writer.write(asking())
        assert (await line.receive()).text == TEXT


# Slowness


@BOTH
async def test_a_body_that_stops_is_refused_in_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "piece_seconds", 0.1)
    async with gateway() as open_house:
        said = await open_house.hear(request(path, "content-length: 100") + b'{"model": ')

        check_refusal(parse(said), 408, "request_timeout", path=path)


def halves(data: bytes, at: bytes) -> tuple[bytes, bytes]:
    head, found, rest = data.partition(at)
    return head, found + rest


async def drip(open_house: House, begin: bytes, data: bytes) -> bytes:
    """All that comes while this is said byte by byte after its begin."""
    async with open_house.line() as line, asyncio.timeout(5):
        heard = asyncio.ensure_future(line.reader.read())
        line.writer.write(begin)
        for byte in data:
            line.writer.write(bytes([byte]))
            await asyncio.wait({heard}, timeout=0.02)
            if heard.done():
                break
        return await heard


@BOTH
async def test_a_head_that_comes_byte_by_byte_is_refused_in_time(path: str) -> None:
    async with gateway(protocol=HastyEdge) as open_house:
        answer = parse(await drip(open_house, *halves(asking(path), b"host")))

        check_refusal(answer, 408, "request_timeout", path=path)


async def test_so_is_a_second_one_on_the_same_connection() -> None:
    async with gateway(protocol=HastyEdge) as open_house, open_house.line() as line:
        line.writer.write(asking())
        assert (await line.receive()).text == TEXT
        await asyncio.sleep(0.3)  # Between requests there is no hurry.
        line.writer.write(asking()[:40])
        check_refusal(await line.receive(), 408, "request_timeout")
        assert await line.reader.read() == b""


@pytest.mark.parametrize("said", [b"", b"\r\n\r\n"])
async def test_a_connection_that_says_nothing_is_closed_without_a_word(said: bytes) -> None:
    async with gateway(protocol=HastyEdge) as open_house:
        assert await open_house.hear(said) == b""


async def until_it_is_closed(line: Client, data: bytes) -> int:
    """Says this again and again; how often it could."""
    async with asyncio.timeout(5):
        for times in itertools.count():
            line.writer.write(data)
            await asyncio.sleep(0.01)
            if line.writer.transport.is_closing():
                return times
    raise AssertionError("unreachable")


async def test_who_goes_on_after_a_refusal_is_listened_to_for_a_moment_and_no_longer() -> None:
    async with gateway(protocol=HastyEdge) as open_house, open_house.line() as line:
        line.writer.write(b"\xff" * MB)
        check_refusal(await line.receive(), 400, "invalid_http")
        assert 5 < await until_it_is_closed(line, b"x" * 100 * KB) < 100


async def test_the_rest_of_a_body_is_read_until_the_keep_alive_ends() -> None:
    async with gateway(keep_alive=0.2) as open_house, open_house.line() as line:
        line.writer.write(request("/v1/nowhere", CHUNKED))
        check_refusal(await line.receive(), 404, "not_found")
        assert 5 < await until_it_is_closed(line, b"1\r\nx\r\n") < 100


@pytest.mark.parametrize("said", [b"\r\n", b""])
async def test_a_connection_is_kept_between_requests_until_the_keep_alive_ends(said: bytes) -> None:
    async with gateway(keep_alive=0.2) as open_house, open_house.line() as line:
        for _ in range(2):
            line.writer.write(asking())
            assert (await line.receive()).text == TEXT
            await asyncio.sleep(0.1)
            line.writer.write(said)
        async with asyncio.timeout(1):
            assert await line.reader.read() == b""


async def test_the_keep_alive_of_one_request_does_not_cut_the_next() -> None:
    async with gateway("fine; delay 0.5s", keep_alive=0.2) as open_house, open_house.line() as line:
        whole = asking()
        line.writer.write(whole + whole[:10])
        assert (await line.receive()).text == TEXT
        await asyncio.sleep(0.1)
        line.writer.write(whole[10:])
        assert (await line.receive()).text == TEXT


# Heads


def fill(size: int, lines: int = 90) -> list[str]:
    """Header lines of so many bytes in all, each with its line end."""
    each, rest = divmod(size, lines)
    names = [f"x-{number:02}: " for number in range(lines)]
    return [name + "y" * (each - len(name) - 2 + (rest if name == names[0] else 0)) for name in names]


@BOTH
@pytest.mark.parametrize("pieces", [1, 7, 70])
async def test_a_head_of_70_kilobytes_is_refused_in_however_many_pieces_it_comes(
    path: str, pieces: int
) -> None:
    async with gateway() as open_house:
        head = asking(path, *fill(70 * KB))
        size = len(head) // pieces + 1
        answer = await open_house.say(*(head[at : at + size] for at in range(0, len(head), size)))

        check_refusal(answer, 431, "headers_too_large", path=path)


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 200 * KB, b"GET / HTTP/1.1\r\nx: " + b"y" * 200 * KB])
async def test_a_line_that_does_not_end_is_refused_once_it_is_too_long(head: bytes) -> None:
    async with gateway() as open_house:
        answer = await open_house.say(*(head[at : at + 16 * KB] for at in range(0, len(head), 16 * KB)))

        check_refusal(answer, 431, "headers_too_large")


@pytest.mark.parametrize("pieces", [1, 5])
async def test_the_head_may_have_64_kilobytes(pieces: int) -> None:
    plain = len(get("/v1/models"))
    async with gateway() as open_house:
        for size, status in ((64 * KB, 200), (64 * KB + 1, 431)):
            head = get("/v1/models", *fill(size - plain))
            assert len(head) == size
            part = len(head) // pieces + 1
            answer = await open_house.say(*(head[at : at + part] for at in range(0, len(head), part)))
            assert answer.status == status


async def test_a_head_may_have_a_hundred_headers() -> None:
    async with gateway() as open_house:
        most = await open_house.say(get("/v1/models", *(f"x-{number}: y" for number in range(98))))
        answer = await open_house.say(get("/v1/models", *(f"x-{number}: y" for number in range(99))))

        assert most.status == 200
        check_refusal(answer, 431, "too_many_headers")


async def test_a_large_body_before_the_begin_of_a_head_is_not_taken_for_head() -> None:
    async with gateway() as open_house, open_house.line() as line:
        first = asking(messages=[{"role": "user", "content": "x" * 150 * KB}])
        second = get("/v1/models")
        line.writer.write(first + second[:20])
        assert (await line.receive()).text == TEXT
        line.writer.write(second[20:])
        assert (await line.receive()).status == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", 400),
        (HOST, 200),
        ("host:\r\n", 200),
        (HOST * 2, 400),
        ("host: a\r\nHost: b\r\n", 400),
    ],
)
async def test_there_is_one_host(lines: str, status: int) -> None:
    async with gateway() as open_house:
        answer = await open_house.say(f"GET /v1/models HTTP/1.1\r\n{AUTHORIZATION}{lines}\r\n".encode())

        assert answer.status == status
        if status == 400:
            check_refusal(answer, 400, "invalid_host")


async def test_two_keys_are_no_key() -> None:
    async with gateway() as open_house:
        answer = await open_house.say(get("/v1/models", "authorization: Bearer another"))

        check_refusal(answer, 400, "duplicate_header")


# Requests that can be read in two ways, and what is no request

AMBIGUOUS = {
    "two lengths": request(CHAT, "content-length: 2", "content-length: 3") + b"{}x",
    "the same length twice": request(CHAT, "content-length: 2", "content-length: 2") + b"{}",
    "two lengths in one": request(CHAT, "content-length: 2, 2") + b"{}",
    "a signed length": request(CHAT, "content-length: +2") + b"{}",
    "a negative length": request(CHAT, "content-length: -2") + b"{}",
    "a length in hexadecimal": request(CHAT, "content-length: 0x2") + b"{}",
    "an endless length": request(CHAT, "content-length: " + "9" * 30),
    "length, then chunks": request(CHAT, "content-length: 2", CHUNKED) + b"0\r\n\r\n",
    "chunks, then length": request(CHAT, CHUNKED, "content-length: 2") + b"0\r\n\r\n",
    "chunks that are not the last coding": request(CHAT, "transfer-encoding: chunked, identity")
    + b"0\r\n\r\n",
    "chunks twice": request(CHAT, CHUNKED, CHUNKED) + b"0\r\n\r\n",
    "identity": request(CHAT, "transfer-encoding: identity") + b"0\r\n\r\n",
    "an unknown coding": request(CHAT, "transfer-encoding: xchunked") + b"0\r\n\r\n",
    "a space before the colon": request(CHAT, "transfer-encoding : chunked") + b"0\r\n\r\n",
    "a chunk size that is none": request(CHAT, CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk size with 0x": request(CHAT, CHUNKED) + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": request(CHAT, CHUNKED) + b"-2\r\n{}\r\n0\r\n\r\n",
    "an endless chunk size": request(CHAT, CHUNKED) + b"f" * 17 + b"\r\n",
    "a chunk longer than its size": request(CHAT, CHUNKED) + b"1\r\n{}\r\n0\r\n\r\n",
    "a bare line feed after a chunk": request(CHAT, CHUNKED) + b"2\r\n{}\n0\r\n\r\n",
    "a folded header": request(CHAT, "x-long: a\r\n b"),
    "a bare line feed": request(CHAT).replace(b"host: x\r\n", b"host: x\n"),
    "line feeds only": get("/v1/models").replace(b"\r\n", b"\n"),
    "a bare carriage return": request(CHAT, "x: a\rb"),
    "a NUL in a value": request(CHAT, "x: a\x00b"),
    "a NUL in a name": request(CHAT, "x\x00: a"),
    "a header without a name": request(CHAT, ": a"),
    "a header without a colon": request(CHAT, "x"),
    "a space in the path": get("/v1/mod els"),
    "a tab in the path": get("/v1/mod\tels"),
    "bytes in the path": get("/v1/models/\xe4"),
    "NUL in the path": get("/v1/models/\x00"),
    "another version": get("/v1/models").replace(b"HTTP/1.1", b"HTTP/1.2"),
    "version 2": get("/v1/models").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "version 0.9": get("/v1/models").replace(b"HTTP/1.1", b"HTTP/0.9"),
    "no version": b"GET /v1/models\r\n\r\n",
    "the preface of version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in small letters": get("/v1/models").replace(b"GET", b"get"),
    "an unknown method": get("/v1/models").replace(b"GET", b"BREW-NOT"),
    "a tunnel": get("x:443").replace(b"GET", b"CONNECT"),
    "an unknown coding, with leave to send": request(CHAT, "expect: 100-continue", "transfer-encoding: x"),
    "an unknown coding, with an offer": request(
        CHAT, "connection: upgrade", "upgrade: h2c", "transfer-encoding: x"
    ),
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "garbage": b"\xff" * 100,
    "words": b"hello, is anybody there?\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_is_no_clear_request_is_refused_and_the_connection_closed(data: bytes) -> None:
    async with gateway() as open_house:
        said = await open_house.hear(data)

        check_refusal(parse(said), 400, "invalid_http")
        assert b"connection: close" in said
        assert not open_house.lead.requests


async def test_nothing_that_follows_a_refusal_is_read() -> None:
    async with gateway() as open_house:
        said = await open_house.hear(AMBIGUOUS["length, then chunks"] + asking(), asking())

        check_refusal(parse(said), 400, "invalid_http")
        assert not open_house.lead.requests


@BOTH
async def test_the_refusal_is_in_the_shape_of_the_protocol(path: str) -> None:
    async with gateway() as open_house:
        answer = parse(await open_house.hear(request(path, "x: a\x00b")))

        check_refusal(answer, 400, "invalid_http", path=path)


async def test_who_names_anthropics_version_is_refused_in_its_shape_on_any_path() -> None:
    async with gateway() as open_house:
        answer = parse(await open_house.hear(get("/v1/models", "anthropic-version: 2023-06-01", "host: y")))

        check_refusal(answer, 400, "invalid_host", path=MESSAGES)


# Trailers


def chunked(*lines: str, trailer: bytes = b"", path: str = CHAT) -> bytes:
    body = json.dumps(chat()).encode()
    head = "\r\n".join([f"POST {path} HTTP/1.1", "host: x", CHUNKED, *lines, "", ""]).encode()
    return head + b"%x;comment=x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)


async def test_a_trailer_is_no_header() -> None:
    async with gateway() as open_house:
        late = await open_house.say(chunked(trailer=AUTHORIZATION.encode()))
        twice = await open_house.say(
            chunked(AUTHORIZATION.strip(), trailer=b"authorization: x\r\nhost: y\r\n")
        )

        check_refusal(late, 401, "missing_api_key")
        assert twice.text == TEXT


@pytest.mark.parametrize("flood", [b"x: y\r\n" * 1000, b"x: " + b"y" * 6000])
async def test_trailers_without_end_are_refused(flood: bytes) -> None:
    async with gateway() as open_house:
        begun = chunked(AUTHORIZATION.strip())[:-2]
        said = await open_house.hear(begun, *[flood] * 20)

        check_refusal(parse(said), 431, "headers_too_large")


async def test_chunk_comments_without_end_are_refused() -> None:
    async with gateway() as open_house:
        said = await open_house.hear(request(CHAT, CHUNKED) + b"1;x=", *[b"y" * 6000] * 20)

        check_refusal(parse(said), 431, "headers_too_large")


async def test_a_body_in_thousands_of_tiny_chunks_is_taken() -> None:
    async with gateway() as open_house:
        body = json.dumps(chat(messages=[{"role": "user", "content": "x" * 150_000}])).encode()
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)

        assert (await open_house.say(request(CHAT, CHUNKED) + chunks + b"0\r\n\r\n")).text == TEXT


# Pipelines


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    async with gateway() as open_house, open_house.line() as line:
        line.writer.write(asking() + get("/v1/models") + asking(MESSAGES) + get("/v1/nowhere"))
        answers = [await line.receive() for _ in range(4)]

        assert [answer.status for answer in answers] == [200, 200, 200, 404]
        assert answers[0].text == TEXT


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "second",
    [
        b"\x00garbage\r\n\r\n",
        AMBIGUOUS["length, then chunks"],
        AMBIGUOUS["a NUL in a value"],
        get("/v1/models", "host: y"),
        get("/v1/models", *fill(70 * KB)),
    ],
    ids=["garbage", "ambiguous", "NUL", "hosts", "size"],
)
async def test_a_wrong_second_request_leaves_the_answer_to_the_first_alone(
    second: bytes, stream: bool
) -> None:
    async with gateway("delay 0.1s") as open_house, open_house.line() as line:
        line.writer.write(asking(stream=stream) + second)
        answer = await line.receive()

        assert (answer.status, answer.ending, answer.text) == (200, "end", TEXT)
        assert await line.reader.read() == b""


async def test_so_does_one_that_comes_while_the_first_is_being_answered() -> None:
    async with gateway("pace 100") as open_house, open_house.line() as line:
        line.writer.write(asking(stream=True))
        begun = await line.reader.readuntil(b"data: ")
        line.writer.write(b"\x00garbage")
        await asyncio.sleep(0.01)
        line.writer.write(asking())  # Nobody reads this any more.
        async with asyncio.timeout(5):
            rest = await line.reader.read()

        assert begun.startswith(b"HTTP/1.1 200 ")
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert b"HTTP/1.1" not in rest
        assert len(open_house.lead.requests) == 1


async def test_a_slow_second_head_leaves_the_answer_to_the_first_alone() -> None:
    async with gateway("delay 0.5s", protocol=HastyEdge) as open_house, open_house.line() as line:
        line.writer.write(asking(stream=True) + b"GET /v1")
        answer = await line.receive()

        assert (answer.status, answer.ending, answer.text) == (200, "end", TEXT)
        assert await line.reader.read() == b""


async def test_a_wrong_body_behind_another_request_is_never_served() -> None:
    async with gateway("delay 0.1s") as open_house, open_house.line() as line:
        line.writer.write(asking() + request("/v1/nowhere", CHUNKED) + b"zz\r\n")
        assert (await line.receive()).text == TEXT
        check_refusal(await line.receive(), 404, "not_found")
        assert await line.reader.read() == b""


async def test_a_body_that_turns_out_wrong_after_its_answer_ends_the_connection() -> None:
    async with gateway() as open_house, open_house.line() as line:
        line.writer.write(request("/v1/nowhere", CHUNKED) + b"1\r\nx\r\n")
        check_refusal(await line.receive(), 404, "not_found")
        line.writer.write(b"zz\r\n")
        async with asyncio.timeout(5):
            assert await line.reader.read() == b""


# Other versions and protocols


@BOTH
@pytest.mark.parametrize("stream", [True, False])
async def test_an_old_client_gets_an_answer_without_chunks_that_ends_with_its_connection(
    path: str, stream: bool
) -> None:
    async with gateway() as open_house:
        old = asking(path, stream=stream).replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST.encode(), b"")
        said = await open_house.hear(old)

    head, _, body = said.partition(b"\r\n\r\n")
    answer = Answer(head, body, "end", [body])
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"
    if path == CHAT:
        assert answer.text == TEXT
    assert body.startswith(b"event: " if stream and path == MESSAGES else b"data: " if stream else b"{")


async def test_an_old_client_is_not_asked_to_go_on() -> None:
    async with gateway() as open_house:
        old = asking(CHAT, "expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")

        assert (await open_house.hear(old)).startswith(b"HTTP/1.1 200 ")


UPGRADES = [
    ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: eA=="),
    ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk"),
]


@pytest.mark.parametrize("lines", UPGRADES)
async def test_an_offer_to_change_the_protocol_is_not_taken_up(lines: tuple[str, ...]) -> None:
    async with gateway() as open_house, open_house.line() as line:
        line.writer.write(get("/v1/models", *lines))
        assert (await line.receive()).status == 200
        line.writer.write(asking(CHAT, *lines))
        assert (await line.receive()).text == TEXT
        line.writer.write(asking(CHAT, *lines) * 3 + get("/v1/nowhere", *lines) + AMBIGUOUS["garbage"])
        assert [(await line.receive()).status for _ in range(4)] == [200, 200, 200, 404]
        assert await line.reader.read() == b""


# Routes


@pytest.mark.parametrize(
    "path",
    [
        "/v1", "/page", "/page/../app.py", "/page/%2e%2e/app.py", "/page/nothing.js",
        "/v2/models", "/v1/chat", "/v1/chat/completions/x", "/v1/completions",
        "/v1/embeddings", "/messages/batches", "/health", "/health/", "/health/../stats", "/health/nothing",
        "/stats/../../etc/passwd", "/stats/..%2f..%2fetc%2fpasswd", "/stats/%2e%2e", "/stats//etc/passwd",
        "/requests/%2e%2e", "/requests/../admin/reload", "/requests/%00", "/requests/%c3%28",
        "/models/../../evening", "/models/evening%00", "/models/%F0%9F%8E%AD", "/models/" + "x" * 10_000,
        "/models/%ed%a0%80", "/admin/reload", "/admin/../stats", "/.env", "/%", "/%zz", "/stats/%",
        "/static/..\\..\\etc", "/v1/v1/v1/nothing", "/" + "a/" * 5000, "http://x/v1/nothing",
        "/stats/evening;x",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(path: str) -> None:
    async with gateway() as open_house:
        answer = await open_house.say(get(path))

        assert answer.status == 404
        assert answer.json["error"]["code"] in ("not_found", "model_not_found", "request_not_found")
        assert len(answer.body) < 2000


async def test_the_server_itself_is_no_route() -> None:
    async with gateway() as open_house:
        check_refusal(await open_house.say(request("*", method="OPTIONS")), 404, "not_found")


async def test_a_query_is_no_part_of_the_path() -> None:
    async with gateway() as open_house:
        answer = await open_house.say(get("/stats?x=/../../admin/reload"))

        assert list(answer.json["profiles"]) == [PROFILE]


@pytest.mark.parametrize("path", ["/v1/messages/nothing", "/messages/x"])
async def test_what_is_not_there_below_messages_is_not_found_in_anthropics_shape(path: str) -> None:
    async with gateway() as open_house:
        check_refusal(await open_house.say(get(path)), 404, "not_found", path=MESSAGES)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CHAT, "POST"),
        ("/chat/completions", "POST"),
        (MESSAGES, "POST"),
        ("/v1/messages/count_tokens", "POST"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/evening", "GET, HEAD"),
        ("/stats", "GET, HEAD"),
        ("/stats/evening", "GET, HEAD"),
        ("/requests/x", "GET, HEAD"),
        ("/health/liveness", "GET, HEAD"),
        ("/health/readiness", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(path: str, allowed: str) -> None:
    async with gateway() as open_house:
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - set(
            allowed.split(", ")
        ):
            answer = await open_house.say(request(path, method=method))
            check_refusal(answer, 405, "method_not_allowed", path=path)
            assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/models", "/stats/evening", "/health/liveness", "/openapi.json"])
async def test_an_answer_to_head_is_the_head_of_the_answer_to_get(path: str) -> None:
    async with gateway() as open_house:
        found = await open_house.say(get(path))
        said = await open_house.hear(request(path, "connection: close", method="HEAD"))

        head, end, rest = said.partition(b"\r\n\r\n")
        assert (end, rest) == (b"\r\n\r\n", b"")
        headers = Answer(head, b"", "end", []).headers
        assert head.startswith(b"HTTP/1.1 200 ")
        if path != "/stats/evening":
            assert headers["content-length"] == found.headers["content-length"]


@pytest.mark.parametrize("path", ["/v1/nowhere", CHAT, "/v1/models/nobody"])
async def test_a_refusal_of_head_has_no_body(path: str) -> None:
    async with gateway() as open_house:
        said = await open_house.hear(request(path, "connection: close", method="HEAD"))

        assert said.split(b" ")[1] in (b"404", b"405")
        assert said.endswith(b"\r\n\r\n")
        assert said.count(b"\r\n\r\n") == 1


# Names that would become headers


def saying(model: str, *, stream: bool) -> bytes:
    """A backend's answer by a model of this name."""
    choice = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": {"content": TEXT}}
    body = json.dumps({"model": model, "choices": [choice]})
    body = f"data: {body}\n\n" if stream else body
    kind = "text/event-stream" if stream else "application/json"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("m\r\nx-evil: 1", "m??x-evil: 1"),
        ("m\x00\x7f", "m??"),
        ("modèle", "mod?le"),
        ("m\u2028n", "m?n"),
        ("m" * 5000, "m" * 256),
    ],
)
async def test_a_backends_model_is_one_short_line_of_the_head(model: str, shown: str, stream: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(saying(model, stream=stream))

    async with serve(script) as backend, gateway(lead_url=backend.url) as open_house:
        answer = await open_house.post(CHAT, chat(stream=stream), AUTHORIZATION)

        assert answer.text == TEXT
        assert answer.headers["x-understudy-model"] == shown
        assert "x-evil" not in answer.headers
        open_house.gateway.profiles.by_name[PROFILE].balancer.act("lead", "drain")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a,b", "<script>", "\xe9"])
async def test_a_request_id_that_is_not_plain_is_not_taken_over(given: str) -> None:
    async with gateway() as open_house:
        answer = await open_house.say(get("/v1/nowhere", f"x-request-id: {given}"))

        assert answer.headers["x-request-id"].startswith("req_")


# Keys


@pytest.mark.parametrize(
    "line",
    [
        "x: y",
        "authorization: Bearer wrong",
        "authorization: Bearer",
        "authorization: Basic YTpi",
        f"authorization: {KEY}",
        f"authorization: Bearer {KEY}x",
        f"authorization: Bearer {KEY[:-1]}",
        f"authorization: Bearer {KEY} {KEY}",
        "authorization: Bearer \xff\xfe",
        "x-api-key:",
        "x-api-key: wrong",
        f"proxy-authorization: Bearer {KEY}",
        f"cookie: key={KEY}",
    ],
)
@BOTH
async def test_who_has_no_key_is_not_let_in(path: str, line: str) -> None:
    async with gateway() as open_house:
        body = json.dumps(chat()).encode()
        head = f"POST {path}?key={KEY} HTTP/1.1\r\n{HOST}{line}\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = await open_house.say(head.encode("latin-1") + body)

        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        check_refusal(answer, 401, answer.json["error"]["code"], path=path)
        assert KEY.encode() not in answer.body
        assert not open_house.lead.requests


async def test_no_answer_repeats_a_key(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway(
        "500 message='your key upstream-lead is bad'; 400 message='upstream-lead'"
    ) as open_house:
        open_house.second.set_script("500 message='upstream-second'")
        for _ in range(2):
            answer = await open_house.post(CHAT, chat(), AUTHORIZATION)
            assert answer.status in (400, 502)
            assert not [secret for secret in HIDDEN if secret.encode() in answer.head + answer.body]
    assert "[LB:failover] Trying backend: lead" in caplog.text  # So there is a log to look at.


# Leaving


@pytest.mark.parametrize("cut", [10, 100, 250])
async def test_who_leaves_within_the_request_is_forgotten(cut: int) -> None:
    async with gateway() as open_house:
        async with open_house.line() as line:
            line.writer.write(asking(messages=[{"role": "user", "content": SECRET * 100}])[:cut])
            await asyncio.sleep(0.02)

        assert not open_house.lead.requests


async def test_who_leaves_before_the_answer_is_forgotten() -> None:
    async with gateway("delay 20s") as open_house:
        async with open_house.line() as line:
            line.writer.write(asking())
            request = (await open_house.lead.wait_for_requests(1))[0]
        await open_house.lead.wait_closed(request, timeout=2)


async def test_a_flood_of_connections_that_come_and_go_leaves_nothing() -> None:
    async with gateway() as open_house:

        async def come_and_go(number: int) -> None:
            async with open_house.line() as line:
                line.writer.write(asking(stream=True)[: number * 3])
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01 * (number % 3)):
                        await line.reader.read(10)

        await asyncio.gather(*map(come_and_go, range(100)))
