"""OpenAI's Responses: requests out, recorded streams and whole answers in, cut at every position."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from tests.wire.answering import STREAM, answering
from tests.wire.told import Decoded, summary
from understudy._version import __version__
from understudy.config.aliases import WireFormat
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed, Usage
from understudy.wire.dialect import cut_apart
from understudy.wire.openai_responses import (
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
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState, tagged

_FOLDER = Path(__file__).parent / "corpus" / "responses"
CORPUS = {path.stem: path.read_bytes() for path in sorted(_FOLDER.glob("*.sse"))}

GPT4 = "gpt-4.1-2025-04-14"
GPT5 = "gpt-5-2025-08-07"
TOLD: dict[str, dict[str, Any]] = {
    "text": {
        "id": "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654",
        "model": GPT4,
        "text": "Hello, 世界! 🎭",
        "finish_reason": "stop",
        "usage": Usage(37, 11, cached_tokens=8),
    },
    "logprobs": {
        "id": "resp_0logprobs",
        "model": GPT4,
        "text": "Yes.",
        "finish_reason": "stop",
        "usage": Usage(14, 2),
    },
    "tools": {
        "id": "resp_67ca09c5efe0819096d0511c92b8c89009dd9f0a",
        "model": GPT5,
        "text": "Let me look.",
        "call 0": ["call_DdmO9pD3xa9XTPNJ32zg2hcA", "get_weather", '{"city":"Žďár "}'],
        "call 1": ["call_eM3fG7hJ", "get_time", '{"tz":"Europe/Prague"}'],
        "finish_reason": "tool_calls",
        "usage": Usage(291, 46),
    },
    "custom_tool": {
        "id": "resp_0custom",
        "model": GPT5,
        "call 0": ["call_aGiFQkRWSWAIsMQ19fKqxUgb", "code_exec", 'print("hello world")'],
        "finish_reason": "tool_calls",
        "usage": Usage(55, 9),
    },
    "reasoning": {
        "id": "resp_0reasoning",
        "model": GPT5,
        "reasoning": "**Finding the GCD**\n\nI use Euclid's algorithm.",
        "text": "It is **21**.",
        "finish_reason": "stop",
        "usage": Usage(35, 92, reasoning_tokens=64),
    },
    "reasoning_text": {
        "id": "resp_0oss",
        "model": "gpt-oss-120b",
        "reasoning": "The user says hi.",
        "text": "Hi!",
        "finish_reason": "stop",
        "usage": Usage(68, 20, reasoning_tokens=10),
    },
    "refusal": {
        "id": "resp_0refusal",
        "model": GPT4,
        "refusal": "I'm sorry, I can't.",
        "finish_reason": "stop",
        "usage": Usage(20, 8),
    },
    "length": {
        "id": "resp_0length",
        "model": GPT5,
        "text": "Once upon a",
        "finish_reason": "length",
        "usage": Usage(12, 16),
    },
    "length_without_text": {
        "id": "resp_0thought",
        "model": GPT5,
        "finish_reason": "length",
        "usage": Usage(12, 16, reasoning_tokens=16),
    },
    "content_filter": {
        "id": "resp_0filter",
        "model": GPT4,
        "text": "First you",
        "finish_reason": "content_filter",
        "usage": Usage(18, 4),
    },
    "failed": {
        "id": "resp_67c9fdcecf488190",
        "model": "gpt-4o-mini-2024-07-18",
        "failure": ("server_error", None),
    },
    "quota": {"id": "resp_0quota", "model": GPT5, "failure": ("quota", None)},
    "rate_limited": {"id": "resp_0rate", "model": GPT5, "text": "Hel", "failure": ("rate_limited", None)},
    "image_url": {"id": "resp_0image", "model": GPT5, "failure": ("unfit", None)},
    "hosted": {
        "id": "resp_0hosted",
        "model": GPT5,
        "text": "It is sunny in Brno.",
        "finish_reason": "stop",
        "usage": Usage(16900, 310, reasoning_tokens=128, cached_tokens=1024),
    },
    "audio": {
        "id": "resp_0audio",
        "model": "gpt-audio",
        "text": "Hi",
        "finish_reason": "stop",
        "usage": Usage(9, 4),
    },
    "imitator": {
        "id": "resp_im",
        "model": "qwen3-coder",
        "reasoning": "Hm",
        "text": "Well: 🎭",
        "call 0": ["call_im", "get_weather", '{"city":"Brno"}'],
        "finish_reason": "tool_calls",
        "usage": Usage(11, 7),
    },
    "unknown": {
        "id": "resp_0unknown",
        "model": "gpt-9",
        "text": "Soon.",
        "finish_reason": "prophecy_fulfilled",
        "usage": Usage(9, 4),
    },
}
FAILED = {name for name, told in TOLD.items() if "failure" in told}


def decoded(pieces: Iterable[bytes], decoder: StreamDecoder | None = None) -> list[Decoded]:
    decoder = decoder or StreamDecoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


def chunks(name: str) -> list[ChatChunk]:
    return [item for item in decoded([CORPUS[name]]) if isinstance(item, ChatChunk)]


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def text(piece: str) -> bytes:
    return event("response.output_text.delta", output_index=0, delta=piece)


def tool_call(index: int = 0) -> bytes:
    item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""}
    return event("response.output_item.added", output_index=index, item=item)


STOP = event("response.completed", response={"status": "completed"})
GARBAGE = b"event: response.output_text.delta\ndata: {nonsense\n\n"


class TestCorpus:
    def test_every_recording_is_told(self) -> None:
        assert set(TOLD) == set(CORPUS)

    def test_every_event_of_the_official_sdk_is_in_it(self) -> None:
        events = get_args(get_args(ResponseStreamEvent)[0])
        known = {get_args(each.model_fields["type"].annotation)[0] for each in events}
        came = {event.event for data in CORPUS.values() for event in EventStream().feed(data)}
        assert known - came == set()

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
    def test_no_cut_before_the_terminal_event_is_finished(self, name: str) -> None:
        data = CORPUS[name]
        end = len(data) if name in FAILED else data.rfind(b'data: {"type":"response.')
        assert end > 0
        for cut in range(end):
            decoder = StreamDecoder()
            decoder.feed(data[:cut])
            assert not decoder.finished, cut

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_done_and_finished_unless_it_failed(self, name: str) -> None:
        decoder = StreamDecoder()
        decoder.feed(CORPUS[name])
        assert decoder.finished is decoder.done is (name not in FAILED)
        assert decoder.finish_reason == TOLD[name].get("finish_reason")
        assert not decoder.tool_call_open
        assert decoder.malformed == 0

    @pytest.mark.parametrize("name", sorted(set(TOLD) - FAILED - {"imitator"}))
    def test_the_raw_bytes_together_are_the_stream(self, name: str) -> None:
        assert b"".join(chunk.raw or b"" for chunk in chunks(name)) == CORPUS[name]

    @pytest.mark.parametrize("name", sorted(set(TOLD) - FAILED - {"imitator", "audio", "unknown"}))
    def test_the_official_sdk_reads_it_like_we_do(self, name: str) -> None:
        with (
            answering(CORPUS[name], STREAM) as url,
            openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0) as client,
            client.responses.stream(model="gpt", input="Hi") as stream,
        ):
            *_, last = stream
        assert last.type in ("response.completed", "response.incomplete")
        assert getattr(last, "response").output_text == TOLD[name].get("text", "")  # noqa: B009 - of a union

    def test_citations_are_told_in_openai_chats_shape(self) -> None:
        page = {
            "start_index": 6,
            "end_index": 20,
            "url": "https://example.org/brno?utm_source=openai",
            "title": "Brno",
        }
        told = [annotation for chunk in chunks("hosted") for annotation in chunk.annotations]
        assert told[0] == {"type": "url_citation", "url_citation": page}
        kinds = ["url_citation", "file_citation", "container_file_citation", "file_path"]
        assert [annotation["type"] for annotation in told] == kinds
        assert told[1]["file_citation"]["filename"] == "weather.pdf"

    def test_probabilities_are_told(self) -> None:
        told = [entry for chunk in chunks("logprobs") for entry in chunk.logprobs]
        assert [(entry["token"], entry["logprob"]) for entry in told] == [("Yes", -0.25), (".", -0.25)]

    def test_encrypted_reasoning_is_state(self) -> None:
        [state] = [state for chunk in chunks("reasoning") for state in chunk.state]
        assert (state.issuer, state.kind) == (NAME, "reasoning")
        assert state.text == TOLD["reasoning"]["reasoning"]
        assert json.loads(state.value) == {
            "encrypted_content": "gAAAAABofuNhQ7k",
            "id": "rs_6876cf02e0bc8192b74af0fb64b715ff06fa2fcced15a5ac",
        }

    def test_the_tier_is_told_at_the_end(self) -> None:
        assert [chunk.service_tier for chunk in chunks("text") if chunk.service_tier] == ["default"]


class TestStream:
    def test_nothing_is_read_after_the_terminal_event(self) -> None:
        decoder = StreamDecoder()
        assert summary(decoded([STOP + text("late"), text("later")], decoder)) == {"finish_reason": "stop"}
        assert (decoder.finished, decoder.done) == (True, True)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (event("error", code="x", message="no good", param=None), "no good"),
            (event("error", error={"message": "no good"}), "no good"),
            (event("response.failed", response={"error": {"message": "no good"}}), "no good"),
            (event("response.failed", response={"status": "failed", "error": None}), "the response failed"),
            (event("response.failed", message="no good"), "no good"),
            (event("response.cancelled", response={"status": "cancelled"}), "the response cancelled"),
            (b"event: error\ndata: no good\n\n", "no good"),
            (b'event: error\ndata: {"message":"no good"}\n\n', "no good"),
            (b'data: {"error":{"message":"no good"}}\n\n', "no good"),
            (b'data: {"type":"error","message":"no good"}\n\n', "no good"),
        ],
    )
    def test_an_error_in_any_shape_is_a_failure_and_the_last_thing(self, data: bytes, message: str) -> None:
        decoder = StreamDecoder()
        [failure] = decoded([data + text("late"), text("later")], decoder)
        assert isinstance(failure, Failure)
        assert failure.message == message
        assert failure.in_stream
        assert not decoder.finished

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("server_error", "server_error"),
            ("rate_limit_exceeded", "rate_limited"),
            ("insufficient_quota", "quota"),
            ("context_length_exceeded", "context_length"),
            ("invalid_prompt", "content_filter"),
            ("image_content_policy_violation", "content_filter"),
            ("bio_policy", "content_filter"),
            ("misalignment_policy_violation", "content_filter"),
            ("invalid_image_url", "unfit"),
            ("image_too_large", "invalid_request"),
            ("vector_store_timeout", "server_error"),
            ("a_code_to_come", "server_error"),
        ],
    )
    def test_codes_are_classed_as_if_they_were_a_status(self, code: str, kind: str) -> None:
        error = {"code": code, "message": "See the code."}
        [failure] = decoded([event("response.failed", response={"status": "failed", "error": error})])
        assert isinstance(failure, Failure)
        assert str(failure.kind) == kind

    @pytest.mark.parametrize("before", [b"", text("a") + GARBAGE, text("a") + tool_call()])
    def test_a_malformed_event_elsewhere_is_a_failure(self, before: bytes) -> None:
        failure = decoded([before + GARBAGE])[-1]
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PROTOCOL
        assert failure.in_stream

    def test_after_its_item_no_tool_call_is_open(self) -> None:
        decoder = StreamDecoder()
        decoder.feed(tool_call())
        assert decoder.tool_call_open
        done = event("response.output_item.done", output_index=0, item={"type": "function_call"})
        assert isinstance(decoder.feed(done + GARBAGE)[-1], Malformed)
        assert not decoder.tool_call_open

    @pytest.mark.parametrize("data", [b"data: [1]\n\n", b'data: {"type":7}\n\n', b"data: 1\n\n"])
    def test_json_that_is_no_event_is_malformed(self, data: bytes) -> None:
        assert isinstance(decoded([text("a") + data])[-1], Malformed)

    @pytest.mark.parametrize("kind", ["function_call_arguments", "custom_tool_call_input"])
    def test_arguments_of_a_call_that_never_began_are_a_failure(self, kind: str) -> None:
        [failure] = decoded([event(f"response.{kind}.delta", output_index=3, delta="{")])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PROTOCOL
        assert failure.in_stream


class TestUnary:
    @pytest.mark.parametrize("name", sorted(set(TOLD) - FAILED - {"imitator"}))
    def test_says_what_the_stream_said(self, name: str) -> None:
        [*_, last] = EventStream().feed(CORPUS[name])
        body = json.dumps(json.loads(last.data)["response"]).encode()
        [chunk] = decode_unary(body)  # type: ignore[misc]
        assert summary([chunk]) == TOLD[name]
        assert chunk.raw == body
        streamed = chunks(name)
        assert chunk.state == tuple(state for each in streamed for state in each.state)
        assert chunk.logprobs == tuple(entry for each in streamed for entry in each.logprobs)
        assert chunk.annotations == tuple(entry for each in streamed for entry in each.annotations)
        assert chunk.service_tier == "default"

    def test_an_answer_without_output_is_a_chunk_without_content(self) -> None:
        body = b'{"object":"response","status":"completed","output":[]}'
        assert decode_unary(body) == [ChatChunk(finish_reason="stop", raw=body)]
        assert decode_unary(b" ") == [ChatChunk(raw=b" ")]

    def test_broken_texts_are_mended(self) -> None:
        part = b'{"type":"output_text","text":"\xff \\ud83c\\udfad \\ud83c"}'
        body = b'{"object":"response","output":[{"type":"message","content":[' + part + b"]}]}"
        [chunk] = decode_unary(body)  # type: ignore[misc]
        assert chunk.text == "\ufffd 🎭 \ufffd"

    @pytest.mark.parametrize(
        ("body", "kind", "message"),
        [
            (
                {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}},
                "rate_limited",
                "Slow down.",
            ),
            ({"status": "failed", "error": {"message": "No.", "code": "x"}}, "server_error", "No."),
            ({"status": "failed", "output": []}, "server_error", "the response failed"),
            ({"status": "cancelled", "output": []}, "server_error", "the response cancelled"),
        ],
    )
    def test_an_error_is_classed(self, body: object, kind: str, message: str) -> None:
        failure = decode_unary(json.dumps(body).encode())
        assert isinstance(failure, Failure)
        assert (str(failure.kind), failure.message) == (kind, message)

    def test_rules_and_secrets_reach_the_classing(self) -> None:
        rule = ErrorRule(None, "Overloaded", FailureKind.QUOTA)
        body = b'{"error":{"message":"Overloaded, sk-1"}}'
        failure = decode_unary(body, rules=[rule], secrets=["sk-1"])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.QUOTA
        assert "sk-1" not in failure.message

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"<html>", "the answer is a web page"),
            (b'{"output":[', "the answer is cut or malformed JSON"),
            (b"[]", "the answer is no JSON object"),
            (b'{"choices":[]}', "the answer is JSON, but no response"),
            (
                b'{"object":"response","status":"queued"}',
                "the answer is still to come: it is worked on in the background",
            ),
        ],
    )
    def test_anything_else_is_a_protocol_failure(self, body: bytes, message: str) -> None:
        failure = decode_unary(body)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.message) == (FailureKind.PROTOCOL, message)

    @given(st.binary(max_size=40))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        assert isinstance(decode_unary(body), list | Failure)

    def test_only_a_length_and_a_policy_explain_an_empty_answer(self) -> None:
        reasons = [None, "stop", "tool_calls", "length", "content_filter"]
        assert [empty_is_legitimate(reason) for reason in reasons] == [False, False, False, True, True]


class TestRequest:
    def test_the_headers(self) -> None:
        assert headers("sk-1") == {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": f"understudy/{__version__}",
            "authorization": "Bearer sk-1",
        }
        assert "authorization" not in headers(None)

    def test_the_path(self) -> None:
        assert path("gpt", True) == path("gpt", False) == PATH == "/responses"

    def test_the_name_is_the_providers(self) -> None:
        assert WireFormat(NAME) is WireFormat.OPENAI_RESPONSES

    def test_a_neutral_request_is_translated(self) -> None:
        request = ChatRequest.of("Hi", {"model": "theirs", "stream": False, "seed": 1})
        body = encode_request(
            request, model="gpt", stream=True, include_usage=True, defaults={"truncation": "auto"}
        )
        content = [{"type": "input_text", "text": "Hi"}]
        assert json.loads(body) == {
            "model": "gpt",
            "input": [{"type": "message", "role": "user", "content": content}],
            "store": False,
            "stream": True,
            "truncation": "auto",
        }
        assert left_out(request) == ("seed",)

    def test_half_a_surrogate_pair_is_written_escaped(self) -> None:
        body = encode_request(ChatRequest.of("\ud83d!", {}), model="m", stream=False, include_usage=False)
        assert rb'"\ud83d!"' in body


class TestNativeRequest:
    def encoded(self, fields: bytes, **how: Any) -> bytes:
        how = {"model": "gpt", "stream": False, "include_usage": True, **how}
        return encode_native(cut_apart(fields), **how)

    def test_goes_out_as_it_came_but_for_the_model_and_the_store(self) -> None:
        fields = (
            rb'{"model":"theirs","input":[ {"content":"\u00e9"} ],"future":1.50,"store":true,"stream":true}'
        )
        assert self.encoded(fields, stream=True) == fields.replace(b"theirs", b"gpt").replace(
            b'"store":true', b'"store":false'
        )

    def test_a_store_left_out_is_said_to_be_none(self) -> None:
        body = json.loads(self.encoded(b'{"input":"Hi"}'))
        assert body == {"model": "gpt", "input": "Hi", "store": False, "stream": False}

    def test_defaults_fill_what_is_missing(self) -> None:
        defaults = {"max_tokens": 99, "temperature": 0.5, "truncation": "auto", "model": "x"}
        body = self.encoded(b'{"input":"Hi","temperature":1}', defaults=defaults)
        assert json.loads(body) == {
            "input": "Hi",
            "temperature": 1,
            "truncation": "auto",
            "max_output_tokens": 99,
            "model": "gpt",
            "store": False,
            "stream": False,
        }

    def test_reasoning_that_the_backend_could_not_read_is_left_out(self) -> None:
        mine = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA"}
        stored = {"type": "reasoning", "id": "rs_2", "summary": []}
        word = tagged(ProviderState("anthropic", "signature", "s"))
        theirs = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": word}
        said = {"role": "user", "content": 'the words "type": "reasoning"'}
        items = [said, mine, stored, theirs, {**stored, "encrypted_content": None}, "odd"]
        body = json.loads(self.encoded(json.dumps({"input": items}).encode()))
        assert body["input"] == [said, mine, "odd"]

    def test_ids_that_would_be_looked_up_are_left_out_unless_the_client_knows_of_no_store(self) -> None:
        message = {"role": "assistant", "content": "a"}
        call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        search = {"type": "web_search_call", "id": "ws_1"}
        thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA"}
        items = [{**message, "id": "msg_1"}, {**call, "id": "fc_1"}, search, thought, "odd"]
        for store in ({}, {"store": True}, {"store": None}):
            body = json.loads(self.encoded(json.dumps({"input": items, **store}).encode()))
            assert body["input"] == [message, call, search, thought, "odd"]
        body = json.loads(self.encoded(json.dumps({"input": items, "store": False}).encode()))
        assert body["input"] == items

    @pytest.mark.parametrize("store", [b"true", b"false"])
    def test_words_in_a_text_change_nothing(self, store: bytes) -> None:
        fields = (
            rb'{"model":"gpt","input":"\"id\":, \"type\":\"reasoning\" \u00e9","store":false,"stream":false}'
        )
        given = fields.replace(b'"store":false', b'"store":' + store)
        assert self.encoded(given) == fields
