"""The demo shows what it claims, or says that it did not. Played faster here than for an audience."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from pathlib import Path

import pytest

from tests.cli.local_provider import Home
from understudy.cli import performance, process
from understudy.cli.performance import Performance
from understudy.cli.playbill import Playbill
from understudy.config.profile import StandardProfile
from understudy.faults import TEXT, FaultProvider
from understudy.library.balancer import Balancer

FAST = {"timeout_ms": 60, "failover_retry_delay_ms": 5, "circuit_breaker_recovery_timeout_ms": 700}


def played(*, recovery: str = "fine") -> tuple[Performance, io.StringIO]:
    stream = io.StringIO()
    return Performance(Playbill(stream, plain=True), recovery=recovery, settings=FAST, pace=2000), stream


def spoken(text: str, speaker: str) -> str:
    """What a speaker said, line ends as spaces."""
    margin = f"{speaker} | "
    return " ".join(line.partition(margin)[2] for line in text.splitlines() if margin in line)


async def test_failover_and_the_circuits_whole_cycle_are_shown_in_order() -> None:
    show, stream = played()
    assert await show.play() == []
    text = stream.getvalue()
    order = [
        "synthetic failed after 2 attempts: 500",
        "chutes: Backend timeout",
        "Success on backend: groqgpt",
        "synthetic: Marked unhealthy",
        "synthetic: State = open",
        "Skipping unhealthy backend: synthetic",
        "chutes: State = open",
        "Skipping unhealthy backend: chutes",
        "synthetic: Testing recovery (half-open)",
        "synthetic: Recovered (state = closed)",
        "Success on backend: synthetic",
        "5 of 5 requests answered",
        "Load Balancer Statistics",
        "synthetic: closed",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    assert spoken(text, "groqgpt").count(TEXT.split(",")[0]) == 4
    assert performance.COMEBACK in spoken(text, "synthetic")


async def test_what_did_not_happen_is_said() -> None:
    show, stream = played(recovery="status 500")
    assert await show.play() == ["the circuit of synthetic closed", "synthetic is back"]
    assert "5 of 5 requests answered" in stream.getvalue()


async def test_a_broken_answer_is_no_answer() -> None:
    show, _ = played(recovery="text 'something else'")
    assert await show.play() == ["every answer was whole, and one backend's alone"]


async def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loggers = [logging.getLogger("understudy.lb"), logging.getLogger("understudy.circuit-breaker")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    await played()[0].play()
    assert list(tmp_path.iterdir()) == []
    assert [(logger.level, list(logger.handlers)) for logger in loggers] == before


@pytest.mark.parametrize(("missing", "status"), [([], 0), (["the circuit opened", "x"], 1)])
def test_the_exit_status_says_whether_all_was_shown(
    missing: list[str],
    status: int,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def play(self: Performance) -> list[str]:
        return missing

    monkeypatch.setattr(Performance, "play", play)
    assert process.run(["demo"]) == status
    assert capsys.readouterr().err == "".join(f"error: the demo did not show this: {m}\n" for m in missing)


@pytest.mark.parametrize("exception", [None, "example.com"])
def test_a_proxy_in_the_environment_is_not_in_the_way(
    exception: str | None, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(self: Performance) -> list[str]:
        async with FaultProvider() as upstream:
            profile = StandardProfile("one", "openai", "m", settings={"base-url": upstream.base_url})
            async with Balancer(profile) as balancer:
                return [] if (await balancer.complete("x")).text == TEXT else ["an answer"]

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    if exception is None:
        monkeypatch.delenv("no_proxy", raising=False)
    else:
        monkeypatch.setenv("no_proxy", exception)
    monkeypatch.setattr(Performance, "play", play)
    assert process.run(["demo"]) == 0
    assert os.environ.get("no_proxy") == exception
