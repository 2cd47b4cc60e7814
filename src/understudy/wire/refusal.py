"""Why a backend refused: status, headers and body, or an error object inside a 200, to a `Failure`.

- A user's own rules come first, in their order; they see the status and the whole body text.
- Then the status decides the kind, and `TABLE` can only refine it: a row speaks for the statuses it
  lists and for no other, so a 5xx is a `server_error` and a 401 is `auth`, whatever the body says.
- A row matches by one of the error's words (codes, types, reasons) or by the wording of its sentences.
  The first row that matches decides, so the more exact ones stand before the more general.
- An error inside a 200 body or stream is classed as if it had come as a status: the one it names, else
  the one its words stand for; without either every row is tried, and what none knows is a
  `server_error`. `Failure.status` is the status the object names itself, None if it names none. Where a
  format's own words leave no doubt, its decoder says the kind, and only a user's rules come before it.
- When to come back is said by the headers, else by the body (`wire.retry_after`).
- Messages are one short line for people; bodies are cut at 64 KiB; keys in both are masked.
- A 400 that names a field which the request may do without (`wire.unwanted`) asks for it to be dropped; so
  does one that mentions `stream_options` at all, because that is ours. A row may ask for something to be
  dropped too: the state that this backend can't read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire.complaint import Complaint, read, read_value
from understudy.wire.masking import mask, mask_bytes
from understudy.wire.retry_after import retry_after, retry_delay
from understudy.wire.state import FIELD
from understudy.wire.unwanted import Unwanted, named

__all__ = ["TABLE", "Row", "classify", "classify_error_object", "mask", "retry_after"]

BODY_LIMIT = 64 * 1024
SUMMARY_LIMIT = 4096
MESSAGE_LIMIT = 300

_SAID_TO_WAIT = frozenset({FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR, FailureKind.QUOTA})


@dataclass(frozen=True, slots=True)
class Row:
    """One way a provider says something: whole words, or a wording searched for in all that was said."""

    provider: str
    kind: FailureKind
    statuses: frozenset[int]
    words: frozenset[str] = frozenset()
    wording: re.Pattern[str] | None = None
    drops: str | None = None

    def matches(self, status: int | None, complaint: Complaint) -> bool:
        if status is not None and status not in self.statuses:
            return False
        if not self.words.isdisjoint(complaint.words):
            return True
        return self.wording is not None and self.wording.search(complaint.everything[:BODY_LIMIT]) is not None


def _row(
    provider: str,
    kind: FailureKind,
    statuses: Collection[int],
    words: str = "",
    wording: str = "",
    drops: str | None = None,
) -> Row:
    pattern = re.compile(wording, re.IGNORECASE) if wording else None
    return Row(provider, kind, frozenset(statuses), frozenset(words.split()), pattern, drops)


_RATE_LIMITED = FailureKind.RATE_LIMITED
_QUOTA = FailureKind.QUOTA
_AUTH = FailureKind.AUTH
_MODEL = FailureKind.MODEL_NOT_FOUND
_CONTEXT = FailureKind.CONTEXT_LENGTH
_FILTER = FailureKind.CONTENT_FILTER
_UNFIT = FailureKind.UNFIT

_OURS = "stream_options"
_BAD = (400, 422)
_LONG = (400, 413, 422)
_UNPAID = (400, 403, 429)
_POLICY = (400, 403, 422)

TABLE: tuple[Row, ...] = (
    # A spent quota, and what only sounds like one: Gemini words every 429 as an exceeded quota.
    _row("gemini", _QUOTA, [429], wording=r"free_tier\w*, limit: 0\b|PerDayPerProject"),
    _row("gemini", _RATE_LIMITED, [429], wording=r"please retry in \d"),
    _row(
        "openai",
        _QUOTA,
        _UNPAID,
        "insufficient_quota billing_hard_limit_reached billing_not_active",
        r"exceeded your current quota|billing hard limit",
    ),
    _row(
        "anthropic",
        _QUOTA,
        _UNPAID,
        "billing_error enforced_spend_limit",
        r"credit balance is too low|reached your specified .{0,200}usage limits",
    ),
    _row("azure", _QUOTA, _UNPAID, wording=r"out of call volume quota"),
    _row("openrouter", _QUOTA, _UNPAID, wording=r"key limit exceeded|requires more credits"),
    _row("groq", _QUOTA, _UNPAID, "blocked_api_access", r"spend (?:limit|alert)"),
    _row("together", _QUOTA, _UNPAID, "credit_limit", r"credit limit exceeded"),
    _row("xai", _QUOTA, _UNPAID, wording=r"used all available credits|run out of credits"),
    _row("deepseek", _QUOTA, _UNPAID, wording=r"insufficient (?:account )?balance"),
    _row("fireworks", _QUOTA, (*_UNPAID, 412), wording=r"account .{0,200}is suspended"),
    _row("siliconflow", _QUOTA, _UNPAID, wording=r"balance is insufficient"),
    _row("moonshot", _QUOTA, _UNPAID, "exceeded_current_quota_error"),
    _row("alibaba", _QUOTA, _UNPAID, "arrearage allocationquota.freetieronly"),
    _row(
        "any",
        _QUOTA,
        _UNPAID,
        "insufficient_credits insufficient_funds spend_limit_exceeded payment_required",
        r"insufficient (?:credits?|funds|quota)\b",
    ),
    # A key that is refused with 400.
    _row("gemini", _AUTH, _BAD, "api_key_invalid", r"API key (?:not valid|expired)"),
    _row("xai", _AUTH, _BAD, wording=r"incorrect API key provided"),
    _row("any", _AUTH, _BAD, "invalid_api_key authentication_error", r"invalid (?:x-)?api[ _-]?key"),
    # The request is too long for this backend.
    _row("openai azure", _CONTEXT, _LONG, "context_length_exceeded", r"input tokens exceed the configured"),
    _row("openai vllm mistral deepseek fireworks", _CONTEXT, _LONG, wording=r"maximum context length"),
    _row("openrouter", _CONTEXT, _LONG, "token_limit_exceeded"),
    _row("anthropic", _CONTEXT, _LONG, wording=r"prompt is too long|exceed context limit"),
    _row(
        "gemini", _CONTEXT, _LONG, wording=r"input token count.{0,200} exceeds the maximum number of tokens"
    ),
    _row("groq", _CONTEXT, [413], wording=r"request too large for model .{0,200}tokens per minute"),
    _row("groq cerebras", _CONTEXT, _LONG, wording=r"reduce the length of the (?:messages|prompt|input)"),
    _row("together", _CONTEXT, _LONG, wording=r"tokens \+ `?max_new_tokens`? must be <="),
    _row("vllm", _CONTEXT, _LONG, wording=r"longer than the maximum model length"),
    _row("sglang", _CONTEXT, _LONG, wording=r"longer than the model's context length"),
    _row("xai", _CONTEXT, _LONG, wording=r"maximum prompt length is"),
    _row("llama.cpp", _CONTEXT, _LONG, "exceed_context_size_error", r"exceeds the available context size"),
    _row("ollama", _CONTEXT, _LONG, wording=r"input length exceeds the context length"),
    _row("moonshot", _CONTEXT, _LONG, wording=r"exceeded model token limit"),
    _row("alibaba", _CONTEXT, _LONG, wording=r"range of input length should be"),
    _row("minimax", _CONTEXT, _LONG, wording=r"context window exceeds limit"),
    _row(
        "any", _CONTEXT, _LONG, wording=r"exceed(?:s|ed)? (?:the |this )?(?:model'?s? )?context (?:win|len)"
    ),
    # A policy said no.
    _row(
        "azure",
        _FILTER,
        _POLICY,
        "content_filter responsibleaipolicyviolation",
        r"content management policy",
    ),
    _row(
        "openai",
        _FILTER,
        _POLICY,
        "content_policy_violation moderation_blocked invalid_prompt image_content_policy_violation"
        " bio_policy misalignment_policy_violation",
        r"potentially violating our usage policy",
    ),
    _row("anthropic", _FILTER, _POLICY, wording=r"blocked by content filtering policy"),
    _row("openrouter", _FILTER, _POLICY, wording=r"requires moderation|input was flagged|by a guardrail"),
    _row("gemini", _FILTER, _POLICY, "prohibited_content", r"blocked due to safety"),
    _row("deepseek", _FILTER, _POLICY, wording=r"content exists risk"),
    _row("xai", _FILTER, _POLICY, wording=r"content violates usage guidelines"),
    _row("alibaba", _FILTER, _POLICY, "data_inspection_failed datainspectionfailed"),
    # State that this backend did not issue, or misses; another one may take the conversation as it is.
    _row(
        "openai",
        _UNFIT,
        _BAD,
        "invalid_encrypted_content",
        r"encrypted content .{0,300}could not be (?:verified|decrypted)",
        FIELD,
    ),
    _row(
        "anthropic",
        _UNFIT,
        _BAD,
        wording=r"invalid `?signature`? in `?(?:redacted_)?thinking"
        r"|thinking`? blocks .{0,80}cannot be modified|expected `?thinking`? or `?redacted_thinking",
        drops=FIELD,
    ),
    _row(
        "gemini",
        _UNFIT,
        _BAD,
        wording=r"thought signature is not valid|(?:invalid|corrupted) thought signature",
        drops=FIELD,
    ),
    _row("gemini", _UNFIT, _BAD, wording=r"missing a thought_signature"),
    _row("deepseek", _UNFIT, _BAD, wording=r"in the thinking mode must be passed back"),
    # Something that this backend could not fetch; another one may.
    _row(
        "openai",
        _UNFIT,
        _BAD,
        "invalid_image_url failed_to_download_image",
        r"(?:error|timeout) while downloading|failed to download (?:image|file) from",
    ),
    _row("anthropic", _UNFIT, _BAD, wording=r"unable to download the file|disallowed by .{0,40}robots\.txt"),
    _row(
        "gemini",
        _UNFIT,
        _BAD,
        wording=r"cannot fetch content from the provided url|(?:unsupported|invalid) file uri",
    ),
    # The model is not there, said with 400.
    _row("openai vllm", _MODEL, _BAD, "model_not_found", r"\bmodel \S+ does not exist"),
    _row("azure", _MODEL, _BAD, "deploymentnotfound unknown_model unavailable_model"),
    _row("openrouter", _MODEL, _BAD, wording=r"is not a valid model ID|no endpoints found"),
    _row("groq", _MODEL, _BAD, "model_decommissioned", r"has been decommissioned"),
    _row(
        "together", _MODEL, _BAD, "model_not_available dedicated_endpoint_not_running", "non-serverless model"
    ),
    _row("mistral", _MODEL, _BAD, "invalid_model", r"\binvalid model\b"),
    _row("deepseek", _MODEL, _BAD, wording=r"model not exist"),
    _row("gemini", _MODEL, _BAD, wording=r"models/\S+ is not found"),
    _row(
        "any", _MODEL, _BAD, "model_not_supported", r"\bmodel \S+ (?:is )?not (?:found|supported|available)"
    ),
    # Told by wording alone, as errors inside a stream sometimes are.
    _row("any", _RATE_LIMITED, [429], wording=r"rate.?limit|too many requests"),
)

# The statuses that words stand for where an error comes without one.
_WORDS = {
    400: "invalid_request_error bad_request badrequesterror invalid_argument failed_precondition"
    " invalid_image invalid_image_format invalid_base64_image invalid_image_url invalid_image_mode"
    " image_too_large image_too_small image_parse_error image_file_too_large image_file_not_found"
    " unsupported_image_media_type empty_image_file failed_to_download_image",
    401: "unauthorized unauthenticated authenticationerror",
    403: "permission_error permissions_error permission_denied permissiondeniederror",
    404: "not_found not_found_error notfounderror",
    413: "request_too_large",
    429: "rate_limit_error rate_limit_exceeded ratelimiterror too_many_requests resource_exhausted",
    500: "server_error api_error internal internal_error internal_server_error internalservererror",
    503: "unavailable service_unavailable",
    504: "timeout_error deadline_exceeded",
    529: "overloaded_error",
}
_STATUS_OF_WORD = {word: status for status, words in _WORDS.items() for word in words.split()}

_KIND_OF_STATUS = {
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.SERVER_ERROR,  # Groq's own: the flex tier is at its capacity
}

_PHRASES = {
    498: "Capacity Exceeded",
    520: "Unknown Error at the Origin",
    521: "Origin Down",
    522: "Origin Timed Out",
    523: "Origin Unreachable",
    524: "Origin Answered Too Late",
    525: "TLS Handshake With Origin Failed",
    526: "Origin Certificate Invalid",
    529: "Overloaded",
} | {status.value: status.phrase for status in HTTPStatus}


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    wall: float,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> Failure:
    """What a status other than 2xx (or a 204) means.

    `headers` have lower-case names, `body` may be cut short; `wall` is the arrival in seconds since
    1970. `secrets` are the keys in use.
    """
    text = body[:BODY_LIMIT].decode(errors="replace")
    complaint = read(text)
    row = _row_of(status, complaint)
    ruled = _ruled(rules, status, text)
    kind = ruled or (row.kind if row else _kind_of_status(status))
    dropped, always = _dropped(kind, status, complaint, text, row, ruled)
    return Failure(
        kind=kind,
        message=_message(status, mask(complaint.summary[:SUMMARY_LIMIT], secrets)),
        status=status,
        retry_after=_wait(kind, retry_after(headers, wall=wall), text),
        body=mask_bytes(body[:BODY_LIMIT], secrets) or None,
        drop_field=dropped,
        drop_always=always,
    )


def classify_error_object(
    error: object,
    *,
    kind: FailureKind | None = None,
    rules: Sequence[ErrorRule] = (),
    secrets: Sequence[str] = (),
) -> Failure:
    """What an error inside a 200 body or stream means; `error` is its decoded value, `kind` what it is
    beyond doubt."""
    body = _encoded(error)
    complaint = read_value(error)
    status = complaint.status or next(
        (_STATUS_OF_WORD[word] for word in complaint.words if word in _STATUS_OF_WORD), None
    )
    row = None if kind else _row_of(status, complaint)
    ruled = _ruled(rules, status, body.decode())
    kind = ruled or kind or (row.kind if row else _kind_of_status(status))
    dropped, always = _dropped(kind, status, complaint, body[:BODY_LIMIT].decode(), row, ruled)
    return Failure(
        kind=kind,
        message=_message(complaint.status, mask(complaint.summary[:SUMMARY_LIMIT], secrets))
        or "an error without a message",
        status=complaint.status,
        retry_after=_wait(kind, None, body[:BODY_LIMIT].decode(errors="replace")),
        body=mask_bytes(body[:BODY_LIMIT], secrets),
        in_stream=True,
        drop_field=dropped,
        drop_always=always,
    )


def _wait(kind: FailureKind, said: float | None, body: str) -> float | None:
    if kind not in _SAID_TO_WAIT:
        return None
    return retry_delay(body) if said is None else said


def _encoded(error: object) -> bytes:
    try:
        return msgspec.json.encode({"error": error})
    except (UnicodeEncodeError, RecursionError):  # half a surrogate pair, or nested beyond reason
        return b'{"error":null}'


def _ruled(rules: Sequence[ErrorRule], status: int | None, text: str) -> FailureKind | None:
    return next((rule.kind for rule in rules if rule.matches(status, text)), None)


def _row_of(status: int | None, complaint: Complaint) -> Row | None:
    return next((row for row in TABLE if row.matches(status, complaint)), None)


def _dropped(
    kind: FailureKind,
    status: int | None,
    complaint: Complaint,
    text: str,
    row: Row | None,
    ruled: FailureKind | None,
) -> Unwanted | tuple[None, bool]:
    """What is to be left out: of what a row asks for, nothing if a rule of the user's decided otherwise."""
    if kind is FailureKind.INVALID_REQUEST:
        return _unwanted(status, complaint, text) or (None, False)
    return (None, False) if row is None or ruled or row.drops is None else Unwanted(row.drops, always=False)


def _kind_of_status(status: int | None) -> FailureKind:
    if status is None:
        return FailureKind.SERVER_ERROR
    if status < 400:
        return FailureKind.PROTOCOL
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.INVALID_REQUEST)


def _unwanted(status: int | None, complaint: Complaint, text: str) -> Unwanted | None:
    if status not in _BAD:
        return None
    if _OURS in text:
        return Unwanted(_OURS)
    return named("\n".join(complaint.sentences), complaint.words, text)


def _message(status: int | None, said: str) -> str:
    """One line for people: ``401 Unauthorized: Incorrect API key provided``."""
    said = _one_line(said)
    if status is None:
        return said
    phrase = _PHRASES.get(status, "")
    head = f"{status} {phrase}".strip()
    if 300 <= status < 400:
        return f"{head}: a redirect that is not followed"
    return head if said.lower() in ("", phrase.lower(), head.lower()) else f"{head}: {said}"


def _one_line(text: str) -> str:
    without_tags = re.sub(r"</?[A-Za-z!][^<>]{0,200}>", " ", text[: 4 * MESSAGE_LIMIT])
    printable = "".join(letter if letter.isprintable() else " " for letter in without_tags)
    line = " ".join(printable.replace("\ufffd", " ").split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"
