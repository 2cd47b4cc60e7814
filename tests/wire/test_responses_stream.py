"""Answers of other formats' backends, written as the event stream of Responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from tests.wire.answering import STREAM, answering
from tests.wire.told import summary
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest, ErrorReply
from understudy.wire.openai_responses import StreamDecoder
from understudy.wire.responses_client import read_request
from understudy.wire.responses_state import state_of
from understudy.wire.responses_stream import ResponsesStream
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState, tagged


def request(**fields: object) -> ClientRequest:
    asked = read_request(json.dumps({"model": "gpt", "stream": True, "input": "Hi", **fields}).encode())
    asked.id, asked.created = "req1", 1764031697
    return asked


def stream(**fields: object) -> ResponsesStream:
    return ResponsesStream(request(**fields))


def call(index: int, arguments: str = "", name: str | None = None, call_id: str | None = None) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index, call_id, name, arguments),))


def events(data: bytes) -> list[dict[str, Any]]:
    """Each event's data, which says what the event is called."""
    decoded = []
    for event in EventStream().feed(data):
        fields = json.loads(event.data)
        assert fields["type"] == event.event
        decoded.append(fields)
    return decoded


def told(data: bytes) -> list[str]:
    """The events, each in one short word."""
    return [_told(event) for event in events(data)]


def _told(event: dict[str, Any]) -> str:
    kind = event["type"].removeprefix("response.")
    place = ".".join(
        str(event[name]) for name in ("output_index", "content_index", "summary_index") if name in event
    )
    match kind:
        case "output_item.added" | "output_item.done":
            return f"{place} {event['item']['type']} {kind.rpartition('.')[2]}"
        case _ if "delta" in event:
            return f"{place} + {event['delta']}"
        case _:
            return f"{place} {kind}".strip()


def heard(data: bytes) -> Response:
    """The response that the official SDK puts together from a stream."""
    with (
        answering(data, STREAM) as url,
        openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0) as client,
        client.responses.stream(model="gpt", input="Hi") as stream,
    ):
        *_, last = stream
    assert last.type in ("response.completed", "response.incomplete")
    return getattr(last, "response")  # type: ignore[no-any-return]  # noqa: B009 - of a union


BEGUN = ["created", "in_progress"]
TEXT_ENDS = ["0.0 output_text.done", "0.0 content_part.done", "0 message done"]


