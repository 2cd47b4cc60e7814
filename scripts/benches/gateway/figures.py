"""Small arithmetic on figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

NOISY = 0.2  # rounds that differ by more than this share of their median


def percentile(figures: Sequence[float], share: float) -> float:
    """The nearest rank: the smallest figure that at least this share of all does not exceed."""
    ranked = sorted(figures)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def spread(rounds: Sequence[float]) -> float:
    """How far the rounds lie apart, as a share of their median."""
    middle = median(rounds)
    return (max(rounds) - min(rounds)) / abs(middle) if middle else 0.0
