"""What OpenAI's completions say: recorded streams, cut at every position, and whole answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.told import Decoded, summary
from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.openai_chat import (
    ERROR_REASONS,
    StreamDecoder,
    decode_unary,
)

CORPUS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "corpus").glob("*.sse"))}


def decoded(pieces: Iterable[bytes], decoder: StreamDecoder | None = None) -> list[Decoded]:
    decoder = decoder or StreamDecoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


OPENAI = {"model": "gpt-4o-mini-2024-07-18", "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"}
AZURE = {"model": "gpt-4o-mini-2024-07-18", "id": "chatcmpl-AnhIt2rw8"}
OPENROUTER = {"model": "deepseek/deepseek-r1", "id": "gen-1764031697-vqvW0uz7ouT4gsp3FYqp"}
GROQ = {"model": "llama-3.3-70b-versatile", "id": "chatcmpl-f51b2cd2-bef7"}
DEEPSEEK = {"model": "deepseek-reasoner", "id": "930c60df-bf64-41c9-a88e-3ec75f81e00e"}
VLLM = {"model": "Qwen/Qwen3-8B", "id": "chatcmpl-4a1c8a3a3b7a4a0a"}
GEMINI = {"model": "gemini-3-flash-preview", "id": "kQkkacC9Nv6Kz7IP"}

TOLD: dict[str, dict[str, Any]] = {
    "openai": {
        **OPENAI,
        "text": "Hello, 世界! 🎭",
        "finish_reason": "stop",
        "usage": Usage(19, 10, cached_tokens=4),
    },
    "azure": {**AZURE, "text": "To be or not", "finish_reason": "stop", "usage": Usage(14, 4)},
    "azure_filtered": {**AZURE, "text": "First you", "finish_reason": "content_filter"},
    "openrouter": {
        **OPENROUTER,
        "reasoning": "Thinking.",
        "text": "Yes.",
        "finish_reason": "stop",
        "usage": Usage(1697, 52, reasoning_tokens=30, cached_tokens=1024),
    },
    "openrouter_error": {**OPENROUTER, "text": "Ye", "failure": ("server_error", 502)},
    "groq": {**GROQ, "text": "Break a leg", "finish_reason": "stop", "usage": Usage(36, 3)},
    "groq_error": {**GROQ, "failure": ("invalid_request", None)},
    "deepseek": {
        **DEEPSEEK,
        "reasoning": "嗯，好的",
        "text": "九.",
        "finish_reason": "stop",
        "usage": Usage(18, 62, reasoning_tokens=60, cached_tokens=16),
    },
    "deepseek_overloaded": {**DEEPSEEK, "text": "Nine", "failure": ("server_error", None)},
    "vllm": {**VLLM, "reasoning": "Hm", "text": "\n\nFour", "finish_reason": "stop", "usage": Usage(13, 4)},
    "vllm_error": {**VLLM, "failure": ("server_error", 500)},
    "together": {
        "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "id": "oEjWQ6-4Yz4kd-9b1",
        "text": "Once upon",
        "finish_reason": "eos",
        "usage": Usage(9, 3),
    },
    "openai_tools": {
        **OPENAI,
        "call 0": ["call_DdmO9pD3", "get_weather", '{"city":"Žďár "}'],
        "call 1": ["call_eM3fG7hJ", "get_time", '{"tz":"Europe/Prague"}'],
        "finish_reason": "tool_calls",
        "usage": Usage(75, 43),
    },
    "openai_function_call": {
        **OPENAI,
        "call 0": [None, "get_weather", '{"city":"Brno"}'],
        "finish_reason": "function_call",
    },
    "openai_two_choices": {
        **OPENAI,
        "text": "Heads!",
        "text#1": "Tails",
        "finish_reason": "length",
        "finish_reason#1": "stop",
        "usage": Usage(8, 6),
    },
    "openai_refusal": {**OPENAI, "refusal": "I can't do that.", "finish_reason": "stop"},
    "openai_audio": {
        **OPENAI,
        "audio": [{"id": "audio_67ab"}, {"transcript": "Hi"}, {"data": "AAD/"}, {"expires_at": 1764035297}],
        "finish_reason": "stop",
    },
    "openai_error": {**OPENAI, "failure": ("server_error", None)},
    "gemini_tools": {
        **GEMINI,
        "call 0": ["eaifhb3y", "get_weather", '{"city":"北京"}'],
        "call 1": ["mw4fnecu", "get_weather", '{"city":"上海"}'],
        "finish_reason": "stop",
        "usage": Usage(60, 55),
    },
    "gemini_malformed_call": {"failure": ("server_error", None)},
    "mistral": {
        "model": "magistral-medium-2509",
        "id": "cmpl-e5cc70bb",
        "reasoning": "Let me see.",
        "text": "Oui.",
        "finish_reason": "stop",
        "usage": Usage(10, 9),
    },
    "xai": {
        "model": "grok-4",
        "id": "a3d1008e-4544-40d4-d075-11527e794e4a",
        "reasoning": "Thinking... ",
        "text": "101",
        "finish_reason": "stop",
        "usage": Usage(32, 103, reasoning_tokens=94, cached_tokens=6),
    },
    "surrogate_halves": {
        "text": "a😀b🚀",
        "reasoning": "🤔",
        "call 0": ["c1", "say", '{"t":"😀"}'],
        "finish_reason": "tool_calls",
    },
    "odd_framing": {"model": "m", "id": "odd", "text": "one two three", "finish_reason": "stop"},
}


def event(body: object) -> bytes:
    return b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"


def delta(finish_reason: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish_reason}]}


STOP = event(delta("stop"))
DONE = b"data: [DONE]\n\n"
GARBAGE = b"data: {nonsense\n\n"


class TestCorpus:
    def test_every_recording_is_told(self) -> None:
        assert set(TOLD) == set(CORPUS)

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
    def test_is_finished_unless_it_failed(self, name: str) -> None:
        decoder = StreamDecoder(choices=2 if name == "openai_two_choices" else 1)
        decoder.feed(CORPUS[name])
        assert decoder.finished is ("failure" not in TOLD[name])
        assert decoder.finish_reason == TOLD[name].get("finish_reason")
        assert decoder.done is ("failure" not in TOLD[name])
        assert not decoder.tool_call_open
        assert decoder.malformed == 0

    @pytest.mark.parametrize("name", CORPUS)
    def test_every_cut_before_the_end_is_unfinished(self, name: str) -> None:
        """Whatever is missing from the last finish_reason's event on, it is no success."""
        decoder, data = StreamDecoder(), CORPUS[name]
        for end in range(0, len(data), 7):
            decoder = StreamDecoder()
            decoder.feed(data[:end])
            if decoder.finished:
                break
        assert decoder.finished is ("failure" not in TOLD[name])
        assert b"finish_reason" in data[:end]


