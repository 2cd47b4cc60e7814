"""What a scrape shows, of pools on a stage and of a gateway that runs."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from prometheus_client.samples import Sample

from tests.core.stage import Stage
from tests.runtime.house import completion, refusal, speech
from understudy import Balancer, LoadBalancerProfile, StandardProfile, __version__
from understudy.config.pool import make_pool
from understudy.core.facts import Price
from understudy.core.latency import Latency
from understudy.core.outcome import Tokens
from understudy.core.settings import Ceilings, HedgeSettings
from understudy.core.stats import Stats
from understudy.errors import FailureKind, SkipReason
from understudy.faults import FaultProvider
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served
from understudy.gateway.server import Server
from understudy.observe.prometheus import (
    BACKEND_BOUNDS,
    GATEWAY_BOUNDS,
    OF_BACKEND,
    OF_BUDGETS,
    OF_GATEWAY,
    OF_PROFILE,
    ServedPool,
    Snapshot,
    exposition,
)
from understudy.testing import ManualClock, Reply, ScriptedTransport

PAPER = Path(__file__).parents[2] / "docs" / "metrics.md"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"


CEILINGS = Ceilings(tokens=10_000, requests=60, concurrency=8, takeovers=30)


class Scrape:
    """An exposition, parsed."""

    def __init__(self, text: bytes, parse: Any = text_families) -> None:
        self.text = text.decode()
        self.families: list[Metric] = list(parse(self.text))

    @property
    def ours(self) -> list[Metric]:
        return [family for family in self.families if family.name.startswith("understudy_")]

    @property
    def samples(self) -> list[Sample]:
        return [sample for family in self.families for sample in family.samples]

    def all(self, name: str, **labels: str) -> list[Sample]:
        """The series of this name that have these labels."""
        return [s for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        (found,) = self.all(f"understudy_{name}", **labels)
        return float(found.value)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Values by what `label` says."""
        return {sample.labels[label]: sample.value for sample in self.all(f"understudy_{name}", **labels)}


def snapshot(*stages: Stage, own_time: Latency | None = None, inside: int = 0, waiting: int = 0) -> Snapshot:
    pools = [ServedPool(stage.pool, inside, waiting) for stage in stages]
    return Snapshot(pools, own_time or Latency(), stages[0].now if stages else 0.0)


def scrape(*stages: Stage, **gateway: Any) -> Scrape:
    return Scrape(exposition(snapshot(*stages, **gateway))[0])


def request(stage: Stage, name: str, seconds: float = 0.0, tokens: Tokens | None = None) -> None:
    """A stream that answers at once and ends after so many seconds."""
    walk = stage.begin()
    walk.asks(name)
    walk.commits()
    stage.advance(seconds)
    walk.answers(tokens)


def an_evening() -> Stage:
    """Every metric has something to show: of `a` a bench, of `b` an open circuit and a rate, `c` unasked."""
    stage = Stage(
        ["a", "b", "c"], count=1, members={"a": {"price": Price(1000.0, 2000.0), "ceilings": CEILINGS}}
    )
    stage.pool.settings = replace(stage.pool.settings, hedge=HedgeSettings(after=1.0))
    request(stage, "a", 1.0, Tokens(200, 100, False))
    walk = stage.begin()
    walk.asks("a")
    walk.fails("timeout", after=3.0)
    walk.asks("b").malformed_events = 2
    walk.commits()
    stage.advance(0.5)
    walk.answers(Tokens(10, 20, True))
    refused = stage.begin()
    refused.asks("a")
    refused.fails("rate_limited", retry_after=12.0)
    refused.leaves()
    left = stage.begin()
    left.asks("b")
    left.is_abandoned()
    left.leaves()
    stage.begin().asks("b")
    stage.slow("b", 480)
    stage.open("b")
    stage.advance(2)
    return stage


