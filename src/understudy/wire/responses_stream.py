"""An answer of another format's backend, written as the event stream of Responses.

::

    response.created  response.in_progress
      ( response.output_item.added  … its parts and deltas …  response.output_item.done )*
    response.completed | response.incomplete | response.failed

1. Events are numbered from 0, items in the order in which they begin. Whatever was added is done in the end,
   but for a failure, which leaves open what is open.
2. Of reasoning and messages one is open at a time, and ends where something else begins. A message's text and
   refusal are parts of it. Tool calls may interleave with anything, so they stay open until the finish reason
   or the end; their pieces pass unchanged.
3. A tool call begins when its name is known; one whose name never comes begins at the end. A custom tool's
   arguments are its input.
4. State ends the reasoning that it vouches for. Without a text of its own it is an item of its own.
5. The last event holds the whole response; usage is known only there.
6. A response that another backend began in Responses' own words is gone on with where it stands
   (`responses_begun`): an open thought or message goes on, what is done is part of the whole, and what else
   is open stays incomplete.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest, ErrorReply
from understudy.wire.responses_begun import BegunResponse, Opened
from understudy.wire.responses_output import (
    Item,
    answer_id,
    citation,
    custom_tools,
    incomplete_reason,
    item_id,
    reasoning_item,
    response,
)
from understudy.wire.state import ProviderState
from understudy.wire.thoughts import blocks_of

__all__ = ["ResponsesStream", "event"]


class _Thought:
    """A reasoning item that is open."""

    __slots__ = ("index", "name", "text")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.text: list[str] = []


class _Part:
    """A message's part that is open; `kind` is ``output_text`` or ``refusal``."""

    __slots__ = ("annotations", "kind", "logprobs", "text")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.text: list[str] = []
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []

    @property
    def value(self) -> dict[str, Any]:
        text = "".join(self.text)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        more = {"annotations": list(self.annotations), "logprobs": list(self.logprobs)}
        return {"type": "output_text", "text": text, **more}


class _Message:
    """A message that is open. `parts` are those that are done."""

    __slots__ = ("index", "name", "part", "parts")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.part: _Part | None = None
        self.parts: list[dict[str, Any]] = []

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.name, "output_index": self.index, "content_index": len(self.parts)}


class _Call:
    """A tool call that has come in part. `index` is None until it begins."""

    __slots__ = ("arguments", "call_id", "index", "is_custom", "name", "tool")

    def __init__(self) -> None:
        self.index: int | None = None
        self.name = ""  # the item's id
        self.call_id: str | None = None
        self.tool: str | None = None
        self.is_custom = False
        self.arguments: list[str] = []

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.name, "output_index": self.index}


