"""Facts about one chat request, from its body to the last byte of its answer."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import Any

import pytest

from tests.gateway.house import KEY, chat
from tests.gateway.stage import BUG, Stage, Visit, message_of
from tests.runtime.house import DONE, PREAMBLE, STOP, USAGE, completion, delta, refusal, speech, stream
from understudy.errors import InternalError
from understudy.gateway.admission import Door
from understudy.gateway.conversation import COMMENT, BrokenOff
from understudy.testing import Reply

JSON = "application/json"
MESSAGES = "/v1/messages"


def overhead(visit: Visit) -> float:
    return float(visit.headers["x-understudy-overhead-ms"])


SETTINGS_SENT: dict[str, Any] = {
    "timeout_ms": 1,
    "auth-key": "sk-mine",
    "base_url": "http://evil",
    "ephemeralSettings": {},
}

# Rule 1: what is taken out, and what goes through


async def test_unknown_fields_go_through_and_settings_never_do() -> None:
    stage = Stage(completion())
    visit = await stage.play(
        **SETTINGS_SENT,
        unheard_of={"a": [1, 2.50, None]},
        temperature=0.3,
    )
    assert visit.status == 200
    assert stage.bodies() == [
        {
            **chat(),
            "model": "model-a",
            "unheard_of": {"a": [1, 2.5, None]},
            "temperature": 0.3,
        }
    ]
    ignored = "auth-key, base_url, ephemeralSettings, timeout_ms"
    assert visit.headers["x-understudy-ignored"] == ignored


@pytest.mark.parametrize(
    "name", ["auth-key-env", "auth_key_env", "failover-retry-count", "ephemeralSettings"]
)
async def test_a_setting_is_known_in_either_spelling(name: str) -> None:
    stage = Stage(completion())
    visit = await stage.play(body=chat(**{name: "x"}))
    assert visit.headers["x-understudy-ignored"] == name
    assert name not in stage.bodies()[0]


async def test_a_setting_inside_a_message_is_the_clients_own_matter() -> None:
    stage = Stage(completion())
    visit = await stage.play(metadata={"timeout_ms": 1})
    assert "x-understudy-ignored" not in visit.headers
    assert stage.bodies()[0]["metadata"] == {"timeout_ms": 1}


async def test_errors_name_the_settings_that_were_taken_too() -> None:
    visit = await Stage(refusal(401), refusal(401)).play(timeout_ms=1)
    assert (visit.status, visit.headers["x-understudy-ignored"]) == (502, "timeout_ms")


@pytest.mark.parametrize(
    ("body", "param"), [(b"{", None), (b"[]", None), (b'{"model": "evening"}', "messages")]
)
async def test_what_cannot_be_read_is_refused_and_nobody_is_asked(body: bytes, param: str | None) -> None:
    stage = Stage(completion())
    visit = await stage.play(body=body)
    error = visit.json["error"]
    assert (visit.status, error["code"], error["param"]) == (400, "invalid_request", param)
    assert stage.transport.requests == []
    assert stage.balancer.stats().total_requests == 0


async def test_a_body_beyond_the_limit_is_refused() -> None:
    stage = Stage(completion())
    stage.gateway.conversations.body_limit = 100
    visit = await stage.play(padding="x" * 100)
    assert (visit.status, visit.json["error"]["code"]) == (413, "request_too_large")


async def test_an_unknown_model_is_refused_before_anybody_is_asked() -> None:
    stage = Stage(completion())
    visit = await stage.play(model="evenin")
    assert (visit.status, visit.json["error"]["code"]) == (404, "model_not_found")
    assert "did you mean evening?" in message_of(visit)


# Sessions


async def who_answers(stage: Stage, **headers: str) -> str:
    named = {name.replace("__", "-"): value for name, value in headers.items()}
    return (await stage.play(headers=named)).headers["x-understudy-backend"]


@pytest.mark.parametrize(
    "header", ["x__understudy__session", "x__claude__code__session__id", "session_id", "x__session__id"]
)
async def test_a_session_named_by_a_header_keeps_its_backend(header: str) -> None:
    stage = Stage(completion(), completion(), policy="sticky")
    homes = {session: await who_answers(stage, **{header: session}) for session in "12345678"}
    assert set(homes.values()) == {"a", "b"}, "the same words, and yet not the same backend"
    for session, home in homes.items():
        assert await who_answers(stage, **{header: session}) == home
    stage.check()


async def test_our_own_header_names_the_session_before_an_agents() -> None:
    stage = Stage(completion(), completion(), policy="sticky")
    homes = {
        await who_answers(stage, x__session__id=other, x__understudy__session="1") for other in "12345678"
    }
    assert len(homes) == 1


# Who answered


async def test_headers_name_the_profile_the_backend_its_model_and_the_attempts() -> None:
    stage = Stage(refusal(401), completion())
    visit = await stage.play(headers={"x-request-id": "mine"})
    named = {
        "content-type": JSON,
        "x-request-id": "mine",
        "x-understudy-profile": "evening",
        "x-understudy-backend": "b",
        "x-understudy-model": "m",
        "x-understudy-attempts": "2",
    }
    assert named.items() <= visit.headers.items()
    assert json.loads(visit.body)["choices"][0]["message"]["content"] == "Hello"
    stage.check()


async def test_where_a_backend_names_no_model_it_is_the_one_that_was_asked_for() -> None:
    said = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    visit = await Stage(Reply(headers={"content-type": JSON}, pieces=[json.dumps(said).encode()])).play()
    assert visit.headers["x-understudy-model"] == "model-a"


async def test_where_nobody_was_asked_nobody_is_named() -> None:
    stage = Stage(completion(), completion(), wait_for_capacity_ms=0)
    for name in "ab":
        stage.balancer.act(name, "drain")
    visit = await stage.play()
    assert (visit.status, visit.headers["x-understudy-attempts"]) == (503, "0")
    assert not {"x-understudy-backend", "x-understudy-model"} & visit.headers.keys()


# Rule 2: the status tells the truth


async def test_nothing_is_sent_before_there_is_content() -> None:
    stage = Stage(stream(2.0, PREAMBLE, 2.0, delta("Hello"), 2.0, STOP, DONE))
    visit = await stage.play(3.9, stream=True)
    assert visit.messages == []
    await stage.clock.advance(0.1)
    assert visit.status == 200
    assert visit.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (visit.headers["cache-control"], visit.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert visit.pieces == [PREAMBLE + delta("Hello")]
    assert not visit.is_whole
    await stage.clock.advance(2)
    assert visit.body == PREAMBLE + delta("Hello") + STOP + DONE
    assert visit.is_whole
    stage.check()


async def test_a_failure_before_content_is_an_error_with_its_status() -> None:
    stage = Stage(refusal(429, retry_after="30"), refusal(429, retry_after="40"))
    visit = await stage.play(stream=True)
    assert (visit.status, visit.headers["content-type"]) == (429, JSON)
    assert [cause["backend"] for cause in visit.json["error"]["causes"]] == ["a", "b"]
    assert visit.headers["retry-after"] == "30"
    assert visit.is_whole
    stage.check()


async def test_the_clients_own_mistake_passes_as_it_came() -> None:
    stage = Stage(refusal(400, "temperature is too high"), completion())
    visit = await stage.play()
    assert (visit.status, visit.json) == (400, {"error": {"message": "temperature is too high"}})


async def test_and_in_its_own_words_to_a_client_of_the_other_format() -> None:
    stage = Stage(refusal(400, "temperature is too high"), completion())
    visit = await stage.play(path=MESSAGES)
    assert (visit.status, visit.json["error"]["type"]) == (400, "invalid_request_error")
    assert "temperature is too high" in visit.json["error"]["message"]


# Comments


async def commented(stage: Stage, **options: Any) -> Visit:
    """A stream that has been given a comment while its backend is silent."""
    visit = stage.visit(stream=True, **options)
    async with asyncio.timeout(5):
        while COMMENT not in visit.body:
            await asyncio.sleep(0.001)
    return visit


async def test_comments_go_on_between_events() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, STOP, DONE), comment_seconds=0.002)
    visit = await commented(stage)
    assert visit.pieces[0] == delta("Hello")
    await stage.clock.advance(5)
    await visit.ended()
    assert visit.body.replace(COMMENT, b"") == delta("Hello") + STOP + DONE
    stage.check()


async def test_an_answer_begun_by_a_comment_names_who_is_being_asked() -> None:
    stage = Stage(stream(5.0, delta("Hello"), STOP, DONE), comment_seconds=0.002)
    visit = await commented(stage)
    assert (visit.status, visit.headers["x-understudy-attempts"]) == (200, "1")
    await stage.clock.advance(5)
    await visit.ended()
    assert visit.body.replace(COMMENT, b"") == delta("Hello") + STOP + DONE
    stage.check()


@pytest.mark.parametrize(
    ("path", "ending"), [("/v1/chat/completions", b"data: {"), (MESSAGES, b"event: error\n")]
)
async def test_a_failure_after_comments_is_an_error_event(path: str, ending: bytes) -> None:
    stage = Stage(stream(5.0), refusal(401), comment_seconds=0.002, failover_retry_count=1)
    visit = await commented(stage, path=path)
    await stage.clock.advance(5)
    await visit.ended()
    assert visit.status == 200
    assert visit.is_whole
    (event,) = visit.body.replace(COMMENT, b"").split(b"\n\n")[:-1]
    assert event.startswith(ending)
    assert b'"causes"' in event
    stage.check()


async def test_a_unary_answer_gets_no_comments() -> None:
    stage = Stage(completion(), comment_seconds=0.001)
    visit = await stage.play()
    assert visit.headers["content-type"] == JSON
    stage.check()


async def test_who_leaves_while_kept_awake_ends_the_attempt() -> None:
    stage = Stage(stream(60.0), comment_seconds=0.002)
    visit = await commented(stage)
    visit.leave()
    await visit.ended()
    assert not visit.is_whole
    assert (await stage.trail(visit))["status"] == "cancelled"
    stage.check()


async def test_a_comment_that_finds_the_client_gone_leaves_no_error_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The backend fails while the comment is stuck; nobody looks at that failure any more."""
    stage = Stage(stream(5.0), refusal(401), comment_seconds=0.002, failover_retry_count=1)
    visit = stage.visit(stream=True)
    visit.takes.clear()
    await asyncio.sleep(0.02)
    await stage.clock.advance(5)
    visit.leave()
    await visit.ended()
    await asyncio.sleep(0)
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
    stage.check()


