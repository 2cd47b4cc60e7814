"""How far a native stream of Responses has come, so that another backend's answer can go on with it.

1. Of every native event that begins or ends an item or a part its bytes are kept; of those in between only
   what they said, as long as the part is open. They are looked at when the stream is taken over, if ever.
2. Items that are done are part of the whole response as they came. Of the others the newest can be gone on
   with, if it is reasoning or a message; the rest, such as tools that ran at the server, stay incomplete.
"""

from __future__ import annotations

import re
from typing import Any

from understudy.wire import lenient_json
from understudy.wire.chat import ChatChunk
from understudy.wire.sse import EventStream

__all__ = ["BegunResponse", "Opened"]

_STRUCTURAL = re.compile(rb"event: response\.(?:output_item|content_part)\.")
_BEGINS = re.compile(rb"event: response\.[a-z_]+\.added")

_FAIL = ("web_search_call", "image_generation_call")
"""Items that can fail, but not be incomplete."""

_Json = dict[str, Any]


class Opened:
    """An item that is open. `kind` is its type, `parts` are a message's that are done.

    `part` is the type of a message's open part, None between parts; `pieces`, `annotations` and `logprobs`
    are what has been said of it, or of the reasoning.
    """

    __slots__ = ("annotations", "index", "kind", "logprobs", "name", "part", "parts", "pieces")

    def __init__(self, index: int, item: _Json) -> None:
        self.index = index
        self.kind: str = item["type"]
        self.name: str = item["id"]
        self.parts: list[_Json] = []
        self.part: str | None = None
        self.pieces: list[str] = []
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []


class BegunResponse:
    """Is told of every native chunk; knows where the stream stands."""

    __slots__ = ("_annotations", "_events", "_logprobs", "_pieces")

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._pieces: list[str] = []
        self._annotations: list[Any] = []
        self._logprobs: list[Any] = []

    def __repr__(self) -> str:
        return f"<BegunResponse, {len(self._events)} items and parts begun or ended>"

    def note(self, chunk: ChatChunk, raw: bytes) -> None:
        """Rule 1."""
        if _STRUCTURAL.match(raw):
            self._events.append(raw)
            if _BEGINS.match(raw):
                self._pieces, self._annotations, self._logprobs = [], [], []
        elif piece := chunk.text or chunk.reasoning or chunk.refusal:
            self._pieces.append(piece)
        if chunk.annotations:
            self._annotations += chunk.annotations
        if chunk.logprobs:
            self._logprobs += chunk.logprobs

    @property
    def next_index(self) -> int:
        """Of the next item."""
        return max((event["output_index"] for event in self._structure), default=-1) + 1

    @property
    def done(self) -> dict[int, _Json]:
        """The items that are whole, by index."""
        return self._items("done")

    @property
    def opened(self) -> Opened | None:
        """The item that can be gone on with."""
        unfinished = self._unfinished
        newest = max(unfinished, default=None)
        if newest is None or unfinished[newest].get("type") not in ("reasoning", "message"):
            return None
        opened = Opened(newest, unfinished[newest])
        for event in self._structure:
            if event["output_index"] == newest:
                _note_part(event, opened)
        opened.pieces, opened.annotations, opened.logprobs = self._pieces, self._annotations, self._logprobs
        return opened

    @property
    def abandoned(self) -> dict[int, _Json]:
        """Items that nobody will end, each with the end that is left to it."""
        opened = self.opened
        return {
            index: {**item, "status": "failed" if item.get("type") in _FAIL else "incomplete"}
            for index, item in self._unfinished.items()
            if opened is None or index != opened.index
        }

    @property
    def _unfinished(self) -> dict[int, _Json]:
        done = self.done
        return {index: item for index, item in self._items("added").items() if index not in done}

    def _items(self, moment: str) -> dict[int, _Json]:
        kind = f"response.output_item.{moment}"
        return {event["output_index"]: event["item"] for event in self._structure if event["type"] == kind}

    @property
    def _structure(self) -> list[_Json]:
        return [lenient_json.decoded(event.data) for raw in self._events for event in EventStream().feed(raw)]


def _note_part(event: _Json, opened: Opened) -> None:
    match event:
        case {"type": "response.content_part.added", "part": {"type": kind}}:
            opened.part = kind
        case {"type": "response.content_part.done", "part": part}:
            opened.part = None
            opened.parts.append(part)
