"""What Anthropic's events and messages say, as neutral chunks.

1. Every event makes one chunk that carries its own bytes: also a ``ping``, a signature, a citation, a
   server's tool and whatever we do not know, which hold no content for us.
2. Tool calls are numbered in the order of their blocks. A call's input may come in its block's beginning or
   in pieces after it; where neither brings any, it is ``{}``, so that arguments are always JSON.
3. Usage is said where the answer ends: of each figure the newest, and input counts what was read from the
   cache and written to it. All zero is no usage.
4. ``stop_reason`` is put into OpenAI's words by `FINISH_REASONS`; a word that is not there stays as it is.
5. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across deltas.
6. An event whose data names no type is of the type that the stream gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from understudy.errors import ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.sse import Event
from understudy.wire.surrogates import SurrogateHalves

__all__ = [
    "FINISH_REASONS",
    "AnthropicEvent",
    "AnthropicMessage",
    "Reader",
    "decode_event",
    "decode_message",
    "whole_chunk",
]

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


# Only what is read is named; the rest is skipped, not parsed into objects.


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: Any = None


class _Details(msgspec.Struct, gc=False):
    thinking_tokens: float | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    cache_creation_input_tokens: float | None = None
    output_tokens_details: _Details | None = None


class AnthropicMessage(msgspec.Struct, gc=False):
    """What a stream begins with, or a whole unary answer."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: Any = None


class AnthropicEvent(msgspec.Struct, gc=False):
    type: str | None = None
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: AnthropicMessage | str | None = None
    usage: _Usage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(AnthropicEvent)
_MESSAGE = msgspec.json.Decoder(AnthropicMessage)
_NO_DELTA = _Delta()
_NO_BLOCK = _Block()


def decode_event(event: Event) -> AnthropicEvent:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like an event."""
    try:
        decoded = _EVENT.decode(event.data)
    except (ValueError, RecursionError):  # also for broken UTF-8 and halves of surrogate pairs
        decoded = msgspec.convert(lenient_json.decoded(event.data), AnthropicEvent, strict=False)
    if decoded.type is None:
        decoded.type = event.event
    return decoded


def decode_message(data: bytes) -> AnthropicMessage:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like a message."""
    try:
        return _MESSAGE.decode(data)
    except (ValueError, RecursionError):
        return msgspec.convert(lenient_json.decoded(data), AnthropicMessage, strict=False)


# Reading


def _reason(stop_reason: str | None) -> str | None:
    return FINISH_REASONS.get(stop_reason, stop_reason) if stop_reason else None


def _usage_of(*said: _Usage | None) -> Usage | None:
    """The tokens that these name, of each figure the last; None if there are none, or all are zero."""
    tokens_in = _newest("input_tokens", said)
    cached = _newest("cache_read_input_tokens", said)
    total = tokens_in + cached + _newest("cache_creation_input_tokens", said)
    tokens_out = _newest("output_tokens", said)
    if not total and not tokens_out:
        return None
    details = next((usage.output_tokens_details for usage in reversed(said) if usage), None)
    thought = _count(details.thinking_tokens) if details else 0
    return Usage(total, tokens_out, reasoning_tokens=thought, cached_tokens=cached)


def _newest(name: str, said: Sequence[_Usage | None]) -> int:
    figures = (getattr(usage, name) for usage in reversed(said) if usage)
    return _count(next((figure for figure in figures if figure is not None), None))


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


