"""What a format can say of a request comes back as it was said; of the rest is listed what is lost, and why.

A request in neutral words is encoded for a backend and read as if a client of that format had sent it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.neutral import (
    ARGUMENTS,
    AUDIO,
    CUSTOM_TOOL,
    DETAIL,
    ENCRYPTED,
    FILE_AT,
    FILE_ID,
    FUNCTION_CALL,
    NAMED_FILE,
    NAMED_FUNCTION,
    NAMELESS_FILE,
    NAMES,
    PLAIN_FILE,
    REDACTED,
    REFUSAL,
    SCHEMAS,
    SIGNED,
    TEXT,
    WORDS,
    Drawn,
    Words,
    file_part,
    function_tool,
    image_part,
    is_not_all_text,
    requests,
    schema_format,
    text_part,
)
from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import ChatRequest
from understudy.wire.state import FIELD, ProviderState


def sent(dialect: Any, request: ChatRequest) -> bytes:
    """What a backend of the dialect's format is sent."""
    body: bytes = dialect.FORMAT.encode_request(request, model="m", stream=False, include_usage=False)
    return body


def read(dialect: Any, body: bytes) -> ChatRequest:
    """What a client that sent this is understood to say."""
    chat: ChatRequest = dialect.read_request(body).chat
    return chat


def named_answer(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without a name of its own, which must be followed."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


class ChatWords(Words):
    """OpenAI chat's, which the neutral words are."""

    parts = text_part() | image_part(detail=DETAIL) | AUDIO | file_part(NAMED_FILE, NAMELESS_FILE, FILE_ID)
    result = TEXT | st.lists(text_part(), min_size=1, max_size=3)
    states = st.just([])


class AnthropicWords(Words):
    system = WORDS
    later_system = None
    first_system_roles = ("system",)
    users_in_a_row = 1
    assistants_in_a_row = 1

    text = WORDS
    parts = text_part(WORDS) | image_part() | file_part(NAMED_FILE, FILE_AT)
    answer = WORDS
    call = st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": NAMES, "arguments": ARGUMENTS}),
        }
    )
    result = st.just("") | WORDS | st.lists(parts, min_size=1, max_size=3).filter(is_not_all_text)
    states = st.lists(SIGNED | REDACTED, max_size=2)
    more_of_assistants: ClassVar[dict[str, Drawn]] = {}

    tool = function_tool({"parameters": SCHEMAS}, {"description": WORDS, "strict": st.just(True)})
    tool_choice = st.sampled_from(["auto", "none", "required"]) | NAMED_FUNCTION
    parallel = st.just(False)

    required: ClassVar[dict[str, Drawn]] = {"max_tokens": st.integers(40_000, 100_000)}
    fields: ClassVar[dict[str, Drawn]] = {
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0.95, 1),
        "stop": st.lists(WORDS, min_size=1, max_size=3),
        "user": st.text(min_size=1, max_size=64),
        "service_tier": st.just("default"),
        "response_format": SCHEMAS.map(named_answer),
        "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
    }

    def settled(self, request: ChatRequest) -> ChatRequest:
        fields = dict(request.fields)
        if fields.get("tool_choice") == "none":
            fields.pop("parallel_tool_calls", None)
        elif "parallel_tool_calls" in fields:
            fields.setdefault("tool_choice", "auto")
        is_forced = fields.get("tool_choice", "auto") not in ("auto", "none")
        if is_forced or any(message["role"] == "tool" for message in request.messages):
            fields.pop("reasoning_effort", None)
        if "reasoning_effort" in fields:
            fields.pop("temperature", None)
        return request.with_fields(fields)