# Rule 3: a slow reader


async def test_the_next_batch_is_read_only_once_the_client_has_taken_the_last() -> None:
    stage = Stage(stream(delta("To"), delta(" be"), delta(" or not"), STOP, DONE))
    visit = stage.visit(stream=True)
    visit.takes.clear()
    await stage.clock.advance()
    response = stage.transport.responses[0]
    assert len(response._pieces) == 4, "one piece was read ahead"
    await stage.clock.advance(3600)
    assert len(response._pieces) == 4
    visit.takes.set()
    await stage.clock.advance()
    assert visit.body == delta("To") + delta(" be") + delta(" or not") + STOP + DONE
    assert stage.balancer.stats().backends[0].failures == 0, "a slow reader is no stalled backend"
    stage.check()


async def test_a_batch_is_one_write() -> None:
    stage = Stage(stream(delta("To") + delta(" be"), delta(" or not") + STOP + DONE))
    visit = await stage.play(stream=True)
    assert visit.pieces == [delta("To") + delta(" be"), delta(" or not") + STOP, DONE]


async def test_what_says_nothing_to_the_client_is_no_write() -> None:
    """A backend's usage that the client did not ask for, in an event of its own."""
    stage = Stage(stream(delta("To"), USAGE, STOP, DONE))
    visit = await stage.play(stream=True)
    assert visit.pieces == [delta("To"), STOP, DONE]


