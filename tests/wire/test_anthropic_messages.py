"""Anthropic's Messages: requests out, recorded streams and whole answers in, cut at every position."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from tests.wire.told import Decoded, summary
from understudy._version import __version__
from understudy.config.aliases import WireFormat
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire.anthropic_messages import (
    NAME,
    PATH,
    StreamDecoder,
    decode_unary,
    empty_is_legitimate,
    encode_native,
    encode_request,
    headers,
    left_out,
    path,
)
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed, ToolCallDelta, Usage
from understudy.wire.dialect import cut_apart
from understudy.wire.state import ProviderState, tagged

_FOLDER = Path(__file__).parent / "corpus" / "anthropic"
CORPUS = {path.stem: path.read_bytes() for path in sorted(_FOLDER.glob("*.sse"))}

TOLD: dict[str, dict[str, Any]] = {
    "text": {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
        "model": "claude-opus-4-8",
        "text": "Hello, 世界! 🎭",
        "finish_reason": "stop",
        "usage": Usage(2125, 15, cached_tokens=2000, cache_write_tokens=100),
    },
    "tools": {
        "id": "msg_014p7gG3wDgGV9EUtLvnow3U",
        "model": "claude-opus-4-8",
        "text": "Okay, let's check the weather:",
        "call 0": ["toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"location": "Žďár, CZ"}'],
        "call 1": ["toolu_01T1x1fJ34qAmk2tNTrN7Up7", "get_time", "{}"],
        "finish_reason": "tool_calls",
        "usage": Usage(472, 89),
    },
    "thinking": {
        "id": "msg_01Thinking",
        "model": "claude-sonnet-4-6",
        "reasoning": "I need to find the GCD of 1071 and 462 using the Euclidean algorithm.",
        "text": "The greatest common divisor is **21**.",
        "finish_reason": "stop",
        "usage": Usage(30, 70, reasoning_tokens=40),
    },
    "web_search": {
        "id": "msg_01G",
        "model": "claude-opus-4-8",
        "text": "I'll check the weather in New York. It is sunny.",
        "finish_reason": "stop",
        "usage": Usage(10682, 510),
    },
    "refusal": {
        "id": "msg_01Refusal",
        "model": "claude-opus-4-8",
        "finish_reason": "content_filter",
        "usage": Usage(12, 3),
    },
    "overloaded": {
        "id": "msg_01Overloaded",
        "model": "claude-opus-4-8",
        "text": "Hel",
        "failure": ("server_error", None),
    },
    "unknown": {
        "id": "msg_01Unknown",
        "model": "claude-opus-9",
        "text": "Soon.",
        "finish_reason": "prophecy_fulfilled",
        "usage": Usage(9, 4),
    },
    "imitator": {
        "id": "msg_im",
        "model": "glm-5",
        "text": "Well: 🎭",
        "call 0": ["call_1", "get_weather", '{"city":"Brno"}'],
        "finish_reason": "tool_calls",
        "usage": Usage(11, 7),
    },
}


def decoded(pieces: Iterable[bytes], decoder: StreamDecoder | None = None) -> list[Decoded]:
    decoder = decoder or StreamDecoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def text(piece: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})


def tool_block(index: int = 0) -> bytes:
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    return event("content_block_start", index=index, content_block=block)


def end(stop_reason: str | None) -> bytes:
    return event("message_delta", delta={"stop_reason": stop_reason}, usage={"output_tokens": 1})


STOP = event("message_stop")
GARBAGE = b"event: content_block_delta\ndata: {nonsense\n\n"


class TestCorpus:
    def test_every_recording_is_told(self) -> None:
        assert set(TOLD) == set(CORPUS)

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_whole(self, name: str) -> None:
        assert summary(decoded([CORPUS[name]])) == TOLD[name]

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_byte_by_byte(self, name: str) -> None:
        pieces = (CORPUS[name][n : n + 1] for n in range(len(CORPUS[name])))
        assert decoded(pieces) == decoded([CORPUS[name]])

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_the_same_however_it_is_cut_in_two(self, name: str) -> None:
        data, whole = CORPUS[name], decoded([CORPUS[name]])
        for cut in range(len(data)):
            assert decoded([data[:cut], data[cut:]]) == whole, cut

    @pytest.mark.parametrize("name", CORPUS)
    def test_no_cut_before_message_stop_is_finished(self, name: str) -> None:
        data = CORPUS[name]
        marker = data.find(b'{"type":"message_stop"}')
        for cut in range(len(data) if marker < 0 else marker + len(b'{"type":"message_stop"}\n')):
            decoder = StreamDecoder()
            decoder.feed(data[:cut])
            assert not decoder.finished, cut

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_done_and_finished_unless_it_failed(self, name: str) -> None:
        decoder = StreamDecoder()
        decoder.feed(CORPUS[name])
        assert decoder.finished is decoder.done is ("failure" not in TOLD[name])
        assert decoder.finish_reason == TOLD[name].get("finish_reason")
        assert not decoder.tool_call_open
        assert decoder.malformed == 0

    @pytest.mark.parametrize("name", sorted(set(TOLD) - {"imitator", "overloaded"}))
    def test_the_raw_bytes_together_are_the_stream(self, name: str) -> None:
        raw = b"".join(item.raw or b"" for item in decoded([CORPUS[name]]) if isinstance(item, ChatChunk))
        assert raw == CORPUS[name]


class TestStream:
    def test_nothing_is_read_after_message_stop(self) -> None:
        decoder = StreamDecoder()
        assert summary(decoded([STOP + text("late"), text("later")], decoder)) == {}
        assert (decoder.finished, decoder.done) == (True, True)

    def test_a_stop_reason_alone_is_no_end(self) -> None:
        decoder = StreamDecoder()
        decoder.feed(text("x") + end("end_turn"))
        assert decoder.finish_reason == "stop"
        assert not decoder.finished

    def test_a_ping_is_a_chunk_without_content_that_is_passed_on(self) -> None:
        assert decoded([event("ping")]) == [ChatChunk(raw=event("ping"))]
        assert not ChatChunk(raw=event("ping")).has_content

    def test_an_imitators_event_without_a_name_is_passed_on_with_one(self) -> None:
        data = b'{"type":"ping"}'
        [chunk] = StreamDecoder().feed(b"data: " + data + b"\n\n")
        assert isinstance(chunk, ChatChunk)
        assert chunk.raw == b"event: ping\ndata: " + data + b"\n\n"

    def test_an_event_without_any_name_stays_as_it_is(self) -> None:
        first = b'event: ping\ndata: {"type":"ping"}\n\n'
        chunks = StreamDecoder().feed(first + b'data: {"x":1}\n\n')
        assert isinstance(chunks[-1], ChatChunk)
        assert chunks[-1].raw == b'data: {"x":1}\n\n'

    def test_an_error_is_classed_as_if_it_were_a_status(self) -> None:
        error = {"type": "rate_limit_error", "message": "Slow down, sk-ant-1"}
        [failure] = decoded([event("error", error=error)], StreamDecoder(secrets=["sk-ant-1"]))
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.RATE_LIMITED
        assert failure.in_stream
        assert "sk-ant-1" not in failure.message

    @pytest.mark.parametrize(
        "data",
        [
            b'event: error\ndata: {"message":"no good"}\n\n',
            b"event: error\ndata: no good\n\n",
            b'data: {"type":"error","message":"no good"}\n\n',
            b'data: {"type":"ping","error":"no good"}\n\n',
        ],
    )
    def test_an_error_in_any_shape_is_a_failure_and_the_last_thing(self, data: bytes) -> None:
        decoder = StreamDecoder()
        [failure] = decoded([data + text("late"), text("later")], decoder)
        assert isinstance(failure, Failure)
        assert failure.message == "no good"
        assert not decoder.finished

    @pytest.mark.parametrize(
        "before",
        [b"", text("a") + GARBAGE, tool_block(), tool_block() + event("content_block_stop", index=0)],
        ids=["first", "second in a row", "in a tool call", "after a tool call"],
    )
    def test_a_malformed_event_elsewhere_is_a_failure(self, before: bytes) -> None:
        failure = decoded([before + GARBAGE])[-1]
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PROTOCOL

    def test_after_the_stop_reason_no_tool_call_is_open(self) -> None:
        decoder = StreamDecoder()
        decoder.feed(tool_block())
        assert decoder.tool_call_open
        assert isinstance(decoder.feed(end("tool_use") + GARBAGE)[-1], Malformed)
        assert not decoder.tool_call_open

    @pytest.mark.parametrize("data", [b"data: [1]\n\n", b'data: {"type":7}\n\n', b"data: 1\n\n"])
    def test_json_that_is_no_event_is_malformed(self, data: bytes) -> None:
        assert isinstance(decoded([text("a") + data])[-1], Malformed)

    def test_input_of_a_block_that_never_began_is_a_failure(self) -> None:
        piece = event("content_block_delta", index=3, delta={"type": "input_json_delta", "partial_json": "{"})
        [failure] = decoded([piece])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PROTOCOL


class TestUnary:
    def test_is_one_chunk_with_everything(self) -> None:
        body = json.dumps(
            {
                "id": "msg_1",
                "type": "message",
                "model": "claude",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "EmwK"},
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": "é"}},
                    {"type": "text", "text": "b"},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                ],
                "stop_reason": "tool_use",
                "usage": {
                    "input_tokens": 3,
                    "cache_read_input_tokens": 2,
                    "output_tokens": 4,
                    "service_tier": "standard",
                },
            }
        ).encode()
        assert decode_unary(body) == [
            ChatChunk(
                "ab",
                "Hm",
                tool_calls=(ToolCallDelta(0, "t1", "f", '{"x":"é"}'), ToolCallDelta(1, "t2", "g", "{}")),
                finish_reason="tool_calls",
                usage=Usage(5, 4, cached_tokens=2),
                model="claude",
                id="msg_1",
                raw=body,
                state=(
                    ProviderState("anthropic", "signature", "s", "Hm"),
                    ProviderState("anthropic", "redacted_thinking", "EmwK"),
                ),
                service_tier="default",
            )
        ]

    def test_a_message_without_content_is_a_chunk_without_content(self) -> None:
        body = b'{"type":"message"}'
        assert decode_unary(body) == [ChatChunk(raw=body)]
        assert decode_unary(b" ") == [ChatChunk(raw=b" ")]

    def test_broken_texts_are_mended(self) -> None:
        body = b'{"content":[{"type":"text","text":"\xff \\ud83c\\udfad \\ud83c"}]}'
        [chunk] = decode_unary(body)  # type: ignore[misc]
        assert chunk.text == "\ufffd 🎭 \ufffd"

    @pytest.mark.parametrize(
        "body",
        [
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            b'{"type":"error","message":"Overloaded"}',
        ],
    )
    def test_an_error_is_classed(self, body: bytes) -> None:
        failure = decode_unary(body, secrets=["Over"])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.SERVER_ERROR
        assert "Over" not in failure.message

    def test_the_users_own_rules_class_errors_first(self) -> None:
        rule = ErrorRule(None, "Overloaded", FailureKind.QUOTA)
        failure = decode_unary(b'{"type":"error","message":"Overloaded"}', rules=[rule])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.QUOTA

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"<html>", "the answer is a web page"),
            (b'{"content":[', "the answer is cut or malformed JSON"),
            (b"[]", "the answer is no JSON object"),
            (b'{"choices":[]}', "the answer is JSON, but no message"),
        ],
    )
    def test_anything_else_is_a_protocol_failure(self, body: bytes, message: str) -> None:
        failure = decode_unary(body)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.message) == (FailureKind.PROTOCOL, message)

    def test_only_a_length_and_a_policy_explain_an_empty_answer(self) -> None:
        reasons = [None, "stop", "tool_calls", "length", "content_filter"]
        assert [empty_is_legitimate(reason) for reason in reasons] == [False, False, False, True, True]


class TestRequest:
    def test_the_headers(self) -> None:
        assert headers("sk-ant-1") == {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": f"understudy/{__version__}",
            "anthropic-version": "2023-06-01",
            "x-api-key": "sk-ant-1",
        }
        assert "x-api-key" not in headers(None)

    def test_the_path(self) -> None:
        assert path("claude", True) == path("claude", False) == PATH == "/messages"

    def test_the_name_is_the_providers(self) -> None:
        assert WireFormat(NAME) is WireFormat.ANTHROPIC

    def test_a_neutral_request_is_translated(self) -> None:
        request = ChatRequest.of("Hi", {"model": "theirs", "stream": False})
        body = encode_request(request, model="claude", stream=True, include_usage=True, defaults={"top_k": 3})
        assert json.loads(body) == {
            "model": "claude",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "max_tokens": 8192,
            "stream": True,
            "top_k": 3,
        }

    def test_what_is_left_out_is_named(self) -> None:
        assert left_out(ChatRequest.of("Hi", {"seed": 1, "max_tokens": 5})) == ("seed",)

    def test_half_a_surrogate_pair_is_written_escaped(self) -> None:
        body = encode_request(ChatRequest.of("\ud83d!", {}), model="m", stream=False, include_usage=False)
        assert rb'"\ud83d!"' in body


class TestNativeRequest:
    def encoded(self, fields: bytes, **how: Any) -> bytes:
        how = {"model": "claude", "stream": True, "include_usage": True, **how}
        return encode_native(cut_apart(fields), **how)

    def test_goes_out_as_it_came_but_for_the_model(self) -> None:
        fields = rb'{"model":"theirs","messages":[ {"content":"\u00e9"} ],"future":1.50,"stream":false}'
        assert self.encoded(fields, stream=False) == fields.replace(b"theirs", b"claude")

    def test_defaults_fill_what_is_missing(self) -> None:
        body = self.encoded(b'{"max_tokens":5}', defaults={"max_tokens": 9, "top_k": 2, "model": "x"})
        assert json.loads(body) == {"max_tokens": 5, "top_k": 2, "model": "claude", "stream": True}

    @pytest.mark.parametrize("signature", ["", tagged(ProviderState("gemini", "thoughtSignature", "x"))])
    def test_thoughts_of_another_formats_backend_are_left_out(self, signature: str) -> None:
        mine = {"type": "thinking", "thinking": "signed", "signature": "EqQB"}
        theirs = {"type": "thinking", "thinking": "foreign", "signature": signature}
        said = {"type": "text", "text": 'a "signature": "" in a text'}
        turns = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [mine, theirs, said]},
            {"role": "assistant", "content": [theirs]},
            {"role": "user", "content": ["odd"]},
        ]
        body = json.loads(self.encoded(json.dumps({"messages": turns}).encode()))
        assert body["messages"] == [turns[0], {"role": "assistant", "content": [mine, said]}, turns[3]]

    def test_citations_without_an_index_are_left_out(self) -> None:
        mine = {"type": "web_search_result_location", "url": "https://example.org", "encrypted_index": "Eo8"}
        theirs = {**mine, "encrypted_index": ""}
        said = {"type": "text", "text": "a"}
        cited = [{**said, "citations": [mine, theirs]}, {**said, "citations": [theirs]}, said]
        turns = [{"role": "assistant", "content": cited}]
        body = json.loads(self.encoded(json.dumps({"messages": turns}).encode()))
        assert body["messages"][0]["content"] == [
            {**said, "citations": [mine]},
            {**said, "citations": None},
            said,
        ]

    BUDGET: ClassVar[dict[str, Any]] = {"type": "enabled", "budget_tokens": 2048}
    MINE: ClassVar[dict[str, Any]] = {"type": "thinking", "thinking": "signed", "signature": "EqQB"}
    USE: ClassVar[dict[str, Any]] = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    RESULT: ClassVar[dict[str, Any]] = {"type": "tool_result", "tool_use_id": "c"}

    @pytest.mark.parametrize(
        ("called", "answered", "stays"),
        [
            ([MINE, USE], [RESULT], True),
            ([{"type": "redacted_thinking", "data": "Emw"}, USE], [RESULT], True),
            ([USE], [RESULT], False),
            ([{"type": "text", "text": "I look."}, MINE, USE], [RESULT], False),
            ([USE], [RESULT, {"type": "text", "text": "And?"}], False),
            ([{**MINE, "signature": ""}, USE], [RESULT], False),
            ([{**MINE, "signature": "understudy.W10"}, MINE, USE], [RESULT], True),
            ("I look.", [RESULT], False),
            ([USE], [{"type": "text", "text": "Stop."}], True),
            ([USE], "Stop.", True),
            ([USE], ["odd"], True),
            ([USE], [], True),
        ],
    )
    def test_there_is_no_budget_in_the_middle_of_tool_use_that_began_without_own_thoughts(
        self, called: Any, answered: Any, stays: bool
    ) -> None:
        turns = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": called},
            {"role": "user", "content": answered},
        ]
        for wanted in (self.BUDGET, {"type": "adaptive"}, {"type": "disabled"}, None):
            body = json.loads(self.encoded(json.dumps({"messages": turns, "thinking": wanted}).encode()))
            assert body.get("thinking") == (wanted if stays or wanted is not self.BUDGET else None)
        body = json.loads(
            self.encoded(json.dumps({"messages": turns}).encode(), defaults={"thinking": self.BUDGET})
        )
        assert ("thinking" in body) == stays

    def test_a_result_alone_has_no_thoughts_before_it(self) -> None:
        alone = {"messages": [{"role": "user", "content": [self.RESULT]}], "thinking": self.BUDGET}
        assert "thinking" not in json.loads(self.encoded(json.dumps(alone).encode()))

    def test_is_sent_even_without_messages(self) -> None:
        assert msgspec.json.decode(self.encoded(b"{}")) == {"model": "claude", "stream": True}
        thinking = {"thinking": self.BUDGET}
        body = msgspec.json.decode(self.encoded(json.dumps(thinking).encode()))
        assert body == {**thinking, "model": "claude", "stream": True}
