"""What the provider does on a connection, as plain values on a timeline.

A timeline is a lazy iterator of acts: one `Head`, then the body's parts, then an ending.

1. Every act has a `mark`, and marks never fall along a timeline: nothing sent < head < preamble
   (role, ids) < content token 1, 2, 3 … < finish reason < usage < done < end.
2. A fault takes effect *after* a mark: everything up to it has been sent, nothing beyond it.
3. A timeline ends with `End` (properly), `Cut` (the connection closes) or `Reset` (it is reset);
   `Pause(None)` waits until the client leaves.
4. Nothing is produced before it is needed, so that endless and huge answers cost no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

# How an error stands in a stream: by itself in an event, in an event like any other, inside an error
# event of the format's own, or naked, in no event.
ErrorForm = Literal["object", "chunk", "nested", "bare"]

REQUEST = -3
HEAD = -2
PREAMBLE = 0
FINISH = 1 << 40
USAGE = FINISH + 1
DONE = FINISH + 2
END = FINISH + 3


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers."""

    mark: int = HEAD


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event, before it is framed as lines. Not every format names its events."""

    data: bytes
    mark: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the body, exactly as they are (before content and transfer encoding)."""

    data: bytes
    mark: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for so many seconds; None: until the client leaves."""

    seconds: float | None
    mark: int


@dataclass(frozen=True, slots=True)
class End:
    """The body is complete."""

    mark: int = END


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection in the middle of the answer."""

    mark: int = END


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection."""

    mark: int = END


Act = Head | Event | Part | Pause | End | Cut | Reset
Timeline = Iterator[Act]
Change = Callable[[Timeline], Timeline]


def until(acts: Timeline, position: int) -> Timeline:
    """The timeline up to and including `position`."""
    for act in acts:
        if act.mark > position:
            return
        yield act


def inserting(position: int, *acts: Act) -> Change:
    """A change that puts `acts` right behind `position` and leaves the rest as it is."""

    def change(timeline: Timeline) -> Timeline:
        waiting = True
        for act in timeline:
            if waiting and act.mark > position:
                waiting = False
                yield from acts
            yield act

    return change


def ending(position: int, acts: Iterable[Act]) -> Change:
    """A change that stops the timeline behind `position` and ends it with `acts`."""

    def change(timeline: Timeline) -> Timeline:
        yield from until(timeline, position)
        yield from acts

    return change
