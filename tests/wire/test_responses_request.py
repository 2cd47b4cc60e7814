"""Chat requests in the words of Responses."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.wire import lenient_json
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import cut_apart
from understudy.wire.responses_conversation import chat_of
from understudy.wire.responses_request import LEAST_LIMIT, body_of, left_out, own_words
from understudy.wire.responses_state import state_of
from understudy.wire.state import ProviderState

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"


def body(*messages: Any, defaults: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return body_of(ChatRequest(messages or (user("Hi"),), fields), defaults or {}, "gpt-4.1")


def items(*messages: Any) -> list[dict[str, Any]]:
    return body(*messages)["input"]  # type: ignore[no-any-return]


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


def message(role: str, *parts: object) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


def said(words: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": kind, "text": words}


FUNCTION = {"type": "function", "function": {"name": "f"}}
HI = message("user", said("Hi"))


class TestMessages:
    @pytest.mark.parametrize("role", ["system", "developer"])
    def test_the_first_ones_words_are_the_instructions(self, role: str) -> None:
        told = body({"role": role, "content": "a"}, user("Hi"), {"role": "system", "content": "b"})
        assert told["instructions"] == "a"
        assert told["input"] == [HI, message("system", said("b"))]
        parted = body({"role": role, "content": [text("a"), text("b")]}, user("Hi"))
        assert parted["instructions"] == "a\n\nb"

    def test_the_systems_words_elsewhere_stay_where_they_are(self) -> None:
        told = body(user("Hi"), {"role": "developer", "content": "b"})
        assert "instructions" not in told
        assert told["input"] == [HI, message("developer", said("b"))]
        assert "instructions" not in body({"role": "system", "content": ""}, user("Hi"))

    def test_no_messages_are_no_items(self) -> None:
        assert body_of(ChatRequest(()), {}, "m")["input"] == []
        assert body({"role": "system", "content": "a"}, defaults={})["input"] == []

    def test_a_users_parts(self) -> None:
        parts = [
            text("a"),
            "b",
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
            {"type": "file", "file": {"file_id": "file-1", "filename": None}},
        ]
        assert items(user(parts)) == [
            message(
                "user",
                said("a"),
                said("b"),
                {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"},
                {
                    "type": "input_file",
                    "file_data": "data:application/pdf;base64,JVBE",
                    "filename": "a.pdf",
                },
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
                {"type": "input_file", "file_id": "file-1"},
            )
        ]

    def test_an_assistants_message_its_calls_and_their_results_are_items(self) -> None:
        custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        told = items(
            user("Hi"),
            assistant([text("a"), {"type": "refusal", "refusal": "No."}], call("f", '{"x":1}'), custom),
            tool("c1", "b"),
            tool("c2", [text("c"), image]),
            assistant(None, call("f", {"x": 1}), call("f", "", "c2")),
            tool("c1", None),
            assistant("d"),
        )
        assert told == [
            HI,
            message("assistant", said("a", "output_text"), {"type": "refusal", "refusal": "No."}),
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
            {"type": "function_call_output", "call_id": "c1", "output": "b"},
            {
                "type": "custom_tool_call_output",
                "call_id": "c2",
                "output": [said("c"), {"type": "input_image", "image_url": "data:,", "detail": "auto"}],
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c1", "output": ""},
            {"type": "message", "role": "assistant", "content": "d"},
        ]

    def test_an_assistants_one_text_is_a_string_as_parts_of_its_would_want_ids(self) -> None:
        no = {"type": "refusal", "refusal": "No."}
        for content, expected in (
            ("a", "a"),
            ([text("a")], "a"),
            ([text("a"), text("b")], [said("a", "output_text"), said("b", "output_text")]),
            ([no], [no]),
        ):
            [item] = items(assistant(content))
            assert item == {"type": "message", "role": "assistant", "content": expected}

    def test_any_mapping_and_sequence_will_do(self) -> None:
        frozen = MappingProxyType({"role": "user", "content": (MappingProxyType(text("Hi")),)})
        assert items(frozen) == [HI]

    @pytest.mark.parametrize(
        "wrong",
        [
            "odd",
            {"role": "wizard"},
            {"role": "user", "content": [7]},
            user([{"type": "text", "text": 7}]),
            user([{"type": "input_audio", "input_audio": {}}]),
            user([{"type": "refusal", "refusal": "No."}]),
            user([{"type": "image_url", "image_url": "https://example.org"}]),
            user([{"type": "image_url", "image_url": {}}]),
            user([{"type": "file", "file": "x"}]),
            assistant("a", "odd"),
            assistant("a", {"id": 7, "function": {"name": "f"}}),
            assistant("a", {"id": "c", "function": {}}),
            assistant("a", {"id": "c"}),
            assistant("a", {"id": "c", "function": {"name": "f", "arguments": 7}}),
            assistant("a", {"id": "c", "type": "odd", "odd": {}}),
            {"role": "tool", "content": "a"},
            user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]),
            user([{"type": "image_url", "image_url": {"url": ""}}]),
            user([{"type": "file", "file": {"file_url": "file:///etc/passwd"}}]),
            user([{"type": "file", "file": {"file_data": 7}}]),
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        ],
    )
    def test_what_cannot_be_said_is_an_error(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match=r"must be|has no|nothing like|text only"):
            body(wrong)


class TestReasoning:
    STATES = (
        state_of("gAAAAA", "rs_1", "Hm").to_dict(),
        ProviderState("anthropic", "signature", "s", "So").to_dict(),
    )

    def test_items_that_responses_issued_stand_before_their_message(self) -> None:
        told = body(user("Hi"), assistant("a", call("f"), provider_state=self.STATES), tool("c1", "b"))
        reasoning = {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "gAAAAA",
        }
        assert [item["type"] for item in told["input"]] == [
            "message",
            "reasoning",
            "message",
            "function_call",
            "function_call_output",
        ]
        assert told["input"][1] == reasoning
        assert told["include"] == [ENCRYPTED]

    def test_odd_state_is_an_error(self) -> None:
        odd = ProviderState("openai-responses", "reasoning", "odd").to_dict()
        with pytest.raises(ValueError, match="no reasoning item"):
            body(assistant("a", provider_state=[odd]))

    @pytest.mark.parametrize(
        ("effort", "defaults", "reasoning", "included"),
        [
            (None, {}, None, False),
            ("none", {}, {"effort": "none"}, False),
            ("low", {}, {"summary": "auto", "effort": "low"}, True),
            ("low", {"effort": "high", "summary": None}, {"effort": "low", "summary": None}, True),
            ("none", {"effort": "high", "summary": "auto"}, {"effort": "none"}, False),
            (None, {"effort": "high"}, {"effort": "high"}, True),
            (None, {"summary": "auto"}, {"summary": "auto"}, True),
            (None, {"effort": "none"}, {"effort": "none"}, False),
        ],
    )
    def test_encrypted_reasoning_is_asked_for_where_there_is_reasoning(
        self, effort: str | None, defaults: dict[str, Any], reasoning: object, included: bool
    ) -> None:
        told = body(reasoning_effort=effort, defaults={"reasoning": defaults} if defaults else {})
        assert told.get("reasoning") == reasoning
        assert told.get("include") == ([ENCRYPTED] if included else None)

    @pytest.mark.parametrize(
        ("model", "thinks"),
        [
            ("gpt-5", True),
            ("gpt-5.2-codex", True),
            ("o3-mini", True),
            ("codex-mini-latest", True),
            ("openai/gpt-5-mini", True),
            ("gpt-5-chat-latest", False),
            ("gpt-5.1-chat-latest", False),
            ("gpt-4.1", False),
            ("gpt-4o", False),
            ("omni", False),
            ("my-deployment", False),
        ],
    )
    def test_encrypted_reasoning_is_asked_of_models_that_reason_unasked(
        self, model: str, thinks: bool
    ) -> None:
        request = ChatRequest((user("Hi"),))
        assert body_of(request, {}, model).get("include") == ([ENCRYPTED] if thinks else None)
        given = {"reasoning": {"effort": "none"}}
        assert "include" not in body_of(request, given, model)


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({}, {}),
            ({"max_tokens": 50}, {"max_output_tokens": 50}),
            ({"max_tokens": 50, "max_completion_tokens": 60}, {"max_output_tokens": 60}),
            ({"max_tokens": 1}, {"max_output_tokens": LEAST_LIMIT}),
            ({"temperature": 1.7, "top_p": 0.5}, {"temperature": 1.7, "top_p": 0.5}),
            ({"temperature": None, "max_tokens": None}, {}),
            ({"user": "u", "metadata": {"a": "b"}}, {"user": "u", "metadata": {"a": "b"}}),
            (
                {"service_tier": "flex", "safety_identifier": "s", "prompt_cache_key": "k"},
                {"service_tier": "flex", "safety_identifier": "s", "prompt_cache_key": "k"},
            ),
            ({"logprobs": True, "top_logprobs": 2}, {"include": [LOGPROBS], "top_logprobs": 2}),
            ({"logprobs": False}, {}),
            ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
            ({"response_format": {"type": "text"}}, {"text": {"format": {"type": "text"}}}),
            ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
            (
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "a", "schema": {}, "strict": True},
                    }
                },
                {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
            ),
            ({"n": 1, "modalities": ["text"], "stream_options": {}, "store": True}, {}),
            ({"stop": ["a"], "seed": 1, "frequency_penalty": 1, "future": 2}, {}),
            ({"model": "x", "messages": [], "stream": True}, {}),
        ],
    )
    def test_are_translated_or_left_out(self, fields: dict[str, Any], told: dict[str, Any]) -> None:
        given = ChatRequest((user("Hi"),), fields)
        assert body_of(given, {}, "m") == {"input": [HI], "store": False, **told}

    @pytest.mark.parametrize(
        ("fields", "names"),
        [
            (
                {"stop": ["a"], "seed": 1, "frequency_penalty": 0.5, "future": 2},
                "stop seed frequency_penalty future",
            ),
            ({"stop": None, "seed": None, "logit_bias": {}, "web_search_options": False}, ""),
            (
                {
                    "max_tokens": 1,
                    "tools": [FUNCTION],
                    "reasoning_effort": "low",
                    "logprobs": True,
                    "user": "u",
                },
                "",
            ),
            ({"model": "x", "messages": [1], "stream": True, "store": True, "n": 1}, ""),
            ({"modalities": ["text"], "functions": []}, ""),
            ({"modalities": ["image"]}, "modalities"),
        ],
    )
    def test_what_is_left_out_is_named(self, fields: dict[str, Any], names: str) -> None:
        assert left_out(ChatRequest((user("Hi"),), fields)) == tuple(names.split())

    def test_what_is_left_out_of_messages_is_named(self) -> None:
        kept = assistant("a", reasoning_content="Hm", provider_state=TestReasoning.STATES)
        assert left_out(ChatRequest([user("Hi"), kept])) == ()
        lost = assistant("a", reasoning_content="Hm", provider_state=TestReasoning.STATES[1:])
        assert left_out(ChatRequest([{**user("Hi"), "name": "n"}, lost])) == (
            "messages[].name",
            "messages[].reasoning_content",
        )
        marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
        assert left_out(ChatRequest([user([marked, "a"])])) == ("messages[].cache_control",)

    @pytest.mark.parametrize(
        "fields",
        [
            {"n": 2},
            {"functions": [{"name": "f"}]},
            {"function_call": "auto"},
            {"audio": {"voice": "alloy"}},
            {"modalities": ["text", "audio"]},
        ],
    )
    def test_what_must_not_be_dropped_is_an_error(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="Responses"):
            body(**fields)

    def test_so_is_a_call_of_the_old_kind(self) -> None:
        with pytest.raises(ValueError, match="function_call: it wants tool_calls"):
            body(user("Hi"), {**assistant(None), "function_call": {"name": "f", "arguments": "{}"}})

    def test_the_request_wins_over_the_defaults(self) -> None:
        defaults = {
            "temperature": 1,
            "truncation": "auto",
            "store": True,
            "text": {"verbosity": "low", "format": {"type": "text"}},
            "include": [LOGPROBS],
        }
        told = body(
            temperature=0, response_format={"type": "json_object"}, reasoning_effort="low", defaults=defaults
        )
        assert told == {
            "input": [HI],
            "temperature": 0,
            "truncation": "auto",
            "store": False,
            "text": {"verbosity": "low", "format": {"type": "json_object"}},
            "reasoning": {"summary": "auto", "effort": "low"},
            "include": [LOGPROBS, ENCRYPTED],
        }
        assert defaults["include"] == [LOGPROBS]

    def test_words_that_formats_share_are_understood_in_defaults(self) -> None:
        shared = {
            "max_tokens": 99,
            "reasoning_effort": "low",
            "verbosity": "low",
            "response_format": {"type": "text"},
        }
        assert own_words({**shared, "top_p": 1}) == {
            "max_output_tokens": 99,
            "reasoning": {"summary": "auto", "effort": "low"},
            "text": {"verbosity": "low", "format": {"type": "text"}},
            "top_p": 1,
        }
        assert own_words({"max_tokens": 99, "max_output_tokens": 50}) == {"max_output_tokens": 50}
        assert body(max_tokens=70, defaults=shared)["max_output_tokens"] == 70


class TestTools:
    def test_are_flat(self) -> None:
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        full = {"name": "f", "description": "F.", "parameters": schema, "strict": True}
        definition = {"definition": "start: /x/", "syntax": "lark"}
        custom = {"name": "g", "description": "G.", "format": {"type": "grammar", "grammar": definition}}
        plain = {"name": "h", "format": {"type": "text"}}
        tools = [
            {"type": "function", "function": full},
            FUNCTION,
            {"type": "custom", "custom": custom},
            {"type": "custom", "custom": plain},
            {"type": "custom", "custom": {"name": "i"}},
        ]
        empty = {"type": "object", "properties": {}}
        assert body(tools=tools)["tools"] == [
            {"type": "function", "name": "f", "description": "F.", "parameters": schema, "strict": True},
            {"type": "function", "name": "f", "parameters": empty, "strict": False},
            {"type": "custom", "name": "g", "description": "G.", "format": {"type": "grammar", **definition}},
            {"type": "custom", "name": "h", "format": {"type": "text"}},
            {"type": "custom", "name": "i"},
        ]
        assert "tools" not in body(tools=[])

    @pytest.mark.parametrize(
        ("choice", "told"),
        [
            ("auto", "auto"),
            ("required", "required"),
            ("none", "none"),
            (FUNCTION, {"type": "function", "name": "f"}),
            ({"type": "custom", "custom": {"name": "g"}}, {"type": "custom", "name": "g"}),
            (
                {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
                {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ),
        ],
    )
    def test_the_choice(self, choice: object, told: object) -> None:
        said = body(tools=[FUNCTION], tool_choice=choice, parallel_tool_calls=False)
        assert (said["tool_choice"], said["parallel_tool_calls"]) == (told, False)

    @pytest.mark.parametrize(
        "fields",
        [
            {"tools": ["odd"]},
            {"tools": [{"type": "function"}]},
            {"tools": [{"type": "function", "function": {"name": 7}}]},
            {"tools": [{"type": "web_search"}]},
            {"tool_choice": 7},
            {"tool_choice": {"type": "function", "function": {}}},
            {"tool_choice": {"type": "odd"}},
            {"tool_choice": "perhaps"},
            {"tool_choice": {"type": "allowed_tools"}},
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": 7}}},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            {"response_format": {"type": ["json_schema"]}},
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": ["odd"]}}},
            {"response_format": "json"},
            {"response_format": {"type": "json_schema"}},
        ],
    )
    def test_odd_ones_are_errors(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must be|nothing like|no such|expected"):
            body(**fields)


# What both formats can say comes back as it was.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
IMAGES = st.sampled_from(
    [
        {"url": "https://example.org/a.png"},
        {"url": "data:image/png;base64,iVBO", "detail": "low"},
    ]
).map(lambda image: {"type": "image_url", "image_url": image})
FILES = st.sampled_from(
    [
        {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"filename": "a.pdf", "file_url": "https://example.org/a.pdf"},
        {"file_url": "https://example.org/a.pdf"},
    ]
).map(lambda file: {"type": "file", "file": file})
PARTS = st.lists(WORDS.map(text) | IMAGES | FILES, min_size=2, max_size=4)
RESULTS = st.just("") | WORDS | st.tuples(WORDS.map(text), IMAGES | FILES).map(list)
ANSWERS = WORDS | st.lists(
    WORDS.map(text) | WORDS.map(lambda words: {"type": "refusal", "refusal": words}), min_size=2, max_size=3
)
STATES = st.builds(state_of, WORDS, st.none() | NAMES, st.just("") | WORDS)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    name, call_id, words = draw(NAMES), draw(NAMES), draw(WORDS)
    if draw(st.booleans()):
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": words}}
    return call(name, words, call_id)


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A question, an answer, and what its tools gave."""
    asked = user(draw(WORDS | PARTS | IMAGES.map(lambda image: [image])))
    called = draw(st.lists(calls(), max_size=3, unique_by=lambda each: each["id"]))
    states = [state.to_dict() for state in draw(st.lists(STATES, max_size=2))]
    kept = {"provider_state": states} if states else {}
    if not called:
        return [asked, assistant(draw(ANSWERS), **kept)]
    return [
        asked,
        assistant(draw(st.none() | ANSWERS), *called, **kept),
        *(tool(each["id"], draw(RESULTS)) for each in called),
        assistant(draw(ANSWERS)),
    ]


