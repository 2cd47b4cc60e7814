"""Chunks that have arrived and are not handed on yet, so that a break among them goes unseen.

1. The first part of an answer is held for so many seconds, from its first content on.
2. From a tool call's first piece on everything is held, if that is wanted, up to the answer's end.
3. Nothing goes out before there is content in it. What the same bytes said is not torn apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.core.settings import RecoverySettings
from understudy.wire.chat import ChatChunk


class Hold:
    """What is held back of one answer."""

    __slots__ = ("_begun", "_chunks", "_holds_calls", "_seconds", "until")

    def __init__(self, settings: RecoverySettings) -> None:
        self._seconds = settings.hold
        self._holds_calls = settings.hold_tool_calls
        self._chunks: list[ChatChunk] = []
        self._begun = False
        self.until: float | None = None  # the end of the first part, while it is held

    @classmethod
    def wanted(cls, settings: RecoverySettings) -> Hold | None:
        """None if nothing is to be held."""
        return cls(settings) if settings.hold or settings.hold_tool_calls else None

    def __repr__(self) -> str:
        return f"<Hold of {len(self._chunks)} chunks>"

    @property
    def is_holding(self) -> bool:
        return bool(self._chunks)

    def take(self, chunks: Sequence[ChatChunk], now: float) -> list[ChatChunk]:
        """What goes out of all that has arrived."""
        if not self._begun and self.until is None and self._seconds:
            self.until = now + self._seconds
        self._chunks += chunks
        return self.ripe(now)

    def ripe(self, now: float) -> list[ChatChunk]:
        """What goes out by now."""
        if self.until is not None and now < self.until:
            return []
        at = self._first_of_call() if self._holds_calls else len(self._chunks)
        ripe, kept = self._chunks[:at], self._chunks[at:]
        if not self._begun and not any(chunk.has_content for chunk in ripe):
            return [] if kept else self.rest()
        self.until, self._begun, self._chunks = None, True, kept
        return ripe

    def rest(self) -> list[ChatChunk]:
        """All of it: the answer is whole."""
        self.until, self._begun = None, True
        rest, self._chunks = self._chunks, []
        return rest

    def drop(self) -> None:
        """The answer broke off; what was held begins anew."""
        self.until = None
        self._chunks = []

    def _first_of_call(self) -> int:
        chunks = self._chunks
        at = next((place for place, chunk in enumerate(chunks) if chunk.tool_calls), len(chunks))
        while 0 < at < len(chunks) and chunks[at].raw == b"":  # said by bytes that an earlier one carries
            at -= 1
        return at