class TestEvents:
    def test_a_message_from_its_beginning_to_its_end(self) -> None:
        writer = stream()
        begin = ["0 message added", "0.0 content_part.added"]
        assert told(writer.write(ChatChunk(model="m", id="chatcmpl-1"))) == BEGUN
        assert told(writer.write(ChatChunk("a"))) == [*begin, "0.0 + a"]
        assert told(writer.write(ChatChunk("b"))) == ["0.0 + b"]
        assert told(writer.write(ChatChunk())) == []
        assert told(writer.write(ChatChunk(finish_reason="stop"))) == TEXT_ENDS
        assert told(writer.end(Usage(3, 4))) == ["completed"]

    def test_begin_with_the_first_event_that_knows_or_says_something(self) -> None:
        for first in (ChatChunk(" "), ChatChunk(state=(ProviderState("a", "k", "v"),))):
            assert told(stream().write(first))[:2] == ["created", "in_progress"]
        writer = stream()
        assert writer.write(ChatChunk(id="", model="")) == b"", "as Azure's about the prompt"
        created, *_ = events(writer.write(ChatChunk("a", id="chatcmpl-1", model="gpt-4o")))
        assert (created["response"]["id"], created["response"]["model"]) == ("resp_chatcmpl-1", "gpt-4o")

    def test_are_numbered(self) -> None:
        writer = stream()
        data = writer.write(ChatChunk("a", "b")) + writer.write(call(0, "{}", "f")) + writer.end(None)
        numbers = [event["sequence_number"] for event in events(data)]
        assert numbers == list(range(len(numbers)))

    def test_whatever_is_added_is_done(self) -> None:
        writer = stream()
        chunks = [
            ChatChunk("", "a"),
            ChatChunk("b"),
            call(0, "{", "f"),
            call(1, "[", "g"),
            ChatChunk(refusal="c"),
        ]
        said = told(b"".join(map(writer.write, chunks)) + writer.end(None))
        begun = [each.removesuffix("added") for each in said if each.endswith("added")]
        done = [each.removesuffix("done") for each in said if each.endswith("done")]
        assert len(begun) == 8
        assert set(begun) <= set(done)

    def test_reasoning_and_messages_end_where_something_else_begins(self) -> None:
        writer = stream()
        assert told(writer.write(ChatChunk("", "Hm")))[2:] == [
            "0 reasoning added",
            "0.0 reasoning_summary_part.added",
            "0.0 + Hm",
        ]
        assert told(writer.write(ChatChunk("", "."))) == ["0.0 + ."]
        assert told(writer.write(ChatChunk("a"))) == [
            "0.0 reasoning_summary_text.done",
            "0.0 reasoning_summary_part.done",
            "0 reasoning done",
            "1 message added",
            "1.0 content_part.added",
            "1.0 + a",
        ]
        assert told(writer.write(ChatChunk("", "So")))[:3] == [
            "1.0 output_text.done",
            "1.0 content_part.done",
            "1 message done",
        ]

    def test_a_messages_text_and_refusal_are_parts_of_it(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a"))
        assert told(writer.write(ChatChunk("b", refusal="No."))) == [
            "0.0 + b",
            "0.0 output_text.done",
            "0.0 content_part.done",
            "0.1 content_part.added",
            "0.1 + No.",
        ]
        assert told(writer.write(ChatChunk("c")))[:2] == ["0.1 refusal.done", "0.1 content_part.done"]
        [message] = writer.whole(None)["output"]
        said = [(part["type"], part.get("text", part.get("refusal"))) for part in message["content"]]
        assert said == [("output_text", "ab"), ("refusal", "No."), ("output_text", "c")]

    def test_a_second_choice_cannot_be_said(self) -> None:
        assert stream().write(ChatChunk("a", index=1)) == b""

    def test_repr_shows_where_it_stands(self) -> None:
        writer = stream()
        assert repr(writer) == "<ResponsesStream event 0, 0 of 0 items done>"
        writer.write(ChatChunk("a"))
        assert repr(writer) == "<ResponsesStream event 5, 0 of 1 items done>"


class TestCalls:
    def test_interleave(self) -> None:
        writer = stream()
        writer.write(ChatChunk("a"))
        assert told(writer.write(call(0, "[", "f", "c1"))) == [*TEXT_ENDS, "1 function_call added", "1 + ["]
        assert told(writer.write(call(1, "{", "g", "c2"))) == ["2 function_call added", "2 + {"]
        assert told(writer.write(call(0, "]"))) == ["1 + ]"]
        assert told(writer.write(ChatChunk("b")))[0] == "3 message added"
        assert told(writer.write(call(1, "}"))) == ["2 + }"]
        assert told(writer.write(ChatChunk(finish_reason="tool_calls"))) == [
            "3.0 output_text.done",
            "3.0 content_part.done",
            "3 message done",
            "1 function_call_arguments.done",
            "1 function_call done",
            "2 function_call_arguments.done",
            "2 function_call done",
        ]
        output = writer.whole(None)["output"]
        assert [(item["type"], item.get("arguments")) for item in output] == [
            ("message", None),
            ("function_call", "[]"),
            ("function_call", "{}"),
            ("message", None),
        ]

    def test_begin_when_their_name_is_known(self) -> None:
        writer = stream()
        assert told(writer.write(call(0, "{", None, "c1"))) == BEGUN
        assert told(writer.write(call(0, "}", "f"))) == ["0 function_call added", "0 + {}"]

    def test_one_whose_name_never_comes_begins_at_the_end(self) -> None:
        writer = stream()
        writer.write(call(2, "{}"))
        assert told(writer.end(None)) == [
            "0 function_call added",
            "0 function_call_arguments.done",
            "0 function_call done",
            "completed",
        ]
        [item] = writer.whole(None)["output"]
        assert (item["call_id"], item["name"], item["arguments"]) == ("call_req1_2", "", "{}")

    def test_a_custom_tools_arguments_are_its_input(self) -> None:
        tools = [{"type": "custom", "name": "g"}, {"type": "function", "name": "f"}, 7, {"type": "custom"}]
        writer = stream(tools=tools)
        assert told(writer.write(call(0, "ls", "g", "c1")))[2:] == ["0 custom_tool_call added", "0 + ls"]
        assert told(writer.write(call(1, "{}", "f", "c2"))) == ["1 function_call added", "1 + {}"]
        assert told(writer.end(None))[:2] == ["0 custom_tool_call_input.done", "0 custom_tool_call done"]
        custom, function = writer.whole(None)["output"]
        assert (custom["id"], custom["input"], custom["name"]) == ("ctc_req1_0", "ls", "g")
        assert (function["id"], function["arguments"]) == ("fc_req1_1", "{}")

    def test_a_tool_list_that_is_none_names_no_custom_tools(self) -> None:
        assert told(stream(tools=None).write(call(0, "", "g")))[2:] == ["0 function_call added"]

    def test_ids_are_such_as_responses_takes(self) -> None:
        asked = request()
        asked.id = "of/a:client@" + "0" * 116
        writer = ResponsesStream(asked)
        writer.write(call(0, "{}", "f"))
        [item] = writer.whole(None)["output"]
        for name in (item["id"], item["call_id"]):
            assert len(name) <= 64
        asked.id = "a/b.c"
        writer = ResponsesStream(asked)
        writer.write(call(0, "{}", "f"))
        [item] = writer.whole(None)["output"]
        assert (item["id"], item["call_id"]) == ("fc_a_b_c_0", "call_a_b_c_0")


class TestState:
    OWN = state_of("gAAAAA", "rs_1", "Hm")
    FOREIGN = ProviderState("anthropic", "signature", "s", "So")
    HIDDEN = ProviderState("anthropic", "redacted_thinking", "EmwK")

    def items(self, *chunks: ChatChunk) -> list[tuple[str, str | None]]:
        """The reasoning items, each with its summary and its state."""
        writer = stream()
        data = b"".join(map(writer.write, chunks)) + writer.end(None)
        output = [item.to_dict() for item in heard(data).output if item.type == "reasoning"]
        assert output == [item for item in writer.whole(None)["output"] if item["type"] == "reasoning"]
        return [
            ("".join(part["text"] for part in item["summary"]), item.get("encrypted_content"))  # type: ignore[attr-defined,misc]
            for item in output
        ]

    def test_ends_the_reasoning_that_it_vouches_for(self) -> None:
        said = [
            ChatChunk("", "Hm"),
            ChatChunk(state=(self.OWN,)),
            ChatChunk("", "S"),
            ChatChunk("", "o", state=(self.FOREIGN,)),
            ChatChunk("", "Well."),
        ]
        items = [("Hm", "gAAAAA"), ("So", tagged(self.FOREIGN)), ("Well.", None)]
        assert self.items(*said) == items

    def test_without_a_text_is_an_item_of_its_own(self) -> None:
        items = [("Hm", None), ("", tagged(self.HIDDEN)), ("a", None)]
        assert self.items(ChatChunk("", "Hm"), ChatChunk(state=(self.HIDDEN,)), ChatChunk("", "a")) == items

    def test_of_whole_thoughts_is_theirs(self) -> None:
        items = [("Hm", "gAAAAA"), ("So", tagged(self.FOREIGN)), ("", tagged(self.HIDDEN))]
        assert self.items(ChatChunk("a", "HmSo", state=(self.OWN, self.FOREIGN, self.HIDDEN))) == items

    def test_that_comes_late_is_not_lost(self) -> None:
        items = [("So", None), ("", tagged(self.FOREIGN))]
        assert self.items(ChatChunk("a", "So"), ChatChunk(state=(self.FOREIGN,))) == items


class TestBesideText:
    def test_probabilities_go_with_the_text(self) -> None:
        writer = stream()
        entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
        data = writer.write(ChatChunk("a", logprobs=(entry,))) + writer.write(ChatChunk(logprobs=(entry,)))
        deltas = [event for event in events(data) if event["type"] == "response.output_text.delta"]
        assert [(event["delta"], event["logprobs"]) for event in deltas] == [("a", [entry]), ("", [entry])]
        done = events(writer.end(None))
        assert done[0]["logprobs"] == [entry, entry]
        assert done[1]["part"]["logprobs"] == [entry, entry]

    def test_citations_are_added_to_the_text(self) -> None:
        writer = stream()
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        cited = {"type": "url_citation", "url_citation": page}
        writer.write(ChatChunk("a"))
        [first, second] = events(writer.write(ChatChunk(annotations=(cited, cited))))
        assert (first["annotation"], first["annotation_index"]) == ({"type": "url_citation", **page}, 0)
        assert (second["annotation_index"], second["content_index"]) == (1, 0)
        assert told(stream().write(ChatChunk(annotations=(cited,))))[2:4] == [
            "0 message added",
            "0.0 content_part.added",
        ]
        whole = stream()
        data = whole.write(ChatChunk("a", annotations=(cited,))) + whole.end(None)
        [message] = heard(data).output
        [part] = getattr(message, "content", [])
        assert part.annotations[0].to_dict() == {"type": "url_citation", **page}


class TestResponse:
    def test_repeats_what_the_request_said(self) -> None:
        asked = {
            "instructions": "Be brief.",
            "tools": [{"type": "function", "name": "f", "parameters": {"x": 1.50}}],
            "tool_choice": "none",
            "temperature": None,
            "metadata": {"a": "b"},
            "store": True,
        }
        created = events(stream(**asked).write(ChatChunk("a")))[0]["response"]
        assert created == {
            **created,
            "instructions": "Be brief.",
            "tools": [{"type": "function", "name": "f", "parameters": {"x": 1.5}}],
            "tool_choice": "none",
            "temperature": None,
            "metadata": {"a": "b"},
            "store": False,
            "status": "in_progress",
            "output": [],
            "parallel_tool_calls": True,
            "created_at": 1764031697,
        }
        Response.model_validate(created, strict=False)

    def test_the_last_event_holds_everything(self) -> None:
        writer = stream()
        data = writer.write(ChatChunk("a", "b", model="claude", id="msg_1"))
        data += writer.write(ChatChunk(finish_reason="stop", service_tier="default"))
        data += writer.end(Usage(9, 5, reasoning_tokens=2, cached_tokens=3, cache_write_tokens=1))
        response = heard(data)
        assert (response.id, response.model, response.status) == ("resp_msg_1", "claude", "completed")
        assert (response.service_tier, response.output_text) == ("default", "a")
        assert response.usage is not None
        assert response.usage.to_dict() == {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 14,
        }
        assert events(data)[-1]["response"] == json.loads(json.dumps(writer.whole(Usage()))) | {
            "usage": response.usage.to_dict()
        }

    def test_what_the_backend_left_out_is_the_requests(self) -> None:
        response = heard(stream().end(None))
        assert (response.id, response.model, response.output, response.usage) == (
            "resp_req1",
            "gpt",
            [],
            None,
        )

    def test_the_id_of_a_response_stays(self) -> None:
        writer = stream()
        assert heard(writer.write(ChatChunk("a", id="resp_9")) + writer.end(None)).id == "resp_9"

    @pytest.mark.parametrize(
        ("reason", "word"),
        [
            ("length", "max_output_tokens"),
            ("max_tokens", "max_output_tokens"),
            ("MODEL_LENGTH", "max_output_tokens"),
            ("content_filter", "content_filter"),
            ("SAFETY", "content_filter"),
            ("prohibited_content", "content_filter"),
            ("blocklist", "content_filter"),
            ("recitation", "content_filter"),
            ("spii", "content_filter"),
        ],
    )
    def test_what_was_cut_short_is_incomplete(self, reason: str, word: str) -> None:
        writer = stream()
        data = writer.write(ChatChunk("a")) + writer.write(ChatChunk(finish_reason=reason)) + writer.end(None)
        response = heard(data)
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == word
        [message] = response.output
        assert getattr(message, "status", "") == "incomplete"

    @pytest.mark.parametrize("reason", ["stop", "tool_calls", "eos", None])
    def test_any_other_end_is_complete(self, reason: str | None) -> None:
        writer = stream()
        data = writer.write(ChatChunk("a")) + writer.write(ChatChunk(finish_reason=reason)) + writer.end(None)
        assert heard(data).status == "completed"


class TestFailure:
    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("quota", "insufficient_quota"),
            ("rate_limited", "rate_limit_exceeded"),
            ("context_length", "context_length_exceeded"),
            ("content_filter", "invalid_prompt"),
            ("stall", "server_error"),
        ],
    )
    def test_is_the_last_event_and_leaves_open_what_is_open(self, code: str, said: str) -> None:
        writer = stream()
        begun = writer.write(ChatChunk("", "a", id="resp_1")) + writer.write(ChatChunk("b"))
        reply = ErrorReply(503, code, "No more.", details={"causes": [], "message": "details never win"})
        [failed] = events(writer.fail(reply))
        assert failed["type"] == "response.failed"
        assert failed["sequence_number"] == events(begun)[-1]["sequence_number"] + 1
        assert failed["response"]["error"] == {
            "code": said,
            "message": "No more.",
            "type": code,
            "param": None,
            "causes": [],
        }
        response = failed["response"]
        assert (response["id"], response["status"]) == ("resp_1", "failed")
        assert [item["type"] for item in response["output"]] == ["reasoning"]

    def test_begins_what_has_not_begun(self) -> None:
        said = events(stream().fail(ErrorReply(503, "stall", "No more.")))
        assert [event["type"] for event in said] == [
            "response.created",
            "response.in_progress",
            "response.failed",
        ]


