"""What befalls one backend when: a scenario's phases laid out in time.

1. Which phases hold is looked up once between two changes; asking in between costs a comparison.
2. Instants at random come from the phase's place in the scenario and the seed, so that the same misfortune
   befalls all of its backends together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from math import inf
from random import Random
from typing import NamedTuple

from understudy.simulate.scenario import Effects, Phase, Ramp, Scenario, Share, Span


class Stretch(NamedTuple):
    """One occurrence of a phase."""

    begin: float
    end: float
    phase: Phase

    def value(self, ramp: Ramp, now: float) -> float:
        """Where the ramp is, so far into it."""
        low, high = ramp
        return low + (high - low) * (now - self.begin) / (self.end - self.begin)


def stretches(scenario: Scenario, seed: int, start: float) -> list[Stretch]:
    """Every occurrence of every phase, in order of begin; `start` is the scenario's first instant."""
    found = [
        Stretch(start + begin, start + end, phase)
        for index, phase in enumerate(scenario.phases)
        for begin, end in _spans(phase, scenario.duration, Random(f"{seed}/phase/{index}"))  # noqa: S311
    ]
    return sorted(found, key=lambda stretch: (stretch.begin, stretch.end))


def _spans(phase: Phase, duration: float, chance: Random) -> Iterator[Span]:
    """There are three cases: at random, over and over, once."""
    if phase.random:
        begins = [chance.uniform(phase.begin, duration) for _ in range(phase.random)]
    elif phase.every is not None:
        count = max(0, int((duration - phase.begin) / phase.every) + 1)
        begins = [phase.begin + number * phase.every for number in range(count)]
    else:
        begins = [phase.begin]
    for begin in begins:
        if begin < duration:
            yield begin, begin + phase.length


class Fate:
    """One backend's. `now` must not go back."""

    def __init__(self, base: Effects, stretches: Sequence[Stretch]) -> None:
        self._base = base
        self._stretches = stretches
        self._changes = sorted({instant for s in stretches for instant in (s.begin, s.end)})
        self._cuts = sorted(stretch.begin for stretch in stretches if stretch.phase.cuts)
        self._active: list[Stretch] = []
        self._failures: list[Share] = []
        self._ceilings = (inf, inf)
        self._until = -inf

    def active(self, now: float) -> list[Stretch]:
        """The occurrences that hold at `now`."""
        if now >= self._until:
            self._look(now)
        return self._active

    def next_cut(self, now: float) -> float:
        """When what is on its way now breaks off; infinity if it does not."""
        if not self._cuts:
            return inf
        later = bisect_right(self._cuts, now)
        return self._cuts[later] if later < len(self._cuts) else inf

    def failure(self, now: float, roll: float) -> str | None:
        """What `roll`, between 0 and 1, comes to."""
        self.active(now)
        for failure, share in self._failures:
            roll -= share
            if roll < 0:
                return failure
        return None

    def latency(self, now: float) -> float:
        """The factor."""
        factor = self._base.latency[0]
        for stretch in self.active(now) if self._stretches else ():
            factor *= stretch.value(stretch.phase.effects.latency, now)
        return factor

    def speed(self, now: float) -> float:
        """The factor."""
        factor = self._base.speed[0]
        for stretch in self.active(now) if self._stretches else ():
            factor *= stretch.value(stretch.phase.effects.speed, now)
        return factor

    def concurrent(self, now: float) -> float:
        """How many requests it takes at a time."""
        return self._least(now, lambda effects: effects.concurrent)

    def topples(self, now: float) -> float:
        """How many it bears at a time."""
        return self._least(now, lambda effects: effects.topples)

    def ceilings(self, now: float) -> tuple[float, float]:
        """Requests and tokens a minute."""
        self.active(now)
        return self._ceilings

    def _least(self, now: float, ramp_of: Callable[[Effects], Ramp | None]) -> float:
        """Of what holds now; infinity if nothing does."""
        base = ramp_of(self._base)
        least = inf if base is None else base[0]
        for stretch in self.active(now) if self._stretches else ():
            ramp = ramp_of(stretch.phase.effects)
            if ramp is not None:
                least = min(least, stretch.value(ramp, now))
        return least

    def _look(self, now: float) -> None:
        """Rule 1."""
        self._active = [stretch for stretch in self._stretches if stretch.begin <= now < stretch.end]
        later = bisect_right(self._changes, now)
        self._until = self._changes[later] if later < len(self._changes) else inf
        effects = [self._base, *(stretch.phase.effects for stretch in self._active)]
        self._failures = [share for each in effects for share in each.failures]
        self._ceilings = (
            min((each.rpm for each in effects if each.rpm is not None), default=inf),
            min((each.tpm for each in effects if each.tpm is not None), default=inf),
        )
