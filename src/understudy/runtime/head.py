"""Heads, the same over every transport.

- What a request does not say of itself is said by `DEFAULT_HEADERS`; what it says wins.
- In an answer names are lower-case; the values of a repeated header are joined by ``", "``.
- A value is text that can be encoded again: bytes that are not UTF-8 are read as Latin-1.
- A head is at most `HEAD_LIMIT` bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy._version import __version__

HEAD_LIMIT = 64 * 1024
DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "user-agent": f"understudy/{__version__}",
}


def joined_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header pairs in the order they came, as one value per lower-case name."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        text = value if value.isascii() else _encodable(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def head_size(pairs: Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of a header block: every line with its colon, space and line end."""
    return sum(len(name) + len(value) + 4 for name, value in pairs)


def _encodable(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