class TestTheRules:
    def test_looking_changes_nothing(self) -> None:
        stage = an_evening()
        stage.advance(30)  # the circuit of b may be probed now
        assert scrape(stage).by("state", "breaker_state", backend="b")["half-open"] == 1
        assert scrape(stage).ours == scrape(stage).ours
        assert stage.member("b").breaker.phase == "open"

    def test_a_snapshot_stays_at_its_instant(self) -> None:
        stage = an_evening()
        taken = snapshot(stage)
        before = Scrape(exposition(taken)[0]).ours
        stage.advance(5)
        request(stage, "c", 1.0, Tokens(5, 5, False))
        assert Scrape(exposition(taken)[0]).ours == before != scrape(stage).ours

    def test_the_registry_is_our_own(self) -> None:
        shown = {family.name for family in scrape(an_evening()).families}
        ours = {
            metric.name.removesuffix("_total")
            for metric in (*OF_GATEWAY, *OF_PROFILE, *OF_BUDGETS, *OF_BACKEND)
        }
        foreign = {family.name for family in prometheus_client.REGISTRY.collect()}
        assert "python_gc_collections" in foreign
        assert shown - ours == {name for name in foreign if name.startswith("process_")} != set()

    def test_a_label_is_a_profile_a_backend_or_a_word(self) -> None:
        closed = {
            "outcome": {"success", "failure", "refused", "cancelled", "lost"},
            "ceiling": {"tpm_limit", "rpm_limit", "max_concurrency", "failover_in_rpm"},
            "result": {"answered", "failed", "cancelled"},
            "kind": set(FailureKind) - {"cancelled"},
            "reason": set(SkipReason),
            "state": {"closed", "open", "half-open"},
            "profile": {"company"},
            "backend": {"a", "b", "c"},
            "version": {__version__},
        }
        seen: dict[str, set[str]] = {}
        for sample in scrape(an_evening()).samples:
            for label, value in sample.labels.items():
                seen.setdefault(label, set()).add(value)
        bounds = seen.pop("le")
        assert seen == closed
        assert bounds == {*map(str, (*BACKEND_BOUNDS, *GATEWAY_BOUNDS)), "+Inf"}

    def test_every_series_of_a_set_is_there_from_the_start_at_zero(self) -> None:
        fresh = scrape(Stage("a"))
        assert fresh.by("kind", "attempt_failures_total") == {
            kind: 0 for kind in FailureKind if kind != "cancelled"
        }
        assert fresh.by("reason", "skips_total") == dict.fromkeys(SkipReason, 0)
        assert fresh.by("outcome", "attempts_total") == {
            "success": 0, "failure": 0, "refused": 0, "cancelled": 0
        }  # fmt: skip
        assert fresh.by("result", "requests_total") == {"answered": 0, "failed": 0, "cancelled": 0}

    def test_what_is_not_known_has_no_series(self) -> None:
        fresh = scrape(Stage("a"))
        assert fresh.all("understudy_serving_tokens_per_minute") == []
        assert fresh.all("understudy_breaker_next_probe_seconds") == []
        assert fresh.all("understudy_cost_usd_total") == []
        assert fresh.all("understudy_estimated_cost_usd_total") == []
        assert fresh.all("understudy_ceiling_limit") == []
        assert fresh.all("understudy_hedge_budget_remaining") == []

    def test_without_a_profile_only_the_gateways_own_are_there(self) -> None:
        assert [family.name for family in scrape().ours if family.samples] == [
            "understudy_build_info", "understudy_gateway_overhead_seconds", "understudy_gateway_draining"
        ]  # fmt: skip


