"""Towards clients of Responses: requests read, streams, answers and errors as the official SDK sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from tests.wire.answering import STREAM, answering
from tests.wire.told import summary
from understudy.wire import anthropic_messages, openai_chat, openai_responses
from understudy.wire import responses_client as dialect
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import BadRequest, ClientRequest, ErrorReply
from understudy.wire.responses_state import state_of
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState, tagged

_CORPUS = Path(__file__).parent / "corpus"
NATIVE = {path.stem: path.read_bytes() for path in sorted((_CORPUS / "responses").glob("*.sse"))}
WHOLE = sorted(set(NATIVE) - {"failed", "quota", "rate_limited", "image_url", "imitator"})
ANTHROPIC = {path.stem: path.read_bytes() for path in sorted((_CORPUS / "anthropic").glob("*.sse"))}
OPENAI = {
    name: (_CORPUS / f"{name}.sse").read_bytes()
    for name in ("openai", "openai_tools", "openai_refusal", "deepseek", "vllm", "groq")
}


def request(**fields: object) -> ClientRequest:
    asked = dialect.read_request(json.dumps({"model": "gpt", "input": "Hi", **fields}).encode())
    asked.id, asked.created = "req1", 1764031697
    return asked


def chunks_of(data: bytes, wire_format: Any = openai_responses) -> list[ChatChunk]:
    return [item for item in wire_format.StreamDecoder().feed(data) if isinstance(item, ChatChunk)]


def usage_of(chunks: Sequence[ChatChunk]) -> Usage | None:
    return next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)


def _client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0)


def heard(data: bytes) -> Response:
    """The response that the official SDK puts together from a stream."""
    with (
        answering(data, STREAM) as url,
        _client(url) as client,
        client.responses.stream(model="gpt", input="Hi") as stream,
    ):
        return stream.get_final_response()


def overheard(data: bytes) -> list[ResponseStreamEvent]:
    """The events that the official SDK reads of a stream."""
    with answering(data, STREAM) as url, _client(url) as client:
        return list(client.responses.create(model="gpt", input="Hi", stream=True))


def received(body: bytes, status: int = 200) -> Response:
    with answering(body, status=status) as url, _client(url) as client:
        return client.responses.create(model="gpt", input="Hi")


class TestReadRequest:
    def test_what_deciding_takes_is_read(self) -> None:
        asked = request(stream=True)
        assert (asked.model, asked.stream, asked.choices, asked.wants_usage) == ("gpt", True, 1, True)
        assert [request().stream, request(stream=None).stream, request(stream=False).stream] == [False] * 3

    @pytest.mark.parametrize("given", ["Hi", [{"role": "user", "content": "Hi"}], [{}]])
    def test_the_input_is_a_string_or_a_list(self, given: object) -> None:
        assert request(input=given).model == "gpt"

    @pytest.mark.parametrize("store", [None, True, False])
    def test_whatever_it_says_of_the_store_it_is_served(self, store: object) -> None:
        assert (
            request(store=store, background=False, previous_response_id=None, conversation=None).model
            == "gpt"
        )

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"model": None}, "model"),
            ({"model": ""}, "model"),
            ({"model": 7}, "model"),
            ({"stream": "yes"}, "stream"),
            ({"store": "yes"}, "store"),
            ({"background": "yes"}, "background"),
            ({"input": None}, "input"),
            ({"input": ""}, "input"),
            ({"input": []}, "input"),
            ({"input": ["Hi"]}, "input"),
            ({"input": {}}, "input"),
        ],
    )
    def test_what_is_wrong_is_named(self, fields: dict[str, object], param: str) -> None:
        with pytest.raises(BadRequest, match=f"^{param} must be ") as caught:
            request(**fields)
        assert caught.value.param == param

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"conversation": {"id": "conv_1"}, "store": True}, "conversation"),
            ({"background": True}, "background"),
            ({"background": True, "store": True}, "background"),
        ],
    )
    def test_what_needs_a_store_is_refused(self, fields: dict[str, object], param: str) -> None:
        with pytest.raises(BadRequest, match=f"^{param}: responses are not stored here: ") as caught:
            request(**fields)
        assert caught.value.param == param

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(BadRequest, match="input must be a non-empty string or list of objects"):
            dialect.read_request(b'{"model":"gpt"}')

    def test_its_own_format_is_responses(self) -> None:
        assert dialect.FORMAT is openai_responses


class TestNativeStream:
    @pytest.mark.parametrize("name", WHOLE)
    def test_goes_out_as_it_came_and_ends_by_itself(self, name: str) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        chunks = chunks_of(NATIVE[name])
        assert b"".join(writer.write([chunk], native=True) for chunk in chunks) == NATIVE[name]
        assert writer.end(usage_of(chunks)) == b""
        assert repr(writer) == "<StreamWriter to a Responses client, native>"

    def test_a_unary_answer_in_place_of_a_stream_is_written_as_one(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        chunk = ChatChunk(
            "a", "Hm", finish_reason="stop", id="resp_1", model="m", state=(state_of("x", "rs_1", "Hm"),)
        )
        data = writer.write([chunk], native=True)
        response = heard(data + writer.end(Usage(3, 4)))
        assert (response.id, response.model, response.output_text) == ("resp_1", "m", "a")
        assert getattr(response.output[0], "encrypted_content", None) == "x"

    def test_a_chunk_whose_bytes_another_one_carries_adds_none(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        assert writer.write([ChatChunk("a", raw=b"event"), ChatChunk("b", raw=b"")], native=True) == b"event"


class TestWrittenStream:
    def written(self, data: bytes, wire_format: Any, **fields: object) -> bytes:
        """What a Responses client gets of another format's answer."""
        writer = dialect.StreamWriter(request(stream=True, **fields))
        chunks = chunks_of(data, wire_format)
        pieces = [writer.write([chunk], native=False) for chunk in chunks]
        return b"".join(pieces) + writer.end(usage_of(chunks))

    def test_the_official_sdk_hears_text_and_usage(self) -> None:
        response = heard(self.written(OPENAI["openai"], openai_chat))
        assert response.id == "resp_chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"
        assert (response.model, response.status) == ("gpt-4o-mini-2024-07-18", "completed")
        assert response.output_text == "Hello, 世界! 🎭"
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens) == (19, 10)
        assert response.usage.input_tokens_details.cached_tokens == 4

    @pytest.mark.parametrize(
        ("data", "wire_format", "calls"),
        [
            (
                OPENAI["openai_tools"],
                openai_chat,
                [
                    ("call_DdmO9pD3", "get_weather", '{"city":"Žďár "}'),
                    ("call_eM3fG7hJ", "get_time", '{"tz":"Europe/Prague"}'),
                ],
            ),
            (
                ANTHROPIC["tools"],
                anthropic_messages,
                [
                    ("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"location": "Žďár, CZ"}'),
                    ("toolu_01T1x1fJ34qAmk2tNTrN7Up7", "get_time", "{}"),
                ],
            ),
        ],
    )
    def test_the_official_sdk_hears_tool_calls(
        self, data: bytes, wire_format: Any, calls: list[tuple[str, str, str]]
    ) -> None:
        response = heard(self.written(data, wire_format))
        told = [
            (item.call_id, item.name, item.arguments)
            for item in response.output
            if item.type == "function_call"
        ]
        assert told == calls

    def test_the_official_sdk_hears_thoughts_and_their_state(self) -> None:
        response = heard(self.written(ANTHROPIC["thinking"], anthropic_messages))
        assert [item.type for item in response.output] == ["reasoning", "reasoning", "message"]
        [state, _] = [
            state for chunk in chunks_of(ANTHROPIC["thinking"], anthropic_messages) for state in chunk.state
        ]
        assert getattr(response.output[0], "encrypted_content", None) == tagged(state)
        assert getattr(response.output[0], "summary", [])[0].text == state.text

    def test_the_official_sdk_hears_every_event(self) -> None:
        data = self.written(ANTHROPIC["tools"], anthropic_messages)
        said = [json.loads(event.data) for event in EventStream().feed(data)]
        assert [event.to_dict() for event in overheard(data)] == said

    @pytest.mark.parametrize(
        ("data", "wire_format"),
        [
            *((data, openai_chat) for data in OPENAI.values()),
            *(
                (ANTHROPIC[name], anthropic_messages)
                for name in ("text", "tools", "thinking", "web_search", "refusal")
            ),
        ],
    )
    def test_says_what_the_backend_said(self, data: bytes, wire_format: Any) -> None:
        said = summary(chunks_of(self.written(data, wire_format)))
        meant = summary(chunks_of(data, wire_format))
        assert said == {**meant, "id": f"resp_{meant['id']}"}

    def test_repr_shows_the_stream(self) -> None:
        writer = dialect.StreamWriter(request())
        assert repr(writer) == (
            "<StreamWriter to a Responses client, <ResponsesStream event 0, 0 of 0 items done>>"
        )


class TestFailure:
    REPLY = ErrorReply(502, "truncated", "No more.")

    def test_ends_a_written_stream(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        data = writer.write([ChatChunk("a")], native=False) + writer.fail(self.REPLY)
        *_, last = overheard(data)
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert (last.response.error.code, last.response.error.message) == ("server_error", "No more.")
        with pytest.raises(RuntimeError, match=r"response\.completed"):
            heard(data)

    def test_ends_a_native_stream_with_its_own_id_and_number(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        begun = writer.write(chunks_of(NATIVE["text"])[:6], native=True)
        *said, last = overheard(begun + writer.fail(self.REPLY))
        assert last.type == "response.failed"
        assert last.sequence_number == said[-1].sequence_number + 1
        assert last.response.id == getattr(said[0], "response").id  # noqa: B009 - of a union
        assert (last.response.model, last.response.status) == ("gpt-4.1-2025-04-14", "failed")
        with pytest.raises(RuntimeError, match=r"response\.completed"):
            heard(begun + writer.fail(self.REPLY))

    def test_what_an_imitator_did_not_number_and_name_is_the_requests(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        writer.write([ChatChunk("a", raw=b"data: {}\n\n"), ChatChunk("b", raw=b"")], native=True)
        [event] = EventStream().feed(writer.fail(self.REPLY))
        failed = json.loads(event.data)
        assert (event.event, failed["sequence_number"]) == ("response.failed", 0)
        assert (failed["response"]["id"], failed["response"]["model"]) == ("resp_req1", "gpt")

    def test_begins_a_stream_that_has_not_begun(self) -> None:
        said = overheard(dialect.StreamWriter(request(stream=True)).fail(self.REPLY))
        assert [event.type for event in said] == [
            "response.created",
            "response.in_progress",
            "response.failed",
        ]


class TestWriteAnswer:
    def test_the_official_sdk_receives_everything(self) -> None:
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        foreign = ProviderState("anthropic", "signature", "s", "Hm")
        chunks = [
            ChatChunk("a", "Hm", id="msg_1", model="claude", state=(foreign,)),
            ChatChunk("b", annotations=({"type": "url_citation", "url_citation": page},)),
            ChatChunk("other", index=1),
            ChatChunk(tool_calls=(ToolCallDelta(0, "c1", "f", '{"x"'), ToolCallDelta(1, None, "g"))),
            ChatChunk(tool_calls=(ToolCallDelta(0, arguments=":1}"),)),
            ChatChunk(finish_reason="tool_calls", service_tier="default"),
        ]
        body = dialect.write_answer(chunks, Usage(10, 5, cached_tokens=4), request())
        response = received(body)
        assert (response.id, response.model, response.status) == ("resp_msg_1", "claude", "completed")
        assert (response.output_text, response.service_tier) == ("ab", "default")
        assert [item.to_dict() for item in response.output] == [
            {
                "type": "reasoning",
                "id": "rs_req1_0",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": tagged(foreign),
            },
            {
                "type": "message",
                "id": "msg_req1_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "ab",
                        "annotations": [{"type": "url_citation", **page}],
                        "logprobs": [],
                    }
                ],
            },
            {
                "type": "function_call",
                "id": "fc_req1_2",
                "call_id": "c1",
                "name": "f",
                "arguments": '{"x":1}',
                "status": "completed",
            },
            {
                "type": "function_call",
                "id": "fc_req1_3",
                "call_id": "call_req1_1",
                "name": "g",
                "arguments": "",
                "status": "completed",
            },
        ]
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.total_tokens) == (10, 15)

    def test_an_answer_of_nothing_is_a_response_too(self) -> None:
        response = received(
            dialect.write_answer([ChatChunk(finish_reason="content_filter")], None, request())
        )
        assert (response.id, response.status, response.output) == ("resp_req1", "incomplete", [])

    def test_says_what_the_backend_said(self) -> None:
        chunk = ChatChunk(
            "a",
            "b",
            "c",
            (ToolCallDelta(0, "c1", "f", "{}"),),
            finish_reason="tool_calls",
            usage=Usage(9, 8, reasoning_tokens=2, cached_tokens=3, cache_write_tokens=1),
            model="m",
            id="resp_1",
            logprobs=({"token": "a"},),
            annotations=({"type": "file_path", "file_path": {"file_id": "f", "index": 0}},),
            state=(state_of("gAAAAA", "rs_req1_0", "b"),),
            service_tier="flex",
        )
        [read] = openai_responses.decode_unary(dialect.write_answer([chunk], chunk.usage, request()))  # type: ignore[misc]
        assert summary([read]) == summary([chunk])
        assert (read.logprobs, read.annotations, read.state) == (
            chunk.logprobs,
            chunk.annotations,
            chunk.state,
        )
        assert read.service_tier == "flex"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "code", "kind", "raised"),
        [
            (400, "bad", "invalid_request_error", openai.BadRequestError),
            (401, "invalid_api_key", "invalid_request_error", openai.AuthenticationError),
            (429, "rate_limited", "rate_limit_error", openai.RateLimitError),
            (502, "all_backends_failed", "server_error", openai.InternalServerError),
            (503, "no_backend", "service_unavailable_error", openai.InternalServerError),
        ],
    )
    def test_the_official_sdk_raises_its_own(
        self, status: int, code: str, kind: str, raised: type[openai.APIStatusError]
    ) -> None:
        with pytest.raises(raised) as caught:
            received(dialect.write_error(ErrorReply(status, code, "No.", param="input")), status)
        assert caught.value.body == {"message": "No.", "type": kind, "param": "input", "code": code}
