"""The table of ``docs/translation.md`` is what the formats do."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from understudy.wire import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.wire.chat import ChatRequest

PAPER = (Path(__file__).parents[2] / "docs" / "translation.md").read_text(encoding="utf-8")
REQUESTS = PAPER.partition("## Requests")[2].partition("And in particular")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| (\w+ \| \w+ \| \w+ \| \w+) \|$", REQUESTS, re.MULTILINE))
FORMATS: dict[str, ModuleType] = {
    "OpenAI chat": openai_chat,
    "Responses": openai_responses,
    "Messages": anthropic_messages,
    "Gemini": gemini,
}

USER = {"role": "user", "content": "Hi"}
PNG = "data:image/png;base64,aGk="
PDF = "data:application/pdf;base64,aGk="
TEXT = {"type": "text", "text": "Look"}
FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
JSON = {"type": "json_object"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def part(content: dict[str, Any], role: str = "user") -> ChatRequest:
    return ChatRequest([USER, {"role": role, "content": [TEXT, content]}])


def image(**inner: str) -> ChatRequest:
    return part({"type": "image_url", "image_url": {"url": PNG, **inner}})


def file(**inner: str) -> ChatRequest:
    return part({"type": "file", "file": inner})


def result(*content: dict[str, Any]) -> ChatRequest:
    return ChatRequest(
        [USER, CALLING, {"role": "tool", "tool_call_id": "c", "content": content}], {"tools": [TOOL]}
    )


def said(**fields: Any) -> ChatRequest:
    return ChatRequest([USER], fields)


# A request of each row, and the name that it is dropped under.
SAMPLES: dict[str, tuple[ChatRequest, str]] = {
    "system message at the beginning": (ChatRequest([{"role": "system", "content": "s"}, USER]), ""),
    "system message later on": (ChatRequest([USER, {"role": "system", "content": "s"}, USER]), ""),
    "text": (ChatRequest([USER]), ""),
    "image as base64": (image(), ""),
    "image by its address": (image(url="https://example.org/a.png"), ""),
    "image's `detail`": (image(detail="low"), "messages[].detail"),
    "file as base64": (file(file_data=PDF), ""),
    "file's `filename`": (file(file_data=PDF, filename="a.pdf"), "messages[].filename"),
    "file by its address": (file(file_url="https://example.org/a.pdf"), ""),
    "file by its id": (file(file_id="f"), ""),
    "`input_audio`": (part({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}), ""),
    "assistant's refusal as a part": (part({"type": "refusal", "refusal": "No"}, "assistant"), ""),
    "assistant's refusal as a field": (
        ChatRequest([USER, {"role": "assistant", "content": None, "refusal": "No"}]),
        "",
    ),
    "assistant's `audio`": (
        ChatRequest([USER, {"role": "assistant", "content": None, "audio": {"id": "a"}}, USER]),
        "messages[].audio",
    ),
    "assistant's `function_call`": (
        ChatRequest([USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]),
        "",
    ),
    "assistant's `reasoning_content`": (
        ChatRequest([USER, {"role": "assistant", "content": "x", "reasoning_content": "Hm"}, USER]),
        "messages[].reasoning_content",
    ),
    "message's `name`": (ChatRequest([{**USER, "name": "bob"}]), "messages[].name"),
    "part's `cache_control`": (part({**TEXT, "cache_control": {"type": "x"}}), "messages[].cache_control"),
    "tool calls": (ChatRequest([USER, CALLING, {"role": "tool", "tool_call_id": "c", "content": "x"}]), ""),
    "tool's result of text": (result(TEXT), ""),
    "tool's result with an image": (result(TEXT, {"type": "image_url", "image_url": {"url": PNG}}), ""),
    "`tools`": (said(tools=[TOOL]), "tools"),
    "tool's `strict`": (said(tools=[{**TOOL, "function": {**FUNCTION, "strict": True}}]), "tools[].strict"),
    "`tools` of type custom": (said(tools=[{"type": "custom", "custom": {"name": "f"}}]), ""),
    "`functions`, `function_call`": (said(functions=[FUNCTION], function_call="auto"), "functions"),
    "`audio`, `modalities` with audio": (said(modalities=["audio"], audio={"voice": "alloy"}), "audio"),
    "`tool_choice`": (said(tools=[TOOL], tool_choice="required"), "tool_choice"),
    "`parallel_tool_calls`": (said(tools=[TOOL], parallel_tool_calls=False), "parallel_tool_calls"),
    "`response_format` of type json_schema": (said(response_format=SCHEMA), "response_format"),
    "`response_format` of type json_object": (said(response_format=JSON), "response_format"),
    "`logprobs`": (said(logprobs=True), "logprobs"),
    "`top_logprobs`": (said(logprobs=True, top_logprobs=2), "top_logprobs"),
    "`n` above 1": (said(n=2), "n"),
    "`stop`": (said(stop=["x"]), "stop"),
    "`reasoning_effort`": (said(reasoning_effort="low"), "reasoning_effort"),
    "`verbosity`": (said(verbosity="low"), "verbosity"),
    "`service_tier`": (said(service_tier="default"), "service_tier"),
    "`user`": (said(user="u"), "user"),
    "`metadata`": (said(metadata={"a": "b"}), "metadata"),
    "`prompt_cache_key`": (said(prompt_cache_key="k"), "prompt_cache_key"),
    "`logit_bias`": (said(logit_bias={"1": 2}), "logit_bias"),
    "`prediction`": (said(prediction={"type": "content", "content": "x"}), "prediction"),
    "`web_search_options`": (said(web_search_options={"a": 1}), "web_search_options"),
    "any field that nobody here knows": (said(novelty=1), "novelty"),
    **{
        f"`{name}`": (said(**{name: 1}), name)
        for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed",
                     "max_tokens", "max_completion_tokens")
    },
}  # fmt: skip


def end(wire: ModuleType, request: ChatRequest, name: str) -> str:
    """What a field comes to, as far as it shows."""
    try:
        wire.encode_request(request, model="gemini-3-pro", stream=False, include_usage=False, defaults={})
    except ValueError:
        return "refused"
    return "dropped" if name in wire.left_out(request) else "said"


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("place", range(len(FORMATS)), ids=FORMATS)
def test_every_cell_is_what_the_format_does(row: str, place: int) -> None:
    request, name = SAMPLES[row]
    word = ROWS[row].split(" | ")[place]
    wire = list(FORMATS.values())[place]
    assert end(wire, request, name) == {"same": "said", "translated": "said", "unsaid": "said"}.get(
        word, word
    )


def test_every_row_has_its_sample() -> None:
    assert set(ROWS) == set(SAMPLES)
