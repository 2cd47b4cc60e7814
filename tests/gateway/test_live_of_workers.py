"""Facts about the live stream of a gateway with two workers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.house import caller
from tests.gateway.stage import Stage, Visit
from tests.gateway.test_live import ALICE, BOB, KEYS, OPERATOR, leave, of, watch
from tests.gateway.test_openapi import check
from tests.gateway.test_views import two_workers
from tests.runtime.house import completion, refusal, speech
from understudy.core.history import Bucket
from understudy.gateway import news
from understudy.gateway.glance import KEEP_SECONDS, laid_together
from understudy.gateway.siblings import Siblings


async def seen(stage: Stage, told: Callable[[], bool], *, beats: int = 1) -> None:
    """After so many beats, once the sockets have carried what there is."""
    for _ in range(beats):
        await stage.clock.advance(1)
        async with asyncio.timeout(5):
            while not told():
                await asyncio.sleep(0.001)


async def watched(stage: Stage, headers: dict[str, str] | None = None) -> Visit:
    """A visit that has got its first picture: the others know of it."""
    visit = await watch(stage, headers)
    async with asyncio.timeout(5):
        while not of(visit, "picture"):
            await asyncio.sleep(0.001)
    return visit


def ids(visit: Visit) -> list[str]:
    return [decision["id"] for decision in of(visit, "decision")]


async def test_a_picture_adds_up_what_all_workers_did(tmp_path: Path) -> None:
    one, other = Stage([completion()] * 2, []), Stage(refusal(401), [completion(), speech("Hi")])
    async with two_workers(tmp_path, one, other):
        for stage in (one, one, other):
            await stage.play()
        running = other.visit(stream=True)
        running.takes.clear()
        await other.clock.advance()
        visit = await watched(one)
        (picture,) = of(visit, "picture")
        check(picture, "Picture")
        profile = picture["profiles"]["evening"]
        assert profile["stats"] == (await stats_of(one))
        assert (profile["stats"]["total_requests"], profile["stats"]["answered"]) == (4, 3)
        assert (picture["worker"], profile["in_flight"], profile["waiting"]) == ("1", 1, 0)
        last = profile["members"]["a"]["strip"][-1]
        assert (last["ok"], last["failed"], last["by_kind"]) == (2, 2, {"auth": 2})
        running.takes.set()
        await running.ended()
        await leave(one, visit)


async def stats_of(stage: Stage) -> Any:
    async with caller(stage.gateway) as client:
        return (await client.get("/stats")).json()["profiles"]["evening"]


async def test_once_is_of_all_workers_and_lets_nobody_listen(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage(completion())
    async with two_workers(tmp_path, one, other):
        await other.play()
        async with caller(one.gateway) as client:
            picture = (await client.get("/live?once=1")).json()
        assert picture["profiles"]["evening"]["stats"]["answered"] == 1
        assert (other.clock.timers, other.gateway.journal.on_end) == (0, None)


async def test_decisions_and_changes_of_the_other_worker_are_told_once_each(tmp_path: Path) -> None:
    one, other = Stage([completion()] * 2), Stage([completion()] * 3)
    async with two_workers(tmp_path, one, other):
        await other.play(headers={"x-request-id": "before anybody watched"})
        visit = await watched(one)
        await other.play(headers={"x-request-id": "theirs"})
        other.balancer.act("a", "open")
        await one.play(headers={"x-request-id": "ours"})
        await seen(one, lambda: len(ids(visit)) == 2)
        assert ids(visit) == ["ours", "theirs"]
        check(of(visit, "decision")[1], "Decision")
        other.balancer.act("a", "reset")
        await other.play(headers={"x-request-id": "later"})
        await seen(one, lambda: len(ids(visit)) == 3)
        await seen(one, lambda: len(of(visit, "picture")) == 4)
        assert ids(visit) == ["ours", "theirs", "later"]
        assert [change["backend"] for change in of(visit, "change")] == ["a", "a"]
        await leave(one, visit)


async def test_two_workers_that_are_watched_do_not_tell_each_other_their_own(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage(completion())
    async with two_workers(tmp_path, one, other):
        visits = [await watched(stage) for stage in (one, other)]
        await other.play(headers={"x-request-id": "theirs"})
        for stage, visit, pictures in [(one, visits[0], 2), (other, visits[1], 2), (one, visits[0], 3)]:
            await seen(stage, lambda visit=visit, n=pictures: len(of(visit, "picture")) == n)  # type: ignore[misc]
        assert [ids(visit) for visit in visits] == [["theirs"], ["theirs"]]
        for visit in visits:
            visit.leave()
            await visit.ended()


async def test_a_client_hears_of_its_own_requests_at_other_workers_alone(tmp_path: Path) -> None:
    one, other = (Stage([completion()] * 3, keys=KEYS) for _ in range(2))
    one.admit_operator()
    async with two_workers(tmp_path, one, other):
        alice, operator = await watched(one, ALICE), await watched(one, OPERATOR)
        for name, who in [("hers", ALICE), ("his", BOB)]:
            await other.play(headers=who | {"x-request-id": name})
        await seen(one, lambda: len(ids(operator)) == 2)
        assert (ids(alice), ids(operator)) == (["hers"], ["hers", "his"])
        await leave(one, alice, operator)


async def test_what_was_too_much_to_be_told_is_missed_by_those_whose_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "BACKLOG", 1)
    one, other = (Stage([completion()] * 3, keys=KEYS) for _ in range(2))
    async with two_workers(tmp_path, one, other):
        alice, bob = await watched(one, ALICE), await watched(one, BOB)
        for name in "123":
            await other.play(headers=ALICE | {"x-request-id": name})
        await seen(one, lambda: bool(ids(alice)))
        await seen(one, lambda: len(of(alice, "picture")) == 3)
        assert (ids(alice), of(alice, "missed")) == (["3"], [{"count": 2}])
        assert (ids(bob), of(bob, "missed")) == ([], [])
        await leave(one, alice, bob)


async def test_the_others_stop_listening_soon_after_the_last_reader_has_left(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage(completion())
    async with two_workers(tmp_path, one, other):
        visit = await watched(one)
        await seen(one, lambda: len(of(visit, "picture")) == 2)
        assert (other.clock.timers, len(other.balancer._observers)) == (1, 3)
        await leave(one, visit)
        await other.clock.advance(KEEP_SECONDS)
        assert (other.clock.timers, len(other.balancer._observers)) == (0, 2)
        assert other.gateway.journal.on_end is None


async def test_who_reads_here_hears_on_when_another_worker_is_watched_no_longer() -> None:
    stage = Stage(completion())
    visit = await watch(stage)
    await stage.clock.advance(0.5)  # between two beats
    stage.gateway.live.glance(2, None)
    await stage.clock.advance(KEEP_SECONDS)
    await stage.play(headers={"x-request-id": "mine"})
    assert ids(visit) == ["mine"]
    await leave(stage, visit)


async def test_one_picture_takes_no_news_from_who_reads(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage(completion())
    async with two_workers(tmp_path, one, other):
        visit = await watched(one)
        await other.play(headers={"x-request-id": "theirs"})
        await seen(one, lambda: bool(ids(visit)))
        async with caller(one.gateway) as client:
            await client.get("/live?once=1")
        await seen(one, lambda: len(of(visit, "picture")) == 3)
        assert ids(visit) == ["theirs"]
        await leave(one, visit)


async def test_what_ended_while_nobody_read_is_not_told_to_the_next_reader(tmp_path: Path) -> None:
    one, other = Stage(completion()), Stage([completion()] * 2)
    async with two_workers(tmp_path, one, other):
        await leave(one, await watched(one))
        await other.play(headers={"x-request-id": "between"})
        visit = await watched(one)
        await other.play(headers={"x-request-id": "after"})
        await seen(one, lambda: bool(ids(visit)))
        assert ids(visit) == ["after"]
        await leave(one, visit)


async def test_news_whose_answer_was_lost_are_told_again() -> None:
    stage = Stage(completion())
    feed = stage.gateway.live
    first = feed.glance(2, None)
    await stage.play(headers={"x-request-id": "mine"})
    told = [feed.glance(2, first.number) for _ in range(2)]
    assert [len(one.news) for one in told] == [1, 1]
    assert feed.glance(2, told[1].number).news == []
    await stage.clock.advance(KEEP_SECONDS)
    stage.check()


async def test_numbers_of_one_that_takes_anothers_place_are_higher() -> None:
    one, later = Stage(completion()), Stage(completion())
    before = one.gateway.live.glance(2, None).number
    await later.clock.advance(1)
    assert later.gateway.live.glance(2, before).number > before


async def test_a_silent_or_dead_worker_costs_its_lines_alone(tmp_path: Path) -> None:
    one, other = Stage([completion()] * 2), Stage(completion())
    one.gateway.live.ask_seconds = 0.05
    async with two_workers(tmp_path, one, other):
        await other.play()
        assert (await stats_of(one))["answered"] == 1
        siblings = other.gateway.siblings
        assert isinstance(siblings, Siblings)
        await siblings.close()
        hanging = socket.socket(socket.AF_UNIX)
        for hang in (False, True):
            if hang:
                hanging.bind(str(tmp_path / "2.socket"))
                hanging.listen()
            began = time.monotonic()
            visit = await watched(one)
            assert time.monotonic() - began < siblings.ask_seconds
            await one.play()
            await seen(one, lambda visit=visit: len(of(visit, "picture")) == 2)  # type: ignore[misc]
            stats = of(visit, "picture")[1]["profiles"]["evening"]["stats"]
            assert stats["answered"] == 2 + hang
            assert len(ids(visit)) == 1
            await leave(one, visit)
        hanging.close()


def test_strips_are_laid_together_by_the_numbers_of_their_buckets() -> None:
    def bucket(ok: int, p95: float | None = None, **kinds: int) -> Bucket:
        return Bucket(ok, sum(kinds.values()), 0, p95, kinds)

    own = [bucket(1, 5.0), None, bucket(2, None, auth=1)]
    late = [bucket(9), bucket(3, 7.0), None]
    early = [None, bucket(4, 8.0, auth=1, timeout=2), bucket(5)]
    assert laid_together([(10, own)]) == own
    # By number the first is 8, 9, 10, the second 9, 10, 11, the third 7, 8, 9.
    assert laid_together([(10, own), (11, late), (9, early)]) == [
        bucket(5, 8.0, auth=1, timeout=2),
        bucket(14),
        bucket(5, 7.0, auth=1),
    ]
