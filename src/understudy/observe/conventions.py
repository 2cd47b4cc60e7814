"""What a trace calls things: OpenTelemetry's semantic conventions for generative AI, and our own words.

1. Names that the conventions have are theirs; everything else is below ``understudy.``.
2. A span's error says the kind of failure and the status. What a provider said about it may quote the prompt:
   it is content. Of failures that no provider worded, the message is told.
3. Content is in the conventions' shape: messages of parts. Of a part that is neither text nor about a tool
   only its type is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from understudy.core.attempt import Attempt
from understudy.core.events import (
    BackendBenched,
    BackendSkipped,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Event,
    Hedged,
    Recovered,
    RecoveryStarted,
    WaitingForCapacity,
)
from understudy.core.outcome import Abandoned, Failure
from understudy.errors import FailureKind
from understudy.runtime.backend import Backend
from understudy.wire.chat import ChatRequest, Usage
from understudy.wire.seam import Said

Value = str | int | float | bool | list[str]
Attributes = dict[str, Value]

# The conventions' names (rule 1).
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - tokens of text
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
HTTP_STATUS = "http.response.status_code"
ERROR = "error.type"
CHAT = "chat"

CLIENT_DURATION = "gen_ai.client.operation.duration"
CLIENT_TOKENS = "gen_ai.client.token.usage"
CLIENT_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
SERVER_DURATION = "gen_ai.server.request.duration"
SERVER_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105

# Ours.
PROFILE = "understudy.profile"
POLICY = "understudy.policy"
REQUEST_ID = "understudy.request.id"
BACKEND = "understudy.backend"
OUTCOME = "understudy.outcome"
ATTEMPTS = "understudy.attempts"
FAILED_OVER = "understudy.failed_over"
ATTEMPT = "understudy.attempt"
PROBE = "understudy.probe"
HEDGE = "understudy.hedge"
RECOVERY = "understudy.recovery"
RECONNECTED = "understudy.reconnected"
LEFT_OUT = "understudy.left_out"
DROPPED = "understudy.dropped_field"
ESTIMATED = "understudy.usage.estimated"
FIRST_CONTENT = "understudy.first_content"

# The buckets that the conventions advise.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKENS = tuple(4**power for power in range(14))

_PROVIDERS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
}
_PROVIDER_SUFFIXES = {
    ".openai.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
    ".aiplatform.googleapis.com": "gcp.vertex_ai",
    ".amazonaws.com": "aws.bedrock",
}
_FORMATS = {
    "openai": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
}
_PORTS = {"http": 80, "https": 443}

# Whose messages are our own words (rule 2).
_WORDED_BY_US = frozenset(
    {FailureKind.CONNECT, FailureKind.RESET, FailureKind.TIMEOUT, FailureKind.STALL, FailureKind.TRUNCATED}
)


class Place(NamedTuple):
    """Where a backend is."""

    address: str
    port: int | None


@lru_cache(1024)
def place(base_url: str) -> Place:
    """Of the URL nothing else is told: there may be a key in it."""
    url = urlsplit(base_url)
    return Place(url.hostname or "", url.port or _PORTS.get(url.scheme))


@lru_cache(1024)
def provider(base_url: str, wire_format: str) -> str:
    """The conventions' name of whoever answers there; where that is unknown, of whose format is spoken."""
    host = place(base_url).address
    named = _PROVIDERS.get(host)
    suffixes = (name for suffix, name in _PROVIDER_SUFFIXES.items() if host.endswith(suffix))
    return named or next(suffixes, None) or _FORMATS.get(wire_format, wire_format)


def of_backend(backend: Backend) -> Attributes:
    """What metrics tell apart backends by, and spans begin with."""
    where = place(backend.base_url)
    attributes: Attributes = {
        OPERATION: CHAT,
        PROVIDER: provider(backend.base_url, backend.format.NAME),
        REQUEST_MODEL: backend.model,
        SERVER_ADDRESS: where.address,
        BACKEND: backend.name,
    }
    if where.port is not None:
        attributes[SERVER_PORT] = where.port
    return attributes


def of_attempt(attempt: Attempt) -> Attributes:
    """At its beginning."""
    attributes: Attributes = {ATTEMPT: attempt.number, REQUEST_STREAM: attempt.stream}
    if attempt.permit.probe:
        attributes[PROBE] = True
    if attempt.is_hedge:
        attributes[HEDGE] = True
    if attempt.way is not None:
        attributes[RECOVERY] = str(attempt.way)
    return attributes


