"""Facts about routing: who is let in, what an error looks like, and what happens on the way out."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.gateway.house import KEY, caller, chat
from tests.gateway.stage import ADMIN_KEY, BUG, Stage, message_of
from tests.runtime.house import completion, delta, speech, stream
from understudy.errors import InternalError
from understudy.gateway.app import Gateway
from understudy.gateway.conversation import BrokenOff
from understudy.gateway.http import Message
from understudy.gateway.profiles import Profiles

BEARER = {"authorization": f"Bearer {KEY}"}
OPERATOR = {"authorization": f"Bearer {ADMIN_KEY}"}


# Rule 1


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/v1/models", "/models/"])
async def test_a_path_is_the_same_with_and_without_v1(path: str) -> None:
    assert (await Stage(completion()).look(path)).json["data"][0]["id"] == "evening"


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/messages", "/v1/messages"])
async def test_so_is_a_chats(path: str) -> None:
    async with caller(Stage(completion()).gateway) as client:
        assert (await client.post(path, json=chat())).status_code == 200


# Rule 2


@pytest.mark.parametrize("path", ["/health/liveness", "/health/liveliness", "/health/readiness"])
async def test_health_is_open(path: str) -> None:
    visit = await Stage(completion(), keys=f"alice={KEY}").look(path)
    assert visit.status == 200
    assert visit.json["status"] in ("alive", "ready")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/evening"),
        ("GET", "/stats"),
        ("GET", "/stats/evening"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/requests/some-id"),
    ],
)
async def test_everything_else_asks_for_a_clients_key(method: str, path: str) -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    async with caller(stage.gateway) as client:
        body = chat() if method == "POST" else None
        refused = await client.request(method, path, json=body)
        assert refused.status_code == 401
        let_in = await client.request(method, path, json=body, headers=BEARER)
        assert let_in.status_code == (404 if path.startswith("/requests") else 200)


async def test_without_an_admin_key_there_are_no_admin_routes() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    for headers in (BEARER, OPERATOR):
        visit = await stage.look("/admin/profiles/evening/settings", headers=headers)
        assert visit.status == 404


async def test_admin_routes_ask_for_the_admin_key_and_no_other() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    stage.admit_operator()
    for headers in ({}, BEARER):
        assert (await stage.look("/admin/profiles/evening/settings", headers=headers)).status == 401
    assert (await stage.look("/admin/profiles/evening/settings", headers=OPERATOR)).status == 200


async def test_the_admin_key_opens_what_clients_see_but_answers_no_chat() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    stage.admit_operator()
    assert (await stage.look("/stats", headers=OPERATOR)).status == 200
    assert (await stage.play(headers=OPERATOR)).status == 401


# Rule 3


@pytest.mark.parametrize(
    ("path", "headers", "anthropic"),
    [
        ("/v1/messages", {}, True),
        ("/v1/messages/count_tokens", {}, True),
        ("/v1/messages/batches", {}, True),
        ("/v1/chat/completions", {}, False),
        ("/v1/nothing", {}, False),
        ("/v1/nothing", {"anthropic-version": "2023-06-01"}, True),
    ],
)
async def test_an_error_is_in_the_shape_of_the_protocol_that_was_asked(
    path: str, headers: dict[str, str], anthropic: bool
) -> None:
    visit = await Stage(completion()).play(path=path, body=b"no JSON", headers=headers)
    assert visit.status in (400, 404)
    assert ("type" in visit.json) is anthropic
    assert "message" in visit.json["error"]


async def test_an_unknown_route_is_named() -> None:
    visit = await Stage(completion()).look("/v1/nothing")
    assert (visit.status, message_of(visit)) == (404, "there is no route /nothing")


@pytest.mark.parametrize("path", ["/health/", "/health/else"])
async def test_so_is_an_unknown_kind_of_health(path: str) -> None:
    visit = await Stage(completion()).look(path)
    assert visit.status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("GET", "/v1/messages/count_tokens", "POST"),
        ("POST", "/stats", "GET, HEAD"),
        ("DELETE", "/health/liveness", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    visit = await Stage(completion()).play(path=path, method=method)
    assert (visit.status, visit.headers["allow"]) == (405, allowed)
    assert message_of(visit).endswith(f"takes {allowed.split(',')[0]} only") or "type" in visit.json


async def test_what_a_get_may_do_a_head_may_and_an_error_to_it_has_no_body() -> None:
    stage = Stage(completion())
    assert (await stage.play(path="/stats", method="HEAD")).status == 200
    visit = await stage.play(path="/nothing", method="HEAD")
    assert (visit.status, visit.body, visit.headers["content-length"]) == (404, b"", "0")


async def test_a_header_that_came_twice_is_refused_before_all_else() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    request: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/nothing",
        "headers": [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await stage.gateway(request, asyncio.Queue[Message]().get, send)
    assert (sent[0]["status"], b"x-api-key" in sent[1]["body"]) == (400, True)


# The request's id


async def test_a_clients_own_id_is_taken_over_if_it_is_plain() -> None:
    stage = Stage(completion())
    for given, taken in [("trace-1:a/b+c=@_.", True), ("x" * 128, True), ("x" * 129, False), ("a b", False)]:
        visit = await stage.play(headers={"x-request-id": given})
        assert (visit.headers["x-request-id"] == given) is taken
        assert taken or visit.headers["x-request-id"].startswith("req_")


async def test_a_new_id_is_another_for_each_request_errors_too() -> None:
    stage = Stage(completion())
    ids = {
        (await stage.play(path=path)).headers["x-request-id"] for path in ["/chat/completions", "/x", "/x"]
    }
    assert len(ids) == 3
    assert all(len(one) == 28 for one in ids)


# Rule 4


async def test_while_draining_readiness_and_every_new_request_are_refused_politely() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    stage.gateway.draining = True
    ready = await stage.look("/health/readiness")
    assert (ready.status, ready.json, ready.headers["connection"]) == (503, {"status": "draining"}, "close")
    for path, method in [("/v1/chat/completions", "POST"), ("/v1/messages", "POST"), ("/stats", "GET")]:
        visit = await stage.play(path=path, method=method, headers=BEARER)
        assert (visit.status, visit.headers["connection"], visit.headers["retry-after"]) == (
            503,
            "close",
            "1",
        )
        assert "shutting down" in visit.json["error"]["message"]


async def test_liveness_and_what_the_operator_asks_for_are_answered_all_the_same() -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    stage.admit_operator()
    stage.gateway.draining = True
    assert (await stage.look("/health/liveness")).status == 200
    assert (await stage.look("/stats", headers=OPERATOR)).status == 200


async def test_what_runs_when_draining_begins_is_answered() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, delta(finish="stop")))
    visit = await stage.play(1, stream=True)
    stage.gateway.draining = True
    await stage.clock.advance(4)
    assert visit.body.endswith(b"data: [DONE]\n\n")


async def test_whoever_waits_for_idleness_hears_of_the_last_requests_end() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, delta(finish="stop")))
    await stage.gateway.until_idle()
    await stage.play(1, stream=True)
    waiting = asyncio.ensure_future(stage.gateway.until_idle())
    await stage.play(1, stream=True)
    await stage.clock.advance(3)
    assert not waiting.done()
    await stage.clock.advance(1)
    assert waiting.done()
    await stage.clock.advance(5)
    assert stage.gateway.running == 0


async def test_a_wait_for_idleness_may_be_given_up() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, delta(finish="stop")))
    await stage.play(1, stream=True)
    waiting = asyncio.ensure_future(stage.gateway.until_idle())
    await stage.clock.advance()
    waiting.cancel()
    await stage.clock.advance(5)
    stage.check()


async def test_closing_ends_what_is_in_flight_with_the_protocols_own_error() -> None:
    stage = Stage([stream(delta("Hello"), 5.0), stream(5.0)])
    begun, waiting = await stage.play(1, stream=True), await stage.play(1, stream=True)
    await stage.gateway.close()
    await stage.clock.advance()
    assert b'"code":"shutting_down"' in begun.pieces[-1]
    assert b"[DONE]" not in begun.body
    assert (waiting.status, waiting.json["error"]["code"]) == (503, "shutting_down")
    stage.check()


# Rule 5


class Broken(Profiles):
    """Has a bug."""

    def names(self) -> list[str]:
        raise RuntimeError("secret details")


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2023-06-01"}])
async def test_a_bug_is_one_line_for_the_client_and_a_traceback_for_the_log(
    headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(completion())
    gateway = Gateway(Broken({"evening": stage.served}))
    async with caller(gateway) as client:
        answer = await client.get("/v1/models", headers={"x-request-id": "mine", **headers})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "mine"
    assert ("type" in answer.json()) is bool(headers)
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "request mine: a bug in the gateway")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "secret details"
    assert gateway.running == 0


async def test_a_bug_after_the_first_byte_is_logged_and_raised_for_the_server_to_cut_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage(stream(delta("Hello"), BUG))
    visit = await stage.play(stream=True, headers={"x-request-id": "mine"})
    assert isinstance(visit.task.exception(), BrokenOff)
    assert not visit.is_whole
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "request mine: a bug in the gateway")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], InternalError)
    stage.check()


async def test_profiles_may_be_replaced_at_any_time() -> None:
    stage = Stage(completion())
    stage.gateway.profiles = Profiles({"morning": stage.served})
    assert (await stage.play()).status == 404
    assert (await stage.play(model="morning")).status == 200


# Besides HTTP


async def test_a_servers_lifespan_is_gone_along_with() -> None:
    stage = Stage(completion())
    coming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    said: list[str] = []

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        said.append(message["type"])

    await stage.gateway({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_web_socket_is_closed() -> None:
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    stage = Stage(completion())
    await stage.gateway({"type": "websocket"}, asyncio.Queue[Message]().get, send)
    assert said == [{"type": "websocket.close", "code": 1000}]


async def test_who_leaves_before_the_request_is_whole_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(speech("Hello"))
    visit = stage.visit(whole=False)
    visit.leave()
    await stage.clock.advance()
    assert (visit.task.result(), visit.messages, caplog.records) == (None, [], [])
    stage.check()
