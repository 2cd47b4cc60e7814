"""Content encodings, undone within limits.

- Requests ask for ``identity``; ``gzip`` and ``deflate`` (zlib or raw) are decoded all the same.
  Any other encoding, two at once, a header that lies, or compressed data cut short is a
  `ProtocolViolation`.
- What has been flushed is decoded at once: a compressed stream stays a stream.
- A small body may not become a huge one: one `decode` yields at most `PIECE_LIMIT` bytes, and no
  more than that is ever in memory. How long a body may be in all is its reader's business.
"""

from __future__ import annotations

import zlib

from understudy.errors import ProtocolViolation

PIECE_LIMIT = 32 * 1024 * 1024

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentDecoder:
    """Undoes one ``Content-Encoding`` (the header's value, None if there was none), incrementally."""

    def __init__(self, encoding: str | None) -> None:
        self._encoding = _single_encoding(encoding)
        self._inflater: zlib._Decompress | None = None

    def decode(self, data: bytes) -> bytes:
        """What `data` adds to the decoded body."""
        return self._inflate(data) if self._encoding else data

    def finish(self) -> None:
        """The body has ended; raises if the compressed data has not. A body of no bytes is whole."""
        if self._inflater is not None and not self._inflater.eof:
            raise ProtocolViolation(f"the {self._encoding} body is cut short")

    def _inflate(self, data: bytes) -> bytes:
        room = PIECE_LIMIT
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