class TestChunks:
    def test_an_event_is_one_chunk_that_carries_its_bytes(self) -> None:
        body = b'{"id":"i","model":"m","choices":[{"delta":{"content":"x"}}]}'
        assert decoded([event(body)]) == [ChatChunk("x", model="m", id="i", raw=event(body))]

    def test_of_several_choices_the_first_carries_bytes_and_usage(self) -> None:
        body = {
            "choices": [{"delta": {"content": "a"}}, None, {"index": 7, "delta": {"content": "b"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
        raw = json.dumps(body).encode()
        assert decoded([event(raw)]) == [
            ChatChunk("a", usage=Usage(1, 2), raw=event(raw)),
            ChatChunk("b", index=7, raw=b""),
        ]

    def test_a_choice_without_an_index_goes_by_its_position(self) -> None:
        choices = [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]
        assert summary(decoded([event({"choices": choices})])) == {"text": "a", "text#1": "b"}

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"type": "ping"},
            {"choices": []},
            {"choices": None},
            {"choices": [None]},
            {"choices": [{"index": 0}]},
            {"choices": [{"delta": None}], "usage": None, "error": None},
            {"choices": [{"delta": {"role": "assistant"}, "error": None}]},
            {"choices": [{"delta": {"content": "", "tool_calls": [], "refusal": None}}], "error": {}},
            {"choices": [{"delta": {"content": None, "tool_calls": None, "function_call": None}}]},
            {"choices": [{"delta": {"content": None, "audio": None}, "finish_reason": ""}]},
            {"choices": [{"delta": {}, "finish_reason": "null"}], "model": "", "id": ""},
            {"choices": [{"delta": {"reasoning": {"odd": 1}, "content": [1, {"type": "image"}]}}]},
            {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
            {"choices": [], "x_groq": {"id": "r"}},
        ],
    )
    def test_an_event_without_content_is_a_chunk_without_content(self, body: object) -> None:
        raw = json.dumps(body).encode()
        assert decoded([event(raw)]) == [ChatChunk(raw=event(raw))]
        assert not ChatChunk(raw=raw).has_content

    def test_an_event_without_choices_still_names_model_and_id(self) -> None:
        raw = b'{"choices":[],"model":"m","id":"i"}'
        assert decoded([event(raw)]) == [ChatChunk(model="m", id="i", raw=event(raw))]
        raw = b'{"choices":[],"model":"","id":""}'
        assert decoded([event(raw)]) == [ChatChunk(raw=event(raw))]

    def test_comments_and_events_without_data_are_no_chunks(self) -> None:
        assert decoded([b": ping\n\ndata:\n\ndata:  \n\nevent: ping\n\n"]) == []

    @pytest.mark.parametrize(
        ("fields", "text", "reasoning"),
        [
            ({"content": "a", "reasoning_content": "b"}, "a", "b"),
            ({"content": "a", "reasoning": "b"}, "a", "b"),
            ({"reasoning_content": "b", "reasoning": "b"}, "", "b"),
            ({"reasoning_content": "", "reasoning": "b"}, "", "b"),
            ({"content": [{"type": "text", "text": "a"}, "b", {"text": None}]}, "ab", ""),
            ({"content": [{"thinking": "t"}, {"text": "a"}], "reasoning": "r"}, "a", "rt"),
            ({"content": [{"thinking": [{"text": "t"}, "u"]}]}, "", "tu"),
        ],
    )
    def test_text_and_reasoning_go_by_many_names(
        self, fields: dict[str, Any], text: str, reasoning: str
    ) -> None:
        [chunk] = decoded([event(delta(**fields))])
        assert isinstance(chunk, ChatChunk)
        assert (chunk.text, chunk.reasoning) == (text, reasoning)

    def test_a_message_in_a_stream_is_read_like_a_delta(self) -> None:
        assert summary(decoded([event({"choices": [{"message": {"content": "x"}}]})])) == {"text": "x"}

    @pytest.mark.parametrize(
        ("logprobs", "entries"),
        [
            ({"content": [{"token": "a"}], "refusal": None}, ({"token": "a"},)),
            ({"content": None, "refusal": [{"token": "b"}]}, ({"token": "b"},)),
            ({"tokens": ["a"], "content": "odd"}, ()),
            (["odd"], ()),
            (None, ()),
        ],
    )
    def test_probabilities_are_told_entry_by_entry(
        self, logprobs: object, entries: tuple[object, ...]
    ) -> None:
        [chunk] = decoded([event({"choices": [{"delta": {"content": "a"}, "logprobs": logprobs}]})])
        assert isinstance(chunk, ChatChunk)
        assert (chunk.text, chunk.logprobs) == ("a", entries)

    @pytest.mark.parametrize(
        ("annotations", "told"),
        [([{"type": "url_citation"}], ({"type": "url_citation"},)), ("odd", ()), (None, ())],
    )
    def test_citations_are_told_as_they_come(self, annotations: object, told: tuple[object, ...]) -> None:
        [chunk] = decoded([event({"choices": [{"delta": {"content": "a", "annotations": annotations}}]})])
        assert isinstance(chunk, ChatChunk)
        assert (chunk.text, chunk.annotations) == ("a", told)

    @pytest.mark.parametrize(("tier", "told"), [("flex", "flex"), (7, None), (None, None)])
    def test_the_tier_is_told_wherever_it_is_named(self, tier: object, told: str | None) -> None:
        spoken = {"choices": [{"delta": {"content": "\ud83d!"}}], "service_tier": tier}
        chunks = decoded([event(spoken), event({"choices": [], "service_tier": tier})])
        assert [chunk.service_tier for chunk in chunks if isinstance(chunk, ChatChunk)] == [told, told]


class TestToolCalls:
    def told(self, *calls: object) -> dict[str, Any]:
        return summary(decoded(event(delta(tool_calls=[call])) for call in calls))

    def test_calls_without_an_index_are_numbered_as_they_begin(self) -> None:
        assert self.told(
            {"id": "a", "function": {"name": "f", "arguments": "1"}},
            {"function": {"arguments": "2"}},
            {"id": "a", "function": {"name": "f", "arguments": "3"}},
            {"id": "b", "function": {"name": "f", "arguments": "4"}},
            {"function": {"name": "g", "arguments": "5"}},
            {"function": {"name": "", "arguments": "6"}},
            {"id": "c", "function": {"arguments": "7"}},
            {"custom": {"name": "h", "input": "8"}},
        ) == {
            "call 0": ["a", "f", "123"],
            "call 1": ["b", "f", "4"],
            "call 2": [None, "g", "56"],
            "call 3": ["c", None, "7"],
            "call 4": [None, "h", "8"],
        }

    def test_a_delta_that_brings_nothing_begins_no_call(self) -> None:
        assert self.told({"extra_content": {}}, {"id": "a", "function": {"name": "f"}}) == {
            "call 0": ["a", "f", ""]
        }

    def test_an_index_is_taken_as_it_comes(self) -> None:
        assert self.told(
            {"index": 2, "id": "a", "function": {"name": "f", "arguments": "1"}},
            {"index": 0, "id": "", "function": {"name": None, "arguments": None}},
            {"index": 2, "id": "a", "function": {"name": "f", "arguments": "2"}},
        ) == {"call 2": ["a", "f", "12"], "call 0": [None, None, ""]}

    def test_nulls_among_the_calls_are_skipped(self) -> None:
        calls = [None, {"index": 0, "id": "a", "function": None}]
        [chunk] = decoded([event(delta(tool_calls=calls))])
        assert isinstance(chunk, ChatChunk)
        assert chunk.tool_calls == (ToolCallDelta(0, "a"),)
        assert not chunk.has_content

    def test_empty_strings_are_no_id_and_no_name(self) -> None:
        calls = [{"index": 0, "id": "", "function": {"name": ""}}, {"index": 1, "id": ""}]
        [chunk] = decoded([event(delta(tool_calls=calls))])
        assert isinstance(chunk, ChatChunk)
        assert chunk.tool_calls == (ToolCallDelta(0), ToolCallDelta(1))

    def test_arguments_as_an_object_become_json(self) -> None:
        call = {"index": 0, "function": {"name": "f", "arguments": {"město": "Brno", "n": 1}}}
        assert self.told(call) == {"call 0": [None, "f", '{"město":"Brno","n":1}']}

    def test_a_custom_tools_input_stands_for_its_arguments(self) -> None:
        call = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "free text"}}
        assert self.told(call) == {"call 0": ["a", "f", "free text"]}

    def test_a_call_is_open_from_its_first_delta_to_its_choices_end(self) -> None:
        decoder = StreamDecoder(choices=2)
        call = {"index": 0, "function": {"name": "f"}}
        for item, is_open in [
            (delta(content="x"), False),
            (delta(tool_calls=[call]), True),
            (delta(content="x"), True),
            (delta(index=1, tool_calls=[call]), True),
            (delta("tool_calls"), True),
            (delta("tool_calls", index=1), False),
            (delta(tool_calls=[call]), False),
        ]:
            decoder.feed(event(item))
            assert decoder.tool_call_open is is_open

    def test_the_old_function_call_is_open_too(self) -> None:
        decoder = StreamDecoder()
        decoder.feed(event(delta(function_call={"name": "f"})))
        assert decoder.tool_call_open

    def test_arguments_split_at_every_byte_are_the_same(self) -> None:
        arguments = '{"text": "žluťoučký \\"kůň\\" 🐎"}'
        pieces = [{"index": 0, "function": {"arguments": letter}} for letter in arguments]
        assert self.told({"index": 0, "id": "a", "function": {"name": "f"}}, *pieces) == {
            "call 0": ["a", "f", arguments]
        }

    def test_arguments_that_are_no_json_pass(self) -> None:
        call = {"index": 0, "function": {"name": "f", "arguments": '{"a":'}}
        assert self.told(call) == {"call 0": [None, "f", '{"a":']}


