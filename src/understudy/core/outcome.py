"""How an attempt ended, what it used, and what each failure kind permits.

`RULES` is the one table that says, per kind, whether the same backend may be asked again, whether
the next one is, and whether the breaker counts it. Exceptions to a row depend on more than the
kind (a Retry-After, a terminal marker, a setting) and live in `core.standing`, which reads this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from understudy.errors import FailureKind


class Again(Enum):
    """May the same backend be asked again in this request?"""

    YES = "yes"
    ONCE = "once"
    LAST_RESORT = "only if no other backend is left"
    NO = "no"


class Next(Enum):
    """Is the next backend asked?"""

    YES = "yes"
    LARGER_WINDOW = "only a member with a larger or unknown context window"
    NOT_FROM_FIRST = "no from the first member asked, yes from a later one"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: `status` stands in for the kind where an error came inside a 200 stream."""

    again: Again
    next: Next
    counts: bool
    status: int | None = None
    transient: bool = False


RULES: dict[FailureKind, Rule] = {
    FailureKind.CONNECT: Rule(Again.LAST_RESORT, Next.YES, True, transient=True),
    FailureKind.RESET: Rule(Again.YES, Next.YES, True, transient=True),
    FailureKind.TIMEOUT: Rule(Again.NO, Next.YES, True, transient=True),
    FailureKind.STALL: Rule(Again.LAST_RESORT, Next.YES, True, transient=True),
    FailureKind.TRUNCATED: Rule(Again.YES, Next.YES, True, transient=True),
    FailureKind.SERVER_ERROR: Rule(Again.YES, Next.YES, True, 500, transient=True),
    FailureKind.PROTOCOL: Rule(Again.YES, Next.YES, True, transient=True),
    FailureKind.EMPTY: Rule(Again.ONCE, Next.YES, True, transient=True),
    FailureKind.RATE_LIMITED: Rule(Again.YES, Next.YES, True, 429, transient=True),
    FailureKind.QUOTA: Rule(Again.NO, Next.YES, True, 402),
    FailureKind.AUTH: Rule(Again.NO, Next.YES, True, 401),
    FailureKind.MODEL_NOT_FOUND: Rule(Again.NO, Next.YES, True, 404),
    FailureKind.CONTEXT_LENGTH: Rule(Again.NO, Next.LARGER_WINDOW, False, 400),
    FailureKind.CONTENT_FILTER: Rule(Again.NO, Next.NO, False, 400),
    FailureKind.INVALID_REQUEST: Rule(Again.NO, Next.NOT_FROM_FIRST, False, 400),
    FailureKind.UNFIT: Rule(Again.NO, Next.YES, False, 400),
    FailureKind.MISMATCH: Rule(Again.NO, Next.YES, False, transient=True),
    FailureKind.CANCELLED: Rule(Again.NO, Next.NO, False),
    FailureKind.INTERNAL: Rule(Again.NO, Next.NO, False),
}


@dataclass(frozen=True, slots=True)
class Success:
    """A terminal marker came after content (unary: a whole answer)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt.

    `status` is the HTTP status, None where none came; `in_stream` is true when the error came
    inside a 200 body or stream. `retry_after` is in seconds from arrival. `body` is the upstream's
    error body. `terminal` matters to `empty` alone: the answer ended with a terminal marker.
    `drop_field` names what of the request to leave out: a field that the backend refuses, or state that it
    cannot read. Where that can be done, the backend is asked once more; and it is not told again if
    `drop_always`. `param` is the caller's field that is to blame, where one is known.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after: float | None = None
    body: bytes | None = None
    in_stream: bool = False
    terminal: bool = False
    drop_field: str | None = None
    drop_always: bool = False
    param: str | None = None

    @property
    def counts(self) -> bool:
        """Does the breaker count it?

        There are three cases: a 429 with Retry-After is benched instead; an `empty` with a terminal
        marker is an answer of sorts; everything else goes by the table.
        """
        if self.kind is FailureKind.RATE_LIMITED and self.retry_after is not None:
            return False
        if self.kind is FailureKind.EMPTY and self.terminal:
            return False
        return RULES[self.kind].counts

    @property
    def blames_backend(self) -> bool:
        """Is it held against the backend, by the breaker or by a bench?"""
        return self.counts or (self.retry_after is not None and self.kind is FailureKind.RATE_LIMITED)

    @property
    def is_refusal(self) -> bool:
        """Does it blame nobody? A bug of ours is no refusal, though no breaker counts it."""
        return not self.counts and self.kind is not FailureKind.INTERNAL

    @property
    def transient(self) -> bool:
        """May the same request succeed later?"""
        return RULES[self.kind].transient

    def deciding_status(self) -> int | None:
        """The status that `failover_status_codes` judges; None for what no such list can name."""
        if self.in_stream or self.status is None:
            return RULES[self.kind].status
        return self.status if self.status >= 400 else None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The caller left, the request's deadline cut the attempt short, or another was faster: nobody's fault.

    `lost`: another attempt goes on.
    """

    message: str = "the caller left"
    lost: bool = False


class Tokens(NamedTuple):
    """What one attempt used. `visible` are the output tokens that were seen as content, if known.

    `cached` (read from a cache) and `cache_write` (written to one) are part of `input`, `reasoning` is part
    of `output`.
    """

    input: int
    output: int
    estimated: bool
    visible: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


Outcome = Success | Failure | Abandoned

_CUT_OFF = frozenset((FailureKind.TIMEOUT, FailureKind.STALL, FailureKind.TRUNCATED))


def prompt_was_read(outcome: Outcome) -> bool:
    """Will the backend have read the prompt, of an attempt without an account of its tokens?

    Not that of a refusal. One that was answered, cut off, or given up, has used its prompt.
    """
    return not isinstance(outcome, Failure) or outcome.kind in _CUT_OFF
