"""OpenAI's chat completions, as OpenAI and the many who imitate it speak them.

- A request's own fields win over the profile's; `model`, `messages` and `stream` are ours; what we do
  not know passes untouched. Two things that neutral messages may hold are not OpenAI's: state of another
  format's backend (`wire.state`) is left out, and what of a tool's result is no text moves to the user
  message that follows, after a line that names the call. A file by its address raises ValueError.
- A stream's terminal marker is a ``finish_reason`` for every choice asked for. ``[DONE]`` alone is none.
  Once it has come, nothing that follows can make the answer a failure; only usage is still read.
- A ``finish_reason`` of `ERROR_REASONS` and an ``error`` in any event are failures, classed as if they
  had come as a status, and the last thing that is decoded.
- A malformed event is dropped and counted while it is isolated, that is, after a sound one. As the very
  first, after another one, inside a tool call, or with `strict`, it is a failure.
- Of an event each choice makes one chunk, an event without choices one chunk without content; the first
  carries the event's own bytes, framed anew. A comment or an event without data makes none.
- Citations are told as they come, probabilities entry by entry, the tier wherever it is named.
- Nulls stand for what is missing, empty strings for no ``finish_reason``, id or name. Usage that is all
  zero is no usage. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across deltas.
- Tool calls without an index are numbered as they begin; the old ``function_call`` is call 0.
- A unary answer is whole when its JSON is, also without a ``finish_reason``: none is made up.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed, ToolCallDelta, Usage
from understudy.wire.refusal import classify_error_object
from understudy.wire.sniffing import sniff, what_else
from understudy.wire.sse import Event, EventStream, framed, sound
from understudy.wire.state import is_tagged
from understudy.wire.surrogates import SurrogateHalves
from understudy.wire.thoughts import without_state

__all__ = [
    "ERROR_REASONS",
    "NAME",
    "PATH",
    "Malformed",
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

NAME = "openai"
PATH = "/chat/completions"

ERROR_REASONS = frozenset(
    {
        "abort",  # vLLM, SGLang: the engine gave the request up
        "error",  # OpenRouter, Mistral, Cohere
        "insufficient_system_resource",  # DeepSeek
        "malformed_function_call",  # Gemini, also as "function_call_filter: MALFORMED_FUNCTION_CALL"
        "other",  # Gemini
    }
)
EMPTY_REASONS = frozenset(
    {
        "length",
        "max_tokens",
        "model_length",  # Mistral
        "content_filter",
        "prohibited_content",  # Gemini, as the next four
        "safety",
        "blocklist",
        "recitation",
        "spii",
    }
)

_STATE = re.compile(rb'"reasoning_details"\s*:')
_TAGGED = re.compile(rb'"data"\s*:\s*"understudy\.')
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
    """The JSON body; `defaults` fill what the request leaves out.

    Raises ValueError for a file by its address, TypeError for a value that JSON does not know.
    """
    messages = _plain_messages(request.messages)
    body = {**defaults, **request.fields, "model": model, "messages": messages, "stream": stream}
    if not stream:
        body.pop("stream_options", None)
    elif include_usage:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    try:
        return msgspec.json.encode(body, enc_hook=_plain)
    except UnicodeEncodeError:  # half a surrogate pair in a text: only escaped can it be written
        return json.dumps(body, default=_plain, separators=(",", ":")).encode()


def left_out(request: ChatRequest, defaults: Mapping[str, Any] = _NO_FIELDS) -> tuple[str, ...]:
    """Nothing: the neutral words are this format's own."""
    return ()


def _plain_messages(messages: Sequence[Any]) -> Sequence[Any]:
    """The messages in the words that every backend of this format has."""
    plain: list[Any] = []
    moved: list[Any] = []  # from the results of tools
    for message in messages:
        if not isinstance(message, Mapping):
            return messages
        is_result = message.get("role") == "tool"
        if moved and not is_result:
            message, moved = _with_moved(message, moved, plain), []
        if isinstance(message.get("content"), list | tuple):
            message, more = _plain_parts(message, is_result)
            moved += more
        plain.append(without_state(message))
    return [*plain, {"role": "user", "content": moved}] if moved else plain


