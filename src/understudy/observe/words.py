"""Decisions in words: a request's trail, and what happened to a member. Every face says it like this.

1. A trail is told one line an entry, in order, whatever an upstream wrote into it. Skipped members return at
   an instant counted from the request's begin, because that is all a trail knows.
2. The decision is the same trail on one line: who was tried in vain, who was passed over, and who answered.
   Tries of the same member are one step, and so are members passed over for the same reason; what no request
   of the profile can change (a member without a key) is left out while anybody else is named. Of a
   long way the middle is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from understudy.core.cost import dollars
from understudy.core.events import (
    BackendBenched,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigurationWarning,
    Event,
    OperatorActed,
)
from understudy.errors import AttemptEntry, FailureKind, SkipEntry, SkipReason, TrailEntry
from understudy.observe.foreign_text import one_line

_SKIPPED: dict[SkipReason, str] = {
    SkipReason.MISSING: "it can't be used",
    SkipReason.NO_KEY: "it has no key",
    SkipReason.DRAINED: "drained by an operator",
    SkipReason.CIRCUIT_OPEN: "circuit open",
    SkipReason.PROBE_IN_FLIGHT: "a probe is in flight",
    SkipReason.BENCHED: "benched",
    SkipReason.CONCURRENCY: "as many attempts in flight as max_concurrency",
    SkipReason.RPM_LIMIT: "as many attempts in this minute as rpm_limit",
    SkipReason.TPM_LIMIT: "no room for so many tokens under tpm_limit",
    SkipReason.CEILING_UNKNOWN: "the shared state does not say what is left under its ceilings",
    SkipReason.FAILOVER_BUDGET: "as many taken over in this minute as failover_in_rpm",
    SkipReason.SLOW_START: "being eased in after an outage",
    SkipReason.QUEUED: "others wait for it already",
    SkipReason.PROVIDER_LIMIT: "its provider says its limit is used up",
    SkipReason.SILENT: "it said nothing while others answered",
    SkipReason.LOW_TPM: "slower than tpm_threshold",
    SkipReason.CONTEXT_LENGTH: "its context window is too small",
    SkipReason.NO_TOOLS: "its model takes no tools",
    SkipReason.NO_IMAGES: "its model takes no images",
    SkipReason.NO_FILES: "its model takes no files",
    SkipReason.NO_AUDIO: "its model takes no audio",
    SkipReason.NO_JSON_SCHEMA: "its model takes no JSON schema",
    SkipReason.NO_PREFILL: "its model does not go on with a prefilled answer",
}
# What no failover note is about: these hold for every request and were said at loading.
_LASTING = (SkipReason.MISSING, SkipReason.NO_KEY, SkipReason.DRAINED)


def trail_words(trail: Iterable[TrailEntry]) -> str:
    """The trail, a numbered line an entry."""
    return "\n".join(f"{number}. {entry_words(entry)}" for number, entry in enumerate(trail, 1))


def entry_words(entry: TrailEntry) -> str:
    """One entry of a trail, on one line."""
    return one_line(_words(entry))


def _words(entry: TrailEntry) -> str:
    if isinstance(entry, SkipEntry):
        back = "" if entry.until is None else f", back {_time(entry.until)} after the request began"
        return f"{entry.backend} was skipped: {_SKIPPED[entry.reason]}{back}"
    words = f"{entry.backend}, attempt {entry.attempt}: {_outcome(entry)}"
    return "; ".join([words, *_remarks(entry)])


def failover_note(trail: Sequence[TrailEntry], backend: str | None, model: str | None) -> str | None:
    """Who answered in whose place, in one line; None if no other had been meant to.

    answered by chutes (qwen3) after synthetic failed: server_error
    """
    others = (entry for entry in trail if entry.backend != backend)
    reasons = list(dict.fromkeys(filter(None, map(_stepped_aside, others))))
    if not reasons:
        return None
    by = f"{backend} ({model})" if model else backend
    return f"answered by {by} after {', '.join(reasons)}"


def _outcome(entry: AttemptEntry) -> str:
    """There are five cases: running, answered, accepted though empty, cancelled, and failed."""
    if entry.duration is None:
        return "still running"
    after = _time(entry.duration)
    if entry.outcome == "success":
        first = "" if entry.first_content is None else f" (first content after {_time(entry.first_content)})"
        return f"answered in {after}{first}"
    if entry.outcome == "refused":
        return f"answered in {after}, without content"
    if entry.outcome == FailureKind.CANCELLED:
        return f"cancelled after {after}" + (", because another was faster" if entry.lost else "")
    message = f" ({entry.message})" if entry.message else ""
    return f"failed after {after}: {entry.outcome}{message}"


def _remarks(entry: AttemptEntry) -> list[str]:
    remarks = []
    if entry.recovery:
        remarks.append(f"to go on with the broken answer, by {entry.recovery}")
    if entry.hedge:
        remarks.append("asked beside one that was late")
    if entry.reconnected:
        remarks.append("the kept connection was dead, so it was made anew")
    if entry.dropped_field:
        remarks.append(f"asked once more without {entry.dropped_field}")
    if entry.patience is not None:
        remarks.append(f"given {_time(entry.patience)} for its first content, by its own recent answers")
    if entry.answer_limit is not None:
        remarks.append(f"asked for no more than {entry.answer_limit} tokens")
    if entry.left_out:
        remarks.append(f"not told of {', '.join(entry.left_out)}")
    if entry.malformed_events:
        remarks.append(f"malformed events dropped: {entry.malformed_events}")
    if entry.cost_usd:
        by_whom = ", by estimate" if entry.cost_estimated else ""
        remarks.append(f"it cost {dollars(entry.cost_usd)}{by_whom}")
    return remarks


def _stepped_aside(entry: TrailEntry) -> str | None:
    if isinstance(entry, SkipEntry):
        lasting = entry.reason in _LASTING
        return None if lasting else f"{entry.backend} was skipped: {_SKIPPED[entry.reason]}"
    return f"{entry.backend} was late" if entry.lost else f"{entry.backend} failed: {entry.outcome}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:.0f} ms"


# The decision on one line

_MOST_STEPS = 8
_TIMES = {1: "", 2: " twice"}


def decision_words(trail: Iterable[TrailEntry]) -> str:
    """Rule 2: ``groq: rate_limited (429) → chutes answered in 840 ms``. Empty for an empty trail."""
    entries = list(trail)
    passing = [entry for entry in entries if not (isinstance(entry, SkipEntry) and entry.reason in _LASTING)]
    steps = [_step(list(group)) for _, group in groupby(passing or entries, _same_step)]
    if len(steps) > _MOST_STEPS:
        left_out = len(steps) - _MOST_STEPS + 1
        steps[_MOST_STEPS - 2 : -1] = [f"{left_out} steps more"]
    return one_line(" → ".join(steps))


def _same_step(entry: TrailEntry) -> tuple[object, ...]:
    if isinstance(entry, SkipEntry):
        return (entry.reason,)
    return entry.backend, entry.outcome, entry.status, bool(entry.recovery), entry.hedge


def _step(group: Sequence[TrailEntry]) -> str:
    last = group[-1]
    if isinstance(last, SkipEntry):
        names = ", ".join(dict.fromkeys(entry.backend for entry in group))
        return f"{names} skipped: {_SKIPPED[last.reason]}"
    return f"{last.backend}{_tried(last)}{_TIMES.get(len(group), f' {len(group)} times')}"


def _tried(entry: AttemptEntry) -> str:
    """There are six cases: running, answered, accepted though empty, overtaken, cancelled, and failed."""
    beside = ", asked beside it," if entry.hedge else ""
    if entry.duration is None:
        return f"{beside} is being asked"
    after = _shortly(entry.duration)
    if entry.outcome == "success":
        return f"{beside} went on in {after}" if entry.recovery else f"{beside} answered in {after}"
    if entry.outcome == "refused":
        return f"{beside} answered in {after}, without content"
    if entry.lost:
        return f"{beside} was late"
    if entry.outcome == FailureKind.CANCELLED:
        return f"{beside} cancelled after {after}"
    status = "" if entry.status in (None, 200) else f" ({entry.status})"
    broke = " broke off" if entry.first_content is not None else ""
    return f"{beside}{broke}: {entry.outcome}{status}"


def _shortly(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else _time(seconds)


# What happened to a member

_ACTIONS = {
    "reset": "reset by an operator",
    "open": "circuit held open by an operator",
    "close": "circuit held closed by an operator",
    "drain": "drained by an operator",
    "enable": "taken into service by an operator",
}


def _opened(event: BreakerOpened) -> str:
    failures = "failure" if event.failures == 1 else "failures"
    return f"circuit open after {event.failures} {failures}, probed in {_time(event.recovery)}"


_CHANGES: dict[type[Event], Callable[[Any], str]] = {
    BackendBenched: lambda event: f"benched for {_time(event.seconds)}",
    BreakerClosed: lambda event: "circuit closed, well again",
    BreakerHalfOpened: lambda event: "half-open, being probed" + (" early" if event.early else ""),
    BreakerOpened: _opened,
    ConfigurationWarning: lambda event: f"check key and model: {event.message}",
    OperatorActed: lambda event: _ACTIONS[event.action],
}


def change_words(event: Any) -> tuple[str, str] | None:
    """A member's name and what has become of it; None for facts that change nothing of any member."""
    words = _CHANGES.get(type(event))
    return None if words is None else (event.backend, one_line(words(event)))