# Rule 4: after the first byte


@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
async def test_after_the_first_byte_a_failure_is_an_error_event_and_nothing_follows(path: str) -> None:
    stage = Stage(stream(delta("Hello")), completion())
    visit = await stage.play(path=path, stream=True)
    assert visit.status == 200
    assert visit.is_whole
    last = visit.body.split(b"\n\n")[-2]
    assert b"broke off after its first content" in last
    assert last.startswith(b"event: error\n" if path == MESSAGES else b"data: {")
    assert b"[DONE]" not in visit.body
    assert b"message_stop" not in visit.body
    assert stage.transport.requests[1:] == []
    stage.check()


# Rule 5: leaving, and the journal


@pytest.mark.parametrize("stream_", [True, False])
async def test_who_leaves_ends_the_attempt(stream_: bool) -> None:
    stage = Stage(stream(delta("Hello"), 60.0) if stream_ else Reply(head=[60.0]))
    visit = await stage.play(1, stream=stream_, headers={"x-request-id": "mine"})
    visit.leave()
    await stage.clock.advance()
    assert visit.task.result() is None
    assert not visit.is_whole
    entry = (await stage.look("/requests/mine")).json
    assert (entry["status"], entry["duration_ms"]) == ("cancelled", 1000)
    assert stage.balancer.stats().cancelled == 1
    stage.check()


async def test_a_server_that_cannot_send_says_that_the_client_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for script in (stream(delta("Hello"), 2.0, STOP, DONE), stream(delta("Hello"), 2.0)):
        stage = Stage(script)
        visit = await stage.play(1, stream=True)
        visit.server_error = ConnectionResetError()
        await stage.clock.advance(1)
        assert visit.task.result() is None
        assert (await stage.trail(visit))["status"] == "cancelled"
        assert caplog.records == []
        stage.check()


