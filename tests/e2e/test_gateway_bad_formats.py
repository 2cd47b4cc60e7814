"""What cannot be put into a member's words, whatever is wrong with it: the client hears of it clearly, in its
protocol's shape, or another member answers; and nobody is asked what he can't be told.

Clients of three formats, members of four. Where both speak the same nothing is translated, and it is the
member's own words that the client gets: see `test_gateway_bad_input` for what is refused before that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.gateway_replies import Protocol, Reply
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from understudy.faults import TEXT

OWN: dict[Protocol, Format] = {
    "openai": "openai",
    "responses": "openai-responses",
    "anthropic": "anthropic",
}
MEMBERS: tuple[Format, ...] = ("openai", "openai-responses", "anthropic", "gemini")
CROSSED = [(client, member) for client in OWN for member in MEMBERS if OWN[client] != member]
PAIRS = pytest.mark.parametrize(
    ("client", "member"), CROSSED, ids=[f"{client}->{member}" for client, member in CROSSED]
)

PDF = "data:application/pdf;base64,JVBE"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
USER: dict[str, Any] = {"role": "user", "content": "Hi"}

Bad = tuple[dict[str, Any], str]
"""Fields of a request, and what the error has to name."""


@pytest.fixture(autouse=True)
def nothing_is_a_bug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [record for record in caplog.get_records("call") if record.exc_info]


# What is wrong in the client's own words, so that no other format can have it


def said_by_user(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def tool_of(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": function}]}


CHAT: list[Bad] = [
    (tool_of(name="f", parameters="x"), "parameters"),
    (tool_of(name="f", parameters=["x"]), "parameters"),
    (tool_of(parameters={}), "name"),
    (tool_of(name=7), "name"),
    ({"tools": [{"type": "odd", "odd": {}}]}, "type 'odd'"),
    ({"tools": ["f"]}, "tool"),
    ({"tools": {"f": 1}}, "tools"),
    ({**tool_of(name="f"), "tool_choice": "perhaps"}, "tool_choice"),
    ({**tool_of(name="f"), "tool_choice": {"type": "function"}}, "function"),
    (said_by_user({"type": "odd"}), "type 'odd'"),
    (said_by_user({"type": "text", "text": 7}), "text"),
    (said_by_user({"type": "image_url", "image_url": PIXEL}), "image_url"),
    (said_by_user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}), "image_url.url"),
    (said_by_user({"type": "image_url", "image_url": {"url": ""}}), "image_url.url"),
    (said_by_user({"type": "image_url", "image_url": {"url": 7}}), "image_url.url"),
    (said_by_user({"type": "file", "file": 7}), "file"),
    (said_by_user({"type": "file", "file": {"file_data": 7}}), "file.file_data"),
    ({"messages": [{"role": "stagehand", "content": "x"}]}, "role 'stagehand'"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "role 'function'"),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ({"messages": [USER, {"role": "tool", "tool_call_id": "c9", "content": "x"}]}, "tool_call_id 'c9'"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": 7}]}, "messages[1].tool_calls"),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]},
        "function must be an object",
    ),
    (
        {"messages": [USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]},
        "function_call",
    ),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "audio"),
    ({"stop": 7}, "stop"),
    ({"stop": ["a", None]}, "stop[1]"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"response_format": "json"}, "response_format"),
    ({"service_tier": ["flex"]}, "service_tier"),
]

RESPONSES: list[Bad] = [
    ({"tools": [{"type": "function", "name": "f", "parameters": "x"}]}, "tools[0].parameters"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "odd"}]}, "tools[0]"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": 7}, "tools"),
    ({"input": [{"role": "user", "content": [{"type": "odd"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
    ({"input": [{"role": "stagehand", "content": "x"}]}, "input[0].role"),
    ({"input": [{"type": "odd"}]}, "input[0]"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 7}]}]},
        "input[0].content[0].image_url",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
    ),
    ({"input": [USER, {"type": "function_call_output", "output": "x"}]}, "input[1].call_id"),
    ({"input": [USER, {"type": "function_call_output", "call_id": "c", "output": 7}]}, "input[1].output"),
    (
        {"input": [USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]},
        "input[1].arguments",
    ),
    ({"instructions": 7}, "instructions"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_output_tokens": "many"}, "max_output_tokens"),
    ({"reasoning": {"effort": 7}}, "reasoning.effort"),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
]

ANTHROPIC: list[Bad] = [
    ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": 7}, "tools"),
    ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "odd"}}, "tool_choice.type"),
    ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    (said_by_user({"type": "odd"}), "messages[0].content[0]"),
    (said_by_user(7), "messages[0].content[0]"),
    (said_by_user({"type": "image"}), "messages[0].content[0].source"),
    (
        said_by_user({"type": "image", "source": {"type": "base64", "data": "AA=="}}),
        "messages[0].content[0].source.media_type",
    ),
    (
        said_by_user({"type": "document", "source": {"type": "file", "file_id": "f"}}),
        "messages[0].content[0].source",
    ),
    ({"messages": [{"role": "stagehand", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    (said_by_user({"type": "tool_result", "content": "x"}), "messages[0].content[0].tool_use_id"),
    (
        said_by_user({"type": "tool_result", "tool_use_id": "x", "content": [{"type": "odd"}]}),
        "messages[0].content[0].content[0]",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f"}]}]},
        "messages[0].content[0].input",
    ),
    ({"system": 7}, "system"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"stop_sequences": [7]}, "stop_sequences[0]"),
    ({"metadata": {"user_id": 7}}, "metadata.user_id"),
    ({"thinking": {"type": 7}}, "thinking.type"),
    ({"output_config": {"format": {"type": "odd", "schema": {}}}}, "output_config.format.type"),
    ({"mcp_servers": [{"url": "https://example.org"}]}, "mcp_servers"),
]

BAD: dict[Protocol, list[Bad]] = {"openai": CHAT, "responses": RESPONSES, "anthropic": ANTHROPIC}


def check_refusal(reply: Reply, named: str) -> None:
    """A 400 in the client's own shape, which names what is wrong."""
    assert (reply.status, reply.headers["content-type"]) == (400, "application/json"), reply.body
    error = reply.error
    assert error is not None
    assert reply.value.get("type") == ("error" if reply.protocol == "anthropic" else None)
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "unfit"
    assert named in error["message"], error
    assert error["param"] in (None, named) if "param" in error else "[" not in named
    assert [cause["kind"] for cause in error["causes"]] == ["unfit", "unfit"]
    assert "Traceback" not in error["message"]
    assert "JSON" not in error["message"]


