"""What must hold whatever goes wrong, over hundreds of seeds; thousands with UNDERSTUDY_SEEDS=5000.

A seed that fails prints the command that plays it alone.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from msgspec.structs import replace

from tests.simulate.chaos import SEED, SEEDS, Trial, seeds, violations
from understudy.core.budget import Budget
from understudy.core.dispatch import Dispatch
from understudy.simulate.backend import ModelledBackend, Reply

PARTS = 8
SOME = 600


def parts() -> list[range]:
    """The seeds in parts, so that several cores can share them."""
    chosen = seeds(SOME)
    return [part for offset in range(PARTS) if (part := chosen[offset::PARTS])]


@pytest.mark.parametrize("part", parts(), ids=lambda part: f"{part[0]}-{part[-1]}")
def test_whatever_goes_wrong_the_invariants_hold(part: range) -> None:
    found = violations(part)
    assert not found, "\n".join(found)


FOUND = {
    3608: "a continuation was refused for its prefill, and a replay asked for, on one member's last attempt",
    4664: "of two attempts at once one ended the walk by its failure; the other answered, and broke off",
}
"""Seeds of the nights that something was wrong with."""


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_night_has_found_stays_mended(seed: int) -> None:
    assert not violations([seed])


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_the_same_seed_is_the_same_trial(seed: int) -> None:
    first, second = Trial(seed), Trial(seed)
    assert first.play() == second.play()
    assert first.trace == second.trace


def test_a_trial_has_everything_in_it() -> None:
    """Else the invariants would hold of nothing."""
    trials = [Trial(seed) for seed in range(60)]
    for trial in trials:
        trial.play()
    heard = [one for trial in trials for one in trial.heard]
    errors = {type(one.error).__name__ for one in heard if one.error is not None}
    assert errors >= {
        "AllBackendsFailed",
        "BalancerClosed",
        "DeadlineExceeded",
        "NoBackendAvailable",
        "RequestRejected",
        "StreamInterrupted",
    }
    assert sum(one.left for one in heard) > 50
    assert sum(one.error is None and not one.left for one in heard) > 500


# Sabotage: each invariant is seen to fail, and the command that is printed plays it again.


def replies(backend: ModelledBackend, change: Any) -> None:
    reply = backend.reply

    def changed(request: Any, now: float) -> Reply:
        return change(reply(request, now))  # type: ignore[no-any-return]

    backend.reply = changed  # type: ignore[method-assign]


def repeating(backend: ModelledBackend) -> None:
    """Every answer's second piece comes twice."""

    def change(reply: Reply) -> Reply:
        if len(reply.pieces) < 3 or reply.status != 200:
            return reply
        return replace(reply, pieces=(*reply.pieces[:2], *reply.pieces[1:]))

    replies(backend, change)


def for_ever_down(backend: ModelledBackend) -> None:
    replies(backend, lambda reply: replace(reply, status=503))


def leaking(backend: ModelledBackend) -> None:
    backend.in_flight += 1


SABOTAGES = [
    (repeating, "ended well with another text"),
    (for_ever_down, "failed long after the faults"),
    (leaking, "has open connections"),
]


@pytest.mark.parametrize(("tamper", "problem"), SABOTAGES)
def test_a_violation_prints_the_command_that_replays_it(
    tamper: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = violations(range(12), tamper=tamper)
    assert any(problem in each for each in found)
    command = re.search(rf"{SEED}=(\d+) scripts/test (\S+)", found[0])
    assert command is not None
    assert os.path.samefile(command[2], __file__)
    monkeypatch.setenv(SEED, command[1])
    assert violations(seeds(SOME), tamper=tamper) == found[:1]


@pytest.mark.parametrize(
    ("owner", "rule", "kept", "problem"),
    [
        (Dispatch, "_all_attempts_made", False, r"made \d+ attempts of"),
        (Budget, "allows", True, "repeats at"),
        (Budget, "allows", True, "hedges at"),
    ],
)
def test_a_limit_that_is_not_kept_is_a_violation(
    owner: type, rule: str, kept: bool, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not violations(range(40))
    monkeypatch.setattr(owner, rule, lambda *_: kept)
    assert any(re.search(problem, each) for each in violations(range(40)))


def test_a_crash_is_a_violation() -> None:
    def crashing(reply: Reply) -> Reply:
        raise RuntimeError("out of its part")

    (found,) = violations(range(3, 4), tamper=lambda backend: replies(backend, crashing))
    assert found.startswith(
        f"replay with: {SEED}=3 scripts/test tests/simulate/test_invariants.py\n  Internal"
    )
    assert "out of its part" in found


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(SEED, raising=False)
    monkeypatch.delenv(SEEDS, raising=False)
    return monkeypatch


def test_the_environment_chooses_how_many_seeds_or_which(environment: pytest.MonkeyPatch) -> None:
    assert seeds(600) == range(600)
    environment.setenv(SEEDS, "5000")
    assert seeds(600) == range(5000)
    environment.setenv(SEED, "17")
    assert seeds(600) == range(17, 18)
