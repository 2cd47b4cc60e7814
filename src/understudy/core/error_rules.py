"""A user's own class for an upstream error, tried before the built-in table.

A rule names a status, a pattern, or both; what it leaves out matches anything. The pattern is a
regular expression searched for anywhere in the error body, whatever its case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from understudy.errors import FailureKind


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """`status` and `match` together mean `kind`. Raises ValueError if `match` is no regular expression."""

    status: int | None
    match: str | None
    kind: FailureKind
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            pattern = re.compile(self.match or "", re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{self.match!r} is no regular expression: {error}") from error
        object.__setattr__(self, "_pattern", pattern)

    def matches(self, status: int | None, text: str) -> bool:
        """Does an error with this status and body text fall under the rule?"""
        return (self.status is None or self.status == status) and self._pattern.search(text) is not None
