"""``understudy simulate``: its report, its comparison, its chart, and its complaints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from tests.cli.command_line import Run
from understudy.cli.main import root
from understudy.simulate import run as running
from understudy.simulate.tally import End

FEW = ("--scenario", "primary-down", "--requests", "200")
PROFILE = "testlb489"


def test_the_report_tells_what_became_of_whom(run: Run) -> None:
    status, out, err = run("simulate", PROFILE, *FEW, "--seed", "3")
    assert (status, err) == (0, "")
    assert out.startswith("Scenario: primary-down, 3.0 h, seed 3\n")
    for words in ("Whole answers", "First content p99", "Extra attempts per answer", "synthetic", "outage"):
        assert words in out


def test_json_is_one_object_in_a_list(run: Run) -> None:
    status, out, _ = run("simulate", PROFILE, *FEW, "--json")
    assert status == 0
    (found,) = json.loads(out)
    assert (found["profile"], found["scenario"], found["seed"]) == (PROFILE, "primary-down", 0)
    assert found["whole"] > 0.9


def test_the_same_seed_is_the_same_report(run: Run) -> None:
    first, second = (run("simulate", PROFILE, *FEW, "--json", "--seed", "5") for _ in range(2))
    assert first == second
    assert first != run("simulate", PROFILE, *FEW, "--json", "--seed", "6")


def test_settings_are_compared_side_by_side(run: Run) -> None:
    _, out, _ = run("simulate", PROFILE, *FEW, "--set", "timeout_ms=9000", "--against-set", "timeout_ms=3000")
    assert "testlb489 timeout_ms=9000" in " ".join(out.split())
    assert "testlb489 timeout_ms=3000:" in out
    _, out, _ = run("simulate", PROFILE, *FEW, "--json", "--against-set", "failover-retry-count=1")
    assert [found["settings"] for found in json.loads(out)] == [{}, {"failover_retry_count": "1"}]


def test_profiles_are_compared_side_by_side(run: Run) -> None:
    _, out, _ = run("simulate", PROFILE, *FEW, "--json", "--against", "groqgpt")
    first, second = json.loads(out)
    assert (first["profile"], second["profile"]) == (PROFILE, "groqgpt")
    assert first["whole"] > second["whole"]


def test_the_duration_can_be_another(run: Run) -> None:
    for text, seconds in (("90", 90), ("2.5m", 150), ("1h", 3600)):
        _, out, _ = run("simulate", PROFILE, "--duration", text, "--requests", "20", "--json")
        assert json.loads(out)[0]["duration_s"] == seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duration", "soon"), "error: --duration soon: it must be seconds"),
        (("--duration", "0"), "error: --duration 0: it must be more than 0"),
        (("--scenario", "primary-dawn"), "hint: did you mean primary-down?"),
        (("--chart", "chart.pdf"), "error: --chart chart.pdf: it must end in .png or .svg"),
        (("--set", "timeout=1"), "unknown setting"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_played(
    arguments: tuple[str, ...], message: str, run: Run
) -> None:
    status, out, err = run("simulate", PROFILE, *arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_without_a_profile_the_default_one_is_played(run: Run) -> None:
    status, _, err = run("simulate", *FEW)
    assert (status, "no profile" in err) == (2, True)


def test_the_scenarios_are_listed(run: Run) -> None:
    status, out, _ = run("simulate", "--list")
    assert status == 0
    assert len(out.splitlines()) == 11
    assert "mid-stream       For an hour answers of the first backend break off" in out


def test_a_chart_is_drawn(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    status, out, _ = run("simulate", PROFILE, *FEW, "--chart", str(path))
    assert status == 0
    assert "Whole answers" in out
    assert f">{PROFILE}<" in path.read_text()


def test_without_matplotlib_a_chart_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "understudy.simulate.chart", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run("simulate", PROFILE, "--chart", "x.svg")
    assert (status, out) == (2, "")
    assert err == (
        "error: a chart needs matplotlib, which is not installed\nhint: pip install 'understudy[simulate]'\n"
    )


def test_a_wrong_answer_is_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    play: Callable[..., Any] = running.simulate

    def playing(*arguments: Any, **options: Any) -> Any:
        result = play(*arguments, **options)
        result.tally.ends[0] = End.WRONG
        return result

    monkeypatch.setattr(running, "simulate", playing)
    assert run("simulate", PROFILE, *FEW)[0] == 1


def test_scenarios_complete() -> None:
    completing = ShellComplete(root, {}, "understudy", "_UNDERSTUDY_COMPLETE")
    found = completing.get_completions(["simulate", "--scenario"], "b")
    assert [item.value for item in found] == ["black-hole", "brown-out"]
