"""One request's deadline over all attempts and waits, and which limit cuts an attempt first."""

from __future__ import annotations

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """By when a request has to have begun its answer, or gone on with it; `setting` is what says so.

    One is made for each request: a struct of msgspec in 0.1 µs, a frozen dataclass in 0.5.
    """

    at: float
    setting: str = "request_timeout_ms"

    def passed(self, now: float) -> bool:
        return now >= self.at

    def cuts(self, own_limit: float) -> bool:
        """Does the deadline end an attempt before that attempt's own limit does?

        If so the backend is not to blame: its own time had not passed.
        """
        return self.at < own_limit