@pytest.mark.parametrize(
    ("scripts", "status"),
    [([speech("Hello")], "answered"), ([refusal(401)], "failed"), ([stream(delta("Hello"))], "failed")],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
async def test_the_journal_tells_how_a_request_ended(scripts: list[Reply], status: str, path: str) -> None:
    stage = Stage(*scripts)
    visit = await stage.play(path=path, stream=True)
    entry = await stage.trail(visit)
    assert (entry["status"], entry["profile"], entry["model"]) == (status, "evening", "evening")
    assert [step["backend"] for step in entry["trail"]][:1] == ["a"]
    stage.check()


async def test_while_it_runs_the_journal_says_so() -> None:
    stage = Stage(stream(delta("Hello"), 60.0))
    visit = await stage.play(1, stream=True)
    entry = await stage.trail(visit)
    assert (entry["status"], entry["backend"], entry["duration_ms"]) == ("running", "a", None)
    visit.leave()
    await stage.clock.advance()


async def test_a_request_is_one_line_at_debug_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(completion("a secret answer"), keys=f"alice={KEY}")
    with caplog.at_level(logging.DEBUG, "understudy.gateway"):
        await stage.play(headers={"x-request-id": "mine", "x-api-key": KEY})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "<Entry mine of alice: evening, answered by a in 0 ms>"


async def test_a_client_that_leaves_after_its_answer_changes_nothing() -> None:
    stage = Stage(speech("Hello"))
    visit = await stage.play(stream=True)
    visit.leave()
    await stage.clock.advance()
    assert (await stage.trail(visit))["status"] == "answered"
    stage.check()


# Rule 6: bugs


@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
@pytest.mark.parametrize("stream_", [True, False])
async def test_a_bug_before_the_first_byte_is_an_error_without_its_details(path: str, stream_: bool) -> None:
    stage = Stage(Reply(pieces=[BUG]))
    visit = await stage.play(path=path, stream=stream_)
    assert visit.status == 500
    assert ("type" in visit.json) is (path == MESSAGES)
    assert "no piece" not in visit.body.decode()
    assert (await stage.trail(visit))["status"] == "failed"
    assert stage.balancer.stats().failed == 1
    stage.check()


async def test_after_it_the_answer_is_broken_off() -> None:
    stage = Stage(stream(delta("Hello"), BUG))
    visit = await stage.play(stream=True)
    error = visit.task.exception()
    assert isinstance(error, BrokenOff)
    assert isinstance(error.__cause__, InternalError)
    assert visit.body == delta("Hello")
    assert not visit.is_whole
    assert (await stage.trail(visit))["status"] == "failed"
    stage.check()


async def test_a_bug_of_the_gateways_own_is_told_apart_from_a_client_that_left() -> None:
    stage = Stage(stream(delta("Hello"), 2.0, STOP, DONE))
    visit = await stage.play(1, stream=True)
    visit.server_error = RuntimeError("a bug")
    await stage.clock.advance(1)
    assert isinstance(visit.task.exception(), BrokenOff)
    assert (await stage.trail(visit))["status"] == "failed"
    stage.check()


# Overhead


async def test_neither_backends_nor_back_offs_count_as_overhead() -> None:
    stage = Stage(
        [refusal(500), Reply(head=[3.0], pieces=completion().pieces, headers={"content-type": JSON})]
    )
    visit = await stage.play(10)
    assert visit.headers["x-understudy-attempts"] == "2"
    assert overhead(visit) == 0
    stage.check()


async def test_nor_does_waiting_for_capacity() -> None:
    stage = Stage([refusal(429, retry_after="5"), completion()], timeout_ms=60000)
    visit = await stage.play(5)
    assert (visit.status, overhead(visit)) == (200, 0)
    stage.check()


async def test_nor_does_the_time_in_which_the_client_sends() -> None:
    stage = Stage(completion())
    visit = stage.visit(whole=False)
    await stage.clock.advance(7)
    visit.send_body(json.dumps(chat()).encode())
    await stage.clock.advance()
    assert overhead(visit) == 0


async def test_nor_does_the_queue() -> None:
    stage = Stage([stream(delta("Hello"), 7.0, STOP, DONE), completion()], door=Door(1, 1, 20.0))
    await stage.play(stream=True)
    visit = await stage.play(7)
    assert (visit.status, overhead(visit)) == (200, 0)


async def test_our_own_work_does() -> None:
    """A clock that moves by a second whenever it is asked has nothing but work to show."""
    stage = Stage(completion())
    before = stage.clock.now

    def now() -> float:
        stage.clock._now += 1.0
        return before()

    stage.gateway.clock.now = now  # type: ignore[method-assign]
    visit = await stage.play()
    assert overhead(visit) > 1000
    assert stage.gateway.conversations.own_time.count == 1


async def test_a_comment_during_a_back_off_counts_none_of_it() -> None:
    stage = Stage([refusal(500), speech("Hello")], comment_seconds=0.01)
    visit = stage.visit(stream=True)
    await stage.clock.advance(0.9)
    async with asyncio.timeout(5):
        while not visit.messages:
            await asyncio.sleep(0.001)
    assert overhead(visit) == 0
    await stage.clock.advance(1)
    await visit.ended()
    stage.check()


# The door


async def test_when_the_queue_is_full_the_next_is_told_when_to_come_again() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, STOP, DONE), door=Door(1, 1, 20.0))
    first, second, third = (stage.visit(stream=True) for _ in range(3))
    await stage.clock.advance(1)
    assert (third.status, third.json["error"]["code"]) == (503, "too_many_requests")
    assert third.headers["retry-after"] == "1"
    assert stage.transport.requests[1:] == []
    await stage.clock.advance(10)
    assert first.is_whole
    assert second.is_whole
    stage.check()


