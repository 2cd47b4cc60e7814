"""OpenAI's Responses, as OpenAI and those who imitate it answer them.

1. A request in neutral words is put into this format's (`responses_request`). One that came in them goes out
   as it came, but for the model, what the defaults add, ``store``, which is false, and reasoning that this
   backend could not read: another format's, and items that would have to be looked up in a store. Where the
   client did not say itself that there is none, the ids of messages and calls are left out, which a backend
   would look up too.
2. A stream's terminal marker is ``response.completed`` or ``response.incomplete``, and nothing after it is
   read. ``response.failed``, ``response.cancelled`` and ``error`` are failures, classed as if they had come
   as a status, and the last thing that is decoded.
3. Every event makes one chunk, which carries its own bytes, framed anew. What it holds is read by
   `responses_answer`.
4. A malformed event is dropped and counted while it is isolated, that is, after a sound one. As the very
   first, after another one, inside a tool call, or with `strict`, it is a failure. So is a piece of arguments
   for a call whose beginning never came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed
from understudy.wire.refusal import classify_error_object
from understudy.wire.responses_answer import (
    Reader,
    ResponsesAnswer,
    ResponsesEvent,
    decode_answer,
    decode_event,
    whole_chunk,
)
from understudy.wire.responses_request import body_of, left_out, own_words
from understudy.wire.responses_state import NAME
from understudy.wire.sniffing import sniff, what_else
from understudy.wire.sse import Event, EventStream, framed
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

_FAILED = frozenset({"error", "response.failed", "response.cancelled"})
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


class StreamDecoder:
    """The body of one stream: bytes in, chunks, dropped events and at most one failure out.

    There is one choice, whatever `choices` says; `rules` and `secrets` go to the classing of errors. After
    a failure, and after the terminal marker, nothing is decoded any more.
    """

    def __init__(
        self,
        choices: int = 1,
        strict: bool = False,
        *,
        rules: Sequence[ErrorRule] = (),
        secrets: Sequence[str] = (),
    ) -> None:
        self.done = False
        self.finished = False
        self.malformed = 0
        self._reader = Reader()
        self._events = EventStream()
        self._strict = strict
        self._rules = rules
        self._secrets = secrets
        self._sound = False  # the event before this one could be read
        self._failed = False

    def __repr__(self) -> str:
        state = "failed" if self._failed else "done" if self.done else "open"
        return f"<StreamDecoder {state}, finish_reason {self.finish_reason}, {self.malformed} malformed>"

    @property
    def tool_call_open(self) -> bool:
        """Has a tool call begun that is not done?"""
        return self._reader.call_open

    @property
    def finish_reason(self) -> str | None:
        """In OpenAI chat's words."""
        return self._reader.finish_reason

    def feed(self, data: bytes) -> list[ChatChunk | Malformed | Failure]:
        """What these bytes complete. Raises nothing."""
        if self.done or self._failed:
            return []
        try:
            events = self._events.feed(data)
        except ProtocolViolation as error:
            return [self._fail(Failure(FailureKind.PROTOCOL, str(error)))]
        decoded: list[ChatChunk | Malformed | Failure] = []
        for event in events:
            decoded += self._decode(event)
            if self.done or self._failed:
                break
        return decoded

    def _decode(self, event: Event) -> Sequence[ChatChunk | Malformed | Failure]:
        try:
            body = decode_event(event)
        except (ValueError, RecursionError) as error:
            return self._unreadable(event, error)
        if body.error or body.type in _FAILED or event.event in _FAILED:
            return [self._error(_error_in(body, event))]
        try:
            chunk = self._reader.read(body, framed(event))
        except ProtocolViolation as error:
            return [self._fail(Failure(FailureKind.PROTOCOL, str(error), in_stream=True))]
        self._sound = True
        self.finished = self.done = chunk.finish_reason is not None
        return [chunk]

    def _unreadable(self, event: Event, error: Exception) -> Sequence[Malformed | Failure]:
        """There are four cases: an imitator's end, an empty event that only keeps the connection alive, an
        error in plain words, garbage."""
        data = event.data.strip()
        if data == b"[DONE]":
            self.done = True
        if self.done or not data:
            return []
        if event.event == "error":
            return [self._error(data.decode(errors="replace"))]
        return [self._malformed(f"a malformed event: {error}")]

    def _malformed(self, message: str) -> Malformed | Failure:
        self.malformed += 1
        isolated, self._sound = self._sound, False
        if isolated and not self._strict and not self.tool_call_open:
            return Malformed(message)
        return self._fail(Failure(FailureKind.PROTOCOL, message, in_stream=True))

    def _error(self, error: object) -> Failure:
        return self._fail(classify_error_object(error, rules=self._rules, secrets=self._secrets))

    def _fail(self, failure: Failure) -> Failure:
        self._failed = True
        return failure


def _error_in(body: ResponsesEvent, event: Event) -> object:
    """What a failure says: in its own field, in the response's, or in the event itself."""
    if body.error:
        return body.error
    if body.response is not None:
        return _error_of(body.response)
    return lenient_json.decoded(event.data)


def _error_of(response: ResponsesAnswer) -> object:
    return response.error or {"code": "server_error", "message": f"the response {response.status}"}


def decode_unary(
    body: bytes,
    choices: int = 1,
    *,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> list[ChatChunk] | Failure:
    """A whole answer as one chunk."""
    if not body.strip():
        return [ChatChunk(raw=body)]
    try:
        answer = decode_answer(body)
    except (ValueError, RecursionError):
        return Failure(FailureKind.PROTOCOL, what_else(body))
    if answer.error or answer.status in ("failed", "cancelled"):
        return classify_error_object(_error_of(answer), rules=rules, secrets=secrets)
    if answer.output is None and answer.object != "response":
        return Failure(FailureKind.PROTOCOL, "the answer is JSON, but no response")
    if answer.status in ("queued", "in_progress"):
        return Failure(FailureKind.PROTOCOL, "the answer is still to come: it is worked on in the background")
    return [whole_chunk(answer, body)]


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason in EMPTY_REASONS
