"""Facts about one attempt over the wire, by the rules in the module's header."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

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
    event,
    refusal,
    speech,
    stream,
)
from understudy.core.dispatch import Dispatch
from understudy.core.events import FieldsLeftOut
from understudy.core.facts import Facts, Tokenizer
from understudy.core.settings import RetrySettings, Timeouts
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    BodyCutShort,
    ConnectFailed,
    ConnectionReset,
    DeadlineExceeded,
    ProtocolViolation,
    RequestRejected,
    StreamInterrupted,
)
from understudy.runtime import exchange
from understudy.runtime.backend import Request
from understudy.runtime.exchange import MANY
from understudy.simulate.scripted_transport import Piece, Reply
from understudy.wire import anthropic_client, anthropic_messages, openai_client
from understudy.wire.chat import ChatRequest
from understudy.wire.needs import Needs
from understudy.wire.state import ProviderState
from understudy.wire.tokens import MESSAGE, estimate

ONCE = RetrySettings(count=1)


def pieces(times: int, *some: Piece) -> list[Piece]:
    return [*some] * times


# Rule 1: the preamble is held back


async def test_nothing_goes_out_before_the_first_content_and_then_all_of_it_at_once() -> None:
    house = House(stream(PREAMBLE, delta(" "), 3.0, delta("To"), delta(" be"), STOP, DONE))
    show = await house.play(2.9)
    assert show.chunks == []
    await house.clock.advance(0.1)
    assert [chunk.text for chunk in show.chunks] == ["", " ", "To", " be", ""]
    assert show.outcomes == [("a", "success")]
    house.check()


async def test_a_preamble_that_fails_never_reaches_the_caller() -> None:
    house = House(stream(PREAMBLE, delta("\n"), ConnectionReset("gone")), speech("Hello"), retry=ONCE)
    show = await house.play()
    assert [chunk.text for chunk in show.chunks] == ["", "Hello", ""]
    assert show.outcomes == [("a", "reset"), ("b", "success")]
    house.check()


async def test_streams_stay_streams() -> None:
    house = House(stream(delta("one"), 1.0, delta("two"), 1.0, STOP, DONE))
    show = await house.play(0.5)
    assert show.text == "one"
    await house.clock.advance(1)
    assert show.text == "onetwo"


# Rule 2: clocks


@pytest.mark.parametrize(
    "silent",
    [
        Reply(head=[60.0]),
        stream(60.0),
        stream(*pieces(10, 2.0, b": still there\n\n")),
        stream(PREAMBLE, *pieces(10, 2.0, PREAMBLE)),
    ],
    ids=["no head", "no body", "comments only", "preamble only"],
)
async def test_only_content_satisfies_the_first_content_clock(silent: Reply) -> None:
    house = House(silent, speech("Hello"))
    show = await house.play(9.9)
    assert house.asked() == ["a"]
    await house.clock.advance(0.1)
    assert show.outcomes == [("a", "timeout"), ("b", "success")]
    assert show.trail[0].message == "Request exceeded 10000ms"  # type: ignore[union-attr]
    assert house.members[0].metrics.timeouts == 1
    house.check()


async def test_a_unary_answer_has_its_own_clock() -> None:
    slow = Reply(headers=JSON_HEADERS, pieces=[b'{"choices"', 60.0])
    house = House(slow, completion("Hello"), timeouts=Timeouts(first_content=1, unary=20))
    show = await house.play(19.9, stream=False)
    assert house.asked() == ["a"]
    await house.clock.advance(0.1)
    assert (show.text, show.outcomes) == ("Hello", [("a", "timeout"), ("b", "success")])
    house.check()


async def test_silence_after_content_is_a_stall_and_comments_do_not_end_it() -> None:
    house = House(stream(PREAMBLE, delta("To"), *pieces(9, 2.0, b": ping\n\n")), speech("Hello"))
    show = await house.play(4.9)
    assert not show.task.done()
    await house.clock.advance(0.1)
    assert isinstance(show.error, StreamInterrupted)
    assert show.error.partial == "To"
    assert [str(cause.kind) for cause in show.error.causes] == ["stall"]
    assert show.outcomes == [("a", "stall")]
    assert house.asked() == ["a"], "after content there is no plain failover"
    house.check()


async def test_an_event_without_content_keeps_a_stream_from_stalling() -> None:
    house = House(stream(delta("To"), *pieces(3, 4.0, delta("")), STOP, DONE))
    assert (await house.play(12)).outcomes == [("a", "success")]


async def test_a_slow_caller_does_not_run_the_stall_clock_nor_the_serving_rate() -> None:
    cost = event(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 60})
    house = House(stream(delta("x" * 400), 2.0, delta("x" * 400), 2.0, delta("x" * 400), STOP, cost, DONE))
    chunks = house.call().chunks()
    assert (await anext(chunks)).text == "x" * 400
    await house.clock.advance(100)
    task = asyncio.create_task(collect(chunks))
    await house.clock.advance(4)
    assert len(await task) == 3
    house.members[0].window.generated.add(house.clock.now(), 0, 20)
    assert house.members[0].window.serving_rate(house.clock.now()) == pytest.approx(60 * 60 / 24)


async def collect(chunks: object) -> list[object]:
    return [chunk async for chunk in chunks]  # type: ignore[attr-defined]


async def test_the_requests_deadline_cuts_an_attempt_without_blaming_its_backend() -> None:
    house = House(Reply(head=[60.0]), speech("Hello"), retry=RetrySettings(request_timeout=3))
    show = await house.play(3)
    assert isinstance(show.error, DeadlineExceeded)
    assert "request_timeout_ms" in str(show.error)
    assert show.outcomes == [("a", "cancelled")]
    assert house.members[0].metrics.failures == 0
    house.check()


# Rule 3: success is the terminal marker


@pytest.mark.parametrize(
    "tail",
    [
        [STOP, DONE],
        [STOP],
        [STOP, ConnectionReset("gone")],
        [STOP, ProtocolViolation("garbage")],
        [STOP, event(error={"message": "late"}), DONE],
        [STOP, DONE, DONE, delta("late"), b"garbage\n\n"],
    ],
    ids=["DONE", "no DONE", "reset", "broken framing", "error after the marker", "data after DONE"],
)
async def test_what_follows_the_terminal_marker_cannot_spoil_the_answer(tail: list[object]) -> None:
    house = House(stream(PREAMBLE, delta("Hello"), *tail))  # type: ignore[arg-type]
    show = await house.play()
    assert (show.text, show.outcomes) == ("Hello", [("a", "success")])
    assert house.pool.metrics.answered == 1
    house.check()


async def test_a_connection_left_open_after_the_marker_is_closed_within_a_second() -> None:
    house = House(stream(delta("Hello"), STOP, 60.0))
    show = await house.play(0.9)
    assert not show.task.done()
    await house.clock.advance(0.1)
    assert show.outcomes == [("a", "success")]
    assert show.call.usage is not None
    assert show.call.usage.estimated
    house.check()


async def test_usage_after_the_marker_is_waited_for() -> None:
    house = House(stream(delta("Hello"), STOP, 0.5, USAGE, 60.0))
    show = await house.play(1)
    assert show.call.usage is not None
    assert (show.call.usage.input_tokens, show.call.usage.output_tokens) == (7, 3)


# Rule 4: ends without a marker


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ([], "truncated"),
        ([DONE], "truncated"),
        ([ConnectionReset("gone")], "truncated"),
        ([ProtocolViolation("bad chunk")], "protocol"),
        ([event(error={"message": "overloaded", "code": 503})], "server_error"),
        ([delta(finish="error")], "server_error"),
        ([b"data: {\n\n", b"data: {\n\n"], "protocol"),
    ],
)
async def test_after_content_every_other_end_is_an_explicit_error(end: list[object], kind: str) -> None:
    house = House(stream(delta("To be"), *end), speech("Hello"))  # type: ignore[arg-type]
    show = await house.play()
    assert isinstance(show.error, StreamInterrupted)
    assert show.outcomes == [("a", kind)]
    assert show.text == "To be"
    assert house.members[0].metrics.output_tokens == 2, "what was sent has been paid for"
    house.check()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([], "empty"),
        ([DONE], "empty"),
        ([PREAMBLE], "empty"),
        ([ConnectionReset("gone")], "reset"),
        ([PREAMBLE, ConnectionReset("gone")], "reset"),
        ([b"data: {\n\n"], "protocol"),
        ([PREAMBLE, b"data: {\n\n"], "protocol"),
        ([b"<html>502</html>"], "protocol"),
        ([ProtocolViolation("bad chunk")], "protocol"),
        ([event(error={"message": "quota", "code": "insufficient_quota"})], "quota"),
    ],
)
async def test_before_content_every_end_without_a_marker_fails_over(body: list[object], kind: str) -> None:
    house = House(stream(*body), speech("Hello"), retry=ONCE)  # type: ignore[arg-type]
    show = await house.play()
    assert (show.text, show.outcomes) == ("Hello", [("a", kind), ("b", "success")])
    house.check()


async def test_a_connection_that_cannot_be_made_is_connect() -> None:
    house = House(Reply(head=[ConnectFailed("connection refused")]), speech("Hello"))
    show = await house.play()
    assert show.outcomes == [("a", "connect"), ("b", "success")]


async def test_a_unary_body_short_of_its_content_length_is_protocol_a_stream_is_reset() -> None:
    short = BodyCutShort("10 bytes missing")
    house = House(Reply(headers=JSON_HEADERS, pieces=[b"{", short]), completion("Hello"), retry=ONCE)
    assert (await house.play(stream=False)).outcomes == [("a", "protocol"), ("b", "success")]
    house = House(stream(PREAMBLE, short), speech("Hello"), retry=ONCE)
    assert (await house.play()).outcomes == [("a", "reset"), ("b", "success")]


# Rule 5: empty answers


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
async def test_an_answer_without_content_is_empty(finish: str) -> None:
    house = House(stream(PREAMBLE, delta(finish=finish), DONE), speech("Hello"), retry=ONCE)
    show = await house.play()
    assert show.outcomes == [("a", "empty"), ("b", "success")]
    assert house.members[0].metrics.refused == 1
    assert f"(finish_reason {finish})" in show.trail[0].message  # type: ignore[union-attr]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("whole", [True, False], ids=["unary", "stream"])
async def test_a_finish_reason_that_explains_the_silence_is_an_answer(finish: str, whole: bool) -> None:
    reply = completion("", finish) if whole else stream(PREAMBLE, delta(finish=finish), DONE)
    house = House(reply, speech("Hello"))
    show = await house.play(stream=not whole)
    assert show.outcomes == [("a", "success")]
    assert show.call.finish_reason == finish
    house.check()


async def test_a_tool_call_alone_is_content() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}
    house = House(stream(PREAMBLE, delta(tool_calls=[call]), delta(finish="tool_calls"), DONE))
    assert (await house.play()).outcomes == [("a", "success")]


async def test_an_empty_unary_answer_fails_over() -> None:
    for reply in (completion(""), completion(None), Reply(headers=JSON_HEADERS), completion(" \n")):
        house = House(reply, completion("Hello"), retry=ONCE)
        assert (await house.play(stream=False)).text == "Hello"


# Rule 6: refusals


async def test_the_status_and_the_body_of_a_refusal_are_kept() -> None:
    house = House(refusal(400, "messages[0] is wrong"), speech("Hello"), key="sk-secret-key-1234567890")
    show = await house.play()
    assert isinstance(show.error, RequestRejected)
    assert show.error.status == 400
    assert json.loads(show.error.body or b"") == {"error": {"message": "messages[0] is wrong"}}
    assert house.asked() == ["a"]
    house.check()


async def test_a_key_that_the_backend_echoes_is_masked() -> None:
    key = "sk-secret-key-1234567890"
    house = House(refusal(400, f"what is {key}?"), key=key)
    show = await house.play()
    assert key not in str(show.error)
    assert key.encode() not in show.error.body


async def test_an_error_body_that_never_ends_is_given_two_seconds() -> None:
    house = House(Reply(status=500, pieces=[b"oh", *pieces(99, 0.5, b"!")]), speech("Hello"), retry=ONCE)
    show = await house.play(1.9)
    assert house.asked() == ["a"]
    await house.clock.advance(0.1)
    assert show.outcomes == [("a", "server_error"), ("b", "success")]
    house.check()


async def test_an_error_body_is_cut_at_64_kib() -> None:
    pieces = [b"x" * 60_000] * 3
    house = House(Reply(status=400, pieces=pieces))
    show = await house.play()
    assert len(show.error.body) == exchange.ERROR_BODY_LIMIT
    assert len(house.transport.responses[0]._pieces) == 1, "what is beyond the limit is not even read"


async def test_a_broken_error_body_does_not_hide_the_status() -> None:
    for reply in (
        Reply(status=401, pieces=[ConnectionReset("gone")]),
        Reply(status=401, headers={"content-encoding": "br"}, pieces=[b"x"]),
    ):
        house = House(reply, speech("Hello"))
        assert (await house.play()).outcomes == [("a", "auth"), ("b", "success")]


async def test_204_and_redirects_are_protocol() -> None:
    for status in (204, 205, 302):
        house = House(Reply(status=status), speech("Hello"), retry=ONCE)
        assert (await house.play()).outcomes == [("a", "protocol"), ("b", "success")]


async def test_a_retry_after_date_without_a_date_header_is_read_against_the_wall_clock() -> None:
    house = House([refusal(429, retry_after="Tue, 14 Nov 2023 22:13:22 GMT"), speech("Hello")])
    show = await house.play(1.9)
    assert house.asked() == ["a"], "two seconds after the clock's own 22:13:20"
    await house.clock.advance(0.1)
    assert show.text == "Hello"


async def test_a_request_that_had_to_be_sent_on_a_new_connection_says_so() -> None:
    house = House(stream(PREAMBLE, delta("Hello"), STOP, DONE, reconnected=True))
    show = await house.play()
    assert [entry.reconnected for entry in show.trail] == [True]  # type: ignore[union-attr]


# Rule 7: fields that a backend refuses to know


async def test_a_refused_field_is_left_out_once_and_for_good_within_the_attempt() -> None:
    complaint = refusal(400, "Unrecognized request argument supplied: stream_options")
    house = House([complaint, speech("Hello"), speech("Again")])
    show = await house.play()
    assert show.text == "Hello"
    (entry,) = show.trail
    assert isinstance(entry, AttemptEntry)
    assert (entry.outcome, entry.dropped_field) == ("success", "stream_options")
    assert [b"stream_options" in request.body for request in house.transport.requests] == [True, False]
    assert house.members[0].metrics.requests == 1
    await house.play()
    assert b"stream_options" not in house.transport.requests[-1].body
    house.check()


async def test_a_backend_that_complains_again_is_taken_at_its_word() -> None:
    complaint = refusal(400, "Unrecognized request argument supplied: stream_options")
    house = House(complaint)
    show = await house.play()
    assert isinstance(show.error, RequestRejected)
    assert len(house.transport.requests) == 2


def unwanted(*names: str) -> list[Reply]:
    return [refusal(400, f"Unsupported parameter: '{name}' is not supported here.") for name in names]


class TestUnwanted:
    """Rule 7: fields that a request may do without."""

    async def test_each_is_left_out_and_the_backend_never_told_again(self) -> None:
        house = House([*unwanted("temperature", "seed"), speech("Hello"), speech("Again"), speech("Last")])
        show = await house.play(temperature=0.5, seed=7, top_p=0.9)
        assert show.text == "Hello"
        (entry,) = show.trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.outcome, entry.dropped_field, entry.left_out) == ("success", "temperature, seed", ())
        assert sent(house)["top_p"] == 0.9
        again = await house.play(temperature=0.5, top_p=0.9)
        (entry,) = again.trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.dropped_field, entry.left_out) == ("", ("temperature",))
        assert len(house.transport.requests) == 4
        (entry,) = (await house.play(top_p=0.9)).trail
        assert isinstance(entry, AttemptEntry)
        assert entry.left_out == ()
        house.check()

    async def test_a_clients_own_fields_are_left_out_of_what_goes_on_as_it_came(self) -> None:
        house = House([*unwanted("store"), speech("Hello"), speech("Again")])
        fields = {"store": True, "new": [1], "messages": [{"role": "user", "content": "Hi"}]}
        body = json.dumps({"model": "m", "stream": True, **fields}).encode()
        for dropped, left_out in (("store", ()), ("", ("store",))):
            show = Show(house.engine.call(openai_client.read_request(body), stream=True))
            await house.clock.advance(0)
            (entry,) = show.trail
            assert isinstance(entry, AttemptEntry)
            assert (entry.outcome, entry.dropped_field, entry.left_out) == ("success", dropped, left_out)
            assert (sent(house)["new"], "store" in sent(house)) == ([1], False)

    async def test_a_members_own_parameters_are_left_out_as_well(self) -> None:
        house = House([*unwanted("temperature"), speech("Hello")])
        house.backends["a"].defaults["temperature"] = 0.3
        assert (await house.play()).text == "Hello"
        assert "temperature" not in sent(house)

    async def test_a_limit_is_said_by_its_other_name_and_is_not_missed(self) -> None:
        house = House([*unwanted("max_tokens"), speech("Hello"), speech("Again")])
        await house.play(max_tokens=9)
        assert sent(house)["max_completion_tokens"] == 9
        (entry,) = (await house.play(max_tokens=9)).trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.dropped_field, entry.left_out) == ("", ())
        assert "max_tokens" not in sent(house)

    async def test_what_does_not_help_is_not_remembered(self) -> None:
        house = House([*unwanted("temperature"), refusal(400, "no such thing"), speech("Hello")])
        assert isinstance((await house.play(temperature=1)).error, RequestRejected)
        assert (await house.play(temperature=1)).text == "Hello"
        assert sent(house)["temperature"] == 1

    async def test_one_that_is_refused_for_its_value_is_left_out_this_once(self) -> None:
        complaint = "Unsupported value: 'verbosity' does not support 'low'. Supported values are: 'medium'."
        house = House([refusal(400, complaint), speech("Hello"), speech("Again")])
        assert (await house.play(verbosity="low")).text == "Hello"
        await house.play(verbosity="medium")
        assert sent(house)["verbosity"] == "medium"

    @pytest.mark.parametrize("fields", [{}, {"top_p": 1}])
    async def test_one_that_is_not_there_is_no_reason_to_ask_again(self, fields: dict[str, Any]) -> None:
        house = House([*unwanted("temperature"), speech("Hello")])
        assert isinstance((await house.play(**fields)).error, RequestRejected)
        assert len(house.transport.requests) == 1

    async def test_a_backend_that_complains_of_it_again_is_taken_at_its_word(self) -> None:
        house = House([*unwanted("temperature", "temperature"), speech("Hello")])
        assert isinstance((await house.play(temperature=1)).error, RequestRejected)
        assert len(house.transport.requests) == 2

    async def test_four_are_enough(self) -> None:
        names = ["temperature", "top_p", "seed", "store", "user"]
        fields: dict[str, Any] = dict.fromkeys(names, 1)
        house = House([*unwanted(*names), speech("Hello")], speech("Other"))
        show = await house.play(**fields)
        assert isinstance(show.error, RequestRejected)
        assert len(house.transport.requests) == 5

    async def test_two_requests_that_learn_it_at_once_are_both_answered(self) -> None:
        refused = replace(refusal(400, "Unknown parameter: 'stream_options'."), head=[1.0])
        house = House([refused, refused, speech("Hello"), speech("Hello"), speech("Hello")])
        shows = [house.start(), house.start()]
        await house.clock.advance(1)
        assert [show.text for show in shows] == ["Hello", "Hello"]
        assert (await house.play()).text == "Hello"
        assert b"stream_options" not in house.transport.requests[-1].body

    async def test_thinking_with_a_budget_becomes_adaptive(self) -> None:
        complaint = '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"'
        house = House([refusal(400, complaint), ANSWER, ANSWER], formats=CLAUDE)
        await house.play(reasoning_effort="high")
        assert sent(house)["thinking"] == {"type": "adaptive"}
        assert sent(house)["output_config"] == {"effort": "high"}, "which is near its budget"
        await house.play(reasoning_effort="high")
        assert sent(house)["output_config"] == {"effort": "high"}, "said in its own words from now on"


def answered_before() -> ChatRequest:
    state = ProviderState("anthropic", "signature", "EqQB", "Hm").to_dict()
    said = {"role": "assistant", "content": "x", "provider_state": [state]}
    return ChatRequest([{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "And?"}])


def messages(*events: dict[str, Any]) -> Reply:
    """A stream of Anthropic's."""
    return stream(*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events))


