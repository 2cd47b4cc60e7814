"""What a session prints, and where.

1. stdout gets answers and what commands were asked to show, each ending its line; stderr gets warnings,
   errors and notes.
2. Notes (who answered instead of whom, what was cancelled) are for people who watch: on a terminal only,
   dim unless plain text is asked for.
3. On a terminal model text goes through `foreign_text.safe`; into a pipe it goes as it came.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from understudy.cli import failures, render, standard_streams
from understudy.cli.foreign_text import one_line, safe

if TYPE_CHECKING:
    from understudy.core.stats import Stats

_DIM, _RESET = "\x1b[2m", "\x1b[0m"


class Screen:
    """`terminal`: a person watches."""

    def __init__(self, *, terminal: bool, plain: bool) -> None:
        self.terminal = terminal
        self.plain = plain
        self._line_open = False

    def say(self, text: str) -> None:
        """A line, or several, on stdout."""
        standard_streams.write(f"{text}\n")

    def piece(self, text: str) -> None:
        """A piece of an answer, as it arrives."""
        if text:
            standard_streams.write(safe(text) if sys.stdout.isatty() else text)
            self._line_open = not text.endswith("\n")

    def end_answer(self) -> None:
        """Whatever comes next begins its own line."""
        if self._line_open:
            self._line_open = False
            standard_streams.write("\n")

    def note(self, text: str) -> None:
        if self.terminal:
            line = one_line(text)
            sys.stderr.write(f"{_DIM}{line}{_RESET}\n" if self._dims else f"{line}\n")
            sys.stderr.flush()

    def warn(self, text: str) -> None:
        failures.warn(text, sys.stderr)

    def error(self, error: BaseException) -> None:
        failures.show(error, sys.stderr)

    def stats(self, stats: Stats) -> None:
        render.stats_text(stats, sys.stdout, plain=self.plain)
        sys.stdout.flush()

    @property
    def _dims(self) -> bool:
        return not (self.plain or os.environ.get("NO_COLOR")) and sys.stderr.isatty()
