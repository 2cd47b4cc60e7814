"""The dashboard, the rules and the runbook speak of the same alerts, and of metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observe.test_prometheus import Scrape, exposed, snapshot
from understudy.observe.prometheus import exposition

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "understudy.rules.yml"
UNIT_TESTS = RULES.with_name("understudy.test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "understudy.json"
RUNBOOK = ROOT / "docs" / "runbook.md"
PANELS: dict[str, Any] = json.loads(DASHBOARD.read_text())

ALERTS = re.findall(r"- alert: (\w+)\n", RULES.read_text())
RECORDED = set(re.findall(r"- record: (\S+)\n", RULES.read_text()))


def samples() -> set[str]:
    """The names that a scrape shows, those of the process among them."""
    names = {sample.name for family in exposed() for sample in family.samples}
    return names | {sample.name for sample in Scrape(exposition(snapshot())[0]).samples}


def asked(text: str) -> set[str]:
    """Our metrics, and those of the process, that a text names."""
    return set(re.findall(r"(?<![\w:])(?:understudy|process)_[a-z_]+(?![\w:-])", text))


@pytest.mark.parametrize("path", [RULES, UNIT_TESTS, DASHBOARD, RUNBOOK], ids=lambda path: path.name)
def test_every_metric_that_is_named_is_shown(path: Path) -> None:
    named = asked(path.read_text())
    assert named
    assert named <= samples()


def test_every_recorded_series_is_used_or_there_for_dashboards_and_every_used_one_is_recorded() -> None:
    used = set(re.findall(r"\b\w+:understudy_\w+:\w+", RULES.read_text()))
    assert used == RECORDED


def test_every_label_is_one_that_the_metric_has() -> None:
    labels: dict[str, set[str]] = {}
    for family in exposed():
        for sample in family.samples:
            labels.setdefault(sample.name, {"job"}).update(sample.labels)
    texts = [RULES.read_text(), *(expression for _, expression in expressions())]
    for name, matchers in re.findall(r"\b(understudy_[a-z_]+)\{([^}]*)\}", "\n".join(texts)):
        assert set(re.findall(r"(\w+)=", matchers)) <= labels[name], name


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard, with its panel's title."""
    for panel in PANELS["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in PANELS["panels"]]
    assert len({panel["id"] for panel in PANELS["panels"]}) == len(PANELS["panels"])
    assert len(set(places)) == len(places)
    assert all(x + w <= 24 for h, w, x, y in places)
    variables = {variable["name"] for variable in PANELS["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", json.dumps(PANELS["panels"])))
    assert used - variables == {"__rate_interval"}


class TestTheRunbook:
    def test_has_a_section_for_each_alert_and_no_other(self) -> None:
        sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M)
        assert ALERTS
        assert sorted(sections) == sorted(ALERTS)

    @pytest.mark.parametrize("alert", ALERTS)
    def test_says_how_bad_it_is_what_to_look_at_and_what_to_do(self, alert: str) -> None:
        section = re.split(r"^## ", RUNBOOK.read_text().partition(f"\n## {alert}\n")[2], flags=re.M)[0]
        severity = re.split(r"- (?:alert|name):", rule(alert))[0].partition("severity: ")[2].split("\n")[0]
        assert section.strip().startswith(f"*{severity.capitalize()}.*")
        assert "- **Look at** " in section
        assert "- **Do** " in section

    @pytest.mark.parametrize("alert", ALERTS)
    def test_is_what_the_alert_links_to(self, alert: str) -> None:
        assert f'runbook_url: "docs/runbook.md#{alert.lower()}"' in rule(alert)
        assert re.search(r'summary: "[^"]{20,}"', rule(alert))
        assert re.search(r'description: "[^"]{20,}\."', rule(alert))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_both_ways(alert: str) -> None:
    """That it fires, and that it does not."""
    checks = UNIT_TESTS.read_text().split("- eval_time:")
    own = [check for check in checks if re.search(rf"alertname: {alert}\n", check)]
    assert any("exp_alerts: []" in check for check in own)
    assert any("exp_labels:" in check for check in own)


def rule(alert: str) -> str:
    """What the file says of one alert."""
    return re.split(r"\n      - alert: ", RULES.read_text().partition(f"- alert: {alert}\n")[2])[0]
