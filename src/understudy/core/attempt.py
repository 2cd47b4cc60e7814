"""One try on one backend, from its permit to its end. `core.dispatch` makes and settles them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from understudy.core.outcome import Abandoned, Failure, Outcome, Success
from understudy.core.window import StreamEvidence
from understudy.errors import AttemptEntry, FailureKind

if TYPE_CHECKING:
    from understudy.core.breaker import Permit
    from understudy.core.ceiling import Reservation
    from understudy.core.consent import Taken
    from understudy.core.cost import Cost
    from understudy.core.member import Member
    from understudy.core.patience import SizeClass
    from understudy.core.recovery import Way
    from understudy.core.settings import MemberSettings


class Attempt(msgspec.Struct, eq=False):
    """A running or ended attempt. Instants are the dispatch's `now`; None is "not yet".

    `limit_at` is the instant of the attempt's own limit: first content for a stream, the whole answer
    for a unary call. It keeps the settings it began with. `accepted`: its empty answer was the answer.
    `is_hedge`: it was made beside a late one; `is_trial`: it finds out whether its member still loses every
    race (`core.silence`). `way` is how it goes on with an answer that broke off, None if
    it begins one. `size_class` is what is known of answers to prompts of its size, if its clock goes by that;
    `patience` its limit in seconds, where that is shorter than the settings' (`core.patience`). `reservation`
    is what it has taken of the member's ceilings, `room` what of that others know who share the pool. `cost`
    is known once it has ended, if its price is.

    A struct of msgspec, as most of what is made for each request: two thirds of it are defaults, and it is
    made in half the time that setting them one by one takes.
    """

    member: Member
    number: int
    permit: Permit
    started_at: float
    stream: bool
    settings: MemberSettings
    limit_at: float
    accepted: bool = False
    committed_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    evidence: StreamEvidence | None = None
    status: int | None = None
    reconnected: bool = False
    malformed_events: int = 0
    dropped_field: str = ""
    left_out: tuple[str, ...] = ()
    answer_limit: int | None = None
    is_hedge: bool = False
    is_trial: bool = False
    way: Way | None = None
    size_class: SizeClass | None = None
    patience: float | None = None
    reservation: Reservation | None = None
    cost: Cost | None = None
    room: Taken | None = None

    @classmethod
    def begin(cls, member: Member, number: int, permit: Permit, now: float, *, stream: bool) -> Self:
        settings = member.settings
        limit = settings.timeouts.first_content if stream else settings.timeouts.unary
        return cls(member, number, permit, now, stream, settings, now + limit)

    def __repr__(self) -> str:
        return f"<Attempt {self.number} on {self.member.name}, {self.outcome_word()}>"

    @property
    def cost_usd(self) -> float | None:
        return None if self.cost is None else self.cost.usd

    @property
    def limit(self) -> float:
        """The attempt's own limit in seconds."""
        return self.limit_at - self.started_at

    def hurry(self, seconds: float) -> None:
        """Give it no longer than this for its first content."""
        self.patience = seconds
        self.limit_at = self.started_at + seconds

    def relax(self) -> None:
        """It has as long as its settings say, after all."""
        self.patience = None
        self.limit_at = self.started_at + self.settings.timeouts.first_content

    @property
    def was_hurried(self) -> bool:
        """Was it cut off sooner than its settings say?"""
        match self.outcome:
            case Failure(kind=FailureKind.TIMEOUT):
                return self.patience is not None
        return False

    def asked_until(self, now: float) -> float:
        """The instant of the first content, or of the end without any."""
        until = self.committed_at or self.ended_at
        return now if until is None else until

    def outcome_word(self) -> str:
        """The outcome as a trail shows it."""
        match self.outcome:
            case None:
                return "running"
            case Success():
                return "success"
            case Failure(kind=kind):
                return "refused" if self.accepted else str(kind)
            case _:
                return str(FailureKind.CANCELLED)

    def entry(self, began: float) -> AttemptEntry:
        """The attempt in a trail of a request that began at `began`."""
        ended, committed = self.ended_at, self.committed_at
        return AttemptEntry(
            backend=self.member.name,
            attempt=self.number,
            outcome=self.outcome_word(),
            status=self.status,
            started=self.started_at - began,
            duration=None if ended is None else ended - self.started_at,
            first_content=None if committed is None else committed - self.started_at,
            message="" if self.outcome is None or isinstance(self.outcome, Success) else self.outcome.message,
            reconnected=self.reconnected,
            malformed_events=self.malformed_events,
            dropped_field=self.dropped_field,
            left_out=self.left_out,
            answer_limit=self.answer_limit,
            recovery=self.way or "",
            hedge=self.is_hedge,
            lost=isinstance(self.outcome, Abandoned) and self.outcome.lost,
            patience=self.patience,
            cost_usd=self.cost_usd,
            cost_estimated=self.cost is not None and self.cost.estimated,
        )
