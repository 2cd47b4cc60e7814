"""OpenAI's chat completions towards a client: its requests read, its answers written.

1. Of a request only what deciding takes is decoded; the whole is looked at when another format needs it.
2. A native chunk goes out as the bytes that came, whatever is in them. The one exception is an event with
   usage and no choices: a client that did not ask for it (``stream_options.include_usage``) gets none,
   because it may not expect an event without choices.
3. Any other chunk is written as one event if it says something; each choice's first one brings the role.
   `id`, `model` and `created` are the same in all events of an answer, also of one that another backend began
   in OpenAI's own words.
4. A written stream's usage comes after all else, in an event of its own without choices, to clients that
   asked for it. A native stream brings its own or has none. Both end with exactly one ``[DONE]``.
5. A tool call without an id gets one, the same in every answer to that request.
6. Reasoning goes out as ``reasoning_content``, the name that most clients read. State that only another
   format's backend understands goes out as entries of ``reasoning_details``, and is read back from there.
   In a stream such entries, and citations, are numbered: OpenAI's own SDK gives up a list that comes bit by
   bit without an `index` in each entry.
7. A failure is the last event of a stream, which no ``[DONE]`` follows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec

from understudy.wire import openai_chat
from understudy.wire.chat import ChatChunk, ChatRequest, ToolCallDelta, Usage
from understudy.wire.dialect import (
    BadRequest,
    ClientRequest,
    Dialect,
    ErrorReply,
    Fields,
    checked,
    convert,
    cut_apart,
    whole_calls,
)
from understudy.wire.openai_error import write_error
from understudy.wire.state import FIELD, ProviderState, tagged, untagged

__all__ = [
    "ERROR_FIELDS",
    "FORMAT",
    "PASSED_ON",
    "StreamWriter",
    "chat_of",
    "parts_left_out",
    "read_request",
    "write_answer",
    "write_error",
]

FORMAT = openai_chat
PASSED_ON: tuple[str, ...] = ()
ERROR_FIELDS = frozenset({"error"})

_DONE = b"data: [DONE]\n\n"
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_CREATED = re.compile(rb'"created"\s*:\s*(\d+)')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')


# Requests


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, its fields skipped."""


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Part(msgspec.Struct, gc=False):
    type: str


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct, gc=False):
    id: str
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """What is checked of a message before it is put into another format's words."""

    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


_MODEL = msgspec.json.Decoder(Annotated[str, msgspec.Meta(min_length=1)])
_FLAG = msgspec.json.Decoder(bool | None)
_COUNT = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=1)] | None)
_STREAM_OPTIONS = msgspec.json.Decoder(_StreamOptions | None)
_MESSAGES = msgspec.json.Decoder(Annotated[list[_Object], msgspec.Meta(min_length=1)])
_WHOLE_MESSAGES = msgspec.json.Decoder(list[_Message])
_ANY = msgspec.json.Decoder()
_NULL = msgspec.Raw(b"null")
_OURS = frozenset({"model", "messages", "stream"})


def read_request(body: bytes) -> ClientRequest:
    """Raises `BadRequest`."""
    fields = cut_apart(body)
    options = convert("stream_options", _given(fields, "stream_options"), _STREAM_OPTIONS, "an object")
    request = ClientRequest(
        _DIALECT,
        fields,
        model=convert("model", _given(fields, "model"), _MODEL, "a non-empty string"),
        stream=bool(convert("stream", _given(fields, "stream"), _FLAG, "true or false")),
        choices=convert("n", _given(fields, "n"), _COUNT, "a whole number from 1") or 1,
        wants_usage=options is not None and bool(options.include_usage),
    )
    convert("messages", _given(fields, "messages"), _MESSAGES, "a non-empty list of objects")
    return request


def _given(fields: Fields, name: str) -> msgspec.Raw:
    return fields.get(name, _NULL)


def chat_of(fields: Fields) -> ChatRequest:
    """The whole request, which is in neutral words but for state. Raises `BadRequest`."""
    for position, message in enumerate(checked("messages", fields["messages"], _WHOLE_MESSAGES)):
        if message.role == "tool" and message.tool_call_id is None:
            where = f"messages[{position}].tool_call_id"
            raise BadRequest(f"{where}: a tool's message must name its call", where)
    return ChatRequest(
        [_with_state(message) for message in checked("messages", fields["messages"], _ANY)],
        {name: checked(name, raw, _ANY) for name, raw in fields.items() if name not in _OURS},
    )


