"""A client's Responses request in neutral words, for backends of another format.

1. `instructions` become a system message, a string as `input` a user's. Developers' messages are the
   system's: many who imitate OpenAI know no other word. System messages stay where they are.
2. What an assistant said in a row, messages, reasoning and calls, is one message, because a call's result
   has to follow the message that holds the call. A text is kept as a part where there are several.
3. A tool's result of nothing but text is one text, its parts parted by blank lines; other results are lists
   of parts.
4. Of reasoning the state is kept (`wire.state`): Responses' own, and another format's that was handed out in
   the place of ``encrypted_content``. The summary alone means nothing elsewhere and is left out.
5. Whatever cannot be said raises `BadRequest` with its path: stored prompts and items, files by id, items and
   tools that only OpenAI has.
6. Fields without a counterpart are left out, and so are those that only OpenAI's own chat takes, because
   others refuse requests that hold them: `metadata`, `prompt_cache_key` and the like. A choice among tools
   goes with tools or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import BadRequest, Fields, checked
from understudy.wire.responses_state import state_of
from understudy.wire.state import FIELD, ProviderState, is_tagged, untagged

__all__ = ["chat_of", "parts_left_out"]

_SAID_BY_ASSISTANTS = ("function_call", "custom_tool_call", "reasoning")

Part = dict[str, Any]
Message = dict[str, Any]


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class _Format(msgspec.Struct, gc=False):
    type: str
    name: str = "answer"
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct, gc=False):
    format: _Format | None = None
    verbosity: str | None = None


_ANY = msgspec.json.Decoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "include": msgspec.json.Decoder(list[str] | None),
    "instructions": msgspec.json.Decoder(str | None),
    "max_output_tokens": msgspec.json.Decoder(int | None),
    "parallel_tool_calls": msgspec.json.Decoder(bool | None),
    "reasoning": msgspec.json.Decoder(_Reasoning | None),
    "safety_identifier": msgspec.json.Decoder(str | None),
    "service_tier": msgspec.json.Decoder(str | None),
    "temperature": msgspec.json.Decoder(float | None),
    "text": msgspec.json.Decoder(_Text | None),
    "top_logprobs": msgspec.json.Decoder(int | None),
    "top_p": msgspec.json.Decoder(float | None),
    "user": msgspec.json.Decoder(str | None),
}


def chat_of(fields: Fields) -> ChatRequest:
    """The whole request in neutral words. Raises `BadRequest`."""
    if _value(fields, "prompt") is not None:
        raise _wrong("prompt", "stored prompts exist only at OpenAI")
    messages: list[Message] = []
    if instructions := _value(fields, "instructions"):
        messages.append({"role": "system", "content": instructions})
    messages += _messages(_value(fields, "input"))
    return ChatRequest(messages, {**_fields(fields), **_tools(fields)})


def parts_left_out(fields: Fields) -> tuple[str, ...]:
    """Nothing that asks for something."""
    return ()


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


# Messages


def _messages(given: str | list[Any]) -> list[Message]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Message] = []
    turn: _Turn | None = None
    for position, value in enumerate(given):
        where = f"input[{position}]"
        item = _object(value, where)
        kind = item.get("type") or "message"
        if kind in _SAID_BY_ASSISTANTS or (kind == "message" and item.get("role") == "assistant"):
            turn = turn or _Turn(messages)
            turn.take(kind, item, where)
        else:
            turn = None
            messages.append(_message(kind, item, where))
    return messages


def _message(kind: str, item: Mapping[str, Any], where: str) -> Message:
    match kind:
        case "message":
            return {"role": _role(item, where), "content": _simplest(_parts(item, "content", where))}
        case "function_call_output" | "custom_tool_call_output":
            said = _result(list(_parts(item, "output", where)))
            return {"role": "tool", "tool_call_id": _text(item, "call_id", where), "content": said}
        case "item_reference":
            raise _wrong(where, "items are not stored here: send the whole item")
    raise _wrong(where, f"an item of type {kind!r} exists only at OpenAI")


def _role(item: Mapping[str, Any], where: str) -> str:
    role = item.get("role")
    if role not in ("user", "system", "developer"):
        raise _wrong(f"{where}.role", "must be user, assistant, system or developer")
    return "user" if role == "user" else "system"


def _result(parts: list[Part]) -> str | list[Part]:
    """Rule 3."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _simplest(parts: Iterator[Part]) -> str | list[Part]:
    """One text is a string, which every backend reads."""
    whole = list(parts)
    only = whole[0] if len(whole) == 1 else {}
    return only["text"] if only.get("type") == "text" else whole


def _parts(item: Mapping[str, Any], name: str, where: str) -> Iterator[Part]:
    content = item.get(name)
    if isinstance(content, str):
        yield {"type": "text", "text": content}
        return
    for position, part in enumerate(_list(content, f"{where}.{name}")):
        path = f"{where}.{name}[{position}]"
        yield _part(_object(part, path), path)


def _part(part: Mapping[str, Any], where: str) -> Part:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _text(part, "text", where)}
        case "refusal":
            return {"type": "refusal", "refusal": _text(part, "refusal", where)}
        case "input_image":
            return _image(part, where)
        case "input_file":
            return _file(part, where)
        case kind:
            raise _wrong(where, f"a part of type {kind!r} cannot be put into another format's words")


def _image(part: Mapping[str, Any], where: str) -> Part:
    if part.get("file_id") is not None:
        raise _wrong(f"{where}.file_id", "files by their id exist only at OpenAI")
    detail = {"detail": part["detail"]} if part.get("detail") not in (None, "", "auto") else {}
    return {"type": "image_url", "image_url": {"url": _text(part, "image_url", where), **detail}}


