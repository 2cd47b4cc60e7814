"""What a backend says of its rate limits beside an answer: is nothing left, and until when?

``x-ratelimit-remaining-requests: 0`` with ``x-ratelimit-reset-requests: 6m0s`` beside a good answer says that
the next request would be refused. The names and forms are those of `wire.retry_after`, rule 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from understudy.wire.retry_after import resets_in

_MARK = "ratelimit"


def exhausted_for(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds from arrival until the last of the used-up limits is reset; None if none is, or nobody says.

    `wall`: arrival, seconds since 1970.
    """
    if _MARK not in "\n".join(headers):
        return None
    seconds = resets_in(headers, wall=wall)
    return seconds if seconds is not None and seconds > 0 else None