def parts_left_out(fields: Fields) -> tuple[str, ...]:
    """Nothing: the neutral words are this format's own."""
    return ()


def _with_state(message: dict[str, Any]) -> dict[str, Any]:
    """The message with what its ``reasoning_details`` hold of state, and without them."""
    details = message.pop("reasoning_details", None)
    message.pop(FIELD, None)
    states = [state for entry in details if (state := _state(entry))] if isinstance(details, list) else []
    return {**message, FIELD: [state.to_dict() for state in states]} if states else message


def _state(entry: object) -> ProviderState | None:
    match entry:
        case {"format": "understudy", "data": str(word), "text": str(text)}:
            return untagged(word, text)
        case {"format": "understudy", "data": str(word)}:
            return untagged(word)
    return None


# Streams


class StreamWriter:
    """Writes one answer as OpenAI's event stream."""

    __slots__ = (
        "_calls",
        "_choices",
        "_created",
        "_first",
        "_id",
        "_listed",
        "_model",
        "_request",
        "_written",
    )

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self._id: str | None = None
        self._model: str | None = None
        self._created = request.created
        self._first = b""  # of the native events that belong to the answer
        self._choices: set[int] = set()  # that have begun
        self._calls: set[tuple[int, int]] = set()  # that have begun, by choice and call
        self._listed: dict[tuple[int, str], int] = {}  # how many entries a choice's lists have
        self._written = False  # something was put into our words

    def __repr__(self) -> str:
        return f"<StreamWriter to an OpenAI client, {len(self._choices)} choices begun>"

    def write(self, chunks: Sequence[ChatChunk], *, native: bool) -> bytes:
        """The events of these chunks, ``b""`` if there is nothing to say yet."""
        if native:
            return b"".join(map(self._native, chunks))
        if self._first:
            self._go_on()
        return b"".join(map(self._event, chunks))

    def end(self, usage: Usage | None) -> bytes:
        """The usage where it is due, and ``[DONE]``."""
        if usage is None or not self._written or not self._request.wants_usage:
            return _DONE
        return self._framed([], usage=_usage(usage)) + _DONE

    def fail(self, reply: ErrorReply) -> bytes:
        return b"data: " + write_error(reply) + b"\n\n"

    def _native(self, chunk: ChatChunk) -> bytes:
        if chunk.raw is None:
            return self._event(chunk)
        if not self._first and (chunk.id or chunk.has_content):
            self._first = chunk.raw
        self._id = self._id or chunk.id
        self._model = self._model or chunk.model
        is_unasked = not self._request.wants_usage and _tells_usage(chunk, chunk.raw)
        return b"" if is_unasked and _NO_CHOICES.search(chunk.raw) else chunk.raw

    def _go_on(self) -> None:
        """Take over an answer that began natively: as the same answer, whose choice has begun."""
        created = _CREATED.search(self._first)
        self._created = int(created[1]) if created else self._created
        self._choices.add(0)
        self._first = b""

    def _event(self, chunk: ChatChunk) -> bytes:
        self._id = self._id or chunk.id
        self._model = self._model or chunk.model
        if not _says_something(chunk):
            return b""
        self._written = True
        choice = {
            "index": chunk.index,
            "delta": self._delta(chunk),
            "logprobs": _logprobs(chunk.logprobs),
            "finish_reason": chunk.finish_reason,
        }
        return self._framed([choice], **({"service_tier": chunk.service_tier} if chunk.service_tier else {}))

    def _delta(self, chunk: ChatChunk) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if chunk.index not in self._choices:
            self._choices.add(chunk.index)
            delta["role"] = "assistant"
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.refusal:
            delta["refusal"] = chunk.refusal
        if chunk.tool_calls:
            delta["tool_calls"] = [self._call(chunk.index, call) for call in chunk.tool_calls]
        if chunk.audio:
            delta["audio"] = chunk.audio
        if chunk.annotations:
            delta["annotations"] = self._numbered(chunk.index, "annotations", chunk.annotations)
        if chunk.state:
            details = map(_detail, chunk.state)
            delta["reasoning_details"] = self._numbered(chunk.index, "reasoning_details", details)
        return delta

    def _numbered(self, choice: int, name: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rule 6."""
        begun = self._listed.get((choice, name), 0)
        numbered = [{"index": number, **entry} for number, entry in enumerate(entries, begun)]
        self._listed[choice, name] = begun + len(numbered)
        return numbered

    def _call(self, choice: int, call: ToolCallDelta) -> dict[str, Any]:
        if (choice, call.index) in self._calls:
            return {"index": call.index, "function": {"arguments": call.arguments}}
        self._calls.add((choice, call.index))
        return {"index": call.index, **_tool_call(self._request, choice, call)}

    def _framed(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        body = {
            "id": self._id or _answer_id(self._request),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model or self._request.model,
            "choices": choices,
            **more,
        }
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _tells_usage(chunk: ChatChunk, raw: bytes) -> bool:
    """Has the event usage, if only one of zeros, which is read as none?"""
    return chunk.usage is not None or (not _says_something(chunk) and _USAGE.search(raw) is not None)


def _says_something(chunk: ChatChunk) -> bool:
    return bool(
        chunk.text
        or chunk.finish_reason
        or chunk.reasoning
        or chunk.tool_calls
        or chunk.refusal
        or chunk.audio
        or chunk.annotations
        or chunk.logprobs
        or chunk.state
    )


def _logprobs(entries: Sequence[Any]) -> dict[str, Any] | None:
    return {"content": entries, "refusal": None} if entries else None


def _detail(state: ProviderState) -> dict[str, Any]:
    """A state as an entry of ``reasoning_details``, as some backends of this format hand out theirs."""
    entry = {"type": "reasoning.encrypted", "format": "understudy", "data": tagged(state)}
    return entry | ({"text": state.text} if state.text else {})


def _answer_id(request: ClientRequest) -> str:
    return f"chatcmpl-{request.id}"


def _tool_call(request: ClientRequest, choice: int, call: ToolCallDelta) -> dict[str, Any]:
    return {
        "id": call.id or f"call_{request.id}_{choice}_{call.index}",
        "type": "function",
        "function": {"name": call.name or "", "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    written = {"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, **written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


# Whole answers


def write_answer(chunks: Sequence[ChatChunk], usage: Usage | None, request: ClientRequest) -> bytes:
    """A ``chat.completion`` with every choice of the chunks."""
    choices: dict[int, list[ChatChunk]] = {}
    for chunk in chunks:
        choices.setdefault(chunk.index, []).append(chunk)
    body = {
        "id": next((chunk.id for chunk in chunks if chunk.id), None) or _answer_id(request),
        "object": "chat.completion",
        "created": request.created,
        "model": next((chunk.model for chunk in chunks if chunk.model), None) or request.model,
        "choices": [_choice(index, choices[index], request) for index in sorted(choices)],
    }
    if tier := next((chunk.service_tier for chunk in chunks if chunk.service_tier), None):
        body["service_tier"] = tier
    if usage is not None:
        body["usage"] = _usage(usage)
    return msgspec.json.encode(body)


def _choice(index: int, chunks: list[ChatChunk], request: ClientRequest) -> dict[str, Any]:
    text = "".join(chunk.text for chunk in chunks)
    refusal = "".join(chunk.refusal for chunk in chunks)
    calls = [_tool_call(request, index, call) for call in whole_calls(chunks)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (calls or refusal) else None,
        "refusal": refusal or None,
    }
    if reasoning := "".join(chunk.reasoning for chunk in chunks):
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    if audio := next((chunk.audio for chunk in chunks if chunk.audio), None):
        message["audio"] = audio
    if annotations := [entry for chunk in chunks for entry in chunk.annotations]:
        message["annotations"] = annotations
    if details := [_detail(state) for chunk in chunks for state in chunk.state]:
        message["reasoning_details"] = details
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs([entry for chunk in chunks for entry in chunk.logprobs]),
        "finish_reason": next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None),
    }


_DIALECT = cast("Dialect", sys.modules[__name__])
