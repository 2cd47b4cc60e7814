"""What the caller has been told of an answer, and how another attempt goes on with it.

1. Going on is asked for by replay or by continuation (`core.recovery`), and read through a `Seam`.
2. A continuation suits an answer that is text alone, of a request for one answer, without reasoning and not
   prefilled itself.
3. The usage shown is the first part's input, and the output that was shown: what a replay's backend counted;
   for a continuation what it counted, less what had to come again, and what was there before; else an
   estimate. Each part's own bill stays in the trail, the metrics and the cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from understudy.core.attempt import Attempt
from understudy.core.facts import Feature
from understudy.core.member import Member
from understudy.core.recovery import Way, may_go_on
from understudy.runtime.backend import Backend, Request
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.continuation import continued
from understudy.wire.dialect import BadRequest
from understudy.wire.needs import Needs
from understudy.wire.seam import Seam, Transcript, cut
from understudy.wire.tokens import estimate

_NOT_PREFILLED = frozenset((Feature.REASONING, Feature.PREFILL))


class Part(NamedTuple):
    """What an attempt asks for, and through which seam its answer is read."""

    request: Request
    needs: Needs
    seam: Seam | None = None


class Told:
    """What the caller has been told. The dispatch knows it as `core.recovery.Shown`."""

    __slots__ = ("_first", "_input", "_needs", "_prefill", "_request", "_same_model", "_way", "transcript")

    def __init__(self, request: Request, needs: Needs) -> None:
        self._request = request
        self._needs = needs
        self.transcript = Transcript()
        self._first: Member | None = None
        self._input: Usage | None = None  # the first part's
        self._way: Way | None = None  # of the newest part
        self._same_model = True
        self._prefill = ""  # what a continuation was given

    def __repr__(self) -> str:
        return f"<Told: {self.transcript!r}>"

    def add(self, chunks: Iterable[ChatChunk]) -> None:
        self.transcript.add(chunks)

    @property
    def text(self) -> str:
        return self.transcript.text

    @property
    def tokens(self) -> int:
        said = self.transcript.said.values()
        return _tokens("".join(one.reasoning + one.text + one.refusal for one in said))

    @property
    def can_be_matched(self) -> bool:
        return self.transcript.is_text

    @property
    def can_be_prefilled(self) -> bool:
        """Rule 2."""
        said = self.transcript.said
        if self._request.choices > 1 or set(said) != {0} or self._needs.features & _NOT_PREFILLED:
            return False
        one = said[0]
        return not one.reasoning and not one.refusal and bool(cut(one.text).prefill)

    @property
    def is_resumed(self) -> bool:
        """Has another attempt been asked to go on?"""
        return self._way is not None

    def broke_off(self, attempt: Attempt, usage: Usage | None) -> None:
        """The attempt that spoke last did. `usage` is what it cost."""
        if self._first is None:
            self._first = attempt.member
            self._input = usage

    def part(self, attempt: Attempt, backend: Backend) -> Part:
        """What the attempt is to ask for."""
        if attempt.way is None:
            return Part(self._request, self._needs)
        assert self._first is not None, "nothing broke off"
        self._way = attempt.way
        self._same_model = may_go_on(attempt.member, self._first, "same_model")
        if attempt.way is Way.REPLAY:
            seam = Seam.replay(self.transcript, same_model=self._same_model)
            return Part(self._request, self._needs, seam)
        return self._continuation(backend)

    def usage(self, usage: Usage | None) -> Usage | None:
        """What is shown of the answer's cost, if `usage` is what its newest part cost (rule 3)."""
        if self._way is None or usage is None:
            return usage
        shown = self._shown_input(usage)
        output = self._shown_output(usage)
        return msgspec.structs.replace(
            shown,
            output_tokens=self.tokens if output is None else output,
            reasoning_tokens=usage.reasoning_tokens if self._way is Way.REPLAY and self._same_model else 0,
            estimated=shown.estimated or output is None or self._way is Way.CONTINUATION,
        )

    def _continuation(self, backend: Backend) -> Part:
        prefill, tail = cut(self.transcript.said[0].text)
        self._prefill = prefill
        seam = Seam.continuation(self.transcript, tail)
        try:
            request = continued(
                self._request,
                prefill,
                _tokens(prefill),
                native=backend.is_native(self._request),
                defaults=backend.defaults,
                more=backend.continuation,
            )
        except (BadRequest, ValueError, TypeError):
            # The backend's format cannot say the request; sending it will tell in which words.
            return Part(self._request, self._needs, seam)
        return Part(request, Needs(request), seam)

    def _shown_input(self, usage: Usage) -> Usage:
        """The first part's as it was reported, else the replay's, else the first part's estimate."""
        first = self._input
        if first is not None and not first.estimated:
            return first
        if self._way is Way.REPLAY and self._same_model and not usage.estimated:
            return usage
        return first or Usage(self._needs.prompt_tokens(None), estimated=True)

    def _shown_output(self, usage: Usage) -> int | None:
        """None where nobody counted it: another model's count has its own thoughts in it."""
        if usage.estimated:
            return None
        if self._way is Way.CONTINUATION:
            return _tokens(self._prefill) + usage.output_tokens
        return usage.output_tokens if self._same_model else None


def _tokens(text: str) -> int:
    return round(estimate(text)) if text else 0
