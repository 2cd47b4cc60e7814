"""Server-sent events, decoded as the bytes arrive.

The rules are the `WHATWG event stream`_ format's, with these choices where it leaves any:

- Bytes stay bytes: only the `event` and `id` values are decoded. `Event.data` is what the ``data``
  lines held, joined by line feeds.
- However the bytes are cut, the events are the same, and each byte is looked at a bounded number of
  times: a line of 10 MB in small pieces, or a stream without blank lines, costs linear time.
- One event keeps at most `limit` bytes of lines, a line still arriving included. More is a
  `ProtocolViolation`. Comments are not kept and do not add up.
- Comments yield nothing and are counted. ``retry`` is ignored, because nobody here reconnects. An
  event that no blank line has ended is not one.

.. _WHATWG event stream: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import msgspec

from understudy.errors import ProtocolViolation

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. `event` is ``message`` where the stream names none; `id` is the last one it gave."""

    data: bytes
    event: str = "message"
    id: str = ""


def framed(event: Event) -> bytes:
    """The event as bytes again, its data untouched but for what is no UTF-8, which no client can read."""
    data = event.data if event.data.isascii() else sound(event.data)
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    if event.event == "message":
        return b"data: " + data + b"\n\n"
    return b"event: " + event.event.encode() + b"\ndata: " + data + b"\n\n"


def sound(data: bytes) -> bytes:
    """The same, with U+FFFD where it is no UTF-8."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


class EventStream:
    """Takes bytes, gives whole events. After a `ProtocolViolation` it is of no further use."""

    def __init__(self, limit: int = 32 * 1024 * 1024) -> None:
        self.comments = 0
        self._limit = limit
        self._start: bytes | None = b""  # the first bytes, until they show whether they are a BOM
        self._after_return = False  # a CR ended the last piece; an LF now would belong to it
        self._line = bytearray()  # a line still arriving
        self._data: list[bytes] = []
        self._name = ""
        self._id = ""
        self._kept = 0  # bytes of this event's whole lines

    def __repr__(self) -> str:
        return f"<EventStream {self._kept + len(self._line)} bytes pending, {self.comments} comments>"

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises `ProtocolViolation` beyond the limit."""
        if self._start is not None:
            data = self._without_mark(data)
        if self._after_return or b"\r" in data:
            data = self._with_line_feeds(data)
        events: list[Event] = []
        if len(data) > self._limit:
            self._take_lines(data, events)
            return events
        if self._line or self._kept:
            data = self._finish_open(data, events)
        if data:
            self._take_whole(data, events)
        return events

    def _without_mark(self, data: bytes) -> bytes:
        data = (self._start or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if data.endswith(b"\r"):
            self._after_return = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _finish_open(self, data: bytes, events: list[Event]) -> bytes:
        """Take what belongs to an event already begun; the rest starts at a new event."""
        blank = data.find(b"\n\n")
        end = len(data) if blank < 0 else blank + 2
        self._take_lines(data[:end], events)
        return data[end:]

    def _take_whole(self, data: bytes, events: list[Event]) -> None:
        """The short way for what nearly every piece is: whole events of one ``data`` line each, often one."""
        if data.find(b"\n") == len(data) - 2 and data.startswith(b"data: ") and data.endswith(b"\n"):
            events.append(Event(data[6:-2], "message", self._id))
            return
        *blocks, rest = data.split(b"\n\n")
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(Event(block[6:], "message", self._id))
            else:
                self._take_lines(block + b"\n\n", events)
        if rest:
            self._take_lines(rest, events)

    def _take_lines(self, data: bytes, events: list[Event]) -> None:
        *lines, rest = data.split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line + lines[0])
            self._line = bytearray()
        for line in lines:
            if line:
                self._take_field(line)
            else:
                self._dispatch(events)
        self._line += rest
        self._check(len(self._line))

    def _take_field(self, line: bytes) -> None:
        self._check(len(line))
        name, _, value = line.partition(b":")
        if not name:
            self.comments += 1
            return
        self._kept += len(line)
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(b"\n".join(self._data), self._name or "message", self._id))
        self._data = []
        self._name = ""
        self._kept = 0

    def _check(self, more: int) -> None:
        if self._kept + more > self._limit:
            raise ProtocolViolation(f"an event of more than {self._limit} bytes")