BEGIN: dict[str, Any] = {"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}}
SAY: dict[str, Any] = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "Hello"},
}
ANSWER = messages(BEGIN, SAY, {"type": "message_stop"})
WHOLE = Reply(
    headers=JSON_HEADERS,
    pieces=[
        b'{"type": "message", "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}'
    ],
)
UNREADABLE = "messages.1.content.0: Invalid `signature` in `thinking` block"
COMPLAINT = {"type": "error", "error": {"type": "invalid_request_error", "message": UNREADABLE}}
IN_STREAM = messages(BEGIN, COMPLAINT)
IN_WHOLE = Reply(headers=JSON_HEADERS, pieces=[json.dumps(COMPLAINT).encode()])
CLAUDE = [anthropic_messages]


class TestState:
    """Rule 7: state that a backend can't read."""

    @pytest.mark.parametrize(
        ("refused", "answer", "streamed"),
        [
            (refusal(400, UNREADABLE), ANSWER, True),
            (refusal(400, UNREADABLE), WHOLE, False),
            (IN_STREAM, ANSWER, True),
            (IN_WHOLE, ANSWER, True),
            (IN_WHOLE, WHOLE, False),
        ],
        ids=["stream", "unary", "in a stream", "instead of a stream", "in a unary answer"],
    )
    async def test_is_left_out_this_once_within_the_attempt(
        self, refused: Reply, answer: Reply, streamed: bool
    ) -> None:
        house = House([refused, answer, answer], formats=CLAUDE)
        show = Show(house.engine.call(answered_before(), stream=streamed))
        await house.clock.advance(0)
        assert show.text == "Hello"
        (entry,) = show.trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.outcome, entry.dropped_field, entry.status) == ("success", "provider_state", 200)
        assert [b"EqQB" in request.body for request in house.transport.requests] == [True, False]
        assert house.members[0].metrics.requests == 1
        Show(house.engine.call(answered_before(), stream=streamed))
        await house.clock.advance(0)
        assert b"EqQB" in house.transport.requests[-1].body, "another conversation may be its own"
        house.check()

    async def test_who_complains_again_is_not_asked_again_but_the_next_one_is(self) -> None:
        house = House(refusal(400, UNREADABLE), speech("Hello"), formats=CLAUDE)
        show = Show(house.engine.call(answered_before(), stream=True))
        await house.clock.advance(0)
        assert show.outcomes == [("a", "unfit"), ("b", "success")]
        assert len(house.transport.requests) == 3
        assert house.members[0].metrics.failures == 0
        house.check()

    async def test_what_is_left_out_both_times_is_named_once(self) -> None:
        house = House([refusal(400, UNREADABLE), ANSWER], formats=CLAUDE)
        asked = answered_before().with_fields({"seed": 1})
        show = Show(house.engine.call(asked, stream=True))
        await house.clock.advance(0)
        (entry,) = show.trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.outcome, entry.left_out) == ("success", ("seed",))

    async def test_if_nobody_is_left_the_complaint_goes_to_the_caller(self) -> None:
        house = House(refusal(400, UNREADABLE), formats=CLAUDE)
        show = Show(house.engine.call(answered_before(), stream=True))
        await house.clock.advance(0)
        assert isinstance(show.error, RequestRejected)
        assert show.error.status == 400
        assert UNREADABLE.encode() in (show.error.body or b"")

    async def test_a_request_without_any_is_not_sent_again(self) -> None:
        house = House(refusal(400, UNREADABLE), speech("Hello"), formats=CLAUDE)
        assert (await house.play()).outcomes == [("a", "unfit"), ("b", "success")]
        assert len(house.transport.requests) == 2

    async def test_what_was_said_of_an_answer_that_did_not_come_is_forgotten(self) -> None:
        first: dict[str, Any] = {
            **BEGIN,
            "message": {"id": "m", "model": "other", "usage": {"input_tokens": 90}},
        }
        blank = {**SAY, "delta": {"type": "text_delta", "text": " " * 90}}
        house = House([messages(first, blank, COMPLAINT), ANSWER], formats=CLAUDE)
        show = Show(house.engine.call(answered_before(), stream=True))
        await house.clock.advance(0)
        assert (show.text, show.call.model) == ("Hello", "m")
        assert show.call.usage is not None
        assert show.call.usage.output_tokens == 2
        house.check()

    async def test_after_content_nothing_is_asked_again(self) -> None:
        house = House([messages(BEGIN, SAY, COMPLAINT), ANSWER], formats=CLAUDE)
        show = Show(house.engine.call(answered_before(), stream=True))
        await house.clock.advance(0)
        assert isinstance(show.error, StreamInterrupted)
        assert show.text == "Hello"
        assert len(house.transport.requests) == 1

    async def test_two_things_may_be_left_out(self) -> None:
        details = [{"type": "reasoning.encrypted", "data": "EqQB"}]
        turns = [{"role": "assistant", "content": "x", "reasoning_details": details}]
        body = json.dumps({"model": "m", "stream": True, "messages": turns}).encode()
        house = House([refusal(400, "stream_options"), refusal(400, UNREADABLE), speech("Hello")])
        show = Show(house.engine.call(openai_client.read_request(body), stream=True))
        await house.clock.advance(0)
        (entry,) = show.trail
        assert isinstance(entry, AttemptEntry)
        assert (entry.outcome, entry.dropped_field) == ("success", "stream_options, provider_state")
        assert sent(house)["messages"] == [{"role": "assistant", "content": "x"}]

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_of_an_answer_bears_where_it_came_from(self, streamed: bool) -> None:
        block = {"type": "redacted_thinking", "data": "Emw"}
        begin = {"type": "content_block_start", "index": 0, "content_block": block}
        whole = json.dumps({"type": "message", "content": [block, {"type": "text", "text": "Hello"}]})
        reply = (
            messages(BEGIN, begin, SAY, {"type": "message_stop"})
            if streamed
            else Reply(headers=JSON_HEADERS, pieces=[whole.encode()])
        )
        house = House(reply, formats=CLAUDE)
        show = await house.play(stream=streamed)
        [state] = [state for chunk in show.chunks for state in chunk.state]
        assert state == ProviderState(
            "anthropic", "redacted_thinking", "Emw", origin=house.backends["a"].origin
        )


