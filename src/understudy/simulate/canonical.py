"""The answer that every modelled backend gives to a request: known in advance, so that it can be checked.

1. A request says in its prompt who it is and how long its answer is; `answer` is then the same for whoever
   asks and whoever is asked, as long as their `wording` is the same.
2. Every token is four ASCII characters, which is also how the product estimates; so any part of an answer is
   a slice. An answer ends in a full stop, and has at most `LONGEST` tokens.
3. Nothing in it needs escaping in JSON, but for the line end before a prompt's last line.
"""

from __future__ import annotations

from random import Random

import msgspec

TOKEN = 4
LONGEST = 1 << 15
_WORDINGS = 7919
_MARK = "\n#"


def _pool() -> str:
    chance = Random(20_260_000)  # noqa: S311 - any text will do, as long as it is always the same
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join("".join(chance.choices(letters, k=TOKEN - 1)) + " " for _ in range(2 * LONGEST))


_TEXT = _pool()


class Question(msgspec.Struct, frozen=True, gc=False):
    """What a prompt says of itself: the request's number, and the length of its answer in tokens."""

    number: int
    tokens: int


def prompt(question: Question, session: int, tokens: int) -> str:
    """A prompt of about so many tokens. Those of one session begin alike."""
    opening, mark = f"session {session}: ", f"{_MARK}{question.number} {question.tokens}"
    return f"{opening}{_TEXT[: max(0, tokens * TOKEN - len(opening) - len(mark))]}{mark}"


def asked(text: str) -> Question:
    """What the prompt says of itself; raises ValueError if it is none of ours."""
    number, tokens = text[text.rindex(_MARK) + len(_MARK) :].split()
    return Question(int(number), int(tokens))


def answer(question: Question, wording: int = 0) -> str:
    """The whole answer. Every wording has another one."""
    tokens = question.tokens
    if not 0 < tokens <= LONGEST:
        tokens = min(max(1, tokens), LONGEST)
    begin = (question.number * 31 + wording * _WORDINGS) % LONGEST * TOKEN
    return f"{_TEXT[begin : begin + tokens * TOKEN - 1]}."
