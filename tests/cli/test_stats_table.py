"""The statistics on a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from tests.cli.builders import CLOSED, backend_stats, stats_of
from understudy.cli.stats_table import print_table
from understudy.core.cost import Bill
from understudy.core.stats import BackendStats, CircuitStats, Percentiles, Stats, backend_lines

OPEN = CircuitStats("open", 3, "2026-01-01T00:00:00Z", 12_345.6, "2026-01-01T00:00:00Z")

BUSY = backend_stats(
    "synthetic", requests=8, successes=6, failures=2, timeouts=1, refused=1, cancelled=1, in_flight=1,
    input_tokens=1200, output_tokens=2000, malformed_events=4, avg_latency_ms=1456.0,
    latency_ms=Percentiles(1400.0, 2900.0, 3000.0), first_content_ms=Percentiles(100.0, 210.0, 300.0),
    tpm=640.0, serving_rate=4200.0, refused_by_kind={"rate_limited": 1}, skips={"circuit_open": 5},
    bench_remaining_ms=1500.0, success_rate=0.75, circuit_breaker=OPEN,
)  # fmt: skip
BROKEN = backend_stats("a-name-of-sixty-four-characters-" + "x" * 32, problem="no_key")
HALF_OPEN = backend_stats(
    "groqgpt",
    success_rate=0.4,
    avg_latency_ms=9.0,
    circuit_breaker=CircuitStats("half-open", 1, None, 0.0, None),
)
HEALTHY = backend_stats("chutes", success_rate=1.0, avg_latency_ms=10.0, circuit_breaker=CLOSED)
STATS = stats_of(BUSY, HEALTHY, HALF_OPEN, BROKEN, total_requests=12, answered=11, failed=1, failed_over=4)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch


def printed(stats: Stats) -> str:
    stream = Terminal()
    print_table(stats, stream)
    return stream.getvalue()


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.usefixtures("environment")
class TestTable:
    def test_it_begins_with_profile_and_requests_and_how_they_ended(self) -> None:
        assert uncoloured(printed(STATS)).splitlines()[:3] == [
            "Load Balancer Statistics",
            "Profile: testlb489 (failover)",
            "Total Requests: 12 (11 answered, 1 failed, 4 failed over)",
        ]
        rescued = replace(STATS, recovered=2, hedged=3, unretried=5)
        assert "failed over, 2 recovered, 3 hedged, 5 not asked again)" in " ".join(
            uncoloured(printed(rescued)).split()
        )
        assert "Total Requests: 0\n" in uncoloured(printed(stats_of(HEALTHY)))

    @pytest.mark.parametrize("backend", STATS.backends, ids=lambda backend: backend.name[:8])
    def test_every_number_of_the_plain_table_is_there_with_its_label(self, backend: BackendStats) -> None:
        words = " ".join(uncoloured(printed(stats_of(backend))).split())

        for label, value in backend_lines(backend)[:5]:
            assert label in words
            assert f" {value} " in words
        for label, value in backend_lines(backend)[5:]:
            assert f"{label}: {value}" in words

    def test_it_says_what_was_spent_if_anything_was(self) -> None:
        bill = Bill(0.25, wasted=0.05, estimated=0.1, unpriced=2)
        words = " ".join(uncoloured(printed(stats_of(replace(HEALTHY, bill=bill)))).split())

        spent = "$0.250000 ($0.050000 of it wasted, $0.100000 by estimate, attempts of unknown price: 2)"
        assert words.count(f"Cost: {spent}") == 2
        assert "Cost" not in uncoloured(printed(STATS))

    def test_an_open_circuit_says_how_many_failures_it_saw_and_when_it_is_probed(self) -> None:
        words = " ".join(uncoloured(printed(STATS)).split())

        assert "synthetic open" in words
        assert "groqgpt half-open" in words
        assert "Failures In Window: 3 · Next Probe In: 12346ms" in words

    def test_it_fits_into_80_columns_and_folds_a_long_name(self) -> None:
        lines = uncoloured(printed(STATS)).splitlines()

        assert max(map(len, lines)) <= 80
        assert BROKEN.name not in "\n".join(lines)
        assert "a-name" in "\n".join(lines)


class TestColour:
    def test_it_repeats_what_the_words_say(self, environment: pytest.MonkeyPatch) -> None:
        text = printed(STATS)

        assert "\x1b[31mopen" in text
        assert "\x1b[33mhalf-open" in text
        assert "\x1b[32mclosed" in text
        assert re.search(r"\x1b\[33m *75\.0%", text)
        assert re.search(r"\x1b\[32m *100\.0%", text)
        assert re.search(r"\x1b\[31m *40\.0%", text)

    @pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_who_wants_none_gets_none(self, name: str, value: str, environment: pytest.MonkeyPatch) -> None:
        environment.setenv(name, value)

        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", printed(STATS))
