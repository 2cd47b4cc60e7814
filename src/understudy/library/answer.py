"""A whole answer, put together from its chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from understudy.core import cost
from understudy.errors import TrailEntry
from understudy.wire.chat import ChatChunk, Usage

MANY = 16  # chunks that are kept whole until they are looked at


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call; `arguments` is the text the model wrote, which need not be valid JSON."""

    id: str | None
    name: str
    arguments: str

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "arguments": self.arguments}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the ``n`` choices that were asked for."""

    index: int
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with where it came from. `choices` holds all; the other fields are of the first."""

    choices: tuple[Choice, ...]
    backend: str | None
    model: str | None
    usage: Usage
    trail: tuple[TrailEntry, ...]

    @property
    def text(self) -> str:
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        return self.choices[0].reasoning

    @property
    def refusal(self) -> str:
        return self.choices[0].refusal

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.choices[0].tool_calls

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason

    @property
    def cost_usd(self) -> float | None:
        """US dollars for all attempts of known price, None if none has one."""
        return cost.of_trail(self.trail).usd

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """The command line's JSON object, without the stats."""
        return {
            "answer": self.text,
            "finish_reason": self.finish_reason,
            "tool_calls": [call.to_dict() for call in self.tool_calls],
            "backend": self.backend,
            "model": self.model,
            "usage": self.usage.to_dict(),
            "trail": [entry.to_dict() for entry in self.trail],
        }


class _Parts:
    """One choice while it grows."""

    __slots__ = ("calls", "finish_reason", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, tuple[list[str], list[str], list[str]]] = {}  # ids, names, arguments
        self.finish_reason: str | None = None

    def add(self, chunk: ChatChunk) -> None:
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        if chunk.refusal:
            self.refusal.append(chunk.refusal)
        for call in chunk.tool_calls:
            ids, names, arguments = self.calls.setdefault(call.index, ([], [], []))
            ids.extend(filter(None, [call.id]))
            names.extend(filter(None, [call.name]))
            arguments.append(call.arguments)
        self.finish_reason = chunk.finish_reason or self.finish_reason

    def choice(self, index: int) -> Choice:
        return Choice(
            index=index,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            refusal="".join(self.refusal),
            tool_calls=self.tool_calls(),
            finish_reason=self.finish_reason,
        )

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(ids[0] if ids else None, names[0] if names else "", "".join(arguments))
            for _, (ids, names, arguments) in sorted(self.calls.items())
        )


class AnswerParts:
    """The choices of an answer while its chunks come in, which are looked at many at a time."""

    __slots__ = ("_choices", "_new")

    def __init__(self) -> None:
        self._new: list[ChatChunk] = []
        self._choices: dict[int, _Parts] = {}

    def add(self, chunk: ChatChunk) -> None:
        self._new.append(chunk)
        if len(self._new) > MANY:
            self._read()

    def _read(self) -> None:
        for chunk in self._new:
            parts = self._choices.get(chunk.index)
            if parts is None:
                parts = self._choices[chunk.index] = _Parts()
            parts.add(chunk)
        self._new.clear()

    def choices(self) -> tuple[Choice, ...]:
        """By index; at least one, if only an empty one."""
        self._read()
        return tuple(parts.choice(index) for index, parts in sorted(self._choices.items())) or (Choice(0),)
