"""Log lines: a fact and its values, on loggers below ``understudy``.

Breaker transitions are one line each, at WARNING or INFO; failures are INFO; what belongs to every
request is DEBUG. No line ever holds a key, a prompt or an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from understudy.core.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BackendBenched,
    BackendSkipped,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigurationWarning,
    Event,
    FellSilent,
    FieldsLeftOut,
    Hedged,
    OperatorActed,
    Panicked,
    Recovered,
    RecoveryStarted,
    VerdictAdopted,
    WaitingForCapacity,
)
from understudy.errors import FailureKind, SkipReason

# A library says nothing unless the application has set logging up.
logging.getLogger("understudy").addHandler(logging.NullHandler())

_balancer = logging.getLogger("understudy.lb.failover")
_timeout = logging.getLogger("understudy.lb.timeout")
_tpm = logging.getLogger("understudy.lb.tpm")
_recovery = logging.getLogger("understudy.lb.recovery")
_hedge = logging.getLogger("understudy.lb.hedge")
_operator = logging.getLogger("understudy.lb.operator")
_breaker = logging.getLogger("understudy.circuit-breaker")


def _log_start(event: AttemptStarted) -> None:
    _balancer.debug(
        "[LB:%s] Trying backend: %s (attempt %d/%d)",
        event.policy, event.backend, event.attempt, event.allowed,
    )  # fmt: skip


def _log_success(event: AttemptSucceeded) -> None:
    _balancer.debug("[LB:%s] Success on backend: %s", event.policy, event.backend)
    if event.rate is not None:
        _tpm.debug("[LB:tpm] %s: Current TPM = %.0f (serving rate)", event.backend, event.rate)


def _log_failure(event: AttemptFailed) -> None:
    """There are three cases: a timeout, the last of several attempts, any other failure."""
    if event.failure.kind is FailureKind.TIMEOUT:
        limit = event.limit * 1000
        _timeout.info("[LB:timeout] %s: Request exceeded %.0fms", event.backend, limit)
        _balancer.info(
            "[LB:%s] %s: Backend timeout (%.0fms > %.0fms), failing over",
            event.policy, event.backend, event.duration * 1000, limit,
        )  # fmt: skip
    elif event.attempt > 1 and event.attempt >= event.allowed:
        _balancer.info(
            "[LB:%s] %s failed after %d attempts: %s",
            event.policy, event.backend, event.attempt, event.failure.message,
        )  # fmt: skip
    else:
        _balancer.info("[LB:%s] %s failed: %s", event.policy, event.backend, event.failure.message)


def _log_skip(event: BackendSkipped) -> None:
    """There are three cases: an unhealthy member, one below the floor, any other reason."""
    if event.reason in (SkipReason.CIRCUIT_OPEN, SkipReason.PROBE_IN_FLIGHT):
        _balancer.debug("[LB:failover] Skipping unhealthy backend: %s", event.backend)
    elif event.reason is SkipReason.LOW_TPM:
        words = "serving rate" if event.measure == "serving" else "window"
        _tpm.debug("[LB:tpm] %s: Current TPM = %.0f (%s)", event.backend, event.rate, words)
        _balancer.debug(
            "[LB:failover] %s: TPM (%.0f) below threshold (%s), failing over",
            event.backend, event.rate, event.threshold,
        )  # fmt: skip
    else:
        _balancer.debug("[LB:failover] Skipping backend: %s (%s)", event.backend, event.reason)


def _log_left_out(event: FieldsLeftOut) -> None:
    _balancer.debug("[LB:format] %s: left out of the request: %s", event.backend, ", ".join(event.fields))


def _log_bench(event: BackendBenched) -> None:
    _balancer.info("[LB:bench] %s: left alone for %.1f s", event.backend, event.seconds)


def _log_opening(event: BreakerOpened) -> None:
    _breaker.warning(
        "[circuit-breaker] %s: Marked unhealthy (%d failures in window)", event.backend, event.failures
    )
    _breaker.info("[circuit-breaker] %s: State = open", event.backend)


def _log_testing(event: BreakerHalfOpened) -> None:
    _breaker.info("[circuit-breaker] %s: Testing recovery (half-open)", event.backend)


def _log_recovery(event: BreakerClosed) -> None:
    _breaker.info("[circuit-breaker] %s: Recovered (state = closed)", event.backend)


def _log_hedge(event: Hedged) -> None:
    _hedge.info(
        "[LB:hedge] %s has said nothing for %.1f s, %s is asked too", event.late, event.after, event.backend
    )


def _log_silence(event: FellSilent) -> None:
    _hedge.info(
        "[LB:hedge] %s has lost %d races without a word, it is asked last for %.1f s",
        event.backend, event.races, event.seconds,
    )  # fmt: skip


def _log_panic(event: Panicked) -> None:
    _breaker.info("[circuit-breaker] %s: Asked all the same, nobody else is left (panic mode)", event.backend)


def _log_break(event: RecoveryStarted) -> None:
    _recovery.info(
        "[LB:recovery] %s broke off after %d tokens, %s goes on (%s)",
        event.broken, event.tokens, event.backend, event.way,
    )  # fmt: skip


def _log_resumption(event: Recovered) -> None:
    _recovery.info("[LB:recovery] %s went on after %.1f s", event.backend, event.after)


def _log_action(event: OperatorActed) -> None:
    _operator.warning("[LB:operator] %s: %s", event.backend, event.action)


def _log_adoption(event: VerdictAdopted) -> None:
    _breaker.info("[circuit-breaker] %s: State = %s (as another process says)", event.backend, event.state)


def _log_wait(event: WaitingForCapacity) -> None:
    _balancer.debug("[LB:wait] Waiting up to %.1f s for a backend", event.until - event.at)


def _log_warning(event: ConfigurationWarning) -> None:
    _balancer.warning("[LB:config] %s: check key and model: %s", event.backend, event.message)


_LINES: dict[type[Event], Callable[[Any], None]] = {
    AttemptFailed: _log_failure,
    AttemptStarted: _log_start,
    AttemptSucceeded: _log_success,
    BackendBenched: _log_bench,
    BackendSkipped: _log_skip,
    BreakerClosed: _log_recovery,
    BreakerHalfOpened: _log_testing,
    BreakerOpened: _log_opening,
    ConfigurationWarning: _log_warning,
    FellSilent: _log_silence,
    FieldsLeftOut: _log_left_out,
    Hedged: _log_hedge,
    OperatorActed: _log_action,
    Panicked: _log_panic,
    Recovered: _log_resumption,
    RecoveryStarted: _log_break,
    VerdictAdopted: _log_adoption,
    WaitingForCapacity: _log_wait,
}


class LoggingObserver:
    """Writes each event as its log line; events without a line are passed over."""

    hears = frozenset(_LINES)

    def observe(self, event: Event) -> None:
        write = _LINES.get(type(event))
        if write is not None:
            write(event)
