"""A client's Anthropic request in neutral words, for backends of another format.

1. `system` becomes one system message, its blocks parted by blank lines. System turns stay where they are.
2. A user's turn becomes its tool results, each a tool's message, and then one user message of the rest.
   An assistant's texts become one text, its tool uses tool calls.
3. A tool's result that is more than text (images, files) is a list of parts. A failed result begins with
   ``Error``.
4. Documents of plain text become text, PDF in base64 or by address become files. Citations and cache marks
   mean nothing elsewhere and are left out; that citations were asked for is named (`parts_left_out`). So are
   thoughts left out, but for the state in them (`wire.state`):
   Anthropic's own, and another format's that was handed out in a signature's place.
5. Whatever cannot be said raises `BadRequest` with its path: blocks that we do not know, files by id, tools
   that only Anthropic has, MCP servers.
6. `budget_tokens` becomes ``reasoning_effort``: low up to 2048, medium up to 8192, high above. With adaptive
   thinking it is the effort asked for, at most high.
7. `top_k`, which OpenAI refuses, and fields without a counterpart are left out. A user's id of more than 64
   characters, which OpenAI refuses too, becomes its SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from understudy.wire.anthropic_request import BUDGETS, NAME
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import BadRequest, Fields, checked
from understudy.wire.state import FIELD, ProviderState, is_tagged, untagged

__all__ = ["chat_of", "parts_left_out"]

LONGEST_USER = 64

_CITED = re.compile(rb'"citations"\s*:\s*\{\s*"enabled"\s*:\s*true')

_TIERS = {"standard_only": "default"}
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

Part = dict[str, Any]


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _Thinking(msgspec.Struct, gc=False):
    type: str
    budget_tokens: int = 0


class _Format(msgspec.Struct, gc=False):
    type: str
    schema: dict[str, Any]


class _OutputConfig(msgspec.Struct, gc=False):
    effort: str | None = None
    format: _Format | None = None


class _ToolChoice(msgspec.Struct, gc=False):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool = False


_ANY = msgspec.json.Decoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "max_tokens": msgspec.json.Decoder(int | None),
    "temperature": msgspec.json.Decoder(float | None),
    "top_p": msgspec.json.Decoder(float | None),
    "stop_sequences": msgspec.json.Decoder(list[str] | None),
    "metadata": msgspec.json.Decoder(_Metadata | None),
    "service_tier": msgspec.json.Decoder(str | None),
    "thinking": msgspec.json.Decoder(_Thinking | None),
    "output_config": msgspec.json.Decoder(_OutputConfig | None),
    "tool_choice": msgspec.json.Decoder(_ToolChoice | None),
}


def chat_of(fields: Fields) -> ChatRequest:
    """The whole request in neutral words. Raises `BadRequest`."""
    messages = list(_system(_value(fields, "system")))
    for position, turn in enumerate(_list(_value(fields, "messages"), "messages")):
        messages += _turn(_object(turn, f"messages[{position}]"), f"messages[{position}]")
    return ChatRequest(messages, {**_fields(fields), **_tools(fields)})


def parts_left_out(fields: Fields) -> tuple[str, ...]:
    return ("messages[].citations",) if _CITED.search(fields["messages"]) else ()


def _value(fields: Fields, name: str) -> Any:
    """A field's value; None if it is missing or null."""
    return checked(name, fields[name], _DECODERS.get(name, _ANY)) if name in fields else None


# Checks


def _wrong(where: str, what: str) -> BadRequest:
    return BadRequest(f"{where}: {what}", where)


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "must be an object")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(where, "must be a list")
    return value


