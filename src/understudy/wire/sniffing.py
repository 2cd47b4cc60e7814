"""What a body is: an event stream, JSON, or neither."""

from __future__ import annotations

import re
from typing import Literal

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data", b"event", b"id", b"retry")
_USUAL = (b"data:", b"event:")
_FIELD = re.compile(rb"(?:data|event|id|retry)?[:\r\n]")


def sniff(content_type: str | None, first_bytes: bytes) -> Literal["sse", "json", "unknown"]:
    """What a body is, going by its first bytes; the content type decides only while these say nothing."""
    if first_bytes.startswith(_USUAL):
        return "sse"
    start = first_bytes.removeprefix(_BOM).lstrip()
    if start.startswith(b"{"):
        return "json"
    if _FIELD.match(start):
        return "sse"
    if not _BOM.startswith(start):
        return "sse" if any(name.startswith(start) for name in _FIELDS) else "unknown"
    return _kind_of_type((content_type or "").partition(";")[0].strip().lower())


def what_else(body: bytes) -> str:
    """What a body is that should have been a whole answer, for people."""
    start = body.lstrip()[:1]
    if start == b"<":
        return "the answer is a web page"
    return "the answer is cut or malformed JSON" if start == b"{" else "the answer is no JSON object"


def _kind_of_type(content_type: str) -> Literal["sse", "json", "unknown"]:
    if content_type == "text/event-stream":
        return "sse"
    return "json" if content_type.endswith("json") else "unknown"
