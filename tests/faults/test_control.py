"""What is said to the provider from outside."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.faults.raw import Answer, Client, ask
from understudy.faults import FaultProvider
from understudy.faults.control import Control
from understudy.faults.http import HttpRequest
from understudy.faults.log import RequestLog
from understudy.faults.plan import Plan, in_every_format
from understudy.faults.repertoire import Repertoire
from understudy.faults.waiting import Changes


async def call(provider: FaultProvider, method: str, path: str, body: str = "") -> Answer:
    async with Client(provider) as client:
        client.post(f"/control/{path}", body.encode(), method=method)
        return await client.receive()


async def test_scripts_are_shown() -> None:
    async with FaultProvider("500; fine", models={"slow": "delay 20s"}) as provider:
        shown = await call(provider, "GET", "script")
        assert shown.json == {"script": "500; fine", "models": {"slow": "delay 20s"}}
        one = await call(provider, "GET", "script?model=slow")
        assert one.json == {"model": "slow", "script": "delay 20s"}


@pytest.mark.parametrize("body", ["503; fine\n", '{"script": "503; fine"}'])
async def test_a_script_is_set_as_text_or_json_and_played_from_its_beginning(body: str) -> None:
    async with FaultProvider() as provider:
        answer = await call(provider, "PUT", "script", body)
        assert (answer.status, answer.json["script"]) == (200, "503; fine")
        assert [(await ask(provider)).status for _ in range(2)] == [503, 200]


async def test_a_model_gets_a_script_of_its_own_and_loses_it_again() -> None:
    async with FaultProvider() as provider:
        await call(provider, "PUT", "script?model=gpt%2Fnew", "418")
        assert (await ask(provider, model="gpt/new")).status == 418
        assert (await ask(provider)).status == 200
        assert (await call(provider, "DELETE", "script?model=gpt%2Fnew")).json["script"] == "fine"
        assert (await ask(provider, model="gpt/new")).status == 200


async def test_delete_makes_the_provider_healthy() -> None:
    async with FaultProvider("500") as provider:
        assert (await call(provider, "DELETE", "script")).json["script"] == "fine"
        assert (await ask(provider)).status == 200


@pytest.mark.parametrize(
    ("body", "error", "hint"),
    [
        ("statsu", "unknown fault word 'statsu'", "did you mean 'status'?"),
        ("", "the script is empty", "write 'fine' for a healthy provider"),
        ("{", "the body is neither a script nor JSON", None),
        pytest.param('{"a":' * 100_000, "the body is neither a script nor JSON", None, id="deep"),
        ('{"skript": ""}', 'the JSON has no "script"', 'send {"script": "status 500; fine"}'),
        ('{"script": 3}', 'the JSON has no "script"', 'send {"script": "status 500; fine"}'),
    ],
)
async def test_a_script_that_cannot_be_read_is_refused_with_a_hint(
    body: str, error: str, hint: str | None
) -> None:
    async with FaultProvider("500") as provider:
        answer = await call(provider, "PUT", "script", body)
        assert (answer.status, answer.json) == (400, {"error": error, "hint": hint})
        assert (await call(provider, "GET", "script")).json["script"] == "500"


async def test_the_log_is_told_and_can_be_asked_for_what_is_new() -> None:
    async with FaultProvider("500; fine") as provider:
        for _ in range(3):
            await ask(provider)
        log = (await call(provider, "GET", "requests")).json
        assert (log["count"], [row["step"] for row in log["requests"]]) == (3, ["500", "fine", "fine"])
        assert log["requests"][0]["status"] == 500
        newer = (await call(provider, "GET", "requests?since=2")).json
        assert [row["number"] for row in newer["requests"]] == [3]
        assert (await call(provider, "GET", "requests?since=x")).status == 400
        assert (await call(provider, "DELETE", "requests")).json == {"count": 0, "requests": []}


async def test_control_itself_is_never_logged_and_uses_no_step_up() -> None:
    async with FaultProvider("500; fine") as provider:
        await call(provider, "GET", "script")
        assert provider.requests == []
        assert (await ask(provider)).status == 500


async def test_other_paths_and_methods_are_refused() -> None:
    async with FaultProvider() as provider:
        missing = await call(provider, "GET", "nowhere")
        assert (missing.status, missing.json["paths"]) == (404, ["/control/script", "/control/requests"])
        assert (await call(provider, "POST", "script")).status == 405


async def test_a_connection_can_be_used_for_control_and_chat_alike() -> None:
    async with FaultProvider() as provider, Client(provider) as client:
        client.post("/control/script", b"500", method="PUT")
        assert (await client.receive()).status == 200
        assert (await client.ask()).status == 500


def test_only_this_machine_may_control() -> None:
    repertoire = Repertoire("500", {}, in_every_format(Plan()), Random(0))
    control = Control(repertoire, RequestLog(1, Changes()))
    request: Any = HttpRequest("DELETE", "/control/script", "HTTP/1.1", {})
    assert control.respond(request, is_local=False).startswith(b"HTTP/1.1 403 ")
    assert repertoire.script() == "500"
    assert control.respond(request, is_local=True).startswith(b"HTTP/1.1 200 ")
