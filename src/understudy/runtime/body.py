"""Bodies: content encodings undone, and limits kept.

- Requests ask for ``identity``; ``gzip`` and ``deflate`` (zlib or raw) are decoded all the same.
  Any other encoding, two at once, a header that lies, or compressed data cut short is a
  `ProtocolViolation`.
- A small body may not become a huge one: one `decode` yields at most `PIECE_LIMIT` bytes, all of
  them together at most `total_limit`, and no more than that is ever in memory.
- A body beyond its limit is a `ProtocolViolation`; an *error* body is cut at its limit instead, and
  whatever goes wrong inside it ends it quietly: the status has already decided.
"""

from __future__ import annotations

import zlib

from understudy.errors import ProtocolViolation, TransportError
from understudy.runtime.ports import HttpResponse

PIECE_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentDecoder:
    """Undoes one ``Content-Encoding`` (the header's value, None if there was none), incrementally."""

    def __init__(self, encoding: str | None, *, total_limit: int | None = None) -> None:
        self._encoding = _single_encoding(encoding)
        self._left = total_limit
        self._inflater: zlib._Decompress | None = None

    def decode(self, data: bytes) -> bytes:
        """What `data` adds to the decoded body."""
        decoded = self._inflate(data) if self._encoding else data
        if self._left is not None:
            self._left -= len(decoded)
            if self._left < 0:
                raise ProtocolViolation("the body is beyond its limit")
        return decoded

    def finish(self) -> None:
        """The body has ended; raises if the compressed data has not. A body of no bytes is whole."""
        if self._inflater is not None and not self._inflater.eof:
            raise ProtocolViolation(f"the {self._encoding} body is cut short")

    def _inflate(self, data: bytes) -> bytes:
        room = PIECE_LIMIT if self._left is None else min(PIECE_LIMIT, self._left)
        pieces = []
        while data:
            inflater = self._inflater_for(data)
            piece, data = self._inflate_some(inflater, data, room + 1)
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise ProtocolViolation(f"the {self._encoding} body inflates beyond its limit")
        return b"".join(pieces)

    def _inflate_some(self, inflater: zlib._Decompress, data: bytes, room: int) -> tuple[bytes, bytes]:
        try:
            piece = inflater.decompress(data, room)
        except zlib.error as error:
            raise ProtocolViolation(f"the body is not {self._encoding}, though its header says so") from error
        # With `room` exhausted the caller gives up, so nothing is left but a next member.
        return piece, inflater.unused_data

    def _inflater_for(self, data: bytes) -> zlib._Decompress:
        """The running inflater; a new one at the start and for each further gzip member."""
        if self._inflater is None or self._inflater.eof:
            if self._inflater is not None and self._encoding != "gzip":
                raise ProtocolViolation("data after the end of the deflate body")
            self._inflater = zlib.decompressobj(_window_bits(self._encoding, data[0]))
        return self._inflater


def _single_encoding(header: str | None) -> str:
    """The one encoding to undo, ``""`` for none."""
    names = [name.strip().lower() for name in (header or "").split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    if not encodings:
        return ""
    if len(encodings) > 1 or encodings[0] not in _ENCODINGS:
        raise ProtocolViolation(f"content encoding {header!r} is not supported")
    return _ENCODINGS[encodings[0]]


def _window_bits(encoding: str, first_byte: int) -> int:
    if encoding == "gzip":
        return _GZIP
    # A zlib header's low nibble is 8; raw deflate would need a stored block with dirty padding for it.
    return _ZLIB if first_byte & 0x0F == 8 else _RAW_DEFLATE


async def read_at_most(response: HttpResponse, limit: int, decoder: ContentDecoder | None = None) -> bytes:
    """The whole body, decoded if a decoder is given; `ProtocolViolation` beyond `limit` bytes."""
    body = bytearray()
    while data := await response.read():
        body += decoder.decode(data) if decoder else data
        if len(body) > limit:
            raise ProtocolViolation(f"the body is beyond {limit} bytes")
    if decoder:
        decoder.finish()
    return bytes(body)


async def read_error_body(
    response: HttpResponse,
    limit: int = ERROR_BODY_LIMIT,
    decoder: ContentDecoder | None = None,
    into: bytearray | None = None,
) -> bytes:
    """As much of an error body as comes, at most `limit` bytes.

    `into` collects it as it arrives, for a caller whose patience ends before the body does.
    """
    body = bytearray() if into is None else into
    try:
        while len(body) < limit and (data := await response.read()):
            body += decoder.decode(data) if decoder else data
    except TransportError:
        pass
    del body[limit:]
    return bytes(body)
