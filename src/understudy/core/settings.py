"""The settings registry, and the frozen settings that the engine reads.

`REGISTRY` is the only list of settings: it drives profile validation, ``/set``, ``--set``, the
JSON Schema and the reference page. Rules:

1. Snake and kebab spelling are the same key; case matters.
2. The effective value is the last of: default, what is known of the member's model, load-balancer
   profile, member profile (where the setting's scope allows both), ``--set``, ``/set``. `effective`
   returns it with its source.
3. Durations are milliseconds in files and in the registry, float seconds in the frozen settings.
4. No error shows a value: a setting may hold a key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from understudy.core.error_rules import ErrorRule
from understudy.core.facts import Facts, Feature, Refusal, Tokenizer
from understudy.core.shapes import (
    BASE_URL,
    TEXT,
    VARIABLE,
    Amounts,
    Boolean,
    Choice,
    ErrorRules,
    Integer,
    Lateness,
    Shape,
    StatusList,
    Words,
)
from understudy.errors import SettingError


class Scope(StrEnum):
    """Whose profile a setting belongs in."""

    POOL = "pool"
    MEMBER = "member"
    BOTH = "both"


class Source(StrEnum):
    """Where an effective value came from, weakest first."""

    DEFAULT = "default"
    MODEL = "model table"
    PROFILE = "load-balancer profile"
    MEMBER = "member profile"
    OPTION = "--set"
    SESSION = "/set"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `default` is in file units; None means off, or what `default_words` says.

    `secret`: the value may be a key, and is never shown.
    """

    key: str
    shape: Shape
    scope: Scope
    help: str
    default: Any = None
    default_words: str = "none"
    secret: bool = False

    def check(self, value: object) -> Any:
        """The value as kept; raises `SettingError` in the words "KEY must be …"."""
        try:
            return self.shape.check(value)
        except ValueError:
            raise SettingError(f"{self.key} must be {self.shape.description}") from None

    def parse(self, text: str) -> Any:
        """As `check`, from a command line's text."""
        try:
            return self.shape.parse(text)
        except ValueError:
            raise SettingError(f"{self.key} must be {self.shape.description}") from None

    @property
    def default_text(self) -> str:
        """The default as documentation shows it."""
        if self.default is None:
            return self.default_words
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


_POSITIVE = Integer(1)
_NATURAL = Integer(0)
_BY_MODEL = "the model table's"

