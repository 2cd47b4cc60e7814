"""The exchange in the background, and what requests ask of it: replicas around a store with moods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.runtime.house import House, completion, refusal, speech
from tests.runtime.moody_store import MoodyStore
from understudy.core.breaker import State
from understudy.core.events import BackendBenched, Event, VerdictAdopted
from understudy.core.settings import BreakerSettings, Ceilings, HedgeSettings, RetrySettings
from understudy.core.shared import Record, Report, Told, Verdict, Wanted
from understudy.errors import BalancerClosed
from understudy.runtime.engine import Engine, _comes_after_all
from understudy.runtime.link import Link
from understudy.runtime.sharing import Sharing
from understudy.simulate.scripted_transport import Reply

FINE = completion()
DOWN = refusal(500)
BREAKER = BreakerSettings(recovery_timeout=30.0)
OPEN = Verdict(0, True, -1.0, 29.0)


class Replica(House):
    """A house whose pool others share."""

    def __init__(self, *scripts: Any) -> None:
        super().__init__(*scripts, breaker=BREAKER, retry=RetrySettings(count=1))
        self.store = MoodyStore(self.clock)
        self.chance = 0.0
        self.link = Link(self.store, self.clock)
        self.sharing = Sharing(
            self.link,
            self.pool,
            self.clock,
            "us",
            tell=lambda events: self.engine.hear(events),
            wake=lambda: self.engine.wake(),
            jitter=lambda: self.chance,
        )
        self.engine = Engine(
            self.pool,
            self.backends,
            transport=self.transport,
            clock=self.clock,
            jitter=lambda: 0.0,
            observers=[self.listener, self.sharing],
            sharing=self.sharing,
        )

    @property
    def heard(self) -> list[Event]:
        return self.listener.heard

    async def joins(self) -> None:
        self.sharing.start()
        await self.clock.advance(0.01)
        assert self.link.is_quick
        self.store.asked.clear()

    async def hears(self, record: Record, member: str = "a", **more: Any) -> None:
        """Another process tells this."""
        await self.store.memory.exchange("house", Report(told=(Told(member, record, **more),)))

    async def told(self, member: str = "a") -> Record:
        """What others hear of a member."""
        return (await self.store.memory.exchange("house", Report())).records[member][1]

    def limit(self, **ceilings: int) -> None:
        """The first member gets ceilings."""
        member = self.members[0]
        member.settings = replace(member.settings, ceilings=Ceilings(**ceilings))


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    made = Replica([FINE] * 9, [FINE] * 9)
    await made.joins()
    yield made
    made.store.recovers()
    await made.sharing.close()
    await made.clock.advance()
    made.check()


class TestBeats:
    """Rules 1 to 3."""

    async def test_while_there_are_requests_it_beats_twice_a_second(self, replica: Replica) -> None:
        await replica.play(stream=False)
        await replica.clock.advance(4.0)
        assert 7 <= replica.store.asked.count("exchange") <= 9

    async def test_without_any_a_little_slower(self, replica: Replica) -> None:
        await replica.clock.advance(9.0)
        assert replica.store.asked.count("exchange") == 10

    async def test_it_begins_with_the_first_request(self) -> None:
        made = Replica([FINE])
        await made.play(0.1, stream=False)
        assert made.link.is_quick
        await made.sharing.close()
        made.check()

    async def test_an_opening_here_is_told_at_once(self) -> None:
        made = Replica([DOWN] * 3, [FINE] * 3)
        await made.joins()
        for _ in range(3):
            await made.play(stream=False)
        await made.clock.advance(0.2)
        assert (await made.told()).verdict.is_open
        await made.sharing.close()

    async def test_an_opening_elsewhere_is_heard_within_a_second_and_told_to_observers(
        self, replica: Replica
    ) -> None:
        await replica.hears(Record(OPEN))
        await replica.clock.advance(0.9)
        assert replica.members[0].breaker.phase is State.OPEN
        assert [
            (event.backend, event.state) for event in replica.heard if isinstance(event, VerdictAdopted)
        ] == [("a", "open")]
        await replica.play(stream=False)
        assert replica.asked() == ["b"]

    async def test_beats_do_not_come_faster_than_a_pause_whatever_happens(self, replica: Replica) -> None:
        for _ in range(50):
            replica.sharing.observe(BackendBenched(replica.clock.now(), 1, "a", 1.0))
            await replica.clock.advance(0.01)
        assert replica.store.asked.count("exchange") <= 6

    async def test_chance_makes_an_interval_up_to_a_fifth_shorter(self, replica: Replica) -> None:
        replica.chance = 1.0
        await replica.clock.advance(1.0)
        replica.store.asked.clear()
        await replica.clock.advance(0.68 * 5)
        assert replica.store.asked.count("exchange") == 5

    async def test_who_waited_in_vain_takes_its_next_turn_by_chance(self, replica: Replica) -> None:
        replica.chance = 0.75
        replica.store.is_frozen = True
        await replica.clock.advance(1.0)
        assert replica.store.asked == ["exchange"]
        replica.store.asked.clear()
        while replica.link.is_quick:
            await replica.clock.advance(0.01)
        await replica.clock.advance(0.2)
        assert replica.store.asked == []
        await replica.clock.advance(0.03)
        assert replica.store.asked == ["prove"]

    async def test_what_happens_during_a_beat_is_told_with_the_next_one(self, replica: Replica) -> None:
        replica.store.takes = 0.04
        await replica.clock.advance(0.9)
        assert replica.store.asked.count("exchange") == 1
        replica.members[0].bench(replica.clock.now(), 60.0, 900.0)
        replica.sharing.observe(BackendBenched(replica.clock.now(), 1, "a", 60.0))
        await replica.clock.advance(0.15)
        assert (await replica.told()).benched_until > 59

    async def test_every_ten_seconds_it_asks_for_all_of_it(self, replica: Replica) -> None:
        await replica.hears(Record(OPEN))
        await replica.clock.advance(1.0)
        replica.sharing.fleet._known.clear()  # as if a change had been lost
        replica.members[0].breaker.reset()
        await replica.clock.advance(8.0)
        assert str(replica.members[0].breaker.phase) == "closed"
        await replica.clock.advance(2.0)
        assert str(replica.members[0].breaker.phase) == "open"

    async def test_numbers_are_published_each_second_while_they_change(self, replica: Replica) -> None:
        for _ in range(4):
            await replica.play(1.0, stream=False)
        assert 3 <= replica.store.asked.count("publish") <= 5
        assert set(await replica.sharing.numbers()) == {"us"}

    async def test_and_every_five_while_they_do_not(self, replica: Replica) -> None:
        await replica.clock.advance(20.0)
        assert 3 <= replica.store.asked.count("publish") <= 4

    async def test_a_bug_ends_no_beat(self, replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
        replica.store.error = ZeroDivisionError("a bug")
        await replica.clock.advance(2.0)
        assert "a bug while sharing house" in caplog.text
        replica.store.recovers()
        await replica.hears(Record(OPEN))
        await replica.clock.advance(1.0)
        assert replica.members[0].breaker.phase is State.OPEN

    async def test_repr_tells_how_it_stands(self, replica: Replica) -> None:
        assert repr(replica.sharing).endswith("as us, sharing>")


class TestClosing:
    async def test_it_says_goodbye(self) -> None:
        made = Replica([FINE])
        await made.joins()
        await made.play(1.0, stream=False)
        await made.sharing.close()
        await made.sharing.close()
        assert await made.store.memory.numbers("house") == {}
        assert made.clock.timers == 0
        made.sharing.start()
        made.sharing.kick()
        assert made.clock.timers == 0

    async def test_a_beat_that_hangs_is_not_waited_for(self) -> None:
        made = Replica([FINE])
        await made.joins()
        made.store.is_frozen = True
        await made.clock.advance(0.95)
        await made.sharing.close()
        await made.clock.advance()
        assert made.clock.timers == 0

    async def test_a_store_that_does_not_answer_gets_no_goodbye(self) -> None:
        made = Replica([FINE])
        await made.joins()
        made.link.hurt()
        await made.sharing.close()
        assert "withdraw" not in made.store.asked

    async def test_one_that_stopped_answering_is_left_alone(self) -> None:
        made = Replica([FINE])
        await made.joins()
        made.store.fails()
        await made.sharing.close()
        assert made.clock.timers == 0


def due(made: Replica) -> None:
    """The first member's circuit is open, and to be probed."""
    breaker = made.members[0].breaker
    breaker._open(made.clock.now() - 31.0, made.pool.settings.breaker)


