"""What a fault word is: a name, its options, and a function from plan to plan.

Options are written ``name=value``. Bare values fill the `bare` options in order; a flag is its
bare name. A word with `takes_any` collects every other ``name=value`` in its order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from understudy.errors import ConfigurationError
from understudy.faults.act import DONE, FINISH, HEAD, PREAMBLE, REQUEST
from understudy.faults.plan import Plan


class ScriptError(ConfigurationError):
    """A fault script cannot be read; the message names the word or the value."""


REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a word. `read` turns its text into a value or raises ValueError."""

    name: str
    read: Callable[[str], Any]
    default: Any = REQUIRED
    bare: bool = False

    @property
    def keyword(self) -> str:
        return self.name.replace("-", "_")

    @property
    def is_flag(self) -> bool:
        return self.read is flag

    def __str__(self) -> str:
        text = self._text()
        return text if self.default is REQUIRED else f"[{text}]"

    def _text(self) -> str:
        if self.is_flag:
            return self.name
        return self.name.upper() if self.bare else f"{self.name}=…"


@dataclass(frozen=True, slots=True)
class Word:
    """One fault word. `play` gets the plan and the options as keywords.

    A word that `shapes_answer` says what a healthy answer is; it comes before those that spoil it.
    """

    name: str
    meaning: str
    play: Callable[..., Plan]
    options: tuple[Option, ...] = ()
    example: str = ""
    faults: str = ""
    takes_any: bool = False
    shapes_answer: bool = False

    @property
    def syntax(self) -> str:
        rest = ["NAME=VALUE …"] if self.takes_any else []
        return " ".join([self.name, *map(str, self.options), *rest])

    def values(self, arguments: Sequence[tuple[str | None, str]]) -> dict[str, Any]:
        """The keywords for `play`, from arguments as (name or None, text)."""
        values: dict[str, Any] = {option.keyword: option.default for option in self.options}
        bare = [option for option in self.options if option.bare]
        extra: list[tuple[str, str]] = []
        for name, text in arguments:
            option = self._option(name, text, bare)
            if option is None:
                extra.append((name or "", text))
            else:
                values[option.keyword] = self._read(option, text)
        for option in self.options:
            if values[option.keyword] is REQUIRED:
                raise ScriptError(
                    f"{self.name!r} needs {option.name}", hint=f"write {self.example or self.syntax}"
                )
        return {**values, "extra": tuple(extra)} if self.takes_any else values

    def _option(self, name: str | None, text: str, bare: list[Option]) -> Option | None:
        """There are four cases: a known name; a flag; the next bare value; something else."""
        by_name = {option.name: option for option in self.options}
        if name in by_name:
            return by_name[name]
        if name is None and text in by_name and by_name[text].is_flag:
            return by_name[text]
        if name is None and bare:
            return bare.pop(0)
        if name is not None and self.takes_any:
            return None
        raise ScriptError(
            f"{self.name!r} has no option {name or text!r}", hint=nearest(name or text, by_name)
        )

    def _read(self, option: Option, text: str) -> Any:
        try:
            return option.read(text)
        except ValueError as error:
            raise ScriptError(f"{self.name!r}: {option.name} is {text!r}, but must be {error}") from None


def nearest(word: str, known: Mapping[str, object] | Sequence[str]) -> str | None:
    """A hint that offers the nearest known word, None if none is near."""
    matches = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else None


SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
POSITIONS = {"request": REQUEST, "headers": HEAD, "preamble": PREAMBLE, "finish": FINISH, "done": DONE}


def duration(text: str) -> float:
    """Seconds: ``20``, ``20s``, ``350ms``, ``2m``, ``1h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|)", text)
    if match is None:
        raise ValueError("a duration such as 20s, 350ms or 2m")
    return round(float(match[1]) * SECONDS[match[2]], 9)


def moment(text: str) -> float:
    """A duration from now, with a sign: ``+3s``, ``-10s``."""
    if text[:1] not in ("+", "-"):
        raise ValueError("a duration with a sign, such as +3s or -10s")
    return duration(text[1:]) * (-1 if text[0] == "-" else 1)


def size(text: str) -> int:
    """Bytes: ``65536``, ``64KiB``, ``10MB``."""
    match = re.fullmatch(r"(\d+)([KMG]i?B|B|)", text)
    if match is None:
        raise ValueError("a size such as 65536, 64KiB or 10MB")
    return int(match[1]) * BYTES[match[2]]


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError("a number without a sign")
    return int(text)


def positive(text: str) -> int:
    number = count(text)
    if number == 0:
        raise ValueError("at least 1")
    return number


def status(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d\d", text):
        raise ValueError("a status of three digits")
    return int(text)


def rate(text: str) -> float:
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/s)?", text)
    if number is None or not float(number[1]):
        raise ValueError("tokens per second, such as 50 or 0.2/s")
    return float(number[1])


def position(text: str) -> int:
    """A mark on the timeline: a number of content tokens, or the name of a place."""
    if text in POSITIONS:
        return POSITIONS[text]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"a number of tokens, or one of {', '.join(POSITIONS)}")
    return int(text)


def flag(text: str) -> bool:
    return text.lower() not in ("no", "false", "0")


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read
