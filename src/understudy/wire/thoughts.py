"""Reasoning and the state that vouches for it, put together and found again.

A chunk has all of its reasoning in one text and its states beside it; a protocol has blocks or items that
hold a text each, and the state for it. A conversation in neutral words has an assistant's reasoning as
``reasoning_content`` and the states beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from understudy.wire.state import FIELD, ProviderState

__all__ = ["blocks_of", "parts_left_out", "states_of", "without_state"]

Block = tuple[str, ProviderState | None]
"""A text and its state. A state without a text of its own has an empty one."""


def blocks_of(reasoning: str, states: Iterable[ProviderState]) -> list[Block]:
    """The reasoning cut at the texts of its states, in order; what no state vouches for has none.

    Of a text whose beginning came in earlier chunks the rest stands before its state.
    """
    blocks: list[Block] = []
    for state in states:
        before, text, rest = _parted(reasoning, state.text)
        if before.strip():
            blocks.append((before, None))
        blocks.append((text, state))
        reasoning = rest
    if reasoning.strip() or (reasoning and not blocks):
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


def without_state(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message as a backend that issued none of it takes it."""
    return {name: value for name, value in message.items() if name != FIELD} if FIELD in message else message


def parts_left_out(messages: Sequence[Mapping[str, Any]], issuer: str) -> tuple[str, ...]:
    """What nearly every format drops of messages, by name: authors' names, and reasoning without state."""
    return tuple(dict.fromkeys(part for message in messages for part in _lost(message, issuer)))


def _lost(message: Mapping[str, Any], issuer: str) -> Iterator[str]:
    if message.get("name"):
        yield "messages[].name"
    if message.get("reasoning_content") and not states_of(message, issuer):
        yield "messages[].reasoning_content"
