"""What holds in every format: heard of each decoder, and of readers that do what no format does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.wire.told import Decoded, summary
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.wire.chat import ChatChunk, Malformed
from understudy.wire.decoder import ErrorInside, StreamDecoder, decode_whole
from understudy.wire.sse import Event, framed


def event(body: object, name: str = "") -> bytes:
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {json.dumps(body)}\n\n".encode()


def typed(kind: str, **fields: object) -> bytes:
    return event({"type": kind, **fields}, kind)


@dataclass(frozen=True)
class Spoken:
    """The same few things, in one format's words. `text` says "a", `call` opens a tool call, and so does
    `deep` with arguments that are an object, where the format has such, else it is an error."""

    format: Any
    text: bytes
    call: bytes
    deep: bytes
    stop: bytes
    whole: bytes

    def __str__(self) -> str:
        return str(self.format.NAME)

    def decoder(self, **how: Any) -> StreamDecoder:
        decoder = self.format.StreamDecoder(**how)
        assert isinstance(decoder, StreamDecoder)
        return decoder

    def decoded(self, *pieces: bytes, **how: Any) -> list[Decoded]:
        return fed(self.decoder(**how), pieces)


def fed(decoder: StreamDecoder, pieces: Iterable[bytes]) -> list[Decoded]:
    return [item for piece in pieces for item in decoder.feed(piece)]


def openai_choice(finish_reason: str | None = None, **delta: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def gemini_candidate(**fields: object) -> bytes:
    return event({"candidates": [fields]})


OPENAI = Spoken(
    openai_chat,
    text=openai_choice(content="a"),
    call=openai_choice(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}]),
    deep=openai_choice(tool_calls=[{"function": {"name": "f", "arguments": "NESTED"}}]),
    stop=openai_choice("stop"),
    whole=b'{"choices":[{"message":{"content":"a","function_call":{"arguments":"NESTED"}}}]}',
)
RESPONSES = Spoken(
    openai_responses,
    text=typed("response.output_text.delta", output_index=0, delta="a"),
    call=typed(
        "response.output_item.added",
        output_index=0,
        item={"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
    ),
    deep=typed("error", details="NESTED"),
    stop=typed("response.completed", response={"status": "completed"}),
    whole=(
        b'{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}],'
        b'"tools":"NESTED"}'
    ),
)
ANTHROPIC = Spoken(
    anthropic_messages,
    text=typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}),
    call=typed("content_block_start", index=0, content_block={"type": "tool_use", "id": "c", "name": "f"}),
    deep=typed("content_block_start", content_block={"type": "tool_use", "input": "NESTED"}),
    stop=typed("message_stop"),
    whole=b'{"type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","input":"NESTED"}]}',
)
GEMINI = Spoken(
    gemini,
    text=gemini_candidate(content={"parts": [{"text": "a"}]}),
    call=gemini_candidate(content={"parts": [{"functionCall": {"name": "f"}}]}),
    deep=gemini_candidate(content={"parts": [{"functionCall": {"name": "f", "args": "NESTED"}}]}),
    stop=gemini_candidate(finishReason="STOP"),
    whole=b'{"candidates":[{"content":{"parts":[{"text":"a"},{"functionCall":{"args":"NESTED"}}]}}]}',
)

ALL = (OPENAI, RESPONSES, ANTHROPIC, GEMINI)
GO_ON = (OPENAI, GEMINI)  # after their marker
END_THERE = (RESPONSES, ANTHROPIC)

GARBAGE = b"data: {nonsense\n\n"
DONE = b"data: [DONE]\n\n"
ERROR = event({"error": {"message": "Slow down, sk-1", "code": 429}})
DEPTHS = (*range(800, 1001), 100_000)  # of which some are just too deep for Python's own stack


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def spoken_by(*formats: Spoken) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("spoken", formats, ids=str)


def failure_of(items: list[Decoded]) -> Failure:
    assert isinstance(items[-1], Failure)
    return items[-1]


@spoken_by(*ALL)
class TestEvents:
    def test_an_event_carries_its_own_bytes(self, spoken: Spoken) -> None:
        stream = spoken.text + spoken.call + spoken.stop
        items = spoken.decoded(stream)
        assert b"".join(item.raw or b"" for item in items if isinstance(item, ChatChunk)) == stream

    def test_what_only_keeps_a_connection_alive_says_nothing(self, spoken: Spoken) -> None:
        assert spoken.decoded(b": hold on\n\n", b"event: ping\ndata: \n\n", b"data:   \n\n") == []

    def test_such_an_event_is_neither_sound_nor_malformed(self, spoken: Spoken) -> None:
        items = spoken.decoded(spoken.text, GARBAGE, b"data: \n\n", GARBAGE)
        assert summary(items) == {"text": "a", "malformed": 1, "failure": ("protocol", None)}

    def test_nesting_raises_nothing_however_deep(self, spoken: Spoken) -> None:
        for depth in DEPTHS:
            spoken.decoder().feed(spoken.deep.replace(b'"NESTED"', nested(depth)))


@spoken_by(*ALL)
class TestMalformed:
    def test_an_isolated_event_is_dropped_and_counted(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        items = fed(decoder, [spoken.text, GARBAGE, spoken.text, GARBAGE, spoken.text])
        assert summary(items) == {"text": "aaa", "malformed": 2}
        assert decoder.malformed == 2

    def test_the_very_first_event_is_a_failure(self, spoken: Spoken) -> None:
        assert summary(spoken.decoded(GARBAGE, spoken.text)) == {"failure": ("protocol", None)}

    def test_two_in_a_row_are_a_failure(self, spoken: Spoken) -> None:
        items = spoken.decoded(spoken.text, GARBAGE, GARBAGE, spoken.text)
        assert summary(items) == {"text": "a", "malformed": 1, "failure": ("protocol", None)}

    def test_while_a_tool_call_is_open_each_is_a_failure(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        decoder.feed(spoken.call)
        assert decoder.tool_call_open
        assert failure_of(decoder.feed(GARBAGE)).kind is FailureKind.PROTOCOL

    def test_with_strict_each_is_a_failure(self, spoken: Spoken) -> None:
        items = spoken.decoded(spoken.text, GARBAGE, spoken.text, strict=True)
        assert summary(items) == {"text": "a", "failure": ("protocol", None)}

    def test_the_failure_says_why_and_that_the_stream_said_so(self, spoken: Spoken) -> None:
        failure = failure_of(spoken.decoded(GARBAGE))
        assert failure.message.startswith("a malformed event: Expecting property name")
        assert failure.in_stream


@spoken_by(*ALL)
class TestErrors:
    def test_an_error_is_classed_as_if_it_had_come_as_a_status(self, spoken: Spoken) -> None:
        failure = failure_of(spoken.decoded(spoken.text, ERROR, secrets=["sk-1"]))
        assert (failure.kind, failure.status) == (FailureKind.RATE_LIMITED, 429)
        assert failure.message == "429 Too Many Requests: Slow down, ***"
        assert failure.in_stream

    @pytest.mark.parametrize(
        "error",
        [ERROR, b"event: error\ndata: Slow down\n\n", b'event: error\ndata: {"message":"Slow down"}\n\n'],
    )
    def test_a_users_rules_come_first(self, spoken: Spoken, error: bytes) -> None:
        rule = ErrorRule(None, "Slow", FailureKind.QUOTA)
        assert failure_of(spoken.decoded(error, rules=[rule])).kind is FailureKind.QUOTA

    def test_a_named_error_may_be_in_plain_words(self, spoken: Spoken) -> None:
        failure = failure_of(spoken.decoded(b"event: error\ndata: it broke\n\n"))
        assert (failure.kind, failure.message) == (FailureKind.SERVER_ERROR, "it broke")


@spoken_by(*ALL)
class TestLast:
    def test_done_ends_a_stream_and_is_no_marker(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        assert summary(fed(decoder, [spoken.text + DONE + spoken.text, spoken.text])) == {"text": "a"}
        assert (decoder.done, decoder.finished) == (True, False)

    @pytest.mark.parametrize("done", [b"data:[DONE]\n\n", b"data:  [DONE] \n\n", b"data: [DONE]\r\n\r\n"])
    def test_done_is_known_however_it_is_spaced(self, spoken: Spoken, done: bytes) -> None:
        decoder = spoken.decoder()
        assert decoder.feed(done) == []
        assert decoder.done

    @pytest.mark.parametrize("fatal", [GARBAGE, ERROR])
    def test_a_failure_is_the_last_thing(self, spoken: Spoken, fatal: bytes) -> None:
        decoder = spoken.decoder()
        assert len(decoder.feed(fatal + spoken.stop)) == 1
        assert decoder.feed(spoken.stop) == []
        assert (decoder.done, decoder.finished) == (False, False)

    def test_an_event_beyond_the_limit_is_a_failure(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        items = fed(decoder, [b"x" * (1 << 20)] * 33)
        assert items == [Failure(FailureKind.PROTOCOL, "an event of more than 33554432 bytes")]
        assert decoder.feed(spoken.stop) == []

    def test_the_repr_shows_where_it_stands(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        assert repr(decoder) == "<StreamDecoder open, finish_reason None, 0 malformed>"
        decoder.feed(spoken.text + GARBAGE + spoken.stop + DONE)
        reason = decoder.finish_reason
        assert repr(decoder) == f"<StreamDecoder done, finish_reason {reason}, 1 malformed>"
        failed = spoken.decoder()
        failed.feed(GARBAGE)
        assert repr(failed) == "<StreamDecoder failed, finish_reason None, 1 malformed>"


@spoken_by(*GO_ON)
class TestAfterAMarkerThatIsNotTheLastThing:
    def test_what_follows_is_read(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        assert summary(fed(decoder, [spoken.stop, spoken.text])) == {"finish_reason": "stop", "text": "a"}
        assert (decoder.finished, decoder.done) == (True, False)

    def test_an_error_is_dropped_and_counted(self, spoken: Spoken) -> None:
        decoder = spoken.decoder()
        items = fed(decoder, [spoken.stop, ERROR, spoken.text])
        assert items[1] == Malformed("an error after the end: 429 Too Many Requests: Slow down, sk-1")
        assert decoder.malformed == 1
        assert decoder.finished

    def test_garbage_is_dropped_and_counted_however_much_also_with_strict(self, spoken: Spoken) -> None:
        items = spoken.decoded(spoken.stop, GARBAGE, GARBAGE, strict=True)
        assert summary(items) == {"finish_reason": "stop", "malformed": 2}

    def test_an_event_beyond_the_limit_is_nothing(self, spoken: Spoken) -> None:
        items = spoken.decoded(spoken.stop, *[b"x" * (1 << 20)] * 33)
        assert summary(items) == {"finish_reason": "stop"}


@spoken_by(*END_THERE)
def test_of_some_formats_the_marker_is_the_last_thing(spoken: Spoken) -> None:
    decoder = spoken.decoder()
    assert len(fed(decoder, [spoken.stop + spoken.text, GARBAGE, ERROR])) == 1
    assert (decoder.finished, decoder.done, decoder.malformed) == (True, True, 0)


class Contrary:
    """Takes one sound event, then raises what it was told to."""

    finished = done = call_open = False
    finish_reason = None
    raises: Exception

    def __init__(self, asked: int = 1) -> None:
        self._taken = 0

    def take(self, event: Event) -> list[ChatChunk]:
        self._taken += 1
        if self._taken > 1:
            raise self.raises
        return [ChatChunk("a", raw=framed(event))]


def contrary(error: Exception) -> StreamDecoder:
    class Reader(Contrary):
        raises = error

    class Decoder(StreamDecoder):
        READER = Reader

    return Decoder()


class TestReader:
    def test_what_cant_come_where_it_comes_is_a_failure_however_isolated(self) -> None:
        decoder = contrary(ProtocolViolation("out of turn"))
        items = decoder.feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
        assert items[1:] == [Failure(FailureKind.PROTOCOL, "out of turn", in_stream=True)]
        assert decoder.malformed == 0

    def test_a_format_may_leave_no_doubt_of_an_errors_kind(self) -> None:
        decoder = contrary(ErrorInside("prompt is too long", FailureKind.SERVER_ERROR))
        failure = failure_of(decoder.feed(b"data: 1\n\ndata: 2\n\n"))
        assert (failure.kind, failure.message) == (FailureKind.SERVER_ERROR, "prompt is too long")

    @pytest.mark.parametrize("error", [ValueError("odd"), RecursionError("odd")])
    def test_what_it_cant_read_is_malformed(self, error: Exception) -> None:
        assert contrary(error).feed(b"data: 1\n\ndata: 2\n\n")[1:] == [Malformed("a malformed event: odd")]


@spoken_by(*ALL)
class TestWhole:
    def decoded(self, spoken: Spoken, body: bytes, **how: Any) -> Any:
        return spoken.format.decode_unary(body, **how)

    def test_an_answer_carries_its_own_bytes(self, spoken: Spoken) -> None:
        [chunk] = self.decoded(spoken, spoken.whole)
        assert (chunk.text, chunk.raw) == ("a", spoken.whole)

    @pytest.mark.parametrize("body", [b"", b" \n"])
    def test_an_empty_body_is_a_chunk_without_content(self, spoken: Spoken, body: bytes) -> None:
        assert self.decoded(spoken, body) == [ChatChunk(raw=body)]

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"cut', "the answer is cut or malformed JSON"),
            (b"<html>", "the answer is a web page"),
            (b"good day", "the answer is no JSON object"),
        ],
    )
    def test_what_cant_be_read_is_a_protocol_failure(self, spoken: Spoken, body: bytes, message: str) -> None:
        assert self.decoded(spoken, body) == Failure(FailureKind.PROTOCOL, message)

    def test_json_that_is_no_answer_is_a_protocol_failure(self, spoken: Spoken) -> None:
        outcome = self.decoded(spoken, b'{"hello":"world"}')
        assert outcome.kind is FailureKind.PROTOCOL
        assert outcome.message.startswith("the answer is JSON, but no")

    def test_an_error_is_classed_and_masked(self, spoken: Spoken) -> None:
        body = b'{"error":{"message":"Slow down, sk-1","code":429}}'
        outcome = self.decoded(spoken, body, secrets=["sk-1"])
        assert (outcome.kind, outcome.message) == (
            FailureKind.RATE_LIMITED,
            "429 Too Many Requests: Slow down, ***",
        )
        rule = ErrorRule(None, "Slow", FailureKind.QUOTA)
        assert self.decoded(spoken, body, rules=[rule]).kind is FailureKind.QUOTA

    def test_nesting_raises_nothing_however_deep(self, spoken: Spoken) -> None:
        for depth in DEPTHS:
            self.decoded(spoken, spoken.whole.replace(b'"NESTED"', nested(depth)))


def test_a_whole_answers_kind_of_error_is_the_readers() -> None:
    def read(body: bytes, choices: int) -> list[ChatChunk]:
        raise ErrorInside("prompt is too long", FailureKind.SERVER_ERROR)

    outcome = decode_whole(read, b"{}", 1, [], [])
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.SERVER_ERROR