class TestEnd:
    def test_every_choice_asked_for_must_finish(self) -> None:
        decoder = StreamDecoder(choices=2)
        decoder.feed(event(delta("stop")) * 2)
        assert not decoder.finished
        decoder.feed(event(delta("length", index=1)))
        assert decoder.finished
        assert decoder.finish_reason == "length"

    def test_usage_after_the_marker_is_read(self) -> None:
        usage = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
        assert summary(decoded([STOP, usage])) == {"finish_reason": "stop", "usage": Usage(1, 2)}


MALFORMED = [
    pytest.param(GARBAGE, id="no JSON"),
    pytest.param(b'data: {"choices":[{"delta":{"content":"cut\n\n', id="cut JSON"),
    pytest.param(b"data: [1,2]\n\n", id="a list"),
    pytest.param(b'data: "text"\n\n', id="a string"),
    pytest.param(b"data: null\n\n", id="null"),
    pytest.param(b'data: {"choices":"none"}\n\n', id="choices of a wrong type"),
    pytest.param(b'data: {"choices":[{"delta":"x"}]}\n\n', id="a delta of a wrong type"),
    pytest.param(b'data: {"choices":[{"delta":{"content":7}}]}\n\n', id="content of a wrong type"),
    pytest.param(b"data: <html>\n\n", id="a web page"),
    pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="nested beyond reason"),
    pytest.param(b'data: {"x":' + b"[" * 100_000 + b"\n\n", id="nested beyond reason, in an object"),
    pytest.param(b'event: error\ndata: {"message":' + b"9" * 5000 + b"}\n\n", id="a number beyond reason"),
]