@PAIRS
async def test_what_is_wrong_is_named_and_nobody_is_asked(client: Protocol, member: Format) -> None:
    async with patient_theatre(speaks=(member, member)) as house:
        for fields, named in BAD[client]:
            check_refusal(await house.ask(client, stream=bool(len(named) % 2), **fields), named)
        assert house.lead.requests == []
        assert house.second.requests == []
        await house.check_a_healthy_call_succeeds(client)


@PAIRS
async def test_a_member_of_the_clients_own_format_judges_for_itself(client: Protocol, member: Format) -> None:
    async with patient_theatre(speaks=(member, OWN[client])) as house:
        for fields, _ in BAD[client]:
            reply = await house.ask(client, **fields)
            assert (reply.status, reply.text) == (200, TEXT)
            assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
            sent = house.second.requests[-1].body
            assert {name: sent[name] for name in fields} == fields, "as it came"
        assert house.lead.requests == []


# Schemas of tools


def asking_for(client: Protocol, schema: dict[str, Any]) -> dict[str, Any]:
    if client == "anthropic":
        return {"tools": [{"name": "f", "input_schema": schema}]}
    named = {"name": "f", "parameters": schema}
    return {"tools": [{"type": "function", **(named if client == "responses" else {"function": named})}]}


def schema_in(body: dict[str, Any]) -> Any:
    [tool] = body["tools"]
    [tool] = tool.get("functionDeclarations", [tool])
    function = tool.get("function", tool)
    names = ("parameters", "input_schema", "parametersJsonSchema")
    return next(function[name] for name in names if name in function)


