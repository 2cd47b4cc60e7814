"""Anthropic's Messages, as Anthropic and those who imitate it answer them.

1. A request in neutral words is put into Anthropic's (`anthropic_request`). One that came in them goes out
   as it came, but for the model, what the defaults add, and what another format's backend said that answered
   this conversation before, because Anthropic refuses it: thoughts without a signature or with another's
   state in its place, citations without an index. Nor does it think with a budget in the middle of tool use
   that began without thoughts of its own, nor tidy up after such thinking (`left_out_native`).
2. A stream's terminal marker is ``message_stop``, and nothing after it is read. A ``stop_reason`` alone is
   none. What an event or a whole message holds is read by `anthropic_answer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire import decoder, lenient_json
from understudy.wire.anthropic_answer import Reader, read_whole
from understudy.wire.anthropic_request import MANAGED, NAME, body_of, left_out, without_clearing
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
    "left_out_native",
    "path",
    "sniff",
    "stateless",
]

PATH = "/messages"
VERSION = "2023-06-01"

EMPTY_REASONS = frozenset({"length", "content_filter"})

_FOREIGN = re.compile(rb'"signature"\s*:\s*"(?:"|understudy\.)|"encrypted_index"\s*:\s*""')
_THOUGHT = re.compile(rb'"type"\s*:\s*"(?:redacted_)?thinking"')
_THOUGHTS = ("thinking", "redacted_thinking")
_NO_FIELDS: Mapping[str, Any] = {}
_TURNS = msgspec.json.Decoder(list[msgspec.Raw])
_AFTER_THOUGHTS = (["thinking"], ["redacted_thinking"])


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
        body["messages"] = _kept(fields["messages"], _is_foreign)
    if _thinks_in_vain(body):
        del body["thinking"]
        if MANAGED in body:
            body[MANAGED] = without_clearing(_plain(body[MANAGED]))
    return msgspec.json.encode(body)


def left_out_native(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    """What the request asks for and `encode_native` does not."""
    if not _has_budget(fields.get("thinking")):
        return ()
    messages: Any = fields.get("messages", b"")
    own = _kept(messages, _is_foreign) if _FOREIGN.search(messages) else messages
    return ("thinking",) if own and _lacks_thoughts(own) else ()


def stateless(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
    """The fields of a request that came in this format, without any thoughts; None if there are none."""
    messages: Any = fields.get("messages", b"")
    if not _THOUGHT.search(messages):
        return None
    turns = _kept(messages, _is_thought)
    if turns == msgspec.json.decode(messages):
        return None
    return {**fields, "messages": msgspec.Raw(msgspec.json.encode(turns))}


def _kept(messages: msgspec.Raw, is_dropped: Callable[[object], bool]) -> list[Any]:
    """The turns without some of their blocks, and without those that this leaves empty."""
    turns = (_turn_without(turn, is_dropped) for turn in msgspec.json.decode(messages))
    return [turn for turn in turns if turn.get("content") != []]


def _turn_without(turn: dict[str, Any], is_dropped: Callable[[object], bool]) -> dict[str, Any]:
    content = turn.get("content")
    if not isinstance(content, list):
        return turn
    return {**turn, "content": [_own_block(block) for block in content if not is_dropped(block)]}


def _is_thought(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") in _THOUGHTS


def _is_foreign(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") != "thinking":
        return False
    signature = block.get("signature")
    return isinstance(signature, str) and (not signature or is_tagged(signature))


def _thinks_in_vain(body: Mapping[str, Any]) -> bool:
    return _has_budget(body.get("thinking")) and _lacks_thoughts(body.get("messages", ()))


def _has_budget(thinking: object) -> bool:
    """Is this thinking of the kind that Anthropic wants to see again in the middle of tool use?"""
    wanted = _plain(thinking)
    return isinstance(wanted, Mapping) and wanted.get("type") == "enabled"


def _plain(value: object) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _lacks_thoughts(messages: Any) -> bool:
    """Do results of tools come last, of calls that no thoughts stand before?"""
    if isinstance(messages, msgspec.Raw):
        messages = [msgspec.json.decode(turn) for turn in _TURNS.decode(messages)[-2:]]
    *before, last = [_first_kind(turn) for turn in messages[-2:]] or [None]
    return last == "tool_result" and before not in _AFTER_THOUGHTS


def _first_kind(turn: Mapping[str, Any]) -> object:
    content = turn.get("content")
    first = content[0] if isinstance(content, list) and content else None
    return first.get("type") if isinstance(first, dict) else None


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
