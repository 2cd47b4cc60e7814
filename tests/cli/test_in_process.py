"""Facts about asking a gateway of this process."""

from __future__ import annotations

import json

import pytest

from tests.gateway.house import chat
from tests.gateway.stage import ADMIN_KEY, Stage
from tests.runtime.house import completion
from understudy.cli.in_process import InProcess
from understudy.tui.remote import GatewayError


async def test_it_is_asked_as_over_http() -> None:
    stage = Stage(completion())
    stage.admit_operator()
    inside = InProcess(stage.gateway, "gateway", ADMIN_KEY)
    answer = await inside.post("/v1/chat/completions", json.dumps(chat()).encode())
    assert json.loads(answer)["choices"][0]["message"]["content"] == "Hello"
    listed = json.loads(await inside.get("/requests?limit=1"))
    assert [request["status"] for request in listed["requests"]] == ["answered"]
    assert json.loads(await inside.post("/admin/profiles/evening/backends/a/drain"))["action"] == "drain"
    assert repr(inside) == "<InProcess gateway>"
    stage.check()


async def test_a_refusal_is_in_the_gateways_words() -> None:
    stage = Stage(completion(), keys="alice=key-of-alice")
    inside = InProcess(stage.gateway, "gateway", "key-of-nobody")
    with pytest.raises(GatewayError, match="this key is not known here"):
        await inside.get("/stats")
    with pytest.raises(GatewayError, match="this key is not known here"):
        await anext(inside.live())
    stage.check()


async def test_whoever_stops_listening_has_left() -> None:
    stage = Stage(completion())
    stream = InProcess(stage.gateway, "gateway").live()
    assert (await anext(stream)).startswith(b"event: hello")
    assert stage.gateway.running == 1
    await stream.aclose()  # type: ignore[attr-defined]
    stage.check()


async def test_whoever_reads_slowly_holds_the_gateway_back() -> None:
    stage = Stage(completion())
    stream = InProcess(stage.gateway, "gateway").live()
    assert (await anext(stream)).startswith(b"event: hello")
    for _ in range(10):
        await stage.clock.advance(1)
    unread = [await anext(stream), await anext(stream), await anext(stream)]
    assert b"22:13:30.000Z" in unread[-1], "the newest picture, and two that were under way"
    await stream.aclose()  # type: ignore[attr-defined]
