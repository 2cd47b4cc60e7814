"""Everything that can go wrong, and whose fault it is.

UnderstudyError
├── ConfigurationError          yours: a profile, a setting, a key
│   ├── ProfileError                a profile file: names file, JSON path and value
│   └── SettingError                one setting: unknown key, wrong type, out of range
├── RequestError                one request did not get its answer; carries the trail
│   ├── AllBackendsFailed           something was tried and all of it failed
│   │   └── RequestRejected             the first cause blames the request itself
│   ├── NoBackendAvailable          nothing could be tried
│   ├── DeadlineExceeded            ``request_timeout_ms`` passed
│   ├── StreamInterrupted           the stream broke after its first content
│   └── BalancerClosed              the balancer was left while the request ran
├── InternalError               ours: a bug
└── TransportError              what a transport tells the engine; never reaches a caller
    ├── ConnectFailed               refused, DNS, TLS, connect timeout
    ├── ConnectionReset             closed or reset with the HTTP message incomplete
    │   └── BodyCutShort                closed before as many bytes as Content-Length promised
    └── ProtocolViolation           not HTTP, or beyond a limit

The facts that errors carry live here too, because every ring speaks of them:
`FailureKind`, `SkipReason`, `Cause`, `AttemptEntry`, `SkipEntry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FailureKind(StrEnum):
    """Why an attempt failed. What each kind permits is one table in `core.outcome`."""

    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    STALL = "stall"
    TRUNCATED = "truncated"
    SERVER_ERROR = "server_error"
    PROTOCOL = "protocol"
    EMPTY = "empty"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    INVALID_REQUEST = "invalid_request"
    UNFIT = "unfit"
    MISMATCH = "mismatch"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class SkipReason(StrEnum):
    """Why a member was passed over without being asked."""

    MISSING = "missing"
    NO_KEY = "no_key"
    DRAINED = "drained"
    CIRCUIT_OPEN = "circuit_open"
    PROBE_IN_FLIGHT = "probe_in_flight"
    BENCHED = "benched"
    CONCURRENCY = "concurrency"
    RPM_LIMIT = "rpm_limit"
    TPM_LIMIT = "tpm_limit"
    CEILING_UNKNOWN = "ceiling_unknown"
    FAILOVER_BUDGET = "failover_budget"
    SLOW_START = "slow_start"
    QUEUED = "queued"
    PROVIDER_LIMIT = "provider_limit"
    SILENT = "silent"
    LOW_TPM = "low_tpm"
    CONTEXT_LENGTH = "context_length"
    NO_TOOLS = "no_tools"
    NO_IMAGES = "no_images"
    NO_FILES = "no_files"
    NO_AUDIO = "no_audio"
    NO_JSON_SCHEMA = "no_json_schema"
    NO_PREFILL = "no_prefill"

    @property
    def is_unfitness(self) -> bool:
        """Is it that the member's model can't take this request, though it may take others?"""
        return self in _UNFIT


_UNFIT = frozenset(
    (
        SkipReason.CONTEXT_LENGTH,
        SkipReason.NO_TOOLS,
        SkipReason.NO_IMAGES,
        SkipReason.NO_FILES,
        SkipReason.NO_AUDIO,
        SkipReason.NO_JSON_SCHEMA,
        SkipReason.NO_PREFILL,
    )
)
RETURNING = frozenset(
    (
        SkipReason.CIRCUIT_OPEN,
        SkipReason.PROBE_IN_FLIGHT,
        SkipReason.BENCHED,
        SkipReason.CONCURRENCY,
        SkipReason.RPM_LIMIT,
        SkipReason.TPM_LIMIT,
        SkipReason.CEILING_UNKNOWN,
        SkipReason.FAILOVER_BUDGET,
        SkipReason.SLOW_START,
        SkipReason.QUEUED,
    )
)
"""Reasons that pass by themselves."""
NEVER_USABLE = frozenset((SkipReason.MISSING, SkipReason.NO_KEY))
"""Reasons that hold for every request."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One failed attempt, as an error names it. `body` is the upstream's error body, masked; `param` the
    caller's field that could not be put into the backend's words."""

    backend: str
    kind: FailureKind
    status: int | None
    message: str
    body: bytes | None = None
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.backend}: {self.kind} ({self.message})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "kind": str(self.kind),
            "status": self.status,
            "message": self.message,
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """One try in a trail. Times are seconds; `started` counts from the request's begin.

    `outcome` is ``success``, ``refused`` (an empty answer that was accepted), or a failure kind.
    `duration` is None while the attempt runs; `first_content` is None if none came. `dropped_field` is
    what the backend refused of the request, which went out once more without it: a field that it does not
    know, or ``provider_state``.
    `left_out` are fields, and parts of messages, that the backend was never told of: its format has no word
    for them, or its model no use. `answer_limit` is the limit that the request's own was lowered to, in
    tokens, because the model gives no longer answers. `recovery` says how the attempt went on with an answer
    that had broken off: ``continuation`` or ``replay``. `hedge`: it was made beside one that was late;
    `lost`: it was ended because another one was faster. `patience` is how long its first content was waited
    for, in seconds, where the member's own recent answers made that shorter than its setting. `cost_usd` is
    None until the attempt has ended, and if the member's price is not known; `cost_estimated`: it is based on
    estimated tokens.
    """

    backend: str
    attempt: int
    outcome: str
    status: int | None
    started: float
    duration: float | None
    first_content: float | None
    message: str = ""
    reconnected: bool = False
    malformed_events: int = 0
    dropped_field: str = ""
    left_out: tuple[str, ...] = ()
    answer_limit: int | None = None
    recovery: str = ""
    hedge: bool = False
    lost: bool = False
    patience: float | None = None
    cost_usd: float | None = None
    cost_estimated: bool = False

    def to_dict(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "backend": self.backend,
            "attempt": self.attempt,
            "outcome": self.outcome,
            "status": self.status,
            "started_ms": _milliseconds(self.started),
            "duration_ms": _milliseconds(self.duration),
            "first_content_ms": _milliseconds(self.first_content),
        }
        if self.message:
            entry["message"] = self.message
        if self.reconnected:
            entry["reconnected"] = True
        if self.malformed_events:
            entry["malformed_events"] = self.malformed_events
        if self.dropped_field:
            entry["dropped_field"] = self.dropped_field
        if self.left_out:
            entry["left_out"] = list(self.left_out)
        if self.answer_limit is not None:
            entry["answer_limit"] = self.answer_limit
        if self.recovery:
            entry["recovery"] = self.recovery
        if self.hedge:
            entry["hedge"] = True
        if self.lost:
            entry["lost"] = True
        if self.patience is not None:
            entry["patience_ms"] = _milliseconds(self.patience)
        if self.cost_usd is not None:
            entry["cost_usd"] = round(self.cost_usd, 9)
        if self.cost_estimated:
            entry["cost_estimated"] = True
        return entry


@dataclass(frozen=True, slots=True)
class SkipEntry:
    """One member passed over. `until` is seconds since the request's begin, None if unknown."""

    backend: str
    reason: SkipReason
    until: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "skipped": str(self.reason),
            "until_ms": _milliseconds(self.until),
        }


