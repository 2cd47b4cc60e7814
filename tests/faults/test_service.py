"""What is answered where, what is logged, and what the log says of clients that leave."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.faults.raw import Answer, Client, ask, chat
from understudy.faults import TEXT, FaultProvider, Request


async def only(provider: FaultProvider) -> Request:
    (request,) = await provider.wait_for_requests(1)
    await provider.wait_settled(request)
    return request


async def send(
    provider: FaultProvider, method: str, path: str, body: bytes = b"", headers: str = ""
) -> Answer:
    async with Client(provider) as client:
        client.post(path, body, headers, method)
        return await client.receive()


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/deployments/gpt"])
async def test_a_chat_is_answered_under_any_prefix(prefix: str) -> None:
    async with FaultProvider() as provider:
        assert (await ask(provider, path=f"{prefix}/chat/completions")).text == TEXT


async def test_models_are_listed_whatever_the_script() -> None:
    async with FaultProvider("500", models={"flaky": "30% 500"}) as provider:
        answer = await send(provider, "GET", "/v1/models")
        assert [row["id"] for row in answer.json["data"]] == ["flaky", "gpt-understudy"]
        assert (await ask(provider)).status == 500


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/chat/completions"), ("POST", "/v1/models")]
)
async def test_anything_else_is_not_found(method: str, path: str) -> None:
    async with FaultProvider() as provider:
        answer = await send(provider, method, path)
        assert (answer.status, answer.json["error"]["type"]) == (404, "invalid_request_error")
        assert (await only(provider)).status == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=["none", "cut", "array", "binary", "deep"]
)
async def test_a_body_that_is_no_object_is_refused_and_uses_no_step_up(body: bytes) -> None:
    async with FaultProvider("500; fine") as provider:
        assert (await send(provider, "POST", "/v1/chat/completions", body)).status == 400
        assert (await ask(provider)).status == 500


async def test_what_is_no_http_is_answered_and_closed() -> None:
    async with FaultProvider() as provider, Client(provider) as client:
        client.writer.write(b"HELO there\r\n\r\n")
        answer = await client.receive()
        assert (answer.status, answer.json["error"]["message"]) == (400, "this is not HTTP/1.1")
        assert await client.reader.read() == b""


async def test_a_script_is_played_attempt_by_attempt() -> None:
    async with FaultProvider("500; 429 retry-after=2; fine") as provider:
        assert [(await ask(provider)).status for _ in range(4)] == [500, 429, 200, 200]
        assert [request.step for request in provider.requests] == ["500", "429 retry-after=2", "fine", "fine"]


async def test_models_have_scripts_of_their_own() -> None:
    async with FaultProvider("fine", models={"flaky": "500; fine"}) as provider:
        statuses = [(await ask(provider, model=model)).status for model in ("m", "flaky", "m", "flaky")]
        assert statuses == [200, 500, 200, 200]
        assert (await ask(provider, model="fault: 418")).status == 418
        refused = await ask(provider, model="fault: statsu")
        assert (refused.status, refused.json["error"]["message"]) == (400, "unknown fault word 'statsu'")


async def test_a_step_may_be_for_streams_or_unary_answers_alone() -> None:
    async with FaultProvider("when stream 401") as provider:
        assert [(await ask(provider, stream=asked)).status for asked in (True, False)] == [401, 200]
        provider.set_script("when unary 401")
        assert [(await ask(provider, stream=asked)).status for asked in (True, False)] == [200, 401]


async def test_a_step_may_be_for_those_who_ask_for_usage() -> None:
    async with FaultProvider("when usage says stream-options") as provider:
        assert (await ask(provider, stream=True)).status == 200
        refused = await ask(provider, stream=True, stream_options={"include_usage": True})
        assert (refused.status, refused.json["error"]["param"]) == (400, "stream_options")


async def test_beyond_its_capacity_it_answers_503_until_there_is_room() -> None:
    async with FaultProvider("capacity 1 silence") as provider:
        async with Client(provider) as client:
            client.send()
            await provider.wait_for_requests(1)
            assert (await ask(provider)).status == 503
        await provider.wait_closed(provider.requests[0])
        provider.set_script("capacity 1")
        assert [(await ask(provider)).status for _ in range(3)] == [200, 200, 200]


async def test_time_in_a_script_passes_by_the_time_scale() -> None:
    async with FaultProvider("down 60s", time_scale=1e-9) as provider:
        assert [(await ask(provider)).status for _ in range(2)] == [503, 200]
    async with FaultProvider("down 60s") as provider:
        assert [(await ask(provider)).status for _ in range(2)] == [503, 503]


async def test_connections_are_kept_and_reuse_is_logged() -> None:
    async with FaultProvider("fine; 500; fine") as provider:
        async with Client(provider) as client:
            for asked in (True, False, True):
                await client.ask(stream=asked)
        await ask(provider)
        seen = [(request.connection, request.reused) for request in provider.requests]
        assert seen == [(1, False), (1, True), (1, True), (2, False)]
        assert provider.connections == 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/control/script", "/nowhere"])
async def test_a_client_that_wants_the_connection_closed_gets_that(path: str) -> None:
    async with FaultProvider() as provider, Client(provider) as client:
        body = json.dumps(chat()).encode()
        client.post(path, body, "connection: close\r\n", "POST" if "chat" in path else "GET")
        answer = await client.receive()
        assert answer.ending == "end"
        assert await client.reader.read() == b""
        assert ("connection" in answer.headers) is path.startswith("/v1/chat")


async def test_a_request_is_logged_with_everything_but_the_key() -> None:
    async with FaultProvider() as provider:
        began = time.monotonic()
        secret = "authorization: Bearer sk-very-secret\r\nx-trace: 7\r\n"
        messages = [{"role": "user", "content": "12345678"}]
        await ask(provider, headers=secret, stream=True, model="gpt-logged", messages=messages)
        request = await only(provider)
        ended = time.monotonic()
    assert (request.model, request.stream, request.prompt_size) == ("gpt-logged", True, 8)
    assert request.body == {"model": "gpt-logged", "messages": messages, "stream": True}
    assert (request.method, request.path, request.status, request.tokens) == (
        "POST",
        "/v1/chat/completions",
        200,
        60,
    )
    assert request.headers["x-trace"] == "7"
    assert request.credential is not None
    assert "secret" not in json.dumps(request.to_dict()) + repr(request)
    assert request.finished is not None
    assert began <= request.arrived <= request.finished <= ended
    assert request.client_closed is None


async def test_a_unary_answer_counts_its_tokens_too_and_a_refusal_none() -> None:
    async with FaultProvider("fine; 500") as provider:
        for _ in range(2):
            await ask(provider)
        assert [request.tokens for request in provider.requests] == [60, 0]


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": False}])
@pytest.mark.parametrize(
    "script",
    ["silence", "delay 1h", "stall after=20", "drip every=1h", "pings every=1h", "slow-head every=1h"],
)
async def test_a_client_that_leaves_while_it_is_served_is_noticed_at_once(script: str, fields: Any) -> None:
    if script.startswith("pings") and not fields["stream"]:
        script = "delay 1h after=headers"
    async with FaultProvider(script) as provider:
        async with Client(provider) as client:
            client.send(**fields)
            (request,) = await provider.wait_for_requests(1)
            left = time.monotonic()
        assert await provider.wait_closed(request) - left < 0.5
        assert request.finished is None
        await provider.wait_for_connections(0)


async def test_a_client_that_leaves_after_its_answer_has_not_left_early() -> None:
    async with FaultProvider() as provider:
        await ask(provider)
        await provider.wait_for_connections(0)
        (request,) = provider.requests
        assert request.finished is not None
        assert request.client_closed is None


async def test_a_connection_that_the_provider_closes_was_not_closed_by_the_client() -> None:
    async with FaultProvider("cut; reset; stall 1ms") as provider:
        for _ in range(3):
            await ask(provider, stream=True)
        await provider.wait_for_connections(0)
        assert all(request.finished and not request.client_closed for request in provider.requests)


async def test_whoever_wants_to_know_is_told_of_every_request_once() -> None:
    told: list[Request] = []
    async with FaultProvider("fine; 500; silence", settled=told.append) as provider:
        for _ in range(2):
            await ask(provider)
        async with Client(provider) as client:
            client.send()
            await provider.wait_for_requests(3)
        await provider.wait_closed(provider.requests[2])
        assert told == provider.requests


async def test_the_configured_answer_is_the_plain_one() -> None:
    async with FaultProvider(pace=1e6) as provider:
        assert (await ask(provider, stream=True)).text == TEXT


BEGUN: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"messages": [{"role": "assistant", "content": TEXT[:100]}]}),
    "anthropic": ("/v1/messages", {"messages": [{"role": "assistant", "content": TEXT[:100]}]}),
    "anthropic-blocks": (
        "/v1/messages",
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": TEXT[:100]}]}]},
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "model", "parts": [{"text": TEXT[:60]}, {"text": TEXT[60:100]}]}]},
    ),
}
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": TEXT[:100]}]},
    "/v1/messages": {"messages": [{"role": "user", "content": TEXT[:100]}]},
    "/v1beta/models/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": TEXT[:100]}]}]},
}


async def said(provider: FaultProvider, path: str, body: dict[str, Any]) -> str:
    answer = await send(provider, "POST", path, json.dumps(body).encode())
    return json.dumps(answer.json, ensure_ascii=False)


@pytest.mark.parametrize("case", BEGUN)
async def test_a_conversation_that_ends_with_the_assistants_own_words_is_gone_on_with(case: str) -> None:
    path, body = BEGUN[case]
    async with FaultProvider() as provider:
        rest = json.dumps(TEXT[100:], ensure_ascii=False)
        assert rest in await said(provider, path, body)
        assert rest not in await said(provider, path, ASKED[path])


@pytest.mark.parametrize("case", BEGUN)
async def test_a_prefill_is_an_occasion(case: str) -> None:
    path, body = BEGUN[case]
    async with FaultProvider("when prefill says prefill") as provider:
        assert "Prefilling assistant messages is not supported" in await said(provider, path, body)
        assert TEXT in await said(provider, path, ASKED[path])


@pytest.mark.parametrize("content", [None, 5, []])
async def test_an_assistant_who_has_said_nothing_is_no_prefill(content: object) -> None:
    async with FaultProvider("when prefill says prefill") as provider:
        for path in ("/v1/chat/completions", "/v1/messages"):
            body = {"messages": [{"role": "assistant", "content": content}]}
            assert TEXT in await said(provider, path, body)
