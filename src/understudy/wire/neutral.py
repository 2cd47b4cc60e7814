"""A request's neutral words, as every format but OpenAI chat's own reads them: checked, and some refused.

1. Fields that are known have to be of their types; what is missing or null says nothing.
2. What no other format can say and must not be dropped, because it changes what is asked, is refused: spoken
   answers, and the way of calling functions that came before tools.
3. A tool's result answers a call that came before it.
4. A content is a string, a list of parts, or nothing; calls are a list, or nothing.

Whatever is wrong raises ValueError that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from understudy.wire.chat import ChatRequest

__all__ = ["REFUSED", "calls_of", "check", "parts_of"]

REFUSED = ("audio", "function_call", "functions")
"""Fields that are refused if they say anything."""

_NOTHING: tuple[object, ...] = (None, [], {})


class _Known(msgspec.Struct, gc=False):
    """Rule 1."""

    frequency_penalty: float | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    modalities: list[str] | None = None
    n: int | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    tools: list[Any] | None = None
    top_k: int | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: str | None = None


def check(request: ChatRequest, who: str) -> None:
    """Rules 1 to 3; `who` is the format that refuses."""
    try:
        known = msgspec.convert(request.fields, _Known)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        raise ValueError(f"{path.removesuffix('`')}: {said[:1].lower()}{said[1:]}") from None
    _refuse(request, known, who)
    _check_results(request.messages)


def _refuse(request: ChatRequest, known: _Known, who: str) -> None:
    named = next((name for name in REFUSED if request.fields.get(name) not in _NOTHING), None)
    if named is not None:
        raise ValueError(f"{who} has nothing like {named}")
    if "audio" in (known.modalities or ()):
        raise ValueError(f"{who} has nothing like spoken answers (modalities)")
    if any(isinstance(message, Mapping) and message.get("function_call") for message in request.messages):
        raise ValueError(f"{who} has nothing like a message's function_call: it wants tool_calls")


def _check_results(messages: Sequence[Any]) -> None:
    called: set[object] = set()
    for message in messages:
        if not isinstance(message, Mapping):
            continue  # which the encoder refuses
        call_id = message.get("tool_call_id")
        if message.get("role") == "tool" and isinstance(call_id, str) and call_id not in called:
            raise ValueError(f"tool_call_id {call_id!r} is not that of a call before it")
        if message.get("role") == "assistant":
            called.update(call["id"] for call in calls_of(message) if _has_id(call))


def _has_id(call: object) -> bool:
    return isinstance(call, Mapping) and isinstance(call.get("id"), str)


def calls_of(message: Mapping[str, Any]) -> Sequence[Any]:
    """An assistant's calls, whatever each of them is."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple | None):
        raise ValueError("tool_calls must be a list")
    return calls or ()


def parts_of(message: Mapping[str, Any]) -> Sequence[Any]:
    """The parts of a content, whatever each of them is; a string is one of text."""
    content = message.get("content")
    if content is None:
        return ()
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    if isinstance(content, list | tuple):
        return content
    raise ValueError("content must be a string or a list of parts")
