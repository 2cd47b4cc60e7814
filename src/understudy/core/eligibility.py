"""May this member be asked now? None, or the reason why not.

In this order, so that the reason shown is the one that lasts longest:

1. unusable: its file is missing or broken, or its key cannot be resolved; or an operator drains it;
2. unfit: its model can't take this request (`core.fit`);
3. too small: another member refused this request as too long, and this one's window is no larger;
4. benched: it asked to be left alone;
5. its circuit is open, or half-open with every probe out;
6. it is at a ceiling (`core.ceiling`), or has as much as it is to have so soon after an outage
   (`core.slow_start`);
7. it has nothing left to give, by its provider's own account of its limits (only skipped while another can
   serve);
8. it lost one race after another without a word (`core.silence`; only skipped while another can serve);
9. its rate is below the floor (only skipped while another can serve).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from understudy.core import ceiling
from understudy.core.breaker import State
from understudy.core.demand import UNKNOWN, Demand
from understudy.core.skip import Skip
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from understudy.core.fit import Fit
    from understudy.core.member import Member
    from understudy.core.settings import PoolSettings


__all__ = ["Skip"]


def check(
    member: Member,
    now: float,
    settings: PoolSettings,
    larger_than: int | None = None,
    fit: Fit | None = None,
    demand: Demand = UNKNOWN,
) -> Skip | None:
    """None if the member may be asked. `larger_than`: the window that was too small, 0 if unknown."""
    # This is asked of every member that a walk looks at. A healthy one is told by its fields: the four calls
    # that this saves were 40 % of the look.
    health = member.health
    if member.problem is not None or health.drained:
        return Skip(member.problem or SkipReason.DRAINED)
    if fit is not None or larger_than is not None:
        reason = unfit(member, larger_than, fit)
        if reason is not None:
            return Skip(reason)
    if now < health.benched_until:
        return Skip(SkipReason.BENCHED, returns_at(member, now, settings))
    if member.breaker.phase is not State.CLOSED and not member.breaker.admits(now, settings.breaker):
        return _circuit(member, now, settings)
    if member.settings.ceilings is not None or health.slow_start is not None:
        skip = no_room(member, now, demand)
        if skip is not None:
            return skip
    if now < health.exhausted_until:
        return Skip(SkipReason.PROVIDER_LIMIT, health.exhausted_until)
    if now < health.silence.until:
        return Skip(SkipReason.SILENT, health.silence.until)
    if member.settings.tpm_threshold is None:
        return None
    return _floor(member, member.settings.tpm_threshold, now, settings)


def no_room(member: Member, now: float, demand: Demand) -> Skip | None:
    """Why the member is to have no more for now, if it is not."""
    if member.settings.ceilings is not None:
        skip = ceiling.check(member, member.settings.ceilings, now, demand)
        if skip is not None:
            return skip
    slow_start = member.health.slow_start
    if slow_start is not None and slow_start.holds(now, member.metrics.in_flight):
        return Skip(SkipReason.SLOW_START)
    return None


def can_serve(
    member: Member,
    now: float,
    settings: PoolSettings,
    larger_than: int | None = None,
    demand: Demand = UNKNOWN,
) -> bool:
    """May the member be asked, if only as the last resort?"""
    skip = check(member, now, settings, larger_than, demand=demand)
    return skip is None or skip.is_soft


def last_resort(skipped: Sequence[tuple[Member, Skip]]) -> Member | None:
    """Of those that are only put behind: the fastest, else the one with something to give soonest."""
    soft = [pair for pair in skipped if pair[1].is_soft]
    return min(soft, key=_by_resort)[0] if soft else None


def _by_resort(pair: tuple[Member, Skip]) -> float:
    """A rate is below nought here, an instant never is."""
    _, skip = pair
    return -skip.rate if skip.rate is not None else skip.until or 0.0


def unfit(member: Member, larger_than: int | None, fit: Fit | None) -> SkipReason | None:
    """Why the member can't take this request, neither now nor later; None if it can."""
    facts = member.settings.facts
    reason = None if fit is None else fit.check(facts, member.settings.answer_limit)
    if reason is None and larger_than is not None and not is_larger(facts.context_limit, larger_than):
        return SkipReason.CONTEXT_LENGTH
    return reason


def is_larger(window: int | None, larger_than: int) -> bool:
    """Is the window larger than the one that was too small, or unknown?"""
    return window is None or window > larger_than


def returns_at(member: Member, now: float, settings: PoolSettings, demand: Demand = UNKNOWN) -> float | None:
    """When nothing will hold the member back; None if nothing does now, or nobody knows."""
    probe_at = member.breaker.next_probe_at(now, settings.breaker)
    latest = max(member.benched_until, probe_at if probe_at is not None else 0.0)
    full = no_room(member, now, demand)
    if full is not None:
        latest = max(latest, full.until or 0.0)
    return latest if now < latest < inf else None


def measured_rate(member: Member, now: float, settings: PoolSettings) -> float | None:
    """The figure that the floor judges, in tokens per minute; None without evidence."""
    window = member.window
    return window.tpm(now) if settings.tpm_measure == "window" else window.serving_rate(now)


def _circuit(member: Member, now: float, settings: PoolSettings) -> Skip:
    probing = member.breaker.state(now, settings.breaker) is State.HALF_OPEN
    reason = SkipReason.PROBE_IN_FLIGHT if probing else SkipReason.CIRCUIT_OPEN
    probe_at = member.breaker.next_probe_at(now, settings.breaker)
    return Skip(reason, None if probe_at == inf else probe_at)


def _floor(member: Member, threshold: int, now: float, settings: PoolSettings) -> Skip | None:
    rate = measured_rate(member, now, settings)
    return Skip(SkipReason.LOW_TPM, None, rate) if rate is not None and rate < threshold else None
