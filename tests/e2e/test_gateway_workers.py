"""What clients, operators and scrapers see of ``understudy serve --workers``. Real processes and signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.gateway_theatre import Visitor
from tests.e2e.redis_server import RedisServer, needs_redis
from tests.e2e.workforce import Series, Workforce, figure, get, is_running, workforce
from understudy.faults import TEXT

HELD = "delay 1.2s after=20"


def answered(series: Series) -> float:
    return figure(series, "understudy_requests_total", profile="evening", result="answered")


async def counted(force: Workforce, worker: int | None = None) -> int:
    return int(answered(await force.metrics(worker)))


async def said_by_both(force: Workforce) -> list[str]:
    """The next two lines of the log, without their times."""
    return sorted([(await force.line()).partition("INFO ")[2] for _ in range(2)])


# Who answers


async def test_the_url_is_told_once_when_all_workers_take_requests(tmp_path: Path) -> None:
    async with workforce(tmp_path, workers=3) as force:
        assert sorted(force.workers()) == [1, 2, 3]
        for worker in (1, 2, 3):
            reply = await force.ask(worker)
            assert (reply.status, reply.headers["x-understudy-worker"]) == (200, str(worker))
        force.process.send_signal(signal.SIGINT)
        assert await force.check_left() == ""
        assert force.process.stdout is not None
        assert await force.process.stdout.read() == b""


async def test_every_answer_says_which_worker_gave_it_refusals_too(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force, force.visit(2) as visitor:
        await visitor.send("GET", "/nowhere", {}, b"")
        await visitor.read_head()
        assert (visitor.status, visitor.headers["x-understudy-worker"]) == (404, "2")
        await visitor.read_rest()
        visitor.writer.write(b"NO HTTP\r\n\r\n")
        await visitor.read_head()
        assert (visitor.status, visitor.headers["x-understudy-worker"]) == (400, "2")


async def test_requests_at_the_same_time_are_spread_over_all_workers(tmp_path: Path) -> None:
    async with workforce(tmp_path, "delay 0.05s") as force:

        async def ask() -> str:
            reply = await force.get("/v1/chat/completions", method="POST", body=_BODY)
            assert reply.status == 200
            return reply.headers["x-understudy-worker"]

        async def ask_on() -> list[str]:
            return [await ask() for _ in range(10)]

        answers = [each for some in await asyncio.gather(*(ask_on() for _ in range(16))) for each in some]
        assert min(answers.count(worker) for worker in "12") >= len(answers) / 5


_BODY = json.dumps({"model": "evening", "messages": [{"role": "user", "content": "Hi"}]}).encode()


async def test_no_two_workers_give_the_same_id_nor_does_one_that_takes_anothers_place(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        ids = {(await force.get("/health/liveness", worker)).headers["x-request-id"] for worker in (1, 2)}
        os.kill(force.workers()[1], signal.SIGKILL)
        await force.line()
        await force.until_all_are_there()
        ids.add((await force.get("/health/liveness", 1)).headers["x-request-id"])
        assert len(ids) == 3


# Whoever is asked answers for all


async def test_whichever_worker_is_scraped_counts_what_all_were_sent(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        for worker, times in [(1, 3), (2, 5)]:
            for _ in range(times):
                assert (await force.ask(worker)).status == 200
        for worker in (1, 2):
            series = await force.metrics(worker)
            assert answered(series) == len(force.provider.requests) == 8
            at = {"profile": "evening", "backend": "lead"}
            assert figure(series, "understudy_attempts_total", **at, outcome="success") == 8
            assert figure(series, "understudy_attempt_duration_seconds_count", **at) == 8
            assert figure(series, "understudy_gateway_overhead_seconds_count") == 8
            for each in "12":
                assert figure(series, "understudy_breaker_state", **at, state="closed", worker=each) == 1
                assert figure(series, "process_open_fds", worker=each) > 0
            assert [value for (name, _), value in series.items() if name == "understudy_build_info"] == [1]


async def test_attempts_that_run_are_counted_over_all_workers(tmp_path: Path) -> None:
    async with workforce(tmp_path, HELD) as force, force.stream(1), force.stream(2):
        series = await force.metrics()
        assert figure(series, "understudy_requests_in_flight", profile="evening") == 2
        assert (await force.get("/stats/evening")).value["in_flight"] == 2


async def test_statistics_are_of_all_workers_and_say_who_answers(tmp_path: Path) -> None:
    async with workforce(tmp_path, "fine; status 500; fine") as force:
        for worker in (1, 2, 2):
            assert (await force.ask(worker)).status == 200
        for worker in (1, 2):
            stats = (await force.get("/stats", worker)).value
            assert (stats["worker"], stats["workers"]) == (worker, 2)
            evening = stats["profiles"]["evening"]
            assert (evening["total_requests"], evening["answered"]) == (3, 3)
            backend = evening["backends"]["lead"]
            assert (backend["successes"], backend["failures"]) == (3, 1)
            assert backend["latency_ms"]["p50"] > 0
            mean = backend["total_latency_ms"] / 4
            assert backend["avg_latency_ms"] == pytest.approx(mean, abs=0.001)
            alone = (await force.get("/stats/evening", worker)).value
            assert (alone["worker"], alone["workers"], alone["answered"]) == (worker, 2, 3)


async def test_a_request_is_found_by_any_worker(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        request_id = (await force.ask(1)).headers["x-request-id"]
        for worker in (1, 2):
            found = (await force.get(f"/requests/{request_id}", worker)).value
            assert (found["id"], found["status"], found["backend"]) == (request_id, "answered", "lead")
        assert (await force.get("/requests/nobody", 1)).status == 404


async def test_a_client_does_not_see_anothers_request_through_another_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_KEYS", "alice=key-of-alice,bob=key-of-bob")
    async with workforce(tmp_path) as force:
        alice, bob = "key-of-alice", "key-of-bob"
        async with force.visit(1) as visitor:
            reply = await get(visitor, "/v1/chat/completions", "POST", _BODY, alice)
        path = f"/requests/{reply.headers['x-request-id']}"
        assert (await force.get(path, 2, key=alice)).status == 200
        assert (await force.get(path, 2, key=bob)).status == 404
        assert (await force.admin("GET", path, worker=2)).status == 200


async def test_whoever_is_watched_shows_the_requests_of_all_workers(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force, force.visit(1) as watcher:
        await watcher.send("GET", "/live", {}, b"")
        await watcher.read_head()
        await watcher.read_until(b"event: picture")
        sent = [(await force.ask(worker)).headers["x-request-id"] for worker in (1, 2, 2, 1, 2)]
        async with asyncio.timeout(10):
            while len(told := decisions(watcher)) < len(sent):
                await watcher.read_piece()
        assert sorted(told) == sorted(sent)
        for worker in (1, 2):
            picture = (await force.get("/live?once=1", worker)).value
            evening = picture["profiles"]["evening"]
            assert (picture["worker"], evening["stats"]["answered"]) == (str(worker), len(sent))
            strip = evening["members"]["lead"]["strip"]
            assert sum(bucket["ok"] for bucket in strip if bucket is not None) == len(sent)
            listed = (await force.get("/requests", worker)).value["requests"]
            assert [request["id"] for request in listed] == sent[::-1]


def decisions(watcher: Visitor) -> list[str]:
    """The ids of those that came so far."""
    events = watcher.body.decode().split("\n\n")[:-1]
    told = [event.partition("\ndata: ")[2] for event in events if event.startswith("event: decision")]
    return [json.loads(data)["id"] for data in told]


async def test_a_worker_that_hangs_is_answered_for_with_what_it_had_counted(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        await force.ask(2)
        assert await counted(force, 1) == 1
        async with force.visit(1) as visitor:
            os.kill(force.workers()[2], signal.SIGSTOP)
            began = time.monotonic()
            stats = (await get(visitor, "/stats")).value
            assert time.monotonic() - began < 3
            assert stats["profiles"]["evening"]["answered"] == 1
            os.kill(force.workers()[2], signal.SIGCONT)


# Without shared state


async def test_ceilings_hold_for_all_workers_together(tmp_path: Path) -> None:
    options = ("--max-concurrent", "5")
    async with workforce(tmp_path, "fine", *options, rpm_limit=5, wait_for_capacity_ms=0) as force:
        statuses = [(await force.ask(worker)).status for worker in (1, 2) for _ in range(7)]
        assert statuses.count(200) == len(force.provider.requests) == 5 * 2, "each of two members has five"
        assert set(statuses) == {200, 429}
        backends = (await force.get("/stats/evening")).value["backends"]
        assert backends["lead"]["ceilings"]["rpm_limit"] == {"used": 5, "limit": 5}


async def test_so_does_the_number_of_requests_at_a_time(tmp_path: Path) -> None:
    options = ("--max-concurrent", "3", "--max-queue", "0")
    async with workforce(tmp_path, HELD, *options) as force, AsyncExitStack() as stack:
        for worker in (1, 1, 2):
            await stack.enter_async_context(force.stream(worker))
        for worker in (1, 2):
            reply = await force.ask(worker)
            assert reply.error is not None
            assert (reply.status, reply.error["code"]) == (503, "too_many_requests")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/admin/profiles/evening/backends/lead/drain", b""),
        ("PUT", "/admin/profiles/evening/settings/timeout_ms", b'{"value": 5}'),
        ("DELETE", "/admin/profiles/evening/settings/timeout_ms", b""),
    ],
)
async def test_what_only_one_worker_would_do_is_refused_with_the_way_out(
    tmp_path: Path, method: str, path: str, body: bytes
) -> None:
    async with workforce(tmp_path) as force:
        reply = await force.admin(method, path, body, worker=2)
        assert reply.error is not None
        assert (reply.status, reply.error["code"]) == (409, "state_not_shared")
        assert reply.error["message"].startswith("only worker 2 of 2 would hear of this; ")
        settings = (await force.admin("GET", "/admin/profiles/evening/settings", worker=2)).value
        assert settings["timeout_ms"]["source"] == "default"


async def test_loading_anew_reaches_every_worker(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        # What the files say now differs in nothing that looking at them would notice.
        reply = await force.admin("POST", "/admin/reload", worker=1)
        assert reply.value == {"profiles": ["evening"]}
        assert await said_by_both(force) == [
            f"understudy.gateway worker {worker}: profiles loaded anew: evening\n" for worker in (1, 2)
        ]
        force.process.send_signal(signal.SIGINT)
        assert await force.check_left() == ""


# One that dies


async def test_killing_one_under_load_costs_the_others_no_answer_and_it_is_replaced(tmp_path: Path) -> None:
    async with workforce(tmp_path, HELD) as force:
        async with AsyncExitStack() as stack:
            streams = [
                (worker, await stack.enter_async_context(force.stream(worker)))
                for worker in (1, 2) for _ in range(4)
            ]  # fmt: skip
            killed = force.workers()[1]
            os.kill(killed, signal.SIGKILL)
            replies = [(worker, await visitor.read_rest()) for worker, visitor in streams]
        assert [reply.whole for worker, reply in replies] == [worker == 2 for worker, _ in replies]
        assert all(reply.text == TEXT for worker, reply in replies if worker == 2)
        line = await force.line()
        assert line.endswith(f"worker 1 ({killed}) was killed by SIGKILL; it is replaced in 0.1 s\n")
        await force.until_all_are_there()
        assert (await force.ask(1)).text == TEXT
        force.process.send_signal(signal.SIGINT)
        (said,) = (await force.check_left()).splitlines()
        assert said.endswith("worker 1: profiles loaded anew: evening")


async def test_nothing_that_was_told_is_taken_back_when_a_worker_dies(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        sent = 0
        for _ in range(3):
            for worker in (1, 1, 2):
                await force.ask(worker)
            sent += 3
            assert await counted(force, 2) == sent
            os.kill(force.workers()[1], signal.SIGKILL)
            while 1 not in force.workers():
                assert await counted(force) == sent
            assert await counted(force, 1) == sent
            assert (await force.get("/stats/evening", 2)).value["answered"] == sent
        assert await counted(force, 2) == 9


async def test_one_that_begins_late_serves_what_the_files_say_then(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        force.home.pool("morning", "second", "lead")
        for _ in range(2):
            assert "loaded anew: evening, morning" in await force.line()
        os.kill(force.workers()[2], signal.SIGKILL)
        assert "is replaced" in await force.line()
        assert "worker 2: profiles loaded anew: evening, morning" in await force.line()
        await force.until_all_are_there()
        assert (await force.ask(2, model="morning")).headers["x-understudy-backend"] == "second"


async def test_one_that_begins_late_over_broken_files_serves_what_the_others_began_with(
    tmp_path: Path,
) -> None:
    async with workforce(tmp_path) as force:
        force.home.save("evening", "{")
        for _ in range(2):
            assert "profiles not loaded, the running ones stay" in await force.line()
        os.kill(force.workers()[2], signal.SIGKILL)
        assert "is replaced" in await force.line()
        assert "worker 2: profiles not loaded" in await force.line()
        await force.until_all_are_there()
        assert (await force.ask(2)).text == TEXT


# Signals


async def test_on_sigterm_every_stream_finishes_and_nothing_is_left(tmp_path: Path) -> None:
    async with (
        workforce(tmp_path, HELD, "--drain-delay", "0.6") as force,
        force.stream(1) as one,
        force.stream(2) as two,
        force.visit(1) as late,
    ):
        force.process.send_signal(signal.SIGTERM)
        while (await get(late, "/health/readiness")).status == 200:
            await asyncio.sleep(0.01)
        await chat_refused(force)
        for visitor in (one, two):
            reply = await visitor.read_rest()
            assert (reply.text, reply.error, reply.dones, reply.whole) == (TEXT, None, 1, True)
        await force.check_left()
        await force.until_nobody_listens()


async def chat_refused(force: Workforce) -> None:
    reply = await force.get("/v1/chat/completions", method="POST", body=_BODY)
    assert reply.error is not None
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (503, "shutting_down", "close")


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_all_processes_of_the_group_is_one_signal(
    tmp_path: Path, told: signal.Signals
) -> None:
    """As a terminal's Ctrl-C and a service manager send it."""
    async with (
        workforce(tmp_path, HELD, "--drain-delay", "0.1") as force,
        force.stream(1) as one,
        force.stream(2) as two,
    ):
        os.killpg(force.process.pid, told)
        for visitor in (one, two):
            assert (await visitor.read_rest()).text == TEXT
        await force.check_left()


