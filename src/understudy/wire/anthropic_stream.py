"""An answer of another format's backend, written as Anthropic's event stream.

::

    message_start
      ( content_block_start  content_block_delta*  content_block_stop )*
    message_delta  message_stop

1. A block is open until something else comes. Thoughts, text and each tool call are blocks, numbered as
   they begin.
2. Blocks cannot interleave, tool calls can. So while a tool call is open, whatever comes beside it is held
   back, by block and in order, until the finish reason or the end; the pieces of a call are joined unchanged.
3. A tool call begins when its name is known. One whose name never comes begins at the end.
4. Usage comes after the finish reason elsewhere, so ``message_delta`` waits for the end, which has it.
5. Thoughts of another backend are unsigned: their signature is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.wire.anthropic_request import tool_id
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest

__all__ = ["AnthropicStream", "answer_id", "call_id", "stop_reason", "usage_fields"]

_STOP_REASONS = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "prohibited_content": "refusal",
    "safety": "refusal",
    "blocklist": "refusal",
    "recitation": "refusal",
    "spii": "refusal",
}

_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}


def stop_reason(finish_reason: str | None, *, called: bool) -> str:
    """Anthropic's word. `called`: a tool call is in the answer."""
    reason = _STOP_REASONS.get((finish_reason or "").lower(), "end_turn")
    return "tool_use" if called and reason == "end_turn" else reason


def answer_id(name: str | None, request: ClientRequest) -> str:
    """An id as Anthropic's look, from the backend's own if there is one."""
    name = name or request.id
    return name if name.startswith("msg_") else f"msg_{name}"


def call_id(call: ToolCallDelta, request: ClientRequest) -> str:
    return tool_id(call.id or f"toolu_{request.id}_{call.index}")


def usage_fields(usage: Usage | None) -> dict[str, Any]:
    """Anthropic's usage, in which input is what was not read from the cache."""
    usage = usage or Usage()
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


class _Block:
    """A content block that has come in part. `pieces` are what is not written yet."""

    __slots__ = ("call", "kind", "pieces")

    def __init__(self, kind: str, call: ToolCallDelta | None = None) -> None:
        self.kind = kind
        self.call = call
        self.pieces: list[str] = []

    def take(self, piece: str, call: ToolCallDelta | None) -> None:
        self.pieces.append(piece)
        if call is not None and self.call is not None:
            self.call = ToolCallDelta(call.index, self.call.id or call.id, self.call.name or call.name)

    @property
    def can_begin(self) -> bool:
        return self.call is None or bool(self.call.name)


class AnthropicStream:
    """Chunks in, events out."""

    __slots__ = (
        "_begun",
        "_blocks",
        "_called",
        "_finish_reason",
        "_id",
        "_index",
        "_model",
        "_open",
        "_request",
    )

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self._begun = False  # message_start is written
        self._called = False
        self._finish_reason: str | None = None
        self._open = False  # the first of the blocks is
        self._index = 0  # the number of the first of the blocks
        self._blocks: dict[object, _Block] = {}  # that are not closed, by what tells them apart

    def __repr__(self) -> str:
        return f"<AnthropicStream block {self._index}, {len(self._blocks)} unfinished>"

    def write(self, chunk: ChatChunk) -> bytes:
        """The events that this chunk adds."""
        if chunk.index:
            return b""
        # An event in front of the answer, such as Azure's about the prompt, knows neither id nor model.
        knows = chunk.id or chunk.model or chunk.has_content or chunk.tool_calls or chunk.finish_reason
        events = [self._start(chunk)] if knows and not self._begun else []
        self._take(chunk)
        events += self._advance()
        if chunk.finish_reason is not None:
            self._finish_reason = chunk.finish_reason
            events += self._flush()
        return b"".join(events)

    def end(self, usage: Usage | None) -> bytes:
        """What is held back, and the message's end."""
        events = [] if self._begun else [self._start(ChatChunk())]
        events += self._flush()
        reason = stop_reason(self._finish_reason, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": None}
        events.append(_event("message_delta", delta=delta, usage=usage_fields(usage)))
        events.append(_event("message_stop"))
        return b"".join(events)

    def _start(self, chunk: ChatChunk) -> bytes:
        self._begun = True
        message: dict[str, Any] = {
            "id": answer_id(chunk.id, self._request),
            "type": "message",
            "role": "assistant",
            "model": chunk.model or self._request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return _event("message_start", message=message)

    def _take(self, chunk: ChatChunk) -> None:
        if chunk.reasoning:
            self._block("thinking", "thinking", None).take(chunk.reasoning, None)
        if text := chunk.text + chunk.refusal:
            self._block("text", "text", None).take(text, None)
        for call in chunk.tool_calls:
            self._called = True
            self._block(call.index, "tool_use", call).take(call.arguments, call)

    def _block(self, key: object, kind: str, call: ToolCallDelta | None) -> _Block:
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(kind, call)
        return block

    def _advance(self) -> list[bytes]:
        """Write the first block as far as it has come, and the next ones if it is no tool call."""
        events: list[bytes] = []
        while self._blocks:
            key, block = next(iter(self._blocks.items()))
            if not block.can_begin:
                break
            events += self._written(block)
            if block.kind == "tool_use" or len(self._blocks) == 1:
                break
            events.append(self._close(key))
        return events

    def _flush(self) -> list[bytes]:
        """Write and close all blocks."""
        events: list[bytes] = []
        for key, block in list(self._blocks.items()):
            events += self._written(block)
            events.append(self._close(key))
        return events

    def _written(self, block: _Block) -> list[bytes]:
        events = []
        if not self._open:
            self._open = True
            opening = self._opening(block)
            events.append(_event("content_block_start", index=self._index, content_block=opening))
        if piece := "".join(block.pieces):
            kind, name = _DELTAS[block.kind]
            events.append(_event("content_block_delta", index=self._index, delta={"type": kind, name: piece}))
        block.pieces = []
        return events

    def _opening(self, block: _Block) -> Mapping[str, Any]:
        if block.call is not None:
            called = {"id": call_id(block.call, self._request), "name": block.call.name or "", "input": {}}
            return {"type": "tool_use", **called}
        if block.kind == "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def _close(self, key: object) -> bytes:
        del self._blocks[key]
        event = _event("content_block_stop", index=self._index)
        self._open = False
        self._index += 1
        return event


def _event(kind: str, **fields: object) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
