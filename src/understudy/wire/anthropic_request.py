"""A chat request in the words of Anthropic's Messages.

1. System and developer messages, wherever they stand, become `system`. Turns of one role that follow each
   other become one turn, texts of white space alone are left out, and tool results come first in their
   turn, because Anthropic wants it so.
2. A tool call's arguments become an object. Empty ones are ``{}``; a text that is no JSON object (a model
   was cut short, and the caller hands its words back) is kept whole, as ``{"_raw": text}``. Of ids, letters
   that Anthropic refuses become ``_``, in calls and results alike. A tool's schema is an object's, and says
   so; a choice of several at its top raises ValueError.
3. Images and PDF go as base64 or as an address, plain text files as documents. What cannot be said raises
   ValueError: several choices, audio, files by id, tools that are no functions, stop texts of white space,
   and what `neutral` refuses.
4. A JSON schema for the answer is `output_config.format`. Fields without a counterpart (penalties, seed,
   logprobs …) are left out (`left_out`).
5. ``max_tokens``, which Anthropic requires, is the request's, else the defaults', else `MAX_TOKENS`.
6. ``reasoning_effort`` becomes thinking with a budget of `BUDGETS`, at most half of a limit that is set,
   none if that is below Anthropic's least of 1024; without a limit it adds to `MAX_TOKENS`. If the defaults
   say ``"thinking": {"type": "adaptive"}``, as newer models want it, it becomes `output_config.effort`.
7. Thoughts that Anthropic signed (`wire.state`) come first in their turn; another format's are left out.
   No thinking where Anthropic would refuse it: with a forced tool, and with a budget in the middle of tool
   use, unless the turn that called the tools begins with such thoughts. Beside thinking there is neither
   `temperature` nor `top_k`, and no `top_p` below 0.95.
8. `defaults` are in Anthropic's own words and fill what the request leaves out.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from understudy.wire.chat import ChatRequest
from understudy.wire.neutral import REFUSED, calls_of, check, parts_of
from understudy.wire.state import ProviderState
from understudy.wire.thoughts import parts_left_out, states_of

__all__ = [
    "BUDGETS",
    "MANAGED",
    "MAX_TOKENS",
    "NAME",
    "body_of",
    "input_of",
    "left_out",
    "tool_id",
    "without_clearing",
]

NAME = "anthropic"
MANAGED = "context_management"
MAX_TOKENS = 8192
LEAST_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 16384}

_TIERS = {"auto": "auto", "default": "standard_only"}
_SAID = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "user",
        *REFUSED,
    }
)
_NOTHING: tuple[object, ...] = (None, False, [], {})
_MEANS_NOTHING = {"modalities": ["text"], "reasoning_effort": "none"}
_THINKING = frozenset({"reasoning_effort", "thinking"})
_NO_FIELDS: Mapping[str, Any] = {}
_WEB = ("https://", "http://")
_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_ALIASES = {"image/jpg": "image/jpeg"}
_SCHEMAS_OF_MANY = ("allOf", "anyOf", "oneOf")
_DATA = re.compile(r"data:([^;,]*)(?:;[^,]*?)?;base64,(.*)", re.DOTALL)
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")

Block = dict[str, Any]


def body_of(request: ChatRequest, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The request's own fields; the model and ``stream`` are not among them. Raises ValueError, TypeError."""
    if request.choices > 1:
        raise ValueError("Anthropic gives one choice (n)")
    check(request, "Anthropic")
    system, messages = _turns(request.messages)
    if not messages:
        raise ValueError("Anthropic wants a message that is not the system's and not empty (messages)")
    said = _fields(request.fields)
    if "output_config" in said:
        said["output_config"] |= {**(defaults.get("output_config") or {}), **said["output_config"]}
    body = {**defaults, **said, "messages": messages}
    if system:
        body["system"] = system
    _think(body, request.fields.get("reasoning_effort"))
    body.setdefault("max_tokens", MAX_TOKENS)
    _settle(body)
    return body


def left_out(request: ChatRequest, defaults: Mapping[str, Any] = _NO_FIELDS) -> tuple[str, ...]:
    """The fields, and parts of messages, that Anthropic has no words for, or none beside the others."""
    body = body_of(request, defaults) if _THINKING.intersection((*request.fields, *defaults)) else {}
    thinks = _kind(body) is not None
    fields = [name for name, value in request.fields.items() if _is_lost(name, value, body, thinks)]
    return (*fields, *parts_left_out(request.messages, NAME, ("detail",)))


def _is_lost(name: str, value: object, body: Mapping[str, Any], thinks: bool) -> bool:
    if value in _NOTHING or value == _MEANS_NOTHING.get(name):
        return False
    match name:
        case "response_format":
            return _schema(value) is None and value != {"type": "text"}
        case "service_tier":
            return value not in _TIERS
        case "reasoning_effort":
            return not thinks or value not in BUDGETS
        case "temperature" | "top_k" | "top_p":
            return thinks and name not in body
    return name not in _SAID


