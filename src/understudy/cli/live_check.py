"""One small request to each member by itself, all at the same time.

1. Each is asked once: no retry, no failover, no waiting; its own limits hold. A member that is listed
   twice is asked once.
2. The answer is cut short by ``max_tokens``; a model that knows only ``max_completion_tokens`` is asked
   again with that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from understudy.cli import failures
from understudy.cli.foreign_text import one_line
from understudy.cli.inspection import Inspection, MemberReport
from understudy.config.pool import PoolProfile
from understudy.config.profile import LoadBalancerProfile
from understudy.errors import AttemptEntry, FailureKind, RequestError
from understudy.library.balancer import Balancer
from understudy.library.chat_stream import ChatStream

PROMPT = "Say OK."
_TOKENS = 16
_NEWER_FIELD = "max_completion_tokens"
_ONCE = {"failover_retry_count": 1}


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What came back; `first_content` in seconds. `failure` None means that the member answered."""

    name: str
    model: str | None = None
    first_content: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    failure: str | None = None
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        first = self.first_content
        return {
            "ok": self.failure is None,
            "model": self.model,
            "first_content_ms": None if first is None else round(first * 1000, 3),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "failure": self.failure,
            "hint": self.hint,
        }


async def ask_all(inspection: Inspection) -> dict[str, LiveResult]:
    """Every member that can be used, by name."""
    usable = [member for member in inspection.members if member.slot and not member.is_repeated]
    results = await asyncio.gather(*(_ask(_alone(member, inspection), member) for member in usable))
    return {result.name: result for result in results}


def _alone(member: MemberReport, inspection: Inspection) -> PoolProfile:
    """A pool of this member, under the load balancer's settings."""
    assert member.slot is not None  # asked for usable members only
    if not isinstance(inspection.profile, LoadBalancerProfile):
        return PoolProfile(member.name, "failover", (member.slot,))
    settings, params = inspection.profile.settings, inspection.profile.model_params
    return PoolProfile(member.name, "failover", (member.slot,), settings, params)


async def _ask(alone: PoolProfile, member: MemberReport) -> LiveResult:
    async with Balancer(alone, settings=_ONCE) as balancer:
        try:
            return await _answered(balancer.stream(PROMPT, max_tokens=_TOKENS), member)
        except RequestError as error:
            if _NEWER_FIELD not in error.message:
                return _failed(error, member)
        try:
            return await _answered(balancer.stream(PROMPT, **{_NEWER_FIELD: _TOKENS}), member)
        except RequestError as error:
            return _failed(error, member)


async def _answered(stream: ChatStream, member: MemberReport) -> LiveResult:
    answer = await stream.answer()
    attempts = [entry for entry in answer.trail if isinstance(entry, AttemptEntry)]
    first = attempts[-1].first_content
    return LiveResult(member.name, answer.model, first, answer.usage.input_tokens, answer.usage.output_tokens)


def _failed(error: RequestError, member: MemberReport) -> LiveResult:
    """There are three cases: the key, a failure of a kind, and no time left for any."""
    if not error.causes:
        return LiveResult(member.name, failure=error.message)
    cause = error.causes[-1]
    if cause.kind is FailureKind.AUTH:
        hint: str | None = f"check {member.key}"
    else:
        hint = failures.way_out(member.name, cause.kind)
    return LiveResult(member.name, failure=f"{cause.kind}: {one_line(cause.message)}", hint=hint)
