from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.faults import http
from understudy.faults.http import (
    BODY_LIMIT,
    HEAD_LIMIT,
    BadRequest,
    HttpRequest,
    RequestReader,
    head_bytes,
    parse_head,
    reason,
    whole_response,
)

GET = b"GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;note=x\r\nhel\r\n2\r\nlo\r\n0\r\ntrailer: gone\r\n\r\n"
)


def read(*pieces: bytes) -> list[HttpRequest]:
    reader, found = RequestReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (request := reader.take()) is not None:
            found.append(request)
    return found


def refusal(*pieces: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(*pieces)
    return caught.value


def test_a_request_has_method_path_query_headers_and_body() -> None:
    (request,) = read(POST)
    assert (request.method, request.path, request.query) == ("POST", "/v1/chat/completions", {"x": "1"})
    assert request.headers == {"host": "here", "content-length": "5"}
    assert request.body == b"hello"


def test_a_path_is_unquoted() -> None:
    assert parse_head(b"GET /a%20b?c=%3B HTTP/1.1").path == "/a b"
    assert parse_head(b"GET /a%20b?c=%3B HTTP/1.1").query == {"c": ";"}


@given(st.lists(st.integers(0, len(POST + CHUNKED + GET)), max_size=8))
def test_requests_are_the_same_however_their_bytes_are_cut(cuts: list[int]) -> None:
    data = POST + CHUNKED + GET
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert [request.body for request in read(*pieces)] == [b"hello", b"hello", b""]


def test_a_chunked_body_is_put_together_and_its_trailers_dropped() -> None:
    (request,) = read(CHUNKED)
    assert request.body == b"hello"
    assert "trailer" not in request.headers


def test_what_is_left_over_waits_for_the_next_request() -> None:
    reader = RequestReader()
    reader.feed(POST + b"GET /ne")
    assert reader.take() is not None
    assert reader.buffered == len(b"GET /ne")
    assert reader.take() is None


def test_a_client_that_expects_it_is_told_to_continue_while_its_body_is_missing() -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\nexpect: 100-Continue\r\ncontent-length: 2\r\n\r\n")
    assert reader.take() is None
    assert reader.expects_continue
    reader.feed(b"ab")
    assert reader.take() is not None
    assert not reader.expects_continue


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        ("HTTP/1.1\r\nhost: x", True),
        ("HTTP/1.1\r\nconnection: Close", False),
        ("HTTP/1.0\r\nhost: x", False),
        ("HTTP/1.0\r\nconnection: keep-alive", True),
    ],
)
def test_a_connection_is_kept_as_the_version_says(head: str, kept: bool) -> None:
    assert parse_head(f"GET / {head}".encode()).keep_alive is kept


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_LIMIT + 1), 413),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % (BODY_LIMIT + 1), 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * (HEAD_LIMIT + 1), 400),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * HEAD_LIMIT, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * HEAD_LIMIT + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_or_too_much_of_it_is_refused(data: bytes, status: int) -> None:
    assert refusal(data).status == status


def test_a_body_up_to_the_limit_is_taken() -> None:
    head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % BODY_LIMIT
    (request,) = read(head, *[b"x" * 2**20] * 32)
    assert len(request.body) == BODY_LIMIT


def test_chunks_may_not_add_up_to_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_LIMIT", 8)
    head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert refusal(head + b"6\r\nabcdef\r\n" + b"3\r\n").status == 413


def test_a_head_in_small_pieces_is_searched_once() -> None:
    """A head is scanned from where the last search ended, not from its beginning."""
    reader = RequestReader()
    for byte in GET[:-1]:
        reader.feed(bytes((byte,)))
        assert reader.take() is None
    assert reader._searched >= len(GET) - 5
    reader.feed(GET[-1:])
    assert reader.take() is not None


def test_a_response_head_is_written_line_by_line() -> None:
    assert head_bytes("1.1", 200, [("a", "b"), ("n", 1)]) == b"HTTP/1.1 200 OK\r\na: b\r\nn: 1\r\n\r\n"


def test_every_status_has_a_reason() -> None:
    assert [reason(code) for code in (404, 529, 799)] == ["Not Found", "Overloaded", "Unknown"]


def test_a_whole_response_tells_its_length() -> None:
    assert whole_response(200, b"{}").endswith(b"content-length: 2\r\n\r\n{}")
