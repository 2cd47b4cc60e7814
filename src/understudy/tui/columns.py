"""Which columns fit into how many letters, and what is in them.

There are three widths: wide from `WIDE` on, narrow below `MIDDLE`, and what is between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from understudy.tui import cells
from understudy.tui.board import MemberLine, NewsLine, ProfileLine

VAST = 160
WIDE = 110
MIDDLE = 72
ROOMY = 90


class Column(NamedTuple):
    """`of` is what it says of a member."""

    title: str
    of: Callable[[MemberLine], str]


_NAME = Column("Member", lambda line: f"  {line.backend.name}")
_MODEL = Column("Model", lambda line: line.model or cells.UNKNOWN)
_STATE = Column("State", lambda line: cells.state(line.backend))
_NOW = Column("Now", lambda line: str(line.backend.in_flight))
_ASKED = Column("Asked", lambda line: cells.amount(line.backend.requests))
_OK = Column("OK", lambda line: cells.rate(line.backend.success_rate))
_P50 = Column("First p50", lambda line: cells.duration(line.backend.first_content_ms.p50))
_P95 = Column("First p95", lambda line: cells.duration(line.backend.first_content_ms.p95))
_TPM = Column("TPM", lambda line: cells.amount(line.backend.tpm))
_RATE = Column("Rate", lambda line: cells.amount(line.backend.serving_rate))
_FAILURES = Column("Failures", lambda line: cells.failures(line.backend))


def _strip(minutes: int) -> Column:
    return Column(f"{minutes} min", lambda line: cells.strip(line.strip, minutes * 6))


def members(width: int) -> list[Column]:
    """The columns of the members' table."""
    if width >= WIDE:
        strip = _strip(5 if width >= VAST else 3)
        return [_NAME, _MODEL, _STATE, _NOW, _ASKED, _OK, _P50, _P95, _TPM, _RATE, strip, _FAILURES]
    if width >= MIDDLE:
        return [_NAME, _STATE, _NOW, _OK, _P95, _TPM, _strip(3 if width >= ROOMY else 1)]
    return [_NAME, _STATE, _NOW, _OK]


def member(line: MemberLine, columns: list[Column]) -> list[str]:
    return [column.of(line) for column in columns]


def profile(line: ProfileLine, columns: list[Column]) -> list[str]:
    """The profile's own line: name and policy in the first columns, and what it has of the others."""
    answered, failed = line.stats.answered, line.stats.failed
    policy = f"{line.stats.policy}, default" if line.is_default else line.stats.policy
    values = {
        "Now": f"{line.in_flight}+{line.waiting}" if line.waiting else str(line.in_flight),
        "Asked": cells.amount(line.stats.total_requests),
        "OK": cells.rate(answered / (answered + failed) if answered + failed else None),
    }
    return [line.name, policy, *(values.get(column.title, "") for column in columns[2:])]


def news(line: NewsLine, width: int) -> list[str]:
    """The time of day in UTC, the profile where there is room, and the words."""
    time = line.at[11:19]
    return [time, line.profile, line.words] if width >= MIDDLE else [time, line.words]


def news_titles(width: int) -> list[str]:
    return ["UTC", "Profile", "What happened"] if width >= MIDDLE else ["UTC", "What happened"]
