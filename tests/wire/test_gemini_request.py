"""Chat requests in Gemini's words."""

from __future__ import annotations

import base64
import json
from types import MappingProxyType
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import gemini_body
from understudy.wire import lenient_json
from understudy.wire.chat import ChatRequest
from understudy.wire.gemini_request import BUDGETS, UNSIGNED, body_of, left_out

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def body(
    *messages: Any, defaults: dict[str, Any] | None = None, model: str = "gemini-3-flash", **fields: Any
) -> dict[str, Any]:
    said = body_of(ChatRequest(messages or (user("Hi"),), fields), defaults or {}, model)
    validate(json.loads(lenient_json.encoded(said)))
    return said


def validate(said: dict[str, Any]) -> None:
    """By Google's own types, which know every name that there is and refuse all others."""
    for content in said["contents"]:
        types.Content.model_validate(content)
    config = dict(said.get("generationConfig", {}))
    types.GenerationConfig.model_validate(config)
    rest = ("systemInstruction", "tools", "toolConfig", "serviceTier", "safetySettings", "cachedContent")
    types.GenerateContentConfig.model_validate(config | {name: said[name] for name in rest if name in said})
    assert set(said) <= {"contents", "generationConfig", *rest}


def config(**fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = body(**fields).get("generationConfig", {})
    return said


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


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def signed(value: str, **more: str) -> dict[str, Any]:
    return {"issuer": "gemini", "kind": "thoughtSignature", "value": value, **more}


def inline(kind: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": data}}


FUNCTION = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object", "properties": {"x": {"type": ["integer", "null"], "exclusiveMinimum": 0}}}


class TestMessages:
    def test_the_systems_words_are_gathered(self) -> None:
        said = body(
            {"role": "system", "content": "a"}, user("Hi"), {"role": "developer", "content": [text("b")]}
        )
        assert said["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
        assert said["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
        assert "systemInstruction" not in body()

    def test_the_system_says_nothing_but_text(self) -> None:
        with pytest.raises(ValueError, match="text alone"):
            body({"role": "system", "content": [image(PNG)]}, user("Hi"))

    def test_turns_of_one_role_become_one(self) -> None:
        said = body(user("a"), user("b"), assistant("c"), assistant(None), assistant("d"), user("e"))
        assert said["contents"] == [
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
            {"role": "user", "parts": [{"text": "e"}]},
        ]

    def test_empty_texts_are_left_out_and_white_space_is_kept(self) -> None:
        said = body(user([text(""), "b", text("\n")]), assistant(""), user(""))
        assert said["contents"] == [{"role": "user", "parts": [{"text": "b"}, {"text": "\n"}]}]

    def test_a_refusal_is_a_text_wherever_it_stands(self) -> None:
        said = body(
            user("a"), assistant([{"type": "refusal", "refusal": "No."}]), assistant(None, refusal="Never.")
        )
        assert said["contents"][1]["parts"] == [{"text": "No."}, {"text": "Never."}]

    def test_the_callers_own_values_are_left_alone(self) -> None:
        messages = (MappingProxyType(user("a")), MappingProxyType(user("b")))
        parts = [text("a")]
        defaults = {"generationConfig": {"topK": 3}, "toolConfig": {"retrievalConfig": {}}}
        body(*messages, user(parts), defaults=defaults, top_p=1, tools=[FUNCTION], tool_choice="auto")
        assert parts == [text("a")]
        assert defaults == {"generationConfig": {"topK": 3}, "toolConfig": {"retrievalConfig": {}}}

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "function", "content": "x"},
            {"content": "x"},
            "Hi",
            user([{"type": "video", "video": {}}]),
            user([7]),
            user([{"type": "text", "text": 7}]),
            user([{"type": "image_url", "image_url": "x"}]),
            user([image("file:///etc/passwd")]),
            user([image("data:image/png,plain")]),
            user([{"type": "file", "file": {"file_id": "file-1"}}]),
            user([{"type": "input_audio", "input_audio": {"data": "x"}}]),
            user([{"type": "input_audio", "input_audio": {"format": "wav"}}]),
            assistant(None, call("f", 7)),
            assistant(None, {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}),
            assistant(None, {"type": "function", "function": {"name": "f"}}),
            assistant(None, {"id": "c", "type": "function", "function": {}}),
            assistant(None, refusal=["No."]),
            assistant("a", provider_state=[{"issuer": 1}]),
            tool("c9", "a result of nothing"),
            {"role": "tool", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        ],
    )
    def test_what_gemini_cannot_be_told_is_refused(self, message: Any) -> None:
        with pytest.raises(ValueError, match=r"Gemini|must be|neither|not that of|provider_state"):
            body(user("Hi"), message)


class TestMedia:
    @pytest.mark.parametrize(
        ("part", "said"),
        [
            (image(PNG), inline("image/png", "iVBORw0KGgo=")),
            (image("data:;base64,AA=="), inline("image/jpeg", "AA==")),
            (image("data:image/webp;name=x;base64,AA=="), inline("image/webp", "AA==")),
            ({"type": "file", "file": {"file_data": PDF}}, inline("application/pdf", "JVBERi0=")),
            (
                {"type": "file", "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a"}},
                inline("text/plain", "YQ=="),
            ),
            (
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                inline("audio/wav", "UklGRg=="),
            ),
        ],
    )
    def test_data_goes_inline(self, part: Any, said: Any) -> None:
        assert body(user([part]))["contents"][0]["parts"] == [said]

    @pytest.mark.parametrize(
        ("url", "kind"),
        [
            ("https://example.com/a.png", "image/png"),
            ("http://example.com/a.PNG?size=2.webp#x", "image/png"),
            ("https://example.com/a.webp#top", "image/webp"),
            ("https://example.com/a.jpeg", "image/jpeg"),
            ("https://example.com/picture", "image/jpeg"),
            ("https://example.com/a.pdf", "application/pdf"),
        ],
    )
    def test_an_address_goes_with_a_type_guessed_from_its_ending(self, url: str, kind: str) -> None:
        assert body(user([image(url)]))["contents"][0]["parts"] == [
            {"fileData": {"mimeType": kind, "fileUri": url}}
        ]

    def test_a_file_at_an_address_is_a_pdf_unless_its_ending_says_otherwise(self) -> None:
        for source in ("file_data", "file_url"):
            parts = [{"type": "file", "file": {source: f"https://x.org/{name}"}} for name in ("a", "a.txt")]
            said = body(user(parts))["contents"][0]["parts"]
            assert said == [
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.org/a"}},
                {"fileData": {"mimeType": "text/plain", "fileUri": "https://x.org/a.txt"}},
            ]

    @pytest.mark.parametrize("messages", [({"role": "system", "content": "a"},), (user(""),)])
    def test_a_conversation_without_a_word_is_refused(self, messages: Any) -> None:
        with pytest.raises(ValueError, match=r"not empty \(messages\)"):
            body(*messages)


class TestToolCalls:
    @pytest.mark.parametrize(
        ("arguments", "args"),
        [
            ('{"x": 1.0}', {"x": 1.0}),
            ({"x": 1}, {"x": 1}),
            ("", {}),
            (None, {}),
            (" ", {}),
            ("[1]", {"_raw": "[1]"}),
            ('{"x":', {"_raw": '{"x":'}),
            ("[" * 100_000, {"_raw": "[" * 100_000}),
        ],
    )
    def test_arguments_become_an_object(self, arguments: Any, args: Any) -> None:
        said = body_of(ChatRequest([user("a"), assistant(None, call("f", arguments))]), {}, "gemini-2.5-pro")
        assert said["contents"][1]["parts"] == [{"functionCall": {"id": "c1", "name": "f", "args": args}}]

    def test_results_go_under_their_functions_name_and_before_all_else(self) -> None:
        said = body(
            user("a"),
            assistant("b", call("f", call_id="1"), call("g", call_id="2")),
            tool("2", "two"),
            user("and?"),
            tool("1", [text("o"), text("ne")]),
        )
        assert said["contents"][2] == {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "2", "name": "g", "response": {"output": "two"}}},
                {"functionResponse": {"id": "1", "name": "f", "response": {"output": "o\n\nne"}}},
                {"text": "and?"},
            ],
        }

    def test_of_an_id_that_comes_again_the_newest_name_counts(self) -> None:
        said = body(
            user("a"),
            assistant(None, call("f")),
            tool("c1", "1"),
            assistant(None, call("g")),
            tool("c1", "2"),
        )
        names = [turn["parts"][0]["functionResponse"]["name"] for turn in said["contents"][2::2]]
        assert names == ["f", "g"]

    def test_an_empty_result_is_said(self) -> None:
        for content in ("", None, [text("")]):
            said = body(user("a"), assistant(None, call("f")), tool("c1", content))
            assert said["contents"][2]["parts"][0]["functionResponse"]["response"] == {"output": ""}

    def test_images_and_pdf_go_into_the_result_for_gemini_3(self) -> None:
        result = [text("see"), image(PNG), {"type": "file", "file": {"file_data": PDF}}]
        said = body(user("a"), assistant(None, call("f")), tool("c1", result))
        assert said["contents"][2]["parts"] == [
            {
                "functionResponse": {
                    "id": "c1",
                    "name": "f",
                    "response": {"output": "see"},
                    "parts": [inline("image/png", "iVBORw0KGgo="), inline("application/pdf", "JVBERi0=")],
                }
            }
        ]

    @pytest.mark.parametrize(
        ("model", "part"),
        [
            ("gemini-2.5-pro", image(PNG)),
            ("gemini-3-pro", image("https://example.com/a.png")),
            ("gemini-3-pro", {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}),
        ],
    )
    def test_other_media_go_beside_all_results_with_the_functions_name(self, model: str, part: Any) -> None:
        said = body(
            user("a"),
            assistant(None, call("f", call_id="1"), call("g", call_id="2")),
            tool("1", [part]),
            tool("2", "x"),
            model=model,
        )
        kinds = [part.get("text") or next(iter(part)) for part in said["contents"][2]["parts"]]
        assert kinds[:3] == ["functionResponse", "functionResponse", "From the result of f:"]
        assert kinds[3] in ("inlineData", "fileData")
        assert "parts" not in said["contents"][2]["parts"][0]["functionResponse"]


