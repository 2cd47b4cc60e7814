"""Gemini's ``generateContent`` and ``streamGenerateContent``, towards backends alone.

1. The address says the model and whether it is a stream. ``models/x`` and ``tunedModels/x`` are taken as
   they are, other names are a model's. A request in neutral words is put into Gemini's (`gemini_request`).
2. A stream's terminal marker is a `finishReason` for every candidate asked for. After it only usage,
   citations and state are still read.
3. What a response holds is read by `gemini_answer`. No client speaks Gemini's format with us.
4. A stream that comes as a JSON list, not as events, is read as a whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire import decoder, lenient_json, sniffing
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.decoder import decode_whole
from understudy.wire.gemini_answer import Reader, read_whole
from understudy.wire.gemini_request import NAME, body_of, left_out

__all__ = [
    "NAME",
    "StreamDecoder",
    "decode_unary",
    "empty_is_legitimate",
    "encode_request",
    "headers",
    "left_out",
    "path",
    "sniff",
]

EMPTY_REASONS = frozenset({"length", "content_filter"})

_KINDS_OF_MODEL = ("models/", "tunedModels/")
_UNSAFE = re.compile(rb"[^A-Za-z0-9._~-]")
_NO_FIELDS: Mapping[str, Any] = {}


# Requests


def path(model: str, stream: bool) -> str:
    """What follows the base URL."""
    kind = next((kind for kind in _KINDS_OF_MODEL if model.startswith(kind)), "")
    name = _UNSAFE.sub(lambda byte: b"%%%02X" % byte[0][0], model.removeprefix(kind).encode()).decode()
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/{kind or 'models/'}{name}:{method}"


def headers(key: str | None) -> dict[str, str]:
    """The request headers; no compression is asked for, because events must not wait in a buffer."""
    fields = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": f"understudy/{__version__}",
    }
    if key:
        fields["x-goog-api-key"] = key
    return fields


def encode_request(
    request: ChatRequest,
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The JSON body; `defaults`, in Gemini's words, fill what the request leaves out.

    Raises ValueError for what Gemini cannot be told, TypeError for a value that JSON does not know. Usage
    always comes, and the address says `stream`.
    """
    return lenient_json.encoded(body_of(request, defaults, model))


# Answers


class StreamDecoder(decoder.StreamDecoder):
    """One stream, which goes on after its marker."""

    READER = Reader


def decode_unary(
    body: bytes,
    choices: int = 1,
    *,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> list[ChatChunk] | Failure:
    """A whole answer, one chunk a candidate; a stream that came as a list has more.

    Fewer candidates than asked for are no whole answer, as in a stream: `protocol`.
    """
    return decode_whole(read_whole, body, choices, rules, secrets)


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason in EMPTY_REASONS


def sniff(content_type: str | None, first_bytes: bytes) -> Literal["sse", "json", "unknown"]:
    """What a body is, going by its first bytes; a list is JSON here."""
    if first_bytes.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        return "json"
    return sniffing.sniff(content_type, first_bytes)