REGISTRY: tuple[Setting, ...] = (
    Setting(
        "tpm_threshold",
        _POSITIVE,
        Scope.BOTH,
        "Rate floor in tokens per minute: a member whose serving rate is below it is skipped while another "
        "can serve. Per stream: 50 tokens/s are 3000.",
        default_words="off",
    ),
    Setting(
        "tpm_measure",
        Choice(("serving", "window")),
        Scope.POOL,
        "Which figure the rate floor judges: `serving`, how fast a member's streams generate, or `window`, "
        "all its tokens of the last five minutes per minute.",
        "serving",
    ),
    Setting(
        "timeout_ms",
        _POSITIVE,
        Scope.BOTH,
        "From the start of an attempt, name resolution included, to the first content of its stream; then "
        "the attempt is cancelled and the next backend asked.",
        60_000,
    ),
    Setting(
        "unary_timeout_ms",
        _POSITIVE,
        Scope.BOTH,
        "From the start of an attempt to a whole unary answer. Set it where unary calls must fail over "
        "sooner.",
        default_words="the larger of timeout_ms and 240000",
    ),
    Setting(
        "connect_timeout_ms",
        _POSITIVE,
        Scope.BOTH,
        "Resolving the name, connecting and the TLS handshake together.",
        5_000,
    ),
    Setting(
        "stall_timeout_ms",
        _POSITIVE,
        Scope.BOTH,
        "After the first content: the longest wait for the upstream without an event. Comments do not count "
        "as events. Runs only while we wait for the upstream, so a slow caller never trips it.",
        30_000,
    ),
    Setting(
        "request_timeout_ms",
        _POSITIVE,
        Scope.POOL,
        "One deadline over all attempts and waits of a request, up to its first content (unary: to the "
        "answer).",
        600_000,
    ),
    Setting(
        "circuit_breaker_enabled",
        Boolean(),
        Scope.POOL,
        "Leave a member alone after repeated failures, and probe it later.",
        True,
    ),
    Setting(
        "circuit_breaker_failure_threshold",
        _POSITIVE,
        Scope.POOL,
        "Counted failures inside the window that open the circuit.",
        3,
    ),
    Setting(
        "circuit_breaker_failure_window_ms",
        _POSITIVE,
        Scope.POOL,
        "The sliding window in which failures meet.",
        60_000,
    ),
    Setting(
        "circuit_breaker_recovery_timeout_ms",
        _POSITIVE,
        Scope.POOL,
        "How long an open circuit waits before it is probed.",
        30_000,
    ),
    Setting(
        "circuit_breaker_failure_rate",
        Integer(0, 100),
        Scope.POOL,
        "The circuit opens only if failures are at least this percentage of the newest 20 outcomes; 0 goes "
        "by the plain count.",
        50,
    ),
    Setting(
        "circuit_breaker_half_open_max",
        _POSITIVE,
        Scope.POOL,
        "Probes let through at the same time while half-open.",
        1,
    ),
    Setting(
        "panic_mode",
        Boolean(),
        Scope.POOL,
        "When nobody else is left, ask a member in spite of its circuit if it answers some of what it is "
        "asked. One that answers nothing is left to its probes.",
        True,
    ),
    Setting(
        "failover_retry_count",
        Integer(1, 100),
        Scope.POOL,
        "Attempts (not retries) per backend and request.",
        2,
    ),
    Setting(
        "failover_retry_delay_ms",
        _NATURAL,
        Scope.POOL,
        "Wait before the second attempt on the same backend. Doubles for each further one, capped at 8 s or "
        "the value if larger, plus up to 10 % jitter. Switching backend never waits.",
        500,
    ),
    Setting(
        "failover_on_network_errors",
        Boolean(),
        Scope.POOL,
        "False: connect errors, resets and timeouts go to the caller at once; the breaker still counts them.",
        True,
    ),
    Setting(
        "failover_status_codes",
        StatusList(),
        Scope.POOL,
        "When set, these statuses alone decide whether the next backend is asked. Asking the same one again, "
        "benches and the breaker stay as the failure's kind has them.",
        default_words="by failure kind",
    ),
    Setting(
        "retry_after_max_ms",
        _NATURAL,
        Scope.POOL,
        "Policy failover: a Retry-After up to this is waited for on the first-ranked member; a longer one "
        "moves on at once.",
        2_000,
    ),
    Setting(
        "wait_for_capacity_ms",
        _NATURAL,
        Scope.POOL,
        "Longest wait in all for a bench to end or a probe to settle when no member can be asked; not begun "
        "when nothing can return in time.",
        20_000,
    ),
    Setting(
        "stream_recovery",
        Choice(("off", "same_model", "any")),
        Scope.POOL,
        "Who goes on with a stream that breaks after its first content, so that the caller gets one whole "
        "answer: nobody, members of the same model (equal `model` or equal `model-identity`; the same member "
        "again too), or any.",
        "same_model",
    ),
    Setting(
        "recovery_timeout_ms",
        _POSITIVE,
        Scope.POOL,
        "From the break of a stream to the first new content, over all tries.",
        30_000,
    ),
    Setting(
        "hold_tool_calls",
        Boolean(),
        Scope.POOL,
        "Hold a streamed tool call back until it is whole, so that a break inside it can be recovered.",
        False,
    ),
    Setting(
        "stream_hold_ms",
        _NATURAL,
        Scope.POOL,
        "Hold the first part of a stream back for so long: if it breaks meanwhile, it begins anew and nobody "
        "notices. 0 hands everything out at once.",
        0,
    ),
    Setting(
        "max_attempts",
        _POSITIVE,
        Scope.POOL,
        "Attempts per request in all, over all backends.",
        default_words="off",
    ),
    Setting(
        "retry_budget_percent",
        Integer(0, 1000),
        Scope.POOL,
        "Attempts on a backend that the request has asked already: at most this percentage of the requests "
        "of the last 10 s, and 10 besides; 0 allows none. Asking another backend is never limited by it.",
        20,
    ),
    Setting(
        "hedge",
        Lateness(),
        Scope.POOL,
        "Ask a second backend too when the first content of a stream is late, and take whichever speaks "
        "first: after so many milliseconds, or after what that percentage of the backend's first contents "
        "took. While it is on, no request waits for a probed backend alone.",
        "off",
    ),
    Setting(
        "hedge_budget_percent",
        Integer(0, 100),
        Scope.POOL,
        "Second backends asked by `hedge`: at most this percentage of the requests of the last 10 s, and 10 "
        "besides; 0 allows none.",
        10,
    ),
    Setting(
        "model-identity",
        TEXT,
        Scope.MEMBER,
        "What the model is, where its provider calls it otherwise than others do: members with equal "
        "identities can go on with each other's streams.",
        default_words="the profile's `model`",
    ),
    Setting(
        "bench_max_ms", _POSITIVE, Scope.POOL, "No bench lasts longer, whatever Retry-After says.", 900_000
    ),
    Setting(
        "weight",
        _NATURAL,
        Scope.MEMBER,
        "The member's share of the load under the policies `weighted`, `least_busy`, `fastest` and `sticky`, "
        "beside the others' weights. 0: it only stands in for others.",
        1,
    ),
    Setting(
        "failback_after_ms",
        _NATURAL,
        Scope.POOL,
        "Policy failover_sticky: how long nothing must have spoken against a better member before requests "
        "go back to it.",
        300_000,
    ),
    Setting(
        "slow_start_ms",
        _NATURAL,
        Scope.POOL,
        "How long a member is eased in after its circuit has closed: with few attempts at once, and a "
        "growing share of the load. 0: not at all.",
        30_000,
    ),
    Setting(
        "tpm_limit",
        _POSITIVE,
        Scope.BOTH,
        "Ceiling of each member: tokens in and out in any minute. A request reserves its prompt and the most "
        "that its answer may have; what it did not use is given back at its end.",
        default_words="off",
    ),
    Setting(
        "rpm_limit",
        _POSITIVE,
        Scope.BOTH,
        "Ceiling of each member: attempts in any minute.",
        default_words="off",
    ),
    Setting(
        "max_concurrency",
        _POSITIVE,
        Scope.BOTH,
        "Ceiling of each member: attempts in flight at the same time.",
        default_words="off",
    ),
    Setting(
        "failover_in_rpm",
        _POSITIVE,
        Scope.BOTH,
        "How many attempts a minute each member takes over from others that failed, or that could not be "
        "asked for their health. It keeps an outage of the first from trampling the second.",
        default_words="off",
    ),
    Setting(
        "ceilings_fail_closed",
        Boolean(),
        Scope.POOL,
        "With shared state: while it does not answer, members with `tpm_limit` or `rpm_limit` are not asked. "
        "Off: each process goes by what it has used itself.",
        False,
    ),
    Setting(
        "queue_limit",
        _NATURAL,
        Scope.POOL,
        "How many requests wait for capacity at most; one more fails at once.",
        1_000,
    ),
    Setting(
        "timeout_mode",
        Choice(("fixed", "adaptive")),
        Scope.BOTH,
        "`adaptive`: a stream's first content is waited for as long as the member's own recent answers to "
        "prompts of about that size suggest, while another member can take over; timeout_ms is the longest. "
        "`fixed`: always as long as timeout_ms says.",
        "adaptive",
    ),
    Setting(
        "strict_events",
        Boolean(),
        Scope.BOTH,
        "A malformed event in a stream is a failure instead of being dropped and counted.",
        False,
    ),
    Setting(
        "error_rules",
        ErrorRules(),
        Scope.BOTH,
        "Your own classes of upstream errors, tried before the built-in table: each rule names a status, a "
        "pattern to find in the body, or both, and the failure kind they mean.",
    ),
    Setting(
        "context-limit",
        _POSITIVE,
        Scope.MEMBER,
        "The model's context window in tokens: prompt and answer together.",
        default_words=_BY_MODEL,
    ),
    Setting(
        "max-output",
        _POSITIVE,
        Scope.MEMBER,
        "The longest answer that the model gives, in tokens; a request that asks for a longer one asks this "
        "member for so much.",
        default_words=_BY_MODEL,
    ),
    Setting(
        "supports",
        Words(tuple(map(str, Feature))),
        Scope.MEMBER,
        "What the model takes besides text. A request with anything else passes the member over, but for "
        "`reasoning`, which is left out of it.",
        default_words=_BY_MODEL,
    ),
    Setting(
        "refuses",
        Words(tuple(map(str, Refusal))),
        Scope.MEMBER,
        "What the model answers with an error, and is left out of requests to it: `sampling` (temperature, "
        "top_p, top_k, penalties), `thinking-budget` (it thinks adaptively instead).",
        default_words=_BY_MODEL,
    ),
    Setting(
        "price",
        Amounts(("input", "output", "cached_input", "cache_write", "reasoning")),
        Scope.MEMBER,
        "US dollars for a million tokens.",
        default_words=_BY_MODEL,
    ),
    Setting(
        "tokenizer",
        Choice(tuple(map(str, Tokenizer))),
        Scope.MEMBER,
        "Whose way of cutting texts into tokens comes nearest to the model's, for estimates.",
        default_words=_BY_MODEL,
    ),
    Setting(
        "base-url",
        BASE_URL,
        Scope.MEMBER,
        "Where the backend is, up to and including its version path.",
        default_words="the provider alias's",
    ),
    Setting(
        "auth-key-env",
        VARIABLE,
        Scope.MEMBER,
        "Environment variable that holds the key.",
        default_words="the provider alias's, if the base URL is the alias's too",
        secret=True,
    ),
    Setting(
        "auth-keyfile",
        TEXT,
        Scope.MEMBER,
        "File that holds the key on its one line. `~` expands; a relative path starts at the profile's "
        "folder.",
        secret=True,
    ),
    Setting(
        "auth-key-name",
        TEXT,
        Scope.MEMBER,
        "Entry of the OS keyring, service `understudy`, that holds the key (extra `keyring`).",
        secret=True,
    ),
    Setting("auth-key", TEXT, Scope.MEMBER, "The key itself: accepted, but warned about.", secret=True),
    Setting(
        "ca-file",
        TEXT,
        Scope.MEMBER,
        "PEM bundle of certificate authorities to trust besides the system's. `~` expands; a relative path "
        "starts at the profile's folder.",
    ),
)


