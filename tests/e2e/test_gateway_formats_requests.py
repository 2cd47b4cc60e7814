"""Requests with everything in them, of every client's format, as members of every format get them.

What a member is sent is a valid request by its own SDK's types and says what the client said, but for what
its format has no words for, which is told here.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from tests.e2e.format_clients import PAIRS, PARAMETERS, UNARY_AND_STREAM, Client, How, ask, tools
from tests.e2e.format_members import (
    MODELS,
    UNSIGNED,
    Asked,
    Call,
    Image,
    ImageAt,
    Pdf,
    Result,
    Tool,
    read,
    valid,
)
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from understudy.faults import TEXT

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAPER = "JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PD4+CmVuZG9iagp0cmFpbGVyPDw+PgolJUVPRgo="
PAPER_URL = f"data:application/pdf;base64,{PAPER}"
DATA_URL = f"data:image/png;base64,{PIXEL}"
PNG = Image(base64.b64decode(PIXEL))
PICTURE = "https://example.org/stage.png?size=large"
SYSTEM = "You are the stage manager — 舞台監督 🎭."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"line": {"type": "string"}, "cue": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["line", "cue"],
    "additionalProperties": False,
}
ARGUMENTS: dict[str, Any] = {"city": '東京 "🎭"\n', "units": "metric"}
ARGUMENTS_TEXT = '{"city": "東京 \\"🎭\\"\\n", "units": "metric"}'
RESULT = "It rains.\n\nBring an umbrella ☂."


# What the clients say


def _chat(*, settings: bool) -> tuple[list[Any], dict[str, Any]]:
    function = {"name": "get_weather", "arguments": ARGUMENTS_TEXT}
    images = [{"type": "image_url", "image_url": {"url": url}} for url in (DATA_URL, PICTURE)]
    paper = {"type": "file", "file": {"filename": "play.pdf", "file_data": PAPER_URL}}
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images, paper]},
        {
            "role": "assistant",
            "content": "I look outside.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]
    fields: dict[str, Any] = {"tools": tools("openai"), "max_completion_tokens": 20000}
    if settings:
        choice = {"type": "function", "function": {"name": "get_time"}}
        return turns, {**fields, "tool_choice": choice, "temperature": 0.25, "stop": ["END", "---"]}
    wanted = {"name": "cue", "strict": True, "schema": SCHEMA}
    return turns, {
        **fields,
        "reasoning_effort": "medium",
        "response_format": {"type": "json_schema", "json_schema": wanted},
    }


def _responses(*, settings: bool) -> tuple[list[Any], dict[str, Any]]:
    images = [{"type": "input_image", "detail": "auto", "image_url": url} for url in (DATA_URL, PICTURE)]
    paper = {"type": "input_file", "filename": "play.pdf", "file_data": PAPER_URL}
    shown = [{"type": "input_text", "text": RESULT}, images[0]]
    turns = [
        {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, *images, paper]},
        {"role": "assistant", "content": "I look outside."},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": ARGUMENTS_TEXT},
        {"type": "function_call_output", "call_id": "call_1", "output": shown},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]
    fields: dict[str, Any] = {
        "instructions": SYSTEM,
        "tools": tools("openai-responses"),
        "max_output_tokens": 20000,
        "store": False,
    }
    if settings:
        choice = {"type": "function", "name": "get_time"}
        return turns, {**fields, "tool_choice": choice, "temperature": 0.25}
    wanted = {"type": "json_schema", "name": "cue", "strict": True, "schema": SCHEMA}
    return turns, {**fields, "reasoning": {"effort": "medium"}, "text": {"format": wanted}}


def _messages(*, settings: bool) -> tuple[list[Any], dict[str, Any]]:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    distant = {"type": "image", "source": {"type": "url", "url": PICTURE}}
    written = {"type": "base64", "media_type": "application/pdf", "data": PAPER}
    paper = {"type": "document", "title": "play.pdf", "source": written}
    shown = [{"type": "text", "text": RESULT}, image]
    used = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": ARGUMENTS}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image, distant, paper]},
        {"role": "assistant", "content": [{"type": "text", "text": "I look outside."}, used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": shown}]},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]
    fields: dict[str, Any] = {"system": SYSTEM, "tools": tools("anthropic"), "max_tokens": 20000}
    if settings:
        choice = {"type": "tool", "name": "get_time"}
        more = {"temperature": 0.25}  # which the SDK knows no longer, but older models do
        stops = ["END", "---"]
        return turns, {**fields, "tool_choice": choice, "stop_sequences": stops, "extra_body": more}
    return turns, {
        **fields,
        "thinking": {"type": "enabled", "budget_tokens": 8000},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


SAYING: dict[Client, Any] = {"openai": _chat, "openai-responses": _responses, "anthropic": _messages}


async def sent(house: GatewayTheatre, client: Client, *, settings: bool, how: How = "unary") -> Any:
    """The body that the member got."""
    turns, fields = SAYING[client](settings=settings)
    said = await ask(house, client, how, *turns, **fields)
    assert said.text == TEXT
    (request,) = house.lead.requests
    return request.body


# What the members should hear


def heard(client: Client, members: Format) -> Asked:
    """The conversation and its tools, as each of them can say it."""
    has_image = client != "openai"  # in a tool's result, where chat clients can have none
    result: tuple[Any, ...] = (RESULT, PNG) if has_image else (RESULT,)
    beside: tuple[Any, ...] = ()
    if members == "openai" and has_image:
        result, beside = (RESULT,), ("From the result of the tool call call_1:", PNG)
    turns = (
        ("user", ("What is this?", PNG, ImageAt(PICTURE), Pdf(base64.b64decode(PAPER)))),
        ("assistant", ("I look outside.", Call("call_1", "get_weather", ARGUMENTS))),
        ("user", (Result("call_1", result), *beside)),
        ("assistant", ("It rains.",)),
        ("user", ("And now?",)),
    )
    offered = [Tool(name, f"Tells {name}", PARAMETERS) for name in ("get_weather", "get_time", "get_news")]
    state = (("call_1", UNSIGNED),) if members == "gemini" else ()
    return Asked(SYSTEM, turns, tuple(offered), limit=20000, state=state)


@PAIRS
@UNARY_AND_STREAM
async def test_a_conversation_with_its_images_tools_and_settings_is_valid_and_means_the_same(
    client: Client, members: Format, how: How
) -> None:
    async with patient_theatre(speaks=members, models={"lead": MODELS[members]}) as house:
        body = await sent(house, client, settings=True, how=how)
    valid(members, body)
    asked = read(members, body)
    # Responses has no word for stops, neither as a client nor as a member.
    stops = () if "openai-responses" in (client, members) else ("END", "---")
    assert asked == replace(heard(client, members), choice="only get_time", temperature=0.25, stops=stops)


@PAIRS
async def test_schemas_and_efforts_are_asked_for_in_each_members_words(
    client: Client, members: Format
) -> None:
    async with patient_theatre(speaks=members, models={"lead": MODELS[members]}) as house:
        body = await sent(house, client, settings=False)
    valid(members, body)
    asked = read(members, body)
    effort: Any = {"anthropic": 8192, "gemini": "MEDIUM"}.get(members, "medium")
    if client == members == "anthropic":
        effort = 8000
    assert asked == replace(heard(client, members), schema=SCHEMA, effort=effort)