class TestFigures:
    def test_requests_by_how_they_ended(self) -> None:
        shown = scrape(an_evening(), inside=3, waiting=2)
        assert shown.by("result", "requests_total") == {"answered": 2, "failed": 0, "cancelled": 2}
        assert shown.value("requests_in_flight", profile="company") == 1
        assert shown.value("requests_failed_over_total", profile="company") == 1
        assert shown.value("requests_inside", profile="company") == 3
        assert shown.value("requests_waiting", profile="company") == 2

    def test_attempts_by_how_they_ended(self) -> None:
        shown = scrape(an_evening())
        assert shown.by("outcome", "attempts_total", backend="a") == {
            "success": 1, "failure": 1, "refused": 1, "cancelled": 0
        }  # fmt: skip
        assert shown.by("outcome", "attempts_total", backend="b") == {
            "success": 1, "failure": 0, "refused": 0, "cancelled": 1
        }  # fmt: skip
        assert shown.by("backend", "attempts_in_flight") == {"a": 0, "b": 1, "c": 0}
        assert shown.by("backend", "attempt_timeouts_total") == {"a": 1, "b": 0, "c": 0}

    def test_failures_and_refusals_by_kind_add_up_to_the_attempts(self) -> None:
        shown = scrape(an_evening())
        kinds = shown.by("kind", "attempt_failures_total", backend="a")
        assert {kind: count for kind, count in kinds.items() if count} == {"timeout": 1, "rate_limited": 1}
        outcomes = shown.by("outcome", "attempts_total", backend="a")
        assert sum(kinds.values()) == outcomes["failure"] + outcomes["refused"]

    def test_skips_by_reason(self) -> None:
        skips = scrape(an_evening()).by("reason", "skips_total", backend="a")
        assert {reason: count for reason, count in skips.items() if count} == {"benched": 2}

    def test_tokens_and_events(self) -> None:
        shown = scrape(an_evening())
        assert shown.by("backend", "input_tokens_total") == {"a": 200, "b": 10, "c": 0}
        assert shown.by("backend", "output_tokens_total") == {"a": 100, "b": 20, "c": 0}
        assert shown.by("backend", "estimated_tokens_total") == {"a": 0, "b": 30, "c": 0}
        assert shown.by("backend", "malformed_events_total") == {"a": 0, "b": 2, "c": 0}
        assert shown.by("backend", "tokens_per_minute") == {"a": 300, "b": 30, "c": 0}
        assert shown.by("backend", "serving_tokens_per_minute") == {"b": 480}

    def test_tokens_that_have_prices_of_their_own(self) -> None:
        stage = Stage("a")
        request(stage, "a", tokens=Tokens(90, 60, False, None, 30, 20, 10))
        shown = scrape(stage)
        assert shown.value("cached_tokens_total", backend="a") == 30
        assert shown.value("cache_write_tokens_total", backend="a") == 20
        assert shown.value("reasoning_tokens_total", backend="a") == 10

    def test_cost_by_how_attempts_ended(self) -> None:
        """Of an attempt that was cut off the prompt is guessed at a thousand tokens."""
        shown = scrape(an_evening())
        costs = shown.by("outcome", "cost_usd_total", backend="a")
        assert costs == pytest.approx(
            {"success": 0.4, "failure": 1.0, "refused": 0, "cancelled": 0, "lost": 0}
        )
        assert shown.by("backend", "cost_usd_total", outcome="success") == {"a": pytest.approx(0.4)}
        assert shown.by("backend", "estimated_cost_usd_total") == {"a": pytest.approx(1.0)}
        assert shown.by("backend", "attempts_unpriced_total") == {"a": 0, "b": 2, "c": 0}

    def test_what_broke_off_after_content(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("truncated")
        assert scrape(stage).value("attempts_broken_total", backend="a") == 1
        assert scrape(an_evening()).value("attempts_broken_total", backend="a") == 0

    def test_what_budgets_have_room_for(self) -> None:
        stage = an_evening()
        settings = stage.pool.settings
        retries = stage.pool.retries.room(stage.now, settings.retry.budget)
        assert scrape(stage).value("retry_budget_remaining") == retries > 0
        assert scrape(stage).value("hedge_budget_remaining") > 0
        stage.pool.retries.spend(stage.now)
        assert scrape(stage).value("retry_budget_remaining") == retries - 1

    def test_how_long_the_queue_may_get(self) -> None:
        shown = scrape(Stage("a", routing={"queue_limit": 7}))
        assert shown.value("requests_queued_limit", profile="company") == 7

    def test_ceilings_and_what_is_used_of_them(self) -> None:
        shown = scrape(an_evening())
        assert shown.by("ceiling", "ceiling_limit", backend="a") == {
            "tpm_limit": 10_000, "rpm_limit": 60, "max_concurrency": 8, "failover_in_rpm": 30
        }  # fmt: skip
        used = shown.by("ceiling", "ceiling_used", backend="a")
        assert (used["rpm_limit"], used["max_concurrency"], used["failover_in_rpm"]) == (3, 0, 0)
        assert used["tpm_limit"] >= 300
        assert shown.all("understudy_ceiling_used", backend="b") == []

    def test_who_may_be_asked_at_all(self) -> None:
        stage = Stage("abc", problems={"b": SkipReason.NO_KEY})
        stage.member("c").health.drained = True
        assert scrape(stage).by("backend", "backend_usable") == {"a": 1, "b": 0, "c": 0}

    def test_a_limit_that_is_used_up_by_the_providers_own_account(self) -> None:
        stage = Stage("a")
        assert scrape(stage).value("provider_limit_remaining_seconds") == 0
        stage.member("a").exhaust(stage.now, 20)
        stage.advance(5)
        assert scrape(stage).value("provider_limit_remaining_seconds") == 15

    def test_a_gateway_that_drains_says_so(self) -> None:
        assert scrape().value("gateway_draining") == 0
        snapshot = Snapshot([], Latency(), 0.0, draining=True)
        assert Scrape(exposition(snapshot)[0]).value("gateway_draining") == 1

    def test_the_circuit_is_in_one_state(self) -> None:
        stage = an_evening()
        states = {name: scrape(stage).by("state", "breaker_state", backend=name) for name in "ab"}
        assert states == {
            "a": {"closed": 1, "open": 0, "half-open": 0},
            "b": {"closed": 0, "open": 1, "half-open": 0},
        }
        assert scrape(stage).by("backend", "breaker_next_probe_seconds") == {"b": 28}
        stage.advance(40)
        assert scrape(stage).by("state", "breaker_state", backend="b") == {
            "closed": 0, "open": 0, "half-open": 1
        }  # fmt: skip
        assert scrape(stage).by("backend", "breaker_next_probe_seconds") == {"b": 0}

    def test_a_bench_runs_out(self) -> None:
        stage = an_evening()
        assert scrape(stage).by("backend", "bench_remaining_seconds") == {"a": 10, "b": 0, "c": 0}
        stage.advance(60)
        assert scrape(stage).by("backend", "bench_remaining_seconds")["a"] == 0

    def test_the_build_is_named(self) -> None:
        assert scrape().by("version", "build_info") == {__version__: 1}

    def test_durations_are_counted_under_their_bounds(self) -> None:
        shown = scrape(an_evening())
        buckets = shown.by("le", "attempt_duration_seconds_bucket", backend="a")
        assert list(buckets) == [*map(str, BACKEND_BOUNDS), "+Inf"]
        assert (buckets["0.5"], buckets["2.0"], buckets["5.0"], buckets["+Inf"]) == (0, 1, 2, 2)
        assert shown.value("attempt_duration_seconds_count", backend="a") == 2
        assert shown.value("attempt_duration_seconds_sum", backend="a") == 4
        first = shown.by("le", "attempt_first_content_seconds_bucket", backend="b")
        assert (first["0.05"], first["+Inf"]) == (1, 1)

    def test_the_gateways_own_time_has_bounds_of_its_own(self) -> None:
        own_time = Latency()
        for seconds in (0.00015, 0.0003, 0.003):
            own_time.record(seconds)
        buckets = scrape(own_time=own_time).by("le", "gateway_overhead_seconds_bucket")
        assert list(buckets) == [*map(str, GATEWAY_BOUNDS), "+Inf"]
        assert (buckets["0.0001"], buckets["0.0002"], buckets["0.001"], buckets["0.005"]) == (0, 1, 2, 3)

    def test_profiles_are_told_apart(self) -> None:
        one, other = an_evening(), Stage("ab")
        other.pool.profile = "other"
        shown = scrape(one, other)
        assert shown.by("profile", "requests_total", result="answered") == {"company": 2, "other": 0}
        assert {family.name for family in shown.ours} == {family.name for family in scrape(one).ours}


class TestTheText:
    @pytest.mark.parametrize("accept", [None, "", "*/*", "text/plain", "text/plain;version=x", "nonsense"])
    def test_is_prometheus_own_by_default(self, accept: str | None) -> None:
        text, content_type = exposition(snapshot(an_evening()), accept)
        assert content_type == TEXT
        assert Scrape(text).ours == scrape(an_evening()).ours

    @pytest.mark.parametrize("version", ["", ";version=1.0.0"])
    def test_is_openmetrics_where_that_is_asked_for(self, version: str) -> None:
        text, content_type = exposition(snapshot(an_evening()), f"{OPENMETRICS}{version},text/plain;q=0.1")
        assert content_type.startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
        assert text.endswith(b"# EOF\n")
        shown = Scrape(text, openmetrics_families).ours
        assert [family.samples for family in shown] == [
            family.samples for family in scrape(an_evening()).ours
        ]
        units = {family.name: family.unit for family in shown}
        assert units["understudy_attempt_duration_seconds"] == "seconds"
        assert units["understudy_input_tokens"] == "tokens"
        assert units["understudy_cost_usd"] == "usd"

    def test_is_the_default_where_the_version_asked_for_is_nonsense(self) -> None:
        assert exposition(snapshot(), f"{OPENMETRICS};version=two")[1] == TEXT

    @pytest.mark.parametrize("parse", [text_families, openmetrics_families])
    def test_escapes_what_a_label_says(self, parse: Any) -> None:
        stage = Stage(['say "hi"\\n\n{x="y"} käse #2'])
        stage.pool.profile = 'C:\\new "home"'
        text, _ = exposition(snapshot(stage), OPENMETRICS if parse is openmetrics_families else None)
        (found,) = Scrape(text, parse).all("understudy_attempts_in_flight")
        assert found.labels == {"profile": stage.pool.profile, "backend": stage.pool.members[0].name}


# What `promtool check metrics` looks at, and some that its words ask for

_TYPES = {"counter", "gauge", "histogram", "summary"}
_ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h", "d"}
_NOT_BASE = {"minutes", "hours", "days", "weeks", "milliseconds", "microseconds", "kilobytes", "percent"}


def exposed() -> list[Metric]:
    return scrape(an_evening(), own_time=Latency()).ours


@pytest.mark.parametrize("family", exposed(), ids=lambda family: family.name)
class TestAName:
    def test_is_in_snake_case_with_our_prefix_and_without_type_or_abbreviation(self, family: Metric) -> None:
        assert re.fullmatch(r"understudy(_[a-z]+)+", family.name)
        words = set(family.name.split("_"))
        assert not words & (_TYPES | _ABBREVIATIONS | _NOT_BASE)

    def test_ends_in_total_if_it_is_a_counter_and_only_then(self, family: Metric) -> None:
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
        names = {sample.name for sample in family.samples}
        assert names == {family.name + suffix for suffix in suffixes[family.type]}
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))

    def test_has_its_unit_at_the_end(self, family: Metric) -> None:
        """But for tokens per minute, which are what the settings are in."""
        for unit in ("seconds", "tokens", "bytes"):
            if unit in family.name.split("_") and not family.name.endswith("tokens_per_minute"):
                assert family.name.endswith(f"_{unit}")

    def test_has_one_type_and_a_sentence_of_help(self, family: Metric) -> None:
        assert family.type in _TYPES
        assert re.fullmatch(r"[A-Z0-9].{10,110}\.", family.documentation)

    def test_has_labels_in_snake_case_that_are_not_reserved(self, family: Metric) -> None:
        labels = {label for sample in family.samples for label in sample.labels}
        assert ("le" in labels) == (family.type == "histogram")
        assert not labels & {"quantile", "job", "instance", *_TYPES}
        assert all(re.fullmatch("[a-z]+", label) for label in labels)

    def test_has_series_that_differ(self, family: Metric) -> None:
        told = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(told) == len(set(told))


