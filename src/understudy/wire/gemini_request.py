"""A chat request in the words of Gemini's ``generateContent``.

1. System and developer messages, wherever they stand, become `systemInstruction`, which holds text alone.
   Turns of one role that follow each other become one, empty texts are left out, and tool results come
   first in their turn.
2. A tool call's arguments become an object. Empty ones are ``{}``; a text that is no JSON object is kept
   whole, as ``{"_raw": text}``. A result is ``{"output": text}`` under its function's name, which Gemini
   wants and which is looked up by the call's id. Images and PDF of a result go into it where the model can
   take them there (Gemini 3), else after all results, behind a line that names the function.
3. Images, files and audio go as `inlineData`. An http address of an image or a file goes as `fileData`, its
   type guessed from its ending, else a JPEG or a PDF; Gemini fetches what is public, and not for every model
   (`refusal` knows the words in which it says so, and then the next backend is asked). What cannot be said
   raises ValueError: files by id, tools that are no functions, results of unknown calls, JSON beside tools
   before Gemini 3, and what `neutral` refuses.
4. JSON Schemas go as they came, in `parametersJsonSchema` and `responseJsonSchema`, which take plain JSON
   Schema; the older fields, a subset of OpenAPI's, refuse a request for one keyword that they do not know.
5. ``reasoning_effort`` becomes `thinkingConfig`: a budget of `BUDGETS` for Gemini 2.5, a level for what came
   after it, nothing for models that do not think. Thoughts are shown, unless there are to be none or the
   defaults hide them. What cannot be switched off is set to its least. A model is known by its name; one
   without a number is a newest one.
6. Thought signatures, which Gemini issued, go back where they came from: to the call they came with, the
   newest other one to the last text; thoughts themselves do not. Gemini 3 refuses a step whose first call
   has none: one that another backend made gets `UNSIGNED`, Google's word for it.
7. `defaults` are in Gemini's own words and fill what the request leaves out; `generationConfig` and
   `toolConfig` are filled field by field, but of a schema and its type, and of thinking, there is only one.
8. `left_out` names what has no counterpart and is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from understudy.wire.chat import ChatRequest
from understudy.wire.neutral import REFUSED, calls_of, check, parts_of
from understudy.wire.thoughts import parts_left_out, states_of

__all__ = ["BUDGETS", "NAME", "SIGNATURE", "UNSIGNED", "body_of", "left_out"]

NAME = "gemini"
SIGNATURE = "thoughtSignature"
UNSIGNED = "skip_thought_signature_validator"

BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
LEAST_BUDGET = 128  # of Gemini 2.5 Pro, which always thinks
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}

_SAME = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_ALLOWED = {"auto": "VALIDATED", "required": "ANY"}  # modes that take names
_SAID = frozenset(
    {
        *_SAME,
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "response_format",
        "reasoning_effort",
        "tools",
        "tool_choice",
        "service_tier",
        "model",
        "messages",
        "stream",
        "stream_options",
        *REFUSED,
    }
)
_LOST_OF_PARTS = ("cache_control", "detail", "filename")
_NO_FIELDS: Mapping[str, Any] = {}
_MEANS_NOTHING: dict[str, Any] = {
    "parallel_tool_calls": True,
    "modalities": ["text"],
    "store": False,
    "logit_bias": {},
}
_FORMATS = {
    "text": "text/plain",
    "json_object": "application/json",
    "json_schema": "application/json",
}
_SCHEMAS = ("responseSchema", "responseJsonSchema")

_DATA = re.compile(r"data:([^;,]*)(?:;[^,]*?)?;base64,(.*)", re.DOTALL)
_VERSION = re.compile(r"gemini-(?:[a-z]+-)*(\d+)(?:\.(\d+))?")
_NEWEST = (99, 0)
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
}

Part = dict[str, Any]


def body_of(request: ChatRequest, defaults: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The whole body; model and ``stream`` are said by the address. Raises ValueError, TypeError."""
    check(request, "Gemini")
    given = {name: value for name, value in request.fields.items() if value is not None}
    version = _version(model)
    system, contents = _turns(request.messages, version)
    if not contents:
        raise ValueError("Gemini wants a message that is not the system's and not empty (messages)")
    body = {**defaults, "contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if config := _config(request, given, defaults.get("generationConfig") or {}, model):
        body["generationConfig"] = config
    if given.get("tools"):
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in given["tools"]]}]
        if "tool_choice" in given:
            calling = {"functionCallingConfig": _calling(given["tool_choice"])}
            body["toolConfig"] = {**(defaults.get("toolConfig") or {}), **calling}
    if given.get("service_tier") in _TIERS:
        body["serviceTier"] = _TIERS[given["service_tier"]]
    _check(given, version)
    return body


