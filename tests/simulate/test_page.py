"""What the page on the simulator says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.simulate.profiles import pair
from understudy.simulate.figures import figures
from understudy.simulate.run import simulate
from understudy.simulate.scenario import FAILURES
from understudy.simulate.scenario_file import names, read_scenario

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
(SAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
KEYS = {
    "traffic": (
        "process", "rate", "daily", "burst_every", "burst_length", "burst_factor", "clients", "think",
        "session", "prompt_tokens", "answer_tokens", "stream", "leaves", "patience",
    ),
    "backends": (
        "first_content", "tokens_per_second", "error_after", "chunks", "prefill", "wording", "retry_after",
        "failures", "rpm", "tpm", "concurrent", "topples", "restart",
    ),
    "phases": ("name", "backends", "from", "for", "every", "random", "cuts", "failures", "latency", "speed"),
}  # fmt: skip


def test_its_scenario_can_be_played() -> None:
    found = figures(simulate(pair(), read_scenario(SAMPLE, "sample.toml", name="sample"), requests=200))
    assert found["wrong"] == 0
    assert found["whole"] > 0.5


@pytest.mark.parametrize("key", sorted({key for keys in KEYS.values() for key in keys}))
def test_it_tells_of_every_key(key: str) -> None:
    assert re.search(rf"\b{key} = ", SAMPLE)


def test_it_tells_of_every_scenario_that_ships() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Your own")[0], re.M)
    assert sorted(told) == sorted(names())


def test_it_tells_of_every_failure() -> None:
    assert re.findall(r"^\| `([a-z]+)` \|", PAGE.partition("## Your own")[2], re.M) == list(FAILURES)