async def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    async with (
        workforce(tmp_path, "stall after=20", "--drain-delay", "20") as force,
        force.stream(1) as one,
        force.stream(2) as two,
    ):
        force.process.send_signal(signal.SIGTERM)
        await force.get("/health/liveness")
        await asyncio.sleep(0.2)
        told = time.monotonic()
        force.process.send_signal(signal.SIGTERM)
        for visitor in (one, two):
            reply = await visitor.read_rest()
            assert reply.error is not None
            assert reply.error["code"] == "shutting_down"
        assert time.monotonic() - told < 2
        await force.check_left()


async def test_sighup_reloads_every_worker(tmp_path: Path) -> None:
    async with workforce(tmp_path) as force:
        force.process.send_signal(signal.SIGHUP)
        assert await said_by_both(force) == [
            f"understudy.gateway worker {worker}: profiles loaded anew: evening\n" for worker in (1, 2)
        ]


async def test_one_that_does_not_leave_is_killed(tmp_path: Path) -> None:
    options = ("--drain-delay", "0", "--drain-timeout", "0")
    async with workforce(tmp_path, "fine", *options) as force:
        hung = force.workers()[1]
        os.kill(hung, signal.SIGSTOP)
        force.process.send_signal(signal.SIGTERM)
        said = await force.check_left(within=12)
        assert f"worker 1 ({hung}) did not leave and is killed" in said