@pytest.mark.parametrize("family", [f for f in exposed() if f.type == "histogram"], ids=lambda f: f.name)
def test_a_histogram_rises_to_its_count(family: Metric) -> None:
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    totals: dict[tuple[str, str], float] = {}
    for sample in family.samples:
        place = (sample.labels.get("profile", ""), sample.labels.get("backend", ""))
        if sample.name.endswith("_bucket"):
            series.setdefault(place, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            totals[place] = sample.value
    assert series.keys() == totals.keys()
    for place, buckets in series.items():
        bounds, counts = zip(*buckets, strict=True)
        assert list(bounds) == sorted(bounds)
        assert list(counts) == sorted(counts)
        assert buckets[-1] == (math.inf, totals[place])


class TestThePaper:
    def test_shows_every_metric_as_it_is(self) -> None:
        shown = {
            _documented(family): [family.type, _labels(family), family.documentation] for family in exposed()
        }
        assert {name: row for name, row in _rows().items() if name.startswith("understudy_")} == shown

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the process shows where there is /proc")
    def test_shows_those_of_the_process(self) -> None:
        shown = {_documented(family): family.type for family in scrape().families if family not in exposed()}
        shown = {name: type_ for name, type_ in shown.items() if name.startswith("process_")}
        assert {name: row[0] for name, row in _rows().items() if name.startswith("process_")} == shown

    def test_names_the_bounds(self) -> None:
        text = " ".join(PAPER.read_text().split())
        for bounds in (BACKEND_BOUNDS, GATEWAY_BOUNDS):
            assert " ".join(f"{bound:g}" for bound in bounds) in text

    def test_asks_for_metrics_that_exist(self) -> None:
        questions = PAPER.read_text().partition("## Questions")[2]
        asked = set(re.findall(r"\bunderstudy_[a-z_]+", questions))
        assert asked
        assert asked <= {sample.name for family in exposed() for sample in family.samples}


def _rows() -> dict[str, list[str]]:
    """The paper's tables, by name: type, labels and meaning."""
    lines = [line for line in PAPER.read_text().splitlines() if line.startswith("| `")]
    rows = {
        name.strip("`"): rest
        for name, *rest in ([*map(str.strip, line.strip("| ").split(" | "))] for line in lines)
    }
    assert len(rows) == len(lines)
    return rows


def _documented(family: Metric) -> str:
    return family.name + "_total" * (family.type == "counter")


def _labels(family: Metric) -> str:
    """Profile and backend first, as the paper has them."""
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    order = ("profile", "backend", *sorted(labels - {"profile", "backend"}))
    return ", ".join(f"`{label}`" for label in order if label in labels) or "none"


# A gateway that runs

SETTINGS = {"failover_retry_count": 1}


class Evening:
    """A gateway whose profile ``pair`` has the members ``a`` and ``b``, which play these scripts."""

    def __init__(self, a: Sequence[Reply] = (), b: Sequence[Reply] = (), *, keys: str = "") -> None:
        self.clock = ManualClock()
        urls = {"a": "http://a.test/v1", "b": "http://b.test/v1"}
        scripts = {f"{urls['a']}/chat/completions": [*a], f"{urls['b']}/chat/completions": [*b]}
        self.members = [
            StandardProfile(name, "openai", "m", settings={"base-url": url}) for name, url in urls.items()
        ]
        self.lb = Balancer(
            LoadBalancerProfile("pair", "failover", ("a", "b"), settings=SETTINGS),
            self.members,
            clock=self.clock,
            transport=ScriptedTransport(self.clock, scripts),
        )
        self.door = Door(8, 8, 1.0)
        profiles = Profiles({"pair": Served("pair", self.lb, self.door)})
        self.gateway = Gateway(profiles, keys=Keys(keys), clock=self.clock)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.gateway), base_url="http://gateway.test"
        )

    async def ask(self, *, stream: bool = False) -> httpx.Response:
        body = {"model": "pair", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
        return await self.client.post("/v1/chat/completions", json=body)

    async def get(self, **headers: str) -> httpx.Response:
        return await self.client.get("/metrics", headers=headers)

    async def scrape(self) -> Scrape:
        answer = await self.get()
        assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT)
        return Scrape(answer.content)


