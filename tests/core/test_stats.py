"""What a pool looks like at one instant: the JSON's keys and the table's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.stage import Stage, failure
from understudy.core.breaker import State
from understudy.core.facts import Price
from understudy.core.latency import bucket_of
from understudy.core.outcome import Tokens
from understudy.core.settings import Ceilings, Timeouts
from understudy.core.stats import Stats, backend_lines, stats
from understudy.errors import SkipReason


def seen(stage: Stage) -> Stats:
    return stats(stage.pool, stage.now, lambda at: f"instant {at:.0f}")


def request(stage: Stage, name: str, seconds: float, tokens: Tokens | None = None) -> None:
    """A stream that answers at once and ends after so many seconds."""
    walk = stage.begin()
    walk.asks(name)
    walk.commits()
    stage.advance(seconds)
    walk.answers(tokens)


def an_evening() -> Stage:
    """Six answers and two failures of the first member, four by the second, one never asked."""
    stage = Stage(["synthetic", "chutes", "groqgpt"], count=1)
    for _ in range(6):
        request(stage, "synthetic", 1.0, Tokens(200, 200, False))
    for kind in ("timeout", "auth"):
        walk = stage.begin()
        walk.asks("synthetic")
        walk.fails(kind, after=3.0)
        walk.asks("chutes")
        walk.commits()
        stage.advance(0.5)
        walk.answers(Tokens(10, 20, True))
    stage.open("synthetic")
    for _ in range(2):
        request(stage, "chutes", 0.5)
    return stage


KEYS = [
    "requests", "successes", "failures", "timeouts", "refused", "cancelled", "in_flight", "tokens",
    "input_tokens", "output_tokens", "estimated", "malformed_events", "total_latency_ms",
    "avg_latency_ms", "latency_ms", "first_content_ms", "tpm", "serving_rate", "by_kind",
    "refused_by_kind", "skips", "bench_remaining_ms", "problem", "drained", "load_ms", "exhausted_ms",
    "ceilings", "slow_start", "recovered", "hedged", "lost", "patience_ms", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens",
    "broken", "cost_usd", "cost_partial", "wasted_usd", "estimated_usd", "unpriced", "circuit_breaker",
]  # fmt: skip
POOL_KEYS = [
    "profile", "policy", "total_requests", "answered", "failed", "cancelled", "in_flight", "failed_over",
    "waiting", "recovered", "hedged", "unretried", "panicked", "cost_usd", "cost_partial", "wasted_usd",
    "estimated_usd", "unpriced", "backends",
]  # fmt: skip


class TestJson:
    def test_has_exactly_these_keys(self) -> None:
        shown = seen(an_evening()).to_dict()
        assert list(shown) == POOL_KEYS
        assert list(shown["backends"]) == ["synthetic", "chutes", "groqgpt"]
        for backend in shown["backends"].values():
            assert list(backend) == KEYS
            assert list(backend["latency_ms"]) == list(backend["first_content_ms"]) == ["p50", "p95", "p99"]
            assert list(backend["circuit_breaker"]) == [
                "state", "failures", "opened_at", "next_probe_in_ms", "last_failure", "forced",
            ]  # fmt: skip

    def test_is_json(self) -> None:
        shown = seen(an_evening()).to_dict()
        assert json.loads(json.dumps(shown)) == shown

    def test_holds_the_pools_figures(self) -> None:
        stage = an_evening()
        stage.begin()
        shown = seen(stage).to_dict()
        del shown["backends"]
        assert shown == {
            "profile": "company",
            "policy": "failover",
            "total_requests": 11,
            "answered": 10,
            "failed": 0,
            "cancelled": 0,
            "in_flight": 1,
            "failed_over": 2,
            "waiting": 0,
            "recovered": 0,
            "hedged": 0,
            "unretried": 0,
            "panicked": 0,
            "cost_usd": None,
            "cost_partial": True,
            "wasted_usd": None,
            "estimated_usd": None,
            "unpriced": 12,
        }

    def test_holds_a_members_figures(self) -> None:
        shown = seen(an_evening()).to_dict()["backends"]["synthetic"]
        assert {key: shown[key] for key in KEYS[:12]} == {
            "requests": 8,
            "successes": 6,
            "failures": 2,
            "timeouts": 1,
            "refused": 0,
            "cancelled": 0,
            "in_flight": 0,
            "tokens": 2400,
            "input_tokens": 1200,
            "output_tokens": 1200,
            "estimated": 0,
            "malformed_events": 0,
        }
        assert shown["total_latency_ms"] == 12_000.0
        assert shown["avg_latency_ms"] == 1500.0
        assert shown["latency_ms"]["p50"] == pytest.approx(1000, rel=0.02)
        assert shown["latency_ms"]["p99"] == pytest.approx(3000, rel=0.02)
        assert shown["tpm"] == 2400.0
        assert shown["serving_rate"] is None
        assert shown["by_kind"] == {"timeout": 1, "auth": 1}
        assert shown["skips"] == {"circuit_open": 2}
        assert shown["bench_remaining_ms"] == 0.0
        assert shown["problem"] is None

    def test_estimated_tokens_are_marked(self) -> None:
        shown = seen(an_evening()).to_dict()["backends"]["chutes"]
        assert (shown["tokens"], shown["estimated"]) == (60, 60)

    def test_the_circuit_shows_when_it_opened_and_when_it_is_probed(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(10)
        circuit = seen(stage).to_dict()["backends"]["a"]["circuit_breaker"]
        assert circuit == {
            "state": "open",
            "failures": 3,
            "opened_at": "instant 1000",
            "next_probe_in_ms": 20_000.0,
            "last_failure": "instant 1000",
            "forced": False,
        }
        stage.advance(25)
        circuit = seen(stage).to_dict()["backends"]["a"]["circuit_breaker"]
        assert (circuit["state"], circuit["next_probe_in_ms"]) == ("half-open", 0.0)

    def test_a_closed_circuit_has_neither(self) -> None:
        circuit = seen(Stage("a")).to_dict()["backends"]["a"]["circuit_breaker"]
        assert circuit == {
            "state": "closed",
            "failures": 0,
            "opened_at": None,
            "next_probe_in_ms": None,
            "last_failure": None,
            "forced": False,
        }

    def test_one_that_is_forced_open_has_no_next_probe(self) -> None:
        stage = Stage("a")
        stage.member("a").breaker.force(State.OPEN, stage.now)
        circuit = seen(stage).to_dict()["backends"]["a"]["circuit_breaker"]
        assert (circuit["state"], circuit["forced"], circuit["next_probe_in_ms"]) == ("open", True, None)

    def test_a_drained_member_says_so(self) -> None:
        stage = Stage("ab")
        stage.member("a").health.drained = True
        shown = seen(stage)
        assert [backend["drained"] for backend in shown.to_dict()["backends"].values()] == [True, False]
        assert str(shown).count("    Drained: by an operator") == 1

    def test_nor_has_one_that_is_switched_off(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.set(breaker={"enabled": False})
        circuit = seen(stage).to_dict()["backends"]["a"]["circuit_breaker"]
        assert (circuit["state"], circuit["opened_at"], circuit["next_probe_in_ms"]) == ("closed", None, None)

    def test_a_bench_and_a_problem_show(self) -> None:
        stage = Stage(problems={"b": SkipReason.NO_KEY})
        stage.member("a").benched_until = stage.now + 1.5
        shown = seen(stage).to_dict()["backends"]
        assert shown["a"]["bench_remaining_ms"] == 1500.0
        assert shown["b"]["problem"] == "no_key"

    def test_a_measured_rate_shows(self) -> None:
        stage = Stage("a")
        stage.slow("a", 1234.5678)
        assert seen(stage).to_dict()["backends"]["a"]["serving_rate"] == 1234.568


def test_a_look_is_frozen() -> None:
    with pytest.raises(AttributeError):
        seen(Stage()).profile = "other"  # type: ignore[misc]


def test_looking_changes_nothing() -> None:
    stage = an_evening()
    stage.advance(30)
    assert seen(stage) == seen(stage)
    assert stage.member("synthetic").breaker.phase.value == "open"


TABLE = """\
Load Balancer Statistics
Profile: company
Total Requests: 10

