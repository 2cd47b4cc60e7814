"""Log lines: a fact and its values, on loggers below ``understudy``.

Breaker transitions are one line each, at WARNING or INFO; failures are INFO; what belongs to every
request is DEBUG. No line ever holds a key, a prompt or an answer.
"""

from __future__ import annotations

import logging

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
    WaitingForCapacity,
)
from understudy.errors import FailureKind, SkipReason

_balancer = logging.getLogger("understudy.lb.failover")
_timeout = logging.getLogger("understudy.lb.timeout")
_tpm = logging.getLogger("understudy.lb.tpm")
_breaker = logging.getLogger("understudy.circuit-breaker")


class LoggingObserver:
    """Writes each event as a log line; events without a line are passed over."""

    def observe(self, event: Event) -> None:
        match event:
            case AttemptStarted():
                _balancer.debug(
                    "[LB:%s] Trying backend: %s (attempt %d/%d)",
                    event.policy, event.backend, event.attempt, event.allowed,
                )  # fmt: skip
            case AttemptSucceeded():
                _log_success(event)
            case AttemptFailed():
                _log_failure(event)
            case BackendSkipped():
                _log_skip(event)
            case BackendBenched():
                _balancer.info("[LB:bench] %s: left alone for %.1f s", event.backend, event.seconds)
            case BreakerOpened():
                _breaker.warning(
                    "[circuit-breaker] %s: Marked unhealthy (%d failures in window)",
                    event.backend, event.failures,
                )  # fmt: skip
                _breaker.info("[circuit-breaker] %s: State = open", event.backend)
            case BreakerHalfOpened():
                _breaker.info("[circuit-breaker] %s: Testing recovery (half-open)", event.backend)
            case BreakerClosed():
                _breaker.info("[circuit-breaker] %s: Recovered (state = closed)", event.backend)
            case WaitingForCapacity():
                _balancer.debug("[LB:wait] Waiting up to %.1f s for a backend", event.until - event.at)
            case ConfigurationWarning():
                _balancer.warning("[LB:config] %s: check key and model: %s", event.backend, event.message)


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
