"""How a process stands with the store."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from tests.runtime.moody_store import MoodyStore
from understudy.core.shared import Report
from understudy.runtime.clock import ManualClock
from understudy.runtime.link import HOT, PATIENCE, Link, LinkState, within
from understudy.runtime.ports import StateUnavailable


class Stage:
    """A link to a store of moods, and the lines it logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "understudy.state")
        self.clock = ManualClock()
        self.store = MoodyStore(self.clock)
        self.link = Link(self.store, self.clock)
        self._log = caplog

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._log.records]

    async def ask(self, times: int = 1) -> None:
        for _ in range(times):
            report = Report(proves=self.link.must_prove)
            asking = asyncio.ensure_future(self.link.ask(partial(self.store.exchange, "p", report)))
            await self.clock.advance(PATIENCE)
            if isinstance(asking.exception(), StateUnavailable):
                continue
            asking.result()

    async def joins(self) -> None:
        await self.ask()
        assert self.link.state is LinkState.SHARING


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    return Stage(caplog)


class TestStates:
    async def test_the_first_answer_in_time_joins(self, stage: Stage) -> None:
        assert not stage.link.is_quick
        await stage.joins()
        assert stage.link.is_quick
        assert stage.lines == ["[state] <MoodyStore> answers: what is known is shared"]
        assert repr(stage.link) == "<Link to <MoodyStore>, sharing>"

    async def test_a_store_that_is_not_there_at_the_start_is_joined_later(self, stage: Stage) -> None:
        stage.store.fails()
        await stage.ask(5)
        assert stage.link.state is LinkState.ALONE
        stage.store.recovers()
        await stage.ask()
        assert stage.lines == [
            "[state] <MoodyStore>: it is not there: going by what is known here",
            "[state] <MoodyStore> answers: what is known is shared",
        ]

    async def test_three_late_answers_make_it_slow_and_three_in_time_quick_again(self, stage: Stage) -> None:
        await stage.joins()
        stage.store.takes = 0.5
        await stage.ask(2)
        assert stage.link.is_quick
        await stage.ask()
        assert stage.link.state is LinkState.SLOW
        stage.store.recovers()
        await stage.ask(2)
        assert not stage.link.is_quick
        await stage.ask()
        assert stage.link.is_quick
        limit = "takes more than 50 ms: probes and ceilings go by what is known here"
        assert stage.lines[1] == f"[state] <MoodyStore> {limit}"
        assert len(stage.lines) == 3

    async def test_one_late_answer_among_quick_ones_changes_nothing(self, stage: Stage) -> None:
        await stage.joins()
        for _ in range(4):
            stage.store.takes = 0.5
            await stage.ask(2)
            stage.store.takes = 0.0
            await stage.ask()
        assert len(stage.lines) == 1

    async def test_three_late_answers_in_the_beginning_are_slow(self, stage: Stage) -> None:
        stage.store.takes = 0.5
        await stage.ask(2)
        assert str(stage.link.state) == "joining"
        await stage.ask()
        assert str(stage.link.state) == "slow"

    async def test_a_frozen_store_is_given_up_after_a_second(self, stage: Stage) -> None:
        await stage.joins()
        stage.store.is_frozen = True
        await stage.ask(3)
        assert stage.link.state is LinkState.ALONE
        assert stage.lines[1:] == [
            "[state] <MoodyStore>: no answer within 2000 ms: going by what is known here"
        ]

    async def test_a_slow_store_that_fails_is_alone(self, stage: Stage) -> None:
        stage.store.takes = 0.5
        await stage.ask(3)
        stage.store.fails()
        await stage.ask()
        assert stage.link.state is LinkState.ALONE


class TestRequests:
    async def test_once_one_has_waited_in_vain_none_waits_until_the_background_had_an_answer(
        self, stage: Stage
    ) -> None:
        await stage.joins()
        stage.link.hurt()
        assert not stage.link.is_quick
        await stage.ask()
        assert stage.link.is_quick
        assert len(stage.lines) == 1, "a single hiccup is no change of state"

    async def test_a_late_answer_after_that_is_enough_to_be_slow(self, stage: Stage) -> None:
        await stage.joins()
        stage.link.hurt()
        stage.store.takes = 0.5
        await stage.ask()
        assert stage.link.state is LinkState.SLOW

    async def test_who_was_hurt_has_the_store_prove_that_it_writes(self, stage: Stage) -> None:
        await stage.joins()
        stage.link.hurt()
        await stage.ask(2)
        assert stage.store.asked == ["prove", "prove", "exchange"]


class TestWithin:
    async def test_what_comes_in_time_is_handed_on(self) -> None:
        async def work() -> int:
            return 3

        assert await within(ManualClock(), HOT, work()) == 3

    async def test_what_does_not_is_cancelled_and_no_timer_is_left(self) -> None:
        clock, cancelled = ManualClock(), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        waiting = asyncio.ensure_future(within(clock, HOT, work()))
        await clock.advance(0.049)
        assert not waiting.done()
        await clock.advance(0.001)
        with pytest.raises(StateUnavailable, match="no answer within 50 ms"):
            await waiting
        assert cancelled.is_set()
        assert clock.timers == 0
