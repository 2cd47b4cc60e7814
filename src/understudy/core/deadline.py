"""One request's deadline over all attempts and waits, and which limit cuts an attempt first."""

from __future__ import annotations

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """By when a request has to have begun its answer, or gone on with it; `setting` is what says so."""

    at: float
    setting: str = "request_timeout_ms"

    def passed(self, now: float) -> bool:
        return now >= self.at

    def cuts(self, own_limit: float) -> bool:
        """Does the deadline end an attempt before that attempt's own limit does?

        If so the backend is not to blame: its own time had not passed.
        """
        return self.at < own_limit
