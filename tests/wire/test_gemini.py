"""Gemini's format: addresses and requests out, streams and whole answers in, cut at every position."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from tests.wire.answering import STREAM, answering
from tests.wire.told import Decoded, summary
from understudy._version import __version__
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire import gemini
from understudy.wire.chat import ChatChunk, ChatRequest, Malformed, Usage
from understudy.wire.gemini import StreamDecoder, decode_unary, empty_is_legitimate, encode_request
from understudy.wire.gemini_answer import ERROR_REASONS, FINISH_REASONS

_FOLDER = Path(__file__).parent / "corpus" / "gemini"
CORPUS = {path.stem: path.read_bytes() for path in sorted(_FOLDER.glob("*.sse"))}

NEW = {"model": "gemini-3-flash-preview", "id": "r6dTaaWqJ4n0jMcPxZm-6Aw"}
OLD = {**NEW, "model": "gemini-2.5-flash"}
ENDS = {
    f"ends_{reason.lower()}": {**NEW, "text": "Well, ", "finish_reason": word, "usage": Usage(5, 2)}
    for reason, word in FINISH_REASONS.items()
    if reason not in ("STOP", "MAX_TOKENS", "RECITATION")  # which other recordings end with
}
ERRORS = {
    f"ends_{reason.lower()}": {**NEW, "text": "Well, ", "failure": (str(kind), None)}
    for reason, kind in ERROR_REASONS.items()
}

TOLD: dict[str, dict[str, Any]] = {
    **ENDS,
    **ERRORS,
    "text": {
        **OLD,
        "text": "Hello, 世界! 🎭",
        "finish_reason": "stop",
        "usage": Usage(1012, 9, cached_tokens=1000),
    },
    "thinking": {
        **NEW,
        "reasoning": "**Finding the divisor**\n\nI use Euclid's algorithm.",
        "text": "The greatest common divisor is **21**.",
        "finish_reason": "stop",
        "usage": Usage(30, 78, reasoning_tokens=66),
    },
    "tools": {
        **NEW,
        "text": "I'll look at both.",
        "call 0": ["qk5rv7x1", "get_weather", '{"city":"Žďár","days":2.0}'],
        "call 1": ["w0h3b2zz", "get_weather", '{"city":"北京"}'],
        "call 2": ["p9", "get_time", "{}"],
        "finish_reason": "tool_calls",
        "usage": Usage(88, 118, reasoning_tokens=70),
    },
    "tools_without_ids": {
        "id": "Qm1UaaGnD9L7xs0P",
        "model": "gemini-2.5-pro",
        "call 0": [
            "call_Qm1UaaGnD9L7xs0P_0",
            "get_weather",
            '{"city":"Brno","nested":{"a":[1,null,true]}}',
        ],
        "call 1": ["call_Qm1UaaGnD9L7xs0P_1", "get_time", "{}"],
        "finish_reason": "tool_calls",
        "usage": Usage(54, 131, reasoning_tokens=100),
    },
    "search": {
        **OLD,
        "text": "Spain won in Žďár. It was 2–1.",
        "finish_reason": "stop",
        "usage": Usage(102, 10),
    },
    "recitation": {
        **OLD,
        "text": "Shall I compare thee",
        "finish_reason": "content_filter",
        "usage": Usage(8, 4),
    },
    "logprobs": {**OLD, "text": "Ja! 🎭", "finish_reason": "stop", "usage": Usage(5, 3)},
    "two_candidates": {
        **NEW,
        "text": "Aa",
        "text#1": "Bb",
        "finish_reason": "stop",
        "finish_reason#1": "length",
        "usage": Usage(3, 4),
    },
    "max_tokens": {
        **NEW,
        "reasoning": "Let me think",
        "finish_reason": "length",
        "usage": Usage(7, 100, reasoning_tokens=100),
    },
    "blocked": {"failure": ("content_filter", None)},
    "error": {**NEW, "text": "Hel", "failure": ("server_error", 503)},
    "rate_limited": {"failure": ("rate_limited", 429)},
    "image": {
        **NEW,
        "model": "gemini-3-pro-image-preview",
        "text": "Here it is: a fox.",
        "finish_reason": "stop",
        "usage": Usage(10, 1126),
    },
    "code": {
        **OLD,
        "text": "I compute.\nIt is 42.",
        "finish_reason": "stop",
        "usage": Usage(51, 25),
    },
    "vertex": {
        **OLD,
        "id": "9QyfaZ",
        "text": "Bonjour à tous.",
        "finish_reason": "stop",
        "usage": Usage(6, 4),
    },
    "unknown": {
        **NEW,
        "model": "gemini-9",
        "text": "Soon.",
        "finish_reason": "PROPHECY_FULFILLED",
        "usage": Usage(5, 2),
    },
    "imitator": {
        "text": "Well: 🎭",
        "call 0": ["call_0_f", "f", '{"x": 1}'],
        "finish_reason": "tool_calls",
        "usage": Usage(7, 4),
    },
}
FINISHED = [name for name in TOLD if "failure" not in TOLD[name]]


def decoder_of(name: str) -> StreamDecoder:
    return StreamDecoder(2 if name == "two_candidates" else 1)


def decoded(pieces: Iterable[bytes], decoder: StreamDecoder | None = None) -> list[Decoded]:
    decoder = decoder or StreamDecoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


def event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\r\n\r\n".encode()


def said(*parts: dict[str, Any], **more: object) -> bytes:
    return event(candidates=[{"content": {"parts": list(parts), "role": "model"}, **more}])


def text(piece: str, **more: object) -> bytes:
    return said({"text": piece}, **more)


CALL = said({"functionCall": {"name": "f", "args": {}}})
STOP = said(finishReason="STOP")
GARBAGE = b"data: {nonsense\r\n\r\n"


class TestCorpus:
    def test_every_recording_is_told(self) -> None:
        assert set(TOLD) == set(CORPUS)

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_whole(self, name: str) -> None:
        assert summary(decoded([CORPUS[name]], decoder_of(name))) == TOLD[name]

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_byte_by_byte(self, name: str) -> None:
        pieces = (CORPUS[name][n : n + 1] for n in range(len(CORPUS[name])))
        assert decoded(pieces, decoder_of(name)) == decoded([CORPUS[name]], decoder_of(name))

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_read_the_same_however_it_is_cut_in_two(self, name: str) -> None:
        data, whole = CORPUS[name], decoded([CORPUS[name]], decoder_of(name))
        for cut in range(len(data)):
            assert decoded([data[:cut], data[cut:]], decoder_of(name)) == whole, cut

    @pytest.mark.parametrize("name", CORPUS)
    def test_no_cut_before_the_last_finish_reason_is_finished(self, name: str) -> None:
        data = CORPUS[name]
        last = data.rfind(b'"finishReason"')
        for cut in range(len(data) if last < 0 or name not in FINISHED else data.find(b"\r\n\r\n", last) + 3):
            decoder = decoder_of(name)
            decoder.feed(data[:cut])
            assert not decoder.finished, cut

    @pytest.mark.parametrize("name", CORPUS)
    def test_is_finished_unless_it_failed(self, name: str) -> None:
        decoder = decoder_of(name)
        decoder.feed(CORPUS[name])
        assert decoder.finished is (name in FINISHED)
        assert decoder.done is (name == "imitator")
        assert decoder.finish_reason == TOLD[name].get("finish_reason")
        assert not decoder.tool_call_open
        assert decoder.malformed == 0

    @pytest.mark.parametrize("name", FINISHED)
    def test_the_raw_bytes_together_are_the_stream(self, name: str) -> None:
        items = decoded([CORPUS[name]], decoder_of(name))
        raw = b"".join(item.raw or b"" for item in items if isinstance(item, ChatChunk))
        assert raw == CORPUS[name].replace(b"\r\n", b"\n").removesuffix(b"data: [DONE]\n\n")

    @pytest.mark.parametrize("name", FINISHED)
    def test_as_a_list_it_says_the_same(self, name: str) -> None:
        events = CORPUS[name].replace(b"data: [DONE]\r\n\r\n", b"").split(b"\r\n\r\n")[:-1]
        body = b"[" + b",\r\n".join(line.removeprefix(b"data: ") for line in events) + b"]"
        assert gemini.sniff("application/json", body) == "json"
        chunks = decode_unary(body, 2 if name == "two_candidates" else 1)
        assert isinstance(chunks, list)
        assert summary(chunks) == TOLD[name]
        assert b"".join(chunk.raw or b"" for chunk in chunks) == body

    def test_signatures_are_state(self) -> None:
        def states(name: str) -> list[tuple[str, str]]:
            items = decoded([CORPUS[name]])
            return [
                (one.value, one.call) for item in items if isinstance(item, ChatChunk) for one in item.state
            ]

        assert states("thinking") == [("EoYCCoMCAXLI2nx5TyEj+/w8uA==", "")]
        assert states("tools") == [("EuQBCuEBc2lnbmF0dXJl", "qk5rv7x1")]
        assert states("image") == [("Eq0=", "")]
        assert states("tools_without_ids") == []

    def test_sources_are_citations(self) -> None:
        def cited(name: str) -> list[tuple[str, str]]:
            whole = TOLD[name]["text"]
            return [
                (one["url_citation"]["url"], whole[one["url_citation"]["start_index"] :][: one_length(one)])
                for item in decoded([CORPUS[name]])
                if isinstance(item, ChatChunk)
                for one in item.annotations
            ]

        def one_length(one: dict[str, Any]) -> int:
            length: int = one["url_citation"]["end_index"] - one["url_citation"]["start_index"]
            return length

        everything = TOLD["search"]["text"]
        assert cited("search") == [
            ("https://vertexaisearch.example/1", "Spain won in Žďár."),
            ("https://vertexaisearch.example/2", "Spain won in Žďár."),
            ("https://vertexaisearch.example/1", "It was 2–1."),
            ("https://maps.example/3", everything),
            ("https://docs.example/4", everything),
            ("https://image.example/5", everything),
        ]
        assert cited("recitation") == [("https://sonnets.example/18", "Shall I compare thee")]
        assert cited("vertex") == [("https://fr.example", "à tous.")]

    def test_logprobs_tier_and_waiting_are_told(self) -> None:
        tokens = [
            one["token"]
            for item in decoded([CORPUS["logprobs"]])
            if isinstance(item, ChatChunk)
            for one in item.logprobs
        ]
        assert "".join(tokens) == "Ja! 🎭"
        last = decoded([CORPUS["search"]])[-1]
        assert isinstance(last, ChatChunk)
        assert last.service_tier == "default"
        [failure] = decoded([CORPUS["rate_limited"]])
        assert isinstance(failure, Failure)
        assert failure.retry_after == 17


class TestGooglesOwn:
    """What Google's SDK makes of the same streams."""

    @pytest.mark.parametrize("name", sorted(set(FINISHED) - {"unknown", "imitator"}))
    def test_reads_the_same(self, name: str) -> None:
        texts: dict[str, str] = {}
        calls: list[tuple[str | None, dict[str, Any]]] = []
        reasons = []
        with answering(CORPUS[name], STREAM) as url:
            client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
            for response in client.models.generate_content_stream(model="gemini-3-flash", contents="Hi"):
                for candidate in response.candidates or ():
                    suffix = f"#{candidate.index}" if candidate.index else ""
                    for part in (candidate.content and candidate.content.parts) or ():
                        if part.text:
                            kind = ("reasoning" if part.thought else "text") + suffix
                            texts[kind] = texts.get(kind, "") + part.text
                        if part.function_call:
                            calls.append((part.function_call.name, part.function_call.args or {}))
                    if candidate.finish_reason:
                        reasons.append(candidate.finish_reason.value)
            client.close()
        told = TOLD[name]
        assert texts == {kind: told[kind] for kind in told if kind.startswith(("text", "reasoning"))}
        assert calls == [
            (made[1], json.loads(made[2])) for kind, made in told.items() if kind.startswith("call")
        ]
        assert reasons
        assert set(reasons) <= set(FINISH_REASONS)