TrailEntry = AttemptEntry | SkipEntry


class UnderstudyError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(UnderstudyError):
    """A profile, setting or key has to be mended. `hint` says how, in one line."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ProfileError(ConfigurationError):
    """A profile file is missing, unreadable or wrong; the message names file, JSON path and value.

    `problems` holds one error each where a profile has several; the message is then the first one's.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Sequence[ProfileError] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class SettingError(ConfigurationError):
    """A setting is unknown, of the wrong type or out of range."""


class RequestError(UnderstudyError):
    """A request did not get its answer.

    `retryable`: the same request may succeed later. `retry_after`: seconds until the first backend
    is expected back, None if unknown. `partial`: the text that had been passed on.
    """

    type = "request_error"

    def __init__(
        self,
        message: str,
        *,
        causes: Sequence[Cause] = (),
        skips: Sequence[SkipEntry] = (),
        trail: Sequence[TrailEntry] = (),
        retryable: bool = False,
        retry_after: float | None = None,
        partial: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.causes = tuple(causes)
        self.skips = tuple(skips)
        self.trail = tuple(trail)
        self.retryable = retryable
        self.retry_after = retry_after
        self.partial = partial

    def to_dict(self) -> dict[str, Any]:
        """The ``error`` object of the command line's JSON."""
        return {
            "type": self.type,
            "message": self.message,
            "retryable": self.retryable,
            "retry_after_s": None if self.retry_after is None else round(self.retry_after, 3),
            "causes": [cause.to_dict() for cause in self.causes],
        }


class AllBackendsFailed(RequestError):
    """Every backend that could be asked failed; `causes` names each in order."""

    type = "all_backends_failed"


class RequestRejected(AllBackendsFailed):
    """The first backend asked blames the request; `status` and `body` are what it said.

    None could be asked, if no backend's format can say the request.
    """

    type = "request_rejected"

    @property
    def blamed(self) -> Cause:
        """What the first backend said that was asked at all."""
        return next((cause for cause in self.causes if cause.kind is not FailureKind.UNFIT), self.causes[0])

    @property
    def status(self) -> int | None:
        return self.blamed.status

    @property
    def body(self) -> bytes | None:
        return self.blamed.body


class NoBackendAvailable(RequestError):
    """No backend could be asked; `skips` names each with its reason and when it returns."""

    type = "no_backend_available"

    @property
    def blames_request(self) -> bool:
        """Can no usable backend's model take the request? The caller can mend it, waiting can't."""
        reasons = [skip.reason for skip in self.skips if skip.reason not in NEVER_USABLE]
        return bool(reasons) and all(reason.is_unfitness for reason in reasons)


class DeadlineExceeded(RequestError):
    """The request's deadline passed before an answer began."""

    type = "deadline_exceeded"


class StreamInterrupted(RequestError):
    """The answer broke off after its first content; `partial` holds what had been passed on."""

    type = "stream_interrupted"


class BalancerClosed(RequestError):
    """The balancer was closed while the request ran, or before it began."""

    type = "balancer_closed"


class InternalError(UnderstudyError):
    """A bug in Understudy. The original exception is its ``__cause__``."""


class TransportError(UnderstudyError):
    """What a transport may raise; the engine turns each into a failure kind."""


class ConnectFailed(TransportError):
    """No connection: refused, name not resolved, TLS refused, or the connect timeout passed."""


class ConnectionReset(TransportError):
    """The connection closed or was reset before the HTTP message was complete."""


class BodyCutShort(ConnectionReset):
    """The connection closed properly, but before as many bytes as Content-Length promised."""


class ProtocolViolation(TransportError):
    """What came is not HTTP, or is beyond a limit."""
