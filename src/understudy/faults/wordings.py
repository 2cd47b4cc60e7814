"""How providers word their errors: the status and the body that each really sends.

One row per provider and cause. The bodies are literal, so that the classifier they are meant for
meets what it will meet in the field, and not a copy of its own table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from understudy.faults.json_bytes import dump


@dataclass(frozen=True, slots=True)
class Wording:
    """One provider's error. `error` is what its stream would carry, too."""

    name: str
    status: int
    meaning: str
    value: Any
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        return dump(self.value)


def _openai(message: str, kind: str | None, code: Any = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_000000000000"}


def _gemini(code: int, message: str, status: str, *details: Mapping[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**error, "details": [*details]} if details else error}


def _rpc(kind: str, **fields: Any) -> dict[str, Any]:
    """A detail of a Gemini error."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def _gemini_quota(metric: str, quota: str, delay: str) -> dict[str, Any]:
    """A rate limit and a used up quota differ only in the name of the quota and in the delay."""
    metric = f"generativelanguage.googleapis.com/{metric}"
    dimensions = {"location": "global", "model": "gemini-2.5-flash"}
    violation = {"quotaMetric": metric, "quotaId": quota, "quotaDimensions": dimensions, "quotaValue": "10"}
    link = {"description": "Learn more about Gemini API quotas", "url": f"{GEMINI_DOCS}/rate-limits"}
    return _gemini(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to: {GEMINI_DOCS}/rate-limits.\n"
        f"* Quota exceeded for metric: {metric}, limit: 10, model: gemini-2.5-flash\n"
        f"Please retry in {delay}.",
        "RESOURCE_EXHAUSTED",
        _rpc("QuotaFailure", violations=[violation]),
        _rpc("Help", links=[link]),
        _rpc("RetryInfo", retryDelay=delay),
    )


def _vllm(code: int, message: str, kind: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message, "code": code}
    return {"error": {**error, "metadata": metadata} if metadata else error, "user_id": "user_0"}


GEMINI_DOCS = "https://ai.google.dev/gemini-api/docs"

_RULES = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"filtered": False, "detected": False},
    "violence": {"filtered": True, "severity": "medium"},
}

_ROWS = (
    # Something is wrong at the provider.
    Wording(
        "openai-server",
        500,
        "OpenAI: a fault of its own",
        _openai("The server had an error while processing your request. Sorry about that!", "server_error"),
    ),
    Wording(
        "openai-overloaded",
        503,
        "OpenAI: overloaded",
        _openai("That model is currently overloaded with other requests.", "server_error"),
    ),
    Wording(
        "anthropic-server",
        500,
        "Anthropic: a fault of its own",
        _anthropic("Internal server error", "api_error"),
    ),
    Wording(
        "anthropic-overloaded",
        529,
        "Anthropic: overloaded",
        _anthropic("Overloaded", "overloaded_error"),
    ),
    Wording(
        "gemini-server",
        500,
        "Gemini: a fault of its own",
        _gemini(
            500,
            "An internal error has occurred. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting",
            "INTERNAL",
        ),
    ),
    Wording(
        "gemini-deadline",
        504,
        "Gemini: not done in time",
        _gemini(504, "The request timed out. Please try again.", "DEADLINE_EXCEEDED"),
    ),
    Wording(
        "gemini-overloaded",
        503,
        "Gemini: overloaded",
        _gemini(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
    ),
    Wording(
        "openrouter-provider",
        502,
        "OpenRouter: the provider behind it failed",
        _openrouter(502, "Provider returned error", provider_name="Chutes", raw="upstream connect error"),
    ),
    Wording(
        "temporary-400",
        400,
        "a 400 for a fault that passes",
        _openai(
            "Upstream is temporarily unavailable, please retry", "invalid_request_error", "upstream_busy"
        ),
    ),
    # Too many requests, or no money left.
    Wording(
        "openai-rate-limit",
        429,
        "OpenAI: too many tokens per minute",
        _openai(
            "Rate limit reached for gpt-4o-mini in organization org-0 on tokens per min (TPM): "
            "Limit 200000, Used 199000, Requested 1500. Please try again in 150ms.",
            "tokens",
            "rate_limit_exceeded",
        ),
        (("retry-after", "1"), ("retry-after-ms", "150"), ("x-ratelimit-remaining-tokens", "0")),
    ),
    Wording(
        "anthropic-rate-limit",
        429,
        "Anthropic: too many input tokens per minute",
        _anthropic(
            "This request would exceed your organization's rate limit of 50,000 input tokens per minute "
            "(org: 00000000-0000-0000-0000-000000000000, model: claude-sonnet-4-5). "
            "Please reduce the prompt length or the maximum tokens requested, or try again later.",
            "rate_limit_error",
        ),
        (("retry-after", "1"), ("anthropic-ratelimit-input-tokens-remaining", "0")),
    ),
    Wording(
        "azure-rate-limit",
        429,
        "Azure: too many calls",
        _openai(
            "Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your "
            "current pricing tier. Please retry after 7 seconds.",
            None,
            "429",
        ),
        (("retry-after", "7"),),
    ),
    Wording(
        "gemini-rate-limit",
        429,
        "Gemini: too many requests per minute; the delay is told in the body alone",
        _gemini_quota(
            "generate_content_free_tier_requests",
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            "2s",
        ),
    ),
    Wording(
        "gemini-exhausted",
        429,
        "Gemini: no room for now, and no word about when",
        _gemini(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED"),
    ),
    Wording(
        "gemini-quota",
        429,
        "Gemini: the quota of the day is used up",
        _gemini_quota(
            "generate_content_free_tier_requests",
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            "43200s",
        ),
    ),
    Wording(
        "openai-quota",
        429,
        "OpenAI: the quota is used up",
        _openai(
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
    ),
    Wording(
        "spend-limit",
        429,
        "the spend limit that the account's owner has set",
        _openai("You have reached your spend limit.", "invalid_request_error", "enforced_spend_limit"),
    ),
    Wording(
        "anthropic-credit",
        400,
        "Anthropic: no credit left",
        _anthropic(
            "Your credit balance is too low to access the Anthropic API. "
            "Please go to Plans & Billing to upgrade or purchase credits.",
            "invalid_request_error",
        ),
    ),
    Wording(
        "anthropic-usage-limit",
        400,
        "Anthropic: the spend limit that the account's owner has set",
        _anthropic(
            "You have reached your specified API usage limits. "
            "You will regain access on 2026-01-01 at 00:00 UTC.",
            "invalid_request_error",
        ),
    ),
    Wording(
        "openrouter-credits",
        402,
        "OpenRouter: no credits left",
        _openrouter(402, "Insufficient credits. Add more using the account's settings."),
    ),
    Wording(
        "deepseek-balance",
        402,
        "DeepSeek: no balance left",
        _openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
    ),
    # The key.
    Wording(
        "openai-key",
        401,
        "OpenAI: a wrong key",
        _openai(
            "Incorrect API key provided: sk-wrong0000000000000000.",
            "invalid_request_error",
            "invalid_api_key",
        ),
    ),
    Wording(
        "anthropic-key",
        401,
        "Anthropic: a wrong key",
        _anthropic("invalid x-api-key", "authentication_error"),
    ),
    Wording(
        "gemini-key",
        400,
        "Gemini: a wrong key",
        _gemini(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            _rpc(
                "ErrorInfo",
                reason="API_KEY_INVALID",
                domain="googleapis.com",
                metadata={"service": "generativelanguage.googleapis.com"},
            ),
        ),
    ),
    Wording(
        "gemini-permission",
        403,
        "Gemini: not for this key",
        _gemini(403, "Your project has been denied access. Please contact support.", "PERMISSION_DENIED"),
    ),
    Wording(
        "gemini-region",
        400,
        "Gemini: not from here",
        _gemini(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
    ),
    Wording(
        "groq-permission",
        403,
        "Groq: not for this key",
        _openai(
            "The model is blocked at the project level.",
            "permissions_error",
            "model_permission_blocked_project",
        ),
    ),
    # The model.
    Wording(
        "openai-model",
        404,
        "OpenAI: no such model",
        _openai(
            "The model `gpt-nobody` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    ),
    Wording(
        "anthropic-model",
        404,
        "Anthropic: no such model",
        _anthropic("model: claude-nobody", "not_found_error"),
    ),
    Wording(
        "gemini-model",
        404,
        "Gemini: no such model",
        _gemini(
            404,
            "models/gemini-nobody is not found for API version v1beta, or is not supported for "
            "generateContent. Call ListModels to see the list of available models and their supported "
            "methods.",
            "NOT_FOUND",
        ),
    ),
    Wording(
        "openrouter-model",
        400,
        "OpenRouter: no such model",
        _openrouter(400, "nobody/gpt-nobody is not a valid model ID"),
    ),
    # The prompt is too long.
    Wording(
        "openai-context",
        400,
        "OpenAI: the prompt is too long",
        _openai(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in "
            "173172 tokens. Please reduce the length of the messages.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
    ),
    Wording(
        "anthropic-context",
        400,
        "Anthropic: the prompt is too long",
        _anthropic("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
    ),
    Wording(
        "groq-context",
        400,
        "Groq: the prompt is too long",
        _openai(
            "Please reduce the length of the messages or completion.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
    ),
    Wording(
        "openrouter-context",
        400,
        "OpenRouter: the prompt is too long",
        _openrouter(
            400,
            "This endpoint's maximum context length is 32768 tokens. However, you requested about 42832 "
            "tokens (42832 of text input). Please reduce the length of either one.",
            provider_name="Chutes",
        ),
    ),
    Wording(
        "vllm-context",
        400,
        "vLLM: the prompt is too long",
        _vllm(
            400,
            "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens "
            "(112946 in the messages, 10000 in the completion). "
            "Please reduce the length of the messages or completion.",
            "BadRequestError",
        ),
    ),
    Wording(
        "together-context",
        422,
        "Together: the prompt is too long",
        _openai(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. "
            "Given: 9000 `inputs` tokens and 512 `max_new_tokens`",
            "invalid_request_error",
        ),
    ),
    Wording(
        "gemini-context",
        400,
        "Gemini: the prompt is too long",
        _gemini(
            400,
            "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
            "INVALID_ARGUMENT",
        ),
    ),
    # Policy.
    Wording(
        "openai-filter",
        400,
        "OpenAI: against the policy",
        _openai(
            "Your request was rejected as a result of our safety system.",
            "invalid_request_error",
            "content_policy_violation",
        ),
    ),
    Wording(
        "azure-filter",
        400,
        "Azure: the prompt was filtered",
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                "management policy. Please modify your prompt and retry.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _RULES},
            }
        },
    ),
    Wording(
        "openrouter-moderation",
        403,
        "OpenRouter: flagged by moderation",
        _openrouter(
            403,
            "Your input was flagged by moderation",
            reasons=["violence"],
            flagged_input="…",
            provider_name="OpenAI",
            model_slug="openai/gpt-4o-mini",
        ),
    ),
    # The request.
    Wording(
        "unknown-parameter",
        400,
        "OpenAI: a field it does not know",
        _openai(
            "Unknown parameter: 'reasoning_effort'.",
            "invalid_request_error",
            "unknown_parameter",
            "reasoning_effort",
        ),
    ),
    Wording(
        "openai-temperature",
        400,
        "OpenAI: the model takes no other temperature than its own",
        _openai(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) "
            "value is supported.",
            "invalid_request_error",
            "unsupported_value",
            "temperature",
        ),
    ),
    Wording(
        "openai-limit",
        400,
        "OpenAI: the limit by its other name",
        _openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "invalid_request_error",
            "unsupported_parameter",
            "max_tokens",
        ),
    ),
    Wording(
        "unrecognized-argument",
        400,
        "a field it does not know, as Azure and older servers say it",
        _openai("Unrecognized request argument supplied: temperature", "invalid_request_error"),
    ),
    Wording(
        "anthropic-temperature",
        400,
        "Anthropic: the model has no temperature",
        _anthropic("`temperature` is deprecated for this model.", "invalid_request_error"),
    ),
    Wording(
        "anthropic-two",
        400,
        "Anthropic: one of two, not both",
        _anthropic(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            "invalid_request_error",
        ),
    ),
    Wording(
        "anthropic-budget",
        400,
        "Anthropic: the model itself decides how much it thinks",
        _anthropic(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.',
            "invalid_request_error",
        ),
    ),
    Wording(
        "stream-options",
        400,
        "a provider that cannot tell usage in streams",
        _openai(
            "Unknown parameter: 'stream_options'.",
            "invalid_request_error",
            "unknown_parameter",
            "stream_options",
        ),
    ),
    Wording(
        "extra-forbidden",
        400,
        "the same from a strict validator",
        {
            "object": "error",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), "
            "'msg': 'Extra inputs are not permitted', 'input': {'include_usage': True}}]",
        },
    ),
    Wording(
        "prefill",
        400,
        "the last message may not be the assistant's",
        _openai("Prefilling assistant messages is not supported for this model.", "invalid_request_error"),
    ),
    Wording(
        "thinking-signature",
        400,
        "a thinking block of another provider's",
        _anthropic("messages.1.content.0: Invalid `signature` in `thinking` block", "invalid_request_error"),
    ),
    Wording(
        "thought-signature",
        400,
        "Gemini: a tool call without the signature that it had",
        _gemini(
            400,
            "Function call is missing a thought_signature in functionCall parts. This is required for "
            "tools to work correctly, and missing thought_signature may lead to degraded model performance.",
            "INVALID_ARGUMENT",
        ),
    ),
    Wording(
        "unknown-name",
        400,
        "Gemini: a field it does not know",
        _gemini(
            400,
            'Invalid JSON payload received. Unknown name "reasoning_effort": Cannot find field.',
            "INVALID_ARGUMENT",
            _rpc(
                "BadRequest",
                fieldViolations=[
                    {
                        "description": 'Invalid JSON payload received. Unknown name "reasoning_effort": '
                        "Cannot find field."
                    }
                ],
            ),
        ),
    ),
    Wording(
        "encrypted-content",
        400,
        "OpenAI: encrypted reasoning of somebody else's",
        _openai(
            "The encrypted content for item rs_0 could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed.",
            "invalid_request_error",
            "invalid_encrypted_content",
        ),
    ),
    Wording(
        "previous-response",
        400,
        "OpenAI: it does not know the response before",
        _openai(
            "Previous response with id 'resp_0' not found.",
            "invalid_request_error",
            "previous_response_not_found",
            "previous_response_id",
        ),
    ),
    Wording(
        "too-large",
        413,
        "the request's body is too large",
        _anthropic("Request exceeds the maximum size", "request_too_large"),
    ),
)

WORDINGS: dict[str, Wording] = {wording.name: wording for wording in _ROWS}
