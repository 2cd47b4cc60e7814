"""Faults after the first content: an explicit error, never a clean close, never two answers in one.

The caller keeps what it got and hears which backend broke off and how. Nobody else is asked. The
attempt, its cost and its kind are counted. The very next call succeeds.
"""

from __future__ import annotations

import pytest

from tests.e2e.fault_rows import AFTER_CONTENT, AfterContent
from tests.e2e.theatre import left_within_a_second, theatre
from understudy import StreamInterrupted
from understudy.faults import TEXT


@pytest.mark.parametrize("row", AFTER_CONTENT, ids=str)
async def test_the_caller_hears_that_the_answer_broke_off(row: AfterContent) -> None:
    async with theatre(row.script) as house:
        show = await house.play()
        # The caller
        assert type(show.error) is StreamInterrupted
        assert show.error.partial == show.text
        assert TEXT.startswith(show.text)
        assert show.text != TEXT
        assert show.text or any(chunk.tool_calls for chunk in show.chunks)
        assert show.preambles == 1
        assert show.finish_reason is None
        # The providers
        (request,) = house.lead.requests
        assert house.second.requests == []
        if row.open_socket:
            began = request.arrived
            await left_within_a_second(house.lead, request, began + 0.4)
        # Breaker, metrics, trail
        assert show.attempts == [("lead", row.kind)]
        lead = house.stats()
        assert lead.by_kind == {row.kind: 1}
        assert lead.circuit_breaker.failures == int(row.counts)
        assert lead.output_tokens > 0, "what was sent has been paid for"
        assert lead.estimated > 0
        await house.check_a_healthy_call_succeeds()


async def test_f12_a_whole_text_with_done_but_without_a_finish_reason_is_not_believed() -> None:
    async with theatre("finish none") as house:
        show = await house.play()
        assert isinstance(show.error, StreamInterrupted)
        assert (show.text, show.attempts) == (TEXT, [("lead", "truncated")])


async def test_f15_a_slow_drip_is_not_cut_but_skipped_once_it_is_known_to_be_slow() -> None:
    """One token every 0.18 s is 333 a minute; after 20 s of generating time a floor of 3000 skips it."""
    async with theatre(
        "drip every=0.18s + tokens 12", tpm_threshold=3000, stall_timeout_ms=400, timeout_ms=2000
    ) as house:
        show = await house.play()
        assert show.attempts == [("lead", "success")]
        # A figure needs 20 s of generating: the stream above gave two of them, and more of its kind follow.
        member = house.lb._pool.members[0]
        member.window.generated.add(house.lb._clock.now(), 110, 20)
        assert house.stats().serving_rate == pytest.approx(333, rel=0.2)
        show = await house.play()
        assert show.skips == [("lead", "low_tpm")]
        assert show.backend == "second"
        assert house.stats().skips == {"low_tpm": 1}
        assert len(house.lead.requests) == 1


async def test_f15_when_all_are_slow_the_fastest_is_the_last_resort() -> None:
    async with theatre(tpm_threshold=3000) as house:
        now = house.lb._clock.now()
        for member, tokens in zip(house.lb._pool.members, (100, 200), strict=True):
            member.window.generated.add(now, tokens, 60)
        show = await house.play()
        assert (show.backend, show.text) == ("second", TEXT)
        assert house.lead.requests == []


async def test_f66_a_slow_reader_is_not_taken_for_a_stalled_backend() -> None:
    """The caller pauses for far longer than the stall clock; the answer comes whole all the same."""
    import asyncio

    async with theatre("pace 2000/s + tokens 2000", stall_timeout_ms=400) as house:
        stream = house.lb.stream("Hi")
        tokens = 0
        async for chunk in stream:
            tokens += bool(chunk.text)
            if tokens in (1, 500, 1000):
                await asyncio.sleep(0.6)
        assert tokens == 2000
        assert house.stats().successes == 1