# Messages


def _turns(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system's texts, and the turns, whose roles alternate."""
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, blocks = _blocks(message)
        if role == "system":
            system += blocks
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, turns


def _blocks(message: Mapping[str, Any]) -> tuple[str, list[Block]]:
    """Whose turn a message belongs to, and what it adds there."""
    role = _object(message, "a message").get("role")
    if role in ("system", "developer"):
        return "system", list(_content(message))
    if role == "user":
        return "user", list(_content(message))
    if role == "assistant":
        thoughts = map(_thought, states_of(message, NAME))
        said = [*_content(message), *_refusal(message)]
        return "assistant", [*thoughts, *said, *map(_tool_use, calls_of(message))]
    if role == "tool":
        return "user", [_tool_result(message)]
    raise ValueError(f"Anthropic has no messages of role {role!r}")


def _thought(state: ProviderState) -> Block:
    """Rule 7."""
    if state.kind == "redacted_thinking":
        return {"type": "redacted_thinking", "data": state.value}
    return {"type": "thinking", "thinking": state.text, "signature": state.value}


def _refusal(message: Mapping[str, Any]) -> Iterator[Block]:
    if message.get("refusal"):
        yield {"type": "text", "text": _text(message["refusal"], "refusal")}


def _content(message: Mapping[str, Any]) -> Iterator[Block]:
    for part in parts_of(message):
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        block = _block(part)
        if block["type"] != "text" or block["text"].strip():
            yield block


def _block(part: Mapping[str, Any]) -> Block:
    kind = _object(part, "a content part").get("type")
    match kind:
        case "text" | "refusal":
            block: Block = {"type": "text", "text": _text(part.get(kind), kind)}
        case "image_url":
            block = {"type": "image", "source": _image(_object(part.get(kind), kind).get("url"))}
        case "file":
            block = _document(_object(part.get(kind), kind))
        case _:
            raise ValueError(f"Anthropic has no content part of type {kind!r}")
    if "cache_control" in part:  # Anthropic's own, as callers who know put it into OpenAI's parts
        block["cache_control"] = part["cache_control"]
    return block


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


def _image(url: object) -> dict[str, Any]:
    address = _text(url, "image_url.url")
    if address.startswith(_WEB):
        return {"type": "url", "url": address}
    media_type, data = _data(address, "image_url.url")
    media_type = _ALIASES.get(media_type, media_type)
    if media_type not in _IMAGES:
        raise ValueError(f"image_url.url: Anthropic takes no images of type {media_type!r}")
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(file: Mapping[str, Any]) -> Block:
    name = file.get("filename")
    return {"type": "document", "source": _source(file)} | ({"title": name} if name else {})


def _source(file: Mapping[str, Any]) -> dict[str, Any]:
    if "file_url" in file:
        return {"type": "url", "url": _address(file["file_url"])}
    if "file_data" not in file:
        raise ValueError("Anthropic does not know OpenAI's files by their id")
    media_type, data = _data(_text(file["file_data"], "file.file_data"), "file.file_data")
    if media_type == "text/plain":
        return {"type": "text", "media_type": media_type, "data": _plain_text(data)}
    if media_type != "application/pdf":
        raise ValueError(f"file.file_data: Anthropic takes no files of type {media_type!r}")
    return {"type": "base64", "media_type": media_type, "data": data}


def _address(url: object) -> str:
    address = _text(url, "file.file_url")
    if not address.startswith(_WEB):
        raise ValueError("file.file_url: no http address")
    return address


def _data(url: str, name: str) -> tuple[str, str]:
    matched = _DATA.fullmatch(url)
    if matched is None:
        raise ValueError(f"{name}: neither an http address nor a base64 data URI")
    return matched[1], matched[2]


def _plain_text(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("file.file_data: a text file must be base64 of UTF-8") from None


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = _function(call, "a tool call")
    return {
        "type": "tool_use",
        "id": _named(call.get("id"), "a tool call's id"),
        "name": _text(function.get("name"), "a function's name"),
        "input": input_of(function.get("arguments") or ""),
    }


def _function(tool: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    kind = _object(tool, name).get("type", "function")
    if kind != "function":
        raise ValueError(f"Anthropic has nothing like {name} of type {kind!r}")
    return _object(tool.get("function"), "function")


def input_of(arguments: object) -> Mapping[str, Any]:
    """A tool call's arguments as the object that Anthropic wants."""
    if isinstance(arguments, Mapping):
        return arguments
    text = _text(arguments, "arguments")
    if not text.strip():
        return {}
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"_raw": text}


def _tool_result(message: Mapping[str, Any]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _named(message.get("tool_call_id"), "tool_call_id")}
    if content := list(_content(message)):
        block["content"] = content
    return block


def _named(value: object, name: str) -> str:
    return tool_id(_text(value, name))


def tool_id(name: str) -> str:
    """A tool call's id in the letters that Anthropic takes; the same for calls and their results."""
    return _NOT_IN_AN_ID.sub("_", name)


# The other fields


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the request says of its own, in Anthropic's words; nulls say nothing."""
    given = {name: value for name, value in fields.items() if value is not None}
    body: dict[str, Any] = {name: given[name] for name in ("top_p", "top_k") if name in given}
    limit = given.get("max_completion_tokens", given.get("max_tokens"))
    if limit is not None:
        body["max_tokens"] = limit
    if "temperature" in given:
        body["temperature"] = min(given["temperature"], 1)
    if "stop" in given:
        body["stop_sequences"] = _stops(given["stop"])
    if "user" in given:
        body["metadata"] = {"user_id": given["user"]}
    if given.get("service_tier") in _TIERS:
        body["service_tier"] = _TIERS[given["service_tier"]]
    if (schema := _schema(given.get("response_format"))) is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if given.get("tools"):
        body["tools"] = [_tool(tool) for tool in given["tools"]]
        body |= _tool_choice(given)
    return body


def _schema(wanted: object) -> Mapping[str, Any] | None:
    """The JSON schema of a ``response_format``, if it is one."""
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
    return None


def _stops(stop: str | Iterable[str]) -> list[str]:
    stops = [stop] if isinstance(stop, str) else list(stop)
    if not all(item.strip() for item in stops):
        raise ValueError("Anthropic does not stop at white space (stop)")
    return stops


def _tool(tool: Mapping[str, Any]) -> Block:
    function = _function(tool, "a tool")
    name = _text(function.get("name"), "a function's name")
    block: Block = {"name": name, "input_schema": _input_schema(function.get("parameters"), name)}
    if function.get("description"):
        block["description"] = function["description"]
    if function.get("strict") is True:
        block["strict"] = True
    return block


def _input_schema(parameters: object, name: str) -> Mapping[str, Any]:
    """Rule 2."""
    schema = _object({} if parameters is None else parameters, f"the parameters of {name}")
    many = next((word for word in _SCHEMAS_OF_MANY if word in schema), None)
    if many is not None:
        raise ValueError(f"the parameters of {name}: Anthropic takes no {many} at the top")
    return {"type": "object", **(schema or {"properties": {}})}


def _tool_choice(given: Mapping[str, Any]) -> dict[str, Any]:
    choice = _choice(given.get("tool_choice", "auto"))
    if given.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice} if "tool_choice" in given or len(choice) > 1 else {}


def _choice(choice: object) -> dict[str, Any]:
    match choice:
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
    raise ValueError(f"Anthropic has no such tool_choice: {choice!r}")


# Thinking


def _think(body: dict[str, Any], effort: str | None) -> None:
    """There are four cases: not said, or in a word we don't know; no thinking; adaptive; with a budget."""
    if effort == "none":
        body.pop("thinking", None)
    if effort not in BUDGETS:
        return
    if _kind(body) == "adaptive":
        word = "low" if effort == "minimal" else effort
        body["output_config"] = {**(body.get("output_config") or {}), "effort": word}
    else:
        _give_budget(body, BUDGETS[effort])


def _give_budget(body: dict[str, Any], budget: int) -> None:
    if "max_tokens" in body:
        budget = min(budget, body["max_tokens"] // 2)
    else:
        body["max_tokens"] = MAX_TOKENS + budget
    if budget >= LEAST_BUDGET:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    else:
        body.pop("thinking", None)


def _settle(body: dict[str, Any]) -> None:
    """Leave out thinking, or what does not go with it."""
    kind = _kind(body)
    is_forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if kind is None or is_forced or (kind == "enabled" and _lacks_thoughts(body["messages"])):
        if kind is not None:
            del body["thinking"]
        return
    body.pop("temperature", None)
    body.pop("top_k", None)
    if body.get("top_p", 1) < 0.95:
        del body["top_p"]


def _kind(body: Mapping[str, Any]) -> str | None:
    """``enabled`` or ``adaptive`` if there is to be thinking."""
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    return kind if kind in ("enabled", "adaptive") else None


def _lacks_thoughts(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Does the newest turn bring tool results, to calls that no thoughts stand before?"""
    if turns[-1]["content"][0]["type"] != "tool_result":
        return False
    return turns[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")


def without_clearing(managed: object) -> object:
    """What `MANAGED` says without clearing thoughts away, which is refused where there is no thinking."""
    if not isinstance(managed, Mapping) or not isinstance(managed.get("edits"), list):
        return managed
    return {**managed, "edits": [edit for edit in managed["edits"] if not _clears_thoughts(edit)]}


def _clears_thoughts(edit: object) -> bool:
    return isinstance(edit, Mapping) and str(edit.get("type")).startswith("clear_thinking")