class TestProbes:
    """Rule 4."""

    async def test_a_probe_has_leave_of_all(self, replica: Replica) -> None:
        due(replica)
        await replica.play(0.1, stream=False)
        assert replica.asked() == ["a"]
        assert replica.store.asked.count("lease") == 1
        assert replica.members[0].breaker.phase is State.CLOSED

    async def test_while_another_probes_it_is_not_asked(self, replica: Replica) -> None:
        due(replica)
        await replica.store.memory.lease("house", "a", "other.1", 0, 30.0)
        await replica.play(0.1, stream=False)
        await replica.play(0.1, stream=False)
        assert replica.asked() == ["b", "b"]
        assert replica.store.asked.count("lease") == 1

    async def test_who_has_not_heard_yet_that_a_probe_failed_makes_none(self, replica: Replica) -> None:
        due(replica)
        await replica.hears(Record(Verdict(0, True, -0.1, 29.9)))
        await replica.play(stream=False)
        assert replica.asked() == ["b"]
        assert (await replica.told()).holder == ""
        await replica.clock.advance(0.5)
        settings = replica.pool.settings.breaker
        assert replica.members[0].breaker.state(replica.clock.now(), settings) is State.OPEN

    async def test_requests_meanwhile_do_not_wait(self, replica: Replica) -> None:
        due(replica)
        replica.store.takes = 0.03
        first, second = replica.start(stream=False), replica.start(stream=False)
        await replica.clock.advance(0.01)
        assert second.task.done()
        assert not first.task.done()
        await replica.clock.advance(0.1)
        assert replica.asked() == ["b", "a"]

    async def test_a_lease_that_is_not_answered_in_time_costs_fifty_milliseconds_once(
        self, replica: Replica
    ) -> None:
        due(replica)
        replica.store.is_frozen = True
        first = replica.start(stream=False)
        await replica.clock.advance(0.049)
        assert not first.task.done()
        await replica.clock.advance(0.001)
        assert first.task.done()
        assert replica.asked() == ["a"], "the process probes by itself"
        due(replica)
        assert (await replica.play(stream=False)).task.done()
        assert replica.store.asked.count("lease") == 1

    async def test_a_store_that_fails_costs_nothing(self, replica: Replica) -> None:
        due(replica)
        replica.store.fails()
        assert (await replica.play(stream=False)).task.done()
        assert replica.asked() == ["a"]
        due(replica)
        await replica.play(stream=False)
        assert replica.store.asked.count("lease") == 1

    async def test_before_it_has_joined_no_request_waits(self) -> None:
        made = Replica([FINE])
        made.store.is_frozen = True
        due(made)
        assert (await made.play(stream=False)).task.done()
        assert "lease" not in made.store.asked
        made.store.recovers()
        await made.sharing.close()

    async def test_who_leaves_while_asking_leaves_nothing_behind(self, replica: Replica) -> None:
        due(replica)
        replica.store.takes = 0.03
        show = replica.start(stream=False)
        await replica.clock.advance(0.01)
        show.task.cancel()
        await replica.clock.advance(0.01)
        breaker = replica.members[0].breaker
        assert (breaker.is_asking, breaker.elsewhere_until) == (False, 0.0)

    async def test_closing_ends_a_request_that_asks(self, replica: Replica) -> None:
        due(replica)
        replica.store.takes = 0.03
        show = replica.start(stream=False)
        await replica.clock.advance(0.01)
        await replica.engine.close()
        await replica.clock.advance()
        assert isinstance(show.task.exception(), BalancerClosed)

    async def test_one_that_holds_an_old_epoch_is_told_so_and_asks_again(self, replica: Replica) -> None:
        due(replica)
        await replica.hears(Record(Verdict(3)))
        await replica.play(stream=False)
        assert replica.asked() == ["b"]
        await replica.clock.advance(0.2)
        assert replica.members[0].breaker.epoch == 3
        await replica.play(stream=False)
        assert replica.asked() == ["b", "a"]

    async def test_who_waits_is_woken_when_the_probe_elsewhere_has_settled(self) -> None:
        made = Replica([FINE] * 3)
        await made.joins()
        due(made)
        await made.store.memory.lease("house", "a", "other.1", 0, 30.0)
        show = await made.play(1.0, stream=False)
        assert not show.task.done()
        await made.hears(Record(Verdict(1)))
        await made.clock.advance(1.0)
        assert show.task.done()
        await made.sharing.close()
        made.check()


