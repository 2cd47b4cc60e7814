"""What Responses' events and whole answers say, as neutral chunks.

1. Every event makes one chunk that carries its own bytes: also those of tools that run at the server, and
   whatever we do not know, which hold no content for us.
2. Tool calls are numbered in the order in which their items begin. A custom tool's input is its arguments.
   A piece of arguments of an item that never began is a protocol violation.
3. What came in pieces counts. An item that came whole, in its own ``done`` event or only with the end, is
   read there, as some imitators have it.
4. Of reasoning, either the summary or the full text is read, whichever an item has first; a summary's parts
   are parted by blank lines. Encrypted reasoning is state, told when its item is done.
5. Citations are told in OpenAI chat's shape, in which each stands under the name of its type.
6. The end says usage, the tier, and why: ``incomplete_details.reason`` is put into OpenAI chat's words by
   `FINISH_REASONS`, and a word that is not there stays as it is. All zero is no usage.
7. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across deltas.
8. An event whose data names no type is of the type that the stream gives it.
9. ``response.failed``, ``response.cancelled`` and ``error`` are errors, which stand in a field of their own,
   in the response, or in the event itself. An answer that is still worked on is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from understudy.errors import ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.decoder import ErrorInside
from understudy.wire.responses_state import state_of
from understudy.wire.sse import Event, framed
from understudy.wire.state import ProviderState
from understudy.wire.surrogates import SurrogateHalves

__all__ = [
    "FINISH_REASONS",
    "Reader",
    "ResponsesAnswer",
    "ResponsesEvent",
    "decode_answer",
    "decode_event",
    "read_whole",
    "whole_chunk",
]

FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}

_CALLS = ("function_call", "custom_tool_call")
_FAILED = frozenset({"error", "response.failed", "response.cancelled"})


# Only what is read is named; the rest is skipped, not parsed into objects.


class _Part(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: Any = None
    content: Any = None
    summary: Any = None
    encrypted_content: Any = None


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: float | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: float | None = None
    output_tokens: float | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class ResponsesAnswer(msgspec.Struct, gc=False):
    """The response that an event speaks of, or a whole unary answer."""

    object: str | None = None
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    service_tier: Any = None
    incomplete_details: _Incomplete | None = None
    error: Any = None


class ResponsesEvent(msgspec.Struct, gc=False):
    type: str | None = None
    output_index: int = 0
    summary_index: int = 0
    delta: Any = None
    item: _Item | None = None
    response: ResponsesAnswer | None = None
    annotation: Any = None
    logprobs: list[Any] | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(ResponsesEvent)
_ANSWER = msgspec.json.Decoder(ResponsesAnswer)
_NO_ITEM = _Item()
_NO_ANSWER = ResponsesAnswer()


def decode_event(event: Event) -> ResponsesEvent:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like an event."""
    try:
        decoded = _EVENT.decode(event.data)
    except (ValueError, RecursionError):  # also for broken UTF-8 and halves of surrogate pairs
        decoded = msgspec.convert(lenient_json.decoded(event.data), ResponsesEvent, strict=False)
    if decoded.type is None:
        decoded.type = event.event
    return decoded


