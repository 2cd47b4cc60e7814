"""Facts about the live stream."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.gateway.house import KEY, caller, chat, house
from tests.gateway.stage import ADMIN_KEY, Stage, Visit, message_of
from tests.gateway.test_openapi import check
from tests.runtime.house import completion, refusal, speech
from understudy.gateway import live
from understudy.gateway.live import READERS, Reader
from understudy.gateway.news import BACKLOG, News
from understudy.gateway.profiles import Profiles
from understudy.gateway.worker import Worker

KEYS = f"alice={KEY},bob=key-of-bob-0815"
ALICE = {"x-api-key": KEY}
BOB = {"x-api-key": "key-of-bob-0815"}
OPERATOR = {"x-api-key": ADMIN_KEY}


def events(visit: Visit) -> list[tuple[str, Any]]:
    """What came so far, by the events' names."""
    parts = visit.body.decode().split("\n\n")
    assert parts.pop() == ""
    pairs = [part.removeprefix("event: ").split("\ndata: ") for part in parts]
    return [(name, json.loads(data)) for name, data in pairs]


def of(visit: Visit, name: str) -> list[Any]:
    return [data for event, data in events(visit) if event == name]


async def watch(stage: Stage, headers: Mapping[str, str] | None = None) -> Visit:
    return await stage.look("/live", headers=headers)


async def leave(stage: Stage, *visits: Visit) -> None:
    for visit in visits:
        visit.leave()
        await visit.ended()
    stage.check()


# Pictures


