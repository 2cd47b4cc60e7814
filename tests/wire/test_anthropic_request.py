"""Chat requests in Anthropic's words."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.wire import lenient_json
from understudy.wire.anthropic_conversation import chat_of
from understudy.wire.anthropic_request import BUDGETS, body_of, input_of, left_out, tool_id
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import cut_apart
from understudy.wire.state import ProviderState


def body(*messages: Any, defaults: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return body_of(ChatRequest(messages or (user("Hi"),), fields), defaults or {})


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: object, *calls: object, **more: object) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **more}


def tool(call: str, content: object) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": content}


def call(name: str, arguments: object = "{}", call_id: str = "c1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


FUNCTION = {"type": "function", "function": {"name": "f"}}


class TestMessages:
    def test_the_systems_words_are_gathered(self) -> None:
        said = body(
            {"role": "system", "content": "a"},
            user("Hi"),
            {"role": "developer", "content": [text("b")]},
        )
        assert said["system"] == [text("a"), text("b")]
        assert said["messages"] == [{"role": "user", "content": [text("Hi")]}]
        assert "system" not in body()

    def test_turns_of_one_role_become_one(self) -> None:
        said = body(user("a"), user("b"), assistant("c"), assistant(None), assistant("d"), user("e"))
        assert said["messages"] == [
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": [text("c"), text("d")]},
            {"role": "user", "content": [text("e")]},
        ]

    def test_texts_of_white_space_are_left_out(self) -> None:
        said = body(user("a"), assistant("\n\n", call("f")), user([text(""), "b", text(" ")]), assistant(""))
        assert [[block["type"] for block in turn["content"]] for turn in said["messages"]] == [
            ["text"],
            ["tool_use"],
            ["text"],
        ]

    def test_a_refusal_is_a_text(self) -> None:
        said = body(user("a"), assistant([{"type": "refusal", "refusal": "No."}]))
        assert said["messages"][1]["content"] == [text("No.")]

    def test_reasoning_is_left_out(self) -> None:
        said = body(user("a"), assistant("b", reasoning_content="Hm"))
        assert said["messages"][1]["content"] == [text("b")]

    def test_the_callers_own_values_are_left_alone(self) -> None:
        messages = (MappingProxyType(user("a")), MappingProxyType(user("b")))
        parts = [text("a")]
        defaults = {"system": [text("s")], "output_config": {"format": 1}, "thinking": {"type": "adaptive"}}
        said = body(*messages, user(parts), defaults=defaults, reasoning_effort="low")
        assert said["system"] == [text("s")]
        assert parts == [text("a")]
        assert defaults["output_config"] == {"format": 1}

    def test_cache_marks_are_kept(self) -> None:
        marked = {**text("a"), "cache_control": {"type": "ephemeral"}}
        assert body(user([marked]))["messages"][0]["content"] == [marked]

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "function", "content": "x"},
            {"content": "x"},
            "Hi",
            user([7]),
            user([{"type": "text"}]),
            user([{"type": "input_audio", "input_audio": {}}]),
            user(7),
            assistant("a", 7),
            assistant("a", {"id": "c", "type": "custom", "custom": {}}),
            assistant("a", {"id": "c", "function": 7}),
            assistant("a", {"id": "c", "function": {"arguments": "{}"}}),
            assistant("a", {"function": {"name": "f"}}),
            assistant("a", call("f", 7)),
            {"role": "tool", "content": "x"},
        ],
    )
    def test_what_cannot_be_said_is_an_error(self, message: object) -> None:
        with pytest.raises((ValueError, TypeError)):
            body(message)


class TestParts:
    def source(self, url: object) -> Any:
        said = body(user([{"type": "image_url", "image_url": {"url": url}}]))
        [block] = said["messages"][0]["content"]
        assert block["type"] == "image"
        return block["source"]

    def test_an_image_goes_by_its_address_or_as_base64(self) -> None:
        assert self.source("https://example.org/a.png") == {"type": "url", "url": "https://example.org/a.png"}
        assert self.source("http://example.org/a") == {"type": "url", "url": "http://example.org/a"}
        coded = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
        assert self.source("data:image/png;base64,iVBO") == coded
        assert self.source("data:image/png;charset=x;base64,iVBO") == coded

    @pytest.mark.parametrize("kind", ["image/tiff", "image/heic", "application/pdf", ""])
    def test_an_image_of_a_type_that_anthropic_does_not_take_is_an_error(self, kind: str) -> None:
        with pytest.raises(ValueError, match=f"image_url.url: Anthropic takes no images of type '{kind}'"):
            self.source(f"data:{kind};base64,iVBO")

    def test_a_jpeg_has_two_names(self) -> None:
        assert self.source("data:image/jpg;base64,iVBO")["media_type"] == "image/jpeg"

    @pytest.mark.parametrize("url", ["data:image/png,raw", "ftp://example.org/a", "", None])
    def test_an_image_anywhere_else_is_an_error(self, url: object) -> None:
        with pytest.raises(ValueError, match=r"base64 data URI|must be a string"):
            self.source(url)

    def test_an_image_must_be_an_object(self) -> None:
        with pytest.raises(ValueError, match="image_url must be an object"):
            body(user([{"type": "image_url", "image_url": "https://example.org/a.png"}]))

    def document(self, **file: object) -> Any:
        [block] = body(user([{"type": "file", "file": file}]))["messages"][0]["content"]
        return block

    def test_a_pdf_is_a_document(self) -> None:
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
        uri = "data:application/pdf;base64,JVBE"
        assert self.document(file_data=uri) == {"type": "document", "source": source}
        assert self.document(file_data=uri, filename="a.pdf")["title"] == "a.pdf"

    def test_a_text_file_is_a_document_of_text(self) -> None:
        data = base64.b64encode("Žluťoučký".encode()).decode()
        assert self.document(file_data=f"data:text/plain;base64,{data}")["source"] == {
            "type": "text",
            "media_type": "text/plain",
            "data": "Žluťoučký",
        }

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            ({"file_id": "file-1"}, "by their id"),
            ({"file_data": 7}, "file.file_data must be a string"),
            ({"file_data": "data:text/plain;base64,/w=="}, "file.file_data: a text file must be base64"),
            (
                {"file_data": "data:text/plain;base64,aG!k="},
                "file.file_data: a text file must be base64",
            ),
            ({"file_data": "data:application/zip;base64,AA=="}, "takes no files of type 'application/zip'"),
            ({"file_data": "JVBE"}, "file.file_data: neither an http address nor a base64 data URI"),
            ({"file_url": 7}, "file.file_url must be a string"),
            ({"file_url": "file:///etc/passwd"}, "file.file_url: no http address"),
        ],
    )
    def test_another_file_is_an_error(self, file: dict[str, object], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            self.document(**file)

    def test_a_file_by_its_address_is_a_document(self) -> None:
        source = {"type": "url", "url": "https://example.org/a.pdf"}
        assert self.document(file_url="https://example.org/a.pdf") == {"type": "document", "source": source}


class TestTools:
    def test_a_call_and_its_result(self) -> None:
        said = body(user("a"), assistant("b", call("f", '{"x": 1}')), tool("c1", "done"))
        assert said["messages"][1:] == [
            {
                "role": "assistant",
                "content": [text("b"), {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [text("done")]}],
            },
        ]

    def test_results_come_first_in_their_turn(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        calls = assistant(None, call("f"), call("f", "{}", "c2"))
        said = body(calls, user("a"), tool("c1", [text("x"), image]), tool("c2", ""), user("b"))
        [_, turn] = said["messages"]
        assert turn["content"] == [
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [
                    text("x"),
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            },
            {"type": "tool_result", "tool_use_id": "c2"},
            text("a"),
            text("b"),
        ]

    @pytest.mark.parametrize(
        ("arguments", "given"),
        [
            ("{}", {}),
            ("", {}),
            (" ", {}),
            (None, {}),
            ({"x": 1}, {"x": 1}),
            ('{"x": "é"}', {"x": "é"}),
            ('{"x": ', {"_raw": '{"x": '}),
            ("[1]", {"_raw": "[1]"}),
            ("[" * 100_000, {"_raw": "[" * 100_000}),
        ],
    )
    def test_arguments_become_an_object(self, arguments: object, given: object) -> None:
        said = body(user("a"), assistant(None, call("f", arguments)))
        assert said["messages"][1]["content"][0]["input"] == given
        assert arguments is None or input_of(arguments) == given

    def test_ids_are_written_in_anthropics_letters(self) -> None:
        said = body(user("a"), assistant(None, call("f", "{}", "functions.f:0")), tool("functions.f:0", "x"))
        assert said["messages"][1]["content"][0]["id"] == "functions_f_0" == tool_id("functions.f:0")
        assert said["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"

    def test_functions_are_tools(self) -> None:
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        full = {"name": "f", "description": "F.", "parameters": schema, "strict": True}
        assert body(tools=[{"type": "function", "function": full}, FUNCTION])["tools"] == [
            {"name": "f", "description": "F.", "input_schema": schema, "strict": True},
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        ]
        assert "tools" not in body(tools=[])

    @pytest.mark.parametrize(
        ("parameters", "schema"),
        [
            (None, {"type": "object", "properties": {}}),
            ({}, {"type": "object", "properties": {}}),
            ({"properties": {"x": {}}}, {"type": "object", "properties": {"x": {}}}),
            (
                {"type": ["object", "null"], "$ref": "#/$defs/x"},
                {"type": ["object", "null"], "$ref": "#/$defs/x"},
            ),
        ],
    )
    def test_a_schema_is_an_objects(self, parameters: object, schema: object) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        assert body(tools=[tool])["tools"][0]["input_schema"] == schema

    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            ("x", "the parameters of f must be an object"),
            ([], "the parameters of f must be an object"),
            ({"oneOf": [{}]}, "the parameters of f: Anthropic takes no oneOf at the top"),
            ({"type": "object", "anyOf": [{}]}, "Anthropic takes no anyOf at the top"),
            ({"allOf": []}, "Anthropic takes no allOf at the top"),
        ],
    )
    def test_another_schema_is_an_error(self, parameters: object, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            body(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])

    @pytest.mark.parametrize(
        "wrong", [{"type": "custom", "custom": {}}, 7, {"function": {}}, {"type": "function"}]
    )
    def test_another_tool_is_an_error(self, wrong: object) -> None:
        with pytest.raises(ValueError, match=r"a tool|must be"):
            body(tools=[wrong])

    @pytest.mark.parametrize(
        ("fields", "choice"),
        [
            ({}, None),
            ({"tool_choice": None}, None),
            ({"tool_choice": "auto"}, {"type": "auto"}),
            ({"tool_choice": "none"}, {"type": "none"}),
            ({"tool_choice": "required"}, {"type": "any"}),
            ({"tool_choice": FUNCTION}, {"type": "tool", "name": "f"}),
            ({"parallel_tool_calls": True}, None),
            ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
            (
                {"parallel_tool_calls": False, "tool_choice": "required"},
                {"type": "any", "disable_parallel_tool_use": True},
            ),
            ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
        ],
    )
    def test_the_choice(self, fields: dict[str, Any], choice: object) -> None:
        assert body(tools=[FUNCTION], **fields).get("tool_choice") == choice

    def test_there_is_no_choice_without_tools(self) -> None:
        assert "tool_choice" not in body(tool_choice="auto", parallel_tool_calls=False)

    def test_another_choice_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no such tool_choice"):
            body(tools=[FUNCTION], tool_choice={"type": "allowed_tools"})


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, {"max_tokens": 8192}),
            ({"max_tokens": 5}, {"max_tokens": 5}),
            ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
            ({"max_tokens": None}, {"max_tokens": 8192}),
            ({"temperature": 1.7}, {"temperature": 1}),
            ({"temperature": 0}, {"temperature": 0}),
            ({"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}),
            ({"stop": "END"}, {"stop_sequences": ["END"]}),
            ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
            ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
            ({"service_tier": "default"}, {"service_tier": "standard_only"}),
            ({"service_tier": "auto"}, {"service_tier": "auto"}),
            ({"service_tier": "flex"}, {}),
            ({"n": 1}, {}),
            ({"seed": 1, "logprobs": True, "frequency_penalty": 1, "response_format": {}}, {}),
            ({"stream_options": {}, "model": "x", "messages": [], "stream": True}, {}),
        ],
    )
    def test_are_translated_or_left_out(self, fields: dict[str, Any], said: dict[str, Any]) -> None:
        messages = [{"role": "user", "content": [text("Hi")]}]
        given = ChatRequest((user("Hi"),), fields)
        assert body_of(given, {}) == {"messages": messages, "max_tokens": 8192, **said}

    def test_a_json_schema_is_a_format(self) -> None:
        schema = {"type": "object"}
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        form = {"format": {"type": "json_schema", "schema": schema}}
        assert body(response_format=wanted)["output_config"] == form
        beside = body(response_format=wanted, defaults={"output_config": {"effort": "low", "format": {}}})
        assert beside["output_config"] == {"effort": "low", **form}
        assert "output_config" not in body(response_format={"type": "json_object"})

    @pytest.mark.parametrize(
        ("fields", "names"),
        [
            (
                {"seed": 1, "logit_bias": {"1": 2}, "frequency_penalty": 0.5},
                "seed logit_bias frequency_penalty",
            ),
            ({"seed": None, "logprobs": False, "logit_bias": {}, "functions": []}, ""),
            (
                {
                    "max_tokens": 1,
                    "stop": ["a"],
                    "tools": [FUNCTION],
                    "user": "u",
                    "n": 1,
                    "stream_options": {},
                },
                "",
            ),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, ""),
            ({"response_format": {"type": "text"}}, ""),
            ({"service_tier": "flex"}, "service_tier"),
            ({"service_tier": "auto"}, ""),
            ({"temperature": 0.5, "top_k": 3}, ""),
            ({"temperature": 0.5, "top_k": 3, "reasoning_effort": "low"}, "temperature top_k"),
            ({"top_p": 0.5, "reasoning_effort": "low"}, "top_p"),
            ({"top_p": 0.96, "reasoning_effort": "low"}, ""),
            ({"reasoning_effort": "none", "modalities": ["text"]}, ""),
            ({"reasoning_effort": "extreme", "temperature": 0.5}, "reasoning_effort"),
            ({"reasoning_effort": "low", "max_tokens": 100, "temperature": 0.5}, "reasoning_effort"),
            (
                {"reasoning_effort": "low", "tools": [FUNCTION], "tool_choice": "required", "top_k": 3},
                "reasoning_effort",
            ),
            ({"modalities": ["image"]}, "modalities"),
        ],
    )
    def test_what_is_left_out_is_named(self, fields: dict[str, Any], names: str) -> None:
        assert left_out(ChatRequest((user("Hi"),), fields)) == tuple(names.split())

    def test_what_is_left_out_beside_the_defaults_is_named(self) -> None:
        request = ChatRequest((user("Hi"),), {"temperature": 0.5, "reasoning_effort": "low", "max_tokens": 9})
        assert left_out(request, {"thinking": {"type": "adaptive"}}) == ("temperature",)
        assert left_out(request, {"thinking": {"type": "disabled"}}) == ("reasoning_effort",)
        alone = ChatRequest((user("Hi"),), {"temperature": 0.5})
        assert left_out(alone, {"thinking": {"type": "enabled", "budget_tokens": 2048}}) == ("temperature",)

    def test_the_detail_of_an_image_is_left_out_and_named(self) -> None:
        detailed = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
        assert left_out(ChatRequest((user([detailed]),))) == ("messages[].detail",)

    def test_what_is_left_out_of_messages_is_named(self) -> None:
        state = ProviderState("anthropic", "signature", "s", "Hm").to_dict()
        kept = assistant("a", reasoning_content="Hm", provider_state=[state])
        lost = assistant("a", reasoning_content="Hm")
        messages = [{**user("Hi"), "name": "n"}, kept, lost, lost]
        names = ("messages[].name", "messages[].reasoning_content")
        assert left_out(ChatRequest(messages, {})) == names
        assert left_out(ChatRequest([user("Hi"), kept], {})) == ()

    def test_the_request_wins_over_the_defaults(self) -> None:
        said = body(defaults={"max_tokens": 7, "temperature": 0.5, "container": "c"}, temperature=0.2)
        assert (said["max_tokens"], said["temperature"], said["container"]) == (7, 0.2, "c")

    def test_several_choices_are_an_error(self) -> None:
        with pytest.raises(ValueError, match="one choice"):
            body(n=2)

    @pytest.mark.parametrize("stop", ["\n", ["END", " "], [7]])
    def test_a_stop_that_anthropic_refuses_is_an_error(self, stop: object) -> None:
        with pytest.raises(ValueError, match="stop"):
            body(stop=stop)

    @pytest.mark.parametrize("fields", [{"temperature": "hot"}, {"stop": 7}, {"tools": 7}])
    def test_odd_values_are_errors(self, fields: dict[str, Any]) -> None:
        with pytest.raises((ValueError, TypeError)):
            body(**fields)


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


ADAPTIVE = {"thinking": {"type": "adaptive"}}


class TestThinking:
    @pytest.mark.parametrize("effort", BUDGETS)
    def test_an_effort_is_a_budget_beside_the_answers_tokens(self, effort: str) -> None:
        said = body(reasoning_effort=effort)
        assert said["thinking"] == budget(BUDGETS[effort])
        assert said["max_tokens"] == 8192 + BUDGETS[effort]

    def test_of_a_limit_it_is_at_most_half(self) -> None:
        assert body(reasoning_effort="medium", max_tokens=4096)["thinking"] == budget(2048)
        assert body(reasoning_effort="low", max_tokens=9000)["thinking"] == budget(2048)
        said = body(reasoning_effort="medium", defaults={"max_tokens": 4096})
        assert (said["thinking"], said["max_tokens"]) == (budget(2048), 4096)

    def test_a_limit_without_room_leaves_none(self) -> None:
        said = body(reasoning_effort="high", max_tokens=2047, defaults={"thinking": budget(1024)})
        assert "thinking" not in said

    def test_none_is_none(self) -> None:
        assert "thinking" not in body(reasoning_effort="none", defaults=ADAPTIVE)

    @pytest.mark.parametrize("effort", ["immense", None])
    def test_an_unknown_effort_says_nothing(self, effort: object) -> None:
        assert body(reasoning_effort=effort, defaults=ADAPTIVE)["thinking"] == {"type": "adaptive"}
        assert "thinking" not in body(reasoning_effort=effort)

    @pytest.mark.parametrize(
        ("effort", "said"), [("minimal", "low"), ("medium", "medium"), ("xhigh", "xhigh")]
    )
    def test_adaptive_thinking_has_an_effort(self, effort: str, said: str) -> None:
        defaults = {**ADAPTIVE, "output_config": {"format": {}}}
        given = body(reasoning_effort=effort, defaults=defaults)
        assert given["thinking"] == {"type": "adaptive"}
        assert given["output_config"] == {"format": {}, "effort": said}
        assert given["max_tokens"] == 8192
        assert body(reasoning_effort=effort, defaults=ADAPTIVE)["output_config"] == {"effort": said}

    def test_what_does_not_go_with_it_is_left_out(self) -> None:
        sampling: dict[str, Any] = {"temperature": 0.5, "top_k": 4, "top_p": 0.9}
        assert not {*sampling} & {*body(reasoning_effort="low", **sampling)}
        assert not {*sampling} & {*body(defaults={**sampling, **ADAPTIVE})}
        assert body(reasoning_effort="low", top_p=0.97)["top_p"] == 0.97
        disabled = body(defaults={"thinking": {"type": "disabled"}}, **sampling)
        assert disabled == {**disabled, **sampling, "thinking": {"type": "disabled"}}

    @pytest.mark.parametrize("choice", ["required", FUNCTION])
    def test_a_forced_tool_leaves_none(self, choice: object) -> None:
        said = body(reasoning_effort="low", tools=[FUNCTION], tool_choice=choice, temperature=0.5)
        assert "thinking" not in said
        assert said["temperature"] == 0.5
        assert "thinking" in body(reasoning_effort="low", tools=[FUNCTION], tool_choice="auto")

    def test_in_the_middle_of_tool_use_there_is_no_budget(self) -> None:
        messages = (user("a"), assistant(None, call("f")), tool("c1", "x"))
        assert "thinking" not in body(*messages, reasoning_effort="low")
        assert body(*messages, reasoning_effort="low", defaults=ADAPTIVE)["thinking"] == {"type": "adaptive"}
        assert "thinking" in body(*messages, assistant("b"), user("c"), reasoning_effort="low")

    @pytest.mark.parametrize(
        "state",
        [
            ProviderState("anthropic", "signature", "EqQB", "Hm"),
            ProviderState("anthropic", "redacted_thinking", "EmwK"),
        ],
    )
    def test_with_signed_thoughts_tool_use_goes_on_thinking(self, state: ProviderState) -> None:
        called = assistant(None, call("f"), provider_state=[state.to_dict()])
        said = body(user("a"), called, tool("c1", "x"), reasoning_effort="low")
        assert said["thinking"] == budget(2048)
        foreign = {**state.to_dict(), "issuer": "gemini"}
        called = assistant(None, call("f"), provider_state=[foreign])
        assert "thinking" not in body(user("a"), called, tool("c1", "x"), reasoning_effort="low")

    def test_thoughts_come_first_in_their_turn(self) -> None:
        states = [
            ProviderState("anthropic", "signature", "EqQB", "Hm").to_dict(),
            ProviderState("openai-responses", "reasoning", "{}").to_dict(),
            ProviderState("anthropic", "redacted_thinking", "EmwK").to_dict(),
        ]
        said = body(user("a"), assistant("b", provider_state=states))["messages"][1]["content"]
        assert said == [
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EmwK"},
            text("b"),
        ]

    def test_odd_state_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="provider_state: Expected `array`"):
            body(user("a"), assistant("b", provider_state="odd"))


class TestNothingToSay:
    @pytest.mark.parametrize(
        "messages", [({"role": "system", "content": "a"},), (user(" "),), (user([]), assistant(None))]
    )
    def test_a_conversation_without_a_word_is_an_error(self, messages: Any) -> None:
        with pytest.raises(ValueError, match=r"not empty \(messages\)"):
            body(*messages)


class TestUnsayable:
    """What `unsayable` lists."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["text", "audio"]},
            {"modalities": ["text", "audio"]},
            {"functions": [{"name": "f"}]},
            {"function_call": "auto"},
        ],
    )
    def test_is_an_error(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="Anthropic has nothing like"):
            body(**fields)
        with pytest.raises(ValueError, match="Anthropic has nothing like"):
            left_out(ChatRequest((user("Hi"),), {"reasoning_effort": "low", **fields}))

    def test_so_is_a_call_of_the_old_kind(self) -> None:
        with pytest.raises(ValueError, match="function_call: it wants tool_calls"):
            body(user("Hi"), assistant(None, function_call={"name": "f", "arguments": "{}"}))


