"""Towards OpenAI's clients: requests read, streams, answers and errors as the official SDK sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.wire.answering import STREAM, answering
from tests.wire.told import summary
from understudy.wire import anthropic_messages, openai_chat
from understudy.wire import openai_client as dialect
from understudy.wire.chat import ChatChunk, ChatRequest, ToolCallDelta, Usage
from understudy.wire.dialect import BadRequest, ClientRequest, ErrorReply
from understudy.wire.state import ProviderState, tagged

_CORPUS = Path(__file__).parent / "corpus"
ANTHROPIC = {path.stem: path.read_bytes() for path in sorted((_CORPUS / "anthropic").glob("*.sse"))}
OPENAI = (_CORPUS / "openai.sse").read_bytes()
OPENAI_TOOLS = (_CORPUS / "openai_tools.sse").read_bytes()
DONE = b"data: [DONE]\n\n"
ASKING = {"stream_options": {"include_usage": True}}
STATES = (
    ProviderState("anthropic", "signature", "s", "Hm"),
    ProviderState("gemini", "thoughtSignature", "x", call="c1"),
)
DETAILS = [
    {"type": "reasoning.encrypted", "format": "understudy", "data": tagged(STATES[0]), "text": "Hm"},
    {"type": "reasoning.encrypted", "format": "understudy", "data": tagged(STATES[1])},
]


def request(**fields: object) -> ClientRequest:
    fields = {"model": "gpt", "messages": [{"role": "user", "content": "Hi"}], **fields}
    asked = dialect.read_request(json.dumps(fields).encode())
    asked.id, asked.created = "req1", 1764031697
    return asked


def chunks_of(data: bytes, wire_format: Any = openai_chat) -> list[ChatChunk]:
    return [item for item in wire_format.StreamDecoder().feed(data) if isinstance(item, ChatChunk)]


def usage_of(chunks: Sequence[ChatChunk]) -> Usage | None:
    return next((chunk.usage for chunk in chunks if chunk.usage), None)


def call(index: int, arguments: str = "", name: str | None = None, call_id: str | None = None) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index, call_id, name, arguments),))


def heard(data: bytes) -> list[ChatCompletionChunk]:
    """What the official SDK reads of a stream."""
    with answering(data, STREAM) as url, _client(url) as client:
        return list(client.chat.completions.create(model="gpt", messages=[], stream=True))


def received(body: bytes, status: int = 200) -> ChatCompletion:
    with answering(body, status=status) as url, _client(url) as client:
        return client.chat.completions.create(model="gpt", messages=[])


def _client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0)


class TestReadRequest:
    def test_what_deciding_takes_is_read(self) -> None:
        asked = request(stream=True, n=2, **ASKING)
        assert (asked.model, asked.stream, asked.choices, asked.wants_usage) == ("gpt", True, 2, True)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"stream": None, "n": None, "stream_options": None},
            {"stream": False, "n": 1, "stream_options": {}},
            {"stream_options": {"include_usage": False}},
            {"stream_options": {"include_usage": None, "include_obfuscation": False}},
        ],
    )
    def test_what_is_missing_is_not_asked_for(self, fields: dict[str, object]) -> None:
        asked = request(**fields)
        assert (asked.stream, asked.choices, asked.wants_usage) == (False, 1, False)

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"model": None}, "model"),
            ({"model": ""}, "model"),
            ({"model": ["gpt"]}, "model"),
            ({"stream": 1}, "stream"),
            ({"n": 0}, "n"),
            ({"n": 1.5}, "n"),
            ({"stream_options": True}, "stream_options"),
            ({"stream_options": {"include_usage": "yes"}}, "stream_options"),
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": "Hi"}, "messages"),
            ({"messages": ["Hi"]}, "messages"),
        ],
    )
    def test_what_is_wrong_is_named(self, fields: dict[str, object], param: str) -> None:
        with pytest.raises(BadRequest, match=f"^{param} must be ") as caught:
            request(**fields)
        assert caught.value.param == param

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(BadRequest, match="messages must be a non-empty list of objects"):
            dialect.read_request(b'{"model":"gpt"}')

    def test_its_own_format_is_openais(self) -> None:
        assert dialect.FORMAT is openai_chat


class TestChatOf:
    def test_is_the_request_itself_but_for_what_is_ours(self) -> None:
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}], "name": "n"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "wizard"},
        ]
        asked = request(messages=messages, stream=True, temperature=0.5, future={"x": [1]}, n=2)
        assert asked.chat == ChatRequest(messages, {"temperature": 0.5, "future": {"x": [1]}, "n": 2})

    def test_state_is_read_back_from_the_details_of_the_reasoning(self) -> None:
        said = {"role": "assistant", "content": "a"}
        odd = [{"format": "understudy", "data": "understudy.?"}, {"type": "reasoning.text"}, "odd"]
        messages = [
            {**said, "reasoning_details": [*DETAILS, *odd]},
            {**said, "reasoning_details": odd},
            {**said, "reasoning_details": "odd", "provider_state": "ours alone"},
        ]
        assert request(messages=messages).chat.messages == [
            {**said, "provider_state": [state.to_dict() for state in STATES]},
            said,
            said,
        ]

    @pytest.mark.parametrize(
        ("message", "param"),
        [
            ({"content": "Hi"}, "messages[1]"),
            ({"role": 7}, "messages[1].role"),
            ({"role": "user", "content": 7}, "messages[1].content"),
            ({"role": "user", "content": ["Hi"]}, "messages[1].content[0]"),
            ({"role": "user", "content": [{"text": "Hi"}]}, "messages[1].content[0]"),
            ({"role": "assistant", "tool_calls": {}}, "messages[1].tool_calls"),
            ({"role": "assistant", "tool_calls": [{}]}, "messages[1].tool_calls[0]"),
            (
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": 7}}]},
                "messages[1].tool_calls[0].function.name",
            ),
            ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ],
    )
    def test_what_is_wrong_is_named_by_its_path(self, message: object, param: str) -> None:
        asked = request(messages=[{"role": "user", "content": "Hi"}, message])
        with pytest.raises(BadRequest) as caught:
            assert asked.chat
        assert caught.value.param == param
        assert caught.value.message.startswith(f"{param}: ")


class TestNativeStream:
    def written(self, data: bytes, **fields: object) -> bytes:
        writer = dialect.StreamWriter(request(stream=True, **fields))
        chunks = chunks_of(data)
        pieces = [writer.write([chunk], native=True) for chunk in chunks]
        return b"".join(pieces) + writer.end(usage_of(chunks))

    @pytest.mark.parametrize("data", [OPENAI, OPENAI_TOOLS])
    def test_goes_out_as_it_came(self, data: bytes) -> None:
        assert self.written(data, **ASKING) == data

    def test_ends_with_done_even_if_the_backend_did_not(self) -> None:
        assert self.written(OPENAI.removesuffix(DONE), **ASKING) == OPENAI

    @pytest.mark.parametrize("choices", [b'"choices":[]', b'"choices" : [ ]'])
    def test_usage_in_an_event_of_its_own_is_kept_from_who_did_not_ask(self, choices: bytes) -> None:
        usage = b'"usage":{"prompt_tokens":1,"completion_tokens":2}'
        text = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
        beside = b'data: {"choices":[{"delta":{"role":"assistant"}}],' + usage + b"}\n\n"
        alone = b"data: {" + choices + b"," + usage + b"}\n\n"
        empty = b"data: {" + choices + b"}\n\n"
        assert self.written(empty + beside + text + alone) == empty + beside + text + DONE
        assert self.written(text + alone, **ASKING) == text + alone + DONE

    def test_usage_that_the_backend_did_not_say_is_not_made_up(self) -> None:
        writer = dialect.StreamWriter(request(stream=True, **ASKING))
        writer.write([ChatChunk("a", raw=b"event")], native=True)
        assert writer.end(Usage(1, 2, estimated=True)) == DONE

    def test_a_unary_answer_in_place_of_a_stream_is_written_as_one(self) -> None:
        writer = dialect.StreamWriter(request(stream=True, **ASKING))
        data = writer.write([ChatChunk("a", finish_reason="stop"), ChatChunk("b", index=1)], native=True)
        chunks = heard(data + writer.end(Usage(3, 4)))
        assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == ["a", "b"]
        assert chunks[-1].usage is not None

    def test_a_chunk_whose_bytes_another_one_carries_adds_none(self) -> None:
        writer = dialect.StreamWriter(request(stream=True))
        chunks = [ChatChunk("a", raw=b"event"), ChatChunk("b", index=1, usage=Usage(1, 2), raw=b"")]
        assert writer.write(chunks, native=True) == b"event"


class TestWrittenStream:
    def written(self, data: bytes, **fields: object) -> bytes:
        """What an OpenAI client gets of an Anthropic backend's answer."""
        writer = dialect.StreamWriter(request(stream=True, **fields))
        chunks = chunks_of(data, anthropic_messages)
        pieces = [writer.write([chunk], native=False) for chunk in chunks]
        return b"".join(pieces) + writer.end(usage_of(chunks))

    def test_the_official_sdk_hears_text_and_usage(self) -> None:
        chunks = heard(self.written(ANTHROPIC["text"], **ASKING))
        assert {(chunk.id, chunk.object, chunk.created, chunk.model) for chunk in chunks} == {
            (
                "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
                "chat.completion.chunk",
                1764031697,
                "claude-opus-4-8",
            )
        }
        *said, usage = chunks
        assert [chunk.choices[0].delta.role for chunk in said] == ["assistant", None, None, None]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == "Hello, 世界! 🎭"
        assert [chunk.choices[0].finish_reason for chunk in said] == [None, None, None, "stop"]
        assert usage.choices == []
        assert usage.usage is not None
        assert usage.usage.to_dict() == {
            "prompt_tokens": 2125,
            "completion_tokens": 15,
            "total_tokens": 2140,
            "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def test_the_official_sdk_hears_tool_calls(self) -> None:
        deltas = [chunk.choices[0].delta for chunk in heard(self.written(ANTHROPIC["tools"]))]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert [(call.index, call.id, call.type) for call in calls if call.id] == [
            (0, "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "function"),
            (1, "toolu_01T1x1fJ34qAmk2tNTrN7Up7", "function"),
        ]
        functions = [(call.index, call.function) for call in calls if call.function]
        assert [function.name for _, function in functions if function.name] == ["get_weather", "get_time"]
        for index, whole in enumerate(['{"location": "Žďár, CZ"}', "{}"]):
            assert "".join(said.arguments or "" for n, said in functions if n == index) == whole

    def test_usage_is_kept_from_who_did_not_ask(self) -> None:
        assert all(chunk.choices for chunk in heard(self.written(ANTHROPIC["text"])))
        writer = dialect.StreamWriter(request(**ASKING))
        writer.write([ChatChunk("a")], native=False)
        assert writer.end(None) == DONE

    @pytest.mark.parametrize("name", sorted(set(ANTHROPIC) - {"overloaded"}))
    def test_says_what_the_backend_said_and_ends_once(self, name: str) -> None:
        data = self.written(ANTHROPIC[name], **ASKING)
        assert data.count(DONE) == 1
        assert data.endswith(DONE)
        assert summary(chunks_of(data)) == summary(chunks_of(ANTHROPIC[name], anthropic_messages))

    def test_each_choice_begins_with_its_role(self) -> None:
        writer = dialect.StreamWriter(request(n=2))
        data = writer.write(
            [ChatChunk("a"), ChatChunk("b", index=1), ChatChunk("c"), ChatChunk("d", index=1)], native=False
        )
        choices = [chunk.choices[0] for chunk in heard(data)]
        assert [(choice.index, choice.delta.role) for choice in choices] == [
            (0, "assistant"),
            (1, "assistant"),
            (0, None),
            (1, None),
        ]
        assert repr(writer) == "<StreamWriter to an OpenAI client, 2 choices begun>"

    def test_what_the_backend_left_out_is_the_requests(self) -> None:
        writer = dialect.StreamWriter(request())
        [chunk] = heard(writer.write([call(1, "{}")], native=False))
        assert (chunk.id, chunk.model) == ("chatcmpl-req1", "gpt")
        assert chunk.choices[0].delta.tool_calls is not None
        [said] = chunk.choices[0].delta.tool_calls
        assert said.function is not None
        assert (said.id, said.function.name, said.function.arguments) == ("call_req1_0_1", "", "{}")

    def test_says_nothing_of_a_chunk_without_content(self) -> None:
        writer = dialect.StreamWriter(request())
        assert writer.write([ChatChunk(model="m", id="i", usage=Usage(1, 2))], native=False) == b""
        [chunk] = heard(writer.write([ChatChunk("a", model="other", id="other")], native=False))
        assert (chunk.id, chunk.model) == ("i", "m")

    def test_refusals_audio_and_reasoning_have_their_own_fields(self) -> None:
        writer = dialect.StreamWriter(request())
        told = ChatChunk(reasoning="Hm", refusal="No.", audio={"data": "AAD/"})
        [chunk] = heard(writer.write([told], native=False))
        assert chunk.choices[0].delta.to_dict() == {
            "role": "assistant",
            "reasoning_content": "Hm",
            "refusal": "No.",
            "audio": {"data": "AAD/"},
        }

    def test_the_official_sdk_hears_probabilities_citations_and_the_tier(self) -> None:
        entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        cited = {"type": "url_citation", "url_citation": page}
        writer = dialect.StreamWriter(request())
        told = [
            ChatChunk("a", logprobs=(entry,)),
            ChatChunk(annotations=(cited,)),
            ChatChunk(finish_reason="stop", service_tier="flex"),
        ]
        said, citing, end = heard(writer.write(told, native=False))
        assert said.choices[0].logprobs is not None
        assert said.choices[0].logprobs.to_dict() == {"content": [entry], "refusal": None}
        assert citing.choices[0].delta.to_dict() == {"annotations": [{"index": 0, **cited}]}
        assert (said.service_tier, end.service_tier) == (None, "flex")

    def test_state_goes_out_as_details_of_the_reasoning(self) -> None:
        writer = dialect.StreamWriter(request())
        [chunk] = heard(writer.write([ChatChunk("", "Hm", state=STATES)], native=False))
        assert chunk.choices[0].delta.to_dict() == {
            "role": "assistant",
            "reasoning_content": "Hm",
            "reasoning_details": [{"index": at, **detail} for at, detail in enumerate(DETAILS)],
        }

    def test_the_official_sdk_puts_lists_together_that_come_bit_by_bit(self) -> None:
        place = {"title": "A", "start_index": 0, "end_index": 1}
        pages = [{"type": "url_citation", "url_citation": {"url": url, **place}} for url in ("a", "b", "c")]
        told = [
            ChatChunk("a", state=STATES[:1], annotations=tuple(pages[:1])),
            ChatChunk("b", state=STATES[1:]),
            ChatChunk("b", index=1, annotations=tuple(pages[:1])),
            ChatChunk("c", annotations=tuple(pages[1:])),
            ChatChunk(finish_reason="stop"),
            ChatChunk(finish_reason="stop", index=1),
        ]
        writer = dialect.StreamWriter(request())
        data = writer.write(told, native=False) + writer.end(None)
        with (
            answering(data, STREAM) as url,
            _client(url) as client,
            client.chat.completions.stream(model="m", messages=[]) as opened,
        ):
            first, second = [choice.message.to_dict() for choice in opened.get_final_completion().choices]
        assert first["annotations"] == [{"index": at, **page} for at, page in enumerate(pages)]
        assert first["reasoning_details"] == [{"index": at, **each} for at, each in enumerate(DETAILS)]
        assert second["annotations"] == [{"index": 0, **pages[0]}]


class TestWriteAnswer:
    def test_the_official_sdk_receives_everything(self) -> None:
        chunks = [
            ChatChunk("a", "Hm", id="msg_1", model="claude"),
            ChatChunk("b", audio={"id": "audio_1"}, tool_calls=(ToolCallDelta(0, "c1", "f", '{"x"'),)),
            ChatChunk("other", index=1, finish_reason="length"),
            ChatChunk(tool_calls=(ToolCallDelta(0, arguments=":1}"), ToolCallDelta(1, None, "g"))),
            ChatChunk(finish_reason="tool_calls"),
        ]
        answer = received(
            dialect.write_answer(chunks, Usage(10, 5, reasoning_tokens=2, cached_tokens=4), request())
        )
        assert answer.to_dict() == {
            "id": "msg_1",
            "object": "chat.completion",
            "created": 1764031697,
            "model": "claude",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "ab",
                        "refusal": None,
                        "reasoning_content": "Hm",
                        "audio": {"id": "audio_1"},
                        "tool_calls": [
                            {
                                "id": "c1",
                                "type": "function",
                                "function": {"name": "f", "arguments": '{"x":1}'},
                            },
                            {
                                "id": "call_req1_0_1",
                                "type": "function",
                                "function": {"name": "g", "arguments": ""},
                            },
                        ],
                    },
                    "logprobs": None,
                    "finish_reason": "tool_calls",
                },
                {
                    "index": 1,
                    "message": {"role": "assistant", "content": "other", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "length",
                },
            ],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        }

    def test_the_official_sdk_receives_probabilities_citations_the_tier_and_state(self) -> None:
        entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
        page = {"url": "https://example.org", "title": "A", "start_index": 0, "end_index": 1}
        cited = {"type": "url_citation", "url_citation": page}
        chunk = ChatChunk("a", logprobs=(entry,), annotations=(cited,), state=STATES, service_tier="flex")
        usage = Usage(9, 1, cached_tokens=3, cache_write_tokens=4)
        answer = received(dialect.write_answer([chunk], usage, request()))
        [choice] = answer.choices
        assert choice.logprobs is not None
        assert choice.logprobs.to_dict() == {"content": [entry], "refusal": None}
        assert choice.message.annotations is not None
        assert [annotation.to_dict() for annotation in choice.message.annotations] == [cited]
        assert choice.message.to_dict()["reasoning_details"] == DETAILS
        assert answer.service_tier == "flex"
        assert answer.usage is not None
        assert answer.usage.to_dict()["prompt_tokens_details"] == {
            "cached_tokens": 3,
            "cache_write_tokens": 4,
        }

    @pytest.mark.parametrize(
        ("chunk", "content", "refusal"),
        [(ChatChunk(), "", None), (call(0, "", "f"), None, None), (ChatChunk(refusal="No."), None, "No.")],
    )
    def test_no_text_is_null_only_where_something_stands_for_it(
        self, chunk: ChatChunk, content: str | None, refusal: str | None
    ) -> None:
        answer = json.loads(dialect.write_answer([chunk], None, request()))
        message = answer["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == (content, refusal)
        assert (answer["id"], answer["model"]) == ("chatcmpl-req1", "gpt")
        assert "usage" not in answer

    def test_says_what_the_backend_said(self) -> None:
        chunk = ChatChunk(
            "a",
            "b",
            tool_calls=(ToolCallDelta(0, "c1", "f", "{}"),),
            finish_reason="tool_calls",
            usage=Usage(9, 8, reasoning_tokens=2, cached_tokens=3),
            model="m",
            id="i",
        )
        [read] = openai_chat.decode_unary(dialect.write_answer([chunk], chunk.usage, request()))  # type: ignore[misc]
        assert summary([read]) == summary([chunk])


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "code", "kind", "raised"),
        [
            (400, "bad", "invalid_request_error", openai.BadRequestError),
            (401, "invalid_api_key", "invalid_request_error", openai.AuthenticationError),
            (404, "model_not_found", "invalid_request_error", openai.NotFoundError),
            (413, "too_large", "invalid_request_error", openai.APIStatusError),
            (429, "rate_limit_exceeded", "rate_limit_error", openai.RateLimitError),
            (429, "insufficient_quota", "insufficient_quota", openai.RateLimitError),
            (500, "internal", "server_error", openai.InternalServerError),
            (502, "upstream", "server_error", openai.InternalServerError),
            (503, "no_backend", "service_unavailable_error", openai.InternalServerError),
            (504, "deadline", "server_error", openai.InternalServerError),
        ],
    )
    def test_the_official_sdk_raises_its_own(
        self, status: int, code: str, kind: str, raised: type[openai.APIStatusError]
    ) -> None:
        with pytest.raises(raised) as caught:
            received(dialect.write_error(ErrorReply(status, code, "No.", param="n")), status)
        assert caught.value.body == {"message": "No.", "type": kind, "param": "n", "code": code}

    def test_the_details_are_told(self) -> None:
        reply = ErrorReply(400, "bad", "No.", details={"attempts": [1], "message": "details never win"})
        error = json.loads(dialect.write_error(reply))["error"]
        assert (error["attempts"], error["message"], error["param"]) == ([1], "No.", None)

    def test_inside_a_stream_it_is_an_event_without_done(self) -> None:
        reply = ErrorReply(503, "stall", "No more.")
        writer = dialect.StreamWriter(request())
        begun, failed = writer.write([ChatChunk("a")], native=False), writer.fail(reply)
        assert failed == b"data: " + dialect.write_error(reply) + b"\n\n"
        with pytest.raises(openai.APIError, match="No more"):
            heard(begun + failed)