class TestStream:
    def test_after_the_end_content_and_usage_are_still_read(self) -> None:
        late = event(usageMetadata={"promptTokenCount": 3}, candidates=[])
        decoder = StreamDecoder()
        items = decoded([text("x") + STOP, late], decoder)
        assert summary(items) == {"text": "x", "finish_reason": "stop", "usage": Usage(3)}
        assert (decoder.finished, decoder.done) == (True, False)

    def test_after_the_end_nothing_can_go_wrong(self) -> None:
        decoder = StreamDecoder()
        error = event(error={"code": 500, "message": "late"})
        items = decoded([STOP + GARBAGE + GARBAGE + error, b"data: " + b"x" * (33 << 20)], decoder)
        assert summary(items) == {"finish_reason": "stop", "malformed": 3}
        assert decoder.finished

    def test_an_imitators_done_before_the_end_is_no_end(self) -> None:
        decoder = StreamDecoder()
        assert summary(decoded([text("x") + b"data: [DONE]\n\n" + text("y")], decoder)) == {"text": "x"}
        assert (decoder.finished, decoder.done) == (False, True)

    def test_comments_and_events_without_data_are_no_chunks(self) -> None:
        assert decoded([b": hold on\n\nevent: ping\ndata: \n\n"]) == []

    def test_an_empty_candidate_is_a_chunk_without_content(self) -> None:
        [chunk] = decoded([event(candidates=[{}], usageMetadata={"promptTokenCount": 3})])
        assert isinstance(chunk, ChatChunk)
        assert not chunk.has_content

    def test_an_error_is_classed_as_if_it_were_a_status(self) -> None:
        error = {"code": 429, "message": "Slow down, AIza-1", "status": "RESOURCE_EXHAUSTED"}
        [failure] = decoded([event(error=error)], StreamDecoder(secrets=["AIza-1"]))
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.status) == (FailureKind.RATE_LIMITED, 429)
        assert failure.in_stream
        assert "AIza-1" not in failure.message

    @pytest.mark.parametrize(
        "data",
        [
            b'data: {"error":{"message":"no good"}}\n\n',
            b'data: [{"error":{"message":"no good"}}]\n\n',
            b'event: error\ndata: {"message":"no good"}\n\n',
            b"event: error\ndata: no good\n\n",
            b'data: {"error":"no good"}\n\n',
        ],
    )
    def test_an_error_in_any_shape_is_a_failure_and_the_last_thing(self, data: bytes) -> None:
        decoder = StreamDecoder()
        [failure] = decoded([data + text("late"), text("later")], decoder)
        assert isinstance(failure, Failure)
        assert failure.message == "no good"
        assert not decoder.finished

    @pytest.mark.parametrize(
        "data",
        [
            event(error={"message": "Overloaded"}),
            b"event: error\ndata: Overloaded\n\n",
            event(promptFeedback={"blockReason": "OTHER", "blockReasonMessage": "Overloaded"}),
            said(finishReason="OTHER", finishMessage="Overloaded"),
        ],
    )
    def test_the_users_own_rules_class_errors_first(self, data: bytes) -> None:
        rule = ErrorRule(None, "Overloaded", FailureKind.QUOTA)
        [failure] = decoded([data], StreamDecoder(rules=[rule]))
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.QUOTA

    def test_what_went_wrong_is_told_and_masked_but_does_not_decide_the_kind(self) -> None:
        message = "call f(key='AIza-1', note='prompt is too long')"
        data = said(finishReason="MALFORMED_FUNCTION_CALL", finishMessage=message)
        [failure] = decoded([data], StreamDecoder(secrets=["AIza-1"]))
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.SERVER_ERROR
        assert failure.message == (
            "finishReason MALFORMED_FUNCTION_CALL: call f(key='***', note='prompt is too long')"
        )

    @pytest.mark.parametrize(
        "before", [b"", text("a") + GARBAGE, CALL], ids=["first", "second in a row", "after a call"]
    )
    def test_a_malformed_event_elsewhere_is_a_failure(self, before: bytes) -> None:
        failure = decoded([before + GARBAGE])[-1]
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PROTOCOL

    @pytest.mark.parametrize("data", [b"data: [1]\n\n", b'data: {"candidates":7}\n\n', b"data: 1\n\n"])
    def test_json_that_is_no_response_is_malformed(self, data: bytes) -> None:
        assert isinstance(decoded([text("a") + data])[-1], Malformed)


