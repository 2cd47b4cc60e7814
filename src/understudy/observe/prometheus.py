"""The gateway's metrics for Prometheus.

1. Nothing is counted here: a scrape reads what is counted anyway, all of it at one instant, and changes
   nothing. A request pays nothing for it, and writing the text down can be left to another thread.
2. The registry is our own: beside our metrics it holds those of the process, and nothing of what others
   have put into the library's global one.
3. A label is a profile, a backend, or a word of a closed set; never a model, a client or a request. Every
   word of a set is there from the start, at zero, so that a rate sees the first failure of its kind.
4. What is not known has no series.
5. The four tables at the end are all there is, and ``docs/metrics.md`` shows them.
6. A scrape is answered for all workers: `families` says how their figures become one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from understudy._version import __version__
from understudy.core import cost
from understudy.core.breaker import State
from understudy.core.cost import Bill
from understudy.core.latency import Latency
from understudy.core.member import Member
from understudy.core.metrics import MemberMetrics
from understudy.core.pool import Pool
from understudy.core.stats import CeilingStats
from understudy.errors import FailureKind, SkipReason
from understudy.observe.families import Across, Family, Sample

# Upper bounds in seconds. A backend takes a moment or minutes, the gateway fractions of a millisecond.
BACKEND_BOUNDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
GATEWAY_BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

_UNITS = ("_seconds", "_tokens", "_usd")


@dataclass(frozen=True, slots=True)
class ServedPool:
    """One profile as it is served; `inside` and `waiting` count the requests at its door."""

    pool: Pool
    inside: int
    waiting: int

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.pool.profile,)


class Snapshot(Collector):
    """The metrics at the instant `now`, read when this is made; any thread may then write them down.

    `own_time` is what the gateway itself took for each answer.
    """

    def __init__(
        self, pools: Iterable[ServedPool], own_time: Latency, now: float, *, draining: bool = False
    ) -> None:
        self.families = list(_families(list(pools), _Gateway(own_time, draining), now))

    @classmethod
    def of(cls, families: Iterable[Family]) -> Snapshot:
        """Of figures that were read before, with those of the process among them."""
        snapshot = cls.__new__(cls)
        snapshot.families = list(families)
        return snapshot

    def collect(self) -> Iterable[Metric]:
        return map(_metric, self.families)


def exposition(snapshot: Snapshot, accept: str | None = None, *, alone: bool = True) -> tuple[bytes, str]:
    """The metrics as text, and its content type: OpenMetrics where the ``Accept`` header asks for it.

    `alone`: the process's own figures are added; else they are in the snapshot, for every worker.
    """
    registry = CollectorRegistry()
    registry.register(snapshot)
    if alone:
        ProcessCollector(registry=registry)
    try:
        encode, content_type = choose_encoder(accept or "")
    except TypeError:  # the version asked for is no number: as good as none
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def process_families() -> Iterator[Family]:
    """What ``prometheus-client`` knows of this process, which every worker shows of itself."""
    for metric in ProcessCollector(registry=None).collect():
        samples = tuple(Sample((), sample.value) for sample in metric.samples)
        name = metric.name + "_total" * (metric.type == "counter")
        yield Family(name, metric.documentation, metric.type, metric.unit, (), samples, Across.EACH)


def _families(pools: Sequence[ServedPool], gateway: _Gateway, now: float) -> Iterator[Family]:
    backends = [_Backend(served.pool, member, now) for served in pools for member in served.pool.members]
    yield from (metric.family((), [gateway]) for metric in OF_GATEWAY)
    yield from (metric.family(("profile",), pools) for metric in OF_PROFILE)
    budgets = [_Budgets(served.pool, now) for served in pools]
    yield from (metric.family(("profile",), budgets) for metric in OF_BUDGETS)
    yield from (metric.family(("profile", "backend"), backends) for metric in OF_BACKEND)


def _metric(family: Family) -> Metric:
    """The family in the library's words."""
    known = (family.name, family.meaning)
    match family.kind:
        case "histogram":
            return _histogram(family)
        case "counter":
            made: Any = CounterMetricFamily(*known, labels=family.labels, unit=family.unit)
        case _:
            made = GaugeMetricFamily(*known, labels=family.labels, unit=family.unit)
    for sample in family.samples:
        made.add_metric(sample.labels, sample.value)
    return cast(Metric, made)


