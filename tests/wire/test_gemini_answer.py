"""Gemini's responses as chunks: parts, calls, signatures, reasons, usage, citations, logprobs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.told import summary
from understudy.errors import FailureKind
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.gemini_answer import ERROR_REASONS, FINISH_REASONS, Reader, decode, decode_all
from understudy.wire.state import ProviderState


def read(*responses: dict[str, Any] | bytes, asked: int = 1) -> list[ChatChunk]:
    reader = Reader(asked)
    data = [said if isinstance(said, bytes) else json.dumps(said).encode() for said in responses]
    return [chunk for piece in data for chunk in reader.read(decode(piece), b"raw")]


def candidate(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}]}


def call(name: str = "f", args: Any = None, **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **({} if args is None else {"args": args}), **more}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"text": said, **more}


def cited(start: int, end: int, url: str, title: str = "") -> dict[str, Any]:
    inner = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": inner}


def citations(*responses: dict[str, Any]) -> list[Any]:
    return [annotation for chunk in read(*responses) for annotation in chunk.annotations]


class TestParts:
    def test_texts_and_thoughts_are_told_apart(self) -> None:
        said = candidate(
            text("a"), text("Hm", thought=True), text("b", thought=False), text("m", thought=True)
        )
        assert read(said) == [ChatChunk("ab", "Hmm", raw=b"raw")]

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"candidates": []},
            {"candidates": None},
            {"candidates": [None]},
            {"candidates": [{}]},
            {"candidates": [{"content": None}]},
            {"candidates": [{"content": {}}]},
            candidate(),
            candidate(None),
            candidate(text("")),
            candidate({"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
            candidate({"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}),
            candidate({"odd": 1}, finishReason=""),
            candidate(finishReason="FINISH_REASON_UNSPECIFIED"),
            {"modelVersion": "", "responseId": ""},
            {"promptFeedback": {"safetyRatings": []}},
            {"odd": True},
        ],
    )
    def test_a_response_without_content_is_a_chunk_with_nothing_but_its_bytes(self, said: Any) -> None:
        assert read(said) == [ChatChunk(raw=b"raw")]

    def test_model_and_id_are_on_every_chunk(self) -> None:
        named = {"modelVersion": "gemini-3", "responseId": "r1"}
        assert read(named, candidate(text("a")) | named) == [
            ChatChunk(model="gemini-3", id="r1", raw=b"raw"),
            ChatChunk("a", model="gemini-3", id="r1", raw=b"raw"),
        ]

    def test_the_first_candidate_carries_the_bytes(self) -> None:
        said = {"candidates": [{"content": {"parts": [text(one)]}} for one in "ab"]}
        assert read(said) == [ChatChunk("a", raw=b"raw"), ChatChunk("b", index=1, raw=b"")]

    def test_candidates_go_by_their_index_else_by_their_position(self) -> None:
        chunks = read(candidate(text("b"), index=1), candidate(text("a")), candidate(text("B"), index=1))
        assert summary(chunks) == {"text#1": "bB", "text": "a"}

    def test_broken_characters_are_mended(self) -> None:
        chunks = read(
            rb'{"candidates":[{"content":{"parts":[{"text":"a\ud83c"},{"text":"h\ud83c","thought":true}]}}]}',
            rb'{"candidates":[{"content":{"parts":[{"text":"\udfad"}]}}]}',
            b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
            rb'{"candidates":[{"content":{"parts":[{"text":"\ud83c"}]},"finishReason":"STOP"}]}',
        )
        assert summary(chunks) == {
            "text": "a🎭\ufffd\ufffd",
            "reasoning": "h\ufffd",
            "finish_reason": "stop",
        }

    @pytest.mark.parametrize(
        "data", [b"[1]", b"1", b"{", b'{"candidates":7}', b'{"candidates":[{"content":[]}]}', b"[{},{}]"]
    )
    def test_what_is_nothing_like_a_response_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"Expected|Expecting|expected"):
            decode(data)

    def test_an_error_may_be_wrapped_in_a_list(self) -> None:
        assert decode(b'[{"error":"no"}]').error == "no"

    def test_a_stream_may_come_as_a_list(self) -> None:
        said = decode_all(b' [{"responseId":"a"},\r\n{"responseId":"b"}]')
        assert [one.response_id for one in said] == ["a", "b"]
        assert [one.response_id for one in decode_all(b'[{"responseId":"\xff"}]')] == ["\ufffd"]
        assert [one.response_id for one in decode_all(b'{"responseId":"a"}')] == ["a"]


class TestCalls:
    def test_come_whole_and_are_numbered_in_their_order(self) -> None:
        chunks = read(candidate(call("f", {"x": 1}, id="a"), text("t")), candidate(call("g", {}, id="b")))
        assert [chunk.tool_calls for chunk in chunks] == [
            (ToolCallDelta(0, "a", "f", '{"x":1}'),),
            (ToolCallDelta(1, "b", "g", "{}"),),
        ]

    @pytest.mark.parametrize(
        ("args", "arguments"),
        [
            (None, "{}"),
            ({}, "{}"),
            ({"x": "é", "y": [1.0, None]}, '{"x":"é","y":[1.0,null]}'),
            ({"big": 2**70}, '{"big":1180591620717411303424}'),
            ("", "{}"),
            ('{"x": 1}', '{"x": 1}'),
        ],
    )
    def test_arguments_are_compact_json(self, args: Any, arguments: str) -> None:
        [chunk] = read(candidate(call(args=args)))
        assert chunk.tool_calls[0].arguments == arguments

    def test_half_a_surrogate_pair_in_arguments_is_mended(self) -> None:
        [chunk] = read(rb'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"x":"\ud83c"}}}]}}]}')
        assert chunk.tool_calls == (ToolCallDelta(0, "call_0_", None, '{"x":"\ufffd"}'),)

    def test_one_without_an_id_is_called_after_its_response(self) -> None:
        said = candidate(call("f"), call("g"))
        ids = [made.id for chunk in read(said | {"responseId": "r-1"}, said) for made in chunk.tool_calls]
        assert ids == ["call_r-1_0", "call_r-1_1", "call_2_f", "call_3_g"]

    def test_its_id_is_no_longer_than_openai_takes(self) -> None:
        [chunk] = read(candidate(*[call()] * 12) | {"responseId": "r" * 99})
        assert max(len(made.id or "") for made in chunk.tool_calls) <= 40

    def test_a_signature_is_state_with_its_calls_id(self) -> None:
        said = candidate(
            call("f", id="a") | {"thoughtSignature": "QQ=="},
            call("g") | {"thoughtSignature": "Qg=="},
            text("t", thoughtSignature="Qw=="),
            text("", thoughtSignature=""),
        )
        [chunk] = read(said)
        assert chunk.state == (
            ProviderState("gemini", "thoughtSignature", "QQ==", call="a"),
            ProviderState("gemini", "thoughtSignature", "Qg==", call="call_1_g"),
            ProviderState("gemini", "thoughtSignature", "Qw=="),
        )

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.none() | st.booleans())))
    def test_arguments_mean_what_came(self, args: dict[str, Any]) -> None:
        [chunk] = read(candidate(call(args=args)))
        arguments = json.loads(chunk.tool_calls[0].arguments)
        assert arguments == json.loads(json.dumps(args).encode().decode()) or "\ufffd" in str(arguments)


class TestEnd:
    @pytest.mark.parametrize(("said", "word"), [*FINISH_REASONS.items(), ("A_NEW_ONE", "A_NEW_ONE")])
    def test_reasons_are_put_into_openais_words(self, said: str, word: str) -> None:
        reader = Reader()
        [chunk] = reader.read(decode(json.dumps(candidate(finishReason=said)).encode()), b"")
        assert chunk.finish_reason == reader.finish_reason == word
        assert reader.finished

    def test_a_stop_after_a_call_is_tool_calls(self) -> None:
        assert read(candidate(call()), candidate(finishReason="STOP"))[-1].finish_reason == "tool_calls"
        assert read(candidate(call(), finishReason="STOP"))[-1].finish_reason == "tool_calls"
        assert read(candidate(call(), finishReason="MAX_TOKENS"))[-1].finish_reason == "length"

    def test_is_there_when_every_candidate_has_one(self) -> None:
        reader = Reader(2)
        for index, finished in ((0, False), (1, True)):
            said = candidate(text("x"), index=index, finishReason="STOP")
            reader.read(decode(json.dumps(said).encode()), b"")
            assert reader.finished is finished
        assert reader.came == 2

    def test_after_a_call_more_may_come_until_the_end(self) -> None:
        reader = Reader()
        for said, is_open in (
            (candidate(text("a")), False),
            (candidate(call()), True),
            (candidate(finishReason="STOP"), False),
        ):
            reader.read(decode(json.dumps(said).encode()), b"")
            assert reader.call_open is is_open

    @pytest.mark.parametrize(("reason", "kind"), ERROR_REASONS.items())
    def test_a_candidate_that_went_wrong_is_a_refusal(self, reason: str, kind: FailureKind) -> None:
        said = candidate(finishReason=reason)
        assert decode(json.dumps(said).encode()).refusal == (kind, f"finishReason {reason}")
        said = {"candidates": [None, said["candidates"][0] | {"finishMessage": "why"}]}
        assert decode(json.dumps(said).encode()).refusal == (kind, f"finishReason {reason}: why")

    def test_a_blocked_prompt_is_a_refusal(self) -> None:
        blocked: dict[str, Any] = {"promptFeedback": {"blockReason": "SAFETY"}}
        why = (FailureKind.CONTENT_FILTER, "the prompt was blocked: SAFETY")
        assert decode(json.dumps(blocked).encode()).refusal == why
        blocked["promptFeedback"]["blockReasonMessage"] = "No."
        assert decode(json.dumps(blocked).encode()).refusal == (why[0], f"{why[1]}: No.")

    @pytest.mark.parametrize(
        "said",
        [
            {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}},
            {"promptFeedback": {}},
            {"promptFeedback": {"blockReason": "SAFETY"}, "candidates": [{"finishReason": "STOP"}]},
            candidate(text("a"), finishReason="SAFETY"),
            {"candidates": [None]},
        ],
    )
    def test_anything_else_is_none(self, said: Any) -> None:
        assert decode(json.dumps(said).encode()).refusal is None


class TestUsage:
    def test_is_said_at_the_end_by_the_newest_figures(self) -> None:
        chunks = read(
            candidate(text("a")) | {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1}},
            candidate(text("b"), finishReason="STOP")
            | {
                "usageMetadata": {
                    "promptTokenCount": 4,
                    "toolUsePromptTokenCount": 10,
                    "cachedContentTokenCount": 3,
                    "candidatesTokenCount": 2,
                    "thoughtsTokenCount": 5,
                }
            },
        )
        usage = Usage(14, 7, reasoning_tokens=5, cached_tokens=3)
        assert [chunk.usage for chunk in chunks] == [None, usage]

    def test_may_come_before_or_after_the_end(self) -> None:
        said = {"usageMetadata": {"promptTokenCount": 4}}
        assert [one.usage for one in read(said, candidate(finishReason="STOP"))] == [None, Usage(4)]
        assert [one.usage for one in read(candidate(finishReason="STOP"), said)] == [None, Usage(4)]

    def test_of_several_candidates_the_last_end_says_it(self) -> None:
        said = candidate(finishReason="STOP", index=1) | {"usageMetadata": {"promptTokenCount": 4}}
        chunks = read(said, candidate(finishReason="STOP", index=0), asked=2)
        assert [chunk.usage for chunk in chunks] == [None, Usage(4)]

    @pytest.mark.parametrize("said", [{}, {"promptTokenCount": 0}, {"promptTokenCount": -3}])
    def test_all_zero_is_none(self, said: Any) -> None:
        [chunk] = read(candidate(finishReason="STOP") | {"usageMetadata": said})
        assert chunk.usage is None

    def test_odd_numbers_count_as_none(self) -> None:
        [chunk] = read(
            b'{"candidates":[{"finishReason":"STOP"}],'
            b'"usageMetadata":{"promptTokenCount":1e999,"candidatesTokenCount":"3"}}'
        )
        assert chunk.usage == Usage(0, 3)

    def test_the_tier_is_put_into_openais_words(self) -> None:
        def tier(word: str | None) -> str | None:
            [chunk] = read(candidate(finishReason="STOP") | {"usageMetadata": {"serviceTier": word}})
            return chunk.service_tier

        assert [tier(word) for word in (None, "standard", "flex", "priority")] == [
            None,
            "default",
            "flex",
            "priority",
        ]


class TestCitations:
    SAID = "Ž: won."

    def grounded(self, *supports: Any, chunks: Any = ({"web": {"uri": "u", "title": "t"}},)) -> Any:
        said = {"groundingChunks": list(chunks), "groundingSupports": list(supports)}
        return candidate(groundingMetadata=said)

    def test_bytes_become_characters(self) -> None:
        support = {"segment": {"startIndex": 4, "endIndex": 8}, "groundingChunkIndices": [0]}
        assert citations(candidate(text(self.SAID)), self.grounded(support)) == [cited(3, 7, "u", "t")]

    def test_a_segments_words_are_looked_for_where_they_do_not_stand(self) -> None:
        segments = [
            {"startIndex": 0, "endIndex": 4, "text": "won."},
            {"startIndex": 0, "endIndex": 2, "text": "lost"},
        ]
        supports = [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments]
        assert citations(candidate(text(self.SAID)), self.grounded(*supports)) == [
            cited(3, 7, "u", "t"),
            cited(0, 1, "u", "t"),
        ]

    def test_places_outside_the_text_are_moved_to_its_ends(self) -> None:
        segment = {"startIndex": -3, "endIndex": 99}
        support = {"segment": segment, "groundingChunkIndices": [0]}
        assert citations(candidate(text(self.SAID)), self.grounded(support)) == [cited(0, 7, "u", "t")]

    def test_a_source_that_no_segment_names_stands_for_all_of_the_text(self) -> None:
        chunks = [
            {"web": {"uri": "web"}},
            {"maps": {"uri": "maps", "title": "m"}},
            {"retrievedContext": {"uri": "context"}},
            {"image": {"sourceUri": "image"}},
        ]
        assert citations(candidate(text(self.SAID)), self.grounded({}, chunks=chunks)) == [
            cited(0, 7, "web"),
            cited(0, 7, "maps", "m"),
            cited(0, 7, "context"),
            cited(0, 7, "image"),
        ]

    def test_without_an_address_there_is_none(self) -> None:
        chunks = [{"retrievedContext": {"title": "t"}}, {}]
        support = {"groundingChunkIndices": [0, 1, 7, -1]}
        assert citations(candidate(text("a")), self.grounded(support, chunks=chunks)) == []
        assert citations(candidate(citationMetadata={"citationSources": [{"endIndex": 1}]})) == []

    def test_each_comes_once(self) -> None:
        said = self.grounded()
        assert len(citations(candidate(text("a")), said, said)) == 1

    @pytest.mark.parametrize("name", ["citationSources", "citations"])
    def test_quotations_are_citations_too(self, name: str) -> None:
        sources = [{"startIndex": 4, "endIndex": 8, "uri": "u", "title": "t"}, {"uri": "v"}]
        said = candidate(text(self.SAID), citationMetadata={name: sources})
        assert citations(said) == [cited(3, 7, "u", "t"), cited(0, 7, "v")]

    @pytest.mark.parametrize("odd", [7, {"groundingChunks": 7, "citationSources": 7}, {}])
    def test_odd_ones_are_no_reason_to_lose_the_content(self, odd: Any) -> None:
        [chunk] = read(candidate(text("a"), groundingMetadata=odd, citationMetadata=odd, logprobsResult=odd))
        assert chunk == ChatChunk("a", raw=b"raw")


class TestLogprobs:
    def test_are_openais_entries(self) -> None:
        said = {
            "chosenCandidates": [{"token": "é", "logProbability": -0.5, "tokenId": 1}, {"token": "b"}, {}],
            "topCandidates": [
                {
                    "candidates": [
                        {"token": "é", "logProbability": -0.5},
                        {"token": "e", "logProbability": -1},
                    ]
                },
                {},
            ],
        }
        [chunk] = read(candidate(text("éb"), logprobsResult=said))
        assert chunk.logprobs == (
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                    {"token": "e", "logprob": -1.0, "bytes": [101]},
                ],
            },
            {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
            {"token": "", "logprob": 0.0, "bytes": [], "top_logprobs": []},
        )