class TestUnary:
    def test_is_one_chunk_a_candidate_with_everything(self) -> None:
        body = json.dumps(
            {
                "candidates": [
                    {"content": {"parts": [{"text": "Hm", "thought": True}, {"text": "a"}]}, "index": 0},
                    {"content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS", "index": 1},
                ],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
                "modelVersion": "gemini-3",
                "responseId": "r1",
            }
        ).encode()
        named: dict[str, Any] = {"model": "gemini-3", "id": "r1"}
        assert decode_unary(body, 2) == [
            ChatChunk("a", "Hm", raw=body, **named),
            ChatChunk("b", index=1, finish_reason="length", raw=b"", **named),
        ]
        [first, _] = decode_unary(body.replace(b'"index": 0', b'"finishReason": "STOP"'), 2)  # type: ignore[misc]
        assert first.finish_reason == "stop"

    def test_says_its_usage(self) -> None:
        body = (
            b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],'
            b'"usageMetadata":{"promptTokenCount":3}}'
        )
        [chunk] = decode_unary(body)  # type: ignore[misc]
        assert chunk.usage == Usage(3)

    @pytest.mark.parametrize(
        "body", [b" ", b'{"candidates":[]}', b'{"usageMetadata":{"promptTokenCount":1}}']
    )
    def test_an_answer_without_candidates_is_a_chunk_without_content(self, body: bytes) -> None:
        assert decode_unary(body) == [ChatChunk(raw=body)]

    def test_fewer_candidates_than_asked_for_are_no_whole_answer(self) -> None:
        failure = decode_unary(b'{"candidates":[{"finishReason":"STOP"}]}', 2)
        assert failure == Failure(FailureKind.PROTOCOL, "only 1 of 2 candidates came")

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}', "server_error"),
            (b'[{"error":{"code":429,"message":"Overloaded"}}]', "rate_limited"),
            (b'{"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"Over"}}', "content_filter"),
            (b'{"candidates":[{"finishReason":"OTHER","finishMessage":"Over"}]}', "server_error"),
        ],
    )
    def test_an_error_is_classed(self, body: bytes, kind: str) -> None:
        failure = decode_unary(body, secrets=["Over"])
        assert isinstance(failure, Failure)
        assert failure.kind == kind
        assert "Over" not in failure.message

    def test_the_users_own_rules_class_errors_first(self) -> None:
        rule = ErrorRule(None, "Overloaded", FailureKind.QUOTA)
        failure = decode_unary(b'{"error":{"message":"Overloaded"}}', rules=[rule])
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.QUOTA

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"<html>", "the answer is a web page"),
            (b'{"candidates":[', "the answer is cut or malformed JSON"),
            (b'[{"candidates":[', "the answer is cut or malformed JSON"),
            (b"1", "the answer is no JSON object"),
            (b'{"choices":[]}', "the answer is JSON, but none of Gemini's"),
            (b"[]", "the answer is JSON, but none of Gemini's"),
        ],
    )
    def test_anything_else_is_a_protocol_failure(self, body: bytes, message: str) -> None:
        failure = decode_unary(body)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.message) == (FailureKind.PROTOCOL, message)

    def test_only_a_length_and_a_policy_explain_an_empty_answer(self) -> None:
        reasons = [None, "stop", "tool_calls", "length", "content_filter"]
        assert [empty_is_legitimate(reason) for reason in reasons] == [False, False, False, True, True]

    @pytest.mark.parametrize(
        ("content_type", "first", "kind"),
        [
            ("text/event-stream", b"data: {", "sse"),
            ("text/event-stream", b" [{", "json"),
            ("application/json", b"\xef\xbb\xbf[", "json"),
            ("text/event-stream", b"{", "json"),
            ("application/json", b"", "json"),
            ("text/html", b"<html>", "unknown"),
        ],
    )
    def test_a_list_is_json(self, content_type: str, first: bytes, kind: str) -> None:
        assert gemini.sniff(content_type, first) == kind


