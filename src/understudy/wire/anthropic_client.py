"""Anthropic's Messages towards a client: its requests read, its answers written.

1. Of a request only what deciding takes is decoded; `anthropic_conversation` translates the whole for other
   formats.
2. A native chunk goes out as the bytes that came; such a stream ends by itself, with its ``message_stop``.
   Where another backend goes on with it, the rest is written like any other stream.
3. Any other stream is written by `anthropic_stream`.
4. An answer's `stop_reason` is Anthropic's word for the finish reason. Whoever called a tool stopped to
   have it used, whatever else the backend called that; no word, or an unknown one, is ``end_turn``.
5. Refusals, which are a text of their own elsewhere, are text. Audio and second choices cannot be said.
6. Input tokens are counted without those read from the cache or written to it, as Anthropic counts them.
7. A failure is the last event of a stream.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec

from understudy.wire import anthropic_messages
from understudy.wire.anthropic_conversation import chat_of, parts_left_out
from understudy.wire.anthropic_count import count_tokens
from understudy.wire.anthropic_request import input_of
from understudy.wire.anthropic_stream import (
    AnthropicStream,
    answer_id,
    call_id,
    citations_of,
    stop_reason,
    thought_block,
    usage_fields,
)
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.dialect import (
    ClientRequest,
    Dialect,
    ErrorReply,
    Fields,
    convert,
    cut_apart,
    whole_calls,
)
from understudy.wire.thoughts import blocks_of

__all__ = [
    "ERROR_FIELDS",
    "FORMAT",
    "PASSED_ON",
    "StreamWriter",
    "chat_of",
    "count_tokens",
    "parts_left_out",
    "read_request",
    "write_answer",
    "write_error",
]

FORMAT = anthropic_messages
PASSED_ON = ("anthropic-beta",)
ERROR_FIELDS = frozenset({"type", "error"})

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


_ABOUT_BLOCKS = b"event: content_block_"


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, its fields skipped."""


_MODEL = msgspec.json.Decoder(Annotated[str, msgspec.Meta(min_length=1)])
_FLAG = msgspec.json.Decoder(bool | None)
_MESSAGES = msgspec.json.Decoder(Annotated[list[_Object], msgspec.Meta(min_length=1)])
_NULL = msgspec.Raw(b"null")


def read_request(body: bytes) -> ClientRequest:
    """Raises `BadRequest`."""
    fields = cut_apart(body)
    request = ClientRequest(
        _DIALECT,
        fields,
        model=convert("model", _given(fields, "model"), _MODEL, "a non-empty string"),
        stream=bool(convert("stream", _given(fields, "stream"), _FLAG, "true or false")),
    )
    convert("messages", _given(fields, "messages"), _MESSAGES, "a non-empty list of objects")
    return request


def _given(fields: Fields, name: str) -> msgspec.Raw:
    return fields.get(name, _NULL)


class StreamWriter:
    """Writes one answer as Anthropic's event stream."""

    __slots__ = ("_native", "_newest", "_stream")

    def __init__(self, request: ClientRequest) -> None:
        self._stream = AnthropicStream(request)
        self._native = False  # the newest events went out as they came
        self._newest = b""  # of the native events about blocks

    def __repr__(self) -> str:
        state = "native" if self._native else repr(self._stream)
        return f"<StreamWriter to an Anthropic client, {state}>"

    def write(self, chunks: Sequence[ChatChunk], *, native: bool) -> bytes:
        """The events of these chunks, ``b""`` if there is nothing to say yet."""
        if native:
            return b"".join(map(self._pass_on, chunks))
        begun = self._stream.go_on(self._newest) if self._native else b""
        self._native = False
        return begun + b"".join(map(self._stream.write, chunks))

    def end(self, usage: Usage | None) -> bytes:
        """What is still to be said; nothing where the backend has said it itself."""
        return b"" if self._native else self._stream.end(usage)

    def fail(self, reply: ErrorReply) -> bytes:
        return b"event: error\ndata: " + write_error(reply) + b"\n\n"

    def _pass_on(self, chunk: ChatChunk) -> bytes:
        if chunk.raw is None:
            return self._stream.write(chunk)
        self._native = True
        if chunk.raw.startswith(_ABOUT_BLOCKS):
            self._newest = chunk.raw
        return chunk.raw


def write_answer(chunks: Sequence[ChatChunk], usage: Usage | None, request: ClientRequest) -> bytes:
    """A whole message."""
    first = [chunk for chunk in chunks if chunk.index == 0]
    content = _content(first, request)
    reason = next((chunk.finish_reason for chunk in first if chunk.finish_reason), None)
    tier = next((chunk.service_tier for chunk in first if chunk.service_tier), None)
    message = {
        "id": answer_id(next((chunk.id for chunk in first if chunk.id), None), request),
        "type": "message",
        "role": "assistant",
        "model": next((chunk.model for chunk in first if chunk.model), None) or request.model,
        "content": content,
        "stop_reason": stop_reason(reason, called=any(block["type"] == "tool_use" for block in content)),
        "stop_sequence": None,
        "usage": usage_fields(usage, tier),
    }
    return msgspec.json.encode(message)


def _content(chunks: Sequence[ChatChunk], request: ClientRequest) -> list[dict[str, Any]]:
    reasoning = "".join(chunk.reasoning for chunk in chunks)
    states = [state for chunk in chunks for state in chunk.state]
    content = [thought_block(thought, state) for thought, state in blocks_of(reasoning, states)]
    if text := "".join(chunk.text + chunk.refusal for chunk in chunks):
        citations = [citation for chunk in chunks for citation in citations_of(chunk)]
        content.append({"type": "text", "text": text} | ({"citations": citations} if citations else {}))
    for call in whole_calls(chunks):
        called = {"id": call_id(call, request), "name": call.name or "", "input": input_of(call.arguments)}
        content.append({"type": "tool_use", **called})
    return content


def write_error(reply: ErrorReply) -> bytes:
    """``{"type": "error", "error": {…}}``, as the body of an answer with the reply's status."""
    return msgspec.json.encode({"type": "error", "error": _error(reply), "request_id": reply.request_id})


def _error(reply: ErrorReply) -> Mapping[str, Any]:
    named = {"type": _type(reply.status), "message": reply.message, "code": reply.code}
    if reply.param is not None:
        named["param"] = reply.param
    return {**reply.details, **named}


def _type(status: int) -> str:
    return ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


_DIALECT = cast("Dialect", sys.modules[__name__])