class ResponsesWords(Words):
    first_system_roles = ("system",)
    later_system_roles = ("system",)
    system = TEXT.filter(bool)
    later_system = TEXT | st.lists(text_part(), min_size=2, max_size=2)
    assistants_in_a_row = 1

    parts = (
        text_part()
        | image_part(detail=st.sampled_from(["low", "high"]))
        | file_part(NAMED_FILE, NAMELESS_FILE, FILE_AT)
    )
    answer = TEXT | st.lists(text_part() | REFUSAL, min_size=2, max_size=3)
    result = TEXT | st.lists(parts, min_size=1, max_size=3).filter(is_not_all_text)
    states = st.lists(ENCRYPTED, max_size=2)
    more_of_assistants: ClassVar[dict[str, Drawn]] = {}

    tool = (
        function_tool({"parameters": SCHEMAS}, {"description": WORDS, "strict": st.just(True)}) | CUSTOM_TOOL
    )

    fields: ClassVar[dict[str, Drawn]] = {
        "max_tokens": st.integers(16, 100_000),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "user": st.text(min_size=1, max_size=64),
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
        "response_format": st.just({"type": "json_object"})
        | schema_format(strict=st.booleans(), description=TEXT),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        "verbosity": st.sampled_from(["low", "medium", "high"]),
        "logprobs": st.just(True),
        "top_logprobs": st.integers(0, 20),
    }

    def settled(self, request: ChatRequest) -> ChatRequest:
        fields = dict(request.fields)
        if "logprobs" not in fields:
            fields.pop("top_logprobs", None)
        return request.with_fields(fields)


class AnyChatWords(Words):
    """Whatever is not refused."""

    parts = text_part() | image_part(detail=DETAIL) | AUDIO | file_part(NAMED_FILE, NAMELESS_FILE, FILE_ID)


class AnyAnthropicWords(Words):
    text = WORDS
    parts = (
        text_part(WORDS)
        | image_part(detail=DETAIL)
        | file_part(NAMED_FILE, NAMELESS_FILE, PLAIN_FILE, FILE_AT)
    )
    call = FUNCTION_CALL
    tool = function_tool({}, {"description": TEXT, "parameters": SCHEMAS, "strict": st.booleans()})
    tool_choice = st.sampled_from(["auto", "none", "required"]) | NAMED_FUNCTION


class AnyResponsesWords(Words):
    system = TEXT.filter(bool)
    later_system = system
    parts = (
        text_part() | image_part(detail=DETAIL) | file_part(NAMED_FILE, NAMELESS_FILE, PLAIN_FILE, FILE_AT)
    )


DIALECTS: dict[str, Any] = {
    "openai": openai_client,
    "anthropic": anthropic_client,
    "responses": responses_client,
}
SAYS = {"openai": ChatWords(), "anthropic": AnthropicWords(), "responses": ResponsesWords()}
TAKES = {"openai": AnyChatWords(), "anthropic": AnyAnthropicWords(), "responses": AnyResponsesWords()}


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_what_a_format_can_say_comes_back(name: str, data: st.DataObject) -> None:
    request = data.draw(requests(SAYS[name]))
    assert read(DIALECTS[name], sent(DIALECTS[name], request)) == request


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_what_is_lost_is_lost_at_once(name: str, data: st.DataObject) -> None:
    """What was read of anything that is not refused can be said and read again, and nothing more is lost."""
    dialect = DIALECTS[name]
    heard = read(dialect, sent(dialect, data.draw(requests(TAKES[name]))))
    assert read(dialect, sent(dialect, heard)) == heard


# What is lost, and why