class TestSignatures:
    def test_go_back_to_the_calls_they_came_with(self) -> None:
        states = [signed("U2I=", call="2"), signed("U1E=", call="1")]
        said = body(
            user("a"),
            assistant(None, call("f", call_id="1"), call("g", call_id="2"), provider_state=states),
        )
        assert [part.get("thoughtSignature") for part in said["contents"][1]["parts"]] == ["U1E=", "U2I="]

    def test_one_without_a_call_goes_back_to_the_last_text(self) -> None:
        states = [signed("b2w="), signed("bmV3")]
        said = body(user("a"), assistant([text("b"), text("c"), image(PNG)], provider_state=states))
        assert said["contents"][1]["parts"] == [
            {"text": "b"},
            {"text": "c", "thoughtSignature": "bmV3"},
            inline("image/png", "iVBORw0KGgo="),
        ]

    def test_where_there_is_no_text_it_has_an_empty_one(self) -> None:
        said = body(user("a"), assistant("", call("f"), provider_state=[signed("UzQ=")]))
        assert said["contents"][1]["parts"][0] == {"text": "", "thoughtSignature": "UzQ="}

    def test_what_others_issued_is_left_out(self) -> None:
        foreign = [
            {"issuer": "anthropic", "kind": "signature", "value": "EqQB"},
            {**signed("x"), "kind": "odd"},
        ]
        said = body(user("a"), assistant("b", provider_state=foreign))
        assert said["contents"][1]["parts"] == [{"text": "b"}]

    @pytest.mark.parametrize(
        "model", ["gemini-3-pro-preview", "models/gemini-3.1-flash", "gemini-flash-latest", "GEMINI-4"]
    )
    def test_gemini_3_gets_googles_word_for_a_step_that_another_made(self, model: str) -> None:
        said = body(
            user("a"),
            assistant(None, call("f", call_id="1"), call("g", call_id="2")),
            tool("1", "x"),
            tool("2", "y"),
            assistant(None, call("h", call_id="3"), provider_state=[signed("U3M=", call="3")]),
            model=model,
        )
        parts = [part for turn in said["contents"][1::2] for part in turn["parts"]]
        assert [part.get("thoughtSignature") for part in parts] == [UNSIGNED, None, "U3M="]

    @pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-27b-it"])
    def test_older_models_do_not(self, model: str) -> None:
        said = body(user("a"), assistant(None, call("f")), model=model)
        assert "thoughtSignature" not in said["contents"][1]["parts"][0]