def decode_answer(data: bytes) -> ResponsesAnswer:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like a response."""
    try:
        return _ANSWER.decode(data)
    except (ValueError, RecursionError):
        return msgspec.convert(lenient_json.decoded(data), ResponsesAnswer, strict=False)


# Reading


class Reader:
    """One answer, put together event by event. There is one choice, whatever is `asked`."""

    __slots__ = ("_begun", "_calls", "_halves", "_open", "_thoughts", "done", "finish_reason", "finished")

    def __init__(self, asked: int = 1) -> None:
        self.finish_reason: str | None = None
        self.finished = self.done = False
        self._begun: set[int] = set()  # items of which something was told
        self._calls: dict[int, int] = {}  # by item: the call's number
        self._open: set[int] = set()  # calls that are not done
        self._thoughts: dict[int, str] = {}  # by item: which of its texts is read
        self._halves = SurrogateHalves()

    @property
    def call_open(self) -> bool:
        """Has a tool call begun that is not done?"""
        return bool(self._open)

    def take(self, event: Event) -> list[ChatChunk]:
        said = decode_event(event)
        if said.error or said.type in _FAILED or event.event in _FAILED:
            raise ErrorInside(_error_in(said, event))
        return [self.read(said, framed(event))]

    def read(self, event: ResponsesEvent, raw: bytes) -> ChatChunk:
        """Raises ProtocolViolation for arguments of an item that never began."""
        match event.type:
            case "response.output_text.delta":
                return self._text(event, raw)
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._arguments(event, raw)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return ChatChunk("", self._thought(event, event.type, _text(event.delta)), raw=raw)
            case "response.reasoning_summary_part.added" if event.summary_index:
                kind = "response.reasoning_summary_text.delta"
                return ChatChunk("", self._thought(event, kind, "\n\n"), raw=raw)
            case "response.refusal.delta":
                self._begun.add(event.output_index)
                return ChatChunk(refusal=self._halves.join("refusal", _text(event.delta)), raw=raw)
            case "response.output_text.annotation.added":
                return ChatChunk(annotations=_citations([event.annotation]), raw=raw)
            case "response.output_item.added":
                return self._begin(event.output_index, event.item or _NO_ITEM, raw)
            case "response.output_item.done":
                return self._done(event.output_index, event.item or _NO_ITEM, raw)
            case "response.completed" | "response.incomplete":
                return self._end(event.response or _NO_ANSWER, event.type, raw)
        response = event.response or _NO_ANSWER
        return ChatChunk(model=response.model or None, id=response.id or None, raw=raw)

    def _text(self, event: ResponsesEvent, raw: bytes) -> ChatChunk:
        self._begun.add(event.output_index)
        text = self._halves.join("text", _text(event.delta))
        return ChatChunk(text, raw=raw, logprobs=tuple(event.logprobs or ()))

    def _thought(self, event: ResponsesEvent, kind: str, piece: str) -> str:
        """Rule 4."""
        self._begun.add(event.output_index)
        if self._thoughts.setdefault(event.output_index, kind) != kind:
            return ""
        return self._halves.join("reasoning", piece)

    def _arguments(self, event: ResponsesEvent, raw: bytes) -> ChatChunk:
        number = self._calls.get(event.output_index)
        if number is None:
            raise ProtocolViolation("arguments of a tool call whose beginning is missing")
        self._begun.add(event.output_index)
        piece = self._halves.join(number, _text(event.delta))
        return ChatChunk(tool_calls=(ToolCallDelta(number, arguments=piece),), raw=raw)

    def _begin(self, index: int, item: _Item, raw: bytes) -> ChatChunk:
        if item.type not in _CALLS:
            return ChatChunk(raw=raw)
        self._open.add(index)
        return ChatChunk(tool_calls=(self._opened(index, item),), raw=raw)

    def _opened(self, index: int, item: _Item) -> ToolCallDelta:
        number = self._calls.setdefault(index, len(self._calls))
        return ToolCallDelta(number, item.call_id or item.id or None, item.name or None)

    def _done(self, index: int, item: _Item, raw: bytes) -> ChatChunk:
        self._open.discard(index)
        chunk = self._unsaid(index, item)
        return msgspec.structs.replace(chunk, raw=raw, state=_states([item]))

    def _unsaid(self, index: int, item: _Item) -> ChatChunk:
        """Rule 3: what of an item is told only now that it is whole."""
        if index in self._begun:
            return ChatChunk()
        self._begun.add(index)
        if item.type not in _CALLS:
            return _chunk_of([item], ())
        call = self._opened(index, item)
        return ChatChunk(tool_calls=(msgspec.structs.replace(call, arguments=_whole_arguments(item)),))

    def _end(self, response: ResponsesAnswer, kind: str, raw: bytes) -> ChatChunk:
        items = enumerate(response.output or ())
        unsaid = [self._unsaid(index, item) for index, item in items if index not in self._begun]
        self._open.clear()
        self.finished = self.done = True
        self.finish_reason = _reason(response, kind.rpartition(".")[2], called=bool(self._calls))
        owing = [key for key in self._halves.owing() if isinstance(key, int)]
        rest = tuple(ToolCallDelta(key, arguments=self._halves.rest(key)) for key in owing)
        return ChatChunk(
            "".join(chunk.text for chunk in unsaid) + self._halves.rest("text"),
            "".join(chunk.reasoning for chunk in unsaid) + self._halves.rest("reasoning"),
            "".join(chunk.refusal for chunk in unsaid) + self._halves.rest("refusal"),
            (*(call for chunk in unsaid for call in chunk.tool_calls), *rest),
            finish_reason=self.finish_reason,
            usage=_usage_of(response.usage),
            model=response.model or None,
            id=response.id or None,
            raw=raw,
            state=tuple(state for chunk in unsaid for state in chunk.state),
            service_tier=_tier(response),
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tier(response: ResponsesAnswer) -> str | None:
    return response.service_tier if isinstance(response.service_tier, str) else None


def _whole_arguments(item: _Item) -> str:
    return _sound(_text(item.arguments) or _text(item.input))


def _reason(response: ResponsesAnswer, status: str | None, *, called: bool) -> str:
    if status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return FINISH_REASONS.get(reason, reason) if reason else "length"
    return "tool_calls" if called else "stop"


def _usage_of(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    tokens_in, tokens_out = _count(usage.input_tokens), _count(usage.output_tokens)
    if not tokens_in and not tokens_out:
        return None
    read = usage.input_tokens_details or _InputDetails()
    written = usage.output_tokens_details or _OutputDetails()
    return Usage(
        tokens_in,
        tokens_out,
        reasoning_tokens=_count(written.reasoning_tokens),
        cached_tokens=_count(read.cached_tokens),
        cache_write_tokens=_count(read.cache_write_tokens),
    )


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


# Errors


def _error_in(said: ResponsesEvent, event: Event) -> object:
    """Rule 9."""
    if said.error:
        return said.error
    if said.response is not None:
        return _error_of(said.response)
    return lenient_json.decoded(event.data)


def _error_of(response: ResponsesAnswer) -> object:
    return response.error or {"code": "server_error", "message": f"the response {response.status}"}


# Whole answers, whole items


def read_whole(body: bytes, choices: int) -> list[ChatChunk]:
    """A unary answer. Raises what `Reader.take` does."""
    answer = decode_answer(body)
    if answer.error or answer.status in ("failed", "cancelled"):
        raise ErrorInside(_error_of(answer))
    if answer.output is None and answer.object != "response":
        raise ProtocolViolation("the answer is JSON, but no response")
    if answer.status in ("queued", "in_progress"):
        raise ProtocolViolation("the answer is still to come: it is worked on in the background")
    return [whole_chunk(answer, body)]


def whole_chunk(answer: ResponsesAnswer, raw: bytes) -> ChatChunk:
    """A unary answer."""
    items = answer.output or []
    calls = [item for item in items if item.type in _CALLS]
    chunk = _chunk_of(
        items,
        tuple(
            ToolCallDelta(number, call.call_id or call.id or None, call.name or None, _whole_arguments(call))
            for number, call in enumerate(calls)
        ),
    )
    return msgspec.structs.replace(
        chunk,
        finish_reason=_reason(answer, answer.status, called=bool(calls)),
        usage=_usage_of(answer.usage),
        model=answer.model or None,
        id=answer.id or None,
        raw=raw,
        service_tier=_tier(answer),
    )


def _chunk_of(items: Sequence[_Item], calls: tuple[ToolCallDelta, ...]) -> ChatChunk:
    parts = [part for item in items if item.type == "message" for part in _parts(item.content)]
    return ChatChunk(
        _sound("".join(part.text or "" for part in parts)),
        _sound("".join(_thoughts(item) for item in items)),
        _sound("".join(part.refusal or "" for part in parts)),
        calls,
        logprobs=tuple(entry for part in parts for entry in part.logprobs or ()),
        annotations=_citations(entry for part in parts for entry in part.annotations or ()),
        state=_states(items),
    )


def _thoughts(item: _Item) -> str:
    """A reasoning item's text."""
    if item.type != "reasoning":
        return ""
    if summary := "\n\n".join(part.text or "" for part in _parts(item.summary)):
        return summary
    return "".join(part.text or "" for part in _parts(item.content))


def _parts(value: object) -> list[_Part]:
    try:
        return msgspec.convert(value or [], list[_Part])
    except msgspec.ValidationError:  # not of this format
        return []


def _states(items: Iterable[_Item]) -> tuple[ProviderState, ...]:
    return tuple(
        state_of(item.encrypted_content, item.id, _sound(_thoughts(item)))
        for item in items
        if item.type == "reasoning" and _text(item.encrypted_content)
    )


def _citations(entries: Iterable[Any]) -> tuple[Any, ...]:
    """Rule 5."""
    return tuple(
        {"type": kind, kind: {name: value for name, value in entry.items() if name != "type"}}
        for entry in entries
        if isinstance(entry, Mapping) and isinstance(kind := entry.get("type"), str)
    )


def _sound(text: str) -> str:
    """With U+FFFD for halves of surrogate pairs that stayed alone."""
    if text.isascii():
        return text
    halves = SurrogateHalves()
    return halves.join("", text) + halves.rest("")
