"""What Gemini's ``GenerateContentResponse`` says, as neutral chunks. A stream is a row of them.

1. Each candidate makes one chunk, a response without candidates one without content. The first carries the
   response's own bytes.
2. A function call comes whole. One without an id gets ``call_<responseId>_<n>``, so that no two calls of a
   conversation are called alike, or ``call_<n>_<name>`` where there is no `responseId` either.
3. A thought signature becomes state: with its call's id, if it came with a call.
4. Finish reasons are put into OpenAI's words by `FINISH_REASONS`; a word that is not there stays as it is.
   A stop after a call is ``tool_calls``. The reasons of `ERROR_REASONS` are errors, no ends. So are a blocked
   prompt, and an ``error`` in any response.
5. Usage is said where the answer ends, by the newest `usageMetadata`: what tools brought in counts as input,
   thoughts count as output. All zero is no usage.
6. Sources become OpenAI's citations, each once. Gemini counts bytes, we count characters; where a segment's
   own words do not stand at its place, they are looked for. A source that no segment names stands for all
   of the text. A source without an address is left out.
7. Images and sounds that a model makes, code that it runs, and what its own tools answer are no content for
   us: nothing neutral can say them. An answer of nothing else is an empty one.
8. Invalid UTF-8 becomes U+FFFD, halves of surrogate pairs are joined across events.
9. A whole answer is one response or a list of them. With fewer candidates than were asked for it is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire import lenient_json
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.decoder import ErrorInside
from understudy.wire.gemini_request import NAME, SIGNATURE
from understudy.wire.sse import Event, framed
from understudy.wire.state import ProviderState
from understudy.wire.surrogates import SurrogateHalves

__all__ = ["ERROR_REASONS", "FINISH_REASONS", "Reader", "Response", "decode", "decode_all", "read_whole"]

FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
ERROR_REASONS = {
    "MALFORMED_FUNCTION_CALL": FailureKind.SERVER_ERROR,
    "UNEXPECTED_TOOL_CALL": FailureKind.SERVER_ERROR,
    "TOO_MANY_TOOL_CALLS": FailureKind.SERVER_ERROR,
    "MALFORMED_RESPONSE": FailureKind.SERVER_ERROR,
    "MISSING_THOUGHT_SIGNATURE": FailureKind.SERVER_ERROR,
    "OTHER": FailureKind.SERVER_ERROR,
    "IMAGE_OTHER": FailureKind.SERVER_ERROR,
    "NO_IMAGE": FailureKind.SERVER_ERROR,
    "PUP_LIMITED_DISABLED": FailureKind.AUTH,
}

_UNSAID = ("FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED", "")
_TIERS = {"standard": "default"}
_LONGEST_ID = 28  # of a response, as part of a call's: OpenAI takes ids of 40 characters


# Only what is read is named; the rest is skipped, not parsed into objects.


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: Any = None


class _Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part | None] | None = None


class _Source(msgspec.Struct, gc=False, rename="camel"):
    uri: str | None = None
    source_uri: str | None = None
    title: str | None = None


class _Chunk(msgspec.Struct, gc=False, rename="camel"):
    web: _Source | None = None
    maps: _Source | None = None
    image: _Source | None = None
    retrieved_context: _Source | None = None


class _Segment(msgspec.Struct, gc=False, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class _Support(msgspec.Struct, gc=False, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, gc=False, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


class _Citation(msgspec.Struct, gc=False, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None


class _Citations(msgspec.Struct, gc=False, rename="camel"):
    """Google's two APIs call them differently."""

    citation_sources: list[_Citation] | None = None
    citations: list[_Citation] | None = None


