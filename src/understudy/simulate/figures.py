"""A run in figures: what a report tells, a program reads and a chart draws.

1. Callers who left are in no share: nobody knows what would have become of them.
2. *Answered* is who heard an answer's beginning, *whole* who heard all of it.
3. First content is measured at the caller, over all attempts and waits; of unary answers it is the answer.
4. An *extra* attempt is every one beyond a request's first. They are divided by whole answers.
5. Money is counted as everywhere (`core.cost`): without attempts of unknown price, and the figure says so.
6. The same seed makes the same figures, to the last digit: nothing of this machine is in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, isnan
from typing import Any

from understudy.core import cost
from understudy.core.cost import Bill
from understudy.core.member import Member
from understudy.simulate.run import Run
from understudy.simulate.tally import End, Incident

_TIMELINE = 60


def figures(run: Run) -> dict[str, Any]:
    """Plain values, ready for JSON. Seconds, shares from 0 to 1, dollars."""
    ends = Counter(run.tally.ends)
    judged = len(run.tally) - ends[End.LEFT]
    whole = ends[End.WHOLE]
    bills = [cost.of_member(member) for member in run.pool.members]
    return {
        "profile": run.cast.pool.name,
        "policy": run.cast.pool.policy,
        "settings": dict(run.settings),
        "scenario": run.scenario.name,
        "seed": run.seed,
        "duration_s": run.scenario.duration,
        "requests": len(run.tally),
        "left": ends[End.LEFT],
        "answered": _share(judged - ends[End.FAILED], judged),
        "whole": _share(whole, judged),
        "interrupted": ends[End.INTERRUPTED],
        "failed": ends[End.FAILED],
        "wrong": ends[End.WRONG],
        "errors": dict(sorted(run.tally.errors.items())),
        "first_content_s": _percentiles(first for first in run.tally.first if not isnan(first)),
        "extra_attempts_per_answer": _ratio(run.attempts - len(run.tally), whole),
        **_money(cost.in_all(bills)),
        "outages": _outages(run.incidents),
        "members": [
            _member(run, member, position, bill)
            for position, (member, bill) in enumerate(zip(run.pool.members, bills, strict=True), 1)
        ],
        "timeline": list(_timeline(run)),
    }


def _member(run: Run, member: Member, position: int, bill: Bill) -> dict[str, Any]:
    metrics = member.metrics
    by = Counter(run.tally.by)
    return {
        "name": member.name,
        "attempts": metrics.requests,
        "answers": by[position],
        "failures": {str(kind): count for kind, count in sorted(metrics.by_kind.items())},
        "input_tokens": metrics.input_tokens,
        "output_tokens": metrics.output_tokens,
        **_money(bill),
        "first_content_s": {
            f"p{percent}": _rounded(metrics.first_content.percentile(percent)) for percent in (50, 95, 99)
        },
    }


def _money(bill: Bill) -> Mapping[str, Any]:
    """Rule 5."""
    told = bill.to_dict()
    return {key: told[key] for key in ("cost_usd", "cost_partial", "wasted_usd")}


def _outages(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """A row for each backend and phase. What nobody noticed, because nobody asked, has no time."""
    rows: dict[tuple[str, str], list[Incident]] = {}
    for incident in incidents:
        rows.setdefault((incident.backend, incident.stretch.phase.name), []).append(incident)
    return [
        {
            "backend": backend,
            "phase": phase,
            "times": len(found),
            "detected": sum(each.detected is not None for each in found),
            "to_detect_s": _median(
                each.detected - each.stretch.begin for each in found if each.detected is not None
            ),
            "recovered": sum(each.recovered is not None for each in found),
            "to_recover_s": _median(
                each.recovered - each.stretch.end for each in found if each.recovered is not None
            ),
        }
        for (backend, phase), found in rows.items()
    ]


def _timeline(run: Run) -> Iterator[dict[str, Any]]:
    """What happened to the requests of each sixtieth of the time."""
    tally, step = run.tally, run.scenario.duration / _TIMELINE
    ends: list[Counter[int]] = [Counter() for _ in range(_TIMELINE)]
    by: list[Counter[int]] = [Counter() for _ in range(_TIMELINE)]
    firsts: list[list[float]] = [[] for _ in range(_TIMELINE)]
    for began, first, end, position in zip(tally.began, tally.first, tally.ends, tally.by, strict=True):
        index = min(_TIMELINE - 1, int((began - run.began) / step))
        ends[index][end] += 1
        by[index][position] += 1
        if not isnan(first):
            firsts[index].append(first)
    names = [member.name for member in run.pool.members]
    for index in range(_TIMELINE):
        judged = sum(ends[index].values()) - ends[index][End.LEFT]
        yield {
            "at_s": round(index * step, 3),
            "requests": sum(ends[index].values()),
            "whole": _share(ends[index][End.WHOLE], judged),
            "first_content_s": _percentiles(firsts[index]),
            "answers": {name: by[index][position] for position, name in enumerate(names, 1)},
        }


def _percentiles(values: Iterable[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    return {
        f"p{percent}": _rounded(ordered[ceil(len(ordered) * percent / 100) - 1] if ordered else None)
        for percent in (50, 95, 99)
    }


def _median(values: Iterable[float]) -> float | None:
    ordered = sorted(values)
    return _rounded(ordered[(len(ordered) - 1) // 2]) if ordered else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