SCHEMAS = st.just({"type": "object", "properties": {"x": {"type": "integer"}}})
FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES, "parameters": SCHEMAS}, optional={"description": WORDS, "strict": st.just(True)}
).map(lambda function: {"type": "function", "function": function})
GRAMMARS = st.sampled_from(
    [{"type": "text"}, {"type": "grammar", "grammar": {"definition": "start: /x/", "syntax": "lark"}}]
)
CUSTOM = st.fixed_dictionaries({"name": NAMES}, optional={"description": WORDS, "format": GRAMMARS}).map(
    lambda custom: {"type": "custom", "custom": custom}
)
NAMED = st.sampled_from([FUNCTION, {"type": "custom", "custom": {"name": "g"}}])
CHOICES = (
    st.sampled_from(["auto", "none", "required"])
    | NAMED
    | st.lists(NAMED, min_size=1).map(
        lambda tools: {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}
    )
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(LEAST_LIMIT, 10**6),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "user": WORDS,
        "service_tier": st.sampled_from(["auto", "flex"]),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "high", "xhigh"]),
        "verbosity": st.sampled_from(["low", "high"]),
        "logprobs": st.just(True),
        "response_format": st.sampled_from(
            [
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
                {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {}, "strict": False, "description": "A."},
                },
            ]
        ),
    },
)


@given(
    system=st.none() | WORDS,
    talk=st.lists(exchanges(), min_size=1, max_size=3),
    fields=FIELDS,
    tools=st.lists(FUNCTIONS | CUSTOM, max_size=2),
    choice=CHOICES,
    top_logprobs=st.integers(1, 20),
)
def test_what_both_formats_can_say_comes_back_as_it_was(
    system: str | None,
    talk: list[list[dict[str, Any]]],
    fields: dict[str, Any],
    tools: list[dict[str, Any]],
    choice: object,
    top_logprobs: int,
) -> None:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [each for exchange in talk for each in exchange]
    if tools:
        fields = {**fields, "tools": tools, "tool_choice": choice, "parallel_tool_calls": False}
    if "logprobs" in fields:
        fields = {**fields, "top_logprobs": top_logprobs}
    encoded = lenient_json.encoded(body_of(ChatRequest(messages, fields), {}, "m"))
    assert chat_of(cut_apart(encoded)) == ChatRequest(messages, fields)
