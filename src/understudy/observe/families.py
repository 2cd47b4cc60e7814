"""Metrics as plain values, which processes can tell each other and add up.

1. Counters and histograms are sums over the processes. So is a gauge, unless its sum would mean nothing:
   then every process has a series of its own, with a label for the process, or the highest counts.
2. What a process has counted is not lost with it: its counters are added to those of whoever took its
   place, gauges are not. Where nobody has such a series any more, it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

import msgspec

OWN_LABEL = "worker"

Labels = tuple[str, ...]


class Across(Enum):
    """What becomes of the figures of several processes."""

    SUM = "sum"
    HIGHEST = "highest"
    EACH = "each"


class Sample(msgspec.Struct, frozen=True):
    """One series: a number, or of a histogram its total and how many did not exceed each bound."""

    labels: Labels
    value: float
    counts: tuple[int, ...] = ()

    def plus(self, other: Sample) -> Sample:
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return Sample(self.labels, self.value + other.value, counts)

    def of_worker(self, number: int) -> Sample:
        return Sample((*self.labels, str(number)), self.value, self.counts)


class Family(msgspec.Struct, frozen=True):
    """One metric with all its series. `kind` is ``counter``, ``gauge`` or ``histogram``."""

    name: str
    meaning: str
    kind: str
    unit: str
    labels: Labels
    samples: tuple[Sample, ...]
    across: Across = Across.SUM
    bounds: tuple[float, ...] = ()

    @property
    def is_lasting(self) -> bool:
        """Rule 2."""
        return self.kind != "gauge" and self.across is Across.SUM


def merged(told: Mapping[int, Sequence[Family]]) -> list[Family]:
    """The families of several workers, by their numbers, as one's (rule 1)."""
    by_name: dict[str, list[tuple[int, Family]]] = {}
    for number, families in told.items():
        for family in families:
            by_name.setdefault(family.name, []).append((number, family))
    return [_merge(of_all) for of_all in by_name.values()]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What stays of a process that has ended."""
    return [family for family in families if family.is_lasting]


def succeeding(families: Sequence[Family], former: Iterable[Family]) -> list[Family]:
    """The families of a process that has taken the place of another one (rule 2)."""
    books = {family.name: {sample.labels: sample for sample in family.samples} for family in former}
    return [_succeed(family, books.get(family.name, {})) for family in families]


def _succeed(family: Family, former: Mapping[Labels, Sample]) -> Family:
    samples = (
        sample.plus(former[sample.labels]) if sample.labels in former else sample for sample in family.samples
    )
    return msgspec.structs.replace(family, samples=tuple(samples))


def _merge(of_all: Sequence[tuple[int, Family]]) -> Family:
    first = of_all[0][1]
    match first.across:
        case Across.EACH:
            samples = tuple(
                sample.of_worker(number) for number, family in of_all for sample in family.samples
            )
            return msgspec.structs.replace(first, labels=(*first.labels, OWN_LABEL), samples=samples)
        case Across.HIGHEST:
            return _folded(of_all, lambda one, other: max(one, other, key=lambda sample: sample.value))
    return _folded(of_all, Sample.plus)


def _folded(of_all: Sequence[tuple[int, Family]], fold: Callable[[Sample, Sample], Sample]) -> Family:
    found: dict[Labels, Sample] = {}
    for _, family in of_all:
        for sample in family.samples:
            known = found.get(sample.labels)
            found[sample.labels] = sample if known is None else fold(known, sample)
    return msgspec.structs.replace(of_all[0][1], samples=tuple(found.values()))
