"""Reasoning and the state that vouches for it, put together and found again.

A chunk has all of its reasoning in one text and its states beside it; a protocol has blocks or items that
hold a text each, and the state for it. A conversation in neutral words has an assistant's reasoning as
``reasoning_content`` and the states beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from understudy.wire.state import FIELD, ProviderState

__all__ = ["blocks_of", "parts_left_out", "readable", "states_of", "without_state"]

Block = tuple[str, ProviderState | None]
"""A text and its state. A state without a text of its own has an empty one."""


def blocks_of(reasoning: str, states: Iterable[ProviderState]) -> list[Block]:
    """The reasoning cut at the texts of its states, in order; what no state vouches for has none.

    Of a text whose beginning came in earlier chunks the rest stands before its state. Where none of the
    states has a text, as with Gemini's, they stand behind the reasoning.
    """
    states = list(states)
    if not any(state.text for state in states):
        thought = reasoning.strip() or (reasoning and not states)
        return [*([(reasoning, None)] if thought else []), *(("", state) for state in states)]
    blocks: list[Block] = []
    for state in states:
        before, text, rest = _parted(reasoning, state.text)
        if before.strip():
            blocks.append((before, None))
        blocks.append((text, state))
        reasoning = rest
    if reasoning.strip():
        blocks.append((reasoning, None))
    return blocks


def _parted(reasoning: str, text: str) -> tuple[str, str, str]:
    """There are three cases: the text is in there, only its end is, nothing of it is."""
    if text and text in reasoning:
        return reasoning.partition(text)
    if reasoning and text.endswith(reasoning):
        return reasoning, "", ""
    return "", "", reasoning


def states_of(message: Mapping[str, Any], issuer: str) -> list[ProviderState]:
    """The states in an assistant's message that this format issued. Raises ValueError."""
    try:
        states = msgspec.convert(message.get(FIELD) or [], list[ProviderState])
    except msgspec.ValidationError as error:
        raise ValueError(f"{FIELD}: {error}") from None
    return [state for state in states if state.issuer == issuer]


def readable(message: Mapping[str, Any], issuer: str, origin: str) -> Mapping[str, Any]:
    """The message, which has state, without what was issued in this format elsewhere than at `origin`."""
    states = message[FIELD]
    if not isinstance(states, list | tuple):
        return message
    return {**message, FIELD: [one for one in states if not _is_from_elsewhere(one, issuer, origin)]}


def _is_from_elsewhere(state: object, issuer: str, origin: str) -> bool:
    if not isinstance(state, Mapping) or state.get("issuer") != issuer:
        return False
    return state.get("origin", "") not in ("", origin)


def without_state(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message as a backend that issued none of it takes it."""
    return {name: value for name, value in message.items() if name != FIELD} if FIELD in message else message


def parts_left_out(
    messages: Sequence[Mapping[str, Any]], issuer: str, words: Collection[str] = ()
) -> tuple[str, ...]:
    """What a format drops of messages, by name, each once: authors' names, what was said aloud, reasoning
    without state, and of parts the words that it does not have."""
    return tuple(dict.fromkeys(part for message in messages for part in _lost(message, issuer, words)))


def _lost(message: Mapping[str, Any], issuer: str, words: Collection[str]) -> Iterator[str]:
    for name in ("name", "audio"):
        if message.get(name):
            yield f"messages[].{name}"
    if message.get("reasoning_content") and not states_of(message, issuer):
        yield "messages[].reasoning_content"
    content = message.get("content")
    for part in content if words and isinstance(content, list | tuple) else ():
        if isinstance(part, Mapping):
            yield from _lost_of_part(part, words)


def _lost_of_part(part: Mapping[str, Any], words: Collection[str]) -> Iterator[str]:
    """Words of the part itself, and of what it holds under the name of its type."""
    inner = part.get(str(part.get("type")))
    for word in words:
        if part.get(word) or (isinstance(inner, Mapping) and inner.get(word)):
            yield f"messages[].{word}"
