"""Header values that are known only when they are sent: dates.

``date:+3s`` is an HTTP date three seconds from the provider's now, ``rfc3339:+30s`` the same as
RFC 3339; anything else stands for itself. The time scale does not touch them: they are for the
client's clock. What the provider takes for now is `skew` off.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate

from understudy.faults.plan import Stage
from understudy.faults.word import moment

Value = str | Callable[[Stage], str]


def header_value(text: str) -> Value:
    kind, _, offset = text.partition(":")
    if kind == "date":
        seconds = moment(offset)
        return lambda stage: formatdate(stage.wall + seconds, usegmt=True)
    if kind == "rfc3339":
        seconds = moment(offset)
        return lambda stage: _rfc3339(stage.wall + seconds)
    if not text.isprintable():
        raise ValueError("one printable line")
    return text


def _rfc3339(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