def _text(value: Mapping[str, Any], name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise _wrong(f"{where}.{name}", "must be a string")
    return text


def _blocks(content: object, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The blocks of a content, each with its path; a string is one block of text."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}, where
        return
    for position, block in enumerate(_list(content, where)):
        yield _object(block, f"{where}[{position}]"), f"{where}[{position}]"


# Messages


def _system(content: object) -> Iterator[dict[str, Any]]:
    if content is not None:
        text = _plain_text(content, "system")
        if text:
            yield {"role": "system", "content": text}


def _plain_text(content: object, where: str) -> str:
    """Of a content that may hold nothing but text."""
    texts = []
    for block, path in _blocks(content, where):
        if block.get("type") != "text":
            raise _wrong(path, "only text can stand here")
        texts.append(_text(block, "text", path))
    return "\n\n".join(texts)


def _turn(turn: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    content = turn.get("content")
    match turn.get("role"):
        case "user":
            return _user(content, f"{where}.content")
        case "assistant":
            return [_assistant(content, f"{where}.content")]
        case "system":
            return [{"role": "system", "content": _plain_text(content, f"{where}.content")}]
    raise _wrong(f"{where}.role", "must be user, assistant or system")


def _user(content: object, where: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    parts: list[Part] = []
    for block, path in _blocks(content, where):
        if block.get("type") == "tool_result":
            results.append(_tool_result(block, path))
        else:
            parts += _parts(block, path)
    if parts:
        results.append({"role": "user", "content": _simplest(parts)})
    return results


def _simplest(parts: list[Part]) -> str | list[Part]:
    """One text is a string, which every backend reads."""
    only = parts[0] if len(parts) == 1 else {}
    return only["text"] if only.get("type") == "text" else parts


def _parts(block: Mapping[str, Any], where: str) -> list[Part]:
    match block.get("type"):
        case "text":
            return [{"type": "text", "text": _text(block, "text", where)}]
        case "image":
            return [_image(_object(block.get("source"), f"{where}.source"), f"{where}.source")]
        case "document":
            return _document(block, where)
        case kind:
            raise _wrong(where, f"a block of type {kind!r} cannot be put into another format's words")


def _image(source: Mapping[str, Any], where: str) -> Part:
    match source.get("type"):
        case "base64":
            url = _data(source, where)
        case "url":
            url = _text(source, "url", where)
        case kind:
            raise _wrong(where, f"an image's source of type {kind!r} exists only at Anthropic")
    return {"type": "image_url", "image_url": {"url": url}}


def _data(source: Mapping[str, Any], where: str) -> str:
    return f"data:{_text(source, 'media_type', where)};base64,{_text(source, 'data', where)}"


def _document(block: Mapping[str, Any], where: str) -> list[Part]:
    source = _object(block.get("source"), f"{where}.source")
    where = f"{where}.source"
    match source.get("type"):
        case "text":
            return [{"type": "text", "text": _text(source, "data", where)}]
        case "content":
            path = f"{where}.content"
            return [part for inner, at in _blocks(source.get("content"), path) for part in _parts(inner, at)]
        case "base64":
            name = block.get("title") or "document.pdf"
            return [{"type": "file", "file": {"filename": name, "file_data": _data(source, where)}}]
        case "url":
            named = {"filename": block["title"]} if block.get("title") else {}
            return [{"type": "file", "file": {**named, "file_url": _text(source, "url", where)}}]
        case kind:
            raise _wrong(where, f"a document's source of type {kind!r} exists only at Anthropic")


def _tool_result(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Rule 3."""
    call = _text(block, "tool_use_id", where)
    content = block.get("content")
    found = _blocks("" if content is None else content, f"{where}.content")
    parts = [part for inner, path in found for part in _parts(inner, path)]
    if block.get("is_error") is True:
        parts = _as_error(parts)
    is_text = all(part["type"] == "text" for part in parts)
    said = "\n\n".join(part["text"] for part in parts) if is_text else parts
    return {"role": "tool", "tool_call_id": call, "content": said}


def _as_error(parts: list[Part]) -> list[Part]:
    texts = [part for part in parts if part.get("text")]
    said = texts[0]["text"] if texts else ""
    if said.lower().startswith("error"):
        return parts
    others = [part for part in parts if part["type"] != "text" or part in texts[1:]]
    return [{"type": "text", "text": f"Error: {said}" if said else "Error"}, *others]


def _assistant(content: object, where: str) -> dict[str, Any]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    states: list[ProviderState | None] = []
    for block, path in _blocks(content, where):
        match block.get("type"):
            case "text":
                texts.append(_text(block, "text", path))
            case "tool_use":
                calls.append(_tool_call(block, path))
            case "thinking":
                states.append(_thought(_text(block, "thinking", path), block.get("signature")))
            case "redacted_thinking":
                states.append(ProviderState(NAME, "redacted_thinking", _text(block, "data", path)))
            case kind:
                raise _wrong(path, f"a block of type {kind!r} cannot be put into another format's words")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = calls
    if kept := [state.to_dict() for state in states if state is not None]:
        message[FIELD] = kept
    return message


def _thought(text: str, signature: object) -> ProviderState | None:
    """Rule 4."""
    if not isinstance(signature, str) or not signature:
        return None
    own = ProviderState(NAME, "signature", signature, text)
    return untagged(signature, text) if is_tagged(signature) else own


def _tool_call(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    arguments = msgspec.json.encode(_object(block.get("input"), f"{where}.input")).decode()
    function = {"name": _text(block, "name", where), "arguments": arguments}
    return {"id": _text(block, "id", where), "type": "function", "function": function}


# The other fields


def _fields(fields: Fields) -> dict[str, Any]:
    said: dict[str, Any] = {
        "max_tokens": _value(fields, "max_tokens"),
        "temperature": _value(fields, "temperature"),
        "top_p": _value(fields, "top_p"),
        "stop": _value(fields, "stop_sequences") or None,
        "user": _user_id(_value(fields, "metadata")),
        "reasoning_effort": _effort(_value(fields, "thinking"), _value(fields, "output_config")),
        "response_format": _response_format(_value(fields, "output_config")),
        "service_tier": _TIERS.get(_value(fields, "service_tier") or ""),
    }
    return {name: value for name, value in said.items() if value is not None}


def _user_id(metadata: _Metadata | None) -> str | None:
    name = metadata.user_id if metadata else None
    return sha256(name.encode()).hexdigest() if name and len(name) > LONGEST_USER else name


def _effort(thinking: _Thinking | None, config: _OutputConfig | None) -> str | None:
    if thinking is None:
        return None
    if thinking.type == "enabled":
        return next((word for word in ("low", "medium") if thinking.budget_tokens <= BUDGETS[word]), "high")
    if thinking.type == "adaptive" and config is not None:
        return _EFFORTS.get(config.effort or "")
    return None


def _response_format(config: _OutputConfig | None) -> dict[str, Any] | None:
    if config is None or config.format is None:
        return None
    if config.format.type != "json_schema":
        raise _wrong("output_config.format.type", "must be json_schema")
    named = {"name": "answer", "schema": config.format.schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _tools(fields: Fields) -> dict[str, Any]:
    if _value(fields, "mcp_servers"):
        raise _wrong("mcp_servers", "MCP servers are asked only by Anthropic")
    tools = _list(_value(fields, "tools") or [], "tools")
    said: dict[str, Any] = {}
    if tools:
        said["tools"] = [_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)]
        said |= _tool_choice(_value(fields, "tool_choice"))
    return said


def _tool(tool: object, where: str) -> dict[str, Any]:
    known = _object(tool, where)
    kind = known.get("type") or "custom"
    if kind != "custom":
        raise _wrong(where, f"the tool {kind!r} exists only at Anthropic")
    schema = _object(known.get("input_schema"), f"{where}.input_schema")
    function: dict[str, Any] = {"name": _text(known, "name", where), "parameters": schema}
    if known.get("description") is not None:
        function["description"] = _text(known, "description", where)
    if known.get("strict") is True:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: _ToolChoice | None) -> dict[str, Any]:
    if choice is None:
        return {}
    said: dict[str, Any] = {"tool_choice": _choice(choice)}
    if choice.disable_parallel_tool_use:
        said["parallel_tool_calls"] = False
    return said


def _choice(choice: _ToolChoice) -> str | dict[str, Any]:
    if choice.type == "tool" and choice.name:
        return {"type": "function", "function": {"name": choice.name}}
    if choice.type == "tool":
        raise _wrong("tool_choice.name", "must name a tool")
    if choice.type not in _CHOICES:
        raise _wrong("tool_choice.type", "must be auto, any, tool or none")
    return _CHOICES[choice.type]