async def test_when_the_parent_is_killed_the_workers_finish_their_streams_and_leave(tmp_path: Path) -> None:
    async with workforce(tmp_path, HELD) as force, force.stream(1) as one, force.stream(2) as two:
        workers = force.workers().values()
        force.process.kill()
        await force.until_nobody_listens()
        for visitor in (one, two):
            assert (await visitor.read_rest()).text == TEXT
        async with asyncio.timeout(5):
            while any(map(is_running, workers)):
                await asyncio.sleep(0.02)
        assert force.meeting_places() == []


# With shared state


@needs_redis
async def test_with_shared_state_what_is_done_to_a_member_at_one_worker_holds_at_all(tmp_path: Path) -> None:
    with RedisServer() as redis:
        async with workforce(tmp_path, "fine", "--state", redis.url) as force:
            reply = await force.admin("POST", "/admin/profiles/evening/backends/lead/drain", worker=1)
            assert reply.status == 200
            async with asyncio.timeout(5):
                while (await force.ask(2)).headers["x-understudy-backend"] != "second":
                    await asyncio.sleep(0.05)
            changed = await force.admin("PUT", "/admin/profiles/evening/settings/timeout_ms", b'{"value": 5}')
            assert changed.status == 409


@needs_redis
async def test_a_ceiling_that_is_counted_there_is_not_had_in_parts(tmp_path: Path) -> None:
    with RedisServer() as redis:
        options = ("fine", "--state", redis.url)
        async with workforce(tmp_path, *options, rpm_limit=3, wait_for_capacity_ms=0) as force:
            statuses = [(await force.ask(1)).status for _ in range(7)]
            assert statuses == [200] * 6 + [429], "one worker may have all that two members have"


@needs_redis
async def test_a_circuit_that_one_worker_opened_is_open_for_all_within_a_second(tmp_path: Path) -> None:
    with RedisServer() as redis:
        async with workforce(tmp_path, "fine", "--state", redis.url) as force:
            assert await force.admin("POST", "/admin/profiles/evening/backends/lead/open", worker=1)
            began = time.monotonic()
            while (await force.ask(2)).headers["x-understudy-backend"] == "lead":
                await asyncio.sleep(0.01)
            assert time.monotonic() - began < 1
