"""What values a setting takes, and in whose words it says so.

1. `check` takes a value out of JSON, `parse` the text of a command line; both return it as kept.
2. A shape and its JSON Schema accept the same values, so an editor and the parser never disagree.
3. No error shows the value: it may be a key.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from understudy.core.error_rules import ErrorRule
from understudy.errors import FailureKind


class Shape(Protocol):
    """`check` and `parse` raise ValueError for what the setting does not take."""

    @property
    def description(self) -> str:
        """Completes the sentence "KEY must be …"."""
        ...

    def check(self, value: object) -> Any:
        """The value as it is kept."""
        ...

    def parse(self, text: str) -> Any:
        """The same from a command line's text."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        ...


# The largest integer that every JSON reader keeps exactly; far beyond any sensible setting, and
# small enough for a float.
_LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int
    maximum: int = _LARGEST

    @property
    def description(self) -> str:
        if self.maximum != _LARGEST:
            return f"an integer from {self.minimum} to {self.maximum}"
        if self.minimum == 1:
            return "a positive integer"
        return f"an integer of at least {self.minimum}"

    def check(self, value: object) -> int:
        # JSON has one kind of number: 5.0 is an integer there.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(value)
        if not self.minimum <= value <= self.maximum:
            raise ValueError(value)
        return value

    def parse(self, text: str) -> int:
        return self.check(int(text))

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


_WORDS = {
    "true": True,
    "on": True,
    "yes": True,
    "1": True,
    "false": False,
    "off": False,
    "no": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Boolean:
    @property
    def description(self) -> str:
        return "true or false"

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value

    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _WORDS:
            raise ValueError(text)
        return _WORDS[word]

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    words: tuple[str, ...]

    @property
    def description(self) -> str:
        return "one of " + ", ".join(self.words)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(value)
        return value

    def parse(self, text: str) -> str:
        return self.check(text.strip().lower())

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Words:
    """A list without repetition; an empty one is a value too."""

    words: tuple[str, ...]

    @property
    def description(self) -> str:
        return "a list of " + ", ".join(self.words)

    def check(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(value)
        checked = tuple(Choice(self.words).check(item) for item in value)
        if len(set(checked)) < len(checked):
            raise ValueError(value)
        return checked

    def parse(self, text: str) -> tuple[str, ...]:
        return self.check(text.strip("[] ").replace(",", " ").lower().split())

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"enum": list(self.words)}, "uniqueItems": True}


@dataclass(frozen=True, slots=True)
class Amounts:
    """Numbers from 0 by name, the first two of them always there."""

    names: tuple[str, ...]

    @property
    def description(self) -> str:
        needed = ", ".join(f'"{name}": number' for name in self.names[:2])
        more = ", ".join(f'"{name}"' for name in self.names[2:])
        return f"{{{needed}}}, all from 0, optionally {more}"

    def check(self, value: object) -> dict[str, float]:
        if not isinstance(value, dict) or not set(self.names[:2]) <= set(value) <= set(self.names):
            raise ValueError(value)
        return {name: self._number(value[name]) for name in self.names if name in value}

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            raise ValueError(value)
        return value

    def parse(self, text: str) -> dict[str, float]:
        return self.check(json.loads(text))

    def schema(self) -> dict[str, Any]:
        number = {"type": "number", "minimum": 0, "maximum": _LARGEST}
        return {
            "type": "object",
            "properties": dict.fromkeys(self.names, number),
            "required": list(self.names[:2]),
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Lateness:
    """When something is late: never, after so many milliseconds, or later than most of its kind."""

    @property
    def description(self) -> str:
        return "off, an integer of at least 0 (milliseconds), or p50 to p99"

    def check(self, value: object) -> str | int:
        if isinstance(value, str):
            if not re.fullmatch("off|p[5-9][0-9]", value):
                raise ValueError(value)
            return value
        return Integer(0).check(value)

    def parse(self, text: str) -> str | int:
        word = text.strip().lower()
        return int(word) if word.isdecimal() else self.check(word)

    def schema(self) -> dict[str, Any]:
        words = {"type": "string", "pattern": f"^(off|p[5-9][0-9]){_END}"}
        return {"anyOf": [words, Integer(0).schema()]}


# JSON Schema's `$` lets Python's matcher accept one line feed more; the look-ahead forbids it.
_END = r"$(?!\n)"
_PORT = "[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_KEY_PREFIXES = "sk|gsk|hf|fw|csk|tgp|xai|pplx|nvapi"


@dataclass(frozen=True, slots=True)
class Text:
    """One line. `pattern` is both the check and the schema."""

    description: str = "a non-empty text of one line"
    pattern: str = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*" + _END

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not re.search(self.pattern, value):
            raise ValueError(value)
        return value

    def parse(self, text: str) -> str:
        return self.check(text)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern}


