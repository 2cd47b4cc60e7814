"""Towards Anthropic's clients: requests read, streams, answers and errors as the official SDK sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from tests.wire.answering import STREAM, answering
from tests.wire.told import summary
from understudy.wire import anthropic_client as dialect
from understudy.wire import anthropic_messages, openai_chat
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import BadRequest, ClientRequest, ErrorReply
from understudy.wire.sse import EventStream, framed
from understudy.wire.state import ProviderState, tagged, untagged

_CORPUS = Path(__file__).parent / "corpus"
NATIVE = {path.stem: path.read_bytes() for path in sorted((_CORPUS / "anthropic").glob("*.sse"))}
OPENAI = (_CORPUS / "openai.sse").read_bytes()
OPENAI_TOOLS = (_CORPUS / "openai_tools.sse").read_bytes()
DEEPSEEK = (_CORPUS / "deepseek.sse").read_bytes()


def request(**fields: object) -> ClientRequest:
    fields = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}], **fields}
    asked = dialect.read_request(json.dumps(fields).encode())
    asked.id = "req1"
    return asked


def chunks_of(data: bytes, wire_format: Any = openai_chat) -> list[ChatChunk]:
    return [item for item in wire_format.StreamDecoder().feed(data) if isinstance(item, ChatChunk)]


def usage_of(chunks: Sequence[ChatChunk]) -> Usage | None:
    return next((chunk.usage for chunk in chunks if chunk.usage), None)


def heard(data: bytes) -> Message:
    """The message that the official SDK puts together from a stream."""
    with answering(data, STREAM) as url, _client(url) as client:
        question: Any = {"role": "user", "content": "Hi"}
        with client.messages.stream(model="claude", max_tokens=9, messages=[question]) as stream:
            return stream.get_final_message()


def received(body: bytes, status: int = 200) -> Message:
    with answering(body, status=status) as url, _client(url) as client:
        question: Any = {"role": "user", "content": "Hi"}
        return client.messages.create(model="claude", max_tokens=9, messages=[question])


def _client(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-1", base_url=url, max_retries=0)


class TestReadRequest:
    def test_what_deciding_takes_is_read(self) -> None:
        asked = request(stream=True)
        assert (asked.model, asked.stream, asked.choices, asked.wants_usage) == ("claude", True, 1, True)
        assert [request().stream, request(stream=None).stream, request(stream=False).stream] == [False] * 3

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"model": None}, "model"),
            ({"model": ""}, "model"),
            ({"model": 7}, "model"),
            ({"stream": "yes"}, "stream"),
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": ["Hi"]}, "messages"),
            ({"messages": {}}, "messages"),
        ],
    )
    def test_what_is_wrong_is_named(self, fields: dict[str, object], param: str) -> None:
        with pytest.raises(BadRequest, match=f"^{param} must be ") as caught:
            request(**fields)
        assert caught.value.param == param

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(BadRequest, match="model must be a non-empty string"):
            dialect.read_request(b"{}")

    def test_its_own_format_is_anthropics(self) -> None:
        assert dialect.FORMAT is anthropic_messages


class TestNativeStream:
    @pytest.mark.parametrize("name", sorted(set(NATIVE) - {"imitator", "overloaded"}))
    def test_goes_out_as_it_came_and_ends_by_itself(self, name: str) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        chunks = chunks_of(NATIVE[name], anthropic_messages)
        data = b"".join(writer.write([chunk], native=True) for chunk in chunks)
        assert data == NATIVE[name]
        assert writer.end(usage_of(chunks)) == b""
        assert repr(writer) == "<StreamWriter to an Anthropic client, native>"

    def test_the_official_sdk_hears_it(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        message = heard(writer.write(chunks_of(NATIVE["thinking"], anthropic_messages), native=True))
        assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "text"]

    def test_a_unary_answer_in_place_of_a_stream_is_written_as_one(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        data = writer.write([ChatChunk("a", finish_reason="stop", id="msg_1", model="m")], native=True)
        message = heard(data + writer.end(Usage(3, 4)))
        assert (message.id, message.model, message.stop_reason) == ("msg_1", "m", "end_turn")

    def test_a_chunk_whose_bytes_another_one_carries_adds_none(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        assert writer.write([ChatChunk("a", raw=b"event"), ChatChunk("b", raw=b"")], native=True) == b"event"


class TestWrittenStream:
    def written(self, data: bytes, **fields: object) -> bytes:
        """What an Anthropic client gets of an OpenAI backend's answer."""
        writer = dialect.StreamWriter(request(stream=True, **fields))
        chunks = chunks_of(data)
        pieces = [writer.write([chunk], native=False) for chunk in chunks]
        return b"".join(pieces) + writer.end(usage_of(chunks))

    def test_the_official_sdk_hears_text_and_usage(self) -> None:
        message = heard(self.written(OPENAI))
        assert message.id == "msg_chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"
        assert message.model == "gpt-4o-mini-2024-07-18"
        assert [block.type for block in message.content] == ["text"]
        assert "".join(getattr(block, "text", "") for block in message.content) == "Hello, 世界! 🎭"
        assert message.stop_reason == "end_turn"
        assert (message.usage.input_tokens, message.usage.output_tokens) == (15, 10)
        assert message.usage.cache_read_input_tokens == 4

    def test_the_official_sdk_hears_interleaved_tool_calls(self) -> None:
        message = heard(self.written(OPENAI_TOOLS))
        assert [(getattr(block, "name", ""), getattr(block, "input", "")) for block in message.content] == [
            ("get_weather", {"city": "Žďár "}),
            ("get_time", {"tz": "Europe/Prague"}),
        ]
        assert message.stop_reason == "tool_use"

    def test_the_official_sdk_hears_thoughts(self) -> None:
        message = heard(self.written(DEEPSEEK))
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert getattr(message.content[0], "thinking", "") == "嗯，好的"

    @pytest.mark.parametrize("data", [OPENAI, OPENAI_TOOLS, DEEPSEEK])
    def test_says_what_the_backend_said(self, data: bytes) -> None:
        said = summary(chunks_of(self.written(data), anthropic_messages))
        meant = summary(chunks_of(data))
        assert said == {**meant, "id": f"msg_{meant['id']}"}

    def test_the_official_sdk_hears_state_and_citations(self) -> None:
        foreign = ProviderState("openai-responses", "reasoning", "{}", "Hm")
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        writer = dialect.StreamWriter(request(stream=True))
        said = [
            ChatChunk("", "Hm"),
            ChatChunk(state=(foreign,)),
            ChatChunk("a", annotations=({"type": "url_citation", "url_citation": page},)),
            ChatChunk(finish_reason="stop", service_tier="default"),
        ]
        message = heard(writer.write(said, native=False) + writer.end(Usage(9, 1, cache_write_tokens=4)))
        thought, text = message.content
        assert (thought.type, getattr(thought, "thinking", "")) == ("thinking", "Hm")
        assert untagged(getattr(thought, "signature", ""), "Hm") == foreign
        [citation] = getattr(text, "citations", None) or []
        assert (citation.type, citation.url) == ("web_search_result_location", "https://example.org")
        assert (message.usage.input_tokens, message.usage.cache_creation_input_tokens) == (5, 4)

    def test_repr_shows_the_stream(self) -> None:
        writer = dialect.StreamWriter(request())
        assert repr(writer) == (
            "<StreamWriter to an Anthropic client, <AnthropicStream block 0, 0 unfinished>>"
        )


