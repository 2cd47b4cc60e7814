"""OpenAI's Responses, as OpenAI and those who imitate it answer them.

1. A request in neutral words is put into this format's (`responses_request`). One that came in them goes out
   as it came, but for the model, what the defaults add, ``store``, which is false, and reasoning that this
   backend could not read: another format's, and items that would have to be looked up in a store. Where the
   client did not say itself that there is none, the ids of messages and calls are left out, which a backend
   would look up too.
2. A stream's terminal marker is ``response.completed`` or ``response.incomplete``, and nothing after it is
   read. What an event or a whole answer holds is read by `responses_answer`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire import decoder, lenient_json
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.decoder import decode_whole
from understudy.wire.responses_answer import Reader, read_whole
from understudy.wire.responses_request import body_of, left_out, own_words
from understudy.wire.responses_state import NAME
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

PATH = "/responses"

EMPTY_REASONS = frozenset({"length", "content_filter"})

_REASONING = re.compile(rb'"type"\s*:\s*"reasoning"')
_REASONING_OR_ID = re.compile(rb'"type"\s*:\s*"reasoning"|"id"\s*:')
_NAMED_IN_VAIN = ("message", "function_call", "custom_tool_call")
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
    }
    if key:
        fields["authorization"] = f"Bearer {key}"
    return fields


def encode_request(
    request: ChatRequest,
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The JSON body; `defaults`, in this format's words, fill what the request leaves out.

    Raises ValueError for what Responses cannot be told, TypeError for a value that JSON does not know.
    Usage always comes, so `include_usage` has nothing to say.
    """
    body = body_of(request, defaults, model)
    return lenient_json.encoded({**body, "model": model, "stream": stream})


def encode_native(
    fields: Mapping[str, msgspec.Raw],
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The body of a request that came in this format (rule 1)."""
    ours = {"model": model, "stream": stream, "store": False}
    body: dict[str, Any] = {**own_words(defaults), **fields, **ours}
    is_stateless = bytes(fields.get("store", b"")) == b"false"
    if (_REASONING if is_stateless else _REASONING_OR_ID).search(fields["input"]):
        body["input"] = _readable(msgspec.json.decode(fields["input"]), is_stateless)
    return msgspec.json.encode(body)


def left_out_native(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    """Nothing: without its reasoning a conversation asks for the same."""
    return ()


def stateless(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
    """The fields of a request that came in this format, without any reasoning; None if there is none."""
    if not _REASONING.search(fields["input"]):
        return None
    before = msgspec.json.decode(fields["input"])
    items = [_without_id(item) for item in before if not _is_reasoning(item)]
    if len(items) == len(before):
        return None
    return {**fields, "input": msgspec.Raw(msgspec.json.encode(items))}


def _is_reasoning(item: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(item, dict) and item.get("type") == "reasoning"


def _readable(given: list[Any], is_stateless: bool) -> list[Any]:
    """The input's items without what only a store, or another, could make sense of."""
    items = [item for item in given if not _is_unreadable(item)]
    return items if is_stateless else list(map(_without_id, items))


def _is_unreadable(item: object) -> bool:
    if not _is_reasoning(item):
        return False
    state = item.get("encrypted_content")
    return not isinstance(state, str) or is_tagged(state)


def _without_id(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("type", "message") not in _NAMED_IN_VAIN:
        return item
    return {name: value for name, value in item.items() if name != "id"}


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