SCHEMAS: dict[str, dict[str, Any]] = {
    "a $ref that points nowhere": {"properties": {"a": {"$ref": "#/$defs/nowhere"}}},
    "a $ref to itself": {"properties": {"a": {"$ref": "#"}}},
    "$defs that need each other": {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "properties": {"a": {"$ref": "#/$defs/node"}},
    },
    "additionalProperties": {"properties": {}, "additionalProperties": False},
    "anyOf, oneOf, not": {
        "properties": {"a": {"anyOf": [{"type": "string"}, {"oneOf": [{"not": {"const": 1}}]}]}}
    },
    "const, enums of several types, lists of types": {
        "properties": {"a": {"const": "x"}, "b": {"enum": [1, "x", None]}, "c": {"type": ["string", "null"]}}
    },
    "patterns and formats": {
        "patternProperties": {"^x": {"type": "string", "format": "uri", "pattern": "^https"}},
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    },
    "requirements of what is not there": {"properties": {}, "required": ["a"]},
}


@PAIRS
async def test_schemas_go_as_they_came(client: Protocol, member: Format) -> None:
    async with patient_theatre(speaks=(member, member)) as house:
        for what, schema in SCHEMAS.items():
            whole = {"type": "object", **schema}
            reply = await house.ask(client, **asking_for(client, whole))
            assert reply.status == 200, what
            assert schema_in(house.lead.requests[-1].body) == whole, what


@pytest.mark.parametrize("client", ["openai", "responses"])
@pytest.mark.parametrize("word", ["anyOf", "oneOf", "allOf"])
async def test_what_anthropic_cannot_be_told_of_a_schema_another_member_is(
    client: Protocol, word: str
) -> None:
    schema = {"type": "object", word: [{"required": ["a"]}, {"required": ["b"]}]}
    async with patient_theatre(speaks=("anthropic", "gemini")) as house:
        reply = await house.ask(client, **asking_for(client, schema))
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
        assert schema_in(house.second.requests[0].body) == schema
        assert house.lead.requests == []


@PAIRS
async def test_tools_of_one_name_are_left_to_the_member(client: Protocol, member: Format) -> None:
    async with patient_theatre(speaks=(member, member)) as house:
        [tool] = asking_for(client, {"type": "object"})["tools"]
        reply = await house.ask(client, tools=[tool, tool])
        assert reply.status == 200
        tools = house.lead.requests[0].body["tools"]
        assert len(tools[0].get("functionDeclarations", tools)) == 2


@PAIRS
async def test_nesting_of_any_depth_is_served_or_refused(client: Protocol, member: Format) -> None:
    async with patient_theatre(speaks=(member, member)) as house:
        for levels in (50, 300, 600, 900, 930, 960, 990, 1000, 3000, 50_000):
            body = nested(client, levels)
            reply = await house.request("POST", house_path(client), body, client)
            assert reply.status in (200, 400), levels
            assert reply.error is None or reply.error["code"] in ("invalid_request", "unfit")
        await house.check_a_healthy_call_succeeds(client)


def nested(client: Protocol, levels: int) -> bytes:
    schema = b'{"properties":{"a":' * levels + b"{}" + b"}}" * levels
    tool = {
        "openai": b'{"type":"function","function":{"name":"f","parameters":%b}}',
        "responses": b'{"type":"function","name":"f","parameters":%b}',
        "anthropic": b'{"name":"f","input_schema":%b}',
    }[client] % schema
    prompt = b'"input":"Hi"' if client == "responses" else b'"messages":[{"role":"user","content":"Hi"}]'
    return b'{"model":"evening","max_tokens":100,%b,"tools":[%b]}' % (prompt, tool)


def house_path(client: Protocol) -> str:
    return {"openai": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages"}[
        client
    ]


# Images and files


@pytest.mark.parametrize("kind", ["image/heic", "image/tiff", "image/svg+xml"])
async def test_an_image_that_claude_does_not_take_another_member_gets(kind: str) -> None:
    url = f"data:{kind};base64,AAAA"
    async with patient_theatre(speaks=("anthropic", "gemini")) as house:
        image = said_by_user({"type": "image_url", "image_url": {"url": url}})
        reply = await house.ask("openai", **image)
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
        [turn] = house.second.requests[0].body["contents"]
        assert turn["parts"] == [{"inlineData": {"mimeType": kind, "data": "AAAA"}}]


