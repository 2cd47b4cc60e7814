"""Fields of a request that a backend refuses, and the request's body without them.

1. What may be left out changes how the answer comes about, but not what is asked (`OPTIONAL`). Tools,
   formats, stop texts, messages and limits are not among it: who refuses them can't take the request. Two
   names of one limit are put for each other (`RENAMED`).
2. A complaint counts if it is worded as a refusal and names the field: by the code of OpenAI's errors, by a
   validator's path, or in one of the sentences below. Where it is about the value, or about two fields that
   do not go together, another request may well say the field.
3. A field is known by its name with underscores, also inside Gemini's `generationConfig`; a dotted one is
   part of an object, one of `messages` part of every message.
4. Thinking with a budget becomes adaptive thinking, of an effort that comes near it, where models choose
   themselves how much to think.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import msgspec

from understudy.core.facts import Facts, Refusal

__all__ = ["BUDGET", "OPTIONAL", "RENAMED", "UNNAMED", "Unwanted", "named", "refused_by", "without"]

SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")
BUDGET = "thinking.budget_tokens"
DISABLED = "thinking.type.disabled"
PENALTIES = "penalties"

OPTIONAL = frozenset(
    (
        *SAMPLING, PENALTIES, "min_p", "repetition_penalty", "seed", "logit_bias", "logprobs", "top_logprobs",
        "response_logprobs", "parallel_tool_calls", "reasoning_effort", "reasoning", "thinking",
        "thinking_config", BUDGET, DISABLED, "output_config.effort", "verbosity", "text.verbosity",
        "service_tier", "user", "safety_identifier", "metadata", "store", "prompt_cache_key",
        "prompt_cache_retention", "prompt_cache_options", "prediction", "stream_options",
        "messages.reasoning_content", "messages.reasoning", "messages.reasoning_details",
        "messages.annotations", "messages.refusal",
    )
)  # fmt: skip
RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
UNNAMED = frozenset(("stream_options", *RENAMED))
"""What is not missed: the first is ours, and the others are said by their other name."""

_ALIASES = {"thinking.type.enabled": BUDGET, "effort": "output_config.effort", "penalty": PENALTIES}
_OF_MESSAGES = frozenset(name.removeprefix("messages.") for name in OPTIONAL if name.startswith("messages."))
_PLAIN_WORDS = frozenset(
    (
        "user", "metadata", "store", "seed", "reasoning", "thinking", "prediction", "verbosity", "effort",
        "refusal", "annotations",
    )
)  # fmt: skip
"""Sentences have these words without being about a field: there they count in quotation marks alone."""

_NAME = r"(?P<quote>['\"`]?)(?P<name>[A-Za-z_][\w.\[\]]{0,80})(?P=quote)"
_MARKED = r"[\[(]?['\"`]?(?P<name>[A-Za-z_][\w.\[\]]{0,80})"
_NO = (
    r"(?:no longer supported|not (?:yet )?(?:supported|permitted|allowed|available|enabled)"
    r"|unsupported|deprecated)"
)
_THING = r"(?:parameter|value|field|key|argument|name|property|input)s?"
_SENTENCES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:unsupported|unknown|unrecognized|unexpected|extra)(?: request| keyword)? {_THING}"
        rf"(?: supplied)?:? {_MARKED}",
        r"(?P<name>[A-Za-z_][\w.\[\]]{0,80}): extra inputs are not permitted",
        rf"extra inputs are not permitted, field: {_MARKED}",
        rf"{_THING} not supported[^:]{{0,40}}: {_MARKED}",
        rf"{_NAME}(?: parameter| field)? (?:is|are) {_NO}",
        rf"does not support (?:the )?(?:parameter )?{_NAME}",
    )
)
_BESIDE = re.compile(
    r"['\"`]?[a-z_]{1,40}['\"`]? and ['\"`]?(?P<name>[a-z_]{1,40})['\"`]? cannot both be", re.IGNORECASE
)
_ADAPTIVE = re.compile(r"adaptive thinking is not supported", re.IGNORECASE)
_VALUE = re.compile(r"supported values are|when (?:using|reasoning|thinking)|unless\b", re.IGNORECASE)
_CODES = frozenset(("unsupported_parameter", "unsupported_value", "unknown_parameter"))
_PARAM = re.compile(r'"param"\s*:\s*"(?P<name>[A-Za-z_][\w.\[\]]{0,80})"')
_VALIDATED = re.compile(r"extra_forbidden|not permitted", re.IGNORECASE)
_PATH = re.compile(r"[\"']loc[\"']\s*:\s*[\[(]([^\])]{0,200})[\])]")
_WORD = re.compile(r"[A-Za-z_]\w*")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

_ESCAPE, _STAND_IN = rb"\ud", rb"\u0001:understudy:"
_HALF = re.compile(rb"\\ud[89a-f]")
_EFFORTS = ((2048, "low"), (8192, "medium"))
_CONFIG = "generationConfig"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MESSAGES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

Fields = dict[str, Any]


class Unwanted(NamedTuple):
    """A field that was refused. `always`: whatever it says, and whatever stands beside it."""

    name: str
    always: bool = True


def refused_by(facts: Facts) -> frozenset[str]:
    """What a model of these facts is known to refuse."""
    sampling = SAMPLING if Refusal.SAMPLING in facts.refuses else ()
    budget = (BUDGET,) if Refusal.THINKING_BUDGET in facts.refuses else ()
    return frozenset((*sampling, *budget))


# The complaint (rule 2)


def named(sentences: str, words: Collection[str], body: str) -> Unwanted | None:
    """The field that a refused request may do without; None if the complaint is about none."""
    beside = _BESIDE.search(sentences)
    if beside is not None and (name := _known(beside["name"])) is not None:
        return Unwanted(name, always=False)
    always = _VALUE.search(sentences) is None
    return next((Unwanted(name, always) for name in _candidates(sentences, words, body) if name), None)


def _candidates(sentences: str, words: Collection[str], body: str) -> Iterator[str | None]:
    if not _CODES.isdisjoint(words):
        yield from (_known(found["name"]) for found in _PARAM.finditer(body))
    if _VALIDATED.search(body):
        yield from (_known(".".join(_WORD.findall(path))) for path in _PATH.findall(body))
    if _ADAPTIVE.search(sentences):
        yield "thinking"
    for pattern in _SENTENCES:
        yield from map(_meant, pattern.finditer(sentences))


def _meant(found: re.Match[str]) -> str | None:
    name = found["name"]
    is_plain = found.groupdict().get("quote") == "" and name.lower() in _PLAIN_WORDS
    return None if is_plain and not found[0].lower().endswith(f"the {name.lower()}") else _known(name)


def _known(path: str) -> str | None:
    """Rule 3: the field of the table that a path leads to, or into."""
    steps = [_snake(step) for step in re.split(r"[.\[\]]+", path) if step and not step.isdigit()]
    while steps and steps[0] in ("body", "generation_config"):
        del steps[0]
    if steps and steps[0] == "messages":
        return f"messages.{steps[-1]}" if steps[-1] in _OF_MESSAGES else None
    for length in range(len(steps), 0, -1):
        name = ".".join(steps[:length])
        name = _ALIASES.get(name, name)
        if name in OPTIONAL or name in RENAMED:
            return name
    return f"messages.{path}" if path in _OF_MESSAGES else None


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


# The body


def without(body: bytes, names: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
    """The body of a request without these fields, and which of them were there.

    msgspec reads no half of a surrogate pair, not even escaped: meanwhile the escape stands in other words.
    """
    if _HALF.search(body):
        body, gone = without(body.replace(_ESCAPE, _STAND_IN), names)
        return body.replace(_STAND_IN, _ESCAPE), gone
    fields: Fields = dict(_FIELDS.decode(body))
    gone = tuple(name for name in sorted(names) if _leave_out(fields, name))
    return (msgspec.json.encode(fields), gone) if gone else (body, ())


def _leave_out(fields: Fields, name: str) -> bool:
    """Was there anything to leave out?"""
    if name in RENAMED:
        return _rename(fields, name, RENAMED[name])
    if name == BUDGET:
        return _think_adaptively(fields)
    if name == DISABLED:
        return _kind(fields) == "disabled" and bool(fields.pop("thinking"))
    if name == PENALTIES:
        return any([_drop(fields, "presence_penalty"), _drop(fields, "frequency_penalty")])
    owner, _, part = name.rpartition(".")
    if owner == "messages":
        return _drop_of_messages(fields, part)
    return _drop_part(fields, owner, part) if owner else _drop(fields, name)


def _rename(fields: Fields, name: str, other: str) -> bool:
    if name not in fields or other in fields:
        return False
    fields[other] = fields.pop(name)
    return True


def _drop(fields: Fields, name: str) -> bool:
    if name in fields:
        del fields[name]
        return True
    if _CONFIG not in fields:
        return False
    key = next((key for key in _object(fields[_CONFIG]) if _snake(key) == name), None)
    return key is not None and _drop_part(fields, _CONFIG, key)


def _drop_part(fields: Fields, owner: str, part: str) -> bool:
    parts = _object(fields.get(owner))
    if part not in parts:
        return False
    del parts[part]
    if parts:
        fields[owner] = msgspec.Raw(msgspec.json.encode(parts))
    else:
        del fields[owner]
    return True


def _drop_of_messages(fields: Fields, part: str) -> bool:
    try:
        messages = _MESSAGES.decode(fields.get("messages", b""))
    except msgspec.MsgspecError:
        return False
    if not any(part in message for message in messages):
        return False
    bare = [{name: value for name, value in one.items() if name != part} for one in messages]
    fields["messages"] = msgspec.Raw(msgspec.json.encode(bare))
    return True


def _think_adaptively(fields: Fields) -> bool:
    """Rule 4."""
    if _kind(fields) != "enabled":
        return False
    budget = msgspec.json.decode(fields["thinking"]).get("budget_tokens")
    fields["thinking"] = {"type": "adaptive"}
    if isinstance(budget, int):
        effort = next((word for most, word in _EFFORTS if budget <= most), "high")
        fields["output_config"] = {"effort": effort, **_object(fields.get("output_config"))}
    return True


def _kind(fields: Fields) -> object:
    kind = _object(fields.get("thinking")).get("type")
    return None if kind is None else msgspec.json.decode(kind)


def _object(raw: msgspec.Raw | None) -> Fields:
    """An object's parts, cut apart; none if it is no object."""
    try:
        return dict(_FIELDS.decode(raw or b""))
    except msgspec.MsgspecError:
        return {}