class TestMalformed:
    @pytest.mark.parametrize("garbage", MALFORMED[:-1])
    def test_an_isolated_event_is_dropped_and_counted(self, garbage: bytes) -> None:
        decoder = StreamDecoder()
        sound = event(delta(content="x"))
        items = decoded([sound, garbage, sound, garbage, STOP, DONE], decoder)
        assert summary(items) == {"text": "xx", "malformed": 2, "finish_reason": "stop"}
        assert decoder.malformed == 2
        assert decoder.finished

    @pytest.mark.parametrize("garbage", MALFORMED[:-1])
    def test_the_very_first_event_is_a_failure(self, garbage: bytes) -> None:
        decoder = StreamDecoder()
        assert summary(decoded([b": c\n\n", garbage, STOP], decoder)) == {"failure": ("protocol", None)}
        assert decoder.malformed == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("data", "kind", "status"),
        [
            pytest.param(
                event({"error": {"message": "x", "code": 429}}), "rate_limited", 429, id="an object"
            ),
            pytest.param(event({"error": "maximum context length"}), "context_length", None, id="a string"),
            pytest.param(event({"error": True}), "server_error", None, id="true"),
            pytest.param(
                event({"choices": [], "error": {"code": 502}}), "server_error", 502, id="with choices"
            ),
            pytest.param(
                event(delta("stop", content="x") | {"error": {"code": 402}}), "quota", 402, id="with a marker"
            ),
            pytest.param(
                event({"choices": [{"delta": {}, "error": {"code": 403, "message": "x"}}]}),
                "auth",
                403,
                id="in a choice",
            ),
            pytest.param(
                event({"choices": [], "x_groq": {"error": "over"}}), "server_error", None, id="x_groq"
            ),
            pytest.param(
                event({"object": "error", "message": "x", "code": 400}),
                "invalid_request",
                400,
                id="at the top",
            ),
            pytest.param(
                event({"type": "error", "message": "x", "status": 401}), "auth", 401, id="by its type"
            ),
            pytest.param(event([{"error": {"code": 429}}]), "rate_limited", 429, id="in a list"),
            pytest.param(
                b'event: error\ndata: {"message": "too many requests"}\n\n',
                "rate_limited",
                None,
                id="by name",
            ),
            pytest.param(b"event: error\ndata: it \xffbroke\n\n", "server_error", None, id="in plain words"),
            pytest.param(
                b'data: {"error": {"message": "rate limit \\ud83d"}}\n\n',
                "rate_limited",
                None,
                id="half a pair",
            ),
        ],
    )
    def test_an_error_in_any_event_ends_the_stream(self, data: bytes, kind: str, status: int | None) -> None:
        decoder = StreamDecoder()
        items = decoded([event(delta(content="x")), data + STOP, DONE], decoder)
        assert summary(items) == {"text": "x", "failure": (kind, status)}
        assert isinstance(items[-1], Failure)
        assert items[-1].in_stream
        assert not decoder.finished

    @pytest.mark.parametrize("reason", [*sorted(ERROR_REASONS), "ERROR", "function_call_filter: OTHER"])
    def test_some_finish_reasons_are_errors(self, reason: str) -> None:
        items = decoded([event(delta(reason, content="x") | {"x_groq": {"id": "r"}}), STOP])
        assert summary(items) == {"failure": ("server_error", None)}
        assert isinstance(items[0], Failure)
        assert items[0].message == f"finish_reason {reason}"

    @pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "eos", "end_turn"])
    def test_any_other_is_a_marker(self, reason: str) -> None:
        decoder = StreamDecoder()
        assert summary(decoded([event(delta(reason))], decoder)) == {"finish_reason": reason}
        assert decoder.finished

    def test_a_garbled_error_event_is_still_an_error(self) -> None:
        garbled = b'event: error\ndata: {"message":' + b"9" * 5000 + b"}\n\n"
        assert summary(decoded([garbled])) == {"failure": ("server_error", None)}

    def test_rules_and_secrets_reach_the_classing(self) -> None:
        decoder = StreamDecoder(rules=[ErrorRule(None, "odd", FailureKind.AUTH)], secrets=["my-own-key"])
        [failure] = decoder.feed(event({"error": {"message": "odd my-own-key"}}))
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.AUTH
        assert failure.message == "odd ***"


