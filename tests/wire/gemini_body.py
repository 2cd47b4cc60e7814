"""A reader of Gemini request bodies, for tests alone: written from Google's reference, not from our encoder.

It gives back a request in neutral words, with every content as a list of parts.
"""

from __future__ import annotations

import json
from typing import Any

Part = dict[str, Any]

_FIELDS = {
    "maxOutputTokens": "max_completion_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "candidateCount": "n",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_CHOICES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_BUDGETS = {0: "none", 1024: "low", 8192: "medium", 24576: "high"}
DUMMY = "skip_thought_signature_validator"


def read(body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages and the other fields."""
    said = json.loads(body)
    messages = []
    if "systemInstruction" in said:
        messages.append({"role": "system", "content": [_part(p) for p in said["systemInstruction"]["parts"]]})
    for turn in said["contents"]:
        messages += _model(turn["parts"]) if turn["role"] == "model" else _user(turn["parts"])
    return messages, _fields(said)


def _model(parts: list[Part]) -> list[dict[str, Any]]:
    message: dict[str, Any] = {"role": "assistant"}
    states = []
    for part in parts:
        if call := part.get("functionCall"):
            function = {"name": call["name"], "arguments": json.dumps(call["args"])}
            entry = {"id": call["id"], "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(entry)
        elif part.get("text") != "":
            message.setdefault("content", []).append(_part(part))
        if (signature := part.get("thoughtSignature", DUMMY)) != DUMMY:
            of_call = {"call": part["functionCall"]["id"]} if "functionCall" in part else {}
            kind = "thoughtSignature"
            states.append({"issuer": "gemini", "kind": kind, "value": signature, **of_call})
    return [{**message, "provider_state": states} if states else message]


def _user(parts: list[Part]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for part in parts:
        if result := part.get("functionResponse"):
            content = [{"type": "text", "text": result["response"]["output"]}]
            content += [_part(inner) for inner in result.get("parts", ())]
            messages.append({"role": "tool", "tool_call_id": result["id"], "content": content})
    if rest := [_part(part) for part in parts if "functionResponse" not in part]:
        messages.append({"role": "user", "content": rest})
    return messages


def _part(part: Part) -> Part:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if file := part.get("fileData"):
        url = file["fileUri"]
        return _medium(file["mimeType"], url, url)
    blob = part["inlineData"]
    return _medium(blob["mimeType"], f"data:{blob['mimeType']};base64,{blob['data']}", blob["data"])


def _medium(kind: str, url: str, data: str) -> Part:
    family, _, form = kind.partition("/")
    if family == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if family == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    return {"type": "file", "file": {"file_data": url}}


def _fields(said: dict[str, Any]) -> dict[str, Any]:
    config = said.get("generationConfig", {})
    fields = {_FIELDS[name]: value for name, value in config.items() if name in _FIELDS}
    if config.get("responseMimeType") == "application/json":
        schema = config.get("responseJsonSchema")
        fields["response_format"] = (
            {"type": "json_schema", "json_schema": {"schema": schema}} if schema else {"type": "json_object"}
        )
    if thinking := config.get("thinkingConfig"):
        level = thinking.get("thinkingLevel")
        fields["reasoning_effort"] = level.lower() if level else _BUDGETS[thinking["thinkingBudget"]]
    if "tools" in said:
        declarations = [tool for group in said["tools"] for tool in group["functionDeclarations"]]
        fields["tools"] = [{"type": "function", "function": _function(tool)} for tool in declarations]
    if calling := said.get("toolConfig", {}).get("functionCallingConfig"):
        fields["tool_choice"] = _choice(calling)
    if "serviceTier" in said:
        fields["service_tier"] = {"standard": "default"}.get(said["serviceTier"], said["serviceTier"])
    return fields


def _function(tool: Part) -> Part:
    names = {"name": "name", "description": "description", "parametersJsonSchema": "parameters"}
    return {ours: tool[theirs] for theirs, ours in names.items() if theirs in tool}


def _choice(calling: Part) -> Any:
    names = calling.get("allowedFunctionNames")
    if not names:
        return _CHOICES[calling["mode"]]
    if calling["mode"] == "ANY" and len(names) == 1:
        return {"type": "function", "function": {"name": names[0]}}
    mode = {"ANY": "required", "VALIDATED": "auto"}[calling["mode"]]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
