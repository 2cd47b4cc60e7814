"""What Anthropic's events and messages say, as neutral chunks.

1. Every event makes one chunk that carries its own bytes: also a ``ping``, a server's tool and whatever we
   do not know, which hold no content for us.
2. Tool calls are numbered in the order of their blocks. A call's input may come in its block's beginning or
   in pieces after it; where neither brings any, it is ``{}``, so that arguments are always JSON.
3. Usage is said where the answer ends, and the tier with it: of each figure the newest, and input counts
   what was read from the cache and written to it. All zero is no usage.
4. ``stop_reason`` is put into OpenAI's words by `FINISH_REASONS`; a word that is not there stays as it is.
5. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across deltas.
6. An event whose data names no type is of the type that the stream gives it.
7. A signed thought is state, told when its block ends; a redacted one when it begins.
8. Citations of pages and documents are told in OpenAI chat's shape, when their block ends: it is that
   block's text that they speak of.
9. Bytes are passed on with their event's name, without which Anthropic's own clients pass it over; imitators
   may leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from understudy.errors import ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.anthropic_request import NAME
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.decoder import ErrorInside
from understudy.wire.sse import Event, framed, sound
from understudy.wire.state import ProviderState
from understudy.wire.surrogates import SurrogateHalves

__all__ = [
    "FINISH_REASONS",
    "TIERS",
    "AnthropicEvent",
    "AnthropicMessage",
    "Reader",
    "decode_event",
    "decode_message",
    "read_whole",
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
TIERS = {"standard": "default"}


# Only what is read is named; the rest is skipped, not parsed into objects.


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Any = None
    stop_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: Any = None
    citations: Any = None
    input: Any = None


class _Details(msgspec.Struct, gc=False):
    thinking_tokens: float | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    cache_creation_input_tokens: float | None = None
    output_tokens_details: _Details | None = None
    service_tier: Any = None


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
    written = _newest("cache_creation_input_tokens", said)
    total = tokens_in + cached + written
    tokens_out = _newest("output_tokens", said)
    if not total and not tokens_out:
        return None
    details = next((usage.output_tokens_details for usage in reversed(said) if usage), None)
    thought = _count(details.thinking_tokens) if details else 0
    return Usage(
        total,
        tokens_out,
        reasoning_tokens=thought,
        cached_tokens=cached,
        cache_write_tokens=written,
    )


def _tier_of(*said: _Usage | None) -> str | None:
    """In OpenAI's words."""
    tiers = [usage.service_tier for usage in said if usage and isinstance(usage.service_tier, str)]
    return TIERS.get(tiers[-1], tiers[-1]) if tiers else None


def _newest(name: str, said: Sequence[_Usage | None]) -> int:
    figures = (getattr(usage, name) for usage in reversed(said) if usage)
    return _count(next((figure for figure in figures if figure is not None), None))


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


class _Thought:
    """A thinking block that has come in part."""

    __slots__ = ("signature", "text")

    def __init__(self, block: _Block) -> None:
        self.text = [block.thinking or ""]
        self.signature = block.signature or ""


