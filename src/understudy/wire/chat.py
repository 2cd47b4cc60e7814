"""The neutral chat values that every wire format translates to and from.

`ChatRequest` goes in, `ChatChunk`s come out. A unary answer is one chunk that holds everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from understudy.wire.state import ProviderState


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request: `messages` in OpenAI chat shape, and every other request field in `fields`.

    `fields` holds ``temperature``, ``max_tokens``, ``tools`` … by their OpenAI chat names; what is
    absent there is left to the profile's ``modelParams``, then to the backend.
    """

    messages: Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, prompt: str | Sequence[Mapping[str, Any]] | ChatRequest, fields: Mapping[str, Any]
    ) -> ChatRequest:
        """What a caller handed in, as a request: a prompt, a message list, or a request already."""
        if isinstance(prompt, ChatRequest):
            return cls(prompt.messages, {**prompt.fields, **fields}) if fields else prompt
        if isinstance(prompt, str):
            return cls(({"role": "user", "content": prompt},), fields)
        return cls(tuple(prompt), fields)

    @property
    def choices(self) -> int:
        """How many choices were asked for (``n``)."""
        n = self.fields.get("n")
        return n if isinstance(n, int) and n > 0 else 1

    @property
    def wants_usage(self) -> bool:
        """Is the caller of a stream to see its usage (``stream_options.include_usage``)?"""
        options = self.fields.get("stream_options")
        return isinstance(options, Mapping) and bool(options.get("include_usage"))

    def with_fields(self, fields: Mapping[str, Any]) -> ChatRequest:
        """The same request, but for its fields."""
        return ChatRequest(self.messages, fields)


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of one tool call; `arguments` pieces are concatenated per `index` unchanged."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer. `estimated` when the backend did not say.

    `reasoning_tokens` are part of `output_tokens`; `cached_tokens` (read from a prompt cache) and
    `cache_write_tokens` are part of `input_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
        }


class ChatChunk(msgspec.Struct, frozen=True):
    """A piece of an answer, as it arrived.

    `text` and `reasoning` are of choice `index`; `finish_reason` is set on a choice's last chunk;
    `model` and `id` are the backend's. `audio` is an audio delta as it came.
    `raw` are the bytes that said it, for passing through untouched: a framed event of a stream, the body
    of a unary answer; ``b""`` where another chunk of the same event carries them, None where there are none.

    `logprobs` are OpenAI's entries for this piece of text, `annotations` its citations in OpenAI's shape.
    `state` is what only the backend that issued it understands, and wants back (`wire.state`).
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    audio: Any = None
    index: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    raw: bytes | None = None
    logprobs: tuple[Any, ...] = ()
    annotations: tuple[Any, ...] = ()
    state: tuple[ProviderState, ...] = ()
    service_tier: str | None = None

    @property
    def has_content(self) -> bool:
        """Is there text, reasoning, refusal, audio, or a tool name or arguments in it?

        White space alone is none: it stays with the preamble.
        """
        if self.text and not self.text.isspace():
            return True
        return bool(
            (self.reasoning and not self.reasoning.isspace())
            or self.refusal
            or self.audio
            or any(call.name or call.arguments for call in self.tool_calls)
        )

    @property
    def is_of_an_answer(self) -> bool:
        """Does it know or say anything, if only white space? Azure's event about the prompt does not."""
        known = self.id or self.model or self.finish_reason
        said = self.text or self.reasoning or self.refusal or self.tool_calls or self.audio
        beside = self.annotations or self.logprobs or self.state
        return bool(known or said or beside)


class Malformed(msgspec.Struct, frozen=True):
    """An event that could not be read and was dropped; the stream goes on."""

    message: str


def estimate_tokens(characters: int) -> int:
    """Four characters a token: the rule of thumb used wherever a backend did not say."""
    return (characters + 3) // 4
