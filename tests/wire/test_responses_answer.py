"""Responses' events as chunks: items, calls, reasoning, usage, reasons, broken characters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.told import summary
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.responses_answer import Reader, decode_answer, decode_event, whole_chunk
from understudy.wire.responses_state import state_of
from understudy.wire.sse import Event


def read(*events: dict[str, Any] | bytes) -> list[ChatChunk]:
    reader = Reader()
    data = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return [reader.read(decode_event(Event(piece)), b"raw") for piece in data]


def event(kind: str, index: int = 0, **fields: object) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, **fields}


def added(index: int, kind: str = "", **item: object) -> dict[str, Any]:
    return event("output_item.added", index, item={"type": kind, **item})


def done(index: int, kind: str = "", **item: object) -> dict[str, Any]:
    return event("output_item.done", index, item={"type": kind, **item})


def call(call_id: str, name: str, arguments: str = "") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def arguments(index: int, delta: str) -> dict[str, Any]:
    return event("function_call_arguments.delta", index, delta=delta)


def end(status: str = "completed", **response: object) -> dict[str, Any]:
    return event(status, response={"status": status, **response})


class TestEvents:
    @pytest.mark.parametrize("kind", ["created", "queued", "in_progress"])
    def test_the_start_names_model_and_id(self, kind: str) -> None:
        told = read(event(kind, response={"id": "resp_1", "model": "gpt", "service_tier": "auto"}))
        assert told == [ChatChunk(model="gpt", id="resp_1", raw=b"raw")]

    @pytest.mark.parametrize(
        "said",
        [
            event("created"),
            event("output_item.added"),
            event("output_item.done"),
            added(0, "message", content=[], role="assistant"),
            added(0, "reasoning", summary=[]),
            added(0, "web_search_call", action={"type": "search"}),
            added(0, "tool_search_call", arguments={"query": "x"}, content="odd", summary=7),
            done(0, "message", content=7),
            done(0, "reasoning", summary=[{"type": "summary_text", "text": 7}], encrypted_content=7),
            event("output_text.delta", delta=""),
            event("output_text.delta", delta=7),
            event("output_text.done", text="a"),
            event("output_text.annotation.added", annotation=None),
            event("output_text.annotation.added", annotation={"type": 7}),
            event("content_part.added", part={"type": "output_text", "text": ""}),
            event("reasoning_summary_part.added", summary_index=0),
            event("function_call_arguments.done", arguments="{}"),
            event("web_search_call.searching"),
            event("audio.delta", delta="AAD/"),
            {"odd": True},
        ],
    )
    def test_an_event_without_content_is_a_chunk_with_nothing_but_its_bytes(self, said: object) -> None:
        assert read(json.dumps(said).encode()) == [ChatChunk(raw=b"raw")]

    def test_an_event_that_names_no_type_is_what_the_stream_calls_it(self) -> None:
        said = Event(b'{"delta":"a"}', "response.output_text.delta")
        assert Reader().read(decode_event(said), b"") == ChatChunk("a", raw=b"")

    def test_text_comes_with_its_probabilities(self) -> None:
        [chunk] = read(event("output_text.delta", delta="a", logprobs=[{"token": "a"}]))
        assert chunk == ChatChunk("a", raw=b"raw", logprobs=({"token": "a"},))

    def test_a_citation_stands_under_the_name_of_its_type(self) -> None:
        [chunk] = read(
            event("output_text.annotation.added", annotation={"type": "file_path", "file_id": "f"})
        )
        assert chunk.annotations == ({"type": "file_path", "file_path": {"file_id": "f"}},)


class TestToolCalls:
    def test_are_numbered_in_the_order_of_their_items(self) -> None:
        chunks = read(
            added(1, "message"),
            added(2, **call("a", "f")),
            added(3, "web_search_call", id="ws"),
            added(4, "custom_tool_call", id="ctc", call_id="b", name="g", input=""),
            event("custom_tool_call_input.delta", 4, delta="x"),
            arguments(2, "{ "),
            arguments(2, "}"),
        )
        assert summary(chunks) == {"call 0": ["a", "f", "{ }"], "call 1": ["b", "g", "x"]}

    def test_the_items_id_stands_for_a_missing_one(self) -> None:
        [chunk] = read(added(0, "function_call", id="fc_1", name=""))
        assert chunk.tool_calls == (ToolCallDelta(0, "fc_1"),)

    def test_arguments_that_came_whole_are_read_when_the_item_is_done(self) -> None:
        chunks = read(
            added(0, **call("a", "f")),
            done(0, **call("a", "f", '{"x":1}')),
            done(1, **call("b", "g", "[]")),
            done(0, **call("a", "f", '{"x":1}')),
        )
        assert summary(chunks) == {"call 0": ["a", "f", '{"x":1}'], "call 1": ["b", "g", "[]"]}

    def test_arguments_that_came_in_pieces_are_not_read_again(self) -> None:
        chunks = read(
            added(0, **call("a", "f")),
            arguments(0, "{}"),
            done(0, **call("a", "f", "{}")),
            end(output=[call("a", "f", "{}")]),
        )
        assert summary(chunks) == {"call 0": ["a", "f", "{}"], "finish_reason": "tool_calls"}

    def test_a_call_is_open_until_its_item_is_done_or_all_is(self) -> None:
        reader = Reader()

        def is_open(said: dict[str, Any]) -> bool:
            reader.read(decode_event(Event(json.dumps(said).encode())), b"")
            return reader.call_open

        assert is_open(added(0, **call("a", "f")))
        assert is_open(added(1, **call("b", "g")))
        assert is_open(done(0, **call("a", "f", "{}")))
        assert not is_open(done(1, **call("b", "g", "{}")))
        assert is_open(added(2, **call("c", "h")))
        assert not is_open(end())


class TestReasoning:
    def test_of_two_texts_the_first_to_come_is_read(self) -> None:
        chunks = read(
            event("reasoning_text.delta", 0, delta="a"),
            event("reasoning_summary_text.delta", 0, delta="short"),
            event("reasoning_summary_part.added", 0, summary_index=1),
            event("reasoning_text.delta", 0, delta="b"),
            event("reasoning_summary_text.delta", 1, delta="c"),
            event("reasoning_text.delta", 1, delta="long"),
        )
        assert summary(chunks) == {"reasoning": "abc"}

    def test_parts_are_parted_by_blank_lines(self) -> None:
        chunks = read(
            event("reasoning_summary_part.added", 0, summary_index=0),
            event("reasoning_summary_text.delta", 0, summary_index=0, delta="a"),
            event("reasoning_summary_part.added", 0, summary_index=1),
            event("reasoning_summary_text.delta", 0, summary_index=1, delta="b"),
        )
        assert summary(chunks) == {"reasoning": "a\n\nb"}

    def test_state_is_told_when_its_item_is_done(self) -> None:
        texts = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
        chunks = read(
            added(0, "reasoning", encrypted_content=""),
            done(0, "reasoning", id="rs_1", summary=texts, encrypted_content="gAAAAA"),
            done(1, "reasoning", id="rs_2", summary=[], encrypted_content=""),
        )
        assert [chunk.state for chunk in chunks] == [(), (state_of("gAAAAA", "rs_1", "a\n\nb"),), ()]
        assert summary(chunks) == {"reasoning": "a\n\nb"}


class TestEnd:
    @pytest.mark.parametrize(
        ("status", "response", "reason"),
        [
            ("completed", {}, "stop"),
            ("completed", {"output": [call("a", "f", "{}")]}, "tool_calls"),
            ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
            ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
            ("incomplete", {"incomplete_details": {"reason": "steered"}}, "steered"),
            ("incomplete", {"incomplete_details": {}}, "length"),
            ("incomplete", {}, "length"),
        ],
    )
    def test_reasons_are_put_into_openai_chats_words(
        self, status: str, response: dict[str, Any], reason: str
    ) -> None:
        assert read(end(status, **response))[0].finish_reason == reason
        assert read(event(status))[0].finish_reason in ("stop", "length")

    @pytest.mark.parametrize(
        ("said", "usage"),
        [
            (None, None),
            ({}, None),
            ({"input_tokens": 0, "output_tokens": 0}, None),
            ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
            ({"input_tokens": -3, "output_tokens": 4.0}, Usage(0, 4)),
            (
                {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                    "output_tokens": 4,
                    "output_tokens_details": {"reasoning_tokens": 1},
                },
                Usage(9, 4, reasoning_tokens=1, cached_tokens=3, cache_write_tokens=2),
            ),
        ],
    )
    def test_usage(self, said: object, usage: Usage | None) -> None:
        [chunk] = read(end(usage=said))
        assert chunk.usage == usage

    @pytest.mark.parametrize(("tier", "told"), [("flex", "flex"), (7, None), (None, None)])
    def test_the_tier(self, tier: object, told: str | None) -> None:
        [chunk] = read(end(service_tier=tier))
        assert chunk.service_tier == told

    def test_items_that_came_only_now_are_read(self) -> None:
        output = [
            {"type": "reasoning", "summary": [{"text": "Hm"}], "encrypted_content": "gAAAAA"},
            {"type": "message", "content": [{"text": "a"}, {"refusal": "No."}]},
            {"type": "message", "content": [{"text": "told"}]},
            call("c1", "f", "{}"),
        ]
        chunks = read(event("output_text.delta", 2, delta="told"), end(output=output))
        assert summary(chunks) == {
            "text": "tolda",
            "reasoning": "Hm",
            "refusal": "No.",
            "call 0": ["c1", "f", "{}"],
            "finish_reason": "tool_calls",
        }
        assert chunks[1].state == (state_of("gAAAAA", None, "Hm"),)

    def test_a_refusal_that_came_in_pieces_is_not_read_again(self) -> None:
        item: dict[str, Any] = {"type": "message", "content": [{"refusal": "No."}]}
        chunks = read(event("refusal.delta", 0, delta="No."), done(0, **item), end(output=[item]))
        assert summary(chunks) == {"refusal": "No.", "finish_reason": "stop"}


class TestCharacters:
    def test_halves_of_surrogate_pairs_are_joined(self) -> None:
        chunks = read(
            added(0, **call("a", "f")),
            rb'{"type":"response.output_text.delta","output_index":1,"delta":"\ud83c"}',
            rb'{"type":"response.reasoning_text.delta","output_index":2,"delta":"\ud83e"}',
            rb'{"type":"response.function_call_arguments.delta","output_index":0,"delta":"\ud83d"}',
            rb'{"type":"response.refusal.delta","output_index":1,"delta":"\ud83d"}',
            rb'{"type":"response.output_text.delta","output_index":1,"delta":"\udfad"}',
            rb'{"type":"response.reasoning_text.delta","output_index":2,"delta":"\udd14"}',
            rb'{"type":"response.function_call_arguments.delta","output_index":0,"delta":"\ude00"}',
            rb'{"type":"response.refusal.delta","output_index":1,"delta":"\ude00"}',
        )
        assert summary(chunks) == {
            "text": "🎭",
            "reasoning": "🤔",
            "refusal": "😀",
            "call 0": ["a", "f", "😀"],
        }

    def test_halves_that_stayed_alone_are_replaced_at_the_end(self) -> None:
        chunks = read(
            added(0, **call("a", "f")),
            rb'{"type":"response.output_text.delta","output_index":1,"delta":"\ud83c"}',
            rb'{"type":"response.reasoning_text.delta","output_index":2,"delta":"\ud83e"}',
            rb'{"type":"response.function_call_arguments.delta","output_index":0,"delta":"\ud83d"}',
            rb'{"type":"response.refusal.delta","output_index":1,"delta":"\ud83d"}',
            end(),
        )
        assert summary(chunks) == {
            "text": "\ufffd",
            "reasoning": "\ufffd",
            "refusal": "\ufffd",
            "call 0": ["a", "f", "\ufffd"],
            "finish_reason": "tool_calls",
        }

    def test_broken_utf8_is_replaced(self) -> None:
        assert read(b'{"type":"response.output_text.delta","delta":"\xff"}') == [
            ChatChunk("\ufffd", raw=b"raw")
        ]


def test_a_whole_answer_is_one_chunk() -> None:
    page = {
        "type": "url_citation",
        "url": "https://example.org",
        "title": "A",
        "start_index": 0,
        "end_index": 1,
    }
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm"}], "encrypted_content": "gAAAAA"},
        {"type": "web_search_call", "content": "odd"},
        {"type": "message", "content": [{"text": "a", "annotations": [page], "logprobs": [{"token": "a"}]}]},
        call("c1", "f", '{"x":1}'),
        {"type": "message", "content": [{"text": "b"}, {"refusal": "No."}]},
        {"type": "custom_tool_call", "id": "ctc_1", "name": "g", "input": "x"},
    ]
    usage = {"input_tokens": 3, "output_tokens": 4}
    answer = {
        "id": "resp_1",
        "model": "gpt",
        "status": "completed",
        "output": output,
        "usage": usage,
        "service_tier": "flex",
    }
    assert whole_chunk(decode_answer(json.dumps(answer).encode()), b"raw") == ChatChunk(
        "ab",
        "Hm",
        "No.",
        (ToolCallDelta(0, "c1", "f", '{"x":1}'), ToolCallDelta(1, "ctc_1", "g", "x")),
        finish_reason="tool_calls",
        usage=Usage(3, 4),
        model="gpt",
        id="resp_1",
        raw=b"raw",
        logprobs=({"token": "a"},),
        annotations=(
            {"type": "url_citation", "url_citation": {k: v for k, v in page.items() if k != "type"}},
        ),
        state=(state_of("gAAAAA", "rs_1", "Hm"),),
        service_tier="flex",
    )
