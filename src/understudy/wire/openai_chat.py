"""OpenAI's chat completions, as OpenAI and the many who imitate it speak them.

- A request's own fields win over the profile's; `model`, `messages` and `stream` are ours; what we do
  not know passes untouched. Two things that neutral messages may hold are not OpenAI's: state of another
  format's backend (`wire.state`) is left out, and what of a tool's result is no text moves to the user
  message that follows, after a line that names the call. A file by its address raises ValueError.
- A stream's terminal marker is a ``finish_reason`` for every choice asked for. ``[DONE]`` alone is none.
  After it only usage is still read. What an event or a whole answer holds is read by `openai_answer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire import decoder
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.decoder import decode_whole
from understudy.wire.openai_answer import ERROR_REASONS, Reader, read_whole
from understudy.wire.sniffing import sniff
from understudy.wire.state import is_tagged
from understudy.wire.thoughts import without_state

__all__ = [
    "ERROR_REASONS",
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

NAME = "openai"
PATH = "/chat/completions"

EMPTY_REASONS = frozenset(
    {
        "length",
        "max_tokens",
        "model_length",  # Mistral
        "content_filter",
        "prohibited_content",  # Gemini, as the next four
        "safety",
        "blocklist",
        "recitation",
        "spii",
    }
)

_STATE = re.compile(rb'"reasoning_details"\s*:')
_TAGGED = re.compile(rb'"data"\s*:\s*"understudy\.')
_NO_FIELDS: Mapping[str, Any] = {}
_MAPPING = (dict, Mapping)  # nearly all are the first, which is found out faster


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
    """The JSON body; `defaults` fill what the request leaves out.

    Raises ValueError for a file by its address, TypeError for a value that JSON does not know.
    """
    messages = _plain_messages(request.messages)
    body = {**defaults, **request.fields, "model": model, "messages": messages, "stream": stream}
    if not stream:
        body.pop("stream_options", None)
    elif include_usage:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    try:
        return msgspec.json.encode(body, enc_hook=_plain)
    except UnicodeEncodeError:  # half a surrogate pair in a text: only escaped can it be written
        return json.dumps(body, default=_plain, separators=(",", ":")).encode()


def left_out(request: ChatRequest, defaults: Mapping[str, Any] = _NO_FIELDS) -> tuple[str, ...]:
    """Nothing: the neutral words are this format's own."""
    return ()


def _plain_messages(messages: Sequence[Any]) -> Sequence[Any]:
    """The messages in the words that every backend of this format has."""
    plain: list[Any] = []
    moved: list[Any] = []  # from the results of tools
    for message in messages:
        if not isinstance(message, _MAPPING):
            return messages
        is_result = message.get("role") == "tool"
        if moved and not is_result:
            message, moved = _with_moved(message, moved, plain), []
        if isinstance(message.get("content"), list | tuple):
            message, more = _plain_parts(message, is_result)
            moved += more
        plain.append(without_state(message))
    return [*plain, {"role": "user", "content": moved}] if moved else plain


def _plain_parts(message: Mapping[str, Any], is_result: bool) -> tuple[Mapping[str, Any], list[Any]]:
    """The message, and what of it has to move. Raises ValueError for a file by its address."""
    parts = message["content"]
    if any(isinstance(part, Mapping) and "file_url" in (part.get("file") or ()) for part in parts):
        raise ValueError("OpenAI chat takes no file by its address (file_url)")
    moved = [part for part in parts if is_result and _kind(part) != "text"]
    if not moved:
        return message, []
    named = {"type": "text", "text": f"From the result of the tool call {message.get('tool_call_id')}:"}
    texts = [part["text"] for part in parts if _kind(part) == "text"]
    return {**message, "content": "\n\n".join(texts)}, [named, *moved]


def _kind(part: object) -> object:
    return part.get("type") if isinstance(part, Mapping) else None


def _with_moved(message: Mapping[str, Any], moved: list[Any], plain: list[Any]) -> Mapping[str, Any]:
    """The message that follows the results, with what is moved if it is the user's."""
    if message.get("role") != "user":
        plain.append({"role": "user", "content": moved})
        return message
    content = message.get("content") or ()
    own = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [*moved, *own]}


def encode_native(
    fields: Mapping[str, msgspec.Raw],
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The body of a request that came in this format: its fields as they came, the `model` ours.

    State that another format's backend handed to the client stays out.
    """
    body: dict[str, Any] = {**defaults, **fields, "model": model}
    if not stream:
        body.pop("stream_options", None)
    elif include_usage:
        options = msgspec.json.decode(body["stream_options"]) if "stream_options" in fields else None
        body["stream_options"] = {**(options or {}), "include_usage": True}
    messages = fields.get("messages")
    if messages is not None and _TAGGED.search(messages):
        body["messages"] = [_without_tagged(message) for message in msgspec.json.decode(messages)]
    return msgspec.json.encode(body)


def left_out_native(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    """Nothing: without its state a conversation asks for the same."""
    return ()


def stateless(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
    """The fields of a request that came in this format, without any state; None if there is none."""
    if not _STATE.search(fields["messages"]):
        return None
    before = msgspec.json.decode(fields["messages"])
    messages = [_without_details(message) for message in before]
    if messages == before:
        return None
    return {**fields, "messages": msgspec.Raw(msgspec.json.encode(messages))}


def _without_details(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "reasoning_details"}


def _without_tagged(message: dict[str, Any]) -> dict[str, Any]:
    details = message.get("reasoning_details")
    if not isinstance(details, list):
        return message
    bare = _without_details(message)
    own = [entry for entry in details if not _is_tagged(entry)]
    return {**bare, "reasoning_details": own} if own else bare


def _is_tagged(entry: object) -> bool:
    data = entry.get("data") if isinstance(entry, dict) else None
    return isinstance(data, str) and is_tagged(data)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


# Answers


class StreamDecoder(decoder.StreamDecoder):
    """One stream, of which nothing but usage is still read after the marker."""

    READER = Reader


def decode_unary(
    body: bytes,
    choices: int = 1,
    *,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> list[ChatChunk] | Failure:
    """A whole answer, one chunk a choice; an answer without choices is one chunk without content.

    Fewer choices than asked for are no whole answer, as in a stream: `protocol`.
    """
    return decode_whole(read_whole, body, choices, rules, secrets)


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason is not None and finish_reason.lower() in EMPTY_REASONS