class Reader:
    """One answer's message, put together event by event. There is one choice, whatever is `asked`.

    `call_open`: a tool call has begun, and no ``stop_reason`` has come since.
    """

    __slots__ = (
        "_block_start",
        "_calls",
        "_cited",
        "_halves",
        "_inputs",
        "_length",
        "_thoughts",
        "_usage",
        "call_open",
        "done",
        "finish_reason",
        "finished",
    )

    def __init__(self, asked: int = 1) -> None:
        self.finish_reason: str | None = None
        self.finished = self.done = False
        self.call_open = False
        self._calls: dict[int, int | None] = {}  # by block: the call's number, None for other blocks
        self._inputs: dict[int, str] = {}  # by block: the input to give if no pieces of it come
        self._thoughts: dict[int, _Thought] = {}  # by block
        self._cited: list[Any] = []  # by the newest block
        self._length = 0  # of the text so far
        self._block_start = 0  # where the newest block's text begins in it
        self._usage: _Usage | None = None
        self._halves = SurrogateHalves()

    def take(self, event: Event) -> list[ChatChunk]:
        said = decode_event(event)
        if said.error or "error" in (said.type, event.event):
            raise ErrorInside(said.error or lenient_json.decoded(event.data))
        self.finished = self.done = said.type == "message_stop"
        return [self.read(said, _framed(event, said.type))]

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
        """There are four cases: a tool call, a thought, a redacted thought, text and everything else."""
        if block.type == "tool_use":
            return self._begin_call(index, block, raw)
        self._calls[index] = None
        self._block_start = self._length
        if block.type == "thinking":
            self._thoughts[index] = _Thought(block)
        elif block.type == "redacted_thinking":
            return ChatChunk(raw=raw, state=_states([block]))
        self._length += len(block.text or "")
        return ChatChunk(block.text or "", block.thinking or "", raw=raw)

    def _begin_call(self, index: int, block: _Block, raw: bytes) -> ChatChunk:
        self.call_open = True
        number = sum(call is not None for call in self._calls.values())
        self._calls[index] = number
        self._inputs[index] = _arguments(block.input)
        return ChatChunk(tool_calls=(ToolCallDelta(number, block.id or None, block.name or None),), raw=raw)

    def _delta(self, index: int, delta: _Delta, raw: bytes) -> ChatChunk:
        if delta.text:
            text = self._halves.join("text", delta.text)
            self._length += len(text)
            return ChatChunk(text, raw=raw)
        if delta.partial_json:
            return ChatChunk(tool_calls=self._piece(index, delta.partial_json), raw=raw)
        if delta.thinking:
            return ChatChunk("", self._think(index, delta.thinking), raw=raw)
        if delta.signature and (thought := self._thoughts.get(index)) is not None:
            thought.signature += delta.signature
        if delta.citation is not None:
            self._cited.append(delta.citation)
        return ChatChunk(raw=raw)

    def _think(self, index: int, piece: str) -> str:
        piece = self._halves.join("reasoning", piece)
        if (thought := self._thoughts.get(index)) is not None:
            thought.text.append(piece)
        return piece

    def _piece(self, index: int, piece: str) -> tuple[ToolCallDelta, ...]:
        if index not in self._calls:
            raise ProtocolViolation("input of a tool call whose beginning is missing")
        number = self._calls[index]
        if number is None:  # of a tool that runs at the server
            return ()
        self._inputs.pop(index, None)
        return (ToolCallDelta(number, arguments=self._halves.join(number, piece)),)

    def _close(self, index: int, raw: bytes) -> ChatChunk:
        thought = self._thoughts.pop(index, None)
        if thought is not None and thought.signature:
            state = ProviderState(NAME, "signature", thought.signature, "".join(thought.text))
            return ChatChunk(raw=raw, state=(state,))
        number = self._calls.get(index)
        whole = self._inputs.pop(index, None)
        if number is None or whole is None:
            cited, self._cited = self._cited, []
            return ChatChunk(raw=raw, annotations=_citations(cited, self._block_start, self._length))
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
            service_tier=_tier_of(self._usage, event.usage),
        )


def _framed(event: Event, kind: str | None) -> bytes:
    """Rule 9."""
    return framed(event if event.event != "message" or not kind else Event(event.data, kind))


def _arguments(value: object) -> str:
    if isinstance(value, str):  # an imitator's
        return value or "{}"
    return lenient_json.encoded(value or {}).decode()


# Whole messages


def read_whole(body: bytes, choices: int) -> list[ChatChunk]:
    """A unary answer. Raises what `Reader.take` does."""
    message = decode_message(body)
    if message.error or message.type == "error":
        raise ErrorInside(message.error or lenient_json.decoded(body))
    if message.content is None and message.type != "message":
        raise ProtocolViolation("the answer is JSON, but no message")
    return [whole_chunk(message, sound(body))]


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
        annotations=tuple(_all_citations(blocks)),
        state=_states(blocks),
        service_tier=_tier_of(message.usage),
    )


def _states(blocks: Iterable[_Block]) -> tuple[ProviderState, ...]:
    """Rule 7."""
    return tuple(state for block in blocks if (state := _state(block)) is not None)


def _state(block: _Block) -> ProviderState | None:
    if block.type == "thinking" and block.signature:
        return ProviderState(NAME, "signature", block.signature, _sound(block.thinking or ""))
    if block.type == "redacted_thinking" and isinstance(block.data, str):
        return ProviderState(NAME, "redacted_thinking", block.data)
    return None


def _all_citations(blocks: Iterable[_Block]) -> Iterator[Any]:
    start = 0
    for block in blocks:
        end = start + len(block.text or "")
        yield from _citations(block.citations, start, end)
        start = end


def _citations(said: object, start: int, end: int) -> tuple[Any, ...]:
    """Rule 8."""
    if not isinstance(said, list):
        return ()
    return tuple(_citation(citation, start, end) for citation in said if isinstance(citation, dict))


def _citation(citation: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    url = citation.get("url") or citation.get("source")
    if url is not None:
        place = {"start_index": start, "end_index": end}
        page = {"url": url, "title": citation.get("title") or "", **place}
        return {"type": "url_citation", "url_citation": page}
    title = citation.get("document_title") or ""
    document = {"file_id": citation.get("file_id") or "", "filename": title, "index": end}
    return {"type": "file_citation", "file_citation": document}


def _sound(text: str) -> str:
    """With U+FFFD for halves of surrogate pairs that stayed alone."""
    halves = SurrogateHalves()
    return halves.join("", text) + halves.rest("")