# Shapes and encodings


async def test_a_whole_json_answer_to_a_stream_request_is_used() -> None:
    house = House(completion("Hello"))
    show = await house.play()
    assert (show.text, show.outcomes) == ("Hello", [("a", "success")])
    assert [chunk.raw for chunk in show.chunks] == [None], "its bytes are no event of a stream"
    house.check()


async def test_the_body_of_a_whole_answer_is_kept_for_passing_on() -> None:
    show = await House(completion("Hello")).play(stream=False)
    assert [chunk.raw for chunk in show.chunks] == [completion("Hello").pieces[0]]


async def test_an_event_stream_to_a_unary_request_is_protocol() -> None:
    house = House(speech("Hello"), completion("Hello"), retry=ONCE)
    show = await house.play(stream=False)
    assert show.outcomes == [("a", "protocol"), ("b", "success")]
    assert show.trail[0].message == "expected JSON, got text/event-stream"  # type: ignore[union-attr]


async def test_an_error_object_in_a_whole_answer_is_classed_as_if_it_were_a_status() -> None:
    body = json.dumps({"error": {"message": "slow down", "code": 429}}).encode()
    house = House(Reply(headers=JSON_HEADERS, pieces=[body]), completion("Hello"), retry=ONCE)
    show = await house.play(stream=False)
    assert show.outcomes == [("a", "rate_limited"), ("b", "success")]


