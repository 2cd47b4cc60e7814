"""The chart is a picture of the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.simulate.profiles import pair
from understudy.simulate.chart import draw
from understudy.simulate.figures import figures
from understudy.simulate.run import simulate
from understudy.simulate.scenario import Scenario, Traffic


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return figures(simulate(pair(), Scenario("s", duration=600, traffic=Traffic(rate=0.2))))


def test_an_svg_shows_each_run_under_its_title(found: dict[str, Any], tmp_path: Path) -> None:
    draw([("one", found), ("two", found)], tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    assert text.startswith("<?xml")
    for words in (">one<", ">two<", ">whole answers, %<", ">first content, s<", ">answers by<", ">second<"):
        assert words in text


def test_the_same_figures_are_drawn_to_the_same_bytes(found: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw([("one", found)], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_png_is_one(found: dict[str, Any], tmp_path: Path) -> None:
    draw([("one", found)], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
