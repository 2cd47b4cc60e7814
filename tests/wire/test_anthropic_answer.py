"""Anthropic's events as chunks: blocks, tool calls, usage, reasons, broken characters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.told import summary
from understudy.wire.anthropic_answer import FINISH_REASONS, Reader, decode_event
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.sse import Event


def read(*events: dict[str, Any] | bytes) -> list[ChatChunk]:
    reader = Reader()
    data = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return [reader.read(decode_event(Event(piece)), b"raw") for piece in data]


def start(**usage: object) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": usage or None}}


def begin(index: int, kind: str, **fields: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def delta(index: int, **fields: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def close(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(stop_reason: str | None = None, **usage: object) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage or None}


class TestEvents:
    def test_the_start_names_model_and_id(self) -> None:
        assert read(start(input_tokens=3)) == [ChatChunk(model="claude", id="msg_1", raw=b"raw")]

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "ping"},
            {"type": "message_stop"},
            {"type": "message_start"},
            {"type": "message_start", "message": "odd"},
            {"type": "message_start", "message": {"id": "", "model": ""}},
            {"type": "message_delta"},
            {"type": "content_block_start"},
            {"type": "content_block_delta"},
            {"type": "content_block_stop", "index": 4},
            begin(0, "text", text=""),
            begin(0, "redacted_thinking", data="EmwK"),
            begin(0, "web_search_tool_result", content=[{"text": 5}]),
            delta(0, type="signature_delta", signature="EqQB"),
            delta(0, type="citations_delta", citation={"cited_text": "x"}),
            delta(0, type="text_delta", text=""),
            {"odd": True},
        ],
    )
    def test_an_event_without_content_is_a_chunk_with_nothing_but_its_bytes(self, event: object) -> None:
        assert read(json.dumps(event).encode()) == [ChatChunk(raw=b"raw")]

    def test_texts_and_thoughts_may_be_in_a_blocks_beginning(self) -> None:
        assert read(begin(0, "text", text="a"), begin(1, "thinking", thinking="b")) == [
            ChatChunk("a", raw=b"raw"),
            ChatChunk("", "b", raw=b"raw"),
        ]

    def test_an_event_that_names_no_type_is_what_the_stream_calls_it(self) -> None:
        event = Event(b'{"delta":{"text":"a"}}', "content_block_delta")
        assert Reader().read(decode_event(event), b"") == ChatChunk("a", raw=b"")


class TestToolCalls:
    def test_are_numbered_in_the_order_of_their_blocks(self) -> None:
        chunks = read(
            begin(0, "text"),
            begin(1, "tool_use", id="a", name="f", input={}),
            begin(2, "server_tool_use", id="s", name="web_search", input={}),
            delta(2, type="input_json_delta", partial_json='{"query":1}'),
            begin(4, "tool_use", id="b", name="g", input={}),
            delta(1, type="input_json_delta", partial_json="{ }"),
            delta(4, type="input_json_delta", partial_json="[]"),
        )
        assert summary(chunks) == {"call 0": ["a", "f", "{ }"], "call 1": ["b", "g", "[]"]}

    @pytest.mark.parametrize(
        ("given", "pieces", "arguments"),
        [
            ({}, [], "{}"),
            (None, [], "{}"),
            ({}, ["", ""], "{}"),
            ({}, ["", '{"x"', ":1}"], '{"x":1}'),
            ({"x": "é"}, [], '{"x":"é"}'),
            ({"x": 1}, ['{"x":2}'], '{"x":2}'),
            ('{"x": 1}', [], '{"x": 1}'),
            ("", [], "{}"),
        ],
    )
    def test_the_input_comes_at_once_or_in_pieces(
        self, given: object, pieces: list[str], arguments: str
    ) -> None:
        deltas = [delta(0, type="input_json_delta", partial_json=piece) for piece in pieces]
        chunks = read(begin(0, "tool_use", id="a", name="f", input=given), *deltas, close(0))
        assert summary(chunks) == {"call 0": ["a", "f", arguments]}

    def test_a_missing_id_and_name_stay_missing(self) -> None:
        [chunk] = read(begin(0, "tool_use", id="", name=""))
        assert chunk.tool_calls == (ToolCallDelta(0),)


class TestEnd:
    @pytest.mark.parametrize(("said", "word"), [*FINISH_REASONS.items(), ("a_new_one", "a_new_one")])
    def test_reasons_are_put_into_openais_words(self, said: str, word: str) -> None:
        assert read(end(said))[0].finish_reason == word

    def test_no_reason_is_none(self) -> None:
        assert [chunk.finish_reason for chunk in read(end(None), end(""))] == [None, None]

    @pytest.mark.parametrize(
        ("first", "last", "usage"),
        [
            ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 5}, Usage(3, 5)),
            ({"input_tokens": 3}, {"input_tokens": 7, "output_tokens": 5}, Usage(7, 5)),
            ({"input_tokens": 3, "output_tokens": 2}, {}, Usage(3, 2)),
            ({}, {"output_tokens": 5}, Usage(0, 5)),
            (
                {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 100},
                {"output_tokens": 5, "cache_read_input_tokens": None},
                Usage(113, 5, cached_tokens=10),
            ),
            (
                {"input_tokens": 3},
                {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 4}},
                Usage(3, 5, reasoning_tokens=4),
            ),
            ({"input_tokens": 0}, {"output_tokens": 0}, None),
            ({"input_tokens": -1}, {"output_tokens": 2.0}, Usage(0, 2)),
            ({}, {}, None),
        ],
    )
    def test_usage_is_of_each_figure_the_newest(
        self, first: dict[str, Any], last: dict[str, Any], usage: Usage | None
    ) -> None:
        chunks = read(start(**first), delta(0, type="text_delta", text="x"), end("end_turn", **last))
        assert [chunk.usage for chunk in chunks] == [None, None, usage]


class TestCharacters:
    def test_halves_of_surrogate_pairs_are_joined(self) -> None:
        chunks = read(
            begin(0, "tool_use", id="a", name="f"),
            rb'{"type":"content_block_delta","index":1,"delta":{"text":"\ud83c"}}',
            rb'{"type":"content_block_delta","index":2,"delta":{"thinking":"\ud83e"}}',
            rb'{"type":"content_block_delta","index":0,"delta":{"partial_json":"\ud83d"}}',
            rb'{"type":"content_block_delta","index":1,"delta":{"text":"\udfad"}}',
            rb'{"type":"content_block_delta","index":2,"delta":{"thinking":"\udd14"}}',
            rb'{"type":"content_block_delta","index":0,"delta":{"partial_json":"\ude00"}}',
        )
        assert summary(chunks) == {"text": "🎭", "reasoning": "🤔", "call 0": ["a", "f", "😀"]}

    def test_halves_that_stayed_alone_are_replaced_at_the_end(self) -> None:
        chunks = read(
            begin(0, "tool_use", id="a", name="f"),
            rb'{"type":"content_block_delta","index":1,"delta":{"text":"\ud83c"}}',
            rb'{"type":"content_block_delta","index":2,"delta":{"thinking":"\ud83e"}}',
            rb'{"type":"content_block_delta","index":0,"delta":{"partial_json":"\ud83d"}}',
            end("end_turn"),
        )
        assert summary(chunks) == {
            "text": "\ufffd",
            "reasoning": "\ufffd",
            "call 0": ["a", "f", "\ufffd"],
            "finish_reason": "stop",
        }

    def test_broken_utf8_is_replaced(self) -> None:
        assert read(b'{"type":"content_block_delta","delta":{"text":"\xff"}}') == [
            ChatChunk("\ufffd", raw=b"raw")
        ]
