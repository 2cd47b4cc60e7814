"""Events as lines of text: literal, in every style that the format allows; or as one JSON array."""

from __future__ import annotations

from understudy.faults.plan import Style


class Framer:
    """Writes one stream's events. A byte order mark comes once, before everything."""

    def __init__(self, style: Style, line: str = "\n") -> None:
        self._style = style
        self._line = style.line or line
        self._number = 0
        self._space = " " if style.space else ""

    def frame(self, data: bytes, name: str = "") -> bytes:
        self._number += 1
        lines = [*self._extras(name), *(f"data:{self._space}{line}" for line in self._lines(data)), "", ""]
        text = self._line.join(lines)
        if self._style.bom and self._number == 1:
            text = "\ufeff" + text
        return text.encode("utf-8", "surrogateescape")

    def last(self) -> bytes:
        """What ends the whole: nothing does."""
        return b""

    def _lines(self, data: bytes) -> list[str]:
        """Bytes that are no UTF-8 pass through unchanged. JSON may be broken after its first brace."""
        text = data.decode("utf-8", "surrogateescape")
        if self._style.multiline and text.startswith("{"):
            return [text[0], text[1:]]
        return [text]

    def _extras(self, name: str) -> list[str]:
        extras = []
        if self._style.comments:
            extras += [": still here", ""]
        if name:
            extras.append(f"event:{self._space}{name}")
        elif self._style.fields:
            extras.append("event: message")
        if self._style.fields:
            extras += [f"id: {self._number}", "retry: 3000"]
        return extras


class ArrayFramer:
    """Writes the same events as the elements of an array; without any, nothing at all."""

    def __init__(self) -> None:
        self._is_open = False

    def frame(self, data: bytes, name: str = "") -> bytes:
        before = b",\r\n" if self._is_open else b"["
        self._is_open = True
        return before + data

    def last(self) -> bytes:
        return b"\n]" if self._is_open else b""
