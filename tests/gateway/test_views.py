"""Facts about what can be read of a gateway."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.house import KEY, caller, chat
from tests.gateway.stage import ADMIN_KEY, Stage, message_of
from tests.runtime.house import completion, refusal
from understudy.gateway.siblings import Siblings
from understudy.gateway.views import account
from understudy.gateway.worker import Worker

KEYS = f"alice={KEY},bob=key-of-bob-0815"
ALICE = {"x-api-key": KEY}
BOB = {"x-api-key": "key-of-bob-0815"}
OPERATOR = {"x-api-key": ADMIN_KEY}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


async def test_models_are_profiles_and_exact_aliases_in_the_clients_own_shape() -> None:
    stage = Stage(completion())
    listed = (await stage.look("/v1/models")).json
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == ["evening", "gpt-4o"]
    listed = (await stage.look("/v1/models", headers=ANTHROPIC)).json
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("evening", "gpt-4o", False)


async def test_what_is_no_view_is_not_found() -> None:
    visit = await Stage(completion()).look("/v1/engines")
    assert (visit.status, message_of(visit)) == (404, "there is no route /engines")


async def test_one_model_is_shown_under_the_name_it_was_asked_for() -> None:
    stage = Stage(completion())
    assert (await stage.look("/v1/models/gpt-4o")).json["object"] == "model"
    assert (await stage.look("/v1/models/gpt-4o", headers=ANTHROPIC)).json["display_name"] == "gpt-4o"
    assert (await stage.look("/v1/models/gpt-4")).status == 404


async def test_tokens_are_counted_without_asking_anybody() -> None:
    stage = Stage(completion())
    visit = await stage.play(
        path="/v1/messages/count_tokens", messages=[{"role": "user", "content": "x" * 400}]
    )
    assert 80 <= visit.json["input_tokens"] <= 120
    assert stage.transport.requests == []


async def test_but_only_for_a_model_that_is_served_and_a_body_that_can_be_read_and_is_not_too_large() -> None:
    stage = Stage(completion())
    path = "/v1/messages/count_tokens"
    assert (await stage.play(path=path, model="nobody")).status == 404
    assert (await stage.play(path=path, body=b"[]")).status == 400
    stage.gateway.conversations.body_limit = 10
    assert (await stage.play(path=path)).status == 413


async def test_statistics_of_all_profiles_and_of_one() -> None:
    stage = Stage(refusal(401), completion())
    await stage.play()
    one = (await stage.look("/stats/evening")).json
    assert (one["profile"], one["answered"], one["failed_over"]) == ("evening", 1, 1)
    assert one["backends"]["a"]["failures"] == 1
    assert (await stage.look("/stats")).json == {"profiles": {"evening": one}}
    assert (await stage.look("/stats/gpt-4o")).json == one
    assert (await stage.look("/stats/other")).status == 404


async def test_metrics_are_for_prometheus_in_the_form_it_asks_for() -> None:
    stage = Stage(completion())
    await stage.play()
    async with caller(stage.gateway) as client:
        plain = await client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain")
        assert 'understudy_requests_total{profile="evening",result="answered"} 1.0' in plain.text
        assert "understudy_gateway_overhead_seconds_count 1.0" in plain.text
        assert plain.headers["x-request-id"]
        open_metrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
        assert open_metrics.text.endswith("# EOF\n")


def test_without_the_client_library_metrics_say_what_is_missing() -> None:
    """In a process of its own, in which the library cannot be imported."""
    program = """
        import asyncio, sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "prometheus_client":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Blocker())
        from tests.gateway.stage import Stage
        from tests.runtime.house import completion

        async def main():
            visit = await Stage(completion()).look("/metrics")
            print(visit.status, visit.json["error"]["message"])

        asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "501 metrics need prometheus-client: pip install 'understudy[gateway]'\n"


async def test_the_description_is_of_this_gateway() -> None:
    stage = Stage(completion())
    described = (await stage.look("/openapi.json")).json
    assert described["openapi"].startswith("3.")
    assert not any(path.startswith("/admin") for path in described["paths"])
    stage.admit_operator()
    described = (await stage.look("/openapi.json")).json
    assert any(path.startswith("/admin") for path in described["paths"])


async def test_a_client_reads_its_own_trails_and_the_operator_everybodys() -> None:
    stage = Stage(refusal(401), completion(), keys=KEYS)
    stage.admit_operator()
    visit = await stage.play(headers={**ALICE, "x-request-id": "mine"})
    assert visit.status == 200
    assert (await stage.look("/requests/mine", headers=BOB)).status == 404
    own = await stage.look("/requests/mine", headers=ALICE)
    assert [step["outcome"] for step in own.json["trail"]] == ["auth", "success"]
    assert (await stage.look("/requests/mine", headers=OPERATOR)).json == own.json


async def test_the_recent_requests_are_listed_the_newest_first_and_a_clients_own_alone() -> None:
    stage = Stage(refusal(401), completion(), keys=KEYS)
    stage.admit_operator()
    for name, headers in {"first": ALICE, "second": BOB, "third": ALICE}.items():
        await stage.play(headers={**headers, "x-request-id": name})

    async def listed(path: str, headers: dict[str, str]) -> list[str]:
        return [one["id"] for one in (await stage.look(path, headers=headers)).json["requests"]]

    assert await listed("/requests", OPERATOR) == ["third", "second", "first"]
    assert await listed("/v1/requests", ALICE) == ["third", "first"]
    async with caller(stage.gateway) as client:
        answer = await client.get("/requests", params={"limit": 1}, headers=OPERATOR)
        assert [one["words"] for one in answer.json()["requests"]] == ["a: auth (401) → b answered in 0 ms"]