class TestCharacters:
    def test_broken_utf8_is_replaced_and_the_rest_stays(self) -> None:
        data = b'data: {"choices":[{"delta":{"content":"a\xff\xe4\xbd\xa0"}}]}\n\n'
        assert summary(decoded([data])) == {"text": "a�你"}

    def test_control_characters_pass(self) -> None:
        assert summary(decoded([b'data: {"choices":[{"delta":{"content":"a\x07b"}}]}\n\n'])) == {
            "text": "a\x07b"
        }

    def test_odd_types_beside_the_content_do_no_harm(self) -> None:
        data = {
            "id": 7, "model": ["m"], "object": 1, "type": {}, "usage": "none", "x_groq": "none",
            "choices": [{"index": "0", "delta": {"content": "x"}}],
        }  # fmt: skip
        assert summary(decoded([event(data)])) == {"text": "x"}

    def test_an_event_with_half_a_pair_is_read_like_any_other(self) -> None:
        data = (
            rb'{"id":"i","model":"m","choices":[{"delta":{"content":"x\ud83d"}}],'
            rb'"x_groq":{"usage":{"prompt_tokens":1}}}'
        )
        assert decoded([event(data)]) == [ChatChunk("x", usage=Usage(1), model="m", id="i", raw=event(data))]

    @pytest.mark.parametrize("field", ["object", "type"])
    def test_an_error_with_half_a_pair_is_told_by_its_own_fields(self, field: str) -> None:
        data = b'{"%s":"error","message":"rate limit \\ud83d"}' % field.encode()
        assert summary(decoded([event(data)])) == {"failure": ("rate_limited", None)}

    def test_a_half_that_stays_alone_is_replaced_at_the_end(self) -> None:
        half = rb"\ud83d"
        message = b'{"content":"a%s","reasoning":"b%s","refusal":"c%s"}' % (half, half, half)
        data = b'data: {"choices":[{"delta":%s}]}\n\n' % message
        assert summary(decoded([data, STOP])) == {
            "text": "a�", "reasoning": "b�", "refusal": "c�", "finish_reason": "stop",
        }  # fmt: skip

    def test_a_half_in_arguments_is_replaced_at_the_end(self) -> None:
        call = rb'{"index":3,"function":{"name":"f","arguments":"x\ud83d"}}'
        data = b'data: {"choices":[{"delta":{"tool_calls":[%s]}}]}\n\n' % call
        assert summary(decoded([data, STOP])) == {"call 3": [None, "f", "x�"], "finish_reason": "stop"}

    @given(st.text(), st.lists(st.integers(0, 30)))
    def test_any_text_split_anywhere_in_escapes_is_the_same(self, text: str, cuts: list[int]) -> None:
        units = text.encode("utf-16-le")
        edges = [0, *sorted(min(cut * 2, len(units)) for cut in cuts), len(units)]
        pieces = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(edges)]
        stream = b"".join(event(delta(content=piece)) for piece in pieces) + STOP
        assert summary(decoded([stream])).get("text", "") == text