class TestTools:
    def test_schemas_go_as_they_came(self) -> None:
        function = {"name": "f", "description": "Does.", "parameters": SCHEMA, "strict": True}
        said = body(tools=[{"type": "function", "function": function}, FUNCTION])
        assert said["tools"] == [
            {
                "functionDeclarations": [
                    {"name": "f", "description": "Does.", "parametersJsonSchema": SCHEMA},
                    {"name": "f"},
                ]
            }
        ]
        assert "toolConfig" not in said

    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            ("auto", {"mode": "AUTO"}),
            ("none", {"mode": "NONE"}),
            ("required", {"mode": "ANY"}),
            (FUNCTION, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
            (
                {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [FUNCTION, FUNCTION]},
                },
                {"mode": "ANY", "allowedFunctionNames": ["f", "f"]},
            ),
            (
                {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
                {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
            ),
        ],
    )
    def test_the_choice(self, choice: Any, said: Any) -> None:
        assert body(tools=[FUNCTION], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": said}

    def test_a_choice_without_tools_is_not_said(self) -> None:
        assert "toolConfig" not in body(tool_choice="auto", tools=[])

    def test_the_defaults_other_tool_settings_stay(self) -> None:
        defaults = {
            "toolConfig": {
                "retrievalConfig": {"languageCode": "cs"},
                "functionCallingConfig": {"mode": "NONE"},
            }
        }
        said = body(tools=[FUNCTION], tool_choice="auto", defaults=defaults)
        assert said["toolConfig"] == {
            "retrievalConfig": {"languageCode": "cs"},
            "functionCallingConfig": {"mode": "AUTO"},
        }

    @pytest.mark.parametrize(
        "fields",
        [
            {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
            {"tools": ["f"]},
            {"tools": [{"type": "function", "function": {"name": 7}}]},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            {"tools": [FUNCTION], "tool_choice": "perhaps"},
            {"tools": [FUNCTION], "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}},
            },
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": 7}},
            },
            {"tools": [FUNCTION], "response_format": {"type": "json_object"}, "model": "gemini-2.5-pro"},
            {"modalities": ["text", "audio"]},
            {"audio": {"voice": "alloy", "format": "wav"}},
            {"functions": [{"name": "f"}]},
            {"function_call": "auto"},
            {"response_format": {"type": "grammar"}},
            {"response_format": "json"},
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
            {"stop": 7},
            {"stop": [7]},
        ],
    )
    def test_what_gemini_cannot_be_told_is_refused(self, fields: Any) -> None:
        with pytest.raises(ValueError, match=r"Gemini|must be|expected"):
            body(**fields)

    def test_gemini_3_gives_json_beside_tools(self) -> None:
        assert body(tools=[FUNCTION], response_format={"type": "json_object"})["tools"]


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, {}),
            ({"temperature": None, "stop": None, "n": None}, {}),
            ({"temperature": 1.5, "top_p": 0.1, "top_k": 4}, {"temperature": 1.5, "topP": 0.1, "topK": 4}),
            ({"max_tokens": 5}, {"maxOutputTokens": 5}),
            ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
            ({"stop": "END"}, {"stopSequences": ["END"]}),
            ({"stop": ("a", "b")}, {"stopSequences": ["a", "b"]}),
            ({"n": 2}, {"candidateCount": 2}),
            ({"seed": 7}, {"seed": 7}),
            ({"seed": -7}, {"seed": -7}),
            ({"seed": 2**40 + 7}, {"seed": 7}),
            (
                {"presence_penalty": 0.5, "frequency_penalty": -0.5},
                {"presencePenalty": 0.5, "frequencyPenalty": -0.5},
            ),
            ({"logprobs": True}, {"responseLogprobs": True}),
            ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
            ({"logprobs": False}, {}),
            ({"response_format": {"type": "text"}}, {"responseMimeType": "text/plain"}),
            ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
            (
                {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
                {"responseMimeType": "application/json"},
            ),
            (
                {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
                {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            ),
        ],
    )
    def test_generation_config(self, fields: Any, said: Any) -> None:
        assert config(**fields) == said

    def test_the_tier(self) -> None:
        tiers = [
            body(service_tier=tier).get("serviceTier") for tier in ("auto", "default", "flex", "priority")
        ]
        assert tiers == [None, "standard", "flex", "priority"]

    def test_defaults_fill_what_the_request_leaves_out_key_by_key(self) -> None:
        defaults = {
            "generationConfig": {"temperature": 0.1, "topK": 3, "mediaResolution": "MEDIA_RESOLUTION_LOW"},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
            "systemInstruction": {"parts": [{"text": "theirs"}]},
        }
        said = body(defaults=defaults, temperature=0.9)
        assert said == {
            **defaults,
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "generationConfig": {
                "temperature": 0.9,
                "topK": 3,
                "mediaResolution": "MEDIA_RESOLUTION_LOW",
            },
        }
        said = body({"role": "system", "content": "ours"}, user("Hi"), defaults=defaults)
        assert said["systemInstruction"] == {"parts": [{"text": "ours"}]}

    @pytest.mark.parametrize("name", ["responseSchema", "responseJsonSchema"])
    def test_of_a_schema_there_is_only_one(self, name: str) -> None:
        theirs: dict[str, Any] = {"responseMimeType": "application/json", name: {"type": "STRING"}}
        defaults = {"generationConfig": theirs}
        assert config(defaults=defaults) == theirs
        assert config(defaults=defaults, response_format={"type": "text"}) == {
            "responseMimeType": "text/plain"
        }
        wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
        assert config(defaults=defaults, response_format=wanted) == {
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        }


class TestThinking:
    def thinking(self, effort: object, model: str, **defaults: Any) -> Any:
        said = config(reasoning_effort=effort, model=model, defaults={"generationConfig": defaults})
        return said.get("thinkingConfig")

    @pytest.mark.parametrize(
        ("model", "budgets"),
        [
            ("gemini-2.5-flash", [0, 1024, 1024, 8192, 24576, 24576]),
            ("gemini-2.5-flash-lite", [0, 1024, 1024, 8192, 24576, 24576]),
            ("models/gemini-2.5-pro", [128, 1024, 1024, 8192, 24576, 24576]),
        ],
    )
    def test_gemini_2_5_has_a_budget(self, model: str, budgets: list[int]) -> None:
        said = [self.thinking(effort, model) for effort in BUDGETS]
        assert said == [
            {"thinkingBudget": budget, "includeThoughts": effort != "none"}
            for budget, effort in zip(budgets, BUDGETS, strict=True)
        ]

    @pytest.mark.parametrize(
        ("model", "levels"),
        [
            ("gemini-3-flash-preview", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]),
            ("gemini-flash-latest", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]),
            ("gemini-3-pro-preview", ["LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH"]),
            ("gemini-3.1-pro", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ],
    )
    def test_what_came_after_it_has_a_level(self, model: str, levels: list[str]) -> None:
        said = [self.thinking(effort, model) for effort in BUDGETS]
        assert said == [
            {"thinkingLevel": level, "includeThoughts": effort != "none"}
            for level, effort in zip(levels, BUDGETS, strict=True)
        ]

    @pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemma-3-27b-it", "tunedModels/mine"])
    def test_other_models_do_not_think(self, model: str) -> None:
        assert self.thinking("high", model) is None

    @pytest.mark.parametrize("effort", [None, "extreme"])
    def test_without_an_effort_that_we_know_nothing_is_said(self, effort: object) -> None:
        assert self.thinking(effort, "gemini-3-flash") is None

    def test_of_thinking_there_is_only_one_and_the_defaults_may_hide_it(self) -> None:
        theirs = {"thinkingBudget": 5, "includeThoughts": False}
        assert self.thinking(None, "gemini-2.5-pro", thinkingConfig=theirs) == theirs
        said = self.thinking("low", "gemini-3-pro", thinkingConfig=theirs)
        assert said == {"thinkingLevel": "LOW", "includeThoughts": False}


