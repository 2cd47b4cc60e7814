"""Answers of other formats' backends, written as Anthropic's event stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.told import summary
from understudy.wire.anthropic_client import read_request
from understudy.wire.anthropic_messages import StreamDecoder
from understudy.wire.anthropic_stream import AnthropicStream, stop_reason, usage_fields
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState, tagged


def request() -> ClientRequest:
    asked = read_request(b'{"model":"claude","stream":true,"messages":[{"role":"user","content":"Hi"}]}')
    asked.id = "req1"
    return asked


def stream() -> AnthropicStream:
    return AnthropicStream(request())


def call(index: int, arguments: str = "", name: str | None = None, call_id: str | None = None) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index, call_id, name, arguments),))


def told(data: bytes) -> list[str]:
    """The events, each in one short word."""
    return [_told(json.loads(event.data)) for event in EventStream().feed(data)]


def _told(event: dict[str, Any]) -> str:
    match event["type"]:
        case "content_block_start":
            block = event["content_block"]
            return f"{event['index']} {block['type']} {block.get('name', '')}".strip()
        case "content_block_delta":
            [said] = [value for name, value in event["delta"].items() if name != "type"]
            return f"{event['index']} + {said}"
        case "content_block_stop":
            return f"{event['index']} end"
        case kind:
            return str(kind)


class TestBlocks:
    def test_a_block_is_open_until_something_else_comes(self) -> None:
        writer = stream()
        assert told(writer.write(ChatChunk(model="gpt", id="chatcmpl-1"))) == ["message_start"]
        assert told(writer.write(ChatChunk(reasoning="Hm"))) == ["0 thinking", "0 + Hm"]
        assert told(writer.write(ChatChunk(reasoning="."))) == ["0 + ."]
        assert told(writer.write(ChatChunk("a"))) == ["0 end", "1 text", "1 + a"]
        assert told(writer.write(ChatChunk(refusal="b"))) == ["1 + b"]
        assert told(writer.write(ChatChunk())) == []
        said = ["1 end", "2 thinking", "2 + d", "2 end", "3 text", "3 + c"]
        assert told(writer.write(ChatChunk("c", "d"))) == said, "in one chunk thoughts come first"
        assert told(writer.write(call(0, "{", "f", "c1"))) == ["3 end", "4 tool_use f", "4 + {"]
        assert told(writer.write(call(0, "}"))) == ["4 + }"]
        assert told(writer.write(ChatChunk(finish_reason="tool_calls"))) == ["4 end"]
        assert told(writer.end(None)) == ["message_delta", "message_stop"]

    def test_nothing_stands_before_the_messages_start(self) -> None:
        for first in (ChatChunk(" "), ChatChunk(state=(ProviderState("a", "k", "v"),))):
            assert told(stream().write(first))[0] == "message_start"
        assert stream().write(ChatChunk(id="", model="")) == b"", "Azure's event about the prompt"

    def test_state_ends_the_thought_that_it_vouches_for(self) -> None:
        writer = stream()
        own = ProviderState("anthropic", "signature", "EqQB", "Hm")
        foreign = ProviderState("openai-responses", "reasoning", "{}", "So")
        assert told(writer.write(ChatChunk(reasoning="Hm")))[1:] == ["0 thinking", "0 + Hm"]
        assert told(writer.write(ChatChunk(state=(own,)))) == ["0 + EqQB", "0 end"]
        assert told(writer.write(ChatChunk(reasoning="S"))) == ["1 thinking", "1 + S"]
        said = ["1 + o", f"1 + {tagged(foreign)}", "1 end"]
        assert told(writer.write(ChatChunk(reasoning="o", state=(foreign,)))) == said
        assert told(writer.write(ChatChunk("a"))) == ["2 text", "2 + a"]

    def test_state_without_a_text_is_a_block_of_its_own(self) -> None:
        writer = stream()
        hidden = ProviderState("anthropic", "redacted_thinking", "EmwK")
        called = ProviderState("gemini", "thoughtSignature", "x", call="c1")
        writer.write(ChatChunk(reasoning="Hm"))
        assert told(writer.write(ChatChunk(state=(hidden, called)))) == [
            "0 end",
            "1 redacted_thinking",
            "1 end",
            "2 thinking",
            f"2 + {tagged(called)}",
            "2 end",
        ]

    def test_whole_thoughts_are_blocks_of_their_own(self) -> None:
        writer = stream()
        first = ProviderState("anthropic", "signature", "a", "A")
        second = ProviderState("anthropic", "signature", "b", "B")
        assert told(writer.write(ChatChunk("c", "AB", state=(first, second)))) == [
            "message_start",
            *["0 thinking", "0 + A", "0 + a", "0 end"],
            *["1 thinking", "1 + B", "1 + b", "1 end"],
            *["2 text", "2 + c"],
        ]

    def test_state_that_comes_late_is_not_lost(self) -> None:
        writer = stream()
        state = ProviderState("gemini", "thoughtSignature", "x", "Hm")
        writer.write(ChatChunk("a", "Hm"))
        said = ["1 end", "2 thinking", f"2 + {tagged(state)}", "2 end"]
        assert told(writer.write(ChatChunk(state=(state,)))) == said

    def test_citations_are_added_to_the_open_text(self) -> None:
        writer = stream()
        cited = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "A"}}
        other = {"type": "file_citation", "file_citation": {"filename": "a.pdf"}}
        index = {"cited_text": "", "encrypted_index": ""}
        page = {"type": "web_search_result_location", "url": "https://example.org", "title": "A", **index}
        writer.write(ChatChunk("a"))
        assert told(writer.write(ChatChunk(annotations=(cited, other)))) == [f"0 + {page}"]
        assert told(writer.write(ChatChunk("b"))) == ["0 + b"]

    def test_what_comes_beside_an_open_tool_call_is_held_back(self) -> None:
        writer = stream()
        writer.write(call(0, "[", "f", "c1"))
        assert told(writer.write(call(1, '"a', "g", "c2"))) == []
        assert told(writer.write(ChatChunk("later"))) == []
        assert told(writer.write(call(0, "]"))) == ["0 + ]"]
        assert told(writer.write(call(1, '"'))) == []
        assert told(writer.write(ChatChunk(" on", finish_reason="stop"))) == [
            "0 end",
            "1 tool_use g",
            '1 + "a"',
            "1 end",
            "2 text",
            "2 + later on",
            "2 end",
        ]

    def test_a_call_begins_when_its_name_is_known(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a"))
        assert told(writer.write(call(0, "{", None, "c1"))) == ["0 end"]
        assert told(writer.write(call(0, "}", "f"))) == ["1 tool_use f", "1 + {}"]

    def test_a_call_whose_name_never_comes_begins_at_the_end(self) -> None:
        writer = stream()
        writer.write(call(0, "{}"))
        assert told(writer.end(None)) == [
            "0 tool_use",
            "0 + {}",
            "0 end",
            "message_delta",
            "message_stop",
        ]

    def test_a_stream_without_a_finish_reason_is_closed_at_the_end(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a"))
        assert told(writer.end(None)) == ["0 end", "message_delta", "message_stop"]

    def test_an_answer_of_nothing_is_a_message_too(self) -> None:
        assert told(stream().end(Usage(3, 0))) == ["message_start", "message_delta", "message_stop"]

    def test_second_choices_cannot_be_said(self) -> None:
        assert stream().write(ChatChunk("b", index=1)) == b""

    def test_repr_shows_where_it_is(self) -> None:
        writer = stream()
        writer.write(call(0, "{", "f"))
        writer.write(call(1, "{", "g"))
        assert repr(writer) == "<AnthropicStream block 0, 2 unfinished>"


def events(data: bytes) -> list[dict[str, Any]]:
    read = EventStream().feed(data)
    decoded: list[dict[str, Any]] = [json.loads(event.data) for event in read]
    assert [event["type"] for event in decoded] == [event.event for event in read]
    return decoded


class TestFields:
    def test_the_start_says_who_answers(self) -> None:
        [start] = events(stream().write(ChatChunk(model="gpt", id="chatcmpl-1")))
        assert start["message"] == {
            "id": "msg_chatcmpl-1",
            "type": "message",
            "role": "assistant",
            "model": "gpt",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }

    @pytest.mark.parametrize(
        ("chunk", "named"),
        [(ChatChunk("a"), ("msg_req1", "claude")), (ChatChunk(id="msg_7", model="x"), ("msg_7", "x"))],
    )
    def test_a_missing_id_and_model_are_the_requests(self, chunk: ChatChunk, named: tuple[str, str]) -> None:
        message = events(stream().write(chunk))[0]["message"]
        assert (message["id"], message["model"]) == named

    def test_a_thought_is_unsigned(self) -> None:
        block = events(stream().write(ChatChunk(reasoning="Hm")))[1]["content_block"]
        assert block == {"type": "thinking", "thinking": "", "signature": ""}

    def test_a_call_has_an_id_in_anthropics_letters(self) -> None:
        assert events(stream().write(call(0, "", "f", "f:0")))[1]["content_block"] == {
            "type": "tool_use",
            "id": "f_0",
            "name": "f",
            "input": {},
        }
        assert events(stream().write(call(2, "", "f")))[1]["content_block"]["id"] == "toolu_req1_2"

    def test_an_id_and_a_name_may_come_one_after_the_other(self) -> None:
        writer = stream()
        writer.write(call(0, "", None, "c1"))
        [start] = events(writer.write(call(0, "", "f")))
        assert (start["content_block"]["id"], start["content_block"]["name"]) == ("c1", "f")

    def test_the_end_has_reason_and_usage(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a", finish_reason="length"))
        [end, stop] = events(writer.end(Usage(10, 5, reasoning_tokens=2, cached_tokens=4)))
        assert end["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
        assert end["usage"] == {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        }
        assert stop == {"type": "message_stop"}

    def test_a_reason_counts_even_if_more_follows_it(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a", finish_reason="content_filter"))
        writer.write(ChatChunk("b"))
        assert events(writer.end(None))[1]["delta"]["stop_reason"] == "refusal"

    def test_a_called_tool_shows_in_the_reason(self) -> None:
        writer = stream()
        writer.write(call(0, "{}", "f"))
        writer.write(ChatChunk(finish_reason="stop"))
        assert events(writer.end(None))[0]["delta"]["stop_reason"] == "tool_use"

    def test_no_usage_is_none_at_all(self) -> None:
        assert usage_fields(None) == usage_fields(Usage())
        assert usage_fields(Usage(1, 0, cached_tokens=2))["input_tokens"] == 0


@pytest.mark.parametrize(
    ("reason", "called", "said"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        (None, False, "end_turn"),
        (None, True, "tool_use"),
        ("eos", False, "end_turn"),
        ("length", False, "max_tokens"),
        ("LENGTH", True, "max_tokens"),
        ("max_tokens", False, "max_tokens"),
        ("model_length", False, "max_tokens"),
        ("tool_calls", True, "tool_use"),
        ("function_call", True, "tool_use"),
        ("content_filter", False, "refusal"),
        ("SAFETY", False, "refusal"),
        ("prohibited_content", False, "refusal"),
        ("blocklist", False, "refusal"),
        ("recitation", False, "refusal"),
        ("spii", False, "refusal"),
    ],
)
def test_reasons_are_put_into_anthropics_words(reason: str | None, called: bool, said: str) -> None:
    assert stop_reason(reason, called=called) == said


# Whatever is written says, when Anthropic's decoder reads it, what the chunks said.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
PLAIN = st.builds(ChatChunk, text=WORDS) | st.builds(ChatChunk, reasoning=WORDS)
CALLS = st.builds(call, st.integers(0, 2), WORDS)


@st.composite
def answers(draw: st.DrawFn) -> list[ChatChunk]:
    begin = [call(index, "", f"f{index}", f"c{index}") for index in range(3)]
    before = draw(st.lists(PLAIN, max_size=4))
    if draw(st.booleans()):
        return [*before, ChatChunk(finish_reason=draw(st.sampled_from(["stop", "length"])))]
    last = ChatChunk(finish_reason="tool_calls")
    return [*before, *begin, *(call(n, "{}") for n in range(3)), *draw(st.lists(CALLS | PLAIN)), last]


@given(answers(), st.integers(0, 9), st.integers(1, 9))
def test_a_written_stream_says_what_the_chunks_said(
    chunks: list[ChatChunk], tokens_in: int, tokens_out: int
) -> None:
    usage = Usage(tokens_in, tokens_out, reasoning_tokens=tokens_out // 2, cached_tokens=tokens_in // 2)
    writer = stream()
    data = b"".join(map(writer.write, [ChatChunk(id="msg_1", model="m"), *chunks])) + writer.end(usage)
    decoder = StreamDecoder()
    said = summary(decoder.feed(data))
    assert said == {**summary(chunks), "id": "msg_1", "model": "m", "usage": usage}
    assert decoder.finished
    assert _is_well_formed(events(data))


def _is_well_formed(said: Iterable[dict[str, Any]]) -> bool:
    """Does one block at a time open, in order, and close?"""
    index, is_open = 0, False
    for event in said:
        match event["type"]:
            case "content_block_start":
                assert (event["index"], is_open) == (index, False)
                is_open = True
            case "content_block_delta":
                assert (event["index"], is_open) == (index, True)
            case "content_block_stop":
                assert (event["index"], is_open) == (index, True)
                index, is_open = index + 1, False
    return not is_open