class TestUsage:
    @pytest.mark.parametrize(
        ("usage", "read"),
        [
            ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
            ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4)),
            ({"prompt_tokens": 3}, Usage(3, 0)),
            ({"prompt_tokens": 3, "total_tokens": 7}, Usage(3, 4)),
            ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 0}, Usage(3, 4)),
            ({"prompt_tokens": 3.0, "completion_tokens": "4"}, Usage(3, 4)),
            ({"prompt_tokens": -3, "completion_tokens": 4}, Usage(0, 4)),
            (
                {"prompt_tokens": 3, "completion_tokens": 4, "prompt_cache_hit_tokens": 2},
                Usage(3, 4, cached_tokens=2),
            ),
            (
                {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2}},
                Usage(3, 0, cached_tokens=1, cache_write_tokens=2),
            ),
            ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
            ({"prompt_tokens": None, "completion_tokens": None}, None),
            (
                {"prompt_tokens_details": None, "completion_tokens_details": None, "prompt_tokens": 1},
                Usage(1, 0),
            ),
            ({}, None),
            (None, None),
            ("many", None),
        ],
    )
    def test_in_all_its_spellings(self, usage: object, read: Usage | None) -> None:
        [chunk] = decoded([event({"choices": [], "usage": usage})])
        assert isinstance(chunk, ChatChunk)
        assert chunk.usage == read

    @pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
    def test_numbers_that_are_none_count_nothing(self, number: bytes) -> None:
        usage = b'{"prompt_tokens":%s,"completion_tokens":2}' % number
        [chunk] = decoded([event(b'{"choices":[],"usage":%s}' % usage)])
        assert isinstance(chunk, ChatChunk)
        assert chunk.usage == Usage(0, 2)

    def test_the_usual_place_comes_before_groqs_own(self) -> None:
        body = {"usage": {"prompt_tokens": 1}, "x_groq": {"usage": {"prompt_tokens": 2}}}
        assert summary(decoded([event(body)])) == {"usage": Usage(1, 0)}