class ResponsesStream:
    """Chunks in, events out."""

    __slots__ = (
        "_calls",
        "_custom",
        "_done",
        "_finish_reason",
        "_index",
        "_model",
        "_name",
        "_number",
        "_open",
        "_request",
        "_tier",
    )

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self._name = ""  # the response's id, once it has begun
        self._model = ""
        self._tier: str | None = None
        self._number = 0  # the next event's
        self._index = 0  # the next item's
        self._done: dict[int, Item] = {}
        self._open: _Thought | _Message | None = None
        self._calls: dict[int, _Call] = {}
        self._custom: frozenset[str] | None = None
        self._finish_reason: str | None = None

    def __repr__(self) -> str:
        return f"<ResponsesStream event {self._number}, {len(self._done)} of {self._index} items done>"

    def write(self, chunk: ChatChunk) -> bytes:
        """The events that this chunk adds."""
        if chunk.index:
            return b""
        events = self._start(chunk) if chunk.is_of_an_answer else []
        self._tier = chunk.service_tier or self._tier
        events += self._take(chunk)
        if chunk.finish_reason is not None:
            self._finish_reason = chunk.finish_reason
            events += self._close_all()
        return b"".join(events)

    def go_on(self, begun: BegunResponse, name: str, model: str, number: int) -> bytes:
        """Take over a native response of this id, whose next event has this number (rule 6).

        Returns what has to be written first.
        """
        self._name, self._model, self._number = name, model, number
        self._done = begun.done
        self._index = begun.next_index
        opened = begun.opened
        if opened is not None:
            self._open = _thought_of(opened) if opened.kind == "reasoning" else _message_of(opened)
        return b"".join(self._item_done(index, item) for index, item in begun.abandoned.items())

    def end(self, usage: Usage | None) -> bytes:
        """What is still open, and the response's end."""
        events = [*self._start(ChatChunk()), *self._close_all()]
        whole = self._whole(usage)
        events.append(self._event(f"response.{whole['status']}", response=whole))
        return b"".join(events)

    def fail(self, reply: ErrorReply) -> bytes:
        """The response's end as a failure."""
        events = self._start(ChatChunk())
        failed = self._response("failed", error=reply)
        events.append(self._event("response.failed", response=failed))
        return b"".join(events)

    def whole(self, usage: Usage | None) -> dict[str, Any]:
        """The response that holds everything written so far."""
        self._start(ChatChunk())
        self._close_all()
        return self._whole(usage)

    # The response

    def _start(self, chunk: ChatChunk) -> list[bytes]:
        if self._name:
            return []
        self._name = answer_id(chunk.id, self._request)
        self._model = chunk.model or self._request.model
        begun = self._response("in_progress")
        return [self._event(f"response.{moment}", response=begun) for moment in ("created", "in_progress")]

    def _whole(self, usage: Usage | None) -> dict[str, Any]:
        reason = incomplete_reason(self._finish_reason)
        status = "completed" if reason is None else "incomplete"
        return self._response(status, usage=usage, incomplete=reason)

    def _response(self, status: str, **said: Any) -> dict[str, Any]:
        output = [self._done[index] for index in sorted(self._done)]
        return response(
            self._request,
            status,
            name=self._name,
            model=self._model,
            output=output,
            tier=self._tier,
            **said,
        )

    # What a chunk says

    def _take(self, chunk: ChatChunk) -> list[bytes]:
        events: list[bytes] = []
        for thought, state in blocks_of(chunk.reasoning, chunk.state):
            events += self._think(thought, state)
        if chunk.text or chunk.logprobs:
            events += self._say("output_text", chunk.text, chunk.logprobs)
        if chunk.refusal:
            events += self._say("refusal", chunk.refusal, ())
        for annotation in chunk.annotations:
            events += self._cite(citation(annotation))
        for delta in chunk.tool_calls:
            events += self._call(delta)
        return events

    def _think(self, text: str, state: ProviderState | None) -> list[bytes]:
        """There are three cases: a piece of a thought, an item that is whole, the state of what is open."""
        is_whole = state is not None and (bool(text) or not state.text)
        events = self._close_open() if is_whole or not isinstance(self._open, _Thought) else []
        if not isinstance(self._open, _Thought):
            self._open = _Thought(*self._named("rs"))
            events.append(self._added(self._open.index, reasoning_item(self._open.name, "", None)))
        if text:
            events += self._summarise(self._open, text)
        return events if state is None else events + self._close_open(state)

    def _summarise(self, thought: _Thought, text: str) -> list[bytes]:
        place = {"item_id": thought.name, "output_index": thought.index, "summary_index": 0}
        events = []
        if not thought.text:
            part = {"type": "summary_text", "text": ""}
            events.append(self._event("response.reasoning_summary_part.added", **place, part=part))
        thought.text.append(text)
        events.append(self._event("response.reasoning_summary_text.delta", **place, delta=text))
        return events

    def _say(self, kind: str, text: str, logprobs: tuple[Any, ...]) -> list[bytes]:
        message, part, events = self._part(kind)
        part.text.append(text)
        part.logprobs += logprobs
        said: dict[str, Any] = {**message.place, "delta": text}
        if kind == "output_text":
            said["logprobs"] = logprobs
        events.append(self._event(f"response.{kind}.delta", **said))
        return events

    def _cite(self, annotation: dict[str, Any]) -> list[bytes]:
        message, part, events = self._part("output_text")
        said = {**message.place, "annotation_index": len(part.annotations), "annotation": annotation}
        part.annotations.append(annotation)
        events.append(self._event("response.output_text.annotation.added", **said))
        return events

    def _part(self, kind: str) -> tuple[_Message, _Part, list[bytes]]:
        """The open message and its open part, which is of this kind."""
        message = self._open
        events: list[bytes] = []
        if not isinstance(message, _Message):
            events += self._close_open()
            message = self._open = _Message(*self._named("msg"))
            events.append(self._added(message.index, _message_item(message, "in_progress")))
        if message.part is None or message.part.kind != kind:
            events += self._close_part(message)
            message.part = _Part(kind)
            said = {**message.place, "part": message.part.value}
            events.append(self._event("response.content_part.added", **said))
        return message, message.part, events

    def _call(self, delta: ToolCallDelta) -> list[bytes]:
        call = self._calls.get(delta.index)
        if call is None:
            call = self._calls[delta.index] = _Call()
        call.call_id = call.call_id or delta.id
        call.tool = call.tool or delta.name
        events: list[bytes] = []
        pieces = [delta.arguments]
        if call.index is None:
            if not call.tool:
                call.arguments.append(delta.arguments)
                return []
            events += self._begin(call, delta.index)
            pieces, call.arguments = [*call.arguments, delta.arguments], []
        if piece := "".join(pieces):
            call.arguments.append(piece)
            events.append(self._event(f"response.{_words(call)[1]}.delta", **call.place, delta=piece))
        return events

    def _begin(self, call: _Call, number: int) -> list[bytes]:
        if self._custom is None:
            self._custom = custom_tools(self._request)
        call.is_custom = call.tool in self._custom
        call.call_id = call.call_id or item_id("call", number, self._request)
        events = self._close_open()
        call.index, call.name = self._named("ctc" if call.is_custom else "fc")
        events.append(self._added(call.index, _call_item(call, "", "in_progress")))
        return events

    # Ends

    def _close_all(self) -> list[bytes]:
        events = self._close_open()
        for number, call in self._calls.items():
            events += self._close_call(call, number)
        self._calls = {}
        return events

    def _close_open(self, state: ProviderState | None = None) -> list[bytes]:
        opened, self._open = self._open, None
        if opened is None:
            return []
        if isinstance(opened, _Thought):
            return self._close_thought(opened, state)
        events = self._close_part(opened)
        events.append(self._item_done(opened.index, _message_item(opened, self._status)))
        return events

    def _close_thought(self, thought: _Thought, state: ProviderState | None) -> list[bytes]:
        text = "".join(thought.text)
        events = []
        if text:
            place = {"item_id": thought.name, "output_index": thought.index, "summary_index": 0}
            part = {"type": "summary_text", "text": text}
            events.append(self._event("response.reasoning_summary_text.done", **place, text=text))
            events.append(self._event("response.reasoning_summary_part.done", **place, part=part))
        events.append(self._item_done(thought.index, reasoning_item(thought.name, text, state)))
        return events

    def _close_part(self, message: _Message) -> list[bytes]:
        part, message.part = message.part, None
        if part is None:
            return []
        place, value = message.place, part.value
        said = {name: value[name] for name in ("text", "logprobs", "refusal") if name in value}
        message.parts.append(value)
        return [
            self._event(f"response.{part.kind}.done", **place, **said),
            self._event("response.content_part.done", **place, part=value),
        ]

    def _close_call(self, call: _Call, number: int) -> list[bytes]:
        events = [] if call.index is not None else self._begin(call, number)
        whole = "".join(call.arguments)
        field, kind = _words(call)
        assert call.index is not None
        events.append(self._event(f"response.{kind}.done", **call.place, **{field: whole}))
        events.append(self._item_done(call.index, _call_item(call, whole, self._status)))
        return events

    @property
    def _status(self) -> str:
        return "completed" if incomplete_reason(self._finish_reason) is None else "incomplete"

    # Events

    def _named(self, prefix: str) -> tuple[int, str]:
        """The next item's index and id."""
        index = self._index
        self._index += 1
        return index, item_id(prefix, index, self._request)

    def _added(self, index: int, item: Item) -> bytes:
        return self._event("response.output_item.added", output_index=index, item=item)

    def _item_done(self, index: int, item: Item) -> bytes:
        self._done[index] = item
        return self._event("response.output_item.done", output_index=index, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._number
        self._number += 1
        return event(kind, number, **fields)


def _thought_of(opened: Opened) -> _Thought:
    thought = _Thought(opened.index, opened.name)
    thought.text = opened.pieces
    return thought


def _message_of(opened: Opened) -> _Message:
    message = _Message(opened.index, opened.name)
    message.parts = opened.parts
    if opened.part is not None:
        message.part = _Part(opened.part)
        message.part.text = opened.pieces
        message.part.annotations = list(map(citation, opened.annotations))
        message.part.logprobs = opened.logprobs
    return message


def _message_item(message: _Message, status: str) -> Item:
    content = list(message.parts)
    return {"type": "message", "id": message.name, "role": "assistant", "status": status, "content": content}


def _call_item(call: _Call, arguments: str, status: str) -> Item:
    kind = "custom_tool_call" if call.is_custom else "function_call"
    said = {"call_id": call.call_id, "name": call.tool or "", _words(call)[0]: arguments, "status": status}
    return {"type": kind, "id": call.name, **said}


def _words(call: _Call) -> tuple[str, str]:
    """What a call's arguments are called, and events about them."""
    return ("input", "custom_tool_call_input") if call.is_custom else ("arguments", "function_call_arguments")


def event(kind: str, number: int, **fields: Any) -> bytes:
    data = msgspec.json.encode({"type": kind, "sequence_number": number, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