class TestRequest:
    def test_the_headers(self) -> None:
        assert gemini.headers("AIza-1") == {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": f"understudy/{__version__}",
            "x-goog-api-key": "AIza-1",
        }
        assert "x-goog-api-key" not in gemini.headers(None)

    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("gemini-3-flash-preview", "/models/gemini-3-flash-preview"),
            ("models/gemini-2.5-pro", "/models/gemini-2.5-pro"),
            ("tunedModels/my-model_1.x~y", "/tunedModels/my-model_1.x~y"),
            ("google/gemini:x y?é#", "/models/google%2Fgemini%3Ax%20y%3F%C3%A9%23"),
        ],
    )
    def test_the_address_says_model_and_stream(self, model: str, path: str) -> None:
        assert gemini.path(model, False) == f"{path}:generateContent"
        assert gemini.path(model, True) == f"{path}:streamGenerateContent?alt=sse"

    def test_a_neutral_request_is_translated(self) -> None:
        request = ChatRequest.of("Hi", {"model": "theirs", "stream": False, "temperature": 1})
        body = encode_request(
            request,
            model="gemini-3-flash",
            stream=True,
            include_usage=True,
            defaults={"generationConfig": {"topK": 3}},
        )
        assert json.loads(body) == {
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "generationConfig": {"temperature": 1, "topK": 3},
        }

    def test_half_a_surrogate_pair_is_written_escaped(self) -> None:
        body = encode_request(ChatRequest.of("\ud83d!", {}), model="m", stream=False, include_usage=False)
        assert rb'"\ud83d!"' in body

    def test_what_is_left_out_is_named(self) -> None:
        assert gemini.left_out(ChatRequest.of("Hi", {"user": "u"})) == ("user",)
        assert gemini.NAME == "gemini"
