"""What a failure is in HTTP.

1. What only the caller's request is to blame for passes as it came, status and body, if the backend that
   was asked first said it; in the client's own words where that backend speaks another format. A status
   that would speak of the client's key (401, 403) or of our paths (404) becomes 400.
2. A request that no usable member's model can take, so that nobody was asked, is 400: the caller can mend it.
   Else the reasons of all other members count, those that failed and those that were skipped: every one a
   rate limit, a bench, a ceiling or a used-up quota, 429; the deadline, or nothing but timeouts, 504; nothing
   tried, 503; otherwise 502.
3. ``retry-after`` says when the first backend is expected back, wherever that is known; in whole seconds,
   rounded up.
4. Every error names its causes, a line for each backend, keys masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from understudy.core.outcome import RULES
from understudy.errors import (
    AttemptEntry,
    BalancerClosed,
    Cause,
    DeadlineExceeded,
    FailureKind,
    NoBackendAvailable,
    RequestError,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
)
from understudy.gateway.http import Headers, HttpError
from understudy.runtime.engine import Call
from understudy.wire.dialect import Dialect, ErrorReply

_LIMITED: frozenset[str] = frozenset(
    (
        FailureKind.RATE_LIMITED,
        FailureKind.QUOTA,
        SkipReason.BENCHED,
        SkipReason.CONCURRENCY,
        SkipReason.RPM_LIMIT,
        SkipReason.TPM_LIMIT,
        SkipReason.CEILING_UNKNOWN,
        SkipReason.QUEUED,
    )
)
_NOT_OURS = frozenset((401, 403, 404))
_CODES = {429: "rate_limited", 502: "all_backends_failed", 503: "no_backend_available", 504: "timeout"}


def status_of(error: RequestError) -> int:
    """Rules 1 and 2."""
    match error:
        case RequestRejected():
            return _rejected_status(error.blamed)
        case DeadlineExceeded():
            return 504
        case BalancerClosed():
            return 503
        case NoBackendAvailable(blames_request=True):
            return 400
    reasons = _reasons(error)
    if reasons and all(reason in _LIMITED for reason in reasons):
        return 429
    if error.causes and all(cause.kind is FailureKind.TIMEOUT for cause in error.causes):
        return 504
    return 503 if isinstance(error, NoBackendAvailable) else 502


def reply_to(error: RequestError, request_id: str) -> ErrorReply:
    """The error in words that every protocol has."""
    status = status_of(error)
    return ErrorReply(
        status=status,
        code=_code(error, status),
        message=error.blamed.message if isinstance(error, RequestRejected) else error.message,
        param=error.blamed.param if isinstance(error, RequestRejected) else None,
        request_id=request_id,
        details=_details(error),
    )


def reply_of(error: HttpError, request_id: str) -> ErrorReply:
    """An error that no backend has to do with."""
    return ErrorReply(error.status, error.code, error.message, error.param, request_id)


def body_as_it_came(error: RequestError, call: Call, dialect: Dialect) -> bytes | None:
    """Rule 1: what the first backend said, if the client's protocol is what it said it in."""
    if not isinstance(error, RequestRejected) or error.body is None:
        return None
    if not call.is_native_to(error.blamed.backend):
        return None
    return error.body if _is_error(error.body, dialect) else None


def retry_after(seconds: float | None) -> Headers:
    """Rule 3."""
    return [] if seconds is None else [(b"retry-after", b"%d" % max(1, math.ceil(seconds)))]


def _rejected_status(cause: Cause) -> int:
    status = cause.status or RULES[cause.kind].status or 400
    return 400 if status in _NOT_OURS or not 400 <= status < 500 else status


def _reasons(error: RequestError) -> Sequence[str]:
    skips = error.skips or [entry for entry in error.trail if isinstance(entry, SkipEntry)]
    counted = (skip.reason for skip in skips if not skip.reason.is_unfitness)
    return [*(cause.kind for cause in error.causes), *counted]


def _code(error: RequestError, status: int) -> str:
    match error:
        case RequestRejected():
            return str(error.blamed.kind)
        case StreamInterrupted():
            return str(error.causes[-1].kind)
        case BalancerClosed():
            return "shutting_down"
        case DeadlineExceeded():
            return "deadline_exceeded"
        case NoBackendAvailable(blames_request=True):
            too_long = any(skip.reason is SkipReason.CONTEXT_LENGTH for skip in error.skips)
            return str(FailureKind.CONTEXT_LENGTH) if too_long else "no_fitting_backend"
    return _CODES[status]


def _details(error: RequestError) -> dict[str, Any]:
    details: dict[str, Any] = {"causes": [cause.to_dict() for cause in error.causes]}
    skipped = [entry.to_dict() for entry in error.trail if not isinstance(entry, AttemptEntry)]
    if skipped:
        details["skipped"] = skipped
    if error.retry_after is not None:
        details["retry_after_s"] = round(error.retry_after, 3)
    return details


def _is_error(body: bytes, dialect: Dialect) -> bool:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= dialect.ERROR_FIELDS
