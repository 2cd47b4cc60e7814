"""What OpenAI's completions and the events of their streams say, as neutral chunks.

1. Of an event each choice makes one chunk, an event without choices one chunk without content; the first
   carries the event's own bytes. A whole answer is read alike.
2. A ``finish_reason`` of `ERROR_REASONS` and an ``error`` anywhere in an event are errors. Any other
   ``finish_reason`` is its choice's end.
3. Citations are told as they come, probabilities entry by entry, the tier wherever it is named.
4. Nulls stand for what is missing, empty strings for no ``finish_reason``, id or name. Usage that is all
   zero is no usage. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across deltas.
5. Tool calls without an index are numbered as they begin; the old ``function_call`` is call 0.
6. A unary answer is whole when its JSON is, also without a ``finish_reason``: none is made up. With fewer
   choices than were asked for it is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.errors import ProtocolViolation
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.decoder import ErrorInside
from understudy.wire.sse import Event, framed, sound
from understudy.wire.surrogates import SurrogateHalves

__all__ = ["ERROR_REASONS", "Reader", "read_whole"]

ERROR_REASONS = frozenset(
    {
        "abort",  # vLLM, SGLang: the engine gave the request up
        "error",  # OpenRouter, Mistral, Cohere
        "insufficient_system_resource",  # DeepSeek
        "malformed_function_call",  # Gemini, also as "function_call_filter: MALFORMED_FUNCTION_CALL"
        "other",  # Gemini
    }
)


# Only what is read is named; the rest is skipped, not parsed into objects.


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    input: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """A delta of a stream, or a unary answer's whole message."""

    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[_Call | None] | None = None
    function_call: _Function | None = None
    audio: Any = None
    annotations: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    total_tokens: float | None = None
    prompt_cache_hit_tokens: float | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Groq(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    error: Any = None


class _Body(msgspec.Struct, gc=False):
    """One event of a stream, or a whole unary answer."""

    choices: list[_Choice | None] | msgspec.UnsetType | None = msgspec.UNSET
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: Any = None
    object: str | None = None
    type: str | None = None
    model: str | None = None
    id: str | None = None
    service_tier: Any = None


_BODY = msgspec.json.Decoder(_Body)
_NO_MESSAGE = _Message()
_GOOD_REASONS = (None, "stop", "length", "tool_calls")  # those that most answers end with, and none
_NO_DETAILS = _Details()


def _decode(data: bytes) -> _Body:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like a completion."""
    try:
        return _BODY.decode(data)
    except (ValueError, RecursionError):
        return _decode_leniently(data)


def _decode_leniently(data: bytes) -> _Body:
    """The slow way, for broken UTF-8, halves of surrogate pairs and odd types beside the content."""
    fields = _plain_json(data)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return _Body(
        choices=msgspec.convert(fields.get("choices"), list[_Choice | None] | None, strict=False)
        if "choices" in fields
        else msgspec.UNSET,
        usage=_if_fits(fields.get("usage"), _Usage),
        x_groq=_if_fits(fields.get("x_groq"), _Groq),
        error=fields.get("error"),
        object=_if_fits(fields.get("object"), str),
        type=_if_fits(fields.get("type"), str),
        model=_if_fits(fields.get("model"), str),
        id=_if_fits(fields.get("id"), str),
        service_tier=fields.get("service_tier"),
    )


def _plain_json(data: bytes) -> Any:
    value = json.loads(data.decode(errors="replace"), strict=False)
    is_wrapped = isinstance(value, list) and len(value) == 1  # Gemini wraps its errors in a list
    return value[0] if is_wrapped else value


def _if_fits(value: Any, kind: type[Any]) -> Any:
    try:
        return None if value is None else msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None


# Reading


class Reader:
    """The choices of one answer, as far as they have come; `asked` is how many there are to be."""

    __slots__ = ("_asked", "_readers", "finish_reason", "finished")

    done = False  # usage may follow the marker

    def __init__(self, asked: int = 1) -> None:
        self.finish_reason: str | None = None
        self.finished = False
        self._asked = asked
        self._readers: dict[int, _ChoiceReader] = {}

    @property
    def call_open(self) -> bool:
        """Has a tool call begun whose choice has not finished?"""
        return any(reader.call_open for reader in self._readers.values())

    def take(self, event: Event) -> list[ChatChunk]:
        body = _decode(event.data)
        if (error := _error_in(body, event.data, event.event)) is not None:
            raise ErrorInside(error)
        return self.read(body, framed(event))

    def read(self, body: _Body, raw: bytes) -> list[ChatChunk]:
        usage = None if body.usage is None and body.x_groq is None else _usage_of(body)
        chunks = []
        for position, choice in enumerate(body.choices or ()):
            if choice is None:
                continue
            index = position if choice.index is None else choice.index
            reader = self._readers.get(index)
            if reader is None:
                reader = self._readers[index] = _ChoiceReader(index)
            chunk = reader.read(choice, body, usage, raw)
            if chunk.finish_reason is not None:
                self._ended(chunk.finish_reason)
            chunks.append(chunk)
            usage, raw = None, b""
        return chunks or [
            ChatChunk(
                usage=usage,
                model=body.model or None,
                id=body.id or None,
                raw=raw,
                service_tier=_tier(body),
            )
        ]

    def _ended(self, finish_reason: str) -> None:
        self.finish_reason = finish_reason
        self.finished = sum([reader.finished for reader in self._readers.values()]) >= self._asked


class _ChoiceReader:
    """One choice, put together piece by piece. `call_open`: a tool call has begun, no end has come."""

    __slots__ = ("_call", "_call_id", "_halves", "_index", "call_open", "finished")

    def __init__(self, index: int) -> None:
        self.finished = False
        self.call_open = False
        self._index = index
        self._call = -1  # the newest call's index
        self._call_id: str | None = None
        self._halves = SurrogateHalves()

    def read(self, choice: _Choice, body: _Body, usage: Usage | None, raw: bytes) -> ChatChunk:
        message = choice.delta or choice.message or _NO_MESSAGE
        finish_reason = _reason(choice)
        text = message.content or ""
        if type(text) is not str or _says_more(message, choice) or not self._halves.are_none_in(text):
            return self._read_all(message, choice, finish_reason, body, usage, raw)
        if finish_reason is not None:
            self._finish(())
        return ChatChunk(
            text,
            index=self._index,
            finish_reason=finish_reason,
            usage=usage,
            model=body.model or None,
            id=body.id or None,
            raw=raw,
            service_tier=None if body.service_tier is None else _tier(body),
        )

    def _read_all(
        self,
        message: _Message,
        choice: _Choice,
        finish_reason: str | None,
        body: _Body,
        usage: Usage | None,
        raw: bytes,
    ) -> ChatChunk:
        """`read`, whatever there is besides text."""
        text, reasoning = _texts(message)
        calls = self._calls(message) if message.tool_calls or message.function_call else ()
        return ChatChunk(
            self._whole("text", text, finish_reason),
            self._whole("reasoning", reasoning, finish_reason),
            self._whole("refusal", message.refusal or "", finish_reason),
            calls if finish_reason is None else self._finish(calls),
            message.audio,
            self._index,
            finish_reason,
            usage,
            body.model or None,
            body.id or None,
            raw,
            _logprobs(choice),
            _entries(message.annotations),
            service_tier=_tier(body),
        )

    def _whole(self, kind: str, piece: str, finish_reason: str | None) -> str:
        if piece:
            piece = self._halves.join(kind, piece)
        return piece if finish_reason is None else piece + self._halves.rest(kind)

    def _finish(self, calls: tuple[ToolCallDelta, ...]) -> tuple[ToolCallDelta, ...]:
        self.finished = True
        self.call_open = False
        owing = [key for key in self._halves.owing() if isinstance(key, int)]
        if not owing:
            return calls
        return calls + tuple(ToolCallDelta(key, arguments=self._halves.rest(key)) for key in owing)

    def _calls(self, message: _Message) -> tuple[ToolCallDelta, ...]:
        self.call_open = not self.finished
        if message.tool_calls:
            return tuple(self._tool_call(call) for call in message.tool_calls if call is not None)
        return (self._delta(0, None, message.function_call),)

    def _tool_call(self, call: _Call) -> ToolCallDelta:
        if call.index is not None:
            self._call = call.index
        elif self._begins(call):
            self._call += 1
        self._call_id = call.id or self._call_id
        return self._delta(max(self._call, 0), call.id, call.function or call.custom)

    def _begins(self, call: _Call) -> bool:
        """Is a delta without an index the first of its call? It is if it brings a new id or a name."""
        if call.id:
            return call.id != self._call_id
        function = call.function or call.custom
        return function is not None and bool(function.name)

    def _delta(self, index: int, call_id: str | None, function: _Function | None) -> ToolCallDelta:
        if function is None:
            return ToolCallDelta(index, call_id or None)
        arguments = _arguments(function)
        if arguments:
            arguments = self._halves.join(index, arguments)
        return ToolCallDelta(index, call_id or None, function.name or None, arguments)


def _arguments(function: _Function) -> str:
    arguments = function.arguments
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return arguments or function.input or ""


def _says_more(message: _Message, choice: _Choice) -> bool:
    """Is anything there besides text, as it seldom is?"""
    return bool(
        message.tool_calls
        or message.reasoning_content
        or message.reasoning
        or message.refusal
        or choice.logprobs
        or message.function_call
        or message.audio
        or message.annotations
    )


def _reason(choice: _Choice) -> str | None:
    reason = choice.finish_reason
    return None if not reason or reason == "null" else reason


def _tier(body: _Body) -> str | None:
    return body.service_tier if isinstance(body.service_tier, str) else None


def _logprobs(choice: _Choice) -> tuple[Any, ...]:
    """Its entries, of text and of refusal; () in the shape of older completions."""
    said = choice.logprobs
    return _entries(said.get("content")) + _entries(said.get("refusal")) if isinstance(said, dict) else ()


def _entries(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else ()


def _texts(message: _Message) -> tuple[str, str]:
    """Text and reasoning. Of the two names for reasoning only one is read, for some send both alike."""
    reasoning = message.reasoning_content or message.reasoning or ""
    if not isinstance(reasoning, str):
        reasoning = ""
    if isinstance(message.content, list):
        parts = list(_parts(message.content))
        text = "".join(text for thought, text in parts if not thought)
        return text, reasoning + "".join(text for thought, text in parts if thought)
    return message.content or "", reasoning


def _parts(content: list[Any], thought: bool = False) -> Iterator[tuple[bool, str]]:
    """The texts in a list of content parts, each with whether it is reasoning."""
    for part in content:
        if isinstance(part, str):
            yield thought, part
        elif isinstance(part, dict):
            thinking = part.get("thinking")
            if isinstance(thinking, list):
                yield from _parts(thinking, thought=True)
            elif isinstance(thinking, str):
                yield True, thinking
            elif isinstance(text := part.get("text"), str):
                yield thought, text


def _usage_of(body: _Body) -> Usage | None:
    """The tokens an answer names, None if it names none, or nothing but zeros.

    By the format's own rule the total is input plus output; where it is more, reasoning was left out
    of the output (Gemini, xAI) and belongs there.
    """
    usage = body.usage
    if usage is None and body.x_groq is not None:
        usage = body.x_groq.usage
    if usage is None:
        return None
    tokens_in = _count(usage.prompt_tokens)
    tokens_out = max(_count(usage.completion_tokens), _count(usage.total_tokens) - tokens_in)
    if not tokens_in and not tokens_out:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    if prompt is None and completion is None and not usage.prompt_cache_hit_tokens:
        return Usage(tokens_in, tokens_out)
    prompt, completion = prompt or _NO_DETAILS, completion or _NO_DETAILS
    return Usage(
        tokens_in,
        tokens_out,
        reasoning_tokens=_count(completion.reasoning_tokens),
        cached_tokens=_count(prompt.cached_tokens or usage.prompt_cache_hit_tokens),
        cache_write_tokens=_count(prompt.cache_write_tokens),
    )


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


def read_whole(body: bytes, choices: int) -> list[ChatChunk]:
    """A unary answer. Raises what `Reader.take` does."""
    answer = _decode(body)
    if (error := _error_in(answer, body)) is not None:
        raise ErrorInside(error)
    if answer.choices is msgspec.UNSET and not (answer.object or "").startswith("chat.completion"):
        raise ProtocolViolation("the answer is JSON, but no chat completion")
    came = len(answer.choices or ())
    if 0 < came < choices:
        raise ProtocolViolation(f"only {came} of {choices} choices came")
    return Reader(choices).read(answer, sound(body))


# Errors


def _error_in(body: _Body, data: bytes, event: str = "message") -> object:
    """The error that an event or an answer holds, None if it holds none."""
    if body.error:
        return body.error
    if body.x_groq and body.x_groq.error:
        return body.x_groq.error
    if "error" in (body.object, body.type, event):
        return _plain_json(data)
    for choice in body.choices or ():
        if choice is None:
            continue
        if choice.error:
            return choice.error
        if choice.finish_reason not in _GOOD_REASONS and _is_error(choice.finish_reason):
            return f"finish_reason {choice.finish_reason}"
    return None


def _is_error(finish_reason: str | None) -> bool:
    return (finish_reason or "").lower().rpartition(":")[2].strip() in ERROR_REASONS
