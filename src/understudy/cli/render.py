"""What people read: the statistics, and a request's trail in words.

1. Statistics are the plain table wherever plain text is asked for or the stream is no terminal; on a
   terminal the same numbers come as a coloured table.
2. A trail is told one numbered line an entry, in order, whatever an upstream wrote into it. Skipped
   members return at an instant counted from the request's begin, because that is all a trail knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from understudy.cli.foreign_text import one_line
from understudy.errors import AttemptEntry, FailureKind, SkipEntry, SkipReason, TrailEntry

if TYPE_CHECKING:
    from understudy.core.stats import Stats

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


def stats_text(stats: Stats, stream: TextIO, *, plain: bool) -> None:
    """Print the statistics."""
    if plain or not stream.isatty():
        print(stats, file=stream)
        return
    # Imported late: it brings rich along, and pipes need none.
    from understudy.cli.stats_table import print_table

    print_table(stats, stream)


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
    return remarks


def _stepped_aside(entry: TrailEntry) -> str | None:
    if isinstance(entry, SkipEntry):
        lasting = entry.reason in _LASTING
        return None if lasting else f"{entry.backend} was skipped: {_SKIPPED[entry.reason]}"
    return f"{entry.backend} was late" if entry.lost else f"{entry.backend} failed: {entry.outcome}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:.0f} ms"
