"""Can a member take this request at all? The reason why not, before it is asked.

1. What is not known of a member is not held against it.
2. A feature of the request that the member's model does not take rules the member out, by the first of
   `REASONS`. Reasoning is none of them: a model without it answers all the same.
3. A prefilled answer rules out whoever does not go on with one only while another member of the pool does;
   else it is left to those who are asked what they make of it.
4. The context window rules out only what is clearly too long: the estimate of the prompt, less its error
   `MARGIN`, and the answer's own limit are more than the window. The answer's limit is the request's, else
   the one that the member's own parameters set; at most what the model gives.
5. A request's needs are looked at only for a member of which something is known, and its prompt is counted
   only for one whose window its bytes do not fit into anyhow: a token is at least one byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from understudy.core.facts import Facts, Feature, Tokenizer
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.member import Member

MARGIN = 0.15

REASONS = {
    Feature.TOOLS: SkipReason.NO_TOOLS,
    Feature.IMAGES: SkipReason.NO_IMAGES,
    Feature.FILES: SkipReason.NO_FILES,
    Feature.AUDIO: SkipReason.NO_AUDIO,
    Feature.JSON_SCHEMA: SkipReason.NO_JSON_SCHEMA,
    Feature.PREFILL: SkipReason.NO_PREFILL,
}


class Needs(Protocol):
    """What a request asks of whoever answers it. Each is found out when it is first asked for."""

    @property
    def features(self) -> frozenset[Feature]: ...

    @property
    def answer_limit(self) -> int:
        """The most tokens that the answer may have; 0 if the request does not say."""
        ...

    @property
    def most_tokens(self) -> int:
        """More than the prompt can have, told without counting."""
        ...

    @property
    def affinity(self) -> int:
        """64 bits: the same for requests of one session, or without one for those that begin alike."""
        ...

    def prompt_tokens(self, tokenizer: Tokenizer | None) -> int:
        """The estimate."""
        ...


class Fit:
    """One request against the members of one pool."""

    __slots__ = ("_features", "_members", "_needs")

    def __init__(self, needs: Needs, members: Iterable[Member]) -> None:
        self._needs = needs
        self._members = members
        self._features: frozenset[Feature] | None = None

    def __repr__(self) -> str:
        return f"<Fit for {self._needs!r}>"

    def check(self, facts: Facts, answer_limit: int = 0) -> SkipReason | None:
        """Why a member of these facts can't take the request; None if it may.

        `answer_limit` is the member's own, where the request sets none.
        """
        if facts.supports is not None:
            lacking = self._wanted() - facts.supports
            for feature in REASONS if lacking else ():
                if feature in lacking:
                    return REASONS[feature]
        if facts.context_limit is not None and self._is_too_long(facts, facts.context_limit, answer_limit):
            return SkipReason.CONTEXT_LENGTH
        return None

    def _wanted(self) -> frozenset[Feature]:
        """The features that rule members out (rule 3)."""
        if self._features is None:
            features = self._needs.features
            if Feature.PREFILL in features and not any(map(_goes_on, self._members)):
                features -= {Feature.PREFILL}
            self._features = features
        return self._features

    def _is_too_long(self, facts: Facts, window: int, answer_limit: int) -> bool:
        """Rules 4 and 5."""
        needs = self._needs
        answer = needs.answer_limit or answer_limit
        if facts.max_output is not None:
            answer = min(answer, facts.max_output)
        if needs.most_tokens + answer <= window:
            return False
        return needs.prompt_tokens(facts.tokenizer) * (1 - MARGIN) + answer > window


def _goes_on(member: Member) -> bool:
    return not member.is_listed_only and member.settings.facts.takes(Feature.PREFILL)
