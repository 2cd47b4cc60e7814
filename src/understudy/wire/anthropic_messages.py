"""Anthropic's Messages, as Anthropic and those who imitate it answer them.

1. A request in neutral words is put into Anthropic's (`anthropic_request`). One that came in them goes out
   as it came, but for the model, what the defaults add, and what another format's backend said that answered
   this conversation before, because Anthropic refuses it: thoughts without a signature or with another's
   state in its place, citations without an index. Nor does it think with a budget in the middle of tool use
   that began without thoughts of its own, nor tidy up after such thinking (`left_out_native`).
2. A stream's terminal marker is ``message_stop``, and nothing after it is read. A ``stop_reason`` alone is
   none.
3. Every event makes one chunk, which carries its own bytes, framed anew. What it holds is read by
   `anthropic_answer`.
4. An ``error`` is a failure, classed as if it had come as a status, and the last thing that is decoded.
5. A malformed event is dropped and counted while it is isolated, that is, after a sound one. As the very
   first, after another one, once a tool call has begun, or with `strict`, it is a failure. So is a piece of
   input for a block whose beginning never came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.anthropic_answer import Reader, decode_event, decode_message, whole_chunk
from understudy.wire.anthropic_request import MANAGED, NAME, body_of, left_out, without_clearing
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed
from understudy.wire.refusal import classify_error_object
from understudy.wire.sniffing import sniff, what_else
from understudy.wire.sse import Event, EventStream, framed, sound
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


class StreamDecoder:
    """The body of one stream: bytes in, chunks, dropped events and at most one failure out.

    There is one choice, whatever `choices` says; `rules` and `secrets` go to the classing of errors. After
    a failure, and after ``message_stop``, nothing is decoded any more.
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
        """Has a tool call begun, and no ``stop_reason`` come since?"""
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
        if body.error or "error" in (body.type, event.event):
            return [self._error(body.error or lenient_json.decoded(event.data))]
        try:
            chunk = self._reader.read(body, _framed(event, body.type))
        except ProtocolViolation as error:
            return [self._fail(Failure(FailureKind.PROTOCOL, str(error), in_stream=True))]
        self._sound = True
        self.finished = self.done = body.type == "message_stop"
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
        message = decode_message(body)
    except (ValueError, RecursionError):
        return Failure(FailureKind.PROTOCOL, what_else(body))
    if message.error or message.type == "error":
        error = message.error or lenient_json.decoded(body)
        return classify_error_object(error, rules=rules, secrets=secrets)
    if message.content is None and message.type != "message":
        return Failure(FailureKind.PROTOCOL, "the answer is JSON, but no message")
    return [whole_chunk(message, sound(body))]


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason in EMPTY_REASONS


def _framed(event: Event, type_: str | None) -> bytes:
    """With its name, without which Anthropic's own clients pass it over; imitators may leave it out."""
    return framed(event if event.event != "message" or not type_ else Event(event.data, type_))
