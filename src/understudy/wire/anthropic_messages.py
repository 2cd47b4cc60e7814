"""Anthropic's Messages, as Anthropic and those who imitate it answer them.

1. A request in neutral words is put into Anthropic's (`anthropic_request`). One that came in them goes out
   as it came, but for the model, what the defaults add, and what another format's backend said that answered
   this conversation before, because Anthropic refuses it: thoughts without a signature or with another's
   state in its place, citations without an index.
2. A stream's terminal marker is ``message_stop``, and nothing after it is read. A ``stop_reason`` alone is
   none. What an event or a whole message holds is read by `anthropic_answer`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire import decoder, lenient_json
from understudy.wire.anthropic_answer import Reader, read_whole
from understudy.wire.anthropic_request import NAME, body_of, left_out
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.decoder import decode_whole
from understudy.wire.sniffing import sniff
from understudy.wire.state import is_tagged

__all__ = [
    "NAME",
    "PATH",
    "StreamDecoder",
    "decode_unary",
    "empty_is_legitimate",
    "encode_native",
    "encode_request",
    "headers",
    "left_out",
    "path",
    "sniff",
]

PATH = "/messages"
VERSION = "2023-06-01"

EMPTY_REASONS = frozenset({"length", "content_filter"})

_FOREIGN = re.compile(rb'"signature"\s*:\s*"(?:"|understudy\.)|"encrypted_index"\s*:\s*""')
_NO_FIELDS: Mapping[str, Any] = {}


# Requests


def path(model: str, stream: bool) -> str:
    """What follows the base URL: the same for every request."""
    return PATH


def headers(key: str | None) -> dict[str, str]:
    """The request headers; no compression is asked for, because events must not wait in a buffer."""
    fields = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": f"understudy/{__version__}",
        "anthropic-version": VERSION,
    }
    if key:
        fields["x-api-key"] = key
    return fields


def encode_request(
    request: ChatRequest,
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The JSON body; `defaults`, in Anthropic's words, fill what the request leaves out.

    Raises ValueError for what Anthropic cannot be told, TypeError for a value that JSON does not know.
    Usage always comes, so `include_usage` has nothing to say.
    """
    body = body_of(request, defaults)
    return lenient_json.encoded({**body, "model": model, "stream": stream})


def encode_native(
    fields: Mapping[str, msgspec.Raw],
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The body of a request that came in this format: its fields as they came, the `model` ours."""
    body: dict[str, Any] = {**defaults, **fields, "model": model, "stream": stream}
    if _FOREIGN.search(fields.get("messages", b"")):
        turns = msgspec.json.decode(fields["messages"])
        body["messages"] = [turn for turn in map(_own_turn, turns) if turn.get("content") != []]
    return msgspec.json.encode(body)


def _own_turn(turn: dict[str, Any]) -> dict[str, Any]:
    """The turn without what another format's backend said."""
    content = turn.get("content")
    if not isinstance(content, list):
        return turn
    return {**turn, "content": [_own_block(block) for block in content if not _is_foreign(block)]}


def _is_foreign(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") != "thinking":
        return False
    signature = block.get("signature")
    return isinstance(signature, str) and (not signature or is_tagged(signature))


def _own_block(block: Any) -> Any:
    citations = block.get("citations") if isinstance(block, dict) else None
    if not isinstance(citations, list):
        return block
    own = [entry for entry in citations if not isinstance(entry, dict) or entry.get("encrypted_index") != ""]
    return {**block, "citations": own or None}


# Answers


class StreamDecoder(decoder.StreamDecoder):
    """One stream, which the terminal marker ends."""

    READER = Reader


def decode_unary(
    body: bytes,
    choices: int = 1,
    *,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> list[ChatChunk] | Failure:
    """A whole answer as one chunk."""
    return decode_whole(read_whole, body, choices, rules, secrets)


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason in EMPTY_REASONS
