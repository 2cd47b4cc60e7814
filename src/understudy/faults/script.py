"""A script: which step is played at which attempt, as a line of text.

::

    script    = step { ";" step } [ ";" "loop" ]
    step      = { qualifier } clause { "+" clause }
    clause    = word { value | name=value | flag }        a bare status is "status STATUS"
    qualifier = "30%"          this often, else fine
              | "3x"           for three attempts
              | "for 60s"      until so long after its first attempt
              | "capacity 2"   503 when more than so many of its requests are being answered
              | "when stream" | "when unary" | "when usage" | "when sampling" | …

1. Every attempt uses one step up, whether or not the step's qualifiers let it be played; an
   attempt that a qualifier spares is answered fine.
2. The last step repeats; with ``3x`` or ``for`` it is over after that and all is fine; with
   ``loop`` the script begins anew.
3. ``down 60s`` is ``for 60s status 503``. Qualifiers with nothing behind them qualify ``fine``.
4. The clauses of a step add up. Words that say what a healthy answer is come first, the others in
   the order in which they are written.
5. Values with blanks, ``;`` or ``+`` are quoted with ' or ".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from understudy.faults.plan import Plan, Plans
from understudy.faults.vocabulary import WORDS
from understudy.faults.word import ScriptError, Word, count, duration, nearest, positive

Occasion = Literal["stream", "unary", "usage", "reused", "prefill", "sampling", "limit", "budget"]
OCCASIONS: tuple[Occasion, ...] = get_args(Occasion)


@dataclass(frozen=True, slots=True)
class Clause:
    """One word with its values."""

    word: Word
    values: dict[str, Any]

    def play(self, plan: Plan) -> Plan:
        return self.word.play(plan, **self.values)


@dataclass(frozen=True, slots=True)
class Step:
    """What one attempt, or several, will get. `text` is how it was written."""

    text: str
    clauses: tuple[Clause, ...] = ()
    chance: float = 1.0
    times: int | None = None
    lasting: float | None = None
    occasions: tuple[Occasion, ...] = ()
    capacity: int | None = None

    def plan(self, plan: Plan) -> Plan:
        for clause in sorted(self.clauses, key=lambda clause: not clause.word.shapes_answer):
            plan = clause.play(plan)
        return plan

    def plans(self, plans: Plans) -> Plans:
        return {spoken: self.plan(plan) for spoken, plan in plans.items()}


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in order. `str` is the script as it can be written."""

    steps: tuple[Step, ...]
    loops: bool = False

    def __str__(self) -> str:
        return "; ".join([step.text for step in self.steps] + ["loop"] * self.loops)

    @classmethod
    def parse(cls, text: str) -> Script:
        """Read a script. Raises `ScriptError`."""
        parts = _split(_tokens(text), ";")
        loops = bool(parts) and [token.text for token in parts[-1]] == ["loop"]
        steps = tuple(_step(part) for part in (parts[:-1] if loops else parts) if part)
        if not steps:
            raise ScriptError("the script is empty", hint="write 'fine' for a healthy provider")
        return cls(steps, loops)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a script: as written, and its (name, text) with the quotes taken off."""

    written: str
    name: str | None
    text: str


QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
TOKEN = re.compile(rf"""\s*(;|(?:{QUOTED}|[^\s;'"])+)""")


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise ScriptError(f"a quote is not closed: {text[at:].strip()}")
        tokens.append(_token(match[1]))
        at = match.end()
    return tokens


def _token(written: str) -> Token:
    named = re.match(r"([A-Za-z][\w.-]*)=", written)
    rest = written[named.end() :] if named else written
    return Token(written, named[1] if named else None, re.sub(QUOTED, _unquoted, rest))


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[0]
    return quoted[1:-1] if quoted[0] == "'" else re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _split(tokens: Sequence[Token], separator: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.written == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _step(tokens: list[Token]) -> Step:
    step = Step(" ".join(token.written for token in tokens))
    while tokens and (qualified := _qualified(step, tokens)) is not None:
        step, tokens = qualified
        tokens = tokens or [_token("fine")]
    return replace(step, clauses=tuple(_clause(part) for part in _split(tokens, "+")))


def _qualified(step: Step, tokens: list[Token]) -> tuple[Step, list[Token]] | None:
    """The step with its next qualifier and the tokens behind it, None if there is none."""
    first, rest = tokens[0].written, tokens[2:]
    if re.fullmatch(r"\d+(\.\d+)?%", first):
        return replace(step, chance=float(first[:-1]) / 100), tokens[1:]
    if re.fullmatch(r"\d+x", first):
        return replace(step, times=_value(positive, "the number of attempts", first[:-1])), tokens[1:]
    if first == "for":
        return replace(step, lasting=_value(duration, "for", _next(tokens))), rest
    if first == "down":
        return replace(step, lasting=_value(duration, "down", _next(tokens))), rest or [_token("503")]
    if first == "capacity":
        return replace(step, capacity=_value(count, "capacity", _next(tokens))), rest
    if first == "when":
        return _when(step, tokens), rest
    return None


def _next(tokens: list[Token]) -> str:
    return tokens[1].text if len(tokens) > 1 else ""


def _value(read: Any, what: str, text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ScriptError(f"{what} is {text!r}, but must be {error}") from None


def _when(step: Step, tokens: list[Token]) -> Step:
    word = _next(tokens)
    for occasion in OCCASIONS:
        if word == occasion:
            return replace(step, occasions=(*step.occasions, occasion))
    raise ScriptError(f"'when' knows no {word!r}", hint=f"it knows {', '.join(OCCASIONS)}")


def _clause(tokens: list[Token]) -> Clause:
    if not tokens:
        raise ScriptError("a fault word is missing", hint="write 'fine' for a healthy answer")
    if re.fullmatch(r"[1-9]\d\d", tokens[0].written):
        tokens = [_token("status"), *tokens]
    name = tokens[0].written
    if name not in WORDS:
        raise ScriptError(f"unknown fault word {name!r}", hint=nearest(name, WORDS))
    arguments = [(token.name, token.text) for token in tokens[1:]]
    return Clause(WORDS[name], WORDS[name].values(arguments))
