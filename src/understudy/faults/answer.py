"""The canonical answer: sixty tokens that everybody knows, and what a script can change about it.

1. An answer is the same for every request: no setting of the caller's (``max_tokens``, ``stop``,
   ``temperature``) alters it. The caller decides only stream or unary, ``n``, and whether the
   stream tells its usage.
2. One chunk per token: the text of a token is what one event of a stream carries. Some tokens hold
   multibyte characters.
3. The exception: if the conversation ends with a message of the assistant's that the answer begins with, only
   the rest of it is said.
4. `output_tokens` is exact: text, reasoning and tool-call pieces, for every choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice

TOKENS: tuple[str, ...] = (
    "The", " show", " goes", " on", ":", " when", " the", " lead", " falls", " silent",
    ",", " the", " under", "study", " steps", " in", " and", " takes", " the", " line",
    " —", " “", "Encore", "”", ",", " cries", " the", " café", ",", " 再演",
    "、", "再演", "!", " 🎭", " Nobody", " in", " the", " stalls", " hears", " a",
    " gap", ",", " nobody", " hears", " a", " word", " twice", ";", " the", " naïve",
    " say", " it", " was", " luck", ",", " the", " stage", " manager", " smiles", ".",
)  # fmt: skip

TEXT = "".join(TOKENS)
NO_FINISH = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call. Its first event has id and name; the arguments follow in pieces. The id may be blank."""

    name: str
    arguments: str
    id: str


@dataclass(frozen=True, slots=True)
class Call:
    """What of a request matters to its answer. `prompt_size` is in characters.

    `as_array`: a stream is asked for as one JSON array, not as events. `encrypted`: reasoning is to
    come with what only its issuer can read. `prefill` is what the assistant has said already, if the
    conversation ends with that.
    """

    model: str
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    prompt_size: int = 0
    as_array: bool = False
    encrypted: bool = False
    prefill: str = ""

    @property
    def input_tokens(self) -> int:
        return (self.prompt_size + 3) // 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend says when it is well.

    `model` None echoes the model asked for. `finish` None is ``tool_calls`` after tool calls,
    else ``stop``; `NO_FINISH` is none at all. `choices` None follows the request. `piece` is the
    number of characters of tool-call arguments per event. `is_null`: content is null, not blank.
    `is_refusal`: the text says that the model will not. `blocked` is why a filter let nothing of the
    prompt pass, None if it did.
    """

    tokens: tuple[str, ...] = TOKENS
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    finish: str | None = None
    choices: int | None = None
    piece: int = 4
    interleaved: bool = False
    reasoning_field: str = "reasoning_content"
    is_null: bool = False
    is_refusal: bool = False
    blocked: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def finish_reason(self) -> str | None:
        if self.finish is None:
            return "tool_calls" if self.tool_calls else "stop"
        return None if self.finish == NO_FINISH else self.finish

    @property
    def output_tokens(self) -> int:
        """Of one choice."""
        return len(self.tokens) + len(self.reasoning) + sum(map(self._pieces, self.tool_calls))

    def _pieces(self, call: ToolCall) -> int:
        return 1 + len(self.pieces(call))

    def pieces(self, call: ToolCall) -> list[str]:
        text = call.arguments
        return [text[at : at + self.piece] for at in range(0, len(text), self.piece)]

    def saying(self, text: str) -> Answer:
        """The same answer with another text: a token per word, spaces kept."""
        words = text.split(" ")
        return replace(self, tokens=(words[0], *(f" {word}" for word in words[1:])))

    def going_on(self, prefill: str) -> Answer:
        """The rest of the same answer; all of it if it does not begin like that."""
        if not prefill or not self.text.startswith(prefill):
            return self
        left, rest = len(prefill), []
        for token in self.tokens:
            if len(token) > left:
                rest.append(token[left:])
            left = max(0, left - len(token))
        return replace(self, tokens=tuple(rest))

    def of_length(self, count: int) -> Answer:
        """The same answer with so many tokens: the canonical ones, over and over."""
        return replace(self, tokens=tuple(islice(cycle(TOKENS), count)))


CANONICAL = Answer()
