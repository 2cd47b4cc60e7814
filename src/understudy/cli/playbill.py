"""The demo on paper: headings, the balancer's log lines, and answers as they arrive, in 78 columns.

1. Colour only on a terminal, and it adds nothing that words don't say.
2. Log lines that come while an answer is on are written after it: an answer is not broken up.
"""

from __future__ import annotations

import logging
import os
from textwrap import wrap
from typing import Any, TextIO

import click
from rich.cells import cell_len

_WIDTH = 78
# The first word that a log line holds decides.
_COLOURS = {
    "half-open": "cyan",
    "Recovered": "green",
    "Success": "green",
    "Marked unhealthy": "red",
    "State = open": "red",
    "failed": "yellow",
    "timeout": "yellow",
}


class Playbill(logging.Handler):
    """Writes to `stream`; as a log handler it writes each record as an indented line."""

    def __init__(self, stream: TextIO, *, plain: bool) -> None:
        super().__init__(logging.DEBUG)
        self.plain = plain
        self.stream = stream
        self._coloured = stream.isatty() and not plain and not os.environ.get("NO_COLOR")
        self._column = 0
        self._waiting: list[logging.LogRecord] = []

    def heading(self, text: str) -> None:
        self.line("")
        self.line(text, bold=True)

    def line(self, text: str, **style: Any) -> None:
        """A line of its own."""
        self._write(f"{self._styled(text, **style)}\n")

    def end_answer(self) -> None:
        """The answer is complete: what waited for that is written now."""
        self._end_line()
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            self.emit(record)

    def say(self, speaker: str, text: str) -> None:
        """A piece of an answer; the speaker is named where a line begins."""
        if self._column + cell_len(text) > _WIDTH:
            self._end_line()
        if not self._column:
            text = text.lstrip()
            margin = f"    {speaker:>9} | "
            self._column = len(margin)
            self._write(self._styled(margin, dim=True))
        self._column += cell_len(text)
        self._write(text)

    def emit(self, record: logging.LogRecord) -> None:
        if self._column:
            self._waiting.append(record)
            return
        text = record.getMessage()
        colour = next((colour for word, colour in _COLOURS.items() if word in text), None)
        for line in wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="      "):
            self.line(line, fg=colour)

    def _end_line(self) -> None:
        if self._column:
            self._column = 0
            self._write("\n")

    def _styled(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._coloured and any(style.values()) else text

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
