"""Facts about reading what a gateway says in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.builders import backend_stats, stats_of
from understudy.core.stats import CeilingStats, Percentiles, SlowStartStats
from understudy.tui import document
from understudy.tui.remote import GatewayError

FULL = backend_stats(
    "a",
    requests=9,
    successes=3,
    failures=1,
    success_rate=0.75,
    by_kind={"auth": 1},
    refused_by_kind={"content_filter": 2},
    first_content_ms=Percentiles(1.0, 2.0, 3.0),
    ceilings=(CeilingStats("rpm_limit", 3, 10),),
    slow_start=SlowStartStats(0.25, 2, 100.0),
    patience_ms=((1000, 250.0), (4000, 900.0)),
)


def test_statistics_are_read_as_they_were() -> None:
    stats = stats_of(FULL, backend_stats("b"), answered=3)
    assert document.stats_of(json.loads(json.dumps(stats.to_dict()))) == stats


def test_what_is_not_known_yet_is_passed_over() -> None:
    told: dict[str, Any] = {**stats_of(FULL).to_dict(), "tomorrow": 1.5}
    told["backends"]["a"]["tomorrow"] = 1.5
    assert document.stats_of(told) == stats_of(FULL)


@pytest.mark.parametrize("told", [None, 7, {}, {"backends": {"a": {}}}, {"backends": {}}, {"backends": []}])
def test_what_is_missing_is_told(told: object) -> None:
    with pytest.raises(GatewayError) as raised:
        document.stats_of(told)
    assert raised.value.message.startswith("the gateway's answer is not as expected: ")
    assert raised.value.hint == "is the gateway of another version of Understudy?"