# Whatever is written says, when OpenAI's decoder reads it, what the chunks said.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
CALLS = st.builds(
    ToolCallDelta, index=st.integers(0, 2), id=st.just(None), name=st.just(None), arguments=WORDS
).map(lambda delta: (delta,))
CHUNKS = st.builds(ChatChunk, WORDS, WORDS, WORDS) | st.builds(ChatChunk, tool_calls=CALLS)


@given(
    st.lists(CHUNKS), st.sampled_from(["stop", "length", "tool_calls"]), st.integers(0, 9), st.integers(1, 9)
)
def test_a_written_stream_says_what_the_chunks_said(
    chunks: list[ChatChunk], reason: str, tokens_in: int, tokens_out: int
) -> None:
    usage = Usage(tokens_in, tokens_out, reasoning_tokens=tokens_out // 2, cached_tokens=tokens_in // 2)
    begin = [call(index, "", f"f{index}", f"c{index}") for index in range(3)]
    said = [ChatChunk(id="i", model="m"), *begin, *chunks, ChatChunk(finish_reason=reason)]
    writer = dialect.StreamWriter(request(**ASKING))
    decoder = openai_chat.StreamDecoder()
    data = writer.write(said, native=False) + writer.end(usage)
    assert summary(decoder.feed(data)) == {**summary(said), "usage": usage}
    assert decoder.done