def _check(given: Mapping[str, Any], version: tuple[int, int]) -> None:
    kind = _object(given.get("response_format", {}), "response_format").get("type")
    if given.get("tools") and kind in ("json_object", "json_schema") and version < (3, 0):
        raise ValueError("before Gemini 3 there is no JSON beside tools (response_format)")


def _version(model: str) -> tuple[int, int]:
    """Of a model without a number the newest; of one that is no Gemini 0."""
    name = model.lower()
    matched = _VERSION.search(name)
    if matched:
        return int(matched[1]), int(matched[2] or 0)
    return _NEWEST if "gemini" in name else (0, 0)


# Messages


def _turns(
    messages: Sequence[Mapping[str, Any]], version: tuple[int, int]
) -> tuple[list[Part], list[dict[str, Any]]]:
    """The system's texts, and the turns, whose roles alternate."""
    system: list[Part] = []
    turns: list[dict[str, Any]] = []
    names: dict[str, str] = {}  # of functions, by the call's id
    for message in messages:
        role, parts = _parts(_object(message, "a message"), names, version)
        if role == "system":
            system += parts
        elif turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    for turn in turns:
        turn["parts"].sort(key=lambda part: turn["role"] == "user" and "functionResponse" not in part)
    return system, turns


def _parts(
    message: Mapping[str, Any], names: dict[str, str], version: tuple[int, int]
) -> tuple[str, list[Part]]:
    """Whose turn a message belongs to, and what it adds there."""
    role = message.get("role")
    if role in ("system", "developer"):
        return "system", list(map(_text_alone, _content(message)))
    if role == "user":
        return "user", list(_content(message))
    if role == "assistant":
        return "model", _model_parts(message, names, version)
    if role == "tool":
        return "user", _result(message, names, version)
    raise ValueError(f"Gemini has no messages of role {role!r}")


def _text_alone(part: Part) -> Part:
    if "text" not in part:
        raise ValueError("Gemini's system instruction is text alone")
    return part


def _content(message: Mapping[str, Any]) -> Iterator[Part]:
    for part in parts_of(message):
        said = {"text": part} if isinstance(part, str) else _part(part)
        if said.get("text") != "":
            yield said


def _part(part: Mapping[str, Any]) -> Part:
    kind = _object(part, "a content part").get("type")
    match kind:
        case "text" | "refusal":
            return {"text": _text(part.get(kind), kind)}
        case "image_url":
            return _media(_object(part.get(kind), kind).get("url"), "image_url.url", "image/jpeg")
        case "file":
            return _file(_object(part.get(kind), kind))
        case "input_audio":
            return _audio(_object(part.get(kind), kind))
    raise ValueError(f"Gemini has no content part of type {kind!r}")


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


def _media(url: object, name: str, otherwise: str) -> Part:
    address = _text(url, name)
    if address.startswith(("https://", "http://")):
        ending = re.split("[?#]", address)[0].rpartition(".")[2].lower()
        return {"fileData": {"mimeType": _TYPES.get(ending, otherwise), "fileUri": address}}
    matched = _DATA.fullmatch(address)
    if matched is None:
        raise ValueError(f"{name}: neither an http address nor a base64 data URI")
    return {"inlineData": {"mimeType": matched[1] or otherwise, "data": matched[2]}}


