"""Anthropic's events as chunks: blocks, tool calls, usage, reasons, broken characters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.told import summary
from understudy.wire.anthropic_answer import (
    FINISH_REASONS,
    Reader,
    decode_event,
    decode_message,
    whole_chunk,
)
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.sse import Event
from understudy.wire.state import ProviderState


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
            begin(0, "redacted_thinking", data=5),
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
                Usage(113, 5, cached_tokens=10, cache_write_tokens=100),
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

    @pytest.mark.parametrize(
        ("first", "last", "tier"),
        [
            ({"service_tier": "standard"}, {}, "default"),
            ({"service_tier": "standard"}, {"service_tier": "priority"}, "priority"),
            ({"service_tier": 7}, {}, None),
            ({}, {}, None),
        ],
    )
    def test_the_tier_is_told_in_openais_words(
        self, first: dict[str, Any], last: dict[str, Any], tier: str | None
    ) -> None:
        assert [chunk.service_tier for chunk in read(start(**first), end("end_turn", **last))] == [None, tier]


class TestState:
    def test_a_signed_thought_is_told_when_its_block_ends(self) -> None:
        chunks = read(
            begin(0, "thinking", thinking="H", signature=""),
            delta(0, type="thinking_delta", thinking="m"),
            delta(0, type="signature_delta", signature="Eq"),
            delta(0, type="signature_delta", signature="QB"),
            close(0),
            close(0),
        )
        state = ProviderState("anthropic", "signature", "EqQB", "Hm")
        assert [chunk.state for chunk in chunks] == [(), (), (), (), (state,), ()]
        assert summary(chunks) == {"reasoning": "Hm"}

    def test_thoughts_may_come_side_by_side(self) -> None:
        chunks = read(
            begin(0, "thinking", signature="a"),
            begin(1, "thinking", signature="b"),
            delta(1, type="thinking_delta", thinking="B"),
            delta(0, type="thinking_delta", thinking="A"),
            close(0),
            close(1),
        )
        told = [(state.value, state.text) for chunk in chunks for state in chunk.state]
        assert told == [("a", "A"), ("b", "B")]

    def test_an_unsigned_thought_is_none(self) -> None:
        chunks = read(begin(0, "thinking"), delta(0, type="thinking_delta", thinking="Hm"), close(0))
        assert not any(chunk.state for chunk in chunks)

    def test_a_signature_and_a_thought_without_a_block_are_none(self) -> None:
        odd = [
            delta(3, type="thinking_delta", thinking="Hm"),
            delta(3, type="signature_delta", signature="s"),
        ]
        assert [chunk.state for chunk in read(*odd, close(3))] == [(), (), ()]

    def test_a_redacted_thought_is_told_when_it_begins(self) -> None:
        [chunk] = read(begin(0, "redacted_thinking", data="EmwK"))
        assert chunk.state == (ProviderState("anthropic", "redacted_thinking", "EmwK"),)
        assert not chunk.has_content


def cite(index: int, **citation: object) -> dict[str, Any]:
    return delta(index, type="citations_delta", citation=citation)


class TestCitations:
    def test_speak_of_the_text_of_their_block(self) -> None:
        chunks = read(
            begin(0, "text", text="It is "),
            delta(0, type="text_delta", text="said: "),
            close(0),
            begin(1, "text", text="", citations=[]),
            cite(1, type="web_search_result_location", url="https://example.org", title="A", cited_text="x"),
            delta(1, type="text_delta", text="sunny."),
            cite(1, type="search_result_location", source="https://example.com", title=None),
            close(1),
        )
        place = {"start_index": 12, "end_index": 18}
        assert [chunk.annotations for chunk in chunks[:-1]] == [()] * 7
        assert chunks[-1].annotations == (
            {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "A", **place}},
            {"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "", **place}},
        )

    def test_of_documents_are_of_files(self) -> None:
        page = {"type": "page_location", "document_index": 0, "document_title": "a.pdf", "file_id": "f1"}
        char = {"type": "char_location", "document_index": 0, "document_title": None}
        chunks = read(begin(0, "text", text="a"), cite(0, **page), cite(0, **char), close(0))
        assert chunks[-1].annotations == (
            {"type": "file_citation", "file_citation": {"file_id": "f1", "filename": "a.pdf", "index": 1}},
            {"type": "file_citation", "file_citation": {"file_id": "", "filename": "", "index": 1}},
        )

    def test_what_is_no_object_is_none(self) -> None:
        odd = delta(0, type="citations_delta", citation="odd")
        assert [chunk.annotations for chunk in read(odd, close(0))] == [(), ()]

    def test_of_a_whole_answer(self) -> None:
        cited = {"type": "text", "text": "bc", "citations": [{"url": "https://example.org", "title": "A"}]}
        odd = {"type": "text", "text": "d", "citations": {"enabled": True}}
        body = json.dumps({"content": [{"type": "text", "text": "a"}, cited, odd]}).encode()
        page = {"url": "https://example.org", "title": "A", "start_index": 1, "end_index": 3}
        chunk = whole_chunk(decode_message(body), b"raw")
        assert chunk.annotations == ({"type": "url_citation", "url_citation": page},)


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
