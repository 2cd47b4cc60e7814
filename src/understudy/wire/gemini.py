"""Gemini's ``generateContent`` and ``streamGenerateContent``, towards backends alone.

1. The address says the model and whether it is a stream. ``models/x`` and ``tunedModels/x`` are taken as
   they are, other names are a model's. A request in neutral words is put into Gemini's (`gemini_request`).
2. A stream's terminal marker is a `finishReason` for every candidate asked for. Once it has come, nothing
   that follows can make the answer a failure; only usage, citations and state are still read.
3. What a response holds is read by `gemini_answer`. No client speaks Gemini's format with us.
4. A blocked prompt, a candidate that went wrong and an ``error`` in any response are failures, classed as if
   they had come as a status, and the last thing that is decoded.
5. A malformed event is dropped and counted while it is isolated, that is, after a sound one. As the very
   first, after another one, after a function call, which more calls may follow, or with `strict`, it is a
   failure.
6. A stream that comes as a JSON list, not as events, is read as a whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire import lenient_json, sniffing
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed
from understudy.wire.gemini_answer import Reader, Response, decode, decode_all
from understudy.wire.gemini_request import NAME, body_of, left_out
from understudy.wire.refusal import classify_error_object
from understudy.wire.sse import Event, EventStream, framed

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


def _failure(
    response: Response, data: bytes, event: str, rules: Sequence[ErrorRule], secrets: Sequence[str]
) -> Failure | None:
    """What a response says instead of an answer, None if it is one."""
    if response.error or event == "error":
        error = response.error or lenient_json.decoded(data)
        return classify_error_object(error, rules=rules, secrets=secrets)
    if (refusal := response.refusal) is None:
        return None
    kind, said = refusal
    return classify_error_object(said, kind=kind, rules=rules, secrets=secrets)


class StreamDecoder:
    """The body of one stream: bytes in, chunks, dropped events and at most one failure out.

    `choices` is how many candidates were asked for; `rules` and `secrets` go to the classing of errors.
    After a failure, and after an imitator's ``[DONE]``, nothing is decoded any more.
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
        self.malformed = 0
        self._reader = Reader(choices)
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
    def finished(self) -> bool:
        """Has a terminal marker come for every candidate asked for?"""
        return self._reader.finished

    @property
    def tool_call_open(self) -> bool:
        """Has a function call come whose candidate has not finished?"""
        return self._reader.call_open

    @property
    def finish_reason(self) -> str | None:
        """The newest one that came, in OpenAI's words."""
        return self._reader.finish_reason

    def feed(self, data: bytes) -> list[ChatChunk | Malformed | Failure]:
        """What these bytes complete. Raises nothing."""
        if self.done or self._failed:
            return []
        try:
            events = self._events.feed(data)
        except ProtocolViolation as error:
            return [self._fail(Failure(FailureKind.PROTOCOL, str(error)))] if not self.finished else []
        decoded: list[ChatChunk | Malformed | Failure] = []
        for event in events:
            decoded += self._decode(event)
            if self.done or self._failed:
                break
        return decoded

    def _decode(self, event: Event) -> Sequence[ChatChunk | Malformed | Failure]:
        try:
            response = decode(event.data)
        except (ValueError, RecursionError) as error:
            return self._unreadable(event, error)
        failure = _failure(response, event.data, event.event, self._rules, self._secrets)
        if failure is not None:
            return [self._failure(failure)]
        self._sound = True
        return self._reader.read(response, framed(event))

    def _unreadable(self, event: Event, error: Exception) -> Sequence[Malformed | Failure]:
        """There are four cases: an imitator's end, an empty event that only keeps the connection alive, an
        error in plain words, garbage."""
        data = event.data.strip()
        if data == b"[DONE]":
            self.done = True
        if self.done or not data:
            return []
        if event.event == "error":
            said = data.decode(errors="replace")
            return [self._failure(classify_error_object(said, rules=self._rules, secrets=self._secrets))]
        return [self._malformed(f"a malformed event: {error}")]

    def _malformed(self, message: str) -> Malformed | Failure:
        self.malformed += 1
        isolated, self._sound = self._sound, False
        if self.finished or (isolated and not self._strict and not self.tool_call_open):
            return Malformed(message)
        return self._fail(Failure(FailureKind.PROTOCOL, message, in_stream=True))

    def _failure(self, failure: Failure) -> Malformed | Failure:
        if self.finished:
            return self._malformed(f"an error after the end: {failure.message}")
        return self._fail(failure)

    def _fail(self, failure: Failure) -> Failure:
        self._failed = True
        return failure


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
    if not body.strip():
        return [ChatChunk(raw=body)]
    try:
        responses = decode_all(body)
    except (ValueError, RecursionError):
        return Failure(FailureKind.PROTOCOL, _what_else(body))
    reader = Reader(choices)
    chunks: list[ChatChunk] = []
    for response in responses:
        failure = _failure(response, body, "", rules, secrets)
        if failure is not None:
            return failure
        chunks += reader.read(response, b"" if chunks else body)
    if not any(response.says_something for response in responses):
        return Failure(FailureKind.PROTOCOL, "the answer is JSON, but none of Gemini's")
    if 0 < reader.came < choices:
        return Failure(FailureKind.PROTOCOL, f"only {reader.came} of {choices} candidates came")
    return chunks


def _what_else(body: bytes) -> str:
    is_list = body.lstrip().startswith(b"[")
    return "the answer is cut or malformed JSON" if is_list else sniffing.what_else(body)


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason in EMPTY_REASONS


def sniff(content_type: str | None, first_bytes: bytes) -> Literal["sse", "json", "unknown"]:
    """What a body is, going by its first bytes; a list is JSON here."""
    if first_bytes.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        return "json"
    return sniffing.sniff(content_type, first_bytes)