def _file(file: Mapping[str, Any]) -> Part:
    source = next((name for name in ("file_data", "file_url") if name in file), None)
    if source is None:
        raise ValueError("Gemini does not know OpenAI's files by their id")
    return _media(file[source], f"file.{source}", "application/pdf")


def _audio(audio: Mapping[str, Any]) -> Part:
    kind = f"audio/{_text(audio.get('format'), 'input_audio.format')}"
    return {"inlineData": {"mimeType": kind, "data": _text(audio.get("data"), "input_audio.data")}}


# A model's turn, and the results of its calls


def _model_parts(message: Mapping[str, Any], names: dict[str, str], version: tuple[int, int]) -> list[Part]:
    signatures = _signatures(message)
    said = list(_content(message))
    if message.get("refusal"):
        said.append({"text": _text(message["refusal"], "refusal")})
    if "" in signatures:
        _sign_text(said, signatures[""])
    calls = [_call(call, names, signatures) for call in calls_of(message)]
    if calls and version >= (3, 0):
        calls[0].setdefault(SIGNATURE, UNSIGNED)
    return said + calls


def _signatures(message: Mapping[str, Any]) -> dict[str, str]:
    """Those that Gemini issued, by the id of their call, of each the newest."""
    return {state.call: state.value for state in states_of(message, NAME) if state.kind == SIGNATURE}


def _sign_text(said: list[Part], signature: str) -> None:
    last = next((part for part in reversed(said) if "text" in part), None)
    if last is None:
        said.append({"text": "", SIGNATURE: signature})
    else:
        last[SIGNATURE] = signature


def _call(call: Mapping[str, Any], names: dict[str, str], signatures: Mapping[str, str]) -> Part:
    function = _function(call, "a tool call")
    name = _text(function.get("name"), "a function's name")
    call_id = _text(call.get("id"), "a tool call's id")
    names[call_id] = name
    part: Part = {
        "functionCall": {"id": call_id, "name": name, "args": _args(function.get("arguments") or "")}
    }
    if call_id in signatures:
        part[SIGNATURE] = signatures[call_id]
    return part


def _function(tool: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    kind = _object(tool, name).get("type", "function")
    if kind != "function":
        raise ValueError(f"Gemini has nothing like {name} of type {kind!r}")
    return _object(tool.get("function"), "function")


def _args(arguments: object) -> Mapping[str, Any]:
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


def _result(message: Mapping[str, Any], names: Mapping[str, str], version: tuple[int, int]) -> list[Part]:
    call_id = _text(message.get("tool_call_id"), "tool_call_id")
    parts = list(_content(message))
    output = "\n\n".join(part["text"] for part in parts if "text" in part)
    result: Part = {"id": call_id, "name": names[call_id], "response": {"output": output}}
    media = [part for part in parts if "text" not in part]
    inside = [part for part in media if version >= (3, 0) and _goes_inside(part)]
    if inside:
        result["parts"] = inside
    beside = [part for part in media if part not in inside]
    if beside:
        beside.insert(0, {"text": f"From the result of {names[call_id]}:"})
    return [{"functionResponse": result}, *beside]


def _goes_inside(part: Part) -> bool:
    kind: str = part.get("inlineData", {}).get("mimeType", "")
    return kind.startswith("image/") or kind == "application/pdf"


# Tools


def _declaration(tool: Mapping[str, Any]) -> Part:
    function = _function(tool, "a tool")
    declaration: Part = {"name": _text(function.get("name"), "a function's name")}
    if function.get("description"):
        declaration["description"] = function["description"]
    if function.get("parameters") is not None:
        declaration["parametersJsonSchema"] = _object(function["parameters"], "a function's parameters")
    return declaration


def _calling(choice: object) -> Part:
    match choice:
        case str() if choice in _MODES:
            return {"mode": _MODES[choice]}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]},
        }:
            names = [_text(_function(tool, "a tool").get("name"), "a function's name") for tool in tools]
            return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise ValueError(f"Gemini has no such tool_choice: {choice!r}")