FACTS = ("context-limit", "max-output", "supports", "refuses", "price", "tokenizer")
"""The settings that tell what a member's model is like."""


def spelled(key: str) -> str:
    """The key with snake and kebab spelling made one."""
    return key.replace("-", "_")


_BY_SPELLING = {spelled(setting.key): setting for setting in REGISTRY}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if any is like it at all."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def lookup(key: str) -> Setting:
    """The registry's row for `key`; raises `SettingError` that offers the nearest known key."""
    setting = _BY_SPELLING.get(spelled(key))
    if setting is None:
        likely = nearest(spelled(key).lower(), _BY_SPELLING)
        hint = (
            f"did you mean {_BY_SPELLING[likely].key}?"
            if likely
            else "/set or the settings reference lists all keys"
        )
        raise SettingError(f"unknown setting {key!r}", hint=hint)
    return setting


@dataclass(frozen=True, slots=True)
class Layers:
    """Checked values by canonical key, one mapping per source (rule 2)."""

    profile: Mapping[str, Any] = field(default_factory=dict)
    member: Mapping[str, Any] = field(default_factory=dict)
    option: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    def effective(self, key: str) -> tuple[Any, Source]:
        """The value in force and where it came from."""
        setting = lookup(key)
        for source, values in (
            (Source.SESSION, self.session),
            (Source.OPTION, self.option),
            (Source.MEMBER, {} if setting.scope is Scope.POOL else self.member),
            (Source.PROFILE, {} if setting.scope is Scope.MEMBER else self.profile),
            (Source.MODEL, self.model),
        ):
            if setting.key in values:
                return values[setting.key], source
        return setting.default, Source.DEFAULT

    def value(self, key: str) -> Any:
        return self.effective(key)[0]

    def seconds(self, key: str) -> float:
        return float(self.value(key)) / 1000


