"""One answer out of two: what was shown of the first, and the second from where the first broke off.

1. `Transcript` is what the caller has: text, reasoning and refusal of each choice, in the order they came.
2. `Seam` reads the second answer. What the caller has already must come again, letter by letter, and is
   swallowed; what follows it goes out. At the first difference, and at an end before all of it came again, it
   says `Mismatch`, and nothing more goes out.
3. Reasoning is matched like text if the same model thinks it and the break came before the text; else the
   caller has it already, or would get two models' thoughts in one: it is swallowed, whatever it says.
4. `cut` is for a second answer that begins in the middle: the text without its last `OVERLAP` characters, and
   without white space at its end, is put into the model's mouth; the rest must come again.
5. Chunks go out under the first answer's id and model, without bytes of their own and without usage. Those
   that say nothing new are swallowed whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from understudy.wire.chat import ChatChunk

OVERLAP = 32
MANY = 16  # chunks that are kept whole until they are looked at


class Mismatch(msgspec.Struct, frozen=True):
    """The second answer is another one."""

    message: str


class Cut(NamedTuple):
    """A text in two: what is put into the model's mouth, and what must come again."""

    prefill: str
    tail: str


def cut(text: str) -> Cut:
    """Rule 4."""
    prefill = text[:-OVERLAP].rstrip()
    return Cut(prefill, text[len(prefill) :])


class Said(NamedTuple):
    """Of one choice."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    is_finished: bool = False


class _Pieces:
    """One choice while it grows."""

    __slots__ = ("is_finished", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.is_finished = False

    def add(self, chunk: ChatChunk) -> None:
        """All but the text."""
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        if chunk.refusal:
            self.refusal.append(chunk.refusal)
        if chunk.finish_reason is not None:
            self.is_finished = True

    def said(self) -> Said:
        return Said("".join(self.text), "".join(self.reasoning), "".join(self.refusal), self.is_finished)


class Transcript:
    """What the caller has been shown of an answer. `is_text`: there is nothing else in it.

    Chunks are looked at many at a time, or when somebody wants to know: mostly nobody does.
    """

    __slots__ = ("_choices", "_id", "_is_text", "_model", "_new")

    def __init__(self) -> None:
        self._new: list[ChatChunk] = []
        self._choices: dict[int, _Pieces] = {}
        self._is_text = True
        self._id: str | None = None
        self._model: str | None = None

    def __repr__(self) -> str:
        return f"<Transcript of {len(self.text)} characters>"

    def add(self, chunks: Iterable[ChatChunk]) -> None:
        self._new += chunks
        if len(self._new) > MANY:
            self._read()

    @property
    def text(self) -> str:
        """Of all choices."""
        self._read()
        return "".join("".join(pieces.text) for pieces in self._choices.values())

    @property
    def said(self) -> dict[int, Said]:
        self._read()
        return {index: pieces.said() for index, pieces in self._choices.items()}

    @property
    def is_text(self) -> bool:
        self._read()
        return self._is_text

    @property
    def id(self) -> str | None:
        self._read()
        return self._id

    @property
    def model(self) -> str | None:
        self._read()
        return self._model

    def _read(self) -> None:
        choices = self._choices
        for chunk in self._new:
            pieces = choices.get(chunk.index)
            if pieces is None:
                pieces = self._begin(chunk)
            if chunk.text:
                pieces.text.append(chunk.text)
            if chunk.reasoning or chunk.refusal or chunk.finish_reason is not None:
                pieces.add(chunk)
            if chunk.tool_calls or chunk.audio:
                self._is_text = False
        self._new.clear()

    def _begin(self, chunk: ChatChunk) -> _Pieces:
        self._id = self._id or chunk.id
        self._model = self._model or chunk.model
        pieces = self._choices[chunk.index] = _Pieces()
        return pieces


class _Line:
    """A text that must come again, and how much of it has."""

    __slots__ = ("_at", "_expected")

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._at = 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._expected)

    def take(self, piece: str) -> str | None:
        """What goes beyond the text; None at a difference."""
        left = len(self._expected) - self._at
        if not self._expected.startswith(piece[:left], self._at):
            return None
        self._at += min(left, len(piece))
        return piece[left:]


class _Choice:
    """One choice of the second answer."""

    __slots__ = ("_reasoning", "_refusal", "_swallows", "_text", "is_finished")

    def __init__(self, said: Said, *, matches_reasoning: bool) -> None:
        self._text = _Line(said.text)
        self._refusal = _Line(said.refusal)
        self._swallows = not matches_reasoning or bool(said.text or said.refusal)
        self._reasoning = _Line("" if self._swallows else said.reasoning)
        self.is_finished = said.is_finished

    @property
    def is_done(self) -> bool:
        return self._text.is_done and self._refusal.is_done and self._reasoning.is_done

    def new(self, chunk: ChatChunk) -> dict[str, Any] | None:
        """What of the chunk is new, by its field; None at a difference."""
        was_done = self.is_done
        reasoning = "" if self._swallows else self._reasoning.take(chunk.reasoning)
        text, refusal = self._text.take(chunk.text), self._refusal.take(chunk.refusal)
        if reasoning is None or text is None or refusal is None:
            return None
        goes_beyond = text or refusal or chunk.tool_calls or chunk.audio or chunk.finish_reason is not None
        if goes_beyond and not self.is_done:
            return None
        new = {"reasoning": reasoning, "text": text, "refusal": refusal, **self._rest(chunk, was_done)}
        return {name: value for name, value in new.items() if value}

    def _rest(self, chunk: ChatChunk, was_done: bool) -> dict[str, Any]:
        """What else belongs to the chunk, if the caller has none of it yet."""
        rest: dict[str, Any] = {"tool_calls": chunk.tool_calls, "audio": chunk.audio}
        if not self.is_finished:
            rest["finish_reason"] = chunk.finish_reason
        if was_done:
            rest.update(logprobs=chunk.logprobs, annotations=chunk.annotations)
        if was_done and (chunk.tool_calls or not self._swallows):
            rest["state"] = chunk.state
        return rest


class Seam:
    """Reads the second answer (rule 2). `resumed`: something new has come."""

    __slots__ = ("_choices", "_id", "_matches_reasoning", "_model", "resumed")

    def __init__(self, first: Transcript, said: dict[int, Said], *, matches_reasoning: bool) -> None:
        self._choices = {
            index: _Choice(choice, matches_reasoning=matches_reasoning) for index, choice in said.items()
        }
        self._id = first.id
        self._model = first.model
        self._matches_reasoning = matches_reasoning
        self.resumed = False

    @classmethod
    def replay(cls, first: Transcript, *, same_model: bool) -> Seam:
        """The whole answer comes again."""
        return cls(first, first.said, matches_reasoning=same_model)

    @classmethod
    def continuation(cls, first: Transcript, tail: str) -> Seam:
        """The answer goes on at `tail`."""
        return cls(first, {0: Said(tail)}, matches_reasoning=False)

    def __repr__(self) -> str:
        return f"<Seam, {'resumed' if self.resumed else 'not resumed'}>"

    def feed(self, chunk: ChatChunk) -> ChatChunk | Mismatch | None:
        """What goes out of it, None if nothing does."""
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = _Choice(Said(), matches_reasoning=self._matches_reasoning)
        new = choice.new(chunk)
        if new is None:
            return Mismatch("the answer differs from what was shown")
        if not new:
            return None
        self.resumed = True
        return ChatChunk(
            **new, index=chunk.index, id=self._id, model=self._model, service_tier=chunk.service_tier
        )