def _histogram(family: Family) -> Metric:
    made = HistogramMetricFamily(family.name, family.meaning, labels=family.labels, unit=family.unit)
    bounds = [*map(str, family.bounds), "+Inf"]
    for sample in family.samples:
        made.add_metric(sample.labels, list(zip(bounds, sample.counts, strict=True)), sample.value)
    return made


# Where a metric is read


class _Place(Protocol):
    """What a series is about: `labels` are the values of its labels."""

    @property
    def labels(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class _Gateway:
    """What belongs to no profile."""

    own_time: Latency
    draining: bool
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Budgets:
    """What one profile's pool has room for at the instant `now`."""

    pool: Pool
    now: float

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.pool.profile,)


@dataclass(frozen=True, slots=True)
class _Backend:
    """One member at the instant `now`."""

    pool: Pool
    member: Member
    now: float

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.pool.profile, self.member.name)

    @property
    def counts(self) -> MemberMetrics:
        return self.member.metrics

    @property
    def bill(self) -> Bill:
        return cost.of_member(self.member)


Place = TypeVar("Place", bound=_Place)


# What a metric is


@dataclass(frozen=True, slots=True)
class Figure(Generic[Place]):
    """A counter where the name ends in ``_total``, else a gauge.

    `read` gives the value at a place, or one for each word of `label`, or None (rule 4). `across` is what
    becomes of it with several workers.
    """

    name: str
    meaning: str
    read: Callable[[Place], float | Mapping[str, float] | None]
    label: str = ""
    across: Across = Across.SUM

    def family(self, labels: Sequence[str], places: Iterable[Place]) -> Family:
        kind = "counter" if self.name.endswith("_total") else "gauge"
        names = (*labels, self.label) if self.label else tuple(labels)
        samples = tuple(
            Sample((*place.labels, *word), value) for place in places for word, value in self._values(place)
        )
        return Family(self.name, self.meaning, kind, _unit(self.name), names, samples, self.across)

    def _values(self, place: Place) -> Iterable[tuple[tuple[str, ...], float]]:
        value = self.read(place)
        if isinstance(value, Mapping):
            return [((word,), each) for word, each in value.items()]
        return [] if value is None else [((), value)]


@dataclass(frozen=True, slots=True)
class Durations(Generic[Place]):
    """A histogram with fixed `bounds`. A duration may be counted under a bound it is within 2 % of."""

    name: str
    meaning: str
    read: Callable[[Place], Latency]
    bounds: Sequence[float]

    def family(self, labels: Sequence[str], places: Iterable[Place]) -> Family:
        bounds, unit = tuple(self.bounds), _unit(self.name)
        samples = tuple(self._sample(place) for place in places)
        return Family(self.name, self.meaning, "histogram", unit, tuple(labels), samples, bounds=bounds)

    def _sample(self, place: Place) -> Sample:
        latency = self.read(place)
        return Sample(place.labels, latency.total, (*latency.counts_up_to(self.bounds), latency.count))


def _unit(name: str) -> str:
    plain = name.removesuffix("_total")
    return next((unit[1:] for unit in _UNITS if plain.endswith(unit)), "")


# How some of them are read


def _results(served: ServedPool) -> Mapping[str, float]:
    counts = served.pool.metrics
    return {"answered": counts.answered, "failed": counts.failed, "cancelled": counts.cancelled}


def _outcomes(at: _Backend) -> Mapping[str, float]:
    counts = at.counts
    return {
        "success": counts.successes,
        "failure": counts.failures,
        "refused": counts.refused,
        "cancelled": counts.cancelled,
    }


def _failures(at: _Backend) -> Mapping[str, float]:
    """A cancelled attempt has an outcome, and no failure."""
    kinds = (kind for kind in FailureKind if kind is not FailureKind.CANCELLED)
    return {kind: at.counts.by_kind.get(kind, 0) for kind in kinds}


def _skips(at: _Backend) -> Mapping[str, float]:
    return {reason: at.counts.skips.get(reason, 0) for reason in SkipReason}


def _cost(at: _Backend) -> Mapping[str, float]:
    """None at all where no price is known (rule 4)."""
    return {} if at.bill.usd is None else {end: at.counts.costs.get(end, 0.0) for end in cost.ENDS}


def _ceilings(at: _Backend) -> Mapping[str, CeilingStats]:
    return {ceiling.key: ceiling for ceiling in CeilingStats.of(at.member, at.now)}


def _room_for_hedges(at: _Budgets) -> float | None:
    settings = at.pool.settings.hedge
    return at.pool.hedges.room(at.now, settings.budget) if settings.is_on else None


