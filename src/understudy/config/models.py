"""What is known of models by their names: one table, ``models.json``, beside this file.

1. A name is looked up without what comes before its last slash, without the marks of those who resell
   models (``hf:``, ``us.anthropic.``), in lower case; a dot between digits is as good as a dash.
2. One of a family's names must begin the model's and end where a part of it ends: ``gpt-4`` is not
   ``gpt-4o``. The longest one that does wins.
3. What follows it may be a date, a size, a variant. A number of one or two digits is another version,
   of which nothing is known: ``claude-opus-4`` says nothing of ``claude-opus-4-9``. So is a model for speech
   or pictures (`_NO_CHAT`), which has its own.
4. Anybody may serve an open model, with less of a window than it was made for. So the limits of one hold
   only at an address that belongs to the provider itself.
5. What a profile sets goes before the table. A model that is not in it has no facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from understudy.core.settings import FACTS, lookup

TABLE = Path(__file__).with_name("models.json")

_LIMITS = ("context-limit", "max-output")
_SELLERS = re.compile(
    r"(?:[a-z]{2,6}\.)?(?:anthropic|meta|mistral|deepseek|openai|qwen|google|amazon)\.|hf:|ft:"
)
_REST = re.compile(r"(?!\w)(?!-\d{1,2}(?![\da-z]))")
_NO_CHAT = re.compile(r"-(?:image|tts|transcribe|realtime|live|native-audio|embedding|computer-use)\b")
_DOT = re.compile(r"(?<=\d)\.(?=\d)")


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one kind. `facts` are settings by key; `as_of` is the month of what `source` says."""

    names: tuple[str, ...]
    maker: str
    source: str
    as_of: str
    facts: Mapping[str, Any]
    is_open: bool = False

    def match(self, name: str) -> int:
        """How many letters of a plain name tell that it is one of them; 0 if it isn't (rules 2 and 3)."""
        patterns = map(plain, self.names)
        return max((len(pattern) for pattern in patterns if _begins(pattern, name)), default=0)


def _begins(pattern: str, name: str) -> bool:
    return name.startswith(pattern) and _REST.match(name, len(pattern)) is not None


@cache
def families() -> tuple[Family, ...]:
    """The table, in its own order."""
    return tuple(_family(row) for row in msgspec.json.decode(TABLE.read_bytes()))


@cache
def family_of(model: str) -> Family | None:
    """The family that a model belongs to, if it is a known one."""
    name = plain(model)
    likeliest = max(families(), key=lambda family: family.match(name))
    return likeliest if likeliest.match(name) and not _NO_CHAT.search(name) else None


def facts_of(model: str, *, hosted: bool) -> Mapping[str, Any]:
    """What the table says of a model. `hosted`: at the provider's own address (rule 4)."""
    family = family_of(model)
    if family is None:
        return {}
    if hosted or not family.is_open:
        return family.facts
    return {key: value for key, value in family.facts.items() if key not in _LIMITS}


def plain(model: str) -> str:
    """A model's name as the table has it (rule 1)."""
    name = model.rpartition("/")[2].strip().lower()
    return _DOT.sub("-", _SELLERS.sub("", name, count=1))


def _family(row: Mapping[str, Any]) -> Family:
    return Family(
        tuple(row["names"]),
        row["maker"],
        row["source"],
        row["as_of"],
        {key: lookup(key).check(row[key]) for key in FACTS if key in row},
        row.get("open", False),
    )
