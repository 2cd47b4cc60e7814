"""Another attempt goes on with an answer that broke off, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from tests.core.stage import takes
from tests.runtime.house import (
    DONE,
    JSON_HEADERS,
    PREAMBLE,
    STOP,
    USAGE,
    House,
    Show,
    completion,
    delta,
    refusal,
    speech,
    stream,
)
from understudy.core.facts import Facts
from understudy.core.settings import (
    BreakerSettings,
    HedgeSettings,
    PoolSettings,
    RecoverySettings,
    RetrySettings,
)
from understudy.errors import BalancerClosed, ConnectionReset, InternalError, StreamInterrupted
from understudy.runtime.race import Race, Runner
from understudy.simulate.scripted_transport import Reply
from understudy.wire import anthropic_client, anthropic_messages, openai_client
from understudy.wire.chat import ChatChunk

LONG = "To be, or not to be, that is the question: whether 'tis nobler"
SAME = RecoverySettings()
WANTED: dict[str, Any] = {"stream_options": {"include_usage": True}}
RETRY_ONCE = RetrySettings(count=1, delay=1.0)
RETRY_SLOWLY = RetrySettings(delay=12.0)
PREFILL = Facts(supports=takes("prefill"))


def house(*scripts: Any, **options: Any) -> House:
    return House(*scripts, **{"recovery": SAME, "breaker": BreakerSettings(enabled=False), **options})


def broken(*words: str) -> Reply:
    return stream(PREAMBLE, *map(delta, words), ConnectionReset("gone"))


def usages(show: Show) -> list[tuple[int, int]]:
    return [(c.usage.input_tokens, c.usage.output_tokens) for c in show.chunks if c.usage is not None]


async def batches(call: Any, clock: Any, seconds: float) -> list[list[ChatChunk]]:
    """What `next_batch` returns within so many seconds."""
    got: list[list[ChatChunk]] = []

    async def read() -> None:
        while (batch := await call.next_batch()) is not None:
            got.append(batch)

    task = asyncio.ensure_future(read())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.wait({task})
    return got


class TestUsage:
    async def test_a_replays_is_the_whole_answers_once_and_at_the_end(self) -> None:
        evening = house(broken("To be"), speech("To be", ", or not"))
        show = await evening.play(**WANTED)
        assert show.text == "To be, or not"
        assert usages(show) == [(7, 3)]
        assert show.chunks[-1].usage == show.call.usage
        assert not show.call.is_native
        evening.check()

    async def test_whoever_did_not_ask_for_it_does_not_see_it(self) -> None:
        evening = house(broken("To be"), speech("To be", ", or not"))
        show = await evening.play()
        assert usages(show) == []
        assert show.call.usage is not None

    async def test_the_first_parts_own_input_stands(self) -> None:
        first = stream(PREAMBLE, USAGE.replace(b": 7", b": 70"), delta("To be"), ConnectionReset("gone"))
        show = await house(first, speech("To be", ", or not")).play(**WANTED)
        assert usages(show) == [(70, 3), (70, 3)], "the first part told it on its own account"

    async def test_it_stands_also_when_a_later_part_breaks_off(self) -> None:
        def told(tokens: bytes, *words: str) -> Reply:
            usage = USAGE.replace(b": 7", b": " + tokens)
            return stream(PREAMBLE, usage, *map(delta, words), ConnectionReset("gone"))

        evening = house([told(b"70", "To be"), speech("To be, or not")], told(b"9", "To be, or"))
        show = await evening.play(3, **WANTED)
        assert show.text == "To be, or not"
        assert show.call.usage is not None
        assert show.call.usage.input_tokens == 70

    async def test_of_a_replay_that_tells_nothing_it_is_an_estimate(self) -> None:
        again = stream(PREAMBLE, delta("To be"), delta(", or not"), STOP, DONE)
        show = await house(broken("To be"), again).play(**WANTED)
        assert show.call.usage is not None
        assert show.call.usage.estimated
        assert 3 <= show.call.usage.output_tokens <= 8

    async def test_another_models_own_count_is_not_believed(self) -> None:
        evening = house(broken("To be"), speech("To be", ", or not"), recovery=RecoverySettings("any"))
        evening.members[1].settings = type(evening.members[1].settings)(model="n")
        show = await evening.play(**WANTED)
        assert show.call.usage is not None
        assert show.call.usage.estimated

    async def test_a_continuations_is_what_was_there_and_what_it_said(self) -> None:
        rest = LONG[len(LONG[:-32].rstrip()) :]
        evening = house(broken(LONG), speech(rest, " in the mind"), facts=[Facts(), PREFILL])
        show = await evening.play(**WANTED)
        assert show.text == LONG + " in the mind"
        assert show.call.usage is not None
        assert 3 + 5 <= show.call.usage.output_tokens <= 3 + 12
        assert [entry.to_dict().get("recovery") for entry in show.trail] == [None, "continuation"]


class TestContinuation:
    def asked(self, evening: House) -> Any:
        return json.loads(evening.transport.requests[-1].body)

    async def ask(self, words: str = LONG, **fields: Any) -> str:
        evening = house(broken(words), speech("whatever"), facts=[Facts(), PREFILL])
        await evening.play(**fields)
        return str(self.asked(evening)["messages"][-1]["role"])

    async def test_it_asks_for_the_rest_and_lowers_the_limit(self) -> None:
        evening = house(broken(LONG), speech("whatever"), facts=[Facts(), PREFILL])
        await evening.play(max_tokens=100)
        body = self.asked(evening)
        assert body["messages"][-1] == {"role": "assistant", "content": LONG[:-32].rstrip()}
        assert 85 <= body["max_tokens"] <= 95

    async def test_fields_that_tell_it_to_go_on_are_the_backends(self) -> None:
        evening = house(broken(LONG), speech("whatever"), facts=[Facts(), PREFILL])
        evening.backends["b"].continuation = {"continue_final_message": True}
        evening.engine.backends["b"].continuation = {"continue_final_message": True}
        await evening.play()
        assert self.asked(evening)["continue_final_message"] is True

    async def test_what_does_not_lend_itself_to_it_is_replayed(self) -> None:
        assert await self.ask() == "assistant"
        assert await self.ask("Too short to be cut anywhere.") == "user"
        assert await self.ask(reasoning_effort="high") == "user"
        assert await self.ask(n=2) == "user"

    async def test_nor_does_reasoning_that_was_shown(self) -> None:
        first = stream(delta(reasoning_content="Hm"), delta(LONG), ConnectionReset("gone"))
        evening = house(first, speech("whatever"), facts=[Facts(), PREFILL])
        await evening.play()
        assert self.asked(evening)["messages"][-1]["role"] == "user"

    async def test_a_request_that_the_format_cannot_say_is_passed_over(self) -> None:
        body = {
            "model": "m",
            "stream": True,
            "max_tokens": 9,
            "messages": [{"role": "robot", "content": "Hi"}],
        }
        request = anthropic_client.read_request(json.dumps(body).encode())
        first = Reply(pieces=[_event("content_block_delta", delta={"type": "text_delta", "text": LONG})])
        evening = house(first, speech("never"), facts=[Facts(), PREFILL], formats=[anthropic_messages])
        show = Show(evening.engine.call(request, stream=True))
        await evening.clock.advance(20)
        assert isinstance(show.error, StreamInterrupted)
        assert ("b", "unfit") in show.outcomes

    async def test_a_natives_conversation_is_gone_on_with_natively(self) -> None:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}], "seed": 5}
        request = openai_client.read_request(json.dumps(body).encode())
        evening = house(broken(LONG), speech("whatever"), facts=[Facts(), PREFILL])
        show = Show(evening.engine.call(request, stream=True))
        await evening.clock.advance()
        assert (self.asked(evening)["seed"], len(self.asked(evening)["messages"])) == (5, 2)
        assert show.call.text.startswith(LONG)


def _event(kind: str, **fields: Any) -> bytes:
    return (
        f"event: {kind}\ndata: ".encode()
        + json.dumps({"type": kind, "index": 0, **fields}).encode()
        + b"\n\n"
    )


class TestMismatch:
    async def test_nothing_of_it_goes_out(self) -> None:
        evening = house(broken("To be"), speech("To bo"), retry=RETRY_ONCE)
        show = await evening.play(2)
        assert show.text == "To be"
        assert ("b", "mismatch") in show.outcomes
        assert isinstance(show.error, StreamInterrupted)
        evening.check()

    async def test_a_json_answer_is_matched_too(self) -> None:
        evening = house(broken("To be"), [completion("To be, or not")])
        show = await evening.play()
        assert (show.text, show.error) == ("To be, or not", None)
        evening = house(broken("To be"), completion("Not to be"), retry=RETRY_ONCE)
        show = await evening.play(2)
        assert ("b", "mismatch") in show.outcomes

    async def test_an_answer_of_several_is_left_where_one_differs(self) -> None:
        def choice(index: int, text: str) -> bytes:
            body = {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}
            return b"data: " + json.dumps(body).encode() + b"\n\n"

        first = stream(choice(0, "A"), choice(1, "B"), ConnectionReset("gone"))
        again = stream(choice(0, "And") + choice(1, "X"))
        show = await house(first, again, retry=RETRY_ONCE).play(2, n=2)
        assert ("b", "mismatch") in show.outcomes
        assert "".join(chunk.text for chunk in show.chunks if chunk.index == 0) == "And"

    async def test_one_in_json_too(self) -> None:
        two = {
            "choices": [
                {"index": 0, "message": {"content": "And"}, "finish_reason": "stop"},
                {"index": 1, "message": {"content": "X"}, "finish_reason": "stop"},
            ]
        }

        def choice(index: int, text: str) -> bytes:
            body = {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}
            return b"data: " + json.dumps(body).encode() + b"\n\n"

        first = stream(choice(0, "A"), choice(1, "B"), ConnectionReset("gone"))
        again = Reply(headers=JSON_HEADERS, pieces=[json.dumps(two).encode()])
        show = await house(first, again, retry=RETRY_ONCE).play(2, n=2)
        assert ("b", "mismatch") in show.outcomes


async def test_words_that_came_along_with_the_failure_were_shown_and_are_not_said_again() -> None:
    error = b'data: {"error": {"message": "no", "type": "server_error"}}\n\n'
    for first in (stream(PREAMBLE + delta("To be") + error), stream(PREAMBLE + delta("To be") + DONE)):
        evening = house(first, speech("To be", ", or not"))
        show = await evening.play()
        assert show.text == "To be, or not"
        assert [entry.to_dict().get("recovery") for entry in show.trail] == [None, "replay"]
        evening.check()


class TestSignsOfLife:
    async def test_one_at_the_break_then_every_five_seconds(self) -> None:
        evening = house(broken("To be"), stream(delta("To be"), 4.0, delta(" or"), head=[8.0]))
        call = evening.call()
        got = await batches(call, evening.clock, 7.9)
        assert [[chunk.text for chunk in batch] for batch in got] == [["", "To be"], [], []]
        call.leave()

    async def test_while_the_walk_waits_too(self) -> None:
        evening = house([broken("To be"), speech("To be", " or")], retry=RETRY_SLOWLY)
        call = evening.call()
        got = await batches(call, evening.clock, 11.0)
        assert got[1:] == [[], [], []]
        call.leave()
        evening.check()

    async def test_while_a_call_is_held(self) -> None:
        called = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}])
        evening = house(
            stream(PREAMBLE, delta("So:"), called, 4.0, delta(""), 4.0, delta(""), 4.0, STOP, DONE),
            recovery=RecoverySettings(hold_tool_calls=True),
        )
        call = evening.call()
        got = await batches(call, evening.clock, 13.0)
        assert [len(batch) for batch in got[:3]] == [2, 0, 0], "though something arrives all the time"
        assert any(chunk.tool_calls for chunk in got[-1])
        call.leave()

    async def test_what_is_held_goes_out_in_time_though_nothing_follows(self) -> None:
        evening = house(
            stream(PREAMBLE, delta("To be"), 4.0, delta(" or"), STOP, DONE),
            recovery=RecoverySettings(hold=1.0),
        )
        show = await evening.play(0.9)
        assert show.chunks == []
        await evening.clock.advance(0.1)
        assert show.text == "To be"
        await evening.clock.advance(3.0)
        assert show.text == "To be or"
        evening.check()

    async def test_what_broke_off_while_it_was_held_begins_anew_unseen(self) -> None:
        evening = house(
            broken("To be"),
            speech("Not to be"),
            recovery=RecoverySettings("off", hold=60.0),
            retry=RETRY_ONCE,
        )
        show = await evening.play()
        assert (show.text, show.outcomes) == ("Not to be", [("a", "truncated"), ("b", "success")])
        evening.check()

    async def test_an_answer_that_ends_within_its_hold_goes_out_at_once(self) -> None:
        show = await house(speech("To be"), recovery=RecoverySettings(hold=60.0)).play()
        assert show.text == "To be"


class TestLimits:
    async def test_until_something_new_has_come_the_deadline_is_the_recoverys(self) -> None:
        again = stream(delta("To"), 3.0, delta(" be"), 3.0, delta(" or"))
        evening = house(broken("To be"), again, recovery=RecoverySettings(timeout=5.0))
        show = await evening.play(5.0)
        assert isinstance(show.error, StreamInterrupted)
        assert show.outcomes == [("a", "truncated"), ("b", "cancelled")]
        assert "recovery_timeout_ms passed" in str(show.trail[-1].to_dict()["message"])
        evening.check()

    async def test_after_that_it_may_take_its_time(self) -> None:
        again = stream(delta("To be"), 3.0, delta(" or"), 4.0, delta(" not"), STOP, DONE)
        show = await house(broken("To be"), again, recovery=RecoverySettings(timeout=5.0)).play(8.0)
        assert show.text == "To be or not"

    async def test_a_stall_before_it_is_a_stall(self) -> None:
        again = stream(delta("To"), 60.0)
        show = await house(broken("To be"), again, retry=RETRY_ONCE).play(5.0)
        assert ("b", "stall") in show.outcomes


class TestLeaving:
    async def test_while_it_is_read_patiently_nothing_is_left_behind(self) -> None:
        evening = house(broken("To be"), stream(delta("To be"), 60.0))
        show = evening.start()
        await evening.clock.advance(1)
        show.task.cancel()
        await evening.clock.advance()
        assert show.outcomes == [("a", "truncated"), ("b", "cancelled")]
        evening.check()

    async def test_closing_while_somebody_waits(self) -> None:
        evening = house(broken("To be"), stream(delta("To be"), 60.0))
        show = evening.start()
        await evening.clock.advance(1)
        await evening.engine.close()
        await evening.clock.advance()
        assert isinstance(show.error, BalancerClosed)
        assert show.error.partial == "To be"
        evening.check()

    async def test_closing_while_nobody_does(self) -> None:
        evening = house(broken("To be"), stream(delta("To be"), 60.0))
        call = evening.call()
        await call.next_batch()
        assert await call.next_batch() == []
        waiting = asyncio.ensure_future(call.next_batch())
        await evening.clock.advance(5.0)
        assert waiting.result() == []
        await evening.engine.close()
        with pytest.raises(BalancerClosed):
            await call.next_batch()
        await evening.clock.advance()
        evening.check()

    async def test_what_failed_with_its_last_words_is_blamed_though_the_caller_leaves(self) -> None:
        error = b'data: {"error": {"message": "no"}}\n\n'
        evening = house(stream(PREAMBLE + delta("To be") + error))
        call = evening.call()
        await call.next_batch()
        call.leave()
        assert evening.members[0].metrics.failures == 1
        evening.check()


async def test_reprs_show_no_text() -> None:
    evening = house(speech("To be"))
    show = await evening.play()
    assert repr(show.call._told) == "<Told: <Transcript of 5 characters>>"
    race = Race(evening.clock, Runner(cast(Any, None), cast(Any, Never()), cast(Any, None)), 5.0)
    assert repr(race) == "<Race of 1>"


class Never:
    """An exchange that has nothing to say."""

    async def next_batch(self) -> None:
        return None


class TestRace:
    def racing(self, *scripts: Any, after: float = 1.0) -> House:
        evening = house(*scripts)
        settings = evening.pool.settings
        evening.pool.settings = PoolSettings(
            settings.breaker,
            settings.retry,
            recovery=settings.recovery,
            hedge=HedgeSettings(after, budget=1.0),
        )
        return evening

    async def test_the_first_to_speak_goes_on(self) -> None:
        evening = self.racing(stream(head=[9.0]), stream(delta("Hi"), 1.0, STOP, DONE, head=[1.0]))
        show = await evening.play(3.0)
        assert (show.text, show.call.backend) == ("Hi", "b")
        assert show.outcomes == [("a", "cancelled"), ("b", "success")]
        assert evening.members[0].metrics.input_tokens > 0
        evening.check()

    async def test_what_the_loser_had_said_is_estimated_too(self) -> None:
        evening = self.racing(stream(delta("    "), 9.0, delta("x")), stream(delta("Hi"), STOP, DONE))
        await evening.play(1.0)
        assert evening.members[0].metrics.output_tokens == 1
        evening.check()

    async def test_one_that_was_begun_to_be_billed_is_billed_so(self) -> None:
        evening = self.racing(stream(USAGE, 9.0, delta("x")), stream(delta("Hi"), STOP, DONE))
        await evening.play(1.0)
        assert evening.members[0].metrics.input_tokens == 7
        evening.check()

    async def test_a_bug_ends_both(self) -> None:
        evening = self.racing(stream(head=[9.0]), stream("no bytes"))  # type: ignore[arg-type]
        show = await evening.play(1.0)
        assert isinstance(show.error, InternalError)
        assert show.outcomes[1] == ("b", "internal")
        evening.check()

    async def test_closing_ends_both_also_when_one_has_dropped_out(self) -> None:
        for first in (stream(head=[9.0]), Reply(head=[2.0, ConnectionReset("gone")])):
            evening = self.racing(first, stream(head=[9.0]))
            show = evening.start()
            await evening.clock.advance(3.0)
            await evening.engine.close()
            await evening.clock.advance()
            assert isinstance(show.error, BalancerClosed)
            evening.check()

    async def test_with_nobody_else_there_is_no_race(self) -> None:
        evening = self.racing(stream(delta("Hi"), STOP, DONE, head=[3.0]))
        show = await evening.play(3.0)
        assert (show.text, evening.asked()) == ("Hi", ["a"])
        evening.check()

    async def test_one_that_fails_before_another_is_due_is_no_race_any_more(self) -> None:
        evening = self.racing([refusal(401)], speech("Hi"))
        show = await evening.play()
        assert show.outcomes == [("a", "auth"), ("b", "success")]
        evening.check()