class TestLeftOut:
    def left_out(self, *messages: Any, **fields: Any) -> tuple[str, ...]:
        return left_out(ChatRequest(messages or (user("Hi"),), fields))

    def test_what_is_said_is_not_left_out(self) -> None:
        said = {
            "temperature": 1,
            "max_tokens": 4,
            "service_tier": "flex",
            "reasoning_effort": "low",
            "tools": [FUNCTION],
            "stream_options": {},
        }
        assert self.left_out(**said) == ()

    def test_what_means_nothing_is_no_loss(self) -> None:
        nothing: dict[str, Any] = {
            "parallel_tool_calls": True,
            "store": False,
            "user": None,
            "logit_bias": {},
            "modalities": ["text"],
            "service_tier": "auto",
        }
        assert self.left_out(**nothing) == ()

    def test_fields_without_a_counterpart(self) -> None:
        strict = {"type": "function", "function": {"name": "f", "strict": True}}
        fields = {
            "user": "u1",
            "logit_bias": {"5": 1},
            "parallel_tool_calls": False,
            "service_tier": "scale",
            "reasoning_effort": "extreme",
            "tools": [strict, strict, "odd", {"function": "odd"}],
        }
        assert self.left_out(**fields) == (
            "user",
            "logit_bias",
            "parallel_tool_calls",
            "service_tier",
            "reasoning_effort",
            "tools[].strict",
        )

    def test_parts_of_messages_without_a_counterpart(self) -> None:
        detailed = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
        named = {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}
        assert self.left_out(
            {
                **user([detailed, named, "text", {**text("x"), "cache_control": {"type": "ephemeral"}}]),
                "name": "Ann",
            },
            user([image(PNG), {"type": "file", "file": "odd"}, detailed]),
            assistant("b", reasoning_content="Hm", audio={"id": "a1"}),
        ) == (
            "messages[].name",
            "messages[].detail",
            "messages[].filename",
            "messages[].cache_control",
            "messages[].audio",
            "messages[].reasoning_content",
        )


