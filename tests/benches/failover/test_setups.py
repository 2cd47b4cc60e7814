"""Everybody is told of the same backends in the same order, and of the same timeout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benches.environments import requirements
from benches.failover import roster
from benches.failover.gateways import litellm, portkey, understudy
from benches.failover.pool import Pool
from benches.failover.roster import ROSTER, Entry, Gateway, Library
from benches.failover.scenarios import SCENARIOS
from understudy.faults import FaultProvider

URLS = ["http://a/v1", "http://b/v1", "http://c/v1"]
ENTRIES = [pytest.param(entry, id=name) for name, entry in ROSTER.items()]


def pool(settings: object) -> Pool:
    assert isinstance(settings, dict)
    return Pool(URLS, 1.5, 7, settings)


def of(kind: object) -> list[Entry]:
    return [entry for entry in ROSTER.values() if entry.peer == kind]


def test_a_pool_survives_the_command_line() -> None:
    told = pool({"policy": "failover"})
    assert Pool.from_json(told.to_json()) == told
    assert told.milliseconds == 1500


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_peer_has_its_module(entry: Entry) -> None:
    if isinstance(entry.peer, Library):
        assert (Path(roster.__file__).parent / "peers" / f"{entry.peer.module}.py").exists()


def test_peers_in_environments_of_their_own_are_pinned() -> None:
    assert {"langchain_fallbacks", "pydantic_ai_fallback"} <= set(requirements())
    assert all("==" in package for package in roster.versions())
    names = [package.partition("==")[0] for package in roster.versions()]
    assert {"litellm[proxy]", "langchain-openai", "pydantic-ai-slim[openai]", "@portkey-ai/gateway"} <= set(
        names
    )


@pytest.mark.parametrize("settings", [settings for _, settings in roster.OURS.values()])
def test_ours_has_its_defaults_but_for_the_timeout_and_its_row(
    settings: dict[str, object], tmp_path: Path
) -> None:
    profile = json.loads(understudy.write_profile(pool(settings), tmp_path).read_text())
    members = [json.loads((tmp_path / f"{name}.json").read_text()) for name in profile["profiles"]]
    assert [member["ephemeralSettings"]["base-url"] for member in members] == URLS
    told = {"policy": profile["policy"], **profile["ephemeralSettings"]}
    assert told == {"timeout_ms": 1500, **settings}


@pytest.mark.parametrize("settings", [settings for _, settings in roster.LITELLM.values()])
def test_litellm_has_one_group_of_all(settings: dict[str, object]) -> None:
    told = json.loads(litellm.configuration(pool(settings)))
    backends = [deployment["litellm_params"] for deployment in told["model_list"]]
    assert [backend["api_base"] for backend in backends] == URLS
    assert len({deployment["model_name"] for deployment in told["model_list"]}) == 1
    assert told["router_settings"]["stream_timeout"] == told["router_settings"]["timeout"] == 1.5
    assert "order" not in told["router_settings"]


def test_litellm_asks_in_order_where_its_row_says_so() -> None:
    in_order, anyhow = (litellm.deployments(pool({"order": order})) for order in (True, False))
    assert [deployment["litellm_params"]["order"] for deployment in in_order] == [1, 2, 3]
    assert all("order" not in deployment["litellm_params"] for deployment in anyhow)


def test_portkey_falls_back_in_order() -> None:
    told = portkey.configuration(pool({"mode": "fallback"}))
    assert told["strategy"] == {"mode": "fallback"}
    assert [target["custom_host"] for target in told["targets"]] == URLS
    assert {target["request_timeout"] for target in told["targets"]} == {1500}


def test_portkey_balances_over_fallbacks_that_begin_with_another_each() -> None:
    told = portkey.configuration(pool({"mode": "loadbalance"}))
    assert told["strategy"] == {"mode": "loadbalance"}
    orders = [[target["custom_host"] for target in turn["targets"]] for turn in told["targets"]]
    a, b, c = URLS
    assert orders == [[a, b, c], [b, c, a], [c, a, b]]


async def test_every_script_can_be_played() -> None:
    for scenario in SCENARIOS.values():
        for script in scenario.scripts:
            FaultProvider(script, pace=scenario.pace)


def test_gateways_are_asked_by_one_and_the_same_client() -> None:
    assert isinstance(roster.CALLER, Library)
    assert {type(entry.peer) for entry in ROSTER.values()} == {Library, Gateway}