Backend Metrics:
  synthetic
    Requests: 8
    Success Rate: 75.0%
    Avg Latency: 1500ms
    Tokens: 2400
    TPM: 2400
    Failures: 2
    Timeouts: 1
    Latency p95: 2953ms
    First Content p95: 0ms
    Skipped: circuit_open 2
  chutes
    Requests: 4
    Success Rate: 100.0%
    Avg Latency: 500ms
    Tokens: 60
    TPM: 60
    Failures: 0
    Latency p95: 495ms
    First Content p95: 0ms
  groqgpt
    Requests: 0
    Success Rate: N/A
    Avg Latency: N/A
    Tokens: 0
    TPM: 0
    Failures: 0

Circuit Breaker States:
  synthetic: open
  chutes: closed
  groqgpt: closed"""


class TestTable:
    def test_has_these_labels_in_this_order(self) -> None:
        assert str(seen(an_evening())) == TABLE

    def test_milliseconds_are_whole(self) -> None:
        stage = Stage("a")
        request(stage, "a", 1.4562)
        assert ("Avg Latency", "1456ms") in backend_lines(seen(stage).backends[0])

    def test_what_is_not_zero_is_worth_a_line(self) -> None:
        stage = Stage("a", problems={"a": SkipReason.MISSING})
        a = stage.member("a")
        a.problem = None
        walk = stage.begin()
        walk.asks("a").malformed_events = 2
        walk.fails("rate_limited", retry_after=30.0)
        walk.leaves()
        a.benched_until = stage.now
        left = stage.begin()
        left.asks("a")
        left.leaves()
        stage.begin().asks("a")
        a.problem = SkipReason.MISSING
        a.benched_until = stage.now + 12.0
        stage.slow("a", 480)
        assert backend_lines(seen(stage).backends[0]) == [
            ("Requests", "3"),
            ("Success Rate", "N/A"),
            ("Avg Latency", "N/A"),
            ("Tokens", "0"),
            ("TPM", "0"),
            ("Failures", "0"),
            ("Refused", "1 (rate_limited 1)"),
            ("Cancelled", "1"),
            ("In Flight", "1"),
            ("Serving Rate", "480"),
            ("Malformed Events", "2"),
            ("Benched For", "12000ms"),
            ("Problem", "missing"),
        ]

    def test_rescues_are_worth_a_line_where_there_were_any(self) -> None:
        stage = Stage("ab")
        stage.pool.metrics.recovered, stage.pool.metrics.hedged, stage.pool.metrics.unretried = 1, 2, 3
        stage.pool.metrics.panicked = 7
        metrics = stage.member("a").metrics
        metrics.recovered, metrics.hedged, metrics.lost = 4, 5, 6
        shown = seen(stage)
        assert str(shown).splitlines()[2:7] == [
            "Total Requests: 0",
            "Recovered: 1",
            "Hedged: 2",
            "Not Asked Again: 3",
            "Panicked: 7",
        ]
        assert backend_lines(shown.backends[0])[-3:] == [("Recovered", "4"), ("Hedged", "5"), ("Lost", "6")]
        told = shown.to_dict()
        assert (told["recovered"], told["hedged"], told["unretried"], told["panicked"]) == (1, 2, 3, 7)
        a = told["backends"]["a"]
        assert (a["recovered"], a["hedged"], a["lost"]) == (4, 5, 6)


class TestRouting:
    """What steers load: ceilings, slow start, load and patience."""

    def shown(self, stage: Stage, name: str = "a") -> dict[str, Any]:
        backend: dict[str, Any] = seen(stage).to_dict()["backends"][name]
        return backend

    def lines(self, stage: Stage) -> dict[str, str]:
        return dict(backend_lines(seen(stage).backends[0]))

    def test_where_nothing_steers_there_is_nothing_to_see(self) -> None:
        shown = self.shown(Stage("a"))
        assert (shown["load_ms"], shown["exhausted_ms"], shown["slow_start"]) == (None, 0.0, None)
        assert (shown["ceilings"], shown["patience_ms"]) == ({}, {})
        steering = {"Limit Used Up For", "Ceilings", "Expected First Content", "First Content Limit"}
        assert not (steering | {"Slow Start"}) & self.lines(Stage("a")).keys()

    def test_ceilings_show_what_is_used_of_them(self) -> None:
        limits = Ceilings(tokens=9000, requests=50, concurrency=4, takeovers=7)
        stage = Stage("ab", members={"a": {"ceilings": limits}})
        stage.begin().asks("a")
        assert self.shown(stage)["ceilings"] == {
            "tpm_limit": {"used": 1500, "limit": 9000},
            "rpm_limit": {"used": 1, "limit": 50},
            "max_concurrency": {"used": 1, "limit": 4},
            "failover_in_rpm": {"used": 0, "limit": 7},
        }
        assert self.lines(stage)["Ceilings"] == (
            "tpm_limit 1500/9000, rpm_limit 1/50, max_concurrency 1/4, failover_in_rpm 0/7"
        )

    def test_only_ceilings_that_are_set_show(self) -> None:
        stage = Stage("a", members={"a": {"ceilings": Ceilings(requests=50)}})
        assert list(self.shown(stage)["ceilings"]) == ["rpm_limit"]

    def test_a_slow_start_shows_until_it_is_over(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        walk.answers()
        stage.advance(15)
        assert self.shown(stage)["slow_start"] == {"share": 0.5, "at_once": 2, "remaining_ms": 15_000.0}
        assert self.lines(stage)["Slow Start"] == "50%, 2 at once"
        stage.advance(15)
        assert self.shown(stage)["slow_start"] is None

    def test_the_load_shows_once_it_is_measured(self) -> None:
        stage = Stage("a", "fastest")
        walk = stage.begin()
        walk.asks("a")
        stage.advance(0.25)
        walk.answers()
        assert self.shown(stage)["load_ms"] == 250.0
        assert self.lines(stage)["Expected First Content"] == "250ms"

    def test_where_nothing_was_streamed_it_is_that_of_whole_answers(self) -> None:
        stage = Stage("a", "fastest")
        for stream, seconds, shown in ((False, 4.0, 4000.0), (True, 0.5, 500.0)):
            walk = stage.begin(stream=stream)
            walk.asks("a")
            stage.advance(seconds)
            walk.answers()
            assert self.shown(stage)["load_ms"] == shown

    def test_a_used_up_limit_shows_until_its_reset(self) -> None:
        stage = Stage("a")
        stage.member("a").exhaust(stage.now, 12.5)
        assert self.shown(stage)["exhausted_ms"] == 12_500.0
        assert self.lines(stage)["Limit Used Up For"] == "12500ms"

    def test_patience_shows_by_size_where_the_clock_is_adaptive(self) -> None:
        members: dict[str, dict[str, Any]] = {
            "a": {"timeouts": Timeouts(first_content=10.0)},
            "b": {"adaptive": False},
        }
        stage = Stage("ab", members=members)
        for size, seconds in ((500, 0.5), (5000, 8.0)):
            for _ in range(30):
                stage.member("a").health.patience.of(stage.now, size).began(stage.now, bucket_of(seconds))
                stage.member("b").health.patience.of(stage.now, size).began(stage.now, bucket_of(seconds))
        assert self.shown(stage)["patience_ms"] == {
            "1024": pytest.approx(1500, rel=0.1),
            "16384": 10_000.0,
        }
        assert "10000ms up to 16384 tokens" in self.lines(stage)["First Content Limit"]
        assert self.shown(stage, "b")["patience_ms"] == {}

    def test_who_waits_is_counted(self) -> None:
        stage = Stage("a", members={"a": {"ceilings": Ceilings(concurrency=1)}})
        stage.begin().asks("a")
        stage.begin().waits()
        assert seen(stage).to_dict()["waiting"] == 1

    def test_money_is_worth_a_line_where_some_was_spent(self) -> None:
        price = {"price": Price(2.0, 10.0)}
        stage = Stage("abc", members={"a": price, "b": price}, count=1)
        assert not any("Cost" in line for line in str(seen(stage)).splitlines())
        walk = stage.begin()
        walk.asks("a")
        walk.settle(failure("truncated"), Tokens(1000, 500, True))
        walk.asks("b")
        walk.answers(Tokens(200_000, 100_000, False))
        shown = seen(stage)
        assert "Cost: $1.41 ($0.007000 of it wasted, $0.007000 by estimate)" in str(shown).splitlines()
        a, b, c = shown.backends
        assert ("Cost", "$0.007000 ($0.007000 of it wasted, $0.007000 by estimate)") in backend_lines(a)
        assert ("Cost", "$1.40") in backend_lines(b)
        assert "Cost" not in dict(backend_lines(c))
        told = shown.to_dict()
        assert (told["cost_usd"], told["wasted_usd"], told["cost_partial"]) == (1.407, 0.007, False)
        assert told["backends"]["c"]["cost_usd"] is None

    def test_a_sum_without_those_of_unknown_price_says_so(self) -> None:
        stage = Stage("ab", members={"b": {"price": Price(2.0, 10.0)}})
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.answers(Tokens(1000, 500, False))
        shown = seen(stage)
        assert "Cost: $0.007000 (attempts of unknown price: 1)" in str(shown).splitlines()
        assert "Cost" not in dict(backend_lines(shown.backends[0]))
        assert (shown.to_dict()["cost_partial"], shown.to_dict()["unpriced"]) == (True, 1)

    def test_answers_that_broke_off_are_worth_a_line(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("truncated")
        other = stage.begin()
        other.asks("a")
        other.fails("timeout")
        shown = seen(stage).backends[0]
        assert (shown.broken, dict(backend_lines(shown))["Broken Off"]) == (1, "1")
        assert shown.to_dict()["broken"] == 1