def _file(part: Mapping[str, Any], where: str) -> Part:
    if part.get("file_id") is not None:
        raise _wrong(f"{where}.file_id", "files by their id exist only at OpenAI")
    named = {"filename": part["filename"]} if part.get("filename") else {}
    source = "file_url" if part.get("file_url") is not None else "file_data"
    return {"type": "file", "file": {**named, source: _text(part, source, where)}}


class _Turn:
    """What an assistant said in a row: one message, already among the others, that grows (rule 2)."""

    def __init__(self, messages: list[Message]) -> None:
        self._message: Message = {"role": "assistant", "content": ""}
        self._parts: list[Part] = []
        messages.append(self._message)

    def take(self, kind: str, item: Mapping[str, Any], where: str) -> None:
        match kind:
            case "message":
                self._parts += _parts(item, "content", where)
                self._message["content"] = _simplest(iter(self._parts))
            case "reasoning":
                if (state := _state(item, where)) is not None:
                    self._message.setdefault(FIELD, []).append(state.to_dict())
            case _:
                self._message["content"] = self._message["content"] or None
                self._message.setdefault("tool_calls", []).append(_call(kind, item, where))


def _state(item: Mapping[str, Any], where: str) -> ProviderState | None:
    """Rule 4."""
    word = item.get("encrypted_content")
    if word is None:
        return None
    encrypted = _text(item, "encrypted_content", where)
    summary = _list(item.get("summary") or [], f"{where}.summary")
    text = "\n\n".join(
        _text(_object(part, f"{where}.summary[{position}]"), "text", f"{where}.summary[{position}]")
        for position, part in enumerate(summary)
    )
    if is_tagged(encrypted):
        return untagged(encrypted, text)
    item_id = item.get("id")
    return state_of(encrypted, item_id if isinstance(item_id, str) else None, text)


def _call(kind: str, item: Mapping[str, Any], where: str) -> dict[str, Any]:
    call_id, name = _text(item, "call_id", where), _text(item, "name", where)
    if kind == "custom_tool_call":
        said = {"name": name, "input": _text(item, "input", where)}
        return {"id": call_id, "type": "custom", "custom": said}
    said = {"name": name, "arguments": _text(item, "arguments", where)}
    return {"id": call_id, "type": "function", "function": said}


# The other fields


def _fields(fields: Fields) -> dict[str, Any]:
    reasoning = _value(fields, "reasoning") or _Reasoning()
    text = _value(fields, "text") or _Text()
    shown = "message.output_text.logprobs" in (_value(fields, "include") or ())
    said: dict[str, Any] = {
        "max_tokens": _value(fields, "max_output_tokens"),
        "temperature": _value(fields, "temperature"),
        "top_p": _value(fields, "top_p"),
        "user": _value(fields, "user") or _value(fields, "safety_identifier"),
        "service_tier": _value(fields, "service_tier"),
        "reasoning_effort": reasoning.effort,
        "verbosity": text.verbosity,
        "response_format": _response_format(text.format),
        "logprobs": True if shown else None,
        "top_logprobs": _value(fields, "top_logprobs") if shown else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _response_format(wanted: _Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    if wanted.schema is None:
        raise _wrong("text.format.schema", "must be an object")
    more = {"description": wanted.description, "strict": wanted.strict}
    named = {"name": wanted.name, "schema": wanted.schema}
    return {
        "type": "json_schema",
        "json_schema": named | {name: value for name, value in more.items() if value is not None},
    }


def _tools(fields: Fields) -> dict[str, Any]:
    tools = _list(_value(fields, "tools") or [], "tools")
    if not tools:
        return {}
    said: dict[str, Any] = {
        "tools": [_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)]
    }
    if (choice := _value(fields, "tool_choice")) is not None:
        said["tool_choice"] = _choice(choice)
    if (parallel := _value(fields, "parallel_tool_calls")) is not None:
        said["parallel_tool_calls"] = parallel
    return said


def _tool(tool: object, where: str) -> dict[str, Any]:
    known = _object(tool, where)
    match known.get("type"):
        case "function":
            return {"type": "function", "function": _function(known, where)}
        case "custom":
            return {"type": "custom", "custom": _custom(known, where)}
        case kind:
            raise _wrong(where, f"the tool {kind!r} exists only at OpenAI")


def _function(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": _text(tool, "name", where)}
    if tool.get("description") is not None:
        function["description"] = _text(tool, "description", where)
    if tool.get("parameters") is not None:
        function["parameters"] = _object(tool["parameters"], f"{where}.parameters")
    if tool.get("strict") is True:
        function["strict"] = True
    return function


def _custom(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    custom: dict[str, Any] = {"name": _text(tool, "name", where)}
    if tool.get("description") is not None:
        custom["description"] = _text(tool, "description", where)
    if tool.get("format") is not None:
        custom["format"] = _grammar(_object(tool["format"], f"{where}.format"))
    return custom


def _grammar(wanted: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in wanted.items() if name != "type"}
    return {"type": wanted.get("type")} | ({"grammar": said} if said else {})


def _choice(choice: object) -> str | dict[str, Any]:
    if isinstance(choice, str):
        return choice
    said = _object(choice, "tool_choice")
    if said.get("type") != "allowed_tools":
        return _named(said, "tool_choice")
    tools = _list(said.get("tools"), "tool_choice.tools")
    named = [
        _named(_object(tool, f"tool_choice.tools[{position}]"), f"tool_choice.tools[{position}]")
        for position, tool in enumerate(tools)
    ]
    return {"type": "allowed_tools", "allowed_tools": {"mode": said.get("mode"), "tools": named}}


def _named(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise _wrong(where, f"the tool {kind!r} exists only at OpenAI")
    return {"type": kind, kind: {"name": _text(tool, "name", where)}}