class _Token(msgspec.Struct, gc=False, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(msgspec.Struct, gc=False):
    candidates: list[_Token] | None = None


class _Logprobs(msgspec.Struct, gc=False, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Top] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: Any = None
    citation_metadata: Any = None
    logprobs_result: Any = None


class _Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _UsageMetadata(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: float | None = None
    candidates_token_count: float | None = None
    thoughts_token_count: float | None = None
    cached_content_token_count: float | None = None
    tool_use_prompt_token_count: float | None = None
    service_tier: str | None = None


class Response(msgspec.Struct, gc=False, rename="camel"):
    """One event of a stream, or a whole unary answer."""

    candidates: list[_Candidate | None] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None

    @property
    def says_something(self) -> bool:
        """Is there anything in it that only Gemini says?"""
        said = (self.candidates, self.prompt_feedback, self.usage_metadata, self.model_version)
        return any(part is not None for part in said)

    @property
    def refusal(self) -> tuple[FailureKind, str] | None:
        """Why there is no answer: the prompt was blocked, or a candidate went wrong."""
        feedback = self.prompt_feedback
        if feedback and not self.candidates and (feedback.block_reason or "") not in _UNSAID:
            said = _joined(f"the prompt was blocked: {feedback.block_reason}", feedback.block_reason_message)
            return FailureKind.CONTENT_FILTER, said
        for candidate in self.candidates or ():
            reason = candidate.finish_reason if candidate else None
            if candidate and reason in ERROR_REASONS:
                return ERROR_REASONS[reason], _joined(f"finishReason {reason}", candidate.finish_message)
        return None


_RESPONSE = msgspec.json.Decoder(Response)
_RESPONSES = msgspec.json.Decoder(list[Response])
_ARGUMENTS = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def decode(data: bytes) -> Response:
    """Raises ValueError or RecursionError if it is no JSON object, or nothing like a response."""
    try:
        return _RESPONSE.decode(data)
    except (ValueError, RecursionError):  # also for broken UTF-8 and halves of surrogate pairs
        value = lenient_json.decoded(data)
        is_wrapped = isinstance(value, list) and len(value) == 1  # as Gemini does with errors
        return msgspec.convert(value[0] if is_wrapped else value, Response, strict=False)


def decode_all(data: bytes) -> list[Response]:
    """A whole body: one response, or a list, which a stream is that was not asked for as events."""
    if not data.lstrip().startswith(b"["):
        return [decode(data)]
    try:
        return _RESPONSES.decode(data)
    except (ValueError, RecursionError):
        return msgspec.convert(lenient_json.decoded(data), list[Response], strict=False)


def _joined(said: str, more: str | None) -> str:
    return f"{said}: {more}" if more else said


def _if_fits(value: Any, kind: type[Any]) -> Any:
    """None for what looks otherwise: what is beside the content is no reason to lose it."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None


# Reading


class Reader:
    """One answer, put together response by response; `asked` is the number of candidates."""

    __slots__ = ("_asked", "_candidates", "_usage", "finish_reason", "finished")

    done = False  # usage, citations and state may follow the marker

    def __init__(self, asked: int = 1) -> None:
        self.finish_reason: str | None = None
        self.finished = False
        self._asked = asked
        self._candidates: dict[int, _CandidateReader] = {}
        self._usage: _UsageMetadata | None = None

    @property
    def came(self) -> int:
        """The candidates that have begun."""
        return len(self._candidates)

    @property
    def call_open(self) -> bool:
        """Has a call come, after which there may be more, and no end?"""
        return any(reader.calls and not reader.finished for reader in self._candidates.values())

    def take(self, event: Event) -> list[ChatChunk]:
        response = decode(event.data)
        _raise_error(response, event.data, event.event)
        return self.read(response, framed(event))

    def read(self, response: Response, raw: bytes) -> list[ChatChunk]:
        self._usage = response.usage_metadata or self._usage
        chunks = []
        for position, candidate in enumerate(response.candidates or ()):
            if candidate is not None:
                chunks.append(self._candidate(candidate, position, response, raw))
                raw = b""
        if not chunks:
            chunks = [_without_content(response, raw)]
        if self._usage is not None and self.finished:
            chunks[-1] = self._with_usage(chunks[-1], self._usage)
        return chunks

    def _candidate(self, candidate: _Candidate, position: int, response: Response, raw: bytes) -> ChatChunk:
        index = position if candidate.index is None else candidate.index
        reader = self._candidates.get(index)
        if reader is None:
            reader = self._candidates[index] = _CandidateReader(index)
        chunk = reader.read(candidate, response, raw)
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            self.finished = sum(reader.finished for reader in self._candidates.values()) >= self._asked
        return chunk

    def _with_usage(self, chunk: ChatChunk, said: _UsageMetadata) -> ChatChunk:
        self._usage = None
        tier = said.service_tier
        return msgspec.structs.replace(
            chunk, usage=_usage_of(said), service_tier=_TIERS.get(tier, tier) if tier else None
        )


def _without_content(response: Response, raw: bytes) -> ChatChunk:
    return ChatChunk(model=response.model_version or None, id=response.response_id or None, raw=raw)


class _CandidateReader:
    """One candidate. `calls` is how many it has made."""

    __slots__ = ("_cited", "_halves", "_index", "_said", "calls", "finished")

    def __init__(self, index: int) -> None:
        self.calls = 0
        self.finished = False
        self._index = index
        self._said: list[str] = []  # its text so far, which citations point into
        self._cited: set[tuple[int, int, str]] = set()
        self._halves = SurrogateHalves()

    def read(self, candidate: _Candidate, response: Response, raw: bytes) -> ChatChunk:
        parts = [part for part in (candidate.content and candidate.content.parts) or () if part is not None]
        calls = [self._call(part.function_call, response.response_id) for part in parts]
        finish_reason = self._reason(candidate.finish_reason)
        text = self._whole("text", "".join([part.text for part in parts if part.text and not part.thought]))
        thoughts = "".join([part.text for part in parts if part.text and part.thought])
        self._said.append(text)
        return ChatChunk(
            text,
            self._whole("reasoning", thoughts),
            tool_calls=tuple([call for call in calls if call is not None]),
            index=self._index,
            finish_reason=finish_reason,
            model=response.model_version or None,
            id=response.response_id or None,
            raw=raw,
            logprobs=_logprobs(candidate.logprobs_result),
            annotations=self._annotations(candidate),
            state=tuple(
                [_state(*pair) for pair in zip(parts, calls, strict=True) if pair[0].thought_signature]
            ),
        )

    def _whole(self, kind: str, piece: str) -> str:
        if piece:
            piece = self._halves.join(kind, piece)
        return piece + self._halves.rest(kind) if self.finished else piece

    def _reason(self, said: str | None) -> str | None:
        if said is None or said in _UNSAID:
            return None
        self.finished = True
        return "tool_calls" if said == "STOP" and self.calls else FINISH_REASONS.get(said, said)

    def _call(self, call: _Call | None, response_id: str | None) -> ToolCallDelta | None:
        if call is None:
            return None
        number = self.calls
        self.calls += 1
        call_id = call.id or _call_id(response_id, number, call.name or "")
        return ToolCallDelta(number, call_id, call.name or None, _arguments(call.args))

    # Citations

    def _annotations(self, candidate: _Candidate) -> tuple[dict[str, Any], ...]:
        if candidate.grounding_metadata is None and candidate.citation_metadata is None:
            return ()
        return tuple(self._new_citations(candidate, "".join(self._said)))

    def _new_citations(self, candidate: _Candidate, text: str) -> Iterator[dict[str, Any]]:
        for start, end, url, title in _sources(candidate, text):
            if url and (start, end, url) not in self._cited:
                self._cited.add((start, end, url))
                cited = {"start_index": start, "end_index": end, "url": url, "title": title or ""}
                yield {"type": "url_citation", "url_citation": cited}


def _state(part: _Part, call: ToolCallDelta | None) -> ProviderState:
    of_call = (call and call.id) or ""
    return ProviderState(NAME, SIGNATURE, part.thought_signature or "", call=of_call)


def _call_id(response_id: str | None, number: int, name: str) -> str:
    return f"call_{response_id[:_LONGEST_ID]}_{number}" if response_id else f"call_{number}_{name}"


def _arguments(args: Any) -> str:
    if isinstance(args, str):  # an imitator's
        return args or "{}"
    return _sound(_ARGUMENTS.encode(args or {}))


def _sound(text: str) -> str:
    """With U+FFFD for halves of surrogate pairs that stayed alone."""
    halves = SurrogateHalves()
    return halves.join("", text) + halves.rest("")


def _usage_of(said: _UsageMetadata) -> Usage | None:
    tokens_in = _count(said.prompt_token_count) + _count(said.tool_use_prompt_token_count)
    thought = _count(said.thoughts_token_count)
    tokens_out = _count(said.candidates_token_count) + thought
    if not tokens_in and not tokens_out:
        return None
    cached = _count(said.cached_content_token_count)
    return Usage(tokens_in, tokens_out, reasoning_tokens=thought, cached_tokens=cached)


def _count(tokens: float | None) -> int:
    return max(0, int(tokens)) if tokens and math.isfinite(tokens) else 0


# Errors


def _raise_error(response: Response, data: bytes, event: str = "message") -> None:
    """Raises ErrorInside where a response holds an error, or tells why there is no answer."""
    if response.error or event == "error":
        raise ErrorInside(response.error or lenient_json.decoded(data))
    if (refusal := response.refusal) is not None:
        kind, said = refusal
        raise ErrorInside(said, kind)


# Whole answers


def read_whole(body: bytes, choices: int) -> list[ChatChunk]:
    """A unary answer, one chunk a candidate; a stream that came as a list has more. Raises what `Reader.take`
    does."""
    responses = _responses(body)
    reader = Reader(choices)
    chunks: list[ChatChunk] = []
    for response in responses:
        _raise_error(response, body)
        chunks += reader.read(response, b"" if chunks else body)
    if not any(response.says_something for response in responses):
        raise ProtocolViolation("the answer is JSON, but none of Gemini's")
    if 0 < reader.came < choices:
        raise ProtocolViolation(f"only {reader.came} of {choices} candidates came")
    return chunks


def _responses(body: bytes) -> list[Response]:
    try:
        return decode_all(body)
    except (ValueError, RecursionError):
        if body.lstrip().startswith(b"["):  # which is no answer in other formats
            raise ProtocolViolation("the answer is cut or malformed JSON") from None
        raise


# Logprobs and citations, in OpenAI's shape


def _logprobs(said: Any) -> tuple[dict[str, Any], ...]:
    if said is None:
        return ()
    result = _if_fits(said, _Logprobs)
    if result is None:
        return ()
    tops = result.top_candidates or []
    return tuple(
        {
            **_token(token),
            "top_logprobs": [_token(top) for top in (tops[at].candidates if at < len(tops) else ()) or ()],
        }
        for at, token in enumerate(result.chosen_candidates or ())
    )


def _token(token: _Token) -> dict[str, Any]:
    word = _sound(token.token)
    return {"token": word, "logprob": token.log_probability, "bytes": list(word.encode())}


def _sources(candidate: _Candidate, text: str) -> Iterator[tuple[int, int, str | None, str | None]]:
    """Start and end in characters, address, title."""
    grounding = _if_fits(candidate.grounding_metadata, _Grounding)
    if grounding is not None:
        yield from _grounds(grounding, text)
    said = _if_fits(candidate.citation_metadata, _Citations) or _Citations()
    for citation in said.citation_sources or said.citations or ():
        start, end = _place(_Segment(citation.start_index, citation.end_index), text)
        yield start, end, citation.uri, citation.title


def _grounds(grounding: _Grounding, text: str) -> Iterator[tuple[int, int, str | None, str | None]]:
    sources = [_source(chunk) for chunk in grounding.grounding_chunks or ()]
    unnamed = set(range(len(sources)))
    for support in grounding.grounding_supports or ():
        start, end = _place(support.segment or _Segment(), text)
        for at in support.grounding_chunk_indices or ():
            if 0 <= at < len(sources):
                unnamed.discard(at)
                yield start, end, sources[at].uri or sources[at].source_uri, sources[at].title
    for at in sorted(unnamed):
        yield 0, len(text), sources[at].uri or sources[at].source_uri, sources[at].title


def _source(chunk: _Chunk) -> _Source:
    return chunk.web or chunk.maps or chunk.retrieved_context or chunk.image or _Source()


def _place(segment: _Segment, text: str) -> tuple[int, int]:
    """Where a segment stands, in characters."""
    data = text.encode()
    first, last = max(0, segment.start_index or 0), max(0, segment.end_index or len(data))
    start, end = (len(data[:at].decode(errors="ignore")) for at in (first, last))
    words = segment.text
    if words and text[start:end] != words:
        found = text.find(words)
        if found >= 0:
            return found, found + len(words)
    return start, end