def check_against(shown: Scrape, stats: Stats) -> None:
    """The scrape shows the figures of the statistics."""
    profile = {"profile": stats.profile}
    assert shown.by("result", "requests_total", **profile) == {
        "answered": stats.answered, "failed": stats.failed, "cancelled": stats.cancelled
    }  # fmt: skip
    assert shown.value("requests_in_flight", **profile) == stats.in_flight
    assert shown.value("requests_failed_over_total", **profile) == stats.failed_over
    assert shown.value("requests_recovered_total", **profile) == stats.recovered
    assert shown.value("requests_hedged_total", **profile) == stats.hedged
    assert shown.value("requests_unretried_total", **profile) == stats.unretried
    assert shown.value("requests_panicked_total", **profile) == stats.panicked
    for backend in stats.backends:
        place = {**profile, "backend": backend.name}
        assert shown.by("outcome", "attempts_total", **place) == {
            "success": backend.successes,
            "failure": backend.failures,
            "refused": backend.refused,
            "cancelled": backend.cancelled,
        }
        kinds = shown.by("kind", "attempt_failures_total", **place)
        assert {kind: count for kind, count in kinds.items() if count} == backend.by_kind
        skips = shown.by("reason", "skips_total", **place)
        assert {reason: count for reason, count in skips.items() if count} == backend.skips
        assert shown.value("attempts_in_flight", **place) == backend.in_flight
        assert shown.value("attempt_timeouts_total", **place) == backend.timeouts
        assert shown.value("attempts_recovered_total", **place) == backend.recovered
        assert shown.value("attempts_hedged_total", **place) == backend.hedged
        assert shown.value("attempts_lost_total", **place) == backend.lost
        assert shown.value("input_tokens_total", **place) == backend.input_tokens
        assert shown.value("output_tokens_total", **place) == backend.output_tokens
        assert shown.value("estimated_tokens_total", **place) == backend.estimated
        assert shown.value("malformed_events_total", **place) == backend.malformed_events
        assert shown.value("attempts_broken_total", **place) == backend.broken
        assert shown.value("attempts_unpriced_total", **place) == backend.bill.unpriced
        assert sum(shown.by("outcome", "cost_usd_total", **place).values()) == pytest.approx(
            backend.bill.usd or 0.0
        )
        assert shown.value("tokens_per_minute", **place) == pytest.approx(backend.tpm, abs=1e-3)
        assert shown.value("attempt_duration_seconds_count", **place) == backend.successes + backend.failures
        assert shown.value("attempt_duration_seconds_sum", **place) == pytest.approx(
            backend.total_latency_ms / 1000, abs=1e-6
        )
        states = shown.by("state", "breaker_state", **place)
        assert [state for state, on in states.items() if on] == [backend.circuit_breaker.state]


