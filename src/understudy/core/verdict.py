"""The errors a walk can end in, put into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.demand import UNKNOWN, Demand
from understudy.core.eligibility import can_serve, check, returns_at, unfit
from understudy.core.outcome import RULES
from understudy.core.skip import Skip
from understudy.errors import (
    NEVER_USABLE,
    RETURNING,
    AllBackendsFailed,
    Cause,
    DeadlineExceeded,
    FailureKind,
    NoBackendAvailable,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
    TrailEntry,
)

if TYPE_CHECKING:
    from understudy.core.fit import Fit
    from understudy.core.member import Member
    from understudy.core.pool import Pool

ALL_UNHEALTHY = (
    "All backends are currently unhealthy (circuit breakers open). "
    "Please wait for recovery or check backend configurations."
)
_CALLERS_FAULT = frozenset(
    (
        FailureKind.INVALID_REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
        FailureKind.UNFIT,
    )
)
_CIRCUITS = frozenset((SkipReason.CIRCUIT_OPEN, SkipReason.PROBE_IN_FLIGHT))


def failed(
    pool: Pool,
    fit: Fit | None,
    causes: Sequence[Cause],
    trail: Sequence[TrailEntry],
    now: float,
    least: float | None = None,
    demand: Demand = UNKNOWN,
) -> AllBackendsFailed:
    """Something was tried and all of it failed. Of what could not be said nothing was tried.

    `least`: no sooner should the caller come back, though a backend could be asked.
    """
    first = next((cause for cause in causes if cause.kind is not FailureKind.UNFIT), causes[0])
    rejected = first.kind in _CALLERS_FAULT
    leaf = RequestRejected if rejected else AllBackendsFailed
    retryable = any(RULES[cause.kind].transient for cause in causes)
    listed = "; ".join(f"{cause.backend}: {cause.message}" for cause in causes)
    returns = returns_after(pool, fit, now, least, demand) if retryable or not rejected else None
    error = leaf(
        f"The request was rejected: {listed}" if rejected else f"All backends failed: {listed}",
        causes=causes,
        trail=trail,
        retryable=retryable,
        retry_after=returns,
    )
    error.__cause__ = cause_error(first)
    return error


def unavailable(
    pool: Pool,
    fit: Fit | None,
    began: float,
    trail: Sequence[TrailEntry],
    now: float,
    demand: Demand = UNKNOWN,
) -> NoBackendAvailable:
    """Nothing could be tried. The reasons are those that hold now, at the end of any waiting."""
    skips = _skips(pool, fit, began, now, demand)
    return NoBackendAvailable(
        " ".join((_opening(skips), "; ".join(_skip_words(skip, now - began) for skip in skips))),
        skips=skips,
        trail=trail,
        retryable=any(skip.reason in RETURNING for skip in skips),
        retry_after=soonest_return(pool, fit, now, demand),
    )


def too_late(limit: float, causes: Sequence[Cause], trail: Sequence[TrailEntry]) -> DeadlineExceeded:
    """The request's deadline passed."""
    listed = "".join(f"; {cause.backend}: {cause.message}" for cause in causes)
    return DeadlineExceeded(
        f"No answer began within {limit * 1000:.0f} ms (request_timeout_ms){listed}",
        causes=causes,
        trail=trail,
        retryable=True,
    )


def interrupted(
    broke: Cause,
    since: Sequence[Cause],
    causes: Sequence[Cause],
    trail: Sequence[TrailEntry],
    retry_after: float | None = None,
) -> StreamInterrupted:
    """`broke` is why the answer broke off, `since` why nobody could go on with it."""
    listed = "".join(f"; {cause.backend} could not go on: {cause.message}" for cause in since)
    error = StreamInterrupted(
        f"{broke.backend} broke off after its first content: {broke.message}{listed}",
        causes=causes,
        trail=trail,
        retryable=True,
        retry_after=retry_after,
    )
    error.__cause__ = cause_error(broke)
    return error


def returns_after(
    pool: Pool, fit: Fit | None, now: float, least: float | None, demand: Demand = UNKNOWN
) -> float | None:
    """How long the caller should stay away: until somebody can be asked, and no less than `least`."""
    returns = (soonest_return(pool, fit, now, demand), least)
    return max((seconds for seconds in returns if seconds is not None), default=None)


def soonest_return(pool: Pool, fit: Fit | None, now: float, demand: Demand = UNKNOWN) -> float | None:
    """Seconds until the first member can be asked again; None if one can be now, or it is unknown."""
    usable = [
        member for member in pool.members if member.problem is None and unfit(member, None, fit) is None
    ]
    if any(can_serve(member, now, pool.settings, demand=demand) for member in usable):
        return None
    returns = [returns_at(member, now, pool.settings, demand) for member in usable]
    known = [instant - now for instant in returns if instant is not None]
    return min(known, default=None)


class BackendError(Exception):
    """One backend's failure, as the ``__cause__`` of the error that the caller gets."""


def cause_error(cause: Cause) -> BackendError:
    return BackendError(str(cause))


def _skips(pool: Pool, fit: Fit | None, began: float, now: float, demand: Demand) -> tuple[SkipEntry, ...]:
    found = [(member.name, _skip(pool, fit, member, now, demand)) for member in pool.members]
    return tuple(
        SkipEntry(name, skip.reason, None if skip.until is None else skip.until - began)
        for name, skip in found
        if skip is not None
    )


def _skip(pool: Pool, fit: Fit | None, member: Member, now: float, demand: Demand) -> Skip | None:
    """Who is not passed over for anything of its own may be waited for by others."""
    skip = check(member, now, pool.settings, None, fit, demand)
    others_wait = skip is None and pool.queue.first(member.index) is not None
    return Skip(SkipReason.QUEUED) if others_wait else skip


def _opening(skips: Sequence[SkipEntry]) -> str:
    """There are four cases: nothing but circuits, a prompt too long for all, otherwise unfit, a mixture."""
    reasons = {skip.reason for skip in skips}
    if reasons <= _CIRCUITS:
        return ALL_UNHEALTHY
    reasons -= NEVER_USABLE
    if reasons == {SkipReason.CONTEXT_LENGTH}:
        return "The prompt is too long for every backend."
    if reasons and all(reason.is_unfitness for reason in reasons):
        return "No backend can take this request."
    return "No backend is available."


def _skip_words(skip: SkipEntry, elapsed: float) -> str:
    if skip.until is None:
        return f"{skip.backend}: {skip.reason}"
    return f"{skip.backend}: {skip.reason}, back in {max(0.0, skip.until - elapsed):.1f} s"