async def test_a_reader_is_told_who_it_is_and_gets_a_picture_at_once_and_then_every_second() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    assert (visit.status, visit.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert [name for name, _ in events(visit)] == ["hello", "picture"]
    (hello,) = of(visit, "hello")
    assert (hello["client"], hello["operator"], hello["admin"]) == ("anonymous", False, False)
    await stage.clock.advance(0.9)
    assert len(of(visit, "picture")) == 1
    await stage.clock.advance(0.1)
    await stage.clock.advance(1)
    assert [picture["at"][-6:] for picture in of(visit, "picture")] == ["0.000Z", "1.000Z", "2.000Z"]
    await leave(stage, visit)


async def test_a_picture_is_as_described_and_holds_the_statistics() -> None:
    stage = Stage(refusal(401), completion())
    await stage.play()
    visit = await watch(stage)
    (picture,) = of(visit, "picture")
    check(picture, "Picture")
    profile = picture["profiles"]["evening"]
    assert profile["stats"] == (await stage.look("/stats/evening")).json
    assert (profile["policy"], profile["in_flight"], profile["waiting"]) == ("failover", 0, 0)
    assert (picture["worker"], picture["draining"], profile["default"]) == (None, False, False)
    assert profile["members"]["a"]["model"] == "model-a"
    strips = {name: member["strip"][-1] for name, member in profile["members"].items()}
    assert strips["a"] == {
        "ok": 0, "failed": 1, "refused": 0, "p95_first_content_ms": None, "by_kind": {"auth": 1},
    }  # fmt: skip
    assert (strips["b"]["ok"], strips["b"]["failed"], strips["b"]["p95_first_content_ms"]) == (1, 0, 0.0)
    await leave(stage, visit)


async def test_once_is_one_picture_as_json() -> None:
    stage = Stage(completion(), keys=KEYS)
    async with caller(stage.gateway) as client:
        answer = await client.get("/v1/live?once=1", headers=ALICE)
        assert answer.headers["content-type"] == "application/json"
        check(answer.json(), "Picture")
        assert (await client.get("/live?once=1")).status_code == 401
        assert (await client.post("/live")).status_code == 405
    visit = await watch(stage, BOB | {"x-request-id": "mine"})
    assert visit.headers["x-request-id"] == "mine"
    await leave(stage, visit)


async def test_a_head_request_is_told_the_kind_and_does_not_wait() -> None:
    stage = Stage(completion())
    visit = await stage.play(path="/live", method="HEAD")
    await visit.ended()
    assert visit.status == 200


async def test_the_default_the_worker_and_what_is_in_flight_are_told() -> None:
    stage = Stage(speech("Hi"))
    stage.gateway.worker = Worker(2, of=2)
    stage.gateway.profiles = Profiles({"evening": stage.served}, default="evening")
    running = stage.visit(stream=True)
    running.takes.clear()
    await stage.clock.advance()
    visit = await watch(stage)
    (picture,) = of(visit, "picture")
    profile = picture["profiles"]["evening"]
    assert (picture["worker"], profile["default"], profile["in_flight"]) == ("2", True, 1)
    running.takes.set()
    await running.ended()
    await leave(stage, visit)


async def test_profiles_come_and_go() -> None:
    stage, other = Stage(refusal(401), completion()), Stage(completion())
    visit = await watch(stage)
    stage.gateway.profiles = Profiles({"matinee": other.served})
    await stage.clock.advance(1)
    assert [list(picture["profiles"]) for picture in of(visit, "picture")] == [["evening"], ["matinee"]]
    stage.balancer.act("a", "drain")
    other.balancer.act("a", "drain")
    await stage.clock.advance(1)
    assert [change["profile"] for change in of(visit, "change")] == ["matinee"]
    await leave(stage, visit)


# Decisions and changes


async def test_every_request_that_ends_is_told_in_words_as_described() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    await stage.play(headers={"x-request-id": "mine"})
    (decision,) = of(visit, "decision")
    check(decision, "Decision")
    assert (decision["id"], decision["profile"], decision["status"]) == ("mine", "evening", "answered")
    assert (decision["backend"], decision["words"]) == ("a", "a answered in 0 ms")
    await leave(stage, visit)


async def test_an_attempt_that_failed_is_told_while_its_request_goes_on() -> None:
    stage = Stage([refusal(500), refusal(500)], completion())
    visit = await watch(stage)
    await stage.play(5.0)
    decisions = of(visit, "decision")
    assert [(one["status"], one["backend"], one["words"]) for one in decisions] == [
        ("running", "a", "a: server_error (500)"),
        ("running", "a", "a: server_error (500) twice"),
        ("answered", "b", "a: server_error (500) twice → b answered in 0 ms"),
    ]
    assert len({one["id"] for one in decisions}) == 1
    assert decisions[0]["at"] < decisions[1]["at"]
    await leave(stage, visit)


async def test_what_becomes_of_a_member_is_told() -> None:
    stage = Stage([refusal(500)] * 4, completion(), circuit_breaker_failure_threshold=2)
    stage.admit_operator()
    visit = await watch(stage)
    await stage.play(5.0)
    stage.balancer.act("b", "drain")
    await stage.clock.advance()
    changes = of(visit, "change")
    check(changes[0], "Change")
    assert [(change["backend"], change["words"]) for change in changes] == [
        ("a", "circuit open after 2 failures, probed in 30.0 s"),
        ("b", "drained by an operator"),
    ]
    await leave(stage, visit)


async def test_a_client_is_told_of_its_own_requests_the_operator_of_all_and_both_of_members() -> None:
    stage = Stage([refusal(401)] * 2, completion(), keys=KEYS)
    stage.admit_operator()
    alice, operator = await watch(stage, ALICE), await watch(stage, OPERATOR)
    await stage.play(headers=ALICE | {"x-request-id": "hers"})
    await stage.play(headers=BOB | {"x-request-id": "his"})
    assert {one["id"] for one in of(alice, "decision")} == {"hers"}
    assert {one["id"] for one in of(operator, "decision")} == {"hers", "his"}
    assert len(of(alice, "change")) == len(of(operator, "change")) == 2
    assert of(operator, "hello")[0] | {"version": ""} == {
        "client": None, "operator": True, "admin": True, "version": "",
    }  # fmt: skip
    await leave(stage, alice, operator)


async def test_a_failure_of_a_request_that_is_no_longer_kept_is_left_out() -> None:
    stage = Stage(refusal(401), completion())
    visit = await watch(stage)
    stage.gateway.journal._limit = 0
    await stage.play()
    assert [decision["status"] for decision in of(visit, "decision")] == ["answered"]
    await leave(stage, visit)


# While nobody listens


async def test_while_nobody_listens_no_timer_runs_and_no_balancer_is_listened_to() -> None:
    stage = Stage(completion())
    first, second = await watch(stage), await watch(stage)
    assert stage.clock.timers == 1, "one beat for all"
    assert len(stage.balancer._observers) == 3
    first.leave()
    await first.ended()
    assert stage.clock.timers == 1
    await leave(stage, second)
    assert stage.gateway.journal.on_end is None
    assert len(stage.balancer._observers) == 2
    again = await watch(stage)
    assert len(of(again, "picture")) == 1
    await leave(stage, again)


async def test_who_comes_before_the_first_picture_is_drawn_waits_for_it() -> None:
    stage = Stage(completion())
    visits = [stage.visit("/live", method="GET") for _ in range(2)]
    await stage.clock.advance()
    assert [[name for name, _ in events(visit)] for visit in visits] == [["hello", "picture"]] * 2
    await leave(stage, *visits)
    await stage.clock.advance(100)
    again = [stage.visit("/live", method="GET") for _ in range(2)]
    await stage.clock.advance()
    for visit in again:
        assert [picture["at"][-10:] for picture in of(visit, "picture")] == ["15:00.000Z"], "none of before"
    await leave(stage, *again)


async def test_who_comes_later_gets_the_newest_picture_at_once() -> None:
    stage = Stage(completion())
    first = await watch(stage)
    await stage.clock.advance(0.5)
    second = await watch(stage)
    assert of(second, "picture") == of(first, "picture")
    assert repr(stage.gateway.live) == "<Live, 2 readers>"
    await leave(stage, first, second)


# Slow readers


async def test_a_slow_reader_gets_the_newest_picture_and_none_in_between() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    visit.takes.clear()
    for _ in range(5):
        await stage.clock.advance(1)
    visit.takes.set()
    await stage.clock.advance()
    assert [picture["at"][-6:] for picture in of(visit, "picture")] == ["0.000Z", "1.000Z", "5.000Z"]
    await leave(stage, visit)


def news(number: int, *, smooth: bool = False, client: str | None = None) -> News:
    return News("decision", client, lambda: {"words": number}, smooth=smooth)


async def told(reader: Reader) -> list[Any]:
    parts = (await reader.next()).decode().split("\n\n")[:-1]
    return [json.loads(part.partition("data: ")[2]) for part in parts]


async def test_of_too_many_decisions_the_oldest_smooth_ones_make_way_first_and_are_counted() -> None:
    reader = Reader(None)
    for number in range(BACKLOG):
        reader.tell(news(number, smooth=number % 2 == 1))
    for number in range(BACKLOG, BACKLOG + 2):
        reader.tell(news(number))
    *kept, missed = await told(reader)
    assert [one["words"] for one in kept] == [0, 2, *range(4, BACKLOG + 2)]
    assert missed == {"count": 2}
    reader.tell(news(7))
    assert await told(reader) == [{"words": 7}]


async def test_where_none_is_smooth_the_oldest_makes_way() -> None:
    reader = Reader(None)
    for number in range(BACKLOG + 1):
        reader.tell(news(number))
    assert repr(reader) == f"<Reader operator, {BACKLOG} news wait, 1 missed>"
    assert (await told(reader))[0] == {"words": 1}


async def test_words_are_found_once_for_all_readers() -> None:
    asked: list[int] = []

    def tell() -> dict[str, Any]:
        asked.append(1)
        return {"words": "well"}

    shared = News("change", None, tell)
    readers = Reader(None), Reader("alice")
    for reader in readers:
        reader.tell(shared)
        assert await told(reader) == [{"words": "well"}]
    assert asked == [1]


async def test_who_takes_nothing_for_too_long_is_cut_off() -> None:
    stage = Stage(completion())
    stage.gateway.live.patience = 0.01
    visit = await watch(stage)
    visit.takes.clear()
    await stage.clock.advance(1)
    await visit.ended()
    assert not visit.is_whole
    stage.check()


async def test_who_has_left_as_the_server_says_is_let_go() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    visit.server_error = OSError("gone")
    await stage.clock.advance(1)
    await visit.ended()
    stage.check()


async def test_there_is_room_for_so_many_readers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert READERS == 100
    monkeypatch.setattr(live, "READERS", 1)
    stage = Stage(completion())
    first, second = await watch(stage), await watch(stage)
    assert (second.status, message_of(second)) == (503, "1 read this already")
    await leave(stage, first)


# The end


async def test_when_the_gateway_drains_every_stream_says_so_and_ends() -> None:
    stage = Stage(completion())
    stage.admit_operator()
    visits = [await watch(stage), await watch(stage, OPERATOR)]
    stage.gateway.draining = True
    for visit in visits:
        await visit.ended()
        assert visit.is_whole
        assert events(visit)[-1] == ("end", {"reason": "the gateway shuts down"})
    stage.check()
    late = await watch(stage, OPERATOR)
    assert (late.status, message_of(late)) == (503, "the gateway is shutting down")
    assert (await stage.look("/live", headers=OPERATOR)).status == 503


async def test_so_do_those_of_a_gateway_that_is_closed() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    await stage.gateway.close()
    await visit.ended()
    assert events(visit)[-1][0] == "end"


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_reader_that_takes_nothing_does_not_hold_up_the_end(seconds: float) -> None:
    """Be it that something is being written to it, or not."""
    stage = Stage(completion())
    stage.gateway.live.last_seconds = 0.01
    visit = await watch(stage)
    visit.takes.clear()
    await stage.clock.advance(seconds)
    stage.gateway.draining = True
    stage.gateway.draining = True
    await visit.ended()
    assert not visit.is_whole
    stage.check()


async def test_nor_does_one_that_is_being_cut_off_at_that_moment() -> None:
    feed = Stage(completion()).gateway.live
    reader = feed._join(None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0) as reader.limit:
            await asyncio.sleep(1)
    feed.end()
    assert reader.ended
    feed._leave(reader)


# Over a socket


async def test_for_a_real_reader_that_takes_nothing_little_is_kept_and_then_it_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "BEAT", 0.0)
    async with house() as open_house:
        feed = open_house.gateway.live
        feed.patience = 0.2
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", open_house.port))
            client.sendall(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
            most = 0
            async with asyncio.timeout(30):
                while repr(feed) == "<Live, 0 readers>":
                    await asyncio.sleep(0.01)
                while repr(feed) != "<Live, 0 readers>":
                    (reader,) = feed._readers
                    most = max(most, len(reader._picture))
                    await asyncio.sleep(0.01)
        assert 0 < most < 100_000, "one picture waits, and no more"
        await open_house.check_it_is_well()
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_real_client_reads_and_leaves_and_nothing_is_left_of_it() -> None:
    async with house("status 500") as open_house:
        async with (
            httpx.AsyncClient(base_url=open_house.url) as client,
            client.stream("GET", "/live") as stream,
        ):
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: hello"
            await open_house.post("/v1/chat/completions", chat())
            async with asyncio.timeout(5):
                while not (await anext(lines)).startswith("event: decision"):
                    pass
        await open_house.check_it_is_well()
        assert repr(open_house.gateway.live) == "<Live, 0 readers>"
