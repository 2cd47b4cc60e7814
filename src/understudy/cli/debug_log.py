"""Log lines on stderr.

1. Without patterns only warnings are shown, as ``warning: …``; `quiet` shows none.
2. Patterns are separated by commas and match logger names as file names are matched; ``:`` reads as
   ``.``, so ``understudy:*`` is every logger of ours. What they match is shown from DEBUG on, each line
   with its time and logger.
3. A log line that can't be written is given up in silence.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

_WARNING = logging.Formatter("warning: %(message)s")
_DETAIL = logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S")


class Lines(logging.StreamHandler):  # type: ignore[type-arg]  # it is not subscriptable at run time in 3.11
    """Shows the records that the patterns match, and warnings."""

    def __init__(self, patterns: tuple[str, ...], *, quiet: bool) -> None:
        super().__init__(sys.stderr)
        self._patterns = patterns
        self._quiet = quiet

    def filter(self, record: logging.LogRecord) -> bool:
        if self._matches(record):
            return True
        return not self._quiet and record.levelno >= logging.WARNING and record.name.startswith("understudy")

    def format(self, record: logging.LogRecord) -> str:
        return (_DETAIL if self._matches(record) else _WARNING).format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Rule 3."""

    def _matches(self, record: logging.LogRecord) -> bool:
        return any(fnmatchcase(record.name, pattern) for pattern in self._patterns)


@contextmanager
def shown(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show log lines meanwhile; `text` holds the patterns."""
    patterns = tuple(part.strip().replace(":", ".") for part in text.split(",") if part.strip())
    root = logging.getLogger()
    handler, level = Lines(patterns, quiet=quiet), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if patterns else level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def show_traceback(error: BaseException) -> None:
    """Where a bug happened, for those who asked for details."""
    logging.getLogger("understudy.cli").debug("traceback of the error below", exc_info=error)