PNG = "data:image/png;base64,aGk="
PDF = "data:application/pdf;base64,aGk="
USER = {"role": "user", "content": "Hi"}
LIMIT = {"max_tokens": 50_000}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object"}
TEXT_PART = {"type": "text", "text": "a"}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def assistant(content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def result(content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": content}


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": PNG, **more}}


def file(**more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": PDF, **more}}


def calling(arguments: str, call_id: str = "c") -> dict[str, Any]:
    return assistant(
        None, tool_calls=[{**CALL, "id": call_id, "function": {"name": "f", "arguments": arguments}}]
    )


GEMINIS = ProviderState("gemini", "thoughtSignature", "x").to_dict()

# By format and reason: the messages said and those heard.
MESSAGES: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {
    ("openai", "state is nothing that this format has a word for"): (
        [USER, assistant(**{FIELD: [GEMINIS]}), USER],
        [USER, assistant(), USER],
    ),
    ("openai", "a result is text alone, so an image moves to the user's next message"): (
        [CALLING, result([TEXT_PART, image()]), USER],
        [
            CALLING,
            result("a"),
            user(
                {"type": "text", "text": "From the result of the tool call c:"},
                image(),
                {"type": "text", "text": "Hi"},
            ),
        ],
    ),
    ("anthropic", "there is one system prompt, before everything else, and it has no authors"): (
        [system("a"), USER, {"role": "developer", "content": "b"}],
        [system("a\n\nb"), USER],
    ),
    ("anthropic", "roles alternate, so messages of one role are one turn"): (
        [USER, USER, assistant("a"), assistant("b")],
        [user({"type": "text", "text": "Hi"}, {"type": "text", "text": "Hi"}), assistant("ab")],
    ),
    ("anthropic", "text of white space alone is refused"): (
        [USER, assistant(" ", tool_calls=[CALL]), result(" ")],
        [USER, CALLING, result("")],
    ),
    ("anthropic", "an assistant's texts go on where the one before ended, and a refusal is one of them"): (
        [USER, assistant([TEXT_PART, {"type": "refusal", "refusal": "b"}], refusal="c")],
        [USER, assistant("abc")],
    ),
    ("anthropic", "thoughts that it did not sign are refused, and a message has no author"): (
        [{**USER, "name": "bob"}, assistant(reasoning_content="Hm", name="al", **{FIELD: [GEMINIS]}), USER],
        [USER, assistant(), USER],
    ),
    ("anthropic", "there is no detail of images"): ([user(image(detail="low"))], [user(image())]),
    ("anthropic", "a file without a name is read as a PDF without one"): (
        [user(file())],
        [user(file(filename="document.pdf"))],
    ),
    ("anthropic", "a document of plain text is text to everybody else"): (
        [user(file(filename="a.txt", file_data="data:text/plain;base64,aGk="))],
        [{"role": "user", "content": "hi"}],
    ),
    ("anthropic", "an input is an object, whose spelling nobody keeps"): (
        [USER, calling(' {"a" : 1.0}'), USER],
        [USER, calling('{"a":1.0}'), USER],
    ),
    ("anthropic", "an input is an object, so other words are kept inside one"): (
        [USER, calling('{"a": '), USER],
        [USER, calling('{"_raw":"{\\"a\\": "}'), USER],
    ),
    ("anthropic", "ids have only certain letters"): (
        [USER, calling("{}", "a.b"), {**result("x"), "tool_call_id": "a.b"}],
        [USER, calling("{}", "a_b"), {**result("x"), "tool_call_id": "a_b"}],
    ),
    ("anthropic", "a result of texts is one text"): (
        [USER, CALLING, result([TEXT_PART, TEXT_PART])],
        [USER, CALLING, result("a\n\na")],
    ),
    ("responses", "who imitates OpenAI knows no developers"): (
        [USER, {"role": "developer", "content": "b"}],
        [USER, system("b")],
    ),
    ("responses", "instructions are one text"): (
        [{"role": "system", "content": [TEXT_PART, TEXT_PART]}, USER],
        [system("a\n\na"), USER],
    ),
    ("responses", "a call's result has to follow the message that holds the call, so all of a row is one"): (
        [USER, assistant("a"), assistant("b", tool_calls=[CALL]), result("x")],
        [
            USER,
            assistant([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], tool_calls=[CALL]),
            result("x"),
        ],
    ),
    ("responses", "a refusal is a part"): (
        [USER, assistant(None, refusal="c")],
        [USER, assistant([{"type": "refusal", "refusal": "c"}])],
    ),
    ("responses", "reasoning cannot be handed back without state, and a message has no author"): (
        [{**USER, "name": "bob"}, assistant(reasoning_content="Hm", name="al", **{FIELD: [GEMINIS]}), USER],
        [USER, assistant(), USER],
    ),
    ("responses", "a detail that is not told is auto"): (
        [user(image(detail="auto"))],
        [user(image())],
    ),
    ("responses", "one text is a string, which every backend reads"): (
        [user(TEXT_PART), CALLING, result([TEXT_PART])],
        [{"role": "user", "content": "a"}, CALLING, result("a")],
    ),
}

# By format and reason: the fields said and those heard.
FIELDS: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {
    ("openai", "a whole answer has no options of streams"): ({"stream_options": {"include_usage": True}}, {}),
    ("anthropic", "a limit is required"): ({}, {"max_tokens": 8192}),
    ("anthropic", "there is one limit"): ({"max_completion_tokens": 9, "max_tokens": 8}, {"max_tokens": 9}),
    ("anthropic", "temperatures end at 1"): ({**LIMIT, "temperature": 1.5}, {**LIMIT, "temperature": 1.0}),
    ("anthropic", "OpenAI refuses top_k"): ({**LIMIT, "top_k": 5}, LIMIT),
    ("anthropic", "stop texts are a list"): ({**LIMIT, "stop": "x"}, {**LIMIT, "stop": ["x"]}),
    ("anthropic", "OpenAI refuses longer ids of users"): (
        {**LIMIT, "user": "u" * 65},
        {**LIMIT, "user": sha256(b"u" * 65).hexdigest()},
    ),
    ("anthropic", "tiers are a choice of two"): ({**LIMIT, "service_tier": "auto"}, LIMIT),
    ("anthropic", "a schema has no name and no choice but to be followed"): (
        {**LIMIT, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        {**LIMIT, "response_format": named_answer(SCHEMA)},
    ),
    ("anthropic", "JSON without a schema cannot be asked for"): (
        {**LIMIT, "response_format": {"type": "json_object"}},
        LIMIT,
    ),
    ("anthropic", "an effort is a budget, the least of which are one effort"): (
        {**LIMIT, "reasoning_effort": "minimal"},
        {**LIMIT, "reasoning_effort": "low"},
    ),
    ("anthropic", "an effort is a budget, the largest of which are one effort"): (
        {**LIMIT, "reasoning_effort": "xhigh"},
        {**LIMIT, "reasoning_effort": "high"},
    ),
    ("anthropic", "no thinking is what is not asked for"): ({**LIMIT, "reasoning_effort": "none"}, LIMIT),
    ("anthropic", "there is no temperature beside thinking"): (
        {**LIMIT, "reasoning_effort": "low", "temperature": 0.5},
        {**LIMIT, "reasoning_effort": "low"},
    ),
    ("anthropic", "there is no thinking beside a forced tool"): (
        {**LIMIT, "reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"},
        {**LIMIT, "tools": [TOOL], "tool_choice": "required"},
    ),
    ("anthropic", "a tool's schema is required"): (
        {**LIMIT, "tools": [{"type": "function", "function": {"name": "f", "strict": False}}]},
        {
            **LIMIT,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
                }
            ],
        },
    ),
    ("anthropic", "calls side by side are what is not forbidden"): (
        {**LIMIT, "tools": [TOOL], "parallel_tool_calls": True},
        {**LIMIT, "tools": [TOOL]},
    ),
    ("anthropic", "nothing like it is known"): (
        {
            **LIMIT,
            "seed": 1,
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "logit_bias": {"1": 1},
            "logprobs": True,
            "top_logprobs": 1,
            "verbosity": "low",
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
            "store": True,
        },
        LIMIT,
    ),
    ("responses", "there is one limit, of at least 16"): ({"max_completion_tokens": 9}, {"max_tokens": 16}),
    ("responses", "nothing like it is known"): (
        {
            "top_k": 1,
            "stop": "x",
            "seed": 1,
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "logit_bias": {"1": 1},
        },
        {},
    ),
    ("responses", "who imitates OpenAI's chat refuses it"): (
        {"metadata": {"a": "b"}, "prompt_cache_key": "k", "store": True},
        {},
    ),
    ("responses", "text is what is not said to be anything else"): (
        {"response_format": {"type": "text"}},
        {},
    ),
    ("responses", "they come with the probabilities or not at all"): ({"top_logprobs": 2}, {}),
    ("responses", "left out, a schema would be strict"): (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": False}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
                }
            ]
        },
    ),
}


@pytest.mark.parametrize(("row", "said"), MESSAGES.items(), ids=map(": ".join, MESSAGES))
def test_of_messages_this_is_lost(row: tuple[str, str], said: tuple[list[Any], list[Any]]) -> None:
    dialect = DIALECTS[row[0]]
    messages, heard = said
    assert read(dialect, sent(dialect, ChatRequest(messages))).messages == heard


@pytest.mark.parametrize(("row", "said"), FIELDS.items(), ids=map(": ".join, FIELDS))
def test_of_fields_this_is_lost(row: tuple[str, str], said: tuple[dict[str, Any], dict[str, Any]]) -> None:
    dialect = DIALECTS[row[0]]
    fields, heard = said
    assert read(dialect, sent(dialect, ChatRequest([USER], fields))).fields == heard
