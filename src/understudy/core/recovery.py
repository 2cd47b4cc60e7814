"""Who may go on with an answer that broke off, and how.

1. `stream_recovery` says who: members of the first speaker's model, itself included, or any. Two members are
   of the same model if their `model` or their `model-identity` is the same.
2. What was shown must be of a kind that can be matched: a tool call that was begun cannot.
3. By continuation where the member is known to go on with a prefilled answer and has not refused that before,
   and what was shown lends itself to it; else by replay.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from understudy.core.facts import Feature

if TYPE_CHECKING:
    from understudy.core.member import Member


class Way(StrEnum):
    CONTINUATION = "continuation"
    REPLAY = "replay"


class Shown(Protocol):
    """What the caller has of an answer, as far as going on with it depends on that."""

    @property
    def tokens(self) -> int:
        """How many there are, if only as an estimate."""
        ...

    @property
    def can_be_matched(self) -> bool:
        """Is there nothing in it but text?"""
        ...

    @property
    def can_be_prefilled(self) -> bool:
        """Can it be put into a model's mouth?"""
        ...


def may_go_on(member: Member, first: Member, scope: str) -> bool:
    """Rule 1. `scope` is ``same_model`` or ``any``."""
    return scope == "any" or member is first or is_same_model(member, first)


def is_same_model(one: Member, other: Member) -> bool:
    mine, yours = one.settings, other.settings
    if mine.model and mine.model == yours.model:
        return True
    return bool(mine.identity) and mine.identity == yours.identity


def way_of(member: Member, shown: Shown) -> Way:
    """Rule 3."""
    supports = member.settings.facts.supports
    known = supports is not None and Feature.PREFILL in supports
    if known and not member.health.refuses_prefill and shown.can_be_prefilled:
        return Way.CONTINUATION
    return Way.REPLAY
