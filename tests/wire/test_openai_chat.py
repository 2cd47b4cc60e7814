"""OpenAI chat: requests out. What answers say is in test_openai_answer."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from understudy._version import __version__
from understudy.config.aliases import WireFormat
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import cut_apart
from understudy.wire.openai_chat import (
    EMPTY_REASONS,
    NAME,
    PATH,
    empty_is_legitimate,
    encode_native,
    encode_request,
    headers,
    left_out,
    path,
    sniff,
)
from understudy.wire.state import ProviderState, tagged


class TestRequest:
    def encoded(self, request: ChatRequest, **how: Any) -> Any:
        how = {"model": "m", "stream": True, "include_usage": False, **how}
        return json.loads(encode_request(request, **how))

    def test_model_messages_and_stream_are_ours(self) -> None:
        request = ChatRequest.of("Hi", {"model": "theirs", "messages": [], "stream": False})
        assert self.encoded(request) == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
        }
        assert self.encoded(request, stream=False)["stream"] is False

    def test_the_requests_fields_win_over_the_profiles(self) -> None:
        request = ChatRequest.of("Hi", {"temperature": 0, "unknown": {"x": [1]}})
        body = self.encoded(request, defaults={"temperature": 1, "top_p": 0.5, "model": "theirs"})
        assert (body["temperature"], body["top_p"], body["unknown"]) == (0, 0.5, {"x": [1]})
        assert body["model"] == "m"

    @pytest.mark.parametrize(
        ("given_options", "include_usage", "sent"),
        [
            (None, True, {"include_usage": True}),
            ({"include_usage": False}, True, {"include_usage": True}),
            ({"include_obfuscation": False}, True, {"include_obfuscation": False, "include_usage": True}),
            ({"include_usage": False}, False, {"include_usage": False}),
        ],
    )
    def test_usage_is_asked_for_beside_what_the_caller_asks(
        self, given_options: object, include_usage: bool, sent: object
    ) -> None:
        request = ChatRequest.of("Hi", {"stream_options": given_options})
        assert self.encoded(request, include_usage=include_usage)["stream_options"] == sent

    def test_nobody_asked_for_usage(self) -> None:
        assert "stream_options" not in self.encoded(ChatRequest.of("Hi", {}))

    def test_a_unary_request_has_no_stream_options(self) -> None:
        request = ChatRequest.of("Hi", {"stream_options": {"include_usage": True}})
        assert "stream_options" not in self.encoded(request, stream=False, include_usage=True)

    def test_the_callers_own_values_are_left_alone(self) -> None:
        options = {"include_obfuscation": False}
        self.encoded(ChatRequest.of("Hi", {"stream_options": options}), include_usage=True)
        assert options == {"include_obfuscation": False}

    def test_any_mapping_and_sequence_is_written(self) -> None:
        messages = (MappingProxyType({"role": "user", "content": "Hi"}),)
        body = self.encoded(ChatRequest(messages, {"stop": range(2)}))
        assert body["messages"] == [{"role": "user", "content": "Hi"}]
        assert body["stop"] == [0, 1]

    def test_half_a_surrogate_pair_is_written_escaped(self) -> None:
        messages = (MappingProxyType({"content": "\ud83d"}),)
        body = encode_request(ChatRequest(messages), model="m", stream=False, include_usage=False)
        assert body == rb'{"model":"m","messages":[{"content":"\ud83d"}],"stream":false}'

    def test_state_is_nobodys_business_here(self) -> None:
        state = ProviderState("anthropic", "signature", "s", "Hm").to_dict()
        said = {"role": "assistant", "content": "a", "reasoning_content": "Hm"}
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "Hi"},
            {**said, "provider_state": [state]},
        ]
        assert self.encoded(ChatRequest(messages))["messages"] == [messages[0], said]

    def test_of_a_tools_result_only_text_stays_in_its_message(self) -> None:
        text: dict[str, Any] = {"type": "text", "text": "a"}
        image: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:,"}}
        first: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": [text, image]}
        second = {"role": "tool", "tool_call_id": "c2", "content": [image]}
        plain = {"role": "tool", "tool_call_id": "c3", "content": [text]}
        moved = [
            {"type": "text", "text": "From the result of the tool call c1:"},
            image,
            {"type": "text", "text": "From the result of the tool call c2:"},
            image,
        ]
        results = [{**first, "content": "a"}, {**second, "content": ""}, plain]
        given = [first, second, plain]
        afters: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
            (
                {"role": "user", "content": "b"},
                [{"role": "user", "content": [*moved, {"type": "text", "text": "b"}]}],
            ),
            ({"role": "user", "content": [image]}, [{"role": "user", "content": [*moved, image]}]),
            ({"role": "user", "content": None}, [{"role": "user", "content": moved}]),
            (
                {"role": "assistant", "content": "b"},
                [{"role": "user", "content": moved}, {"role": "assistant", "content": "b"}],
            ),
        ]
        for after, merged in afters:
            assert self.encoded(ChatRequest([*given, after]))["messages"] == [*results, *merged]
        whole = self.encoded(ChatRequest(given))["messages"]
        assert whole == [*results, {"role": "user", "content": moved}]

    def test_a_file_by_its_address_is_an_error(self) -> None:
        file = {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}}
        with pytest.raises(ValueError, match="file_url"):
            self.encoded(ChatRequest([{"role": "user", "content": ["odd", file]}]))

    @pytest.mark.parametrize(
        "messages", [["odd"], [{"role": "user", "content": 7}], [{"role": "tool", "content": ["x"]}]]
    )
    def test_odd_messages_are_the_backends_to_judge(self, messages: Any) -> None:
        said = self.encoded(ChatRequest(messages))["messages"]
        assert said == messages or said[0] == {"role": "tool", "content": ""}

    def test_nothing_is_left_out(self) -> None:
        assert left_out(ChatRequest.of("Hi", {"seed": 1, "future": 2})) == ()

    def test_what_is_no_json_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match="complex is not JSON"):
            self.encoded(ChatRequest.of("Hi", {"temperature": 1j}))

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
        assert path("m", True) == path("m", False) == PATH == "/chat/completions"

    def test_the_name_is_the_providers(self) -> None:
        assert WireFormat(NAME) is WireFormat.OPENAI


class TestNativeRequest:
    def encoded(self, *messages: object) -> bytes:
        fields = cut_apart(json.dumps({"model": "theirs", "messages": messages}).encode())
        return encode_native(fields, model="m", stream=False, include_usage=False)

    def test_state_that_another_formats_backend_handed_out_stays_out(self) -> None:
        word = tagged(ProviderState("anthropic", "signature", "s"))
        theirs = {"type": "reasoning.encrypted", "format": "understudy", "data": word}
        mine = {"type": "reasoning.encrypted", "data": "x", "index": 0}
        said = {"role": "assistant", "content": "a"}
        messages = [
            {"role": "user", "content": 'the words "data": "understudy.'},
            {**said, "reasoning_details": [theirs, mine, "odd"]},
            {**said, "reasoning_details": [theirs]},
            {**said, "reasoning_details": "odd"},
        ]
        assert json.loads(self.encoded(*messages))["messages"] == [
            messages[0],
            {**said, "reasoning_details": [mine, "odd"]},
            said,
            messages[3],
        ]

    @pytest.mark.parametrize("given_options", [b"", b',"stream_options":{"include_usage":false}'])
    def test_usage_is_asked_for_in_streams(self, given_options: bytes) -> None:
        fields = cut_apart(b'{"messages":[]' + given_options + b"}")
        body = encode_native(fields, model="m", stream=True, include_usage=True)
        assert json.loads(body)["stream_options"] == {"include_usage": True}

    def test_everything_else_goes_out_byte_for_byte(self) -> None:
        fields = cut_apart(rb'{"model":"theirs","messages":[ {"reasoning_details":[{"data":"\u00e9"}]} ]}')
        body = encode_native(fields, model="m", stream=False, include_usage=False)
        assert body == rb'{"model":"m","messages":[ {"reasoning_details":[{"data":"\u00e9"}]} ]}'


class TestNativeFields:
    def encoded(self, body: bytes, **how: Any) -> bytes:
        how = {"model": "m", "stream": True, "include_usage": False, **how}
        return encode_native(cut_apart(body), **how)

    def test_its_fields_go_out_byte_by_byte_and_in_their_order(self) -> None:
        body = b'{"seed": 1.50, "messages": [{"role":  "user"}], "n\\u0061me": "\\u00e9", "x": null}'
        sent = self.encoded(body)
        assert sent.startswith(b'{"seed":1.50,"messages":[{"role":  "user"}],"name":"\\u00e9","x":null')

    def test_the_model_is_ours_wherever_theirs_stood(self) -> None:
        assert self.encoded(b'{"model": "theirs", "stream": true}') == b'{"model":"m","stream":true}'
        assert self.encoded(b"{}") == b'{"model":"m"}'

    def test_the_requests_fields_win_over_the_profiles(self) -> None:
        body = json.loads(self.encoded(b'{"temperature": 0}', defaults={"temperature": 1, "top_p": 0.5}))
        assert body == {"temperature": 0, "top_p": 0.5, "model": "m"}

    @pytest.mark.parametrize(
        ("options", "include_usage", "sent"),
        [
            (b"null", True, {"include_usage": True}),
            (b'{"include_usage": false}', True, {"include_usage": True}),
            (b'{"a": 1}', True, {"a": 1, "include_usage": True}),
            (b'{"include_usage": false}', False, {"include_usage": False}),
        ],
    )
    def test_usage_is_asked_for_beside_what_the_client_asks(
        self, options: bytes, include_usage: bool, sent: object
    ) -> None:
        body = self.encoded(b'{"stream_options": %b}' % options, include_usage=include_usage)
        assert json.loads(body)["stream_options"] == sent

    def test_it_is_asked_for_where_the_client_said_nothing(self) -> None:
        asked = json.loads(self.encoded(b"{}", include_usage=True))
        assert asked["stream_options"] == {"include_usage": True}

    def test_a_unary_request_has_no_stream_options(self) -> None:
        sent = self.encoded(b'{"stream_options": {"include_usage": true}}', stream=False, include_usage=True)
        assert sent == b'{"model":"m"}'


class TestEmpty:
    @pytest.mark.parametrize("reason", [*sorted(EMPTY_REASONS), "SAFETY", "Content_Filter"])
    def test_a_length_and_a_policy_stop_explain_an_empty_answer(self, reason: str) -> None:
        assert empty_is_legitimate(reason)

    @pytest.mark.parametrize("reason", [None, "", "stop", "tool_calls", "function_call", "eos"])
    def test_nothing_else_does(self, reason: str | None) -> None:
        assert not empty_is_legitimate(reason)


class TestSniff:
    @pytest.mark.parametrize(
        ("start", "kind"),
        [
            (b"data: x", "sse"),
            (b"data:", "sse"),
            (b"data\n", "sse"),
            (b"event: x", "sse"),
            (b"id: 7", "sse"),
            (b"retry: 10\r\n", "sse"),
            (b": comment", "sse"),
            (b"\n\ndata: x", "sse"),
            (b"\xef\xbb\xbfdata: x", "sse"),
            (b"d", "sse"),
            (b"even", "sse"),
            (b'{"choices"', "json"),
            (b"\n  {", "json"),
            (b"\xef\xbb\xbf{", "json"),
            (b"<html>", "unknown"),
            (b"database error", "unknown"),
            (b"identity: x", "unknown"),
            (b"OK", "unknown"),
            (b"[", "unknown"),
            (b"\x1f\x8b", "unknown"),
        ],
    )
    @pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/html", None])
    def test_the_first_bytes_decide(self, content_type: str | None, start: bytes, kind: str) -> None:
        assert sniff(content_type, start) == kind

    @pytest.mark.parametrize("start", [b"", b"\n ", b"\xef", b"\xef\xbb", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize(
        ("content_type", "kind"),
        [
            ("text/event-stream; charset=utf-8", "sse"),
            ("Text/Event-Stream", "sse"),
            ("application/json", "json"),
            ("application/problem+json;x=y", "json"),
            ("text/html", "unknown"),
            ("", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_the_content_type_decides_while_they_say_nothing(
        self, content_type: str | None, kind: str, start: bytes
    ) -> None:
        assert sniff(content_type, start) == kind
