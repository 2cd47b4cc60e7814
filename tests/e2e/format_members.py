"""What members of four formats were sent, held against their SDKs' own types and read in the same words.

1. `valid` holds a body against the types that the member's official SDK would have made it of, to the last
   field: whatever these types do not know is no valid request.
2. Beyond types, the formats have rules that their servers enforce with a 400: calls are answered, turns
   alternate, thoughts precede tools. `valid` knows those that conversations between formats could break.
3. `read` says what such a body asks for. It shares nothing with the product.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from anthropic.types.message_create_params import MessageCreateParams
from google.genai import types as google
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter, ValidationError

from tests.e2e.gateway_theatre import Format

UNSIGNED = "skip_thought_signature_validator"  # Google's word for a call that Gemini did not make

# Names of models, so that what is known of them counts, too.
MODELS: dict[Format, str] = {
    "openai": "gpt-5.1",
    "openai-responses": "gpt-5.1",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-3-flash-preview",
}

# Valid requests

_PARAMETERS: dict[Format, Any] = {
    "openai": CompletionCreateParams,
    "openai-responses": ResponseCreateParams,
    "anthropic": MessageCreateParams,
}
_GOOGLE: dict[str, Any] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
    "serviceTier": google.ServiceTier,
}
# In no type of the SDK's, but known to those who imitate OpenAI, and to Anthropic's older models.
_MESSAGES_MORE = frozenset({"reasoning_content"})
_FIELDS_MORE = frozenset({"temperature", "top_k", "top_p"})


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def valid(spoken: Format, body: Mapping[str, Any]) -> None:
    """Fails for what the format's SDK could not have sent, or its server would refuse."""
    try:
        if spoken == "gemini":
            for name, value in body.items():
                _adapter(_GOOGLE[name]).validate_json(json.dumps(value), strict=True)
        else:
            known = _walked(_adapter(_PARAMETERS[spoken]).validate_python(body))
            assert known == _known(spoken, body)
    except ValidationError as error:
        raise AssertionError(_nearest(error)) from None
    _RULES[spoken](body)


def _nearest(error: ValidationError) -> str:
    """What is wrong, but for the members of unions that are of another kind altogether."""
    found = error.errors(include_url=False)
    others = {entry["loc"][:-1] for entry in found if entry["type"] == "literal_error"}
    return "\n".join(
        f"{'.'.join(str(part)[:40] for part in entry['loc'])}: {entry['msg']}, not {entry['input']}"
        for entry in found
        if not any(entry["loc"][: len(other)] == other for other in others)
    )


def _walked(value: Any) -> Any:
    """All of it looked at: pydantic leaves an ``Iterable`` alone until somebody iterates."""
    if isinstance(value, Mapping):
        return {name: _walked(inner) for name, inner in value.items()}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [_walked(inner) for inner in value]