class TestCeilings:
    async def test_what_others_took_counts(self, replica: Replica) -> None:
        replica.limit(requests=3)
        for _ in range(2):
            await replica.store.memory.reserve("house", "a", [_wanted(requests=3)])
        await replica.play(stream=False)
        await replica.play(stream=False)
        assert replica.asked() == ["a", "b"]

    async def test_what_was_not_used_is_told_with_the_next_beat(self, replica: Replica) -> None:
        replica.limit(tokens=1000)
        await replica.play(stream=False, max_tokens=900)
        await replica.clock.advance(1.0)
        assert "spend" in replica.store.asked
        assert (await replica.store.memory.reserve("house", "a", [_wanted(900, 1000)]))[0].granted

    async def test_usage_that_could_not_be_told_is_told_later(self, replica: Replica) -> None:
        replica.limit(tokens=100_000)
        replica.store.fails()
        await replica.play(1.0, stream=False, max_tokens=900)
        replica.store.recovers()
        await replica.clock.advance(3.0)
        assert not (await replica.store.memory.reserve("house", "a", [_wanted(99_999, 100_000)]))[0].granted

    async def test_a_tell_that_fails_is_repeated_for_what_was_taken(self, replica: Replica) -> None:
        replica.sharing.fleet.spend("a", replica.clock.now(), 500.0, 1.0)
        replica.store.loses.add("spend")
        await replica.clock.advance(1.0)
        replica.store.recovers()
        await replica.clock.advance(3.0)
        assert not (await replica.store.memory.reserve("house", "a", [_wanted(600, 1000)]))[0].granted

    async def test_a_refusal_is_asked_about_again_and_waiters_are_woken(self) -> None:
        made = Replica([FINE] * 3)
        await made.joins()
        made.limit(requests=1)
        retry = RetrySettings(count=1, wait_for_capacity=120.0)
        made.pool.settings = replace(made.pool.settings, retry=retry)
        await made.store.memory.reserve("house", "a", [_wanted(requests=1)])
        show = await made.play(0.5, stream=False)
        assert not show.task.done()
        made.store.memory.forget()
        await made.clock.advance(2.5)
        assert show.task.done()
        await made.sharing.close()
        made.check()

    async def test_a_burst_asks_together_and_not_once_for_each(self, replica: Replica) -> None:
        replica.limit(requests=5)
        shows = [replica.start(stream=False) for _ in range(8)]
        await replica.clock.advance(0.1)
        assert replica.store.asked.count("reserve") <= 2
        assert sorted(replica.asked()) == list("aaaaabbb")
        assert all(show.task.done() for show in shows)

    async def test_room_that_came_too_late_is_given_back(self, replica: Replica) -> None:
        replica.limit(tokens=1000)
        replica.store.takes = 0.2
        show = replica.start(stream=False, max_tokens=900)
        await replica.clock.advance(0.05)
        assert show.task.done()
        await replica.clock.advance(0.2)
        replica.store.recovers()
        await replica.clock.advance(2.0)
        (room,) = await replica.store.memory.reserve("house", "a", [_wanted(900, 1000)])
        assert room.granted, "what the answer used is all that is taken"

    async def test_a_refusal_that_came_too_late_changes_nothing(self, replica: Replica) -> None:
        replica.limit(requests=1)
        await replica.store.memory.reserve("house", "a", [_wanted(requests=1)])
        replica.store.takes = 0.2
        await replica.play(0.3, stream=False)
        assert replica.asked() == ["a"]
        assert replica.members[0].health.full is None

    async def test_an_answer_that_is_on_its_way_through_the_loop_when_the_time_is_up_counts(self) -> None:
        async def turns(number: int) -> None:
            for _ in range(number):
                await asyncio.sleep(0)

        soon, never = asyncio.ensure_future(turns(3)), asyncio.ensure_future(turns(10_000))
        assert await _comes_after_all(soon)
        assert not await _comes_after_all(never)
        never.cancel()

    async def test_such_an_answer_hurts_nobody(self, replica: Replica) -> None:
        replica.limit(requests=5)
        gate = replica.store.gate = asyncio.get_running_loop().create_future()
        show = replica.start(stream=False)
        await replica.clock.advance(0.01)
        replica.clock._now += 0.05
        show.call._watchdog._ring()  # the loop was busy: the time is up, and the answer is there as well
        gate.set_result(None)
        await replica.clock.advance()
        assert replica.link.is_quick
        assert replica.asked() == ["a"]

    async def test_a_store_that_fails_a_burst_fails_all_of_it_at_once(self, replica: Replica) -> None:
        replica.limit(requests=5)
        replica.store.takes = 0.01
        shows = [replica.start(stream=False) for _ in range(3)]
        await replica.clock.advance(0.001)
        shows[0].task.cancel()
        await replica.clock.advance()
        replica.store.fails()
        await replica.clock.advance(0.02)
        assert all(show.task.done() for show in shows[1:])
        assert replica.asked() == ["a", "a"]

    async def test_a_store_with_a_bug_costs_no_request(
        self, replica: Replica, caplog: pytest.LogCaptureFixture
    ) -> None:
        replica.limit(requests=5)
        replica.store.error = ZeroDivisionError("a bug")
        assert (await replica.play(stream=False)).task.done()
        assert replica.asked() == ["a"]
        assert "a bug while asking <MoodyStore>" in caplog.text

    async def test_closing_lets_go_of_what_is_asked(self) -> None:
        made = Replica([FINE])
        await made.joins()
        made.limit(requests=5)
        made.store.is_frozen = True
        show = made.start(stream=False)
        await made.clock.advance(0.01)
        closing = asyncio.ensure_future(made.sharing.close())
        await made.clock.advance(0.5)
        assert closing.done()
        assert show.task.done()
        made.check()

    async def test_a_hedge_asks_too(self) -> None:
        slow = Reply(pieces=[5.0, *speech("late").pieces])
        made = Replica([speech("quick")], slow)
        made.pool.members = (made.members[1], made.members[0])
        made.pool.settings = replace(made.pool.settings, hedge=HedgeSettings(1.0, None, 1.0))
        await made.joins()
        made.limit(requests=5)
        show = await made.play(1.1)
        assert "reserve" in made.store.asked
        assert made.asked() == ["b", "a"]
        assert show.call.backend == "a"
        await made.clock.advance(5.0)
        await made.sharing.close()

    async def test_a_hedge_that_became_needless_while_asking_is_not_made(self) -> None:
        slow = Reply(pieces=[1.01, *speech("late").pieces])
        made = Replica([speech("quick")], slow)
        made.pool.members = (made.members[1], made.members[0])
        made.pool.settings = replace(made.pool.settings, hedge=HedgeSettings(1.0, None, 1.0))
        await made.joins()
        made.limit(requests=5)
        made.store.takes = 0.03
        show = await made.play(2.0)
        assert made.asked() == ["b"]
        assert show.task.done()
        made.store.recovers()
        await made.sharing.close()
        made.check()


def _wanted(tokens: float = 0, tokens_limit: int | None = None, requests: int | None = None) -> Wanted:
    return Wanted(tokens, tokens_limit, requests)
