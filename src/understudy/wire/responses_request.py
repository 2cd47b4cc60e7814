"""A chat request in the words of OpenAI's Responses.

1. A system or developer message that comes first is `instructions`; any other stands in `input` as it is.
   A message becomes an item of text, image and file parts, a tool call and a tool's result an item each.
   What the format's own types ask for is said, though OpenAI forgives: an image's detail is ``auto`` unless
   told, and an assistant's one text is a string, because a part would want an id and a status.
2. Before an assistant's message stand the reasoning items that this format issued (`wire.state`); another
   format's are left out, and so is reasoning without state: here it cannot be handed back.
3. Nothing is stored: ``store`` is false. Encrypted reasoning is asked for wherever there is reasoning: in the
   request, the defaults or the conversation so far, or because the model's name says so (`THINKERS`). Not
   otherwise, for models that do not reason refuse it.
4. ``reasoning_effort`` asks for a summary too, which is all that can be seen of the thoughts; the defaults'
   own `summary` wins, also if it is null.
5. A function is not strict unless the request says so: left out, it would be here.
6. Limits below `LEAST_LIMIT` tokens, which are refused, become that.
7. What cannot be said and must not be dropped raises ValueError: several choices, parts of other kinds, and
   what `neutral` refuses. Other fields without a counterpart are left out (`left_out`).
8. `defaults` are in this format's own words and fill what the request leaves out. Those of OpenAI chat's
   words that a pool of several formats shares (`SHARED`) are understood there too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from understudy.wire.chat import ChatRequest
from understudy.wire.neutral import REFUSED, calls_of, check, parts_of
from understudy.wire.responses_state import NAME, item_of
from understudy.wire.thoughts import parts_left_out, states_of

__all__ = ["THINKERS", "body_of", "left_out", "own_words"]

LEAST_LIMIT = 16
SHARED = frozenset(
    {"max_completion_tokens", "max_tokens", "reasoning_effort", "response_format", "verbosity"}
)

THINKERS = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-[5-9]|codex)(?!.*chat)")
"""OpenAI's models that reason unasked."""

_WEB = ("https://", "http://")
_CHOICES = ("auto", "none", "required")
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"

