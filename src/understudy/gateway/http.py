"""One HTTP request and its answer, over ASGI.

1. A body is read once, at most `limit` bytes of it; each piece of it must come within `PIECE_SECONDS`, and
   the whole within `BODY_SECONDS`. A body whose length is known to be too large is not read at all.
2. A header that decides who asks for what may come once.
3. What others wrote becomes a header of ours only as one line of at most `LONGEST_VALUE` printable ASCII
   characters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PIECE_SECONDS = 30.0
BODY_SECONDS = 300.0
LONGEST_VALUE = 256
LONGEST_LENGTH = 20  # digits; nobody counts further
LONGEST_QUERY = 2048

JSON = (b"content-type", b"application/json")

_ONCE = frozenset((b"authorization", b"x-api-key", b"content-type", b"content-length", b"host"))


class HttpError(Exception):
    """The request ends here, with this status. `code` is the word for it in the error object."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = list(headers)
        self.retry_after = retry_after


def no_route(path: str) -> HttpError:
    return HttpError(404, "not_found", f"there is no route {path[:200]}")


class ClientLeft(Exception):
    """The client was gone before its request was read."""


class Request:
    """One request. `path` is without a ``/v1`` in front and without a slash at its end."""

    __slots__ = ("_receive", "_scope", "headers", "id", "method", "path")

    piece_seconds = PIECE_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path = _plain(scope["path"])
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = ""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"

    def query(self, name: str) -> str | None:
        """The last value of this name in the query."""
        query = self._scope.get("query_string", b"").decode("latin-1")
        values = parse_qs(query[:LONGEST_QUERY], keep_blank_values=True)
        return values[name][-1] if name in values else None

    @property
    def is_anthropic(self) -> bool:
        """Does it speak Anthropic's protocol?"""
        return self.path.startswith("/messages") or b"anthropic-version" in self.headers

    @property
    def id_headers(self) -> Headers:
        """The id, where each protocol's clients look for it."""
        given = header_value(self.id)
        return [(b"x-request-id", given), *([(b"request-id", given)] if self.is_anthropic else ())]

    def check_headers(self) -> None:
        """Rule 2; raises `HttpError`."""
        given = self._scope["headers"]
        if len(self.headers) == len(given):
            return
        names = [name for name, _ in given]
        for name in _ONCE:
            if names.count(name) > 1:
                raise HttpError(400, "duplicate_header", f"the header {name.decode()} came more than once")

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def passed_on(self, names: Iterable[str]) -> dict[str, str]:
        """Of the headers those of these names that came."""
        headers = self.headers
        return {
            name: value.decode("latin-1")
            for name in names
            if (value := headers.get(name.encode())) is not None
        }

    async def body(self, limit: int) -> bytes:
        """The whole body (rule 1). Raises `HttpError`, or `ClientLeft`."""
        self._check_length(limit)
        pieces: list[bytes] = []
        size = 0
        ends_at = asyncio.get_running_loop().time() + self.body_seconds
        while True:
            message = await self._piece(ends_at)
            if message["type"] == "http.disconnect":
                raise ClientLeft
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            _check_size(size, limit)
            if not message.get("more_body"):
                return b"".join(pieces)

    def _check_length(self, limit: int) -> None:
        length = self.headers.get(b"content-length", b"")
        if length.isdigit():
            _check_size(int(length[:LONGEST_LENGTH]), limit)

    async def _piece(self, ends_at: float) -> Message:
        piece_at = asyncio.get_running_loop().time() + self.piece_seconds
        try:
            async with asyncio.timeout_at(min(piece_at, ends_at)):
                return await self._receive()
        except TimeoutError:
            slow = f"nothing more of the body came for {self.piece_seconds:g} s"
            if ends_at < piece_at:
                slow = f"the whole body did not come within {self.body_seconds:g} s"
            raise HttpError(408, "request_timeout", slow, headers=[(b"connection", b"close")]) from None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise HttpError(413, "request_too_large", f"the body is larger than {limit} bytes")


def _plain(path: str) -> str:
    while path.startswith("/v1/"):
        path = path[3:]
    return path.rstrip("/") or "/"


def header_value(text: str) -> bytes:
    """Rule 3."""
    text = text[:LONGEST_VALUE]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.encode("ascii", "replace")


async def answer(
    send: Send, status: int, body: bytes, headers: Headers, content_type: tuple[bytes, bytes] = JSON
) -> None:
    """A whole answer at once."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [content_type, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def answer_json(
    send: Send,
    value: Mapping[str, Any],
    request: Request,
    headers: Iterable[tuple[bytes, bytes]] = (),
    status: int = 200,
) -> None:
    await answer(send, status, msgspec.json.encode(value), [*request.id_headers, *headers])