async def test_gzip_is_undone_also_in_pieces() -> None:
    packed = gzip.compress(PREAMBLE + delta("Hello") + STOP + DONE)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    house = House(Reply(headers=headers, pieces=[bytes([byte]) for byte in packed]))
    assert (await house.play()).text == "Hello"


async def test_a_lying_content_encoding_is_protocol() -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    house = House(Reply(headers=headers, pieces=[delta("Hello")]), speech("Hello"), retry=ONCE)
    assert (await house.play()).outcomes == [("a", "protocol"), ("b", "success")]


async def test_a_unary_answer_beyond_the_limit_is_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "UNARY_LIMIT", 200)
    house = House(completion("x" * 200), completion("Hello"), retry=ONCE)
    assert (await house.play(stream=False)).outcomes == [("a", "protocol"), ("b", "success")]


async def test_a_malformed_event_is_dropped_and_counted() -> None:
    house = House(stream(delta("To"), b"data: {\n\n", delta(" be"), STOP, DONE))
    show = await house.play()
    assert show.text == "To be"
    assert show.trail[0].malformed_events == 1  # type: ignore[union-attr]
    assert house.members[0].metrics.malformed_events == 1


async def test_with_strict_events_a_malformed_event_is_a_failure() -> None:
    house = House(stream(delta("To"), b"data: {\n\n", delta(" be"), STOP, DONE), strict=True)
    show = await house.play()
    assert show.outcomes == [("a", "protocol")]
    assert show.trail[0].malformed_events == 1  # type: ignore[union-attr]


