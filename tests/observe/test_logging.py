"""Facts about log lines: their words, their levels, and what they never hold."""

from __future__ import annotations

import logging

import pytest

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
    FirstContent,
    Hedged,
    OperatorActed,
    Panicked,
    Recovered,
    RecoveryStarted,
    WaitingForCapacity,
)
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, SkipReason
from understudy.observe.logging import LoggingObserver


def failed(message: str, attempt: int = 1, kind: FailureKind = FailureKind.AUTH) -> AttemptFailed:
    return AttemptFailed(0, 1, "synthetic", attempt, 2, Failure(kind, message), 5.003, 5.0, "failover")


def skipped(reason: SkipReason, measure: str = "serving") -> BackendSkipped:
    return BackendSkipped(0, 1, "synthetic", reason, None, 4200.0, 10000, measure)


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (
            AttemptStarted(0, 1, "synthetic", 1, 2, "failover", False),
            ["DEBUG [LB:failover] Trying backend: synthetic (attempt 1/2)"],
        ),
        (failed("401 Unauthorized"), ["INFO [LB:failover] synthetic failed: 401 Unauthorized"]),
        (failed("500", attempt=2), ["INFO [LB:failover] synthetic failed after 2 attempts: 500"]),
        (
            failed("", kind=FailureKind.TIMEOUT),
            [
                "INFO [LB:timeout] synthetic: Request exceeded 5000ms",
                "INFO [LB:failover] synthetic: Backend timeout (5003ms > 5000ms), failing over",
            ],
        ),
        (
            skipped(SkipReason.CIRCUIT_OPEN),
            ["DEBUG [LB:failover] Skipping unhealthy backend: synthetic"],
        ),
        (
            FieldsLeftOut(0, 1, "synthetic", ("seed", "messages[].name")),
            ["DEBUG [LB:format] synthetic: left out of the request: seed, messages[].name"],
        ),
        (skipped(SkipReason.NO_KEY), ["DEBUG [LB:failover] Skipping backend: synthetic (no_key)"]),
        (
            skipped(SkipReason.LOW_TPM),
            [
                "DEBUG [LB:tpm] synthetic: Current TPM = 4200 (serving rate)",
                "DEBUG [LB:failover] synthetic: TPM (4200) below threshold (10000), failing over",
            ],
        ),
        (
            skipped(SkipReason.LOW_TPM, "window"),
            [
                "DEBUG [LB:tpm] synthetic: Current TPM = 4200 (window)",
                "DEBUG [LB:failover] synthetic: TPM (4200) below threshold (10000), failing over",
            ],
        ),
        (
            AttemptSucceeded(0, 1, "chutes", 1, 1.0, "failover"),
            ["DEBUG [LB:failover] Success on backend: chutes"],
        ),
        (
            AttemptSucceeded(0, 1, "chutes", 1, 1.0, "roundrobin", 4200.0),
            [
                "DEBUG [LB:roundrobin] Success on backend: chutes",
                "DEBUG [LB:tpm] chutes: Current TPM = 4200 (serving rate)",
            ],
        ),
        (BackendBenched(0, 1, "synthetic", 2.0), ["INFO [LB:bench] synthetic: left alone for 2.0 s"]),
        (
            BreakerOpened(0, 1, "synthetic", 2, 30.0),
            [
                "WARNING [circuit-breaker] synthetic: Marked unhealthy (2 failures in window)",
                "INFO [circuit-breaker] synthetic: State = open",
            ],
        ),
        (
            BreakerHalfOpened(0, 1, "synthetic", False),
            ["INFO [circuit-breaker] synthetic: Testing recovery (half-open)"],
        ),
        (BreakerClosed(0, 1, "synthetic"), ["INFO [circuit-breaker] synthetic: Recovered (state = closed)"]),
        (WaitingForCapacity(1.0, 1, 3.5), ["DEBUG [LB:wait] Waiting up to 2.5 s for a backend"]),
        (
            ConfigurationWarning(0, 1, "synthetic", "401"),
            ["WARNING [LB:config] synthetic: check key and model: 401"],
        ),
        (OperatorActed(0, 0, "synthetic", "drain"), ["WARNING [LB:operator] synthetic: drain"]),
        (
            RecoveryStarted(0, 1, "synthetic", 40, "chutes", "replay"),
            ["INFO [LB:recovery] synthetic broke off after 40 tokens, chutes goes on (replay)"],
        ),
        (Recovered(0, 1, "chutes", 1.25), ["INFO [LB:recovery] chutes went on after 1.2 s"]),
        (
            Hedged(0, 1, "synthetic", 1.25, "chutes"),
            ["INFO [LB:hedge] synthetic has said nothing for 1.2 s, chutes is asked too"],
        ),
        (
            FellSilent(0, 1, "synthetic", 3, 30.0),
            ["INFO [LB:hedge] synthetic has lost 3 races without a word, it is asked last for 30.0 s"],
        ),
        (
            Panicked(0, 1, "synthetic"),
            ["INFO [circuit-breaker] synthetic: Asked all the same, nobody else is left (panic mode)"],
        ),
        (FirstContent(0, 1, "synthetic", 0.1), []),
    ],
)
def test_each_fact_has_its_line(event: Event, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="understudy"):
        LoggingObserver().observe(event)
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == lines
    assert all(record.name.startswith("understudy.") for record in caplog.records)