class TestWriteAnswer:
    def test_the_official_sdk_receives_everything(self) -> None:
        chunks = [
            ChatChunk("a", "Hm", id="chatcmpl-1", model="gpt"),
            ChatChunk(refusal="b", tool_calls=(ToolCallDelta(0, "c:1", "f", '{"x"'),)),
            ChatChunk(tool_calls=(ToolCallDelta(0, arguments=":1}"), ToolCallDelta(1, None, "g"))),
            ChatChunk("other", index=1, finish_reason="length", model="other"),
            ChatChunk(finish_reason="stop"),
        ]
        message = received(dialect.write_answer(chunks, Usage(10, 5, cached_tokens=4), request()))
        assert message.to_dict() == {
            "id": "msg_chatcmpl-1",
            "type": "message",
            "role": "assistant",
            "model": "gpt",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": ""},
                {"type": "text", "text": "ab"},
                {"type": "tool_use", "id": "c_1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "toolu_req1_1", "name": "g", "input": {}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 6,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 4,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 0},
            },
        }

    def test_the_official_sdk_receives_state_and_citations(self) -> None:
        own = ProviderState("anthropic", "signature", "EqQB", "Hm")
        hidden = ProviderState("anthropic", "redacted_thinking", "EmwK")
        foreign = ProviderState("gemini", "thoughtSignature", "x", call="c1")
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        file = {"type": "file_citation", "file_citation": {"file_id": "", "filename": "a.pdf", "index": 1}}
        chunk = ChatChunk(
            "a",
            "Well. Hm So.",
            state=(own, hidden, foreign),
            annotations=({"type": "url_citation", "url_citation": page}, file),
            service_tier="priority",
        )
        answer = json.loads(dialect.write_answer([chunk], None, request()))
        assert answer["usage"]["service_tier"] == "priority"
        assert answer["content"] == [
            {"type": "thinking", "thinking": "Well. ", "signature": ""},
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EmwK"},
            {"type": "thinking", "thinking": "", "signature": tagged(foreign)},
            {"type": "thinking", "thinking": " So.", "signature": ""},
            {
                "type": "text",
                "text": "a",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://example.org",
                        "title": "A",
                        "cited_text": "",
                        "encrypted_index": "",
                    }
                ],
            },
        ]
        assert len(received(json.dumps(answer).encode()).content) == 6

    def test_what_the_backend_left_out_is_the_requests(self) -> None:
        call = ChatChunk(tool_calls=(ToolCallDelta(0),))
        answer = json.loads(dialect.write_answer([call], None, request()))
        assert (answer["id"], answer["model"], answer["usage"]["output_tokens"]) == ("msg_req1", "claude", 0)
        assert answer["content"][0]["name"] == ""

    def test_an_answer_of_nothing_is_a_message_too(self) -> None:
        message = received(dialect.write_answer([ChatChunk(finish_reason="content_filter")], None, request()))
        assert (message.content, message.stop_reason) == ([], "refusal")

    def test_says_what_the_backend_said(self) -> None:
        chunk = ChatChunk(
            "a",
            "b",
            tool_calls=(ToolCallDelta(0, "c1", "f", '{"x":1}'),),
            finish_reason="tool_calls",
            usage=Usage(9, 8, reasoning_tokens=2, cached_tokens=3),
            model="m",
            id="msg_1",
        )
        answer = dialect.write_answer([chunk], chunk.usage, request())
        [read] = anthropic_messages.decode_unary(answer)  # type: ignore[misc]
        assert summary([read]) == summary([chunk])


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind", "raised"),
        [
            (400, "invalid_request_error", anthropic.BadRequestError),
            (401, "authentication_error", anthropic.AuthenticationError),
            (402, "billing_error", anthropic.APIStatusError),
            (403, "permission_error", anthropic.PermissionDeniedError),
            (404, "not_found_error", anthropic.NotFoundError),
            (405, "invalid_request_error", anthropic.APIStatusError),
            (413, "request_too_large", anthropic.APIStatusError),
            (429, "rate_limit_error", anthropic.RateLimitError),
            (500, "api_error", anthropic.InternalServerError),
            (502, "api_error", anthropic.InternalServerError),
            (503, "overloaded_error", anthropic.InternalServerError),
            (504, "timeout_error", anthropic.InternalServerError),
            (529, "overloaded_error", anthropic.InternalServerError),
        ],
    )
    def test_the_official_sdk_raises_its_own(
        self, status: int, kind: str, raised: type[anthropic.APIStatusError]
    ) -> None:
        body = dialect.write_error(ErrorReply(status, "no_backend", "No.", request_id="req1"))
        with pytest.raises(raised) as caught:
            received(body, status)
        assert caught.value.body == {
            "type": "error",
            "error": {"type": kind, "message": "No.", "code": "no_backend"},
            "request_id": "req1",
        }

    def test_the_parameter_and_the_details_are_told(self) -> None:
        details = {"attempts": [1], "message": "details never win"}
        reply = ErrorReply(400, "bad", "No.", param="tools[0]", details=details)
        assert json.loads(dialect.write_error(reply))["error"] == {
            "type": "invalid_request_error",
            "message": "No.",
            "code": "bad",
            "param": "tools[0]",
            "attempts": [1],
        }

    @pytest.mark.parametrize("native", [False, True])
    def test_inside_a_stream_it_is_an_event(self, native: bool) -> None:
        reply = ErrorReply(503, "stall", "No more.", request_id="req1")
        writer = dialect.StreamWriter(request(stream=True))
        begun = writer.write(chunks_of(NATIVE["text"], anthropic_messages)[:4], native=native)
        failed = writer.fail(reply)
        [event] = EventStream().feed(failed)
        assert (event.event, event.data) == ("error", dialect.write_error(reply))
        assert framed(event) == failed
        with pytest.raises(anthropic.APIStatusError, match="No more"):
            heard(begun + failed)


def test_tokens_are_counted() -> None:
    assert dialect.count_tokens(request().fields) == 5