async def test_who_leaves_the_queue_is_asked_for_nowhere() -> None:
    stage = Stage(stream(delta("Hello"), 5.0, STOP, DONE), door=Door(1, 1, 20.0))
    await stage.play(stream=True)
    waiting = await stage.play(stream=True)
    waiting.leave()
    await stage.clock.advance(10)
    assert len(stage.transport.requests) == 1
    assert waiting.messages == []
    stage.check()


# Across formats


async def test_a_stream_to_a_client_of_the_other_format_is_in_its_words() -> None:
    stage = Stage(speech("To", " be"))
    visit = await stage.play(path=MESSAGES, stream=True)
    names = [line.removeprefix(b"event: ") for line in visit.body.split(b"\n") if line.startswith(b"event: ")]
    assert names[0] == b"message_start"
    assert names[-2:] == [b"message_delta", b"message_stop"]
    assert b'"text":"To"' in visit.body
    assert b'"output_tokens":3' in visit.body
    assert visit.is_whole
    stage.check()


async def test_so_is_a_whole_answer() -> None:
    stage = Stage(completion("To be"))
    visit = await stage.play(path=MESSAGES)
    assert [block["text"] for block in visit.json["content"]] == ["To be"]
    assert visit.json["stop_reason"] == "end_turn"


async def test_a_whole_answer_in_the_clients_own_format_passes_byte_by_byte() -> None:
    visit = await Stage(completion(unheard_of=[1.50])).play()
    assert visit.body == completion(unheard_of=[1.50]).pieces[0]


async def test_a_whole_json_answer_to_a_stream_request_is_told_as_a_stream() -> None:
    visit = await Stage(completion("Hello")).play(stream=True)
    assert visit.headers["content-type"].startswith("text/event-stream")
    events = visit.body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    said = json.loads(events[0].removeprefix(b"data: "))
    assert said["object"] == "chat.completion.chunk"
    assert said["choices"][0]["delta"]["content"] == "Hello"


# Empty answers


async def test_if_all_end_empty_but_properly_the_last_is_the_answer() -> None:
    silence = stream(PREAMBLE, STOP, DONE)
    stage = Stage(silence, silence, failover_retry_count=1)
    visit = await stage.play(stream=True)
    assert (visit.status, visit.body) == (200, PREAMBLE + STOP + DONE)
    assert visit.headers["x-understudy-backend"] == "b"
    assert (await stage.trail(visit))["status"] == "answered"
    stage.check()


@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
async def test_the_unary_case_of_the_same(path: str) -> None:
    stage = Stage(completion(""), completion(""), failover_retry_count=1)
    visit = await stage.play(path=path)
    assert visit.status == 200
    assert (await stage.trail(visit))["status"] == "answered"
    stage.check()


@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
async def test_an_answer_without_any_choice_has_not_ended_properly(path: str) -> None:
    nothing = Reply(headers={"content-type": JSON}, pieces=[b'{"choices": [], "usage": null}'])
    stage = Stage(nothing, nothing, failover_retry_count=1)
    visit = await stage.play(path=path)
    assert visit.status == 502
    stage.check()
