"""All there is to know of one member, one profile or one request, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable

from understudy.core.stats import backend_lines, extra_results
from understudy.tui import cells
from understudy.tui.board import MemberLine, ProfileLine
from understudy.tui.document import Summary

LEGEND = "· nothing   o answered   x some failed   X most failed   r refused"

_ROW = 30


def of_member(line: MemberLine) -> list[str]:
    backend = line.backend
    kinds = cells.failures(backend)
    first = backend.first_content_ms
    about = [
        ("Model", line.model or cells.UNKNOWN),
        ("State", cells.state(backend)),
        ("Failures In Window", str(backend.circuit_breaker.failures)),
        ("First Content", " / ".join(map(cells.duration, (first.p50, first.p95, first.p99)))),
        *backend_lines(backend),
        *([("Kinds", kinds)] if kinds else []),
    ]
    return [*_columns(about), "", "The last ten minutes, ten seconds a letter:", *_strip(line), LEGEND]


def of_profile(line: ProfileLine) -> list[str]:
    stats = line.stats
    counts = [
        ("Requests", stats.total_requests),
        ("Answered", stats.answered),
        ("Failed", stats.failed),
        ("Cancelled", stats.cancelled),
        ("Failed Over", stats.failed_over),
        *((label, count) for label, count in extra_results(stats) if count),
        ("In Flight", line.in_flight),
        ("Waiting", line.waiting),
    ]
    default = "yes" if line.is_default else "no"
    about = [("Policy", stats.policy), ("Default", default), *((name, str(count)) for name, count in counts)]
    return _columns(about)


def of_request(request: Summary) -> list[str]:
    """As a session's ``/why`` has it."""
    took = f" after {cells.duration(request.duration_ms)}" if request.duration_ms is not None else ""
    steps = [f"{number}. {words}" for number, words in enumerate(request.trail_words, 1)]
    return [f"{request.status}{took}, by {request.profile}", "", request.words, "", *steps]


def _strip(line: MemberLine) -> list[str]:
    letters = cells.strip(line.strip, len(line.strip))
    return [letters[start : start + _ROW] for start in range(0, len(letters), _ROW)]


def _columns(about: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(about)
    width = max(len(label) for label, _ in rows)
    return [f"{label:<{width}}  {value}" for label, value in rows]
