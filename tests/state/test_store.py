"""One suite for all stores: in memory, and in a real Redis. Then any history, told alike by both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.e2e.redis_server import RedisServer, needs_redis
from understudy.core.shared import (
    Cursor,
    Lease,
    Picture,
    Pin,
    Record,
    Report,
    Room,
    Told,
    Usage,
    Verdict,
    Wanted,
)
from understudy.runtime.ports import StateStore
from understudy.state.memory import MemoryStore
from understudy.state.redis import RedisStore

OPEN = Verdict(0, True, -1.0, 29.0)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@dataclass
class Kept:
    store: StateStore
    flush: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """A store that is empty."""
    if request.param == "memory":
        memory = MemoryStore()

        async def forget() -> None:
            memory.forget()

        yield Kept(memory, forget)
        return
    server: RedisServer = request.getfixturevalue("server")

    async def flush() -> None:
        await asyncio.to_thread(server.command, "FLUSHALL")

    await flush()
    redis = RedisStore(server.url)
    yield Kept(redis, flush)
    await redis.close()


@pytest.fixture
def store(kept: Kept) -> StateStore:
    return kept.store


def tells(
    *records: Record, member: str = "a", action: str = "", action_id: str = "", returned: str = ""
) -> Report:
    return Report(told=tuple(Told(member, record, action, action_id, returned) for record in records))


async def heard(store: StateStore, member: str = "a", pool: str = "evening") -> Record:
    return (await store.exchange(pool, Report())).records[member][1]


def about(record: Record, other: Record) -> bool:
    """Are they the same, but for what time has passed?"""
    ours, theirs = record.verdict, other.verdict
    instants = [
        (ours.since, theirs.since),
        (ours.until, theirs.until),
        (record.benched_until, other.benched_until),
        (record.held_until, other.held_until),
    ]
    same = ours[:2] == theirs[:2] and ours[4:] == theirs[4:]
    same = same and (record.resets, record.holder) == (other.resets, other.holder)
    return same and all(abs(one - two) < 1.0 for one, two in instants)


class TestExchange:
    async def test_what_one_tells_another_hears_by_its_seconds_from_now(self, store: StateStore) -> None:
        told = Record(OPEN, 0, 60.0)
        await store.exchange("evening", tells(told))
        assert about(await heard(store), told)

    async def test_a_deadline_never_comes_back_sooner_than_it_was_told(self, store: StateStore) -> None:
        picture = await store.exchange("evening", tells(Record(benched_until=60.0001)))
        assert picture.records["a"][1].benched_until >= 60.0001 - 1e-9, "but for how floats are rounded"

    async def test_names_of_any_letters_stay_what_they_are(self, store: StateStore) -> None:
        await store.exchange("Abend für zwei", tells(Record(OPEN), member="größte Bühne: 1 %"))
        assert about(await heard(store, "größte Bühne: 1 %", "Abend für zwei"), Record(OPEN))

    async def test_pools_do_not_hear_each_other(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN)))
        assert (await store.exchange("morning", Report())).records == {}

    async def test_only_what_is_new_since_the_cursor_is_told(self, store: StateStore) -> None:
        first = await store.exchange("evening", tells(Record(OPEN)))
        nothing = await store.exchange("evening", Report(first.cursor))
        assert nothing == Picture(first.cursor, {})
        await store.exchange("evening", tells(Record(OPEN), member="b"))
        second = await store.exchange("evening", Report(first.cursor))
        assert list(second.records) == ["b"]
        assert second.cursor.change > first.cursor.change
        assert second.records["b"][0] == second.cursor.change

    async def test_what_changes_nothing_is_no_news(self, store: StateStore) -> None:
        first = await store.exchange("evening", tells(Record(OPEN), Record(benched_until=50.0)))
        again = tells(Record(), Record(Verdict(0, True, -5.0, 10.0)), Record(benched_until=1.0))
        second = await store.exchange("evening", again)
        assert second.cursor == first.cursor

    async def test_a_flushed_store_is_born_anew(self, kept: Kept) -> None:
        first = await kept.store.exchange("evening", tells(Record(OPEN)))
        await kept.flush()
        second = await kept.store.exchange("evening", Report(first.cursor))
        assert second.cursor.born != first.cursor.born
        assert second.records == {}

    async def test_a_cursor_of_another_birth_has_heard_nothing(self, store: StateStore) -> None:
        first = await store.exchange("evening", tells(Record(OPEN)))
        other = Report(Cursor("another", first.cursor.change))
        assert list((await store.exchange("evening", other)).records) == ["a"]

    async def test_a_store_can_be_asked_to_prove_that_it_writes(self, store: StateStore) -> None:
        picture = await store.exchange("evening", Report(proves=True))
        assert picture.records == {}


class TestMerging:
    async def test_a_stale_opening_does_not_undo_a_newer_close(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN), Record(Verdict(1)), Record(OPEN)))
        assert (await heard(store)).verdict == Verdict(1)

    async def test_of_one_epoch_the_later_deadline_holds(self, store: StateStore) -> None:
        later = Verdict(0, True, -1.0, 50.0)
        for verdicts in ((OPEN, later), (later, OPEN)):
            await store.exchange("evening", tells(*map(Record, verdicts)))
            assert about(await heard(store), Record(later))

    async def test_of_one_deadline_the_later_beginning_holds(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN._replace(since=-9.0)), Record(OPEN)))
        assert about(await heard(store), Record(OPEN))

    async def test_benches_go_by_the_later_instant(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(benched_until=60.0), Record(benched_until=5.0)))
        assert about(await heard(store), Record(benched_until=60.0))

    async def test_a_reset_ends_a_bench_and_an_older_one_does_not_come_back(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(benched_until=60.0)))
        await store.exchange(
            "evening", tells(Record(resets=1, benched_until=5.0), Record(benched_until=60.0))
        )
        assert about(await heard(store), Record(resets=1, benched_until=5.0))

    async def test_hands_of_the_same_epoch_are_both_kept(self, store: StateStore) -> None:
        await store.exchange(
            "evening", tells(Record(Verdict(2, forced="closed")), Record(Verdict(2, drained=True)))
        )
        await store.exchange("evening", tells(Record(Verdict(2, forced="open"))))
        assert (await heard(store)).verdict == Verdict(2, forced="open", drained=True)

    async def test_the_higher_pin_holds(self, store: StateStore) -> None:
        await store.exchange("evening", Report(pin=Pin(2, "b")))
        for pin in (Pin(1, "z"), Pin(2, "a"), Pin()):
            assert (await store.exchange("evening", Report(pin=pin))).pin == Pin(2, "b")
        assert (await store.exchange("evening", Report(pin=Pin(2, "c")))).pin == Pin(2, "c")
        assert (await store.exchange("evening", Report(pin=Pin(3, "")))).pin == Pin(3, "")


class TestActions:
    @pytest.mark.parametrize(
        ("action", "verdict"),
        [
            ("drain", OPEN._replace(epoch=1, drained=True)),
            ("enable", OPEN._replace(epoch=1)),
            ("open", Verdict(1, True, 0.0, 0.0, "open")),
            ("close", Verdict(1, forced="closed")),
            ("reset", Verdict(1)),
        ],
    )
    async def test_each_is_done_to_what_is_there_and_raises_the_epoch(
        self, store: StateStore, action: str, verdict: Verdict
    ) -> None:
        await store.exchange("evening", tells(Record(OPEN, 3, 60.0)))
        await store.exchange("evening", tells(Record(Verdict(1)), action=action, action_id="one.1"))
        expected = Record(verdict, 4) if action == "reset" else Record(verdict, 3, 60.0)
        assert about(await heard(store), expected)

    async def test_enable_takes_a_drain_back(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(Verdict(1)), action="drain", action_id="one.1"))
        await store.exchange("evening", tells(Record(Verdict(1)), action="enable", action_id="two.1"))
        assert (await heard(store)).verdict == Verdict(2)

    async def test_what_is_told_again_is_done_once(self, store: StateStore) -> None:
        drain = tells(Record(Verdict(1, drained=True)), action="drain", action_id="one.1")
        for _ in range(3):
            await store.exchange("evening", drain)
        assert (await heard(store)).verdict == Verdict(1, drained=True)

    async def test_who_is_further_ahead_is_believed(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN)))
        ahead = Record(Verdict(7, forced="closed"))
        await store.exchange("evening", tells(ahead, action="drain", action_id="one.1"))
        assert (await heard(store)).verdict == Verdict(7, forced="closed")


class TestLeases:
    async def test_one_at_a_time_has_it(self, store: StateStore) -> None:
        assert await store.lease("evening", "a", "one.1", 0, 30.0) == Lease(True)
        refused = await store.lease("evening", "a", "two.1", 0, 30.0)
        assert not refused.granted
        assert 28.0 < refused.seconds <= 30.0
        assert about(await heard(store), Record(holder="one.1", held_until=30.0))

    async def test_it_ends_with_its_time(self, store: StateStore) -> None:
        await store.lease("evening", "a", "one.1", 0, 0.02)
        await asyncio.sleep(0.03)
        assert (await store.lease("evening", "a", "two.1", 0, 30.0)).granted

    async def test_it_is_returned_by_who_has_it_alone(self, store: StateStore) -> None:
        await store.lease("evening", "a", "one.1", 0, 30.0)
        await store.exchange("evening", tells(Record(), returned="two.1"))
        assert not (await store.lease("evening", "a", "two.1", 0, 30.0)).granted
        await store.exchange("evening", tells(Record(), returned="one.1"))
        assert (await store.lease("evening", "a", "two.1", 0, 30.0)).granted

    async def test_it_ends_with_its_epoch(self, store: StateStore) -> None:
        await store.lease("evening", "a", "one.1", 0, 30.0)
        await store.exchange("evening", tells(Record(Verdict(1))))
        assert (await store.lease("evening", "a", "two.1", 1, 30.0)).granted
        await store.exchange("evening", tells(Record(Verdict(1)), action="drain", action_id="x"))
        assert (await heard(store)).holder == ""

    async def test_whom_an_epoch_that_is_over_holds_gets_none(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(Verdict(2))))
        assert await store.lease("evening", "a", "one.1", 1, 30.0) == Lease(False)

    async def test_who_does_not_know_of_a_longer_opening_gets_none(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN)))
        assert await store.lease("evening", "a", "one.1", 0, 30.0, 0.0) == Lease(False)
        assert await store.lease("evening", "a", "one.1", 0, 30.0, 20.0) == Lease(False)
        assert (await store.lease("evening", "a", "one.1", 0, 30.0, 29.0)).granted, "an early probe's"

    async def test_who_is_ahead_of_the_opening_gets_one(self, store: StateStore) -> None:
        await store.exchange("evening", tells(Record(OPEN)))
        assert (await store.lease("evening", "a", "one.1", 1, 30.0, 0.0)).granted

    async def test_it_does_not_last_beyond_a_longer_opening(self, store: StateStore) -> None:
        await store.lease("evening", "a", "one.1", 0, 30.0)
        await store.exchange("evening", tells(Record(OPEN), returned="one.1"))
        assert about(await heard(store), Record(OPEN))


class TestCeilings:
    async def reserve(self, store: StateStore, tokens: float, *limits: int | None) -> Room:
        (room,) = await store.reserve("evening", "a", [Wanted(tokens, *limits)])
        return room

    async def test_there_is_room_up_to_the_ceiling_and_not_above(self, store: StateStore) -> None:
        assert (await self.reserve(store, 60, 100)).granted
        assert (await self.reserve(store, 40, 100)).granted
        refused = await self.reserve(store, 1, 100)
        assert (refused.granted, refused.ceiling) == (False, "tpm_limit")
        assert 58 < refused.seconds <= 61

    async def test_requests_are_counted_too(self, store: StateStore) -> None:
        assert (await self.reserve(store, 0, None, 1)).granted
        assert (await self.reserve(store, 0, None, 1)).ceiling == "rpm_limit"

    async def test_many_are_asked_for_at_once_and_served_in_order(self, store: StateStore) -> None:
        wanted = [Wanted(60, 100), Wanted(60, 100), Wanted(40, 100), Wanted(1, 100)]
        rooms = await store.reserve("evening", "a", wanted)
        assert [room.granted for room in rooms] == [True, False, True, False]

    async def test_what_was_refused_takes_nothing(self, store: StateStore) -> None:
        await self.reserve(store, 60, 100)
        await self.reserve(store, 60, 100)
        assert (await self.reserve(store, 40, 100)).granted

    async def test_what_is_above_a_ceiling_by_itself_goes_alone(self, store: StateStore) -> None:
        assert (await self.reserve(store, 500, 100)).granted
        assert not (await self.reserve(store, 1, 100)).granted

    async def test_what_is_given_back_is_room_at_once(self, store: StateStore) -> None:
        room = await self.reserve(store, 100, 100, 1)
        await store.spend("evening", "a", [Usage(3.0, -70.0, -1.0, room.second)])
        assert (await self.reserve(store, 70, 100, 1)).granted
        assert not (await self.reserve(store, 1, 100)).granted

    async def test_a_second_gives_back_no_more_than_it_took(self, store: StateStore) -> None:
        await self.reserve(store, 50, 100)
        await store.spend("evening", "a", [Usage(5.0, -50.0, -1.0)])
        assert not (await self.reserve(store, 60, 100)).granted

    async def test_a_minute_is_over_a_minute_after_its_second(self, store: StateStore) -> None:
        await store.spend("evening", "a", [Usage(59.5, 100.0, 1.0)])
        refused = await self.reserve(store, 10, 100)
        assert not refused.granted
        assert 0 < refused.seconds <= 1.5
        await store.spend("evening", "b", [Usage(62.0, 100.0, 1.0)])
        assert (await store.reserve("evening", "b", [Wanted(10, 100)]))[0].granted

    async def test_the_wait_is_for_as_many_seconds_as_are_needed(self, store: StateStore) -> None:
        await store.spend("evening", "a", [Usage(50.0, 60.0, 0.0), Usage(20.0, 40.0, 1.0)])
        assert 10 < (await self.reserve(store, 50, 100)).seconds <= 12
        assert 40 < (await self.reserve(store, 70, 100)).seconds <= 42

    async def test_members_and_pools_have_their_own(self, store: StateStore) -> None:
        await self.reserve(store, 100, 100)
        assert (await store.reserve("evening", "b", [Wanted(100, 100)]))[0].granted
        assert (await store.reserve("morning", "a", [Wanted(100, 100)]))[0].granted


class TestNumbers:
    async def test_each_process_tells_its_own(self, store: StateStore) -> None:
        await store.publish("evening", "one", b'{"a": 1}', 30.0)
        await store.publish("evening", "two", b"\x00 \xff", 30.0)
        await store.publish("evening", "one", b'{"a": 2}', 30.0)
        assert await store.numbers("evening") == {"one": b'{"a": 2}', "two": b"\x00 \xff"}
        assert await store.numbers("morning") == {}

    async def test_they_are_forgotten_in_time(self, store: StateStore) -> None:
        await store.publish("evening", "one", b"1", 0.02)
        await store.publish("evening", "two", b"2", 30.0)
        await asyncio.sleep(0.03)
        assert await store.numbers("evening") == {"two": b"2"}
        await store.publish("evening", "two", b"3", 30.0)
        assert await store.numbers("evening") == {"two": b"3"}

    async def test_who_leaves_takes_its_own_along(self, store: StateStore) -> None:
        await store.publish("evening", "one", b"1", 30.0)
        await store.withdraw("evening", "one")
        await store.withdraw("evening", "one")
        assert await store.numbers("evening") == {}


# Any history: the scripts on the server do what the board does

instants = st.sampled_from([-20.0, 0.0, 10.0, 40.0])
verdicts = st.builds(
    Verdict, st.integers(0, 3), st.booleans(), instants, instants, st.sampled_from(["", "closed", "open"]),
    st.booleans(),
)  # fmt: skip
rows = st.builds(
    Told,
    st.sampled_from(["a", "b"]),
    st.builds(Record, verdicts, st.integers(0, 2), instants),
    st.sampled_from(["", "", "drain", "enable", "open", "close", "reset"]),
    st.sampled_from(["x.1", "x.2", "y.1"]),
    st.sampled_from(["", "one.1", "two.1"]),
).map(lambda told: told if told.action else Told(told.member, told.record, "", "", told.returned))
ends = st.sampled_from([-20.0, 0.0, 25.0, 40.0, inf])
steps = st.one_of(
    st.lists(rows, max_size=3).map(tuple),
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["one.1", "two.1"]), st.integers(0, 3), ends),
)


@needs_redis
@settings(max_examples=60, deadline=None)
@given(history=st.lists(steps, max_size=8))
async def test_both_stores_tell_the_same_history_alike(
    server: RedisServer, history: list[tuple[Told, ...] | tuple[str, str, int, float]]
) -> None:
    server.command("FLUSHALL")
    memory, redis = MemoryStore(), RedisStore(server.url)
    try:
        for step in history:
            if len(step) == 4 and isinstance(step[0], str):
                member, holder, epoch, known = step
                leases = [
                    await one.lease("p", member, str(holder), int(str(epoch)), 30.0, float(str(known)))
                    for one in (memory, redis)
                ]
                assert leases[0].granted == leases[1].granted
            else:
                for one in (memory, redis):
                    await one.exchange("p", Report(told=step))
            ours, theirs = [(await one.exchange("p", Report())).records for one in (memory, redis)]
            assert ours.keys() == theirs.keys()
            for member, (_, record) in ours.items():
                assert about(record, theirs[member][1]), (record, theirs[member][1])
    finally:
        await redis.close()