def of_end(attempt: Attempt) -> Attributes:
    """At its end."""
    attributes: Attributes = {OUTCOME: outcome_word(attempt)}
    if attempt.status is not None:
        attributes[HTTP_STATUS] = attempt.status
    if isinstance(attempt.outcome, Failure):
        attributes[ERROR] = str(attempt.outcome.kind)
    if attempt.committed_at is not None:
        attributes[FIRST_CHUNK] = attempt.committed_at - attempt.started_at
    if attempt.reconnected:
        attributes[RECONNECTED] = True
    if attempt.left_out:
        attributes[LEFT_OUT] = list(attempt.left_out)
    if attempt.dropped_field:
        attributes[DROPPED] = attempt.dropped_field
    return attributes


def outcome_word(attempt: Attempt) -> str:
    """As in a trail; of two at once ``lost`` is the one that the other was faster than."""
    is_lost = isinstance(attempt.outcome, Abandoned) and attempt.outcome.lost
    return "lost" if is_lost else attempt.outcome_word()


def of_answer(model: str | None, finish_reason: str | None, usage: Usage | None) -> Attributes:
    attributes: Attributes = {}
    if model is not None:
        attributes[RESPONSE_MODEL] = model
    if finish_reason is not None:
        attributes[FINISH_REASONS] = [finish_reason]
    if usage is not None:
        attributes |= _of_usage(usage)
    return attributes


def _of_usage(usage: Usage) -> Attributes:
    counts = {
        CACHED_TOKENS: usage.cached_tokens,
        CACHE_WRITE_TOKENS: usage.cache_write_tokens,
        REASONING_TOKENS: usage.reasoning_tokens,
        ESTIMATED: usage.estimated,
    }
    told = {name: count for name, count in counts.items() if count}
    return {INPUT_TOKENS: usage.input_tokens, OUTPUT_TOKENS: usage.output_tokens, **told}


def failure_words(failure: Failure, *, with_content: bool) -> str:
    """Rule 2."""
    kind = str(failure.kind) if failure.status is None else f"{failure.kind} ({failure.status})"
    if with_content or failure.kind in _WORDED_BY_US:
        return f"{kind}: {failure.message}"
    return kind


# Events of a request's span

_EVENTS: dict[type[Event], tuple[str, Callable[[Any], Mapping[str, Any]]]] = {
    BackendSkipped: (
        "understudy.skipped",
        lambda event: {BACKEND: event.backend, "understudy.reason": str(event.reason)},
    ),
    BackendBenched: (
        "understudy.benched",
        lambda event: {BACKEND: event.backend, "understudy.seconds": event.seconds},
    ),
    BreakerOpened: (
        "understudy.circuit_opened",
        lambda event: {BACKEND: event.backend, "understudy.failures": event.failures},
    ),
    BreakerHalfOpened: ("understudy.circuit_half_opened", lambda event: {BACKEND: event.backend}),
    BreakerClosed: ("understudy.circuit_closed", lambda event: {BACKEND: event.backend}),
    WaitingForCapacity: (
        "understudy.waiting",
        lambda event: {"understudy.seconds": max(0.0, event.until - event.at)},
    ),
    Hedged: (
        "understudy.hedged",
        lambda event: {
            BACKEND: event.backend,
            "understudy.late": event.late,
            "understudy.after": event.after,
        },
    ),
    RecoveryStarted: (
        "understudy.recovery_started",
        lambda event: {
            BACKEND: event.backend,
            "understudy.broken": event.broken,
            "understudy.tokens": event.tokens,
            RECOVERY: event.way,
        },
    ),
    Recovered: (
        "understudy.recovered",
        lambda event: {BACKEND: event.backend, "understudy.after": event.after},
    ),
}


def event_words(event: Event) -> tuple[str, Mapping[str, Any]] | None:
    """A fact as an event of the request's span, with its name; None for what is no news there."""
    found = _EVENTS.get(type(event))
    return None if found is None else (found[0], found[1](event))


# Content (rule 3)


def input_messages(chat: ChatRequest) -> str:
    return _json(_message(message) for message in chat.messages)


def output_messages(said: Mapping[int, Said], finish_reason: str | None) -> str:
    return _json(
        {"role": "assistant", "parts": list(_said_parts(one)), "finish_reason": finish_reason or ""}
        for _, one in sorted(said.items())
    )


def _json(messages: Iterable[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(list(messages)).decode()


def _said_parts(said: Said) -> Iterable[Mapping[str, str]]:
    if said.reasoning:
        yield {"type": "reasoning", "content": said.reasoning}
    if text := said.text + said.refusal:
        yield {"type": "text", "content": text}


def _message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
        return {"role": role, "parts": [answer]}
    parts = [{"type": "text", "content": content}] if isinstance(content, str) else map(_part, content or ())
    return {"role": role, "parts": [*parts, *map(_call, message.get("tool_calls") or ())]}


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part.get("type") == "text":
        return {"type": "text", "content": part.get("text")}
    return {"type": part.get("type")}


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function") or {}
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments"),
    }