def _plain_parts(message: Mapping[str, Any], is_result: bool) -> tuple[Mapping[str, Any], list[Any]]:
    """The message, and what of it has to move. Raises ValueError for a file by its address."""
    parts = message["content"]
    if any(isinstance(part, Mapping) and "file_url" in (part.get("file") or ()) for part in parts):
        raise ValueError("OpenAI chat takes no file by its address (file_url)")
    moved = [part for part in parts if is_result and _kind(part) != "text"]
    if not moved:
        return message, []
    named = {"type": "text", "text": f"From the result of the tool call {message.get('tool_call_id')}:"}
    texts = [part["text"] for part in parts if _kind(part) == "text"]
    return {**message, "content": "\n\n".join(texts)}, [named, *moved]


def _kind(part: object) -> object:
    return part.get("type") if isinstance(part, Mapping) else None


def _with_moved(message: Mapping[str, Any], moved: list[Any], plain: list[Any]) -> Mapping[str, Any]:
    """The message that follows the results, with what is moved if it is the user's."""
    if message.get("role") != "user":
        plain.append({"role": "user", "content": moved})
        return message
    content = message.get("content") or ()
    own = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [*moved, *own]}


def encode_native(
    fields: Mapping[str, msgspec.Raw],
    *,
    model: str,
    stream: bool,
    include_usage: bool,
    defaults: Mapping[str, Any] = _NO_FIELDS,
) -> bytes:
    """The body of a request that came in this format: its fields as they came, the `model` ours.

    State that another format's backend handed to the client stays out.
    """
    body: dict[str, Any] = {**defaults, **fields, "model": model}
    if not stream:
        body.pop("stream_options", None)
    elif include_usage:
        options = msgspec.json.decode(body["stream_options"]) if "stream_options" in fields else None
        body["stream_options"] = {**(options or {}), "include_usage": True}
    messages = fields.get("messages")
    if messages is not None and _TAGGED.search(messages):
        body["messages"] = [_without_tagged(message) for message in msgspec.json.decode(messages)]
    return msgspec.json.encode(body)


