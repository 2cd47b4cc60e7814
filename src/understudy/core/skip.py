"""Why a member is passed over."""

from __future__ import annotations

from typing import NamedTuple

from understudy.errors import SkipReason

_SOFT = frozenset((SkipReason.LOW_TPM, SkipReason.PROVIDER_LIMIT, SkipReason.SILENT))


class Skip(NamedTuple):
    """The reason, and until when it holds if that is known."""

    reason: SkipReason
    until: float | None = None
    rate: float | None = None

    @property
    def is_soft(self) -> bool:
        """Is the member only put behind all others, and asked if none of them can be?"""
        return self.reason in _SOFT
