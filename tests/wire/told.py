"""What a decoder's items say all together, for comparing streams that were cut differently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from understudy.core.outcome import Failure
from understudy.wire.chat import ChatChunk, Malformed

Decoded = ChatChunk | Malformed | Failure


def summary(items: Iterable[Decoded]) -> dict[str, Any]:
    """What came, by kind; what did not come is left out."""
    told: dict[str, Any] = {}
    for item in items:
        if isinstance(item, ChatChunk):
            _add_chunk(told, item)
        elif isinstance(item, Malformed):
            told["malformed"] = told.get("malformed", 0) + 1
        else:
            told["failure"] = (str(item.kind), item.status)
    return told


def _add_chunk(told: dict[str, Any], chunk: ChatChunk) -> None:
    suffix = f"#{chunk.index}" if chunk.index else ""
    for name in ("text", "reasoning", "refusal"):
        if piece := getattr(chunk, name):
            told[name + suffix] = told.get(name + suffix, "") + piece
    for call in chunk.tool_calls:
        so_far = told.setdefault(f"call {call.index}{suffix}", [None, None, ""])
        so_far[:] = [call.id or so_far[0], call.name or so_far[1], so_far[2] + call.arguments]
    if chunk.audio:
        told.setdefault("audio", []).append(chunk.audio)
    for name in ("usage", "model", "id"):
        if (value := getattr(chunk, name)) is not None:
            told[name] = value
    if chunk.finish_reason:
        told["finish_reason" + suffix] = chunk.finish_reason