# The other fields


def _config(
    request: ChatRequest, given: Mapping[str, Any], defaults: Mapping[str, Any], model: str
) -> dict[str, Any]:
    """The request's `generationConfig` over the defaults'."""
    config = {ours: given[name] for name, ours in _SAME.items() if name in given}
    limit = given.get("max_completion_tokens", given.get("max_tokens"))
    if limit is not None:
        config["maxOutputTokens"] = limit
    if "stop" in given:
        config["stopSequences"] = [given["stop"]] if isinstance(given["stop"], str) else [*given["stop"]]
    if "n" in given:
        config["candidateCount"] = request.choices
    if "seed" in given:
        config["seed"] = _seed(given["seed"])
    if given.get("logprobs"):
        config["responseLogprobs"] = True
        if given.get("top_logprobs"):
            config["logprobs"] = given["top_logprobs"]
    if "response_format" in given:
        config |= _format(_object(given["response_format"], "response_format"))
        defaults = {name: value for name, value in defaults.items() if name not in _SCHEMAS}
    if thinking := _thinking(given.get("reasoning_effort"), model):
        shown = (defaults.get("thinkingConfig") or {}).get("includeThoughts")
        config["thinkingConfig"] = thinking if shown is None else {**thinking, "includeThoughts": shown}
    return {**defaults, **config}


def _seed(seed: int) -> int:
    """Gemini's has 32 bits; a longer one still means the same answer again."""
    return seed if -(2**31) <= seed < 2**31 else seed & 0x7FFFFFFF


def _format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    kind = _text(wanted.get("type"), "response_format.type")
    if kind not in _FORMATS:
        raise ValueError(f"Gemini has no such response_format: {kind!r}")
    said: dict[str, Any] = {"responseMimeType": _FORMATS[kind]}
    schema = _object(wanted.get("json_schema", {}), "response_format.json_schema").get("schema")
    if kind == "json_schema" and schema is not None:
        said["responseJsonSchema"] = _object(schema, "response_format.json_schema.schema")
    return said


def _thinking(effort: str | None, model: str) -> dict[str, Any]:
    """There are four cases: not said, or in a word we don't know; no thinking model; a budget; a level."""
    version = _version(model)
    if effort not in BUDGETS or version < (2, 5):
        return {}
    is_pro = "pro" in re.split("[^a-z]", model.lower())
    if version < (3, 0):
        least = LEAST_BUDGET if is_pro else 0
        said: dict[str, Any] = {"thinkingBudget": max(BUDGETS[effort], least)}
    else:
        said = {"thinkingLevel": _level(_LEVELS.get(effort, "HIGH"), is_pro, version)}
    return {**said, "includeThoughts": effort != "none"}


def _level(level: str, is_pro: bool, version: tuple[int, int]) -> str:
    """Pro models have no minimal level, and the first one no medium."""
    if is_pro and level == "MINIMAL":
        return "LOW"
    return "HIGH" if is_pro and level == "MEDIUM" and version == (3, 0) else level


# What is left out


def left_out(request: ChatRequest, defaults: Mapping[str, Any] = _NO_FIELDS) -> tuple[str, ...]:
    """The names of what the request says and Gemini is not told, each once."""
    parts = parts_left_out(request.messages, NAME, _LOST_OF_PARTS)
    return (*dict.fromkeys(_fields_lost(request.fields)), *parts)


def _fields_lost(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if name not in _SAID and value is not None and value != _MEANS_NOTHING.get(name):
            yield name
    if fields.get("service_tier") not in (None, "auto", *_TIERS):
        yield "service_tier"
    if fields.get("reasoning_effort") not in (None, *BUDGETS):
        yield "reasoning_effort"
    for tool in fields.get("tools") or ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping) and function.get("strict"):
            yield "tools[].strict"