def lookup_live(key: str) -> Setting:
    """The setting of this name, if it may be changed while a pool lives; raises `SettingError`."""
    setting = lookup(key)
    if setting.scope is Scope.MEMBER:
        raise SettingError(
            f"{setting.key} belongs to one backend",
            hint="set it in that member's own profile, under ephemeralSettings",
        )
    return setting


def check_live(key: str, text: str) -> tuple[str, Any]:
    """A ``/set`` or ``--set`` value, checked; raises `SettingError`, also for a member's own settings."""
    setting = lookup_live(key)
    if isinstance(setting.shape, ErrorRules):
        raise SettingError(
            f"{setting.key} can't be set from here", hint="write it into the profile's ephemeralSettings"
        )
    return setting.key, setting.parse(text)


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a circuit opens, and when it is probed. Seconds; `failure_rate` is a fraction."""

    enabled: bool = True
    failure_threshold: int = 3
    failure_window: float = 60.0
    recovery_timeout: float = 30.0
    failure_rate: float = 0.5
    half_open_max: int = 1
    panic: bool = True

    @classmethod
    def of(cls, layers: Layers) -> BreakerSettings:
        return cls(
            enabled=layers.value("circuit_breaker_enabled"),
            failure_threshold=layers.value("circuit_breaker_failure_threshold"),
            failure_window=layers.seconds("circuit_breaker_failure_window_ms"),
            recovery_timeout=layers.seconds("circuit_breaker_recovery_timeout_ms"),
            failure_rate=layers.value("circuit_breaker_failure_rate") / 100,
            half_open_max=layers.value("circuit_breaker_half_open_max"),
            panic=layers.value("panic_mode"),
        )


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How far a request goes for its answer. Seconds."""

    count: int = 2
    delay: float = 0.5
    on_network_errors: bool = True
    status_codes: frozenset[int] | None = None
    retry_after_max: float = 2.0
    wait_for_capacity: float = 20.0
    bench_max: float = 900.0
    request_timeout: float = 600.0
    max_attempts: int | None = None
    budget: float = 0.2

    @classmethod
    def of(cls, layers: Layers) -> RetrySettings:
        codes = layers.value("failover_status_codes")
        return cls(
            count=layers.value("failover_retry_count"),
            delay=layers.seconds("failover_retry_delay_ms"),
            on_network_errors=layers.value("failover_on_network_errors"),
            status_codes=None if codes is None else frozenset(codes),
            retry_after_max=layers.seconds("retry_after_max_ms"),
            wait_for_capacity=layers.seconds("wait_for_capacity_ms"),
            bench_max=layers.seconds("bench_max_ms"),
            request_timeout=layers.seconds("request_timeout_ms"),
            max_attempts=layers.value("max_attempts"),
            budget=layers.value("retry_budget_percent") / 100,
        )


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """What is done so that a stream survives its backend. Seconds.

    `scope`: who goes on with it, ``off``, ``same_model`` or ``any``.
    """

    scope: str = "same_model"
    timeout: float = 30.0
    hold: float = 0.0
    hold_tool_calls: bool = False

    @classmethod
    def of(cls, layers: Layers) -> RecoverySettings:
        return cls(
            scope=layers.value("stream_recovery"),
            timeout=layers.seconds("recovery_timeout_ms"),
            hold=layers.seconds("stream_hold_ms"),
            hold_tool_calls=layers.value("hold_tool_calls"),
        )


