"""What became of the calls of one run.

Each call is exactly one of these, by its text and by whether its caller was told of a fault:

============  ============================================  ==========
whole         the canonical answer, to the letter           no error
short         the beginning of it                           no error: nobody was told
garbled       anything else: repeated, mixed, without end   with or without an error
broken        the beginning of it                           an error
failed        nothing                                       an error
============  ============================================  ==========

1. Answered is every call without an error.
2. Percentiles are nearest-rank, of the calls that got any content at all.
3. Attempts are what the backends were asked for, per call that was answered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from benches.failover.calls import Call
from understudy.faults import TEXT

KINDS = ("whole", "short", "garbled", "broken", "failed")


def kind(call: Call, canonical: str = TEXT) -> str:
    told = call.error is not None
    if not call.text:
        return "failed" if told else "short"
    if not canonical.startswith(call.text):
        return "garbled"
    if told:
        return "broken"
    return "whole" if call.text == canonical else "short"


def percentile(values: Sequence[float], percent: float) -> float:
    """Not a number where there is none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class Run(NamedTuple):
    """One client in one scenario. `attempts` are each backend's."""

    calls: list[Call]
    attempts: list[int]
    wall: float

    def kinds(self) -> Counter[str]:
        return Counter(map(kind, self.calls))

    def answered(self) -> int:
        return sum(call.error is None for call in self.calls)

    def share(self, count: int) -> float:
        return 100 * count / len(self.calls)

    def first(self, percent: float) -> float:
        """Seconds to the first content."""
        return percentile([call.first for call in self.calls if call.first is not None], percent)

    def attempts_per_answer(self) -> float:
        return sum(self.attempts) / self.answered() if self.answered() else math.nan

    def errors(self) -> dict[str, int]:
        """What callers were told, most frequent first."""
        return dict(Counter(call.error for call in self.calls if call.error is not None).most_common(5))

    def to_dict(self) -> dict[str, Any]:
        """For JSON. Figures that there are none of are null."""
        firsts = {f"p{percent}": self.first(percent) for percent in (50, 95, 99)}
        return {
            "requests": len(self.calls),
            "answered": self.answered(),
            **{name: self.kinds()[name] for name in KINDS},
            "first_content_seconds": {name: _known(value) for name, value in firsts.items()},
            "attempts": self.attempts,
            "attempts_per_answer": _known(self.attempts_per_answer()),
            "wall_seconds": self.wall,
            "errors": self.errors(),
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
