"""The shapes of what the gateway reads and writes, as JSON Schema.

1. What we write is described in whole: every field that is always there is required.
2. What passes through, requests and answers of backends, is described as far as we look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from understudy.core.breaker import State
from understudy.core.history import LENGTH, SECONDS
from understudy.core.policies import BY_NAME
from understudy.core.settings import REGISTRY, Scope, Source
from understudy.errors import FailureKind, SkipReason
from understudy.library.balancer import Action

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_AMOUNT: Schema = {"type": "number", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}
_FLAG: Schema = {"type": ["boolean", "null"]}
_OBJECT: Schema = {"type": "object"}
_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}


def named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def examples(values: Sequence[str]) -> Schema:
    return {"examples": list(values)} if values else {}


def schemas(models: Sequence[str]) -> dict[str, Schema]:
    """Every shape by its name. `models` are examples of what may be asked for."""
    return {
        **_requests(models),
        **_answers(),
        **_errors(),
        **_trails(),
        **_live(),
        **_stats(),
        **_operators(),
    }


def _requests(models: Sequence[str]) -> dict[str, Schema]:
    """Rule 2: other fields go to the backend as they are."""
    common: dict[str, Schema] = {
        "model": {"type": "string", "minLength": 1} | examples(models),
        "messages": {"type": "array", "minItems": 1, "items": _OBJECT},
        "stream": _FLAG,
    }
    options: Schema = {"type": ["object", "null"], "properties": {"include_usage": _FLAG}}
    more: dict[str, Schema] = {"n": {"type": ["integer", "null"], "minimum": 1}, "stream_options": options}
    return {
        "ChatRequest": _open({**common, **more}, ["model", "messages"]),
        "MessagesRequest": _open(common, ["model", "messages"]),
        "ResponsesRequest": _open(_responses_request(common), ["model", "input"]),
    }


def _responses_request(common: dict[str, Schema]) -> dict[str, Schema]:
    """What would need stored responses can only be left out, or be null."""
    items = {"type": "array", "minItems": 1, "items": _OBJECT}
    return {
        "model": common["model"],
        "stream": common["stream"],
        "input": {"anyOf": [{"type": "string", "minLength": 1}, items]},
        "store": _FLAG,
        "background": {"enum": [False, None]},
        "previous_response_id": {"type": "null"},
        "conversation": {"type": "null"},
    }


def _answers() -> dict[str, Schema]:
    model = _whole(id=_TEXT, object=_const("model"), created=_COUNT, owned_by=_TEXT)
    entry = _whole(type=_const("model"), id=_TEXT, display_name=_TEXT, created_at=_INSTANT)
    first = {"type": ["string", "null"]}
    listing = _whole(data=_list(entry), has_more=_const(False), first_id=first, last_id=first)
    return {
        "ChatCompletion": _open({"choices": _list(_OBJECT)}, ["choices"]),
        "Message": _open({"content": _list(_OBJECT)}, ["content"]),
        "Response": _open({"output": _list(_OBJECT)}, ["output"]),
        "Events": {"description": "Server-sent events in the format's own words."},
        "TokenCount": _whole(input_tokens=_COUNT),
        "Model": {"anyOf": [model, entry]},
        "Models": {"anyOf": [_whole(object=_const("list"), data=_list(model)), listing]},
        "Health": _whole(status={"enum": ["alive", "ready", "draining"]}),
        "Exposition": {"type": "string", "description": "Prometheus text format."},
        "Document": _OBJECT,
        "File": {"description": "As a browser takes it."},
    }


def _errors() -> dict[str, Schema]:
    details = {
        "causes": _list(named("Cause")),
        "skipped": _list(named("Skip")),
        "retry_after_s": _AMOUNT,
    }
    openai = _partly(details, message=_TEXT, type=_TEXT, code=_TEXT, param={"type": ["string", "null"]})
    anthropic = _partly({**details, "param": _TEXT}, message=_TEXT, type=_TEXT, code=_TEXT)
    return {
        "OpenAIError": _whole(error=openai),
        "AnthropicError": _whole(type=_const("error"), error=anthropic, request_id=_TEXT),
        "Error": {"anyOf": [named("OpenAIError"), named("AnthropicError")]},
        "PassedOn": {"anyOf": [named("Error"), _open({}, ["error"])]},
        "Cause": _whole(
            backend=_TEXT,
            kind=_one_of(FailureKind),
            status={"type": ["integer", "null"]},
            message=_TEXT,
        ),
    }


def _trails() -> dict[str, Schema]:
    some = {"type": ["number", "null"], "minimum": 0}
    optional = {
        "message": _TEXT,
        "reconnected": _const(True),
        "malformed_events": _COUNT,
        "dropped_field": _TEXT,
        "left_out": _list(_TEXT),
        "answer_limit": _COUNT,
        "recovery": _TEXT,
        "hedge": _const(True),
        "lost": _const(True),
        "patience_ms": _AMOUNT,
        "cost_usd": _AMOUNT,
        "cost_estimated": _const(True),
    }
    return {
        "Attempt": _partly(
            optional,
            backend=_TEXT,
            attempt=_COUNT,
            outcome=_one_of(["running", "success", "refused", *FailureKind]),
            status={"type": ["integer", "null"]},
            started_ms=_AMOUNT,
            duration_ms=some,
            first_content_ms=some,
        ),
        "Skip": _whole(backend=_TEXT, skipped=_one_of(SkipReason), until_ms=some),
        "Summary": _whole(**_summary()),
        "Requests": _whole(requests=_list(named("Summary"))),
        "Request": _whole(
            **_summary(),
            trail=_list({"anyOf": [named("Attempt"), named("Skip")]}),
            trail_words=_list(_TEXT),
        ),
    }


def _summary() -> dict[str, Schema]:
    return {
        "id": _TEXT,
        "profile": _TEXT,
        "model": _TEXT,
        "status": _one_of(["running", "answered", "failed", "cancelled"]),
        "backend": {"type": ["string", "null"]},
        "began": {"type": "number", "description": "Seconds since 1970."},
        "duration_ms": {"type": ["number", "null"], "minimum": 0},
        "cost_usd": {"type": ["number", "null"], "minimum": 0},
        "cost_partial": _BOOLEAN,
        "words": {"type": "string", "description": "What was decided, on one line."},
    }


def _live() -> dict[str, Schema]:
    some = {"type": ["number", "null"], "minimum": 0}
    counts = dict.fromkeys(("ok", "failed", "refused"), _COUNT)
    bucket = _whole(**counts, p95_first_content_ms=some, by_kind=_map(_COUNT))
    strip = {
        **_list({"anyOf": [bucket, {"type": "null"}]}),
        "minItems": LENGTH,
        "maxItems": LENGTH,
        "description": f"{SECONDS:g} s each, the newest last; null where nothing happened.",
    }
    member = _whole(model={"type": ["string", "null"]}, strip=strip)
    profile = _whole(
        policy=_one_of(BY_NAME),
        default=_BOOLEAN,
        in_flight=_COUNT,
        waiting=_COUNT,
        stats=named("Stats"),
        members=_map(member),
    )
    return {
        "Live": {
            "description": "Events: hello, picture, decision, change, missed, end.",
            "anyOf": [named("Picture"), named("Decision"), named("Change")],
        },
        "Picture": _whole(
            at=_INSTANT,
            worker={"type": ["string", "null"]},
            draining=_BOOLEAN,
            profiles=_map(profile),
        ),
        "Decision": _whole(at=_INSTANT, **_summary()),
        "Change": _whole(at=_INSTANT, profile=_TEXT, backend=_TEXT, words=_TEXT),
    }


def _stats() -> dict[str, Schema]:
    some = {"type": ["number", "null"], "minimum": 0}
    results = ("total_requests", "answered", "failed", "cancelled", "in_flight", "failed_over", "waiting")
    pool = (*results, "recovered", "hedged", "unretried", "panicked")
    answerer = {"worker": {"anyOf": [_COUNT, _TEXT]}, "workers": _COUNT}  # of several
    return {
        "AllStats": _partly(answerer, profiles=_map(named("Stats"))),
        "Stats": _partly(
            answerer,
            profile=_TEXT,
            policy=_one_of(BY_NAME),
            **dict.fromkeys(pool, _COUNT),
            **_bill(),
            backends=_map(named("Backend")),
        ),
        "Backend": _backend(),
        "Percentiles": _whole(p50=some, p95=some, p99=some),
        "CircuitBreaker": _whole(
            state=_one_of(State),
            forced=_BOOLEAN,
            failures=_COUNT,
            opened_at=_INSTANT,
            next_probe_in_ms=some,
            last_failure=_INSTANT,
        ),
    }


def _backend() -> Schema:
    results = ("requests", "successes", "failures", "timeouts", "refused", "cancelled", "in_flight")
    attempts = (*results, "recovered", "hedged", "lost", "broken")
    priced = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")
    tokens = ("tokens", "input_tokens", "output_tokens", *priced, "estimated", "malformed_events")
    some = {"type": ["number", "null"], "minimum": 0}
    return _whole(
        **dict.fromkeys([*attempts, *tokens], _COUNT),
        total_latency_ms=_AMOUNT,
        avg_latency_ms=some,
        latency_ms=named("Percentiles"),
        first_content_ms=named("Percentiles"),
        tpm=_AMOUNT,
        serving_rate=some,
        by_kind=_map(_COUNT),
        refused_by_kind=_map(_COUNT),
        skips=_map(_COUNT),
        bench_remaining_ms=_AMOUNT,
        problem={"type": ["string", "null"]},
        drained=_BOOLEAN,
        load_ms=some,
        exhausted_ms=_AMOUNT,
        ceilings=_map(_whole(used=_COUNT, limit=_COUNT)),
        slow_start={"anyOf": [_whole(share=_AMOUNT, at_once=_COUNT, remaining_ms=_AMOUNT), {"type": "null"}]},
        patience_ms=_map(_AMOUNT),
        **_bill(),
        circuit_breaker=named("CircuitBreaker"),
    )


def _bill() -> dict[str, Schema]:
    """Dollars are null where no price is known."""
    some = {"type": ["number", "null"], "minimum": 0}
    dollars = dict.fromkeys(("cost_usd", "wasted_usd", "estimated_usd"), some)
    return {**dollars, "cost_partial": _BOOLEAN, "unpriced": _COUNT}


def _operators() -> dict[str, Schema]:
    return {
        "Action": _one_of(get_args(Action)),
        "Acted": _whole(backend=_TEXT, action=named("Action"), stats=named("Backend")),
        "Reloaded": _whole(profiles=_list(_TEXT)),
        "NewValue": _open({"value": {}}, ["value"]),
        "SettingName": _one_of(row.key for row in REGISTRY if row.scope is not Scope.MEMBER),
        "Setting": _whole(value={}, source=_one_of(Source)),
        "Settings": _map(named("Setting")),
    }


# Kinds of schemas


def _whole(**fields: Schema) -> Schema:
    """An object with exactly these fields."""
    return _partly({}, **fields)


def _partly(optional: dict[str, Schema], /, **required: Schema) -> Schema:
    """An object with these fields, the optional ones where there is something to say."""
    return {**_open({**required, **optional}, list(required)), "additionalProperties": False}


def _open(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _one_of(words: Iterable[str]) -> Schema:
    return {"enum": [str(word) for word in words]}


def _const(value: object) -> Schema:
    return {"const": value}