def _breaker(at: _Backend) -> Mapping[str, float]:
    state = at.member.breaker.state(at.now, at.pool.settings.breaker)
    return {each: float(each is state) for each in State}


def _until_probe(at: _Backend) -> float | None:
    probe_at = at.member.breaker.next_probe_at(at.now, at.pool.settings.breaker)
    return None if probe_at is None else max(0.0, probe_at - at.now)


# The tables (rule 5)

OF_GATEWAY: tuple[Figure[_Gateway] | Durations[_Gateway], ...] = (
    Figure(
        "understudy_build_info",
        "Always 1; its label is the version.",
        lambda at: {__version__: 1},
        "version",
        Across.HIGHEST,
    ),
    Durations(
        "understudy_gateway_overhead_seconds",
        "What the gateway itself took for an answer: neither asking a backend nor waiting for one.",
        lambda at: at.own_time,
        GATEWAY_BOUNDS,
    ),
    Figure(
        "understudy_gateway_draining",
        "1 while the gateway ends what runs and takes nothing new, else 0.",
        lambda at: float(at.draining),
        across=Across.HIGHEST,
    ),
)

OF_PROFILE: tuple[Figure[ServedPool], ...] = (
    Figure("understudy_requests_total", "Requests that have ended, by result.", _results, "result"),
    Figure(
        "understudy_requests_in_flight",
        "Requests that are being answered.",
        lambda at: at.pool.metrics.in_flight,
    ),
    Figure(
        "understudy_requests_queued",
        "Requests that wait until a backend can be asked.",
        lambda at: len(at.pool.queue),
    ),
    Figure(
        "understudy_requests_failed_over_total",
        "Requests that went on to another backend after a failure.",
        lambda at: at.pool.metrics.failed_over,
    ),
    Figure(
        "understudy_requests_recovered_total",
        "Breaks after content that another attempt went on after.",
        lambda at: at.pool.metrics.recovered,
    ),
    Figure(
        "understudy_requests_hedged_total",
        "Requests that were made of a second backend, because the first was late.",
        lambda at: at.pool.metrics.hedged,
    ),
    Figure(
        "understudy_requests_unretried_total",
        "Requests that the retry budget kept from asking a backend again.",
        lambda at: at.pool.metrics.unretried,
    ),
    Figure(
        "understudy_requests_panicked_total",
        "Requests that asked a backend in spite of its circuit, because nobody else was left.",
        lambda at: at.pool.metrics.panicked,
    ),
    Figure(
        "understudy_requests_inside",
        "Requests that have a place, of the profile's --max-concurrent.",
        lambda at: at.inside,
    ),
    Figure(
        "understudy_requests_waiting",
        "Requests that wait for a place, of the profile's --max-queue.",
        lambda at: at.waiting,
    ),
    Figure(
        "understudy_requests_queued_limit",
        "Requests that may wait until a backend can be asked, as queue_limit says.",
        lambda at: at.pool.settings.routing.queue_limit,
    ),
)

OF_BUDGETS: tuple[Figure[_Budgets], ...] = (
    Figure(
        "understudy_retry_budget_remaining",
        "How often a backend may still be asked again now, by the retry budget.",
        lambda at: at.pool.retries.room(at.now, at.pool.settings.retry.budget),
    ),
    Figure(
        "understudy_hedge_budget_remaining",
        "How many second backends may still be asked now; no series while hedging is off.",
        _room_for_hedges,
    ),
)

