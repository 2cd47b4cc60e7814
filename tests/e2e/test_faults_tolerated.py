"""Oddities that are no failures: the lead's answer is whole and nobody else is asked."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.fault_rows import TOLERATED, Tolerated
from tests.e2e.theatre import left_within_a_second, theatre
from understudy.faults import TEXT, TOKENS
from understudy.library.answer import AnswerParts


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("row", TOLERATED, ids=str)
async def test_the_answer_is_whole(row: Tolerated, streamed: bool) -> None:
    if row.only and (row.only == "stream") != streamed:
        pytest.skip(f"an oddity of {row.only} answers only")
    async with theatre(row.script) as house:
        show = await house.play(stream=streamed)
        assert show.error is None
        assert (show.text, show.backend, show.model) == (TEXT, "lead", "lead-model")
        assert show.finish_reason == "stop"
        assert show.usage is not None
        assert show.usage.estimated is row.estimated
        assert row.estimated or show.usage.output_tokens == len(TOKENS) + ("surrogates" in row.script)
        assert show.attempts == [("lead", "success")]
        assert len(house.lead.requests) == (2 if row.fault == "F53" else 1)
        assert house.second.requests == []
        lead = house.stats()
        assert (lead.successes, lead.failures, lead.circuit_breaker.failures) == (1, 0, 0)
        assert lead.malformed_events == int(row.fault == "F16")
        await house.check_a_healthy_call_succeeds()


async def test_f16_with_strict_events_the_same_event_is_a_failure() -> None:
    async with theatre("malformed after=10", strict_events=True) as house:
        assert (await house.play()).attempts == [("lead", "protocol")]


@pytest.mark.parametrize("finish", ["content_filter", "length"])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_f35_a_policy_stop_is_passed_through(finish: str, streamed: bool) -> None:
    for script in (f"finish {finish}", f"empty blank finish={finish}"):
        async with theatre(script) as house:
            show = await house.play(stream=streamed)
            assert (show.error, show.finish_reason, show.backend) == (None, finish, "lead")
            assert house.stats().circuit_breaker.failures == 0


async def test_f41_a_ten_megabyte_line_and_a_hundred_thousand_events_are_taken_in_linear_time() -> None:
    """Per byte, a big event costs no more than a stream of small ones; a quadratic cost would be a
    thousandfold."""
    async with theatre("tokens 1", stall_timeout_ms=20000, timeout_ms=20000) as house:
        costs = {}
        for size in (1, 8):
            house.lead.set_script(f"big-event {size}MB after=0")
            before = time.process_time()
            show = await house.play()
            costs[size] = time.process_time() - before
            assert show.error is None
            assert len(show.text) > size * 1_000_000
        assert costs[8] < costs[1] * 8 * 5
        house.lead.set_script("tokens 100000")
        show = await house.play()
        assert show.error is None
        assert show.usage is not None
        assert show.usage.output_tokens == 100_000


async def test_f47_a_connection_left_open_after_the_marker_is_closed_by_us_within_a_second() -> None:
    async with theatre("silence after=finish") as house:
        began = time.monotonic()
        show = await house.play()
        assert (show.error, show.text) == (None, TEXT)
        assert time.monotonic() - began < 2
        await left_within_a_second(house.lead, house.lead.requests[0], began + 1)


@pytest.mark.parametrize("script", ["tools 2 split=1 interleaved", "tools 3 split=2", "tools 1 + split 1"])
async def test_f48_tool_calls_are_put_together_byte_by_byte(script: str) -> None:
    async with theatre(script) as house:
        show = await house.play()
        assert show.error is None
        parts = AnswerParts()
        for chunk in show.chunks:
            parts.add(chunk)
        calls = parts.choices()[0].tool_calls
        assert len(calls) == int(script.split()[1])
        assert all(json.loads(call.arguments) == {"city": "東京 🎭", "units": "metric"} for call in calls)
        assert len({call.id for call in calls}) == len(calls)
        house.lead.set_script(script)
        whole = await house.play(stream=False)
        assert [call.arguments for call in whole.chunks[0].tool_calls] == [call.arguments for call in calls]


async def test_f50_invalid_tool_arguments_with_a_proper_ending_are_passed_through() -> None:
    async with theatre("tools 1 arguments='{broken'") as house:
        show = await house.play()
        assert (show.error, show.finish_reason) == (None, "tool_calls")
        assert "".join(call.arguments for chunk in show.chunks for call in chunk.tool_calls) == "{broken"


async def test_f51_bytes_that_are_no_utf8_are_replaced_only_where_they_are_invalid() -> None:
    async with theatre("invalid-utf8 after=10") as house:
        show = await house.play()
        assert show.error is None
        assert "\N{REPLACEMENT CHARACTER}" in show.text
        assert show.text.startswith("".join(TOKENS[:10]))
        assert show.text.endswith("".join(TOKENS[11:]))


async def test_f54_a_dead_kept_alive_connection_is_replaced_once_unseen() -> None:
    async with theatre("fine; when reused cut after=headers; fine") as house:
        assert (await house.play()).text == TEXT
        show = await house.play()
        assert (show.error, show.text) == (None, TEXT)
    async with theatre("fine; when reused cut after=request; fine") as house:
        await house.play()
        show = await house.play()
        assert (show.error, show.attempts) == (None, [("lead", "success")])
        assert show.trail[0].to_dict()["reconnected"] is True
        assert len(house.lead.requests) == 3, "sent twice, shown once, counted against nobody"
        assert house.stats().failures == 0
    async with theatre("hang-up; fine") as house:
        await house.play()
        show = await house.play()
        assert (show.error, show.attempts) == (None, [("lead", "success")])
        assert house.stats().failures == 0


async def test_several_choices_all_have_to_finish() -> None:
    async with theatre() as house:
        show = await house.play(n=2)
        assert show.error is None
        texts = ["".join(chunk.text for chunk in show.chunks if chunk.index == index) for index in (0, 1)]
        assert texts == [TEXT, TEXT]


async def test_reasoning_is_content_and_is_kept_apart_from_the_text() -> None:
    async with theatre("reasoning 20") as house:
        show = await house.play()
        assert show.text == TEXT
        assert "".join(chunk.reasoning for chunk in show.chunks)
