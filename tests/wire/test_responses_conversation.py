"""Responses' requests in neutral words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import BadRequest, cut_apart
from understudy.wire.responses_conversation import chat_of
from understudy.wire.responses_state import state_of
from understudy.wire.state import ProviderState, tagged


def chat(*items: object, **fields: object) -> ChatRequest:
    given = {"input": items or "Hi", "model": "m", **fields}
    return chat_of(cut_apart(msgspec.json.encode(given)))


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: object) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": content}


def text(said: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "text": said}


def call(call_id: str = "c1") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": "f", "arguments": '{"x":1}'}


def called(call_id: str = "c1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def output(said: object, call_id: str = "c1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def reasoning(encrypted: object, *summary: str, **more: object) -> dict[str, Any]:
    parts = [text(each, "summary_text") for each in summary]
    return {"type": "reasoning", "summary": parts, "encrypted_content": encrypted, **more}


class TestMessages:
    def test_a_string_is_the_users(self) -> None:
        assert chat().messages == [{"role": "user", "content": "Hi"}]

    def test_the_instructions_are_the_systems(self) -> None:
        assert chat(instructions="a").messages == [{"role": "system", "content": "a"}, user("Hi")]
        assert chat(instructions="").messages == chat(instructions=None).messages == [user("Hi")]

    def test_developers_are_the_system_and_stay_where_they_are(self) -> None:
        items = [
            user("a"),
            {"role": "developer", "content": [text("b", "input_text")]},
            {"role": "system", "content": "c"},
        ]
        assert chat(*items).messages == [
            user("a"),
            {"role": "system", "content": "b"},
            {"role": "system", "content": "c"},
        ]

    def test_parts(self) -> None:
        parts = [
            text("a", "input_text"),
            text("b"),
            {"type": "input_image", "image_url": "data:,", "detail": "low", "file_id": None},
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            {"type": "input_image", "image_url": "https://example.org/b.png", "detail": "auto"},
            {"type": "input_file", "file_data": "data:,", "filename": "a.pdf"},
            {"type": "input_file", "file_url": "https://example.org/a.pdf", "file_data": None},
        ]
        assert chat({"type": "message", **user(parts)}).messages == [
            user(
                [
                    text("a"),
                    text("b"),
                    {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/b.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:,"}},
                    {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
                ]
            )
        ]

    def test_one_text_is_a_string(self) -> None:
        assert chat(user([text("a", "input_text")])).messages == [user("a")]
        assert chat(assistant([text("a", "output_text")])).messages == [{"role": "assistant", "content": "a"}]

    def test_what_an_assistant_said_in_a_row_is_one_message(self) -> None:
        items = [
            user("Hi"),
            assistant([text("a", "output_text")]),
            call("c1"),
            assistant([text("b", "output_text"), {"type": "refusal", "refusal": "No."}]),
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
            output("c", "c1"),
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "d"},
            call("c3"),
            output("e", "c3"),
            assistant("f"),
        ]
        custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}
        assert chat(*items).messages == [
            user("Hi"),
            {
                "role": "assistant",
                "content": [text("a"), text("b"), {"type": "refusal", "refusal": "No."}],
                "tool_calls": [called("c1"), custom],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "c"},
            {"role": "tool", "tool_call_id": "c2", "content": "d"},
            {"role": "assistant", "content": None, "tool_calls": [called("c3")]},
            {"role": "tool", "tool_call_id": "c3", "content": "e"},
            {"role": "assistant", "content": "f"},
        ]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("", ""),
            ("a", "a"),
            ([], ""),
            ([text("a", "input_text"), text("b", "output_text")], "a\n\nb"),
            (
                [text("a", "input_text"), {"type": "input_image", "image_url": "data:,"}],
                [text("a"), {"type": "image_url", "image_url": {"url": "data:,"}}],
            ),
        ],
    )
    def test_results(self, given: object, said: object) -> None:
        assert chat(output(given)).messages == [{"role": "tool", "tool_call_id": "c1", "content": said}]


class TestReasoning:
    def test_state_is_kept(self) -> None:
        foreign = ProviderState("anthropic", "signature", "s")
        items = [
            reasoning("gAAAAA", "a", "b", id="rs_1"),
            reasoning(tagged(foreign), "c", id="rs_2"),
            reasoning("gAAAAB", id=7, summary=None),
            assistant("d"),
        ]
        [message] = chat(*items).messages
        assert message == {
            "role": "assistant",
            "content": "d",
            "provider_state": [
                state_of("gAAAAA", "rs_1", "a\n\nb").to_dict(),
                {"issuer": "anthropic", "kind": "signature", "value": "s", "text": "c"},
                state_of("gAAAAB", None, "").to_dict(),
            ],
        }

    @pytest.mark.parametrize("encrypted", [None, "understudy.?"])
    def test_what_nobody_vouches_for_is_left_out(self, encrypted: object) -> None:
        items = [reasoning(encrypted, "Hm", id="rs_1"), call(), output("a")]
        assert chat(*items).messages[0] == {"role": "assistant", "content": None, "tool_calls": [called()]}
        assert chat(reasoning(encrypted)).messages == [{"role": "assistant", "content": ""}]


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, {}),
            (
                {"max_output_tokens": 5, "temperature": 1, "top_p": 0.5},
                {"max_tokens": 5, "temperature": 1.0, "top_p": 0.5},
            ),
            ({"max_output_tokens": None, "text": None, "reasoning": None, "tools": None}, {}),
            ({"user": "u", "safety_identifier": "s"}, {"user": "u"}),
            ({"safety_identifier": "s"}, {"user": "s"}),
            ({"service_tier": "flex"}, {"service_tier": "flex"}),
            ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
            ({"reasoning": {"summary": "auto"}}, {}),
            ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
            ({"text": {"format": {"type": "text"}}}, {}),
            ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
            (
                {
                    "text": {
                        "format": {"type": "json_schema", "name": "a", "schema": {"x": 1}, "strict": True}
                    }
                },
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "a", "schema": {"x": 1}, "strict": True},
                    }
                },
            ),
            (
                {"text": {"format": {"type": "json_schema", "schema": {}, "description": "A."}}},
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "answer", "schema": {}, "description": "A."},
                    }
                },
            ),
            ({"include": ["reasoning.encrypted_content"], "top_logprobs": 3}, {}),
            ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
            (
                {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
                {"logprobs": True, "top_logprobs": 3},
            ),
            (
                {
                    "metadata": {"a": "b"},
                    "prompt_cache_key": "k",
                    "truncation": "auto",
                    "store": True,
                    "stream": True,
                    "stream_options": {"include_obfuscation": False},
                    "max_tool_calls": 3,
                    "future": 1,
                    "prompt": None,
                },
                {},
            ),
            ({"tool_choice": "auto", "parallel_tool_calls": True, "tools": []}, {}),
        ],
    )
    def test_are_translated_or_left_out(self, fields: dict[str, Any], said: dict[str, Any]) -> None:
        assert chat(**fields).fields == said


FUNCTION = {"type": "function", "name": "f"}


class TestTools:
    def test_have_their_own_names_inside(self) -> None:
        schema = {"type": "object"}
        full = {**FUNCTION, "description": "F.", "parameters": schema, "strict": True, "defer_loading": False}
        bare = {**FUNCTION, "description": None, "parameters": None, "strict": False}
        lark = {"type": "grammar", "definition": "start: /x/", "syntax": "lark"}
        custom = {"type": "custom", "name": "g", "description": "G.", "format": lark}
        plain = {"type": "custom", "name": "h", "format": {"type": "text"}}
        given = [full, bare, custom, plain, {"type": "custom", "name": "i"}]
        assert chat(tools=given).fields["tools"] == [
            {
                "type": "function",
                "function": {"name": "f", "description": "F.", "parameters": schema, "strict": True},
            },
            {"type": "function", "function": {"name": "f"}},
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "description": "G.",
                    "format": {"type": "grammar", "grammar": {"definition": "start: /x/", "syntax": "lark"}},
                },
            },
            {"type": "custom", "custom": {"name": "h", "format": {"type": "text"}}},
            {"type": "custom", "custom": {"name": "i"}},
        ]

    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            ("required", "required"),
            (FUNCTION, {"type": "function", "function": {"name": "f"}}),
            ({"type": "custom", "name": "g"}, {"type": "custom", "custom": {"name": "g"}}),
            (
                {"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]},
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "f"}}],
                    },
                },
            ),
        ],
    )
    def test_the_choice_goes_with_them(self, choice: object, said: object) -> None:
        fields = chat(tools=[FUNCTION], tool_choice=choice, parallel_tool_calls=False).fields
        assert (fields["tool_choice"], fields["parallel_tool_calls"]) == (said, False)
        fields = chat(tools=[FUNCTION], tool_choice=None, parallel_tool_calls=None).fields
        assert fields.keys() == {"tools"}


class TestMistakes:
    @pytest.mark.parametrize(
        ("item", "param"),
        [
            ({"role": "tool", "content": "x"}, "input[1].role"),
            ({"content": "x"}, "input[1].role"),
            (user(7), "input[1].content"),
            (user(None), "input[1].content"),
            (user([7]), "input[1].content[0]"),
            (user([{"type": "input_text"}]), "input[1].content[0].text"),
            (user([text("a"), {"type": "input_audio"}]), "input[1].content[1]"),
            (user([{"type": "input_image", "file_id": "f"}]), "input[1].content[0].file_id"),
            (user([{"type": "input_image"}]), "input[1].content[0].image_url"),
            (user([{"type": "input_file", "file_id": "f"}]), "input[1].content[0].file_id"),
            (user([{"type": "input_file"}]), "input[1].content[0].file_data"),
            (assistant(7), "input[1].content"),
            ({"type": "item_reference", "id": "msg_1"}, "input[1]"),
            ({"type": "web_search_call", "id": "ws_1"}, "input[1]"),
            ({**call(), "call_id": 7}, "input[1].call_id"),
            ({**call(), "name": None}, "input[1].name"),
            ({**call(), "arguments": {}}, "input[1].arguments"),
            ({"type": "custom_tool_call", "call_id": "c", "name": "g"}, "input[1].input"),
            ({**output("a"), "call_id": None}, "input[1].call_id"),
            (output(7), "input[1].output"),
            (reasoning(7), "input[1].encrypted_content"),
            (reasoning("x", summary="odd"), "input[1].summary"),
            (reasoning("x", summary=[7]), "input[1].summary[0]"),
            (reasoning("x", summary=[{}]), "input[1].summary[0].text"),
        ],
    )
    def test_in_an_item_are_named_by_their_path(self, item: object, param: str) -> None:
        with pytest.raises(BadRequest) as caught:
            chat(user("Hi"), item)
        assert caught.value.param == param
        assert caught.value.message.startswith(f"{param}: ")

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"instructions": 7}, "instructions"),
            ({"max_output_tokens": "many"}, "max_output_tokens"),
            ({"temperature": "hot"}, "temperature"),
            ({"reasoning": {"effort": 7}}, "reasoning.effort"),
            ({"text": {"format": {}}}, "text.format"),
            ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
            ({"include": "all"}, "include"),
            ({"prompt": {"id": "pmpt_1"}}, "prompt"),
            ({"tools": {"a": 1}}, "tools"),
            ({"tools": [7]}, "tools[0]"),
            ({"tools": [{"type": "function"}]}, "tools[0].name"),
            ({"tools": [{**FUNCTION, "parameters": 7}]}, "tools[0].parameters"),
            ({"tools": [{**FUNCTION, "description": 7}]}, "tools[0].description"),
            ({"tools": [{"type": "custom"}]}, "tools[0].name"),
            ({"tools": [{"type": "custom", "name": "g", "description": 7}]}, "tools[0].description"),
            ({"tools": [{"type": "custom", "name": "g", "format": 7}]}, "tools[0].format"),
            ({"tools": [FUNCTION], "tool_choice": 7}, "tool_choice"),
            ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.name"),
            ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
            (
                {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [7]}},
                "tool_choice.tools[0]",
            ),
            ({"tools": [FUNCTION], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ],
    )
    def test_in_a_field_are_named_by_their_path(self, fields: dict[str, Any], param: str) -> None:
        with pytest.raises(BadRequest) as caught:
            chat(**fields)
        assert caught.value.param == param

    @pytest.mark.parametrize(
        "kind", ["web_search", "file_search", "mcp", "computer_use_preview", "local_shell"]
    )
    def test_tools_that_only_openai_has_are_named(self, kind: str) -> None:
        with pytest.raises(BadRequest, match=rf"^tools\[0\]: the tool '{kind}' exists only at OpenAI$"):
            chat(tools=[{"type": kind}])
        with pytest.raises(BadRequest, match=rf"^tool_choice: the tool '{kind}' exists only at OpenAI$"):
            chat(tools=[FUNCTION], tool_choice={"type": kind})