OF_BACKEND: tuple[Figure[_Backend] | Durations[_Backend], ...] = (
    Figure("understudy_attempts_total", "Attempts that have ended, by outcome.", _outcomes, "outcome"),
    Figure("understudy_attempts_in_flight", "Attempts that are running.", lambda at: at.counts.in_flight),
    Figure(
        "understudy_attempt_failures_total",
        "Attempts that ended as a failure or refused, by kind.",
        _failures,
        "kind",
    ),
    Figure(
        "understudy_attempt_timeouts_total",
        "Failures of the kind timeout.",
        lambda at: at.counts.timeouts,
    ),
    Figure(
        "understudy_attempts_recovered_total",
        "Attempts that went on with an answer that another one had broken off.",
        lambda at: at.counts.recovered,
    ),
    Figure(
        "understudy_attempts_hedged_total",
        "Attempts that were made beside a late one.",
        lambda at: at.counts.hedged,
    ),
    Figure(
        "understudy_attempts_lost_total",
        "Cancelled attempts that another one was faster than.",
        lambda at: at.counts.lost,
    ),
    Figure(
        "understudy_attempts_broken_total",
        "Attempts that failed after their first content.",
        lambda at: at.counts.broken,
    ),
    Figure(
        "understudy_skips_total",
        "Times that a request passed the backend over without asking it, by reason.",
        _skips,
        "reason",
    ),
    Durations(
        "understudy_attempt_duration_seconds",
        "From an attempt's start to its end, for successes and failures.",
        lambda at: at.counts.latency,
        BACKEND_BOUNDS,
    ),
    Durations(
        "understudy_attempt_first_content_seconds",
        "From an attempt's start to the first content of its answer, all of it if it is not streamed.",
        lambda at: at.counts.first_content,
        BACKEND_BOUNDS,
    ),
    Figure("understudy_input_tokens_total", "Tokens of prompts.", lambda at: at.counts.input_tokens),
    Figure("understudy_output_tokens_total", "Tokens of answers.", lambda at: at.counts.output_tokens),
    Figure(
        "understudy_estimated_tokens_total",
        "Of input and output tokens, those that are estimates: the backend did not count them.",
        lambda at: at.counts.estimated_tokens,
    ),
    Figure(
        "understudy_cached_tokens_total",
        "Of input tokens, those that were read from a prompt cache.",
        lambda at: at.counts.cached_tokens,
    ),
    Figure(
        "understudy_cache_write_tokens_total",
        "Of input tokens, those that were written to a prompt cache.",
        lambda at: at.counts.cache_write_tokens,
    ),
    Figure(
        "understudy_reasoning_tokens_total",
        "Of output tokens, those that were thought and not said, as far as backends tell.",
        lambda at: at.counts.reasoning_tokens,
    ),
    Figure(
        "understudy_cost_usd_total",
        "US dollars that attempts cost, by outcome; no series without a price.",
        _cost,
        "outcome",
    ),
    Figure(
        "understudy_estimated_cost_usd_total",
        "Of the cost, what is based on estimated tokens; no series without a price.",
        lambda at: at.bill.estimated,
    ),
    Figure(
        "understudy_attempts_unpriced_total",
        "Attempts that have ended and are not in the cost, because their price is not known.",
        lambda at: at.bill.unpriced,
    ),
    Figure(
        "understudy_malformed_events_total",
        "Events of streams that could not be read and were dropped.",
        lambda at: at.counts.malformed_events,
    ),
    Figure(
        "understudy_tokens_per_minute",
        "Tokens in and out over the last five minutes, as TPM in the statistics.",
        lambda at: at.member.window.tpm(at.now) or 0.0,
    ),
    Figure(
        "understudy_serving_tokens_per_minute",
        "Visible tokens per minute of generating them; no series without evidence.",
        lambda at: at.member.window.serving_rate(at.now),
        across=Across.EACH,
    ),
    Figure(
        "understudy_breaker_state",
        "1 for the state that the circuit is in, 0 for the others.",
        _breaker,
        "state",
        Across.EACH,
    ),
    Figure(
        "understudy_breaker_next_probe_seconds",
        "Until a request may probe the backend, 0 if it may now; no series while the circuit is closed.",
        _until_probe,
        across=Across.EACH,
    ),
    Figure(
        "understudy_bench_remaining_seconds",
        "How long the backend is still left alone because it asked for that; 0 if it is not.",
        lambda at: max(0.0, at.member.benched_until - at.now),
        across=Across.EACH,
    ),
    Figure(
        "understudy_provider_limit_remaining_seconds",
        "How long the backend's limit is still used up, by its own account; 0 if it is not.",
        lambda at: max(0.0, at.member.health.exhausted_until - at.now),
        across=Across.EACH,
    ),
    Figure(
        "understudy_backend_usable",
        "1 if the backend may be asked at all; 0 if it is drained, or lacks a key or a profile.",
        lambda at: float(not at.member.is_listed_only),
        across=Across.EACH,
    ),
    Figure(
        "understudy_ceiling_used",
        "What is used of each ceiling that is set: now, or in the last minute.",
        lambda at: {key: ceiling.used for key, ceiling in _ceilings(at).items()},
        "ceiling",
    ),
    Figure(
        "understudy_ceiling_limit",
        "What each ceiling that is set allows.",
        lambda at: {key: ceiling.limit for key, ceiling in _ceilings(at).items()},
        "ceiling",
    ),
)