# Nothing is lost that both sides can say: read back by a reader written from Google's reference


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
DATA = st.binary(max_size=12).map(lambda data: base64.b64encode(data).decode())
NAMES = st.from_regex(r"[a-z_][a-z0-9_-]{0,12}", fullmatch=True)
JSON_OBJECTS = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
TEXT_PARTS = TEXTS.map(text)
INLINE_IMAGES = DATA.map(lambda data: image(f"data:image/png;base64,{data}"))
MEDIA = st.one_of(
    INLINE_IMAGES,
    st.just(image("https://example.com/a.webp")),
    DATA.map(lambda data: {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}"}}),
    DATA.map(lambda data: {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
)
STATES = DATA.filter(bool).map(signed)


@st.composite
def steps(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """A model's turn, and what its calls came to."""
    content = draw(st.lists(TEXT_PARTS, max_size=2))
    calls = [
        call(draw(NAMES), json.dumps(draw(JSON_OBJECTS)), f"c{number}_{position}")
        for position in range(draw(st.integers(0 if content else 1, 3)))
    ]
    states = draw(st.lists(STATES, max_size=1)) if content else []
    states += [signed(draw(DATA.filter(bool)), call=made["id"]) for made in calls if draw(st.booleans())]
    message: dict[str, Any] = {"role": "assistant"}
    message |= {"content": content} if content else {}
    message |= {"tool_calls": calls} if calls else {}
    message |= {"provider_state": states} if states else {}
    results = [
        tool(made["id"], [text(draw(TEXTS)), *draw(st.lists(INLINE_IMAGES, max_size=1))]) for made in calls
    ]
    return [message, *results]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(st.lists(TEXT_PARTS, min_size=1, max_size=2))})
    for number in range(draw(st.integers(1, 3))):
        messages.append(user(draw(st.lists(TEXT_PARTS | MEDIA, min_size=1, max_size=3))))
        messages += draw(steps(number))
    return messages


SCHEMAS = st.fixed_dictionaries({"type": st.just("object"), "properties": JSON_OBJECTS})
FUNCTIONS = st.fixed_dictionaries({"name": NAMES}, optional={"description": TEXTS, "parameters": SCHEMAS})
TOOLS = st.lists(FUNCTIONS.map(lambda function: {"type": "function", "function": function}), min_size=1)
CHOICES = st.one_of(
    st.sampled_from(["auto", "none", "required"]),
    NAMES.map(lambda name: {"type": "function", "function": {"name": name}}),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "max_completion_tokens": st.integers(1, 9999),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 99),
        "stop": st.lists(TEXTS, min_size=1, max_size=5),
        "n": st.integers(1, 8),
        "seed": st.integers(-(2**31), 2**31 - 1),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "response_format": st.just({"type": "json_object"})
        | SCHEMAS.map(lambda schema: {"type": "json_schema", "json_schema": {"schema": schema}}),
        "reasoning_effort": st.sampled_from(["minimal", "low", "medium", "high"]),
        "service_tier": st.sampled_from(["default", "flex", "priority"]),
    },
)
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})
LOGPROBS = NOTHING | st.fixed_dictionaries(
    {"logprobs": st.just(True)}, optional={"top_logprobs": st.integers(1, 20)}
)
TOOL_FIELDS = NOTHING | st.fixed_dictionaries({"tools": TOOLS}, optional={"tool_choice": CHOICES})


def sorted_out(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what may be said in several ways said in one."""
    for made in (made for message in messages for made in message.get("tool_calls", ())):
        made["function"]["arguments"] = json.loads(made["function"]["arguments"])
    return messages


ALL_FIELDS = st.tuples(FIELDS, LOGPROBS, TOOL_FIELDS).map(lambda some: some[0] | some[1] | some[2])


@given(conversations(), ALL_FIELDS)
def test_nothing_is_lost_that_both_can_say(messages: Any, fields: dict[str, Any]) -> None:
    said = lenient_json.encoded(body_of(ChatRequest(messages, fields), {}, "gemini-3-flash"))
    validate(json.loads(said))
    told, told_fields = gemini_body.read(said)
    assert sorted_out(told) == sorted_out(messages)
    assert told_fields == fields
    assert left_out(ChatRequest(messages, fields)) == ()