_SAME = (
    "metadata",
    "moderation",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
_READ = ("logprobs", "n", "store", "stream_options", "tool_choice", "tools")
_OURS = ("messages", "model", "stream")
_SAID = SHARED.union(_SAME, _READ, _OURS, REFUSED)
_NOTHING: tuple[object, ...] = (None, False, [], {})
_NO_FIELDS: Mapping[str, Any] = {}
_MEANS_NOTHING = {"modalities": ["text"]}

Item = dict[str, Any]


def body_of(request: ChatRequest, defaults: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The request's own fields; the model and ``stream`` are not among them. Raises ValueError, TypeError."""
    if request.choices > 1:
        raise ValueError("Responses gives one choice (n)")
    check(request, "Responses")
    given = _given(request.fields)
    body = own_words(defaults)
    body |= {**_fields(given), **_nested(given, body), "store": False}
    instructions, body["input"] = _input(request.messages)
    if instructions:
        body["instructions"] = instructions
    if include := _include(given, body, model):
        body["include"] = include
    return body


def own_words(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults without OpenAI chat's words."""
    body = {name: value for name, value in defaults.items() if name not in SHARED}
    shared = _given({name: value for name, value in defaults.items() if name in SHARED})
    return {**_fields(shared), **body, **_nested(shared, body)}


def left_out(request: ChatRequest, defaults: Mapping[str, Any] = _NO_FIELDS) -> tuple[str, ...]:
    """The fields, and parts of messages, that this format has no words for."""
    fields = [name for name, value in request.fields.items() if _is_lost(name, value)]
    return (*fields, *parts_left_out(request.messages, NAME, ("cache_control",)))


def _is_lost(name: str, value: object) -> bool:
    return name not in _SAID and value not in _NOTHING and value != _MEANS_NOTHING.get(name)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Nulls say nothing."""
    return {name: value for name, value in fields.items() if value is not None}


# Messages


def _input(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Item]]:
    """The instructions, and the items of the rest."""
    instructions = ""
    if messages and _object(messages[0], "a message").get("role") in ("system", "developer"):
        instructions = "\n\n".join(_texts(messages[0]))
        messages = messages[1:]
    items: list[Item] = []
    custom: set[str] = set()  # calls whose results have to say so
    for message in messages:
        for item in _items(message, custom):
            items.append(item)
            if item["type"] == "custom_tool_call":
                custom.add(item["call_id"])
    return instructions, items


def _items(message: Mapping[str, Any], custom: Collection[str]) -> Iterator[Item]:
    match role := _object(message, "a message").get("role"):
        case "user" | "system" | "developer":
            yield {"type": "message", "role": role, "content": list(_parts(message, "input_text"))}
        case "assistant":
            yield from map(item_of, states_of(message, NAME))
            if content := [*_parts(message, "output_text"), *_refusal(message)]:
                yield {"type": "message", "role": role, "content": _simplest(content)}
            yield from map(_call, calls_of(message))
        case "tool":
            yield _result(message, custom)
        case _:
            raise ValueError(f"Responses has no messages of role {role!r}")


def _simplest(content: list[Item]) -> str | list[Item]:
    """Rule 1."""
    only = content[0] if len(content) == 1 else {}
    return only["text"] if only.get("type") == "output_text" else content


def _refusal(message: Mapping[str, Any]) -> Iterator[Item]:
    if message.get("refusal"):
        yield {"type": "refusal", "refusal": _text(message["refusal"], "refusal")}


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for part in _parts(message, "input_text"):
        if "text" not in part:
            raise ValueError("instructions are text only")
        yield part["text"]


def _parts(message: Mapping[str, Any], kind_of_text: str) -> Iterator[Item]:
    for part in parts_of(message):
        if isinstance(part, str):
            yield {"type": kind_of_text, "text": part}
        else:
            yield _part(_object(part, "a content part"), kind_of_text)


def _part(part: Mapping[str, Any], kind_of_text: str) -> Item:
    match kind := part.get("type"):
        case "text":
            return {"type": kind_of_text, "text": _text(part.get("text"), "text")}
        case "refusal" if kind_of_text == "output_text":
            return {"type": "refusal", "refusal": _text(part.get("refusal"), "refusal")}
        case "image_url":
            return _image(_object(part.get("image_url"), "image_url"))
        case "file":
            return _file(_object(part.get("file"), "file"))
    raise ValueError(f"Responses has no content part of type {kind!r}")


def _image(image: Mapping[str, Any]) -> Item:
    url = _address(image.get("url"), "image_url.url", (*_WEB, "data:"))
    return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}


def _file(file: Mapping[str, Any]) -> Item:
    known = ("file_data", "file_id", "file_url", "filename")
    said = {name: _text(file[name], f"file.{name}") for name in known if file.get(name) is not None}
    if "file_url" in said:
        _address(said["file_url"], "file.file_url", _WEB)
    return {"type": "input_file", **said}


def _address(url: object, name: str, beginnings: tuple[str, ...]) -> str:
    address = _text(url, name)
    if not address.startswith(beginnings):
        raise ValueError(f"{name}: must begin with {' or '.join(beginnings)}")
    return address


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object")
    return value


def _list(value: object, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


def _call(call: Mapping[str, Any]) -> Item:
    call_id = _text(_object(call, "a tool call").get("id"), "a tool call's id")
    kind, inner = _kind_of(call, "a tool call")
    name = _text(inner.get("name"), "a tool call's name")
    if kind == "custom":
        return {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": inner.get("input", "")}
    arguments = inner.get("arguments") or ""
    if isinstance(arguments, Mapping):
        arguments = msgspec.json.encode(arguments).decode()
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": _text(arguments, name)}


def _result(message: Mapping[str, Any], custom: Collection[str]) -> Item:
    content = message.get("content")
    output = content if isinstance(content, str) else list(_parts(message, "input_text"))
    call_id = _text(message.get("tool_call_id"), "tool_call_id")
    kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": output or ""}


def _kind_of(tool: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]]:
    """What a tool, a call or a choice is, and what it says under that name."""
    kind = _object(tool, name).get("type", "function")
    if kind not in ("function", "custom"):
        raise ValueError(f"Responses has nothing like {name} of type {kind!r}")
    return kind, _object(tool.get(kind), kind)


# The other fields


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said at the top, in this format's words."""
    body = {name: given[name] for name in _SAME if name in given}
    limit = given.get("max_completion_tokens", given.get("max_tokens"))
    if limit is not None:
        body["max_output_tokens"] = max(limit, LEAST_LIMIT)
    if given.get("tools"):
        body["tools"] = [_tool(tool) for tool in given["tools"]]
    if "tool_choice" in given:
        body["tool_choice"] = _choice(given["tool_choice"])
    return body


def _nested(given: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What is said in `reasoning` and `text`, beside what the body says there already."""
    said: dict[str, Any] = {}
    if "reasoning_effort" in given:
        said["reasoning"] = _reasoning(given["reasoning_effort"], body.get("reasoning") or {})
    text = {"verbosity": given["verbosity"]} if "verbosity" in given else {}
    if "response_format" in given:
        text["format"] = _format(_object(given["response_format"], "response_format"))
    return said | ({"text": {**(body.get("text") or {}), **text}} if text else {})


def _reasoning(effort: object, default: Mapping[str, Any]) -> dict[str, Any]:
    """Rule 4."""
    return {"effort": effort} if effort == "none" else {"summary": "auto", **default, "effort": effort}


def _format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    kind = _text(wanted.get("type"), "response_format.type")
    return {"type": kind, **(_object(wanted.get(kind), kind) if kind == "json_schema" else {})}


def _include(given: Mapping[str, Any], body: Mapping[str, Any], model: str) -> list[str]:
    """Rule 3, and the probabilities of tokens."""
    include = list(body.get("include") or ())
    if given.get("logprobs"):
        include.append(_LOGPROBS)
    has_thought = any(item["type"] == "reasoning" for item in body["input"])
    if has_thought or _is_to_think(body.get("reasoning"), model):
        include.append(_ENCRYPTED)
    return list(dict.fromkeys(include))


def _is_to_think(reasoning: Mapping[str, Any] | None, model: str) -> bool:
    return reasoning.get("effort") != "none" if reasoning else THINKERS.match(model) is not None


def _tool(tool: Mapping[str, Any]) -> Item:
    kind, inner = _kind_of(tool, "a tool")
    named: Item = {"type": kind, "name": _text(inner.get("name"), "a tool's name")}
    if inner.get("description"):
        named["description"] = inner["description"]
    if kind == "custom":
        return named | ({"format": _grammar(inner["format"])} if inner.get("format") else {})
    schema = {} if inner.get("parameters") is None else inner["parameters"]
    parameters = _object(schema, f"the parameters of {named['name']}")
    named["parameters"] = parameters or {"type": "object", "properties": {}}
    named["strict"] = inner.get("strict") is True
    return named


def _grammar(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": wanted.get("type"), **(wanted.get("grammar") or {})}


def _choice(choice: object) -> object:
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise ValueError(f"Responses has no such tool_choice: {choice!r}")
        return choice
    said = _object(choice, "tool_choice")
    if said.get("type") == "allowed_tools":
        allowed = _object(said.get("allowed_tools"), "allowed_tools")
        named = [_named(tool) for tool in _list(allowed.get("tools"), "allowed_tools.tools")]
        return {"type": "allowed_tools", "mode": allowed.get("mode"), "tools": named}
    return _named(said)


def _named(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind, inner = _kind_of(tool, "a tool choice")
    return {"type": kind, "name": _text(inner.get("name"), "a function's name")}
