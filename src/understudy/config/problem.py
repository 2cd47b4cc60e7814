"""What is wrong with one profile, collected so that a reader mends it in one go.

1. Every problem is one line: source, place in the JSON, what is wrong.
2. A profile's error carries all of them; its own message is the first, with the number of the rest.
"""

from __future__ import annotations

import json
import re

from understudy.errors import ProfileError

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_-]*")


def place(*steps: str | int) -> str:
    """Where in a document, from its root: ``$.profiles[0]``."""
    return "$" + "".join(_step(step) for step in steps)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f"[{json.dumps(step)}]"


class Problems:
    """The problems of one profile; `source` names its file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[ProfileError] = []

    def __repr__(self) -> str:
        return f"<Problems of {self.source}, {len(self._found)} found>"

    def add(self, where: str, message: str, hint: str | None = None) -> None:
        self._found.append(ProfileError(f"{self.source}: {where}: {message}", hint=hint))

    def raise_if_any(self) -> None:
        if self._found:
            raise self._error()

    def joined(self, error: ProfileError) -> ProfileError:
        """One error for what was found here and there."""
        self._found.extend(error.problems or (error,))
        return self._error()

    def _error(self) -> ProfileError:
        first, rest = self._found[0], len(self._found) - 1
        message = f"{first.message} (and {rest} more)" if rest else first.message
        return ProfileError(message, hint=first.hint, problems=self._found)
