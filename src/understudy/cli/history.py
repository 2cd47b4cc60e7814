"""The lines a person typed in earlier sessions.

1. A line that holds a key is not remembered, not even within the session: whatever begins with ``/key`` or
   a slip of it, and whatever holds something that looks like a key or a password.
2. The file is its owner's alone (0600), also if it was not before.
3. A file that can't be read or written costs the memory of earlier sessions, nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory

from understudy.cli.commands.backend import KEY
from understudy.cli.commands.table import closest, find
from understudy.config.secret import Secret, shown
from understudy.errors import ConfigurationError
from understudy.wire.masking import mask

_MASK = str(Secret(""))


class History(FileHistory):
    """Lines in `path`, which is made when the first is remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(path)

    def append_string(self, string: str) -> None:
        if not holds_key(string):
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
            super().store_string(string)


def holds_key(line: str) -> bool:
    """Rule 1."""
    name, *words = line.split() or [""]
    if name.startswith("/") and _means_key(name):
        return True
    return mask(line) != line or any(_is_like_key(word) for word in words)


def _means_key(name: str) -> bool:
    try:
        return find(name) is KEY
    except ConfigurationError:
        return closest(name) == KEY.name


def _is_like_key(word: str) -> bool:
    return _MASK in shown(word) or ("://" in word and "@" in word)