@dataclass(frozen=True, slots=True)
class HedgeSettings:
    """When a second backend is asked besides the first: `after` seconds, or after a percentile of its own."""

    after: float | None = None
    percentile: int | None = None
    budget: float = 0.1

    @property
    def is_on(self) -> bool:
        return self.after is not None or self.percentile is not None

    @classmethod
    def of(cls, layers: Layers) -> HedgeSettings:
        late = layers.value("hedge")
        return cls(
            after=late / 1000 if isinstance(late, int) else None,
            percentile=int(late[1:]) if isinstance(late, str) and late != "off" else None,
            budget=layers.value("hedge_budget_percent") / 100,
        )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """One attempt's clocks, in seconds from its start; `stall` from the last event.

    Timeouts()                    # the defaults
    Timeouts(first_content=5)     # fail over when no content came within 5 s
    """

    first_content: float = 60.0
    unary: float = 240.0
    connect: float = 5.0
    stall: float = 30.0

    @classmethod
    def of(cls, layers: Layers) -> Timeouts:
        first_content = layers.seconds("timeout_ms")
        unary = layers.value("unary_timeout_ms")
        return cls(
            first_content=first_content,
            unary=max(first_content, 240.0) if unary is None else unary / 1000,
            connect=layers.seconds("connect_timeout_ms"),
            stall=layers.seconds("stall_timeout_ms"),
        )


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What is the most for one member: in any minute, or at the same time. None is without end.

    Ceilings(tokens=90_000, requests=500)    # as the provider's contract has it
    """

    tokens: int | None = None
    requests: int | None = None
    concurrency: int | None = None
    takeovers: int | None = None

    @classmethod
    def of(cls, layers: Layers) -> Ceilings | None:
        """None if nothing is limited, which is then not looked at."""
        ceilings = cls(*map(layers.value, ("tpm_limit", "rpm_limit", "max_concurrency", "failover_in_rpm")))
        return None if ceilings == cls() else ceilings


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """How load moves between members. Seconds."""

    failback_after: float = 300.0
    slow_start: float = 30.0
    queue_limit: int = 1000

    @classmethod
    def of(cls, layers: Layers) -> RoutingSettings:
        return cls(
            failback_after=layers.seconds("failback_after_ms"),
            slow_start=layers.seconds("slow_start_ms"),
            queue_limit=layers.value("queue_limit"),
        )


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """What holds for one member: its clocks, floor and ceilings, and what is known of its model.

    `model` is its name at the provider, `identity` what it is whoever provides it; "" is not known.
    `adaptive`: its first-content clock goes by its own recent answers.
    `answer_limit` is how many tokens it is asked for where a request does not say; 0 if nobody does.
    """

    timeouts: Timeouts = Timeouts()
    tpm_threshold: int | None = None
    strict_events: bool = False
    error_rules: tuple[ErrorRule, ...] = ()
    facts: Facts = field(default_factory=Facts)
    model: str = ""
    identity: str = ""
    weight: int = 1
    ceilings: Ceilings | None = None
    adaptive: bool = True
    answer_limit: int = 0

    @classmethod
    def of(cls, layers: Layers, model: str = "", answer_limit: int = 0) -> MemberSettings:
        return cls(
            timeouts=Timeouts.of(layers),
            tpm_threshold=layers.value("tpm_threshold"),
            strict_events=layers.value("strict_events"),
            error_rules=layers.value("error_rules") or (),
            facts=Facts.of({key: layers.value(key) for key in FACTS}),
            model=model,
            identity=layers.value("model-identity") or "",
            weight=layers.value("weight"),
            ceilings=Ceilings.of(layers),
            adaptive=layers.value("timeout_mode") == "adaptive",
            answer_limit=answer_limit,
        )


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What holds for a whole pool."""

    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    tpm_measure: str = "serving"
    recovery: RecoverySettings = RecoverySettings()
    hedge: HedgeSettings = HedgeSettings()
    routing: RoutingSettings = RoutingSettings()
    ceilings_fail_closed: bool = False

    @classmethod
    def of(cls, layers: Layers) -> PoolSettings:
        return cls(
            breaker=BreakerSettings.of(layers),
            retry=RetrySettings.of(layers),
            tpm_measure=layers.value("tpm_measure"),
            recovery=RecoverySettings.of(layers),
            hedge=HedgeSettings.of(layers),
            routing=RoutingSettings.of(layers),
            ceilings_fail_closed=layers.value("ceilings_fail_closed"),
        )