TEXT = Text()

BASE_URL = Text(
    "an http or https URL without user, query and /chat/completions",
    r"^(?!.*/chat/completions/*$)https?://(?:[^\s/?#@:\[\]\x00-\x1f\x7f]+|\[[0-9A-Fa-f:.]+\])"
    rf"(?::(?:{_PORT}))?(?:/[^\s?#\x00-\x1f\x7f]*)?{_END}",
)

# People paste the key itself where its variable's name belongs; such a "name" is never looked up,
# let alone shown. Long runs of small letters and digits are what keys look like.
VARIABLE = Text(
    "the name of an environment variable (not the key itself)",
    rf"^(?!(?:{_KEY_PREFIXES})_[A-Za-z0-9_]{{16}})(?!(?=[^_]*[0-9])(?=[^_]*[a-z])[^_]{{24}})"
    rf"[A-Za-z_][A-Za-z0-9_]*{_END}",
)


@dataclass(frozen=True, slots=True)
class StatusList:
    @property
    def description(self) -> str:
        return "a list of HTTP statuses from 400 to 599"

    def check(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(value)
        return tuple(Integer(400, 599).check(item) for item in value)

    def parse(self, text: str) -> tuple[int, ...]:
        return self.check([int(word) for word in text.strip("[] ").replace(",", " ").split()])

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": Integer(400, 599).schema()}


# A user's rule may name any class that an upstream's answer can have.
_OURS = (FailureKind.CANCELLED, FailureKind.INTERNAL, FailureKind.MISMATCH)
_RULE_KINDS = tuple(str(kind) for kind in FailureKind if kind not in _OURS)


@dataclass(frozen=True, slots=True)
class ErrorRules:
    @property
    def description(self) -> str:
        return (
            'a list of {"status": 400–599, "match": "pattern", "kind": failure kind}, status or match or both'
        )

    def check(self, value: object) -> tuple[ErrorRule, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(value)
        return tuple(self._rule(item) for item in value)

    def _rule(self, item: object) -> ErrorRule:
        if isinstance(item, ErrorRule):
            return item
        if (
            not isinstance(item, dict)
            or set(item) - {"status", "match", "kind"}
            or not {"status", "match"} & set(item)
        ):
            raise ValueError(item)
        return ErrorRule(
            status=Integer(400, 599).check(item["status"]) if "status" in item else None,
            match=TEXT.check(item["match"]) if "match" in item else None,
            kind=FailureKind(Choice(_RULE_KINDS).check(item.get("kind"))),
        )

    def parse(self, text: str) -> tuple[ErrorRule, ...]:
        raise ValueError(text)

    def schema(self) -> dict[str, Any]:
        rule = {
            "type": "object",
            "properties": {
                "status": Integer(400, 599).schema(),
                "match": TEXT.schema() | {"format": "regex"},
                "kind": {"enum": list(_RULE_KINDS)},
            },
            "required": ["kind"],
            "anyOf": [{"required": ["status"]}, {"required": ["match"]}],
            "additionalProperties": False,
        }
        return {"type": "array", "items": rule}
