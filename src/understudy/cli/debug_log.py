"""Log lines on stderr.

1. Without patterns only warnings are shown, as ``warning: …``; a quiet command shows none. A service
   shows them with their time, and with them what its circuits, its profiles and its shared state do.
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
from enum import Enum
from fnmatch import fnmatchcase

_WARNING = logging.Formatter("warning: %(message)s")
_SERVICE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_SERVICE_LOGGERS = ("understudy.gateway", "understudy.circuit-breaker", "understudy.state")
_DETAIL = logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S")


class Style(Enum):
    """What is shown besides that which patterns match."""

    QUIET = "nothing"
    WARNINGS = "warnings"
    SERVICE = "warnings, circuits and profiles"


class Lines(logging.StreamHandler):  # type: ignore[type-arg]  # it is not subscriptable at run time in 3.11
    """Shows the records that the patterns match, and warnings. `speaker` says which of several processes."""

    speaker = ""

    def __init__(self, patterns: tuple[str, ...], style: Style) -> None:
        super().__init__(sys.stderr)
        self._patterns = patterns
        self._style = style

    def filter(self, record: logging.LogRecord) -> bool:
        if self._matches(record):
            return True
        if self._style is Style.QUIET or not record.name.startswith("understudy"):
            return False
        is_service = self._style is Style.SERVICE and record.name in _SERVICE_LOGGERS
        return record.levelno >= (logging.INFO if is_service else logging.WARNING)

    def format(self, record: logging.LogRecord) -> str:
        if self._style is Style.SERVICE:
            return _SERVICE.format(record).replace(record.name, f"{record.name}{self.speaker}", 1)
        return (_DETAIL if self._matches(record) else _WARNING).format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Rule 3."""

    def _matches(self, record: logging.LogRecord) -> bool:
        return any(fnmatchcase(record.name, pattern) for pattern in self._patterns)


@contextmanager
def shown(text: str, style: Style = Style.WARNINGS) -> Iterator[None]:
    """Show log lines meanwhile; `text` holds the patterns."""
    patterns = tuple(part.strip().replace(":", ".") for part in text.split(",") if part.strip())
    root = logging.getLogger()
    handler, level = Lines(patterns, style), root.level
    root.addHandler(handler)
    if patterns:
        root.setLevel(logging.DEBUG)
    elif style is Style.SERVICE:
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def name_speaker(name: str) -> None:
    """Say in every line of a service which of its processes speaks."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.speaker = f" {name}"


def show_traceback(error: BaseException) -> None:
    """Where a bug happened, for those who asked for details."""
    logging.getLogger("understudy.cli").debug("traceback of the error below", exc_info=error)