def _known(spoken: Format, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what its types need not know."""
    if spoken == "anthropic":
        return _without(body, _FIELDS_MORE)
    if spoken == "openai":
        return {**body, "messages": [_known_message(message) for message in body["messages"]]}
    return dict(body)


def _known_message(message: Mapping[str, Any]) -> dict[str, Any]:
    known = _without(message, _MESSAGES_MORE)
    if "tool_calls" in message:  # which OpenAI's own accumulator leaves numbered
        known["tool_calls"] = [_without(call, frozenset({"index"})) for call in message["tool_calls"]]
    return known


def _without(value: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name not in names}


def _chat_rules(body: Mapping[str, Any]) -> None:
    """The tools' messages after an assistant's answer its calls, all of them."""
    open_calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls
        open_calls = [call["id"] for call in message.get("tool_calls") or ()]
    assert not open_calls


def _responses_rules(body: Mapping[str, Any]) -> None:
    """Calls are answered. Reasoning can be read without a store, for there is none."""
    assert body["store"] is False
    items = body["input"] if isinstance(body["input"], list) else []
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    answers = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    assert sorted(calls) == sorted(answers)
    assert len(set(calls)) == len(calls)
    assert all(item["encrypted_content"] for item in items if item.get("type") == "reasoning")


def _messages_rules(body: Mapping[str, Any]) -> None:
    """Turns alternate, calls are answered at once, thoughts are signed and precede tools where there is
    thinking with a budget.
    """
    turns = [(turn["role"], _blocks(turn["content"])) for turn in body["messages"]]
    assert [role for role, _ in turns] == [("user", "assistant")[at % 2] for at in range(len(turns))]
    called: list[str] = []
    for role, blocks in turns:
        kinds = [block["type"] for block in blocks]
        assert kinds
        if role == "user":
            answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            assert answered == called
            assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result")
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert all(block["signature"] for block in blocks if block["type"] == "thinking")
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert not called
    used = [block["id"] for _, blocks in turns for block in blocks if block["type"] == "tool_use"]
    assert len(set(used)) == len(used)
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        assert thinking["budget_tokens"] < body["max_tokens"]
        assert {"temperature", "top_k"}.isdisjoint(body)
        if turns[-1][1][0]["type"] == "tool_result":
            assert turns[-2][1][0]["type"] in ("thinking", "redacted_thinking")


def _gemini_rules(body: Mapping[str, Any]) -> None:
    """Turns alternate, calls are answered under their names in the turn after, of a turn's calls the first is
    signed.
    """
    roles = [turn["role"] for turn in body["contents"]]
    assert roles == [("user", "model")[at % 2] for at in range(len(roles))]
    called: list[tuple[str, str]] = []
    for turn in body["contents"]:
        calls = [part for part in turn["parts"] if "functionCall" in part]
        results = [part["functionResponse"] for part in turn["parts"] if "functionResponse" in part]
        if turn["role"] == "user":
            assert [(result["id"], result["name"]) for result in results] == called
        called = [(part["functionCall"]["id"], part["functionCall"]["name"]) for part in calls]
        assert not calls or calls[0]["thoughtSignature"]
    assert not called


_RULES: dict[Format, Any] = {
    "openai": _chat_rules,
    "openai-responses": _responses_rules,
    "anthropic": _messages_rules,
    "gemini": _gemini_rules,
}


def _blocks(content: Any) -> Sequence[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


# What they ask for


@dataclass(frozen=True, slots=True)
class Image:
    data: bytes


@dataclass(frozen=True, slots=True)
class ImageAt:
    url: str


@dataclass(frozen=True, slots=True)
class Pdf:
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Result:
    id: str
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    schema: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. A part of a turn is a text, or one of the above; `choice` is a word or a tool's name.

    `state` is what of the conversation only its issuer can read, in its order, each behind what it belongs
    to: the thought, the text or the call's id.
    """

    system: str
    turns: tuple[tuple[str, tuple[Any, ...]], ...]
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    schema: Any = None
    stops: tuple[str, ...] = ()
    temperature: float | None = None
    limit: int | None = None
    effort: Any = None
    state: tuple[tuple[str, str], ...] = ()


def read(spoken: Format, body: Mapping[str, Any]) -> Asked:
    asked: Asked = _READERS[spoken](body)
    return asked


def _turns(parts: Iterator[tuple[str, Any]]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """What one side says in a row is one turn, of whoever is no assistant the user's."""
    turns: list[tuple[str, list[Any]]] = []
    for role, part in parts:
        side = "assistant" if role in ("assistant", "model") else "user"
        if not turns or turns[-1][0] != side:
            turns.append((side, []))
        turns[-1][1].append(part)
    return tuple((role, tuple(said)) for role, said in turns)


def _image(url: str) -> Image | ImageAt:
    if not url.startswith("data:"):
        return ImageAt(url)
    return Image(_bytes(url, "image/png"))


def _bytes(url: str, kind: str) -> bytes:
    head, data = url.split(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data, validate=True)


# OpenAI chat


def _of_chat(body: Mapping[str, Any]) -> Asked:
    systems = [message for message in body["messages"] if message["role"] == "system"]
    messages = body["messages"][len(systems) :]
    return Asked(
        "".join(text for system in systems for text in _texts(system["content"])),
        _turns(part for message in messages for part in _of_chat_message(message)),
        tuple(
            Tool(tool["function"]["name"], tool["function"]["description"], tool["function"]["parameters"])
            for tool in body.get("tools", ())
        ),
        _choice(body.get("tool_choice"), lambda choice: choice["function"]["name"]),
        body["response_format"]["json_schema"]["schema"] if "response_format" in body else None,
        tuple(body.get("stop") or ()),
        body.get("temperature"),
        body.get("max_completion_tokens", body.get("max_tokens")),
        body.get("reasoning_effort"),
        tuple(("", entry["data"]) for message in messages for entry in message.get("reasoning_details", ())),
    )


def _texts(content: Any) -> list[str]:
    return [str(part["text"]) for part in _blocks(content)]


def _choice(choice: Any, name: Any) -> str | None:
    if choice is None or isinstance(choice, str):
        return choice
    return f"only {name(choice)}"


def _of_chat_message(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        yield role, Result(message["tool_call_id"], tuple(_texts(content)))
        return
    yield from ((role, _of_chat_part(part)) for part in _blocks(content or ()))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield role, Call(call["id"], function["name"], json.loads(function["arguments"]))


def _of_chat_part(part: Mapping[str, Any]) -> Any:
    match part["type"]:
        case "text":
            return part["text"]
        case "image_url":
            return _image(part["image_url"]["url"])
    assert part["type"] == "file"
    return Pdf(_bytes(part["file"]["file_data"], "application/pdf"))


# OpenAI Responses


def _of_responses(body: Mapping[str, Any]) -> Asked:
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    return Asked(
        body.get("instructions", ""),
        _turns(part for item in body["input"] for part in _of_item(item)),
        tuple(Tool(tool["name"], tool["description"], tool["parameters"]) for tool in body.get("tools", ())),
        _choice(body.get("tool_choice"), lambda choice: choice["name"]),
        text["format"]["schema"] if "format" in text else None,
        (),
        body.get("temperature"),
        body.get("max_output_tokens"),
        reasoning.get("effort"),
        tuple(
            ("".join(_texts(item["summary"])), item["encrypted_content"])
            for item in body["input"]
            if item.get("type") == "reasoning"
        ),
    )


def _of_item(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    match item.get("type", "message"):
        case "message":
            content = item["content"]
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            yield from ((item["role"], _of_input(part)) for part in parts)
        case "function_call":
            yield "assistant", Call(item["call_id"], item["name"], json.loads(item["arguments"]))
        case "function_call_output":
            output = item["output"]
            parts = [{"type": "input_text", "text": output}] if isinstance(output, str) else output
            yield "user", Result(item["call_id"], tuple(map(_of_input, parts)))
        case kind:
            assert kind == "reasoning"


def _of_input(part: Mapping[str, Any]) -> Any:
    match part["type"]:
        case "input_image":
            return _image(part["image_url"])
        case "input_file":
            return Pdf(_bytes(part["file_data"], "application/pdf"))
    assert part["type"] in ("input_text", "output_text")
    return part["text"]


# Anthropic


def _of_messages(body: Mapping[str, Any]) -> Asked:
    blocks = [(turn["role"], block) for turn in body["messages"] for block in _blocks(turn["content"])]
    thinking = body.get("thinking") or {}
    config = body.get("output_config") or {}
    return Asked(
        "".join(_texts(body.get("system", ""))),
        _turns((role, _of_block(block)) for role, block in blocks if "thinking" not in block["type"]),
        tuple(
            Tool(tool["name"], tool["description"], tool["input_schema"]) for tool in body.get("tools", ())
        ),
        _anthropic_choice(body.get("tool_choice")),
        config["format"]["schema"] if "format" in config else None,
        tuple(body.get("stop_sequences") or ()),
        body.get("temperature"),
        body["max_tokens"],
        thinking.get("budget_tokens"),
        tuple((block["thinking"], block["signature"]) for _, block in blocks if block["type"] == "thinking"),
    )


def _anthropic_choice(choice: Any) -> str | None:
    if choice is None:
        return None
    return f"only {choice['name']}" if choice["type"] == "tool" else str(choice["type"])


def _of_block(block: Mapping[str, Any]) -> Any:
    match block["type"]:
        case "text":
            return block["text"]
        case "tool_use":
            return Call(block["id"], block["name"], block["input"])
        case "tool_result":
            return Result(block["tool_use_id"], tuple(map(_of_block, _blocks(block["content"]))))
    assert block["type"] in ("image", "document")
    source = block["source"]
    if source["type"] == "url":
        return ImageAt(source["url"])
    url = f"data:{source['media_type']};base64,{source['data']}"
    return _image(url) if block["type"] == "image" else Pdf(_bytes(url, "application/pdf"))


# Gemini


def _of_gemini(body: Mapping[str, Any]) -> Asked:
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    parts = [(turn["role"], part) for turn in body["contents"] for part in turn["parts"]]
    declared = [tool for group in body.get("tools", ()) for tool in group["functionDeclarations"]]
    return Asked(
        "".join(part["text"] for part in body.get("systemInstruction", {"parts": ()})["parts"]),
        _turns((role, _of_part(part)) for role, part in parts if part.get("text") != ""),
        tuple(Tool(tool["name"], tool["description"], tool["parametersJsonSchema"]) for tool in declared),
        _gemini_choice(body.get("toolConfig")),
        config.get("responseJsonSchema"),
        tuple(config.get("stopSequences") or ()),
        config.get("temperature"),
        config.get("maxOutputTokens"),
        thinking.get("thinkingLevel"),
        tuple(_signed(part) for _, part in parts if "thoughtSignature" in part),
    )


def _signed(part: Mapping[str, Any]) -> tuple[str, str]:
    what = part["functionCall"]["id"] if "functionCall" in part else part["text"]
    return what, part["thoughtSignature"]


def _gemini_choice(config: Any) -> str | None:
    if config is None:
        return None
    calling = config["functionCallingConfig"]
    names = calling.get("allowedFunctionNames")
    return f"only {names[0]}" if names else str(calling["mode"])


def _of_part(part: Mapping[str, Any]) -> Any:
    match part:
        case {"text": str(text)}:
            return text
        case {"inlineData": {"mimeType": "image/png", "data": data}}:
            return Image(base64.b64decode(data, validate=True))
        case {"inlineData": {"mimeType": "application/pdf", "data": data}}:
            return Pdf(base64.b64decode(data, validate=True))
        case {"fileData": {"mimeType": "image/png", "fileUri": url}}:
            return ImageAt(url)
        case {"functionCall": {"id": name, "name": function, "args": arguments}}:
            return Call(name, function, arguments)
        case {"functionResponse": {"id": name, "response": {"output": text}, **more}}:
            inside: Any = more.get("parts", ())
            return Result(name, (text, *map(_of_part, inside)))
    raise AssertionError(f"a part that nobody knows: {part}")


_READERS: dict[Format, Any] = {
    "openai": _of_chat,
    "openai-responses": _of_responses,
    "anthropic": _of_messages,
    "gemini": _of_gemini,
}