# What both formats can say comes back as it was.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
IMAGES = st.sampled_from(["https://example.org/a.png", "data:image/png;base64,iVBO"]).map(
    lambda url: {"type": "image_url", "image_url": {"url": url}}
)
FILES = st.sampled_from(
    [
        {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"filename": "a.pdf", "file_url": "https://example.org/a.pdf"},
        {"file_url": "https://example.org/a.pdf"},
    ]
).map(lambda file: {"type": "file", "file": file})
PARTS = st.lists(WORDS.map(text) | IMAGES | FILES, min_size=2, max_size=4)


STATES = st.builds(
    ProviderState, st.just("anthropic"), st.just("signature"), WORDS, st.just("") | WORDS
) | st.builds(ProviderState, st.just("anthropic"), st.just("redacted_thinking"), WORDS)
THOUGHT = st.lists(STATES, max_size=2).map(
    lambda states: {"provider_state": [state.to_dict() for state in states]} if states else {}
)
RESULTS = st.just("") | WORDS | st.tuples(WORDS.map(text), IMAGES).map(list)


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A question, an answer, and what its tools gave."""
    asked = user(draw(WORDS | PARTS | IMAGES.map(lambda image: [image])))
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    if not names:
        return [asked, assistant(draw(WORDS), **draw(THOUGHT))]
    calls = []
    for name in names:
        arguments = lenient_json.encoded(draw(st.dictionaries(NAMES, JSON, max_size=3))).decode()
        calls.append(call(draw(NAMES), arguments, name))
    answered = assistant(draw(st.none() | WORDS), *calls, **draw(THOUGHT))
    return [
        asked,
        answered,
        *(tool(name, draw(RESULTS)) for name in names),
        assistant(draw(WORDS)),
    ]


SCHEMAS = st.just({"type": "object", "properties": {"x": {"type": "integer"}}})
FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES, "parameters": SCHEMAS}, optional={"description": WORDS, "strict": st.just(True)}
)
FIELDS = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 10**6)},
    optional={
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.lists(WORDS, min_size=1, max_size=3),
        "user": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
        "service_tier": st.just("default"),
        "response_format": st.just(
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
            }
        ),
    },
)
CHOICES = st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "f"}}])


@given(
    system=st.none() | WORDS,
    talk=st.lists(exchanges(), min_size=1, max_size=3),
    fields=FIELDS,
    functions=st.lists(FUNCTIONS, max_size=2),
    choice=CHOICES,
    parallel=st.booleans(),
)
def test_what_both_formats_can_say_comes_back_as_it_was(
    system: str | None,
    talk: list[list[dict[str, Any]]],
    fields: dict[str, Any],
    functions: list[dict[str, Any]],
    choice: object,
    parallel: bool,
) -> None:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [message for exchange in talk for message in exchange]
    if functions:
        fields = {**fields, "tool_choice": choice}
        fields["tools"] = [{"type": "function", "function": function} for function in functions]
        if not parallel and choice != "none":
            fields["parallel_tool_calls"] = False
    encoded = lenient_json.encoded(body_of(ChatRequest(messages, fields), {}))
    assert chat_of(cut_apart(encoded)) == ChatRequest(messages, fields)


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_an_effort_comes_back_as_it_was(effort: str) -> None:
    encoded = lenient_json.encoded(body(reasoning_effort=effort))
    assert chat_of(cut_apart(encoded)).fields["reasoning_effort"] == effort