async def test_a_request_that_is_no_json_is_the_callers_mistake() -> None:
    house = House(speech("Hello"), speech("Hello"))
    show = await house.play(metadata=object())
    assert isinstance(show.error, RequestRejected)
    assert "cannot be written as JSON" in str(show.error)
    assert house.asked() == []


# Usage and evidence


async def test_the_usage_chunk_reaches_the_caller_only_if_it_asked() -> None:
    house = House(speech("Hello"))
    assert not any(chunk.usage for chunk in (await house.play()).chunks)
    asked = await house.play(stream_options={"include_usage": True})
    assert [chunk.usage is not None for chunk in asked.chunks] == [False, False, False, True]


async def test_without_usage_tokens_are_estimated_and_marked() -> None:
    house = House(stream(delta("x" * 40), STOP, DONE))
    usage = (await house.play()).call.usage
    assert usage is not None
    asked = call_tokens(house)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (asked, 10, True)
    assert house.members[0].metrics.estimated_tokens == asked + 10


async def test_what_the_backend_has_counted_is_not_estimated() -> None:
    """Looking at a long answer costs more than all else that is done with it."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    show = await House(completion("words " * 100, usage=usage)).play(stream=False)
    counted = show.call._exchange
    assert counted is not None
    assert (counted._characters, counted._looked_at) == (0, 0.0)
    assert counted.usage is not None
    assert (counted.usage.output_tokens, counted.usage.estimated) == (3, False)


async def test_texts_inside_content_parts_are_estimated_too() -> None:
    house = House(stream(delta("x"), STOP, DONE))
    call = house.engine.call(
        ChatRequest([{"role": "user", "content": [{"type": "text", "text": "x" * 36}], "n": 1}]),
        stream=True,
    )
    assert [chunk async for chunk in call.chunks()]
    assert call.usage is not None
    assert call.usage.input_tokens == round(estimate("x" * 36)) + MESSAGE


def call_tokens(house: House, tokenizer: Tokenizer | None = None) -> int:
    return Needs(house.call().request).prompt_tokens(tokenizer)


async def test_estimates_are_the_members_own() -> None:
    house = House(stream(delta("今天天气很好"), STOP, DONE), facts=[Facts(tokenizer=Tokenizer.CL100K)])
    usage = (await house.play()).call.usage
    assert usage is not None
    assert usage.input_tokens == call_tokens(house, Tokenizer.CL100K)
    assert usage.output_tokens == round(estimate("今天天气很好", Tokenizer.CL100K))


async def test_of_an_answers_pieces_short_ones_count_a_fourth_of_their_letters() -> None:
    """Rule 9."""
    words = "What a long answer! " * 20
    house = House(stream(delta("1" * 99), STOP, DONE), completion(words, usage=None))
    short = (await house.play()).call.usage
    assert short is not None
    assert short.output_tokens == 25
    house = House(completion(words))
    whole = (await house.play(stream=False)).call.usage
    assert whole is not None
    assert whole.output_tokens == round(estimate(words))


async def test_an_answer_of_many_pieces_is_weighed_like_one_of_few() -> None:
    house = House(stream(*(delta("1234") for _ in range(200)), STOP, DONE))
    usage = (await house.play()).call.usage
    assert usage is not None
    assert usage.output_tokens == 200


async def test_pieces_wait_to_be_weighed_in_bounded_numbers() -> None:
    house = House(stream(*(delta("1234") for _ in range(200)), 60.0))
    show = await house.play()
    assert show.call._exchange is not None
    assert len(show.call._exchange._uncounted) <= MANY
    await house.clock.advance(60)


async def test_an_answer_that_was_moved_is_fetched_where_it_is() -> None:
    house = House(refusal(307, location="http://a.test/v1/elsewhere"))
    house.transport._scripts["http://a.test/v1/elsewhere"] = deque([speech("Hello")])
    assert (await house.play()).text == "Hello"
    assert [request.url for request in house.transport.requests] == [
        "http://a.test/v1/chat/completions",
        "http://a.test/v1/elsewhere",
    ]
    assert house.transport.requests[1].body == house.transport.requests[0].body
    house.check()


async def test_a_compressed_stream_is_read_as_it_comes() -> None:
    zipped = gzip.compress(delta("Hello") + delta(" there", finish="stop"))
    pieces = [zipped[:4], zipped[4:]]  # of the first nothing can be decoded yet
    house = House(Reply(headers={"content-encoding": "gzip"}, pieces=pieces))
    show = await house.play()
    assert (show.text, show.outcomes) == ("Hello there", [("a", "success")])


async def test_a_compressed_stream_that_is_cut_short_is_no_whole_answer() -> None:
    zipped = gzip.compress(delta("Hello") + b": " + os.urandom(4096).hex().encode() + b"\n\n")
    house = House(Reply(headers={"content-encoding": "gzip"}, pieces=[zipped[:-2000]]))
    show = await house.play()
    assert show.outcomes == [("a", "protocol")]


def sent(house: House, position: int = -1) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(house.transport.requests[position].body)
    return body


class TestSuited:
    """Rule 8."""

    async def test_a_request_goes_out_as_the_members_model_can_take_it(self) -> None:
        house = House(
            refusal(401),
            speech("Hello"),
            facts=[Facts(max_output=100), Facts(supports=frozenset())],
        )
        show = await house.play(max_tokens=500, reasoning_effort="low", seed=1)
        assert show.text == "Hello"
        first, second = (sent(house, position) for position in (0, 1))
        assert (first["max_tokens"], first["reasoning_effort"]) == (100, "low")
        assert (second["max_tokens"], second["seed"]) == (500, 1)
        assert "reasoning_effort" not in second
        entries = [entry for entry in show.trail if isinstance(entry, AttemptEntry)]
        assert [(entry.left_out, entry.answer_limit) for entry in entries] == [
            ((), 100),
            (("reasoning_effort",), None),
        ]

    async def test_what_the_members_format_has_no_word_for_is_noted(self) -> None:
        house = House(refusal(401), formats=[anthropic_messages])
        show = await house.play(seed=1, temperature=0)
        [entry] = show.trail
        assert isinstance(entry, AttemptEntry)
        assert entry.left_out == ("seed",)
        assert "seed" not in sent(house)
        [fact] = [event for event in house.listener.heard if isinstance(event, FieldsLeftOut)]
        assert (fact.backend, fact.fields) == ("a", ("seed",))

    async def test_of_a_request_in_the_members_own_words_nothing_is_left_out(self) -> None:
        house = House(refusal(401), formats=[anthropic_messages])
        body = {"model": "m", "max_tokens": 5, "top_k": 4, "messages": [{"role": "user", "content": "Hi"}]}
        call = house.engine.call(anthropic_client.read_request(json.dumps(body).encode()), stream=True)
        with pytest.raises(AllBackendsFailed):
            await call.next_batch()
        call.leave()
        [entry] = call.trail
        assert isinstance(entry, AttemptEntry)
        assert entry.left_out == ()
        assert sent(house)["top_k"] == 4

    async def test_what_neutral_words_lack_is_noted_as_well(self) -> None:
        house = House(refusal(401))
        body = {"model": "m", "max_tokens": 5, "top_k": 4, "messages": [{"role": "user", "content": "Hi"}]}
        call = house.engine.call(anthropic_client.read_request(json.dumps(body).encode()), stream=True)
        with pytest.raises(AllBackendsFailed):
            await call.next_batch()
        call.leave()
        [entry] = call.trail
        assert isinstance(entry, AttemptEntry)
        assert entry.left_out == ("top_k",)

    @pytest.mark.parametrize(
        "request_",
        [
            openai_client.read_request(b'{"model": "m", "messages": [{"role": "tool", "content": "x"}]}'),
            ChatRequest([{"role": "assistant", "reasoning_content": "x", "provider_state": 7}]),
        ],
        ids=["a client's", "neutral"],
    )
    async def test_a_request_that_cannot_be_put_into_the_members_words_is_the_callers_mistake(
        self, request_: Request
    ) -> None:
        house = House(speech("Hello"), formats=[anthropic_messages])
        call = house.engine.call(request_, stream=True)
        with pytest.raises(RequestRejected):
            await call.next_batch()
        call.leave()
        assert house.asked() == []


async def test_hidden_reasoning_is_no_evidence_of_speed() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 1020,
        "completion_tokens_details": {"reasoning_tokens": 1000},
    }
    house = House(stream(delta("x" * 40), 2.0, delta("x" * 40), STOP, event(choices=[], usage=usage), DONE))
    await house.play(2)
    house.members[0].window.generated.add(house.clock.now(), 0, 18)
    assert house.members[0].window.serving_rate(house.clock.now()) == pytest.approx(60)


async def test_reasoning_that_was_seen_is_evidence() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 40,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    thought = delta(reasoning_content="x" * 80)
    house = House(stream(thought, 2.0, delta("x" * 80), STOP, event(choices=[], usage=usage), DONE))
    show = await house.play(2)
    assert show.chunks[0].reasoning == "x" * 80
    house.members[0].window.generated.add(house.clock.now(), 0, 18)
    assert house.members[0].window.serving_rate(house.clock.now()) == pytest.approx(120)


async def test_a_stall_counts_as_generating_time() -> None:
    house = House(stream(delta("x" * 400), 60.0), timeouts=Timeouts(stall=30))
    await house.play(30)
    assert house.members[0].window.serving_rate(house.clock.now()) == pytest.approx(200)


def test_an_exchange_shows_its_attempt() -> None:
    house = House(speech("Hello"))
    dispatch = Dispatch(house.pool, 0.0, lambda: 0.0, stream=True)
    attempt = dispatch.next_step(0.0)
    shown = exchange.Exchange.__repr__(_bare(attempt))
    assert shown == "<Exchange of <Attempt 1 on a, running>>"


def _bare(attempt: object) -> exchange.Exchange:
    bare = object.__new__(exchange.Exchange)
    bare._attempt = attempt  # type: ignore[assignment]
    return bare


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_a_backend_whose_limit_is_used_up_by_its_answer_is_asked_last_until_the_reset(
    streamed: bool,
) -> None:
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}
    answer = speech("Hello") if streamed else completion("Hello")
    last = Reply(headers={**answer.headers, **spent}, pieces=answer.pieces)
    house = House([last, answer], answer)
    for expected in ("a", "b"):
        await house.play(1, stream=streamed)
        assert house.asked()[-1] == expected
    await house.clock.advance(60)
    await house.play(1, stream=streamed)
    assert house.asked()[-1] == "a"
    assert house.members[0].benched_until == 0.0