# Whatever is written says, when our own decoder and the official SDK read it, what the chunks said.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
CALLS = st.builds(
    ToolCallDelta, index=st.integers(0, 2), id=st.just(None), name=st.just(None), arguments=WORDS
).map(lambda delta: (delta,))
ENTRIES = st.just(({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []},))
CHUNKS = (
    st.builds(ChatChunk, WORDS, WORDS, WORDS)
    | st.builds(ChatChunk, WORDS, logprobs=ENTRIES)
    | st.builds(ChatChunk, tool_calls=CALLS)
)


def written(chunks: Sequence[ChatChunk], usage: Usage) -> bytes:
    writer = stream()
    return b"".join(map(writer.write, chunks)) + writer.end(usage)


@given(
    st.lists(CHUNKS),
    st.sampled_from(["stop", "length", "content_filter"]),
    st.integers(0, 9),
    st.integers(1, 9),
)
def test_a_written_stream_says_what_the_chunks_said(
    chunks: list[ChatChunk], reason: str, tokens_in: int, tokens_out: int
) -> None:
    usage = Usage(tokens_in, tokens_out, reasoning_tokens=tokens_out // 2, cached_tokens=tokens_in // 2)
    begin = [call(index, "", f"f{index}", f"c{index}") for index in range(3)]
    said = [ChatChunk(id="resp_1", model="m"), *begin, *chunks, ChatChunk(finish_reason=reason)]
    decoder = StreamDecoder()
    read = decoder.feed(written(said, usage))
    ends = {"finish_reason": "tool_calls" if reason == "stop" else reason}
    assert summary(read) == {**summary(said), **ends, "usage": usage}
    assert decoder.done
    logprobs = [entry for chunk in read if isinstance(chunk, ChatChunk) for entry in chunk.logprobs]
    assert logprobs == [entry for chunk in chunks for entry in chunk.logprobs]


@given(st.lists(CHUNKS, max_size=5))
def test_a_written_streams_events_agree_with_its_last_response(chunks: list[ChatChunk]) -> None:
    writer = stream()
    data = b"".join(map(writer.write, [call(0, "", "f", "c"), *chunks])) + writer.end(None)
    said = events(data)
    done = {
        event["output_index"]: event["item"] for event in said if event["type"] == "response.output_item.done"
    }
    assert said[-1]["response"]["output"] == [done[index] for index in sorted(done)]
    texts: dict[tuple[int, int], str] = {}
    for event in said:
        if event["type"] in ("response.output_text.delta", "response.refusal.delta"):
            place = (event["output_index"], event["content_index"])
            texts[place] = texts.get(place, "") + event["delta"]
    parts = {
        (index, position): part.get("text", part.get("refusal"))
        for index, item in done.items()
        if item["type"] == "message"
        for position, part in enumerate(item["content"])
    }
    assert texts == parts