def left_out_native(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    """Nothing: without its state a conversation asks for the same."""
    return ()


def stateless(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
    """The fields of a request that came in this format, without any state; None if there is none."""
    if not _STATE.search(fields["messages"]):
        return None
    before = msgspec.json.decode(fields["messages"])
    messages = [_without_details(message) for message in before]
    if messages == before:
        return None
    return {**fields, "messages": msgspec.Raw(msgspec.json.encode(messages))}


def _without_details(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "reasoning_details"}


def _without_tagged(message: dict[str, Any]) -> dict[str, Any]:
    details = message.get("reasoning_details")
    if not isinstance(details, list):
        return message
    bare = _without_details(message)
    own = [entry for entry in details if not _is_tagged(entry)]
    return {**bare, "reasoning_details": own} if own else bare


def _is_tagged(entry: object) -> bool:
    data = entry.get("data") if isinstance(entry, dict) else None
    return isinstance(data, str) and is_tagged(data)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


# What answers look like. Only what is read is named; the rest is skipped, not parsed into objects.


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


class _Choices:
    """The choices of one answer, as far as they have come."""

    __slots__ = ("_asked", "_readers", "finish_reason")

    def __init__(self, asked: int) -> None:
        self._asked = asked
        self._readers: dict[int, _ChoiceReader] = {}
        self.finish_reason: str | None = None

    @property
    def finished(self) -> bool:
        return sum(reader.finished for reader in self._readers.values()) >= self._asked

    @property
    def tool_call_open(self) -> bool:
        return any(reader.call_open for reader in self._readers.values())

    def chunks(self, body: _Body, raw: bytes) -> list[ChatChunk]:
        usage = usage_of(body)
        chunks = []
        for position, choice in enumerate(body.choices or ()):
            if choice is not None:
                chunks.append(self._read(choice, position, body, usage, raw))
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

    def _read(
        self, choice: _Choice, position: int, body: _Body, usage: Usage | None, raw: bytes
    ) -> ChatChunk:
        index = position if choice.index is None else choice.index
        reader = self._readers.get(index)
        if reader is None:
            reader = self._readers[index] = _ChoiceReader(index)
        chunk = reader.read(choice, body, usage, raw)
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
        return chunk


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
        text, reasoning = _texts(message)
        finish_reason = _reason(choice)
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


def usage_of(body: _Body) -> Usage | None:
    """The tokens an answer names, None if it names none, or nothing but zeros.

    By the format's own rule the total is input plus output; where it is more, reasoning was left out
    of the output (Gemini, xAI) and belongs there.
    """
    usage = body.usage or (body.x_groq and body.x_groq.usage)
    if not usage:
        return None
    tokens_in = _count(usage.prompt_tokens)
    tokens_out = max(_count(usage.completion_tokens), _count(usage.total_tokens) - tokens_in)
    if not tokens_in and not tokens_out:
        return None
    prompt = usage.prompt_tokens_details or _Details()
    completion = usage.completion_tokens_details or _Details()
    return Usage(
        tokens_in,
        tokens_out,
        reasoning_tokens=_count(completion.reasoning_tokens),
        cached_tokens=_count(prompt.cached_tokens or usage.prompt_cache_hit_tokens),
        cache_write_tokens=_count(prompt.cache_write_tokens),
    )


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


def _error_in(body: _Body, data: bytes, event: str = "message") -> object:
    """The error that an event or an answer holds, None if it holds none."""
    if body.error:
        return body.error
    if body.x_groq and body.x_groq.error:
        return body.x_groq.error
    if "error" in (body.object, body.type, event):
        return _plain_json(data)
    return next(filter(None, map(_error_of_choice, body.choices or ())), None)


def _error_of_choice(choice: _Choice | None) -> object:
    if choice is None:
        return None
    if choice.error:
        return choice.error
    reason = (choice.finish_reason or "").lower().rpartition(":")[2].strip()
    return f"finish_reason {choice.finish_reason}" if reason in ERROR_REASONS else None


class StreamDecoder:
    """The body of one stream: bytes in, chunks, dropped events and at most one failure out.

    `choices` is how many were asked for; `rules` and `secrets` go to the classing of errors. After a
    failure, and after ``[DONE]``, nothing is decoded any more.
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
        self._choices = _Choices(choices)
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
        """Has a terminal marker come for every choice asked for?"""
        return self._choices.finished

    @property
    def tool_call_open(self) -> bool:
        """Has a tool call begun whose choice has not finished?"""
        return self._choices.tool_call_open

    @property
    def finish_reason(self) -> str | None:
        """The newest one that came."""
        return self._choices.finish_reason

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
            body = _decode(event.data)
            complaint = _error_in(body, event.data, event.event)
        except (ValueError, RecursionError) as error:
            return self._unreadable(event, error)
        if complaint is not None:
            return [self._error(complaint)]
        self._sound = True
        return self._choices.chunks(body, framed(event))

    def _unreadable(self, event: Event, error: Exception) -> Sequence[Malformed | Failure]:
        """There are four cases: the end, an empty event that only keeps the connection alive, an error in
        plain words, garbage."""
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
        if self.finished or (isolated and not self._strict and not self.tool_call_open):
            return Malformed(message)
        return self._fail(Failure(FailureKind.PROTOCOL, message, in_stream=True))

    def _error(self, error: object) -> Malformed | Failure:
        failure = classify_error_object(error, rules=self._rules, secrets=self._secrets)
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
    """A whole answer, one chunk a choice; an answer without choices is one chunk without content.

    Fewer choices than asked for are no whole answer, as in a stream: `protocol`.
    """
    if not body.strip():
        return [ChatChunk(raw=body)]
    try:
        answer = _decode(body)
        error = _error_in(answer, body)
    except (ValueError, RecursionError):
        return Failure(FailureKind.PROTOCOL, what_else(body))
    if error is not None:
        return classify_error_object(error, rules=rules, secrets=secrets)
    if answer.choices is msgspec.UNSET and not (answer.object or "").startswith("chat.completion"):
        return Failure(FailureKind.PROTOCOL, "the answer is JSON, but no chat completion")
    came = len(answer.choices or ())
    if 0 < came < choices:
        return Failure(FailureKind.PROTOCOL, f"only {came} of {choices} choices came")
    return _Choices(choices).chunks(answer, sound(body))


def empty_is_legitimate(finish_reason: str | None) -> bool:
    """May an answer that ended so be without content? A length and a policy stop explain it."""
    return finish_reason is not None and finish_reason.lower() in EMPTY_REASONS
