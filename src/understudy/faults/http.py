"""HTTP/1.1, the server's half, by hand: so that every byte of it can also be wrong.

1. A request is complete when its body is: by Content-Length or chunked. Nothing else is a body.
   What does not begin with a letter, as a TLS handshake does not, is refused at its first byte.
2. Limits: 64 KiB of head, 32 MiB of body; beyond them `BadRequest` with the status to answer.
3. The cost of reading a body is linear in its size, however small the pieces it comes in.
4. A request that expects it is told to continue, once, when its head is there and its body is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 32 * 1024 * 1024


class BadRequest(Exception):
    """The client does not speak HTTP, or too much of it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class HttpRequest:
    """One request as it came; header names in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        if self.version == "HTTP/1.0":
            return "keep-alive" in connection
        return "close" not in connection


class RequestReader:
    """Takes bytes as they arrive; `take` hands out one whole request, or None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: HttpRequest | None = None
        self._length = 0
        self._chunks: ChunkReader | None = None
        self._searched = 0
        self.expects_continue = False

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> HttpRequest | None:
        if self._request is None:
            self._read_head()
        request = self._request
        if request is None or not self._read_body(request):
            return None
        self._request = self._chunks = None
        self.expects_continue = False
        return request

    def _read_head(self) -> None:
        if self._buffer and not self._buffer[:1].isalpha():
            raise BadRequest(400, "this is not HTTP/1.1")
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise BadRequest(431, "the request's head is too large")
        if end < 0:
            self._searched = max(0, len(self._buffer) - 3)
            return
        self._searched = 0
        self._request = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._expect_body(self._request)

    def _expect_body(self, request: HttpRequest) -> None:
        headers = request.headers
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._chunks = ChunkReader()
        else:
            self._length = _length(headers.get("content-length", "0"))
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"

    def _read_body(self, request: HttpRequest) -> bool:
        if self._chunks is not None:
            if not self._chunks.read(self._buffer):
                return False
            request.body = bytes(self._chunks.body)
            return True
        if len(self._buffer) < self._length:
            return False
        request.body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return True


class ChunkReader:
    """Takes a chunked body out of a buffer; trailers are dropped."""

    def __init__(self) -> None:
        self.body = bytearray()
        self._left: int | None = None
        self._trailing = False

    def read(self, buffer: bytearray) -> bool:
        """True once the last chunk and its empty line have been taken."""
        while True:
            if self._left is not None:
                if not self._read_data(buffer, self._left):
                    return False
                continue
            line = _take_line(buffer)
            if line is None:
                return False
            if self._trailing:
                if not line:
                    return True
                continue
            self._start(line)

    def _start(self, line: bytes) -> None:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadRequest(400, "a chunk's size is not a number") from None
        if size < 0 or len(self.body) + size > BODY_LIMIT:
            raise BadRequest(413, "the request's body is too large")
        self._trailing = size == 0
        self._left = size or None

    def _read_data(self, buffer: bytearray, left: int) -> bool:
        if len(buffer) < left + 2:
            return False
        self.body += buffer[:left]
        del buffer[: left + 2]
        self._left = None
        return True


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n")
    if end < 0:
        if len(buffer) > HEAD_LIMIT:
            raise BadRequest(400, "a chunk's first line does not end")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(400, "Content-Length is not a number")
    length = int(text[:20])
    if length > BODY_LIMIT:
        raise BadRequest(413, "the request's body is too large")
    return length


def parse_head(head: bytes) -> HttpRequest:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "this is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400, "a header line has no colon")
        headers[name.strip().lower()] = value.strip()
    return HttpRequest(parts[0], parts[1], parts[2], headers)


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"


def head_bytes(version: str, status: int, headers: list[tuple[str, Any]]) -> bytes:
    lines = [f"HTTP/{version} {status} {reason(status)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def whole_response(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    """An honest answer in one piece, for everything that is not a performance."""
    headers = [("content-type", content_type), ("content-length", len(body))]
    return head_bytes("1.1", status, headers) + body
