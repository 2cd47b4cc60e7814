"""Anthropic requests in neutral words."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from understudy.wire.anthropic_conversation import chat_of
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import BadRequest, cut_apart
from understudy.wire.state import ProviderState, tagged


def chat(*turns: object, **fields: object) -> ChatRequest:
    return chat_of(
        cut_apart(msgspec.json.encode({"messages": turns or [user("Hi")], "model": "m", **fields}))
    )


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(*content: object) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def result(content: object = None, **more: object) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t1", "content": content, **more}


def tool_use(**more: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": "é"}, **more}


def tool_message(content: object) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "t1", "content": content}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}


class TestMessages:
    def test_the_system_is_one_message(self) -> None:
        assert chat(system="Be brief.").messages[0] == {"role": "system", "content": "Be brief."}
        marked = {**text("a"), "cache_control": {"type": "ephemeral"}}
        assert chat(system=[marked, text("b")]).messages[0] == {"role": "system", "content": "a\n\nb"}
        nothings: list[object] = [None, "", []]
        assert all(chat(system=nothing).messages == [user("Hi")] for nothing in nothings)

    def test_a_system_turn_stays_where_it_is(self) -> None:
        turns = [user("a"), {"role": "system", "content": [text("b")]}, user("c")]
        assert chat(*turns).messages == [user("a"), {"role": "system", "content": "b"}, user("c")]

    def test_one_text_is_a_string(self) -> None:
        assert chat(user([text("a")]), user([])).messages == [user("a")]
        assert chat(user([text("a"), text("b")])).messages == [user([text("a"), text("b")])]
        assert chat(user([{**text("a"), "citations": [], "cache_control": {}}])).messages == [user("a")]

    def test_images_are_parts(self) -> None:
        by_address = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
        part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        assert chat(user([IMAGE, by_address])).messages == [user([IMAGE_PART, part])]

    def test_documents_are_files_or_texts(self) -> None:
        plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "b"}}
        mixed = {"type": "document", "source": {"type": "content", "content": [text("c"), IMAGE]}}
        said = {"type": "document", "source": {"type": "content", "content": "d"}}
        data = "data:application/pdf;base64,JVBE"
        assert chat(user([PDF, {**PDF, "title": "a.pdf"}, plain, mixed, said])).messages[0]["content"] == [
            {"type": "file", "file": {"filename": "document.pdf", "file_data": data}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
            text("b"),
            text("c"),
            IMAGE_PART,
            text("d"),
        ]

    def test_documents_by_address_are_files(self) -> None:
        paper = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
        assert chat(user([paper, {**paper, "title": "a.pdf"}])).messages[0]["content"] == [
            {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
            {"type": "file", "file": {"file_url": "https://example.org/a.pdf", "filename": "a.pdf"}},
        ]

    def test_an_assistants_blocks_are_text_and_calls(self) -> None:
        function = {"name": "f", "arguments": '{"x":"é"}'}
        call = {"id": "t1", "type": "function", "function": function}
        turns = [user("a"), assistant(text("b"), text("c"), tool_use()), assistant(tool_use())]
        assert chat(*turns).messages[1:] == [
            {"role": "assistant", "content": "bc", "tool_calls": [call]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]

    def test_of_thoughts_the_state_is_kept(self) -> None:
        other = ProviderState("gemini", "thoughtSignature", "x", call="t1")
        turn = assistant(
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "EmwK"},
            {"type": "thinking", "thinking": "So", "signature": tagged(other)},
        )
        assert chat(user("a"), turn).messages[1] == {
            "role": "assistant",
            "content": "",
            "provider_state": [
                {"issuer": "anthropic", "kind": "signature", "value": "s", "text": "Hm"},
                {"issuer": "anthropic", "kind": "redacted_thinking", "value": "EmwK"},
                {"issuer": "gemini", "kind": "thoughtSignature", "value": "x", "text": "So", "call": "t1"},
            ],
        }

    @pytest.mark.parametrize(
        "signature", [{}, {"signature": ""}, {"signature": None}, {"signature": "understudy.?"}]
    )
    def test_a_thought_that_nobody_vouches_for_is_left_out(self, signature: dict[str, Any]) -> None:
        turn = assistant({"type": "thinking", "thinking": "Hm", **signature}, text("b"))
        assert chat(user("a"), turn).messages[1] == {"role": "assistant", "content": "b"}


class TestResults:
    def test_come_before_the_rest_of_the_turn(self) -> None:
        other = result("b", tool_use_id="t2")
        assert chat(user([text("c"), result("a"), other])).messages == [
            tool_message("a"),
            {"role": "tool", "tool_call_id": "t2", "content": "b"},
            user("c"),
        ]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (result(), ""),
            ({"type": "tool_result", "tool_use_id": "t1"}, ""),
            (result("a"), "a"),
            (result([text("a"), text("b")]), "a\n\nb"),
            (result("a", is_error=False), "a"),
            (result("a", is_error=True), "Error: a"),
            (result("error: a", is_error=True), "error: a"),
            (result(is_error=True), "Error"),
        ],
    )
    def test_are_text(self, given: object, said: str) -> None:
        assert chat(user([given])).messages == [tool_message(said)]

    @pytest.mark.parametrize(
        ("given", "parts"),
        [
            (result([text("a"), IMAGE]), [text("a"), IMAGE_PART]),
            (result([IMAGE, text("a")], is_error=True), [text("Error: a"), IMAGE_PART]),
            (
                result([IMAGE, text(""), text("error a")], is_error=True),
                [IMAGE_PART, text(""), text("error a")],
            ),
            (
                result([text(""), IMAGE, text("a"), text("b")], is_error=True),
                [text("Error: a"), IMAGE_PART, text("b")],
            ),
            (result([IMAGE], is_error=True), [text("Error"), IMAGE_PART]),
        ],
    )
    def test_are_parts_where_they_are_more(self, given: object, parts: list[object]) -> None:
        assert chat(user([given])).messages == [tool_message(parts)]


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"max_tokens": 5}, {"max_tokens": 5}),
            ({"temperature": 1, "top_p": 0.5}, {"temperature": 1.0, "top_p": 0.5}),
            ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
            ({"stop_sequences": []}, {}),
            ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
            ({"metadata": {"user_id": "u" * 64}}, {"user": "u" * 64}),
            (
                {"metadata": {"user_id": "u" * 65}},
                {"user": sha256(b"u" * 65).hexdigest()},
            ),
            ({"metadata": {}}, {}),
            ({"top_k": 3, "service_tier": "auto", "stream": True, "future": 1, "container": "c"}, {}),
            ({"service_tier": "standard_only"}, {"service_tier": "default"}),
            ({"service_tier": None}, {}),
            ({"max_tokens": None, "system": None, "tools": None, "thinking": None, "metadata": None}, {}),
            ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
            ({"thinking": {"type": "enabled", "budget_tokens": 2049}}, {"reasoning_effort": "medium"}),
            ({"thinking": {"type": "enabled", "budget_tokens": 8193}}, {"reasoning_effort": "high"}),
            ({"thinking": {"type": "disabled"}}, {}),
            ({"thinking": {"type": "adaptive"}}, {}),
            (
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
                {"reasoning_effort": "high"},
            ),
            ({"thinking": {"type": "adaptive"}, "output_config": {}}, {}),
            ({"output_config": {"effort": "low"}}, {}),
            (
                {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                    }
                },
            ),
        ],
    )
    def test_are_translated_or_left_out(self, fields: dict[str, Any], said: dict[str, Any]) -> None:
        assert chat(**fields).fields == said


class TestTools:
    def test_are_functions(self) -> None:
        full = {**TOOL, "type": "custom", "description": "F.", "strict": True, "cache_control": {}}
        assert chat(tools=[TOOL, full]).fields["tools"] == [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {"type": "object"},
                    "description": "F.",
                    "strict": True,
                },
            },
        ]

    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            (None, {}),
            ({"type": "auto"}, {"tool_choice": "auto"}),
            ({"type": "any"}, {"tool_choice": "required"}),
            ({"type": "none"}, {"tool_choice": "none"}),
            (
                {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
                {
                    "tool_choice": {"type": "function", "function": {"name": "f"}},
                    "parallel_tool_calls": False,
                },
            ),
        ],
    )
    def test_the_choice(self, choice: object, said: dict[str, Any]) -> None:
        fields = dict(chat(tools=[TOOL], tool_choice=choice).fields)
        del fields["tools"]
        assert fields == said
        assert chat(tool_choice=choice).fields == {}


class TestMistakes:
    @pytest.mark.parametrize(
        ("turn", "param"),
        [
            (7, "messages[1]"),
            ({"role": "tool", "content": "x"}, "messages[1].role"),
            (user(7), "messages[1].content"),
            (user(None), "messages[1].content"),
            (user([7]), "messages[1].content[0]"),
            (user([{"type": "text"}]), "messages[1].content[0].text"),
            (user([text("a"), {"type": "search_result"}]), "messages[1].content[1]"),
            (user([{"type": "image"}]), "messages[1].content[0].source"),
            (
                user([{"type": "image", "source": {"type": "file", "file_id": "f"}}]),
                "messages[1].content[0].source",
            ),
            (
                user([{"type": "image", "source": {"type": "base64", "data": "x"}}]),
                "messages[1].content[0].source.media_type",
            ),
            (
                user([{"type": "document", "source": {"type": "file", "file_id": "f"}}]),
                "messages[1].content[0].source",
            ),
            (
                user([{"type": "document", "source": {"type": "content", "content": [{"type": "odd"}]}}]),
                "messages[1].content[0].source.content[0]",
            ),
            (user([result([text("a"), {"type": "odd"}])]), "messages[1].content[0].content[1]"),
            (user([{"type": "tool_result"}]), "messages[1].content[0].tool_use_id"),
            (assistant(IMAGE), "messages[1].content[0]"),
            (assistant({"type": "thinking"}), "messages[1].content[0].thinking"),
            (assistant({"type": "redacted_thinking"}), "messages[1].content[0].data"),
            (assistant({"type": "server_tool_use", "id": "s"}), "messages[1].content[0]"),
            (assistant(tool_use(input="{}")), "messages[1].content[0].input"),
            (assistant(tool_use(id=7)), "messages[1].content[0].id"),
            ({"role": "system", "content": [IMAGE]}, "messages[1].content[0]"),
        ],
    )
    def test_in_a_turn_are_named_by_their_path(self, turn: object, param: str) -> None:
        with pytest.raises(BadRequest) as caught:
            chat(user("a"), turn)
        assert caught.value.param == param
        assert caught.value.message.startswith(f"{param}: ")

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"system": [IMAGE]}, "system[0]"),
            ({"system": 7}, "system"),
            ({"messages": "Hi"}, "messages"),
            ({"max_tokens": "5"}, "max_tokens"),
            ({"stop_sequences": [7]}, "stop_sequences[0]"),
            ({"metadata": {"user_id": 7}}, "metadata.user_id"),
            ({"thinking": {}}, "thinking"),
            ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
            ({"output_config": {"format": {"type": "odd", "schema": {}}}}, "output_config.format.type"),
            ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
            ({"mcp_servers": [{"url": "https://example.org"}]}, "mcp_servers"),
            ({"tools": 7}, "tools"),
            ({"tools": [7]}, "tools[0]"),
            ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
            ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
            ({"tools": [{"name": "f", "input_schema": {}, "description": 7}]}, "tools[0].description"),
            ({"tools": [TOOL], "tool_choice": {"type": "odd"}}, "tool_choice.type"),
            ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ],
    )
    def test_in_a_field_are_named(self, fields: dict[str, Any], param: str) -> None:
        with pytest.raises(BadRequest) as caught:
            chat(**fields)
        assert caught.value.param == param

    def test_a_tool_that_only_anthropic_has_is_named(self) -> None:
        with pytest.raises(BadRequest, match="'web_search_20250305' exists only at Anthropic") as caught:
            chat(tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}])
        assert caught.value.param == "tools[1]"