def answer(message: object, finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "i", "object": "chat.completion", "model": "m", "choices": [choice], **more}


def unary(body: object, choices: int = 1, **more: Any) -> list[ChatChunk] | Failure:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_unary(data, choices, **more)


def only_chunk(body: object) -> ChatChunk:
    outcome = unary(body)
    assert isinstance(outcome, list)
    [chunk] = outcome
    return chunk


def kind_and_message(outcome: list[ChatChunk] | Failure) -> tuple[str, str]:
    assert isinstance(outcome, Failure)
    return str(outcome.kind), outcome.message


class TestUnary:
    def test_a_whole_answer_is_one_chunk_a_choice(self) -> None:
        body = answer(
            {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "refusal": None},
            usage={"prompt_tokens": 3, "completion_tokens": 4},
        )
        body["choices"].append({"index": 1, "message": {"content": "Ho"}, "finish_reason": "length"})
        raw = json.dumps(body).encode()
        assert unary(raw, 2) == [
            ChatChunk("Hi", "Hm", finish_reason="stop", usage=Usage(3, 4), model="m", id="i", raw=raw),
            ChatChunk("Ho", index=1, finish_reason="length", model="m", id="i", raw=b""),
        ]

    def test_tool_calls_come_whole_and_numbered(self) -> None:
        calls = [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]
        chunk = only_chunk(answer({"content": None, "tool_calls": calls}, "tool_calls"))
        assert chunk.tool_calls == (ToolCallDelta(0, "a", "f", '{"x":1}'), ToolCallDelta(1, "b", "f", "{}"))

    def test_a_list_of_parts_is_joined(self) -> None:
        chunk = only_chunk(
            answer({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
        )
        assert chunk.text == "ab"

    def test_one_choice_is_enough_unless_more_were_asked_for(self) -> None:
        assert decode_unary(b'{"choices":[{"message":{}}]}') == [
            ChatChunk(raw=b'{"choices":[{"message":{}}]}')
        ]

    def test_a_missing_finish_reason_is_not_made_up(self) -> None:
        chunk = only_chunk(answer({"content": "x"}, None))
        assert (chunk.text, chunk.finish_reason) == ("x", None)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" \n",
            {"choices": []},
            {"choices": None},
            {"object": "chat.completion"},
            answer({"content": None}, None) | {"id": None, "model": None},
            answer({"content": ""}, "") | {"id": None, "model": None},
            answer(None, None) | {"id": None, "model": None},
        ],
    )
    def test_an_answer_without_content_is_a_chunk_without_content(self, body: object) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert unary(raw) == [ChatChunk(raw=raw)]

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"<!doctype html><title>502</title>", "the answer is a web page"),
            (json.dumps(answer({"content": "x"})).encode()[:-2], "the answer is cut or malformed JSON"),
            (b'{"choices": 7}', "the answer is cut or malformed JSON"),
            (b'data: {"choices":[]}\n\n', "the answer is no JSON object"),
            (b"[]", "the answer is no JSON object"),
            (b"\x1f\x8b\x08", "the answer is no JSON object"),
            ({"detail": "hello"}, "the answer is JSON, but no chat completion"),
            ({}, "the answer is JSON, but no chat completion"),
        ],
    )
    def test_what_is_no_completion_is_a_protocol_failure(self, body: object, message: str) -> None:
        assert kind_and_message(unary(body)) == ("protocol", message)

    def test_fewer_choices_than_asked_for_are_no_whole_answer(self) -> None:
        assert kind_and_message(unary(answer({"content": "x"}), 2)) == (
            "protocol",
            "only 1 of 2 choices came",
        )

    @pytest.mark.parametrize(
        ("body", "kind", "message"),
        [
            ({"error": {"code": 429, "message": "x"}}, "rate_limited", "429 Too Many Requests: x"),
            ([{"error": {"code": 503, "message": "x"}}], "server_error", "503 Service Unavailable: x"),
            (
                {"object": "error", "message": "maximum context length"},
                "context_length",
                "maximum context length",
            ),
            (answer({"content": "x"}, "error"), "server_error", "finish_reason error"),
            (answer({"content": "x"}) | {"error": "insufficient balance"}, "quota", "insufficient balance"),
        ],
    )
    def test_an_error_in_a_200_is_classed(self, body: object, kind: str, message: str) -> None:
        outcome = unary(body)
        assert kind_and_message(outcome) == (kind, message)
        assert isinstance(outcome, Failure)
        assert outcome.in_stream

    def test_rules_and_secrets_reach_the_classing(self) -> None:
        rules = [ErrorRule(None, "odd", FailureKind.AUTH)]
        outcome = unary({"error": "odd my-own-key"}, rules=rules, secrets=["my-own-key"])
        assert kind_and_message(outcome) == ("auth", "odd ***")

    def test_half_a_surrogate_pair_is_replaced(self) -> None:
        chunk = only_chunk(rb'{"choices":[{"message":{"content":"x\ud83d"},"finish_reason":"stop"}]}')
        assert chunk.text == "x�"

    @given(st.binary(max_size=64))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        outcome = decode_unary(body)
        assert isinstance(outcome, Failure) or not outcome[0].has_content