class Reader:
    """One answer's message, put together event by event. `call_open`: a tool call has begun, no end came."""

    __slots__ = ("_calls", "_halves", "_inputs", "_usage", "call_open", "finish_reason")

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.call_open = False
        self._calls: dict[int, int | None] = {}  # by block: the call's number, None for other blocks
        self._inputs: dict[int, str] = {}  # by block: the input to give if no pieces of it come
        self._usage: _Usage | None = None
        self._halves = SurrogateHalves()

    def read(self, event: AnthropicEvent, raw: bytes) -> ChatChunk:
        """Raises ProtocolViolation for input of a block that never began."""
        match event.type:
            case "content_block_delta":
                return self._delta(event.index, event.delta or _NO_DELTA, raw)
            case "content_block_start":
                return self._begin(event.index, event.content_block or _NO_BLOCK, raw)
            case "content_block_stop":
                return self._close(event.index, raw)
            case "message_start":
                return self._start(event.message, raw)
            case "message_delta":
                return self._end(event, raw)
        return ChatChunk(raw=raw)

    def _start(self, message: AnthropicMessage | str | None, raw: bytes) -> ChatChunk:
        if not isinstance(message, AnthropicMessage):
            return ChatChunk(raw=raw)
        self._usage = message.usage
        return ChatChunk(model=message.model or None, id=message.id or None, raw=raw)

    def _begin(self, index: int, block: _Block, raw: bytes) -> ChatChunk:
        if block.type != "tool_use":
            self._calls[index] = None
            return ChatChunk(block.text or "", block.thinking or "", raw=raw)
        self.call_open = True
        number = sum(call is not None for call in self._calls.values())
        self._calls[index] = number
        self._inputs[index] = _arguments(block.input)
        return ChatChunk(tool_calls=(ToolCallDelta(number, block.id or None, block.name or None),), raw=raw)

    def _delta(self, index: int, delta: _Delta, raw: bytes) -> ChatChunk:
        if delta.text:
            return ChatChunk(self._halves.join("text", delta.text), raw=raw)
        if delta.partial_json:
            return ChatChunk(tool_calls=self._piece(index, delta.partial_json), raw=raw)
        if delta.thinking:
            return ChatChunk("", self._halves.join("reasoning", delta.thinking), raw=raw)
        return ChatChunk(raw=raw)

    def _piece(self, index: int, piece: str) -> tuple[ToolCallDelta, ...]:
        if index not in self._calls:
            raise ProtocolViolation("input of a tool call whose beginning is missing")
        number = self._calls[index]
        if number is None:  # of a tool that runs at the server
            return ()
        self._inputs.pop(index, None)
        return (ToolCallDelta(number, arguments=self._halves.join(number, piece)),)

    def _close(self, index: int, raw: bytes) -> ChatChunk:
        number = self._calls.get(index)
        whole = self._inputs.pop(index, None)
        if number is None or whole is None:
            return ChatChunk(raw=raw)
        return ChatChunk(tool_calls=(ToolCallDelta(number, arguments=whole),), raw=raw)

    def _end(self, event: AnthropicEvent, raw: bytes) -> ChatChunk:
        finish_reason = _reason((event.delta or _NO_DELTA).stop_reason)
        if finish_reason is not None:
            self.finish_reason = finish_reason
            self.call_open = False
        owing = [key for key in self._halves.owing() if isinstance(key, int)]
        return ChatChunk(
            self._halves.rest("text"),
            self._halves.rest("reasoning"),
            tool_calls=tuple(ToolCallDelta(key, arguments=self._halves.rest(key)) for key in owing),
            finish_reason=finish_reason,
            usage=_usage_of(self._usage, event.usage),
            raw=raw,
        )


def _arguments(value: object) -> str:
    if isinstance(value, str):  # an imitator's
        return value or "{}"
    return lenient_json.encoded(value or {}).decode()


def whole_chunk(message: AnthropicMessage, raw: bytes) -> ChatChunk:
    """A unary answer."""
    blocks = message.content or []
    calls = [block for block in blocks if block.type == "tool_use"]
    return ChatChunk(
        _sound("".join(block.text or "" for block in blocks)),
        _sound("".join(block.thinking or "" for block in blocks)),
        tool_calls=tuple(
            ToolCallDelta(number, call.id or None, call.name or None, _arguments(call.input))
            for number, call in enumerate(calls)
        ),
        finish_reason=_reason(message.stop_reason),
        usage=_usage_of(message.usage),
        model=message.model or None,
        id=message.id or None,
        raw=raw,
    )


def _sound(text: str) -> str:
    """With U+FFFD for halves of surrogate pairs that stayed alone."""
    halves = SurrogateHalves()
    return halves.join("", text) + halves.rest("")