class TestTheGateway:
    async def test_shows_the_figures_of_its_statistics(self) -> None:
        evening = Evening(
            [refusal(500), completion(), refusal(429, retry_after="7")], [completion(), speech("To", " be")]
        )
        for stream in (False, False, True):
            assert (await evening.ask(stream=stream)).status_code == 200
        shown = await evening.scrape()
        check_against(shown, evening.lb.stats())
        assert shown.value("requests_total", profile="pair", result="answered") == 3
        assert shown.value("gateway_overhead_seconds_count") == 3

    async def test_counts_who_is_inside_and_who_waits(self) -> None:
        evening = Evening()
        for _ in range(8):
            await evening.door.enter()
        waiting = asyncio.ensure_future(evening.door.enter())
        await asyncio.sleep(0)
        shown = await evening.scrape()
        assert shown.value("requests_inside", profile="pair") == 8
        assert shown.value("requests_waiting", profile="pair") == 1
        evening.door.leave()
        await waiting

    async def test_asks_for_a_clients_key(self) -> None:
        evening = Evening(keys="prometheus=k1")
        assert (await evening.get()).status_code == 401
        assert (await evening.get(authorization="Bearer k1")).status_code == 200

    async def test_speaks_openmetrics_to_who_asks(self) -> None:
        answer = await Evening().get(accept=f"{OPENMETRICS};version=1.0.0")
        assert answer.headers["content-type"].startswith(f"{OPENMETRICS}; version=1.0.0")
        assert Scrape(answer.content, openmetrics_families).ours

    async def test_takes_get_only(self) -> None:
        assert (await Evening().client.post("/metrics")).status_code == 405

    async def test_without_the_library_tells_how_to_install_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "understudy.observe.prometheus")
        monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
        answer = await Evening().get()
        assert answer.status_code == 501
        assert answer.json()["error"]["code"] == "not_implemented"
        assert "pip install 'understudy[gateway]'" in answer.json()["error"]["message"]

    async def test_goes_on_counting_when_a_profile_is_loaded_anew(self) -> None:
        evening = Evening([completion(), completion()])
        await evening.ask()
        before = (await evening.scrape()).by("outcome", "attempts_total", backend="a")
        settings = {**SETTINGS, "timeout_ms": 9000}
        profile = LoadBalancerProfile("pair", "failover", ("a", "b"), settings=settings)
        evening.lb.reload(make_pool(profile, evening.members, {}))
        await evening.ask()
        after = await evening.scrape()
        assert before["success"] == 1
        assert after.by("outcome", "attempts_total", backend="a")["success"] == 2
        assert after.value("requests_total", profile="pair", result="answered") == 2

    async def test_forgets_a_profile_that_is_no_longer_served(self) -> None:
        evening = Evening([completion()])
        await evening.ask()
        evening.gateway.conversations.profiles = Profiles({})
        assert not [sample for sample in (await evening.scrape()).samples if "profile" in sample.labels]


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[str]:
    """The gateway on a port; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(gateway, listener)
    ready = asyncio.Event()
    serving = asyncio.ensure_future(server.run_until_stopped(ready.set))
    await ready.wait()
    try:
        yield server.url
    finally:
        server.stop(delay=False)
        await serving


async def test_a_scrape_over_the_wire() -> None:
    async with FaultProvider("status 500") as lead, FaultProvider("fine") as second:
        members = [
            StandardProfile("lead", "openai", "m", settings={"base-url": lead.base_url}),
            StandardProfile("second", "openai", "m", settings={"base-url": second.base_url}),
        ]
        profile = LoadBalancerProfile("evening", "failover", ("lead", "second"), settings=SETTINGS)
        lb = Balancer(profile, members)
        gateway = Gateway(Profiles({"evening": Served("evening", lb, Door(8, 8, 1.0))}))
        async with running(gateway) as url, httpx.AsyncClient(base_url=url) as client:
            for streams in (False, True, True, False, True):
                body = {"model": "evening", "stream": streams, "messages": [{"role": "user", "content": "?"}]}
                assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
            answer = await client.get("/metrics")
            shown = Scrape(answer.content)
            assert answer.headers["content-type"] == TEXT
            check_against(shown, lb.stats())
            assert shown.by("outcome", "attempts_total", backend="lead")["failure"] == 3
            assert shown.by("state", "breaker_state", backend="lead")["open"] == 1
            assert shown.value("requests_failed_over_total") == 3
            assert shown.value("gateway_overhead_seconds_count") == 5
            assert shown.all("process_resident_memory_bytes")[0].value > 1e6
