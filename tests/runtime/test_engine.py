"""Facts about the one loop: what a caller gets, and what every exit leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.runtime.house import (
    DONE,
    JSON_HEADERS,
    PREAMBLE,
    STOP,
    TIMEOUTS,
    USAGE,
    House,
    completion,
    delta,
    refusal,
    speech,
    stream,
)
from understudy.core.breaker import State
from understudy.core.events import OperatorActed, RequestEnded, WaitingForCapacity
from understudy.core.facts import Facts
from understudy.core.latency import bucket_of
from understudy.core.settings import BreakerSettings, Ceilings, RetrySettings
from understudy.errors import (
    AllBackendsFailed,
    BalancerClosed,
    ConnectionReset,
    DeadlineExceeded,
    InternalError,
    NoBackendAvailable,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
)
from understudy.simulate.scripted_transport import Reply
from understudy.wire import anthropic_client, openai_client
from understudy.wire.chat import ChatRequest


def results(house: House) -> list[str]:
    return [event.result for event in house.listener.heard if isinstance(event, RequestEnded)]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_a_backend_that_fails_is_retried_then_the_next_steps_in_unseen(streamed: bool) -> None:
    house = House(refusal(500), speech("Hello") if streamed else completion("Hello"))
    show = await house.play(0.9, stream=streamed)
    assert house.asked() == ["a"], "the back-off is a second"
    await house.clock.advance(0.1)
    assert house.asked() == ["a", "a", "b"]
    assert show.text == "Hello"
    assert (show.call.backend, show.call.model, show.call.finish_reason) == ("b", "m", "stop")
    assert house.pool.metrics.failed_over == 1
    assert results(house) == ["answered"]
    house.check()


async def test_round_robin_takes_turns_and_fails_over_as_well() -> None:
    house = House(speech("a"), [refusal(401), speech("b")], speech("c"), policy="roundrobin")
    texts = [(await house.play()).text for _ in range(5)]
    assert texts == ["a", "c", "a", "b", "c"]
    assert house.asked() == ["a", "b", "c", "a", "b", "c"]


async def test_when_all_fail_the_error_names_every_cause_in_order() -> None:
    house = House(refusal(401, "bad key"), refusal(402, "no money"), refusal(404, "no such model"))
    show = await house.play()
    error = show.error
    assert type(error) is AllBackendsFailed
    assert [(cause.backend, str(cause.kind), cause.status) for cause in error.causes] == [
        ("a", "auth", 401),
        ("b", "quota", 402),
        ("c", "model_not_found", 404),
    ]
    assert str(error.__cause__).startswith("a: auth")
    assert error.trail == show.trail
    assert not error.retryable
    assert results(house) == ["failed"]
    house.check()


async def test_when_nobody_can_be_asked_the_error_says_who_and_until_when() -> None:
    house = House(refusal(401), retry=RetrySettings(wait_for_capacity=0))
    for _ in range(3):
        await house.play()
    show = await house.play()
    assert type(show.error) is NoBackendAvailable
    assert str(show.error).startswith("All backends are currently unhealthy (circuit breakers open). ")
    assert show.error.retry_after == 30
    assert (show.chunks, show.call.backend) == ([], None)
    house.check()


async def test_if_every_member_ends_empty_but_properly_the_last_is_the_answer() -> None:
    silence = stream(PREAMBLE, delta(finish="stop"), DONE)
    house = House(silence, silence, retry=RetrySettings(count=1))
    show = await house.play()
    assert show.error is None
    assert [chunk.finish_reason for chunk in show.chunks] == [None, "stop"]
    assert show.outcomes == [("a", "empty"), ("b", "refused")]
    assert results(house) == ["answered"]
    house.check()


async def test_the_unary_case_of_the_same() -> None:
    house = House(completion(""), retry=RetrySettings(count=1))
    show = await house.play(stream=False)
    assert (show.error, len(show.chunks)) == (None, 1)
    house.check()


# The adaptive clock


def paced(*scripts: Sequence[Reply] | Reply) -> House:
    """The first one is known to begin within half a second, so it gets one and a half."""
    house = House(*scripts, retry=RetrySettings(count=1))
    known = house.members[0].health.patience.of(house.clock.now(), 0)
    for _ in range(30):
        known.began(house.clock.now(), bucket_of(0.5))
    return house


SLOW = stream(3.0, delta("Hello"), STOP, DONE)
SILENT = stream(60.0)


async def test_who_is_later_than_its_habit_is_taken_over_from() -> None:
    house = paced(SLOW, speech("Good day"))
    show = await house.play(1.6)
    assert (show.text, show.outcomes) == ("Good day", [("a", "timeout"), ("b", "success")])
    house.check()


async def test_it_is_waited_for_if_the_other_one_has_gone_meanwhile() -> None:
    house = paced(SLOW, speech("Good day"))
    show = await house.play(1.0)
    house.members[1].bench(house.clock.now(), 60, 60)
    await house.clock.advance(2.1)
    assert (show.text, show.outcomes) == ("Hello", [("a", "success")])
    house.check()


async def test_and_taken_over_from_if_another_one_has_come() -> None:
    house = paced(SLOW, speech("Good day"))
    house.members[1].bench(house.clock.now(), 1, 60)
    show = await house.play(1.6)
    assert show.outcomes == [("a", "timeout"), ("b", "success")]
    house.check()


async def test_it_is_waited_for_no_longer_than_its_setting_says() -> None:
    house = paced(SILENT)
    show = await house.play(9.9)
    assert not show.task.done()
    await house.clock.advance(0.2)
    assert show.outcomes == [("a", "timeout")]
    assert "Request exceeded 10000ms" in str(show.error)
    house.check()


async def test_a_whole_answer_has_a_limit_of_its_own() -> None:
    house = House(Reply(head=[60.0]), timeouts=replace(TIMEOUTS, unary=20), retry=RetrySettings(count=1))
    show = await house.play(20.1, stream=False)
    assert "Request exceeded 20000ms" in str(show.error)
    house.check()


async def test_nor_for_longer_than_its_deadline() -> None:
    house = paced(SILENT)
    house.pool.settings = replace(house.pool.settings, retry=RetrySettings(count=1, request_timeout=4))
    show = await house.play(4.1)
    assert isinstance(show.error, DeadlineExceeded)
    house.check()


async def test_nor_does_a_redirect_cost_it_the_time_it_was_given() -> None:
    moved = Reply(status=307, headers={"location": "http://a.test/v1/chat/completions"}, head=[2.0])
    house = paced([moved, stream(2.0, delta("Hello"), STOP, DONE, head=[2.0])])
    show = await house.play(6.1)
    assert (show.text, show.outcomes) == ("Hello", [("a", "success")])
    house.check()


async def test_the_words_of_a_refusal_are_not_waited_for_so_long() -> None:
    house = paced(stream(60.0, status=500))
    show = await house.play(2.1)
    assert show.outcomes == [("a", "server_error")]
    house.check()


async def test_what_has_begun_is_not_waited_for_any_longer_than_ever() -> None:
    house = paced(stream(1.0, delta("Hello"), 60.0))
    show = await house.play(6.1)
    assert show.outcomes == [("a", "stall")]
    house.check()


# Waiting


async def test_a_request_waits_for_a_bench_to_end() -> None:
    house = House([refusal(429, retry_after="5"), speech("Hello")], policy="roundrobin")
    show = await house.play(4.9)
    assert house.asked() == ["a"]
    await house.clock.advance(0.1)
    assert show.text == "Hello"
    assert any(isinstance(event, WaitingForCapacity) for event in house.listener.heard)
    house.check()


async def test_a_settled_probe_wakes_those_who_wait_for_it() -> None:
    replies = [refusal(500), stream(3.0, delta("probe"), STOP, DONE), speech("second")]
    house = House(replies, breaker=BreakerSettings(failure_threshold=1), retry=RetrySettings(count=1))
    await house.play()
    await house.clock.advance(30)
    probe, waiting = house.start(), house.start()
    await house.clock.advance(2.9)
    assert house.asked() == ["a", "a"], "one probe at a time"
    await house.clock.advance(0.1)
    assert (probe.text, waiting.text) == ("probe", "second")
    assert house.members[0].breaker.phase is State.CLOSED
    house.check()


async def test_waiting_for_capacity_ends_at_its_limit() -> None:
    house = House(
        [refusal(500), Reply(head=[60.0])],
        breaker=BreakerSettings(failure_threshold=1),
        retry=RetrySettings(count=1, wait_for_capacity=4),
    )
    await house.play()
    await house.clock.advance(30)
    probe, waiting = house.start(), house.start()
    await house.clock.advance(4)
    assert isinstance(waiting.error, NoBackendAvailable)
    assert not probe.task.done()
    await house.clock.advance(60)
    house.check()


async def test_a_freed_place_goes_to_whoever_waits_first() -> None:
    slow = stream(PREAMBLE, delta("Hello"), 1.0, STOP, DONE)
    house = House([slow] * 4)
    house.members[0].settings = replace(house.members[0].settings, ceilings=Ceilings(concurrency=1))
    shows = [house.start() for _ in range(4)]
    for done in range(1, 5):
        await house.clock.advance(1.0)
        assert [show.task.done() for show in shows] == [True] * done + [False] * (4 - done)
    assert house.engine._waiters == {}
    house.check()


async def test_a_caller_who_leaves_the_line_lets_the_next_one_through() -> None:
    slow = stream(PREAMBLE, delta("Hello"), 1.0, STOP, DONE)
    house = House([slow] * 3)
    house.members[0].settings = replace(house.members[0].settings, ceilings=Ceilings(concurrency=1))
    running, leaving, staying = (house.start() for _ in range(3))
    await house.clock.advance(0.5)
    leaving.task.cancel()
    await house.clock.advance(0.5)
    assert running.text == "Hello"
    await house.clock.advance(1.0)
    assert staying.text == "Hello"
    assert len(house.pool.queue) == 0
    house.check()


# Exits


@pytest.mark.parametrize(
    ("reply", "seconds", "streamed"),
    [
        (Reply(head=[60.0]), 1, True),
        (stream(60.0), 1, True),
        (stream(PREAMBLE, 60.0), 1, True),
        (stream(delta("Hello"), 60.0), 1, True),
        (stream(delta("Hello"), STOP, 60.0), 0.5, True),
        (Reply(head=[60.0]), 1, False),
        (Reply(headers=JSON_HEADERS, pieces=[b"{", 60.0]), 1, False),
        (refusal(500), 0.5, True),
        (Reply(status=500, pieces=[60.0]), 1, False),
    ],
    ids=[
        "head",
        "body",
        "preamble",
        "content",
        "marker",
        "unary head",
        "unary body",
        "back-off",
        "error body",
    ],
)
async def test_a_caller_who_leaves_blames_nobody_and_nothing_more_is_asked(
    reply: Reply, seconds: float, streamed: bool
) -> None:
    house = House(reply, speech("never"))
    show = await house.play(seconds, stream=streamed)
    show.task.cancel()
    await house.clock.advance()
    assert show.task.cancelled()
    house.check()
    await house.clock.advance(100)
    assert house.asked() == ["a"]
    assert results(house) == ["cancelled"]
    assert house.members[0].breaker.failures(house.clock.now(), house.pool.settings.breaker) <= 1


async def test_a_caller_who_closes_the_generator_leaves_too() -> None:
    house = House(stream(delta("Hello"), 60.0))
    chunks = house.call().chunks()
    assert (await anext(chunks)).text == "Hello"
    await chunks.aclose()
    house.check()
    assert results(house) == ["cancelled"]
    assert house.members[0].metrics.output_tokens == 2, "what was sent has been paid for"


async def test_dropping_the_last_reference_closes_the_connection() -> None:
    house = House(stream(delta("Hello"), 60.0))
    chunks = house.call().chunks()
    assert (await anext(chunks)).text == "Hello"
    del chunks
    gc.collect()
    await house.clock.advance()
    house.check()


async def test_a_bug_of_ours_is_raised_loudly_and_blames_nobody() -> None:
    house = House(speech("never"), speech("never"))
    house.transport._scripts.clear()
    show = await house.play()
    assert isinstance(show.error, InternalError)
    assert isinstance(show.error.__cause__, KeyError)
    assert show.outcomes == [("a", "internal")]
    assert house.members[0].metrics.failures == 1
    assert house.members[0].breaker.failures(house.clock.now(), house.pool.settings.breaker) == 0
    assert results(house) == ["failed"]
    house.check()


async def test_a_permit_comes_back_from_a_bug_in_a_probe() -> None:
    house = House(refusal(500), breaker=BreakerSettings(failure_threshold=1), retry=RetrySettings(count=1))
    await house.play()
    await house.clock.advance(30)
    house.transport._scripts.clear()
    assert isinstance((await house.play()).error, InternalError)
    assert house.members[0].breaker.admits(house.clock.now(), house.pool.settings.breaker)


async def test_an_interrupted_stream_keeps_what_was_passed_on() -> None:
    house = House(stream(PREAMBLE, delta("To be"), delta(" or"), ConnectionReset("gone")))
    show = await house.play()
    assert isinstance(show.error, StreamInterrupted)
    assert (show.error.partial, show.call.text) == ("To be or", "To be or")
    assert show.error.retryable
    assert show.error.trail == show.trail
    assert results(house) == ["failed"]
    house.check()


async def test_a_rejected_request_carries_no_text() -> None:
    show = await House(refusal(422)).play()
    assert isinstance(show.error, RequestRejected)
    assert (show.error.partial, show.error.status) == ("", 422)


# Batch by batch, as servers read


async def test_batches_are_asked_for_until_there_is_none() -> None:
    house = House(stream(PREAMBLE, delta("To") + delta(" be"), delta(" or not"), STOP, USAGE, DONE))
    call = house.call()
    batches = []
    while (batch := await call.next_batch()) is not None:
        batches.append([chunk.text for chunk in batch])
    assert batches == [["", "To", " be"], [" or not"], [""]], "what is hidden from the caller is no batch"
    assert await call.next_batch() is None
    call.leave()
    call.leave()
    assert (call.text, call.backend, call.attempts, call.asked_model) == ("To be or not", "a", 1, "m")
    assert results(house) == ["answered"]
    house.check()


async def test_whoever_does_not_want_the_text_kept_has_none() -> None:
    house = House(speech("Hello"))
    call = house.engine.call(ChatRequest([{"role": "user", "content": "Hi"}]), stream=True, keeps_text=False)
    async for _ in call.chunks():
        pass
    assert call.text == ""


async def test_leaving_between_two_batches_ends_the_attempt() -> None:
    house = House(stream(delta("Hello"), 60.0))
    call = house.call()
    await call.next_batch()
    assert house.engine.busy
    call.leave()
    assert not house.engine.busy
    assert results(house) == ["cancelled"]
    house.check()


async def test_a_call_that_never_began_may_be_left() -> None:
    house = House(speech("never"))
    call = house.call()
    call.leave()
    assert (call.attempts, call.asked_model, call.is_native, house.engine.busy) == (0, None, False, False)
    assert results(house) == []


async def test_attempts_are_those_on_all_members() -> None:
    house = House(refusal(500), speech("Hello"))
    show = await house.play(1)
    assert (show.call.attempts, show.call.backend) == (3, "b")


async def test_a_request_in_the_answering_backends_format_is_native() -> None:
    house = House(speech("Hello"))
    body = b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}]}'
    call = house.engine.call(openai_client.read_request(body), stream=True)
    assert not call.is_native
    await call.next_batch()
    assert call.is_native
    assert call.is_native_to("a")
    call.leave()
    other = house.engine.call(anthropic_client.read_request(body), stream=True)
    await other.next_batch()
    assert not other.is_native
    other.leave()


async def test_own_time_is_neither_asking_nor_waiting() -> None:
    slow = Reply(head=[3.0], pieces=[*speech("Hello").pieces])
    house = House([refusal(500), slow], retry=RetrySettings(delay=2.0))
    began = house.clock.now()
    show = house.start()
    seen = []
    for _ in range(6):
        await house.clock.advance(1)
        seen.append(show.call.own_time(began))
    assert show.text == "Hello"
    assert seen == [0, 0, 0, 0, 0, 1], "from the first content on, all time is the caller's or ours"


async def test_before_it_begins_all_time_is_its_own() -> None:
    house = House(speech("Hello"))
    call = house.call()
    began = house.clock.now()
    await house.clock.advance(2)
    assert call.own_time(began) == 2


async def test_nor_is_a_wait_for_capacity_while_it_lasts_and_after() -> None:
    house = House([refusal(429, retry_after="5"), speech("Hello")], policy="roundrobin")
    began = house.clock.now()
    show = await house.play(4)
    assert show.call.own_time(began) == 0
    await house.clock.advance(1)
    assert (show.text, show.call.own_time(began)) == ("Hello", 0)


# An operator's hand


async def test_what_an_operator_does_is_told_and_wakes_those_who_wait() -> None:
    house = House([refusal(429, retry_after="15"), speech("Hello")], policy="roundrobin")
    show = await house.play(1)
    house.members[0].benched_until = house.clock.now()
    house.engine.acted("a", "reset")
    await house.clock.advance()
    assert show.text == "Hello"
    assert OperatorActed(house.clock.now(), 0, "a", "reset") in house.listener.heard
    house.check()


# Closing


async def test_closing_ends_what_waits_and_what_is_paused() -> None:
    house = House(stream(delta("Hello"), 60.0))
    waiting = await house.play(1)
    paused = house.call().chunks()
    await anext(paused)
    await house.engine.close()
    await house.clock.advance()
    assert isinstance(waiting.error, BalancerClosed)
    assert waiting.error.partial == "Hello"
    with pytest.raises(BalancerClosed):
        await anext(paused)
    house.check()
    assert house.transport.closed
    assert results(house) == ["cancelled", "cancelled"]


async def test_closing_ends_a_back_off_and_a_wait() -> None:
    house = House(refusal(500))
    show = await house.play(0.5)
    await house.engine.close()
    assert house.pool.metrics.in_flight == 0, "closing waits until all is settled"
    await house.clock.advance()
    assert isinstance(show.error, BalancerClosed)
    house.check()


async def test_after_closing_nothing_begins() -> None:
    house = House(speech("never"))
    call = house.call()
    early = house.call()
    assert call.close() is False
    await house.engine.close()
    await house.engine.close()
    show = await house.play()
    assert isinstance(show.error, BalancerClosed)
    with pytest.raises(BalancerClosed):
        await anext(early.chunks())
    assert house.asked() == []
    house.check()


async def test_reprs_show_what_a_debugger_wants() -> None:
    house = House(speech("Hello"))
    call = house.call()
    assert (call.trail, call.model, call.usage, call.finish_reason, call.text) == ((), None, None, None, "")
    assert repr(call) == "<Call None, not answered>"
    assert repr(house.engine) == "<Engine of <Pool house, failover, 1 members>, 0 calls>"
    assert repr(house.backends["a"]) == "<Backend a, m at http://a.test/v1>"
    async for _ in call.chunks():
        pass
    assert repr(call) == "<Call <Dispatch 1 of house, 1 attempts>, a>"


async def test_a_waiter_that_was_woken_twice_is_resolved_once() -> None:
    house = House(speech("Hello"))
    waiter = house.engine.waiter(1)
    house.engine.wake()
    house.engine.wake()
    await asyncio.sleep(0)
    assert waiter.done()


class TestFit:
    """A member whose model can't take the request is not asked."""

    @pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
    async def test_the_next_one_is_asked_in_its_place(self, streamed: bool) -> None:
        reply = speech("Hello") if streamed else completion("Hello")
        house = House(reply, reply, facts=[Facts(supports=frozenset())])
        show = await house.play(stream=streamed, tools=[{"type": "function", "function": {"name": "f"}}])
        assert (house.asked(), show.text) == (["b"], "Hello")
        assert show.trail[0] == SkipEntry("a", SkipReason.NO_TOOLS, None)
        house.check()

    async def test_where_no_model_takes_it_the_request_is_to_blame(self) -> None:
        house = House(speech("Hello"), facts=[Facts(context_limit=10)])
        show = await house.play(max_tokens=1000)
        assert isinstance(show.error, NoBackendAvailable)
        assert show.error.blames_request
        assert str(show.error) == "The prompt is too long for every backend. a: context_length"
        assert house.asked() == []
        house.check()
