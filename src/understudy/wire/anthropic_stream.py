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
5. State closes the thoughts that it vouches for: Anthropic's own with its signature, another format's with
   the state as one word in the signature's place. Thoughts without state are unsigned: an empty signature.
6. A citation of a page is added to the text that is open. It is not Anthropic's, so it has no index there.
7. An answer that another backend began in Anthropic's own words is gone on with where its newest block
   stands: an open text or an open thought goes on, any other block is closed, and the next one has the next
   number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.wire import lenient_json
from understudy.wire.anthropic_request import NAME, tool_id
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState, tagged
from understudy.wire.thoughts import blocks_of

__all__ = [
    "AnthropicStream",
    "answer_id",
    "call_id",
    "citations_of",
    "stop_reason",
    "thought_block",
    "usage_fields",
]

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

_TIERS = {"default": "standard", "priority": "priority", "batch": "batch"}

_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}


_KINDS = {
    "text": "text",
    "text_delta": "text",
    "citations_delta": "text",
    "thinking": "thinking",
    "thinking_delta": "thinking",
}
"""Blocks that can be gone on with, by what an event about one of them holds."""


class _Kind(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None


_NO_KIND = _Kind()


class _Place(msgspec.Struct, gc=False):
    """Where a native event stands."""

    type: str
    index: int
    delta: _Kind = _NO_KIND
    content_block: _Kind = _NO_KIND


_PLACE = msgspec.json.Decoder(_Place)


def _place(native: bytes) -> _Place:
    [event] = EventStream().feed(native)
    try:
        return _PLACE.decode(event.data)
    except ValueError:  # of broken UTF-8 and halves of surrogate pairs
        return msgspec.convert(lenient_json.decoded(event.data), _Place, strict=False)


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


def usage_fields(usage: Usage | None, tier: str | None = None) -> dict[str, Any]:
    """Anthropic's usage, in which input is what was neither read from the cache nor written to it."""
    usage = usage or Usage()
    fields: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
    return fields | ({"service_tier": _TIERS[tier]} if tier in _TIERS else {})


def thought_block(text: str, state: ProviderState | None) -> dict[str, Any]:
    """Rule 5, for a thought that is whole."""
    if state is not None and _is_redacted(state):
        return {"type": "redacted_thinking", "data": state.value}
    return {"type": "thinking", "thinking": text, "signature": _signature(state)}


def _is_redacted(state: ProviderState) -> bool:
    return (state.issuer, state.kind) == (NAME, "redacted_thinking")


def _signature(state: ProviderState | None) -> str:
    if state is None:
        return ""
    return state.value if state.issuer == NAME else tagged(state)


def citations_of(chunk: ChatChunk) -> list[dict[str, Any]]:
    """Rule 6."""
    return [_citation(entry["url_citation"]) for entry in chunk.annotations if "url_citation" in entry]


def _citation(page: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": page.get("url") or "",
        "title": page.get("title"),
        "cited_text": "",
        "encrypted_index": "",
    }


class _Block:
    """A content block that has come in part. `pieces` and `citations` are what is not written yet.

    `state` is a thought's, once it has come: then the block is whole.
    """

    __slots__ = ("call", "citations", "kind", "pieces", "state")

    def __init__(self, kind: str, call: ToolCallDelta | None = None) -> None:
        self.kind = kind
        self.call = call
        self.pieces: list[str] = []
        self.citations: list[dict[str, Any]] = []
        self.state: ProviderState | None = None

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
        "_index",
        "_open",
        "_request",
        "_thought",
        "_tier",
    )

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self._tier: str | None = None
        self._thought = 0  # how many thoughts are whole
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
        events = [self._start(chunk)] if chunk.is_of_an_answer and not self._begun else []
        self._think_all(chunk)
        if chunk.reasoning:  # which ends the text before it; what follows in the chunk is another
            events += self._advance()
        self._take(chunk)
        events += self._advance()
        if chunk.finish_reason is not None:
            self._finish_reason = chunk.finish_reason
            events += self._flush()
        return b"".join(events)

    def go_on(self, newest: bytes) -> bytes:
        """Take over after a native event about a block, ``b""`` if there was none yet (rule 7).

        Returns what has to be written first.
        """
        self._begun = True
        if not newest:
            return b""
        event = _place(newest)
        self._index = event.index
        kind = _KINDS.get(event.delta.type or event.content_block.type or "")
        if event.type == "content_block_stop":
            self._index += 1
            return b""
        self._open = True
        key = "text" if kind == "text" else ("thinking", self._thought)
        self._blocks[key] = _Block(kind or "")
        return b"" if kind else self._close(key)[0]

    def end(self, usage: Usage | None) -> bytes:
        """What is held back, and the message's end."""
        events = [] if self._begun else [self._start(ChatChunk())]
        events += self._flush()
        reason = stop_reason(self._finish_reason, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": None}
        events.append(_event("message_delta", delta=delta, usage=usage_fields(usage, self._tier)))
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

    def _think_all(self, chunk: ChatChunk) -> None:
        for thought, state in blocks_of(chunk.reasoning, chunk.state):
            self._think(thought, state)

    def _take(self, chunk: ChatChunk) -> None:
        self._tier = chunk.service_tier or self._tier
        if text := chunk.text + chunk.refusal:
            self._block("text", "text", None).take(text, None)
        if citations := citations_of(chunk):
            self._block("text", "text", None).citations += citations
        for call in chunk.tool_calls:
            self._called = True
            self._block(call.index, "tool_use", call).take(call.arguments, call)

    def _think(self, thought: str, state: ProviderState | None) -> None:
        """There are three cases: a piece of a thought, a block that is whole, the state of what is open."""
        is_whole = state is not None and (bool(thought) or not state.text)
        self._thought += is_whole
        block = self._block(("thinking", self._thought), "thinking", None)
        block.take(thought, None)
        if state is not None:
            block.state = state
            self._thought += 1

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
            if block.kind == "tool_use" or (len(self._blocks) == 1 and block.state is None):
                break
            events += self._close(key)
        return events

    def _flush(self) -> list[bytes]:
        """Write and close all blocks."""
        events: list[bytes] = []
        for key, block in list(self._blocks.items()):
            events += self._written(block)
            events += self._close(key)
        return events

    def _written(self, block: _Block) -> list[bytes]:
        events = []
        if not self._open:
            self._open = True
            opening = self._opening(block)
            events.append(_event("content_block_start", index=self._index, content_block=opening))
        if piece := "".join(block.pieces):
            kind, name = _DELTAS[block.kind]
            events.append(self._delta(kind, **{name: piece}))
        events += [self._delta("citations_delta", citation=citation) for citation in block.citations]
        block.pieces, block.citations = [], []
        return events

    def _delta(self, kind: str, **said: object) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **said})

    def _opening(self, block: _Block) -> Mapping[str, Any]:
        if block.call is not None:
            called = {"id": call_id(block.call, self._request), "name": block.call.name or "", "input": {}}
            return {"type": "tool_use", **called}
        if block.kind == "thinking":
            is_redacted = block.state is not None and _is_redacted(block.state)
            return thought_block("", block.state if is_redacted else None)
        return {"type": "text", "text": ""}

    def _close(self, key: object) -> list[bytes]:
        block = self._blocks.pop(key)
        events = []
        if block.state is not None and not _is_redacted(block.state):
            events.append(self._delta("signature_delta", signature=_signature(block.state)))
        events.append(_event("content_block_stop", index=self._index))
        self._open = False
        self._index += 1
        return events


def _event(kind: str, **fields: object) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
