"""OpenAI's Responses towards a client: its requests read, its answers written.

1. Of a request only what deciding takes is decoded; `responses_conversation` translates the whole for other
   formats.
2. Nothing is stored here. What needs a store is refused: `previous_response_id`, `conversation` and
   `background`. A client that leaves `store` out or sets it is served all the same, as if it had not: it gets
   its whole answer, and has to send the whole conversation next time.
3. A native chunk goes out as the bytes that came; such a stream ends by itself, with its last response.
   Where another backend goes on with it, the rest is written like any other stream.
4. Any other stream is written by `responses_stream`; a whole answer is the response that such a stream would
   have ended with.
5. A failure is ``response.failed``, with the id and the next number of the stream that it ends, also of a
   native one. One that has not begun begins before.
6. Audio and second choices cannot be said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import msgspec

from understudy.wire import openai_responses
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.dialect import (
    BadRequest,
    ClientRequest,
    Dialect,
    ErrorReply,
    Fields,
    convert,
    cut_apart,
)
from understudy.wire.openai_error import write_error
from understudy.wire.responses_begun import BegunResponse
from understudy.wire.responses_conversation import chat_of, parts_left_out
from understudy.wire.responses_output import answer_id, response
from understudy.wire.responses_stream import ResponsesStream, event

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

FORMAT = openai_responses
PASSED_ON: tuple[str, ...] = ()
ERROR_FIELDS = frozenset({"error"})

_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d+)')


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, its fields skipped."""


_TEXT = Annotated[str, msgspec.Meta(min_length=1)]
_MODEL = msgspec.json.Decoder(_TEXT)
_FLAG = msgspec.json.Decoder(bool | None)
_INPUT = msgspec.json.Decoder(_TEXT | Annotated[list[_Object], msgspec.Meta(min_length=1)])
_NULL = msgspec.Raw(b"null")


def read_request(body: bytes) -> ClientRequest:
    """Raises `BadRequest`."""
    fields = cut_apart(body)
    request = ClientRequest(
        _DIALECT,
        fields,
        model=convert("model", _given(fields, "model"), _MODEL, "a non-empty string"),
        stream=bool(convert("stream", _given(fields, "stream"), _FLAG, "true or false")),
        prompt="input",
    )
    _refuse_store(fields)
    convert("input", _given(fields, "input"), _INPUT, "a non-empty string or list of objects")
    return request


def _given(fields: Fields, name: str) -> msgspec.Raw:
    return fields.get(name, _NULL)


def _refuse_store(fields: Fields) -> None:
    """Rule 2."""
    convert("store", _given(fields, "store"), _FLAG, "true or false")
    if convert("background", _given(fields, "background"), _FLAG, "true or false"):
        raise BadRequest("background: responses are not stored here: leave it out, or stream", "background")
    for name in ("previous_response_id", "conversation"):
        if bytes(_given(fields, name)) != b"null":
            message = "responses are not stored here: send the whole conversation as input, with store: false"
            raise BadRequest(f"{name}: {message}", name)


class StreamWriter:
    """Writes one answer as the event stream of Responses."""

    __slots__ = ("_begun", "_last", "_model", "_name", "_request", "_stream")

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self._stream = ResponsesStream(request)
        self._last = b""  # the newest native event
        self._begun = BegunResponse()
        self._name: str | None = None  # the native response's id
        self._model: str | None = None

    def __repr__(self) -> str:
        state = "native" if self._last else repr(self._stream)
        return f"<StreamWriter to a Responses client, {state}>"

    def write(self, chunks: Sequence[ChatChunk], *, native: bool) -> bytes:
        """The events of these chunks, ``b""`` if there is nothing to say yet."""
        if native:
            return b"".join(map(self._pass_on, chunks))
        begun = self._go_on() if self._last else b""
        return begun + b"".join(map(self._stream.write, chunks))

    def end(self, usage: Usage | None) -> bytes:
        """What is still to be said; nothing where the backend has said it itself."""
        return b"" if self._last else self._stream.end(usage)

    def fail(self, reply: ErrorReply) -> bytes:
        """Rule 5."""
        if not self._last:
            return self._stream.fail(reply)
        failed = response(
            self._request,
            "failed",
            name=self._name or answer_id(None, self._request),
            model=self._model or self._request.model,
            error=reply,
        )
        return event("response.failed", self._next_number(), response=failed)

    def _go_on(self) -> bytes:
        """Take over a response that began natively."""
        name, model = self._name or answer_id(None, self._request), self._model or self._request.model
        number, self._last = self._next_number(), b""
        return self._stream.go_on(self._begun, name, model, number)

    def _next_number(self) -> int:
        newest = _NUMBER.findall(self._last)
        return int(newest[-1]) + 1 if newest else 0

    def _pass_on(self, chunk: ChatChunk) -> bytes:
        if chunk.raw is None:
            return self._stream.write(chunk)
        self._last = chunk.raw or self._last
        self._begun.note(chunk, chunk.raw)
        self._name = self._name or chunk.id
        self._model = self._model or chunk.model
        return chunk.raw


def write_answer(chunks: Sequence[ChatChunk], usage: Usage | None, request: ClientRequest) -> bytes:
    """A whole response."""
    stream = ResponsesStream(request)
    for chunk in chunks:
        stream.write(chunk)
    return msgspec.json.encode(stream.whole(usage))


_DIALECT = cast("Dialect", sys.modules[__name__])