async def test_as_many_as_are_asked_for_from_one_to_as_many_as_are_kept() -> None:
    stage = Stage(completion())
    async with caller(stage.gateway) as client:
        for wrong in ("0", "1001", "-1", "x", "", "9" * 5000, "²"):
            answer = await client.get("/requests", params={"limit": wrong})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit"), wrong
        for right in ("1", "1000"):
            assert (await client.get("/requests", params={"limit": right})).json() == {"requests": []}


async def test_a_request_that_is_not_kept_is_not_found() -> None:
    visit = await Stage(completion()).look("/requests/unheard-of")
    assert (visit.status, message_of(visit)) == (404, "no recent request of yours has this id")


async def test_what_is_refused_before_anybody_is_asked_leaves_no_trail() -> None:
    stage = Stage(completion())
    async with caller(stage.gateway) as client:
        await client.post("/v1/chat/completions", json=chat(model="nobody"), headers={"x-request-id": "mine"})
        assert (await client.get("/requests/mine")).status_code == 404


# Two workers


@asynccontextmanager
async def two_workers(folder: Path, *stages: Stage) -> AsyncIterator[None]:
    for number, stage in enumerate(stages, start=1):
        gateway = stage.gateway
        gateway.worker = Worker(number, len(stages))
        gateway.siblings = Siblings(
            folder,
            gateway.worker,
            partial(account, gateway),
            gateway.journal.trail,
            gateway.journal.summaries,
            gateway.live.glance,
        )
        await gateway.siblings.open()
    try:
        yield
    finally:
        for stage in stages:
            assert stage.gateway.siblings is not None
            await stage.gateway.siblings.close()


async def test_any_of_several_workers_shows_the_figures_of_all(tmp_path: Path) -> None:
    one, other = Stage([completion(), completion()]), Stage(completion())
    async with two_workers(tmp_path, one, other):
        for stage in (one, one, other):
            await stage.play()
        for number, stage in enumerate((one, other), start=1):
            async with caller(stage.gateway) as client:
                stats = (await client.get("/stats")).json()
                assert (stats["worker"], stats["workers"]) == (number, 2)
                assert stats["profiles"]["evening"]["answered"] == 3
                alone = (await client.get("/stats/gpt-4o")).json()
                assert alone == {"worker": number, "workers": 2, **stats["profiles"]["evening"]}
                metrics = (await client.get("/metrics")).text
                assert 'understudy_requests_total{profile="evening",result="answered"} 3.0' in metrics
                for worker in "12":
                    assert f'process_open_fds{{worker="{worker}"}}' in metrics


async def test_a_profile_that_only_the_other_worker_serves_is_not_shown(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage(completion())
    async with two_workers(tmp_path, one, other):
        one.gateway.profiles.by_name["late"] = one.served
        async with caller(one.gateway) as client:
            assert list((await client.get("/stats")).json()["profiles"]) == ["evening", "late"]
        async with caller(other.gateway) as client:
            assert list((await client.get("/stats")).json()["profiles"]) == ["evening"]


async def test_a_trail_is_found_at_any_worker_by_who_may_see_it(tmp_path: Path) -> None:
    one, other = Stage(completion(), keys=KEYS), Stage(completion(), keys=KEYS)
    async with two_workers(tmp_path, one, other):
        request_id = (await one.play(headers=ALICE)).headers["x-request-id"]
        async with caller(other.gateway) as client:
            found = await client.get(f"/requests/{request_id}", headers=ALICE)
            assert found.json()["status"] == "answered"
            assert (await client.get(f"/requests/{request_id}", headers=BOB)).status_code == 404


async def test_the_newest_requests_are_those_of_all_workers_as_far_as_one_may_see_them(
    tmp_path: Path,
) -> None:
    one, other = Stage([completion()] * 2, keys=KEYS), Stage([completion()] * 2, keys=KEYS)
    async with two_workers(tmp_path, one, other):
        plan = [(one, "1", ALICE), (other, "2", BOB), (one, "3", BOB), (other, "4", ALICE)]
        for stage, name, who in plan:
            await stage.play(headers=who | {"x-request-id": name})
            for each in (one, other):
                await each.clock.advance(1)
        for stage in (one, other):
            stage.admit_operator()
            async with caller(stage.gateway) as client:

                async def listed(path: str, who: dict[str, str], client: Any = client) -> list[str]:
                    return [row["id"] for row in (await client.get(path, headers=who)).json()["requests"]]

                assert await listed("/requests", OPERATOR) == ["4", "3", "2", "1"]
                assert await listed("/requests?limit=3", OPERATOR) == ["4", "3", "2"]
                assert await listed("/requests", ALICE) == ["4", "1"]
                assert await listed("/requests", BOB) == ["3", "2"]


async def test_without_the_client_library_the_others_are_told_the_statistics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(completion())
    assert account(stage.gateway).metrics
    monkeypatch.delitem(sys.modules, "understudy.observe.prometheus")
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    told = account(stage.gateway)
    assert (told.metrics, list(told.stats)) == ([], ["evening"])
