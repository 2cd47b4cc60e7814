"""The response object, and the items of its output, as a Responses client reads them.

1. What the request said is repeated as it came; nothing is stored, whatever it said of that.
2. State goes in the place of ``encrypted_content``: Responses' own as it was issued, another format's as one
   word. Thoughts without state have none.
3. An answer that a limit or a policy cut short is incomplete.
4. Ids are of the letters and the length that Responses takes when they come back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from understudy.wire.chat import Usage
from understudy.wire.dialect import ClientRequest, ErrorReply
from understudy.wire.responses_state import NAME, item_of
from understudy.wire.state import ProviderState, tagged

__all__ = [
    "Item",
    "answer_id",
    "citation",
    "custom_tools",
    "incomplete_reason",
    "item_id",
    "reasoning_item",
    "response",
]

Item = dict[str, Any]

LONGEST_STEM = 40

_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_INCOMPLETE = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "model_length": "max_output_tokens",
    "content_filter": "content_filter",
    "prohibited_content": "content_filter",
    "safety": "content_filter",
    "blocklist": "content_filter",
    "recitation": "content_filter",
    "spii": "content_filter",
}
_ERRORS = {
    "content_filter": "invalid_prompt",
    "context_length": "context_length_exceeded",
    "quota": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
}
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def answer_id(name: str | None, request: ClientRequest) -> str:
    """An id as those of responses look, from the backend's own if there is one."""
    name = name or request.id
    return name if name.startswith("resp_") else f"resp_{name}"


def item_id(kind: str, number: int, request: ClientRequest) -> str:
    """Rule 4: of the request's own id only the end, if it is long."""
    return f"{kind}_{_NOT_IN_AN_ID.sub('_', request.id)[-LONGEST_STEM:]}_{number}"


def incomplete_reason(finish_reason: str | None) -> str | None:
    """Rule 3: why, or None for an answer that is complete."""
    return _INCOMPLETE.get((finish_reason or "").lower())


def response(
    request: ClientRequest,
    status: str,
    *,
    name: str,
    model: str,
    output: Sequence[Item] = (),
    usage: Usage | None = None,
    tier: str | None = None,
    incomplete: str | None = None,
    error: ErrorReply | None = None,
) -> dict[str, Any]:
    """The response object at one moment. `name` is its id."""
    return {
        "id": name,
        "object": "response",
        "created_at": request.created,
        "status": status,
        "background": False,
        "error": None if error is None else _error(error),
        "incomplete_details": None if incomplete is None else {"reason": incomplete},
        "model": model,
        "output": output,
        "previous_response_id": None,
        "service_tier": tier,
        "store": False,
        "usage": None if usage is None else _usage(usage),
        **{field: _repeated(request, field, default) for field, default in _REPEATED.items()},
    }


def _repeated(request: ClientRequest, field: str, default: Any) -> Any:
    raw = request.fields.get(field)
    return default if raw is None or bytes(raw) == b"null" else raw


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _error(reply: ErrorReply) -> dict[str, Any]:
    """The error of a response that failed: its code in the words of the protocol, its kind as the type."""
    named = {"message": reply.message, "type": reply.code, "param": reply.param}
    return {**reply.details, **named, "code": _ERRORS.get(reply.code, "server_error")}


def reasoning_item(name: str, text: str, state: ProviderState | None) -> Item:
    """Rule 2."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: Item = {"type": "reasoning", "id": name, "summary": summary}
    if state is not None:
        own = state.issuer == NAME
        item["encrypted_content"] = item_of(state)["encrypted_content"] if own else tagged(state)
    return item


def citation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation in OpenAI chat's shape in that of Responses, where it says its own type."""
    kind = annotation["type"]
    return {"type": kind, **annotation[kind]}


def custom_tools(request: ClientRequest) -> frozenset[str]:
    """The names of the request's tools whose input is plain text."""
    tools = msgspec.json.decode(request.fields["tools"]) if "tools" in request.fields else None
    custom = [tool for tool in tools or () if isinstance(tool, dict) and tool.get("type") == "custom"]
    return frozenset(name for tool in custom if isinstance(name := tool.get("name"), str))