AT = "https://example.org/stage.png"
IMAGE_AT: dict[Protocol, dict[str, Any]] = {
    "openai": said_by_user({"type": "image_url", "image_url": {"url": AT}}),
    "responses": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": AT}]}]},
    "anthropic": said_by_user({"type": "image", "source": {"type": "url", "url": AT}}),
}
# As each format's own provider says that it could not have it.
COULD_NOT_FETCH: dict[Format, str] = {
    "openai": f"400 error-code=invalid_image_url message='Error while downloading {AT}.'",
    "openai-responses": f"400 error-code=invalid_value message='Timeout while downloading {AT}.'",
    "anthropic": "400 message='Unable to download the file. Please verify the URL and try again.'",
    "gemini": "400 message='Cannot fetch content from the provided URL. Please ensure the URL is valid.'",
}
ALL = [(client, member) for client in OWN for member in MEMBERS]
ALL_PAIRS = pytest.mark.parametrize(
    ("client", "member"), ALL, ids=[f"{client}->{member}" for client, member in ALL]
)


@ALL_PAIRS
async def test_an_image_that_one_member_cannot_fetch_the_next_one_is_asked_about(
    client: Protocol, member: Format
) -> None:
    async with patient_theatre(COULD_NOT_FETCH[member], speaks=(member, member)) as house:
        reply = await house.ask(client, stream=True, **IMAGE_AT[client])
        assert (reply.status, reply.text) == (200, TEXT)
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
        assert AT in str(house.second.requests[0].body)
        stats = await house.stats()
        assert (stats["refused"], stats["failures"]) == (1, 0), "nobody's fault"


@ALL_PAIRS
async def test_if_nobody_can_the_client_hears_what_the_first_one_said(
    client: Protocol, member: Format
) -> None:
    script = COULD_NOT_FETCH[member]
    async with patient_theatre(script, script, speaks=(member, member)) as house:
        reply = await house.ask(client, **IMAGE_AT[client])
        assert reply.status == 400
        assert reply.error is not None
        assert script.partition("message='")[2].rstrip("'") in reply.error["message"]
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "unfit")]


@pytest.mark.parametrize("member", MEMBERS)
async def test_base64_that_is_none_is_for_the_member_to_say(member: Format) -> None:
    """To look would cost more than all else, for images of megabytes."""
    broken = said_by_user({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!!"}})
    async with patient_theatre("400 message='Invalid base64 data'", speaks=(member, member)) as house:
        reply = await house.ask("openai", **broken)
        assert reply.status == 400
        assert reply.error is not None
        assert "Invalid base64 data" in reply.error["message"]
        assert await house.attempts(reply) == [("lead", "invalid_request")]


async def test_a_file_by_its_address_goes_to_whoever_can_fetch_it() -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
    async with patient_theatre(speaks=("openai", "gemini")) as house:
        reply = await house.ask("anthropic", **said_by_user(document))
        assert await house.attempts(reply) == [("lead", "unfit"), ("second", "success")]
        [turn] = house.second.requests[0].body["contents"]
        assert turn["parts"] == [
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.org/a.pdf"}}
        ]


# What is left out is named


async def left_out(house: GatewayTheatre, reply: Reply) -> list[str]:
    told = await house.told(reply.headers["x-request-id"])
    [step] = told["trail"]
    names: list[str] = step.get("left_out", [])
    return names


@pytest.mark.parametrize(
    ("client", "member", "fields", "names"),
    [
        (
            "openai",
            "anthropic",
            said_by_user({"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}),
            ["messages[].detail"],
        ),
        (
            "openai",
            "openai-responses",
            said_by_user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
            ["messages[].cache_control"],
        ),
        (
            "openai",
            "anthropic",
            {"reasoning_effort": "high", "temperature": 0.5, "max_tokens": 100},
            ["reasoning_effort"],
        ),
        ("openai", "gemini", {"parallel_tool_calls": False, "user": "u"}, ["parallel_tool_calls", "user"]),
        (
            "anthropic",
            "gemini",
            said_by_user(
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                    "citations": {"enabled": True},
                }
            ),
            ["messages[].citations"],
        ),
    ],
)
async def test_what_a_member_is_not_told_is_in_the_trail(
    client: Protocol, member: Format, fields: dict[str, Any], names: list[str]
) -> None:
    async with patient_theatre(speaks=(member, member)) as house:
        reply = await house.ask(client, **fields)
        assert reply.status == 200
        assert await left_out(house, reply) == names
