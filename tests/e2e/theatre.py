"""A theatre: two real providers on real sockets, a balancer over them, and three views of an evening.

What the caller got is a `Show`; what the providers saw is in their logs; what the balancer thinks is in
its stats and the show's trail. Clocks are short: a backend gets 0.4 s for its first content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from understudy import Balancer, ChatChunk, LoadBalancerProfile, RequestError, StandardProfile, Usage
from understudy.core.stats import BackendStats
from understudy.errors import AttemptEntry, SkipEntry, TrailEntry
from understudy.faults import TEXT, FaultProvider, Request
from understudy.runtime.tracing import Tracer

FIRST_CONTENT = 0.4
STALL = 0.3

SETTINGS: dict[str, Any] = {
    "timeout_ms": int(FIRST_CONTENT * 1000),
    "unary_timeout_ms": int(FIRST_CONTENT * 1000),
    "stall_timeout_ms": int(STALL * 1000),
    "connect_timeout_ms": 300,
    "failover_retry_delay_ms": 10,
    "failover_retry_count": 2,
    "stream_recovery": "off",
}


class Show:
    """What one caller got."""

    def __init__(self) -> None:
        self.chunks: list[ChatChunk] = []
        self.error: RequestError | None = None
        self.trail: tuple[TrailEntry, ...] = ()
        self.backend: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def preambles(self) -> int:
        """How many distinct answers the chunks come from."""
        return len({chunk.id for chunk in self.chunks})

    @property
    def attempts(self) -> list[tuple[str, str]]:
        return [(entry.backend, entry.outcome) for entry in self.trail if isinstance(entry, AttemptEntry)]

    @property
    def skips(self) -> list[tuple[str, str]]:
        return [(entry.backend, str(entry.reason)) for entry in self.trail if isinstance(entry, SkipEntry)]


class Theatre:
    """The lead, the understudy, and the balancer ``lb`` that knows them as "lead" and "second"."""

    def __init__(self, lead: FaultProvider, second: FaultProvider, lb: Balancer) -> None:
        self.lead = lead
        self.second = second
        self.lb = lb

    async def play(self, *, stream: bool = True, **fields: Any) -> Show:
        """One request, read to its end or its error."""
        show = Show()
        call = self.lb._engine.call(_request(fields), stream=stream)
        try:
            async for chunk in call.chunks():
                show.chunks.append(chunk)
        except RequestError as error:
            show.error = error
        show.trail, show.backend, show.model = call.trail, call.backend, call.model
        show.usage, show.finish_reason = call.usage, call.finish_reason
        return show

    def stats(self, name: str = "lead") -> BackendStats:
        return next(backend for backend in self.lb.stats().backends if backend.name == name)

    async def check_nothing_is_left(self) -> None:
        """Permits are back, counts add up, providers are done with every request."""
        stats = self.lb.stats()
        assert stats.in_flight == 0
        assert stats.total_requests == stats.answered + stats.failed + stats.cancelled
        for backend in stats.backends:
            assert backend.in_flight == 0
            ended = backend.successes + backend.failures + backend.refused + backend.cancelled
            assert backend.requests == ended
        for provider in (self.lead, self.second):
            for request in provider.requests:
                await provider.wait_settled(request)

    async def check_a_healthy_call_succeeds(self) -> None:
        """The fault over, the very next request is answered in whole, by the lead if it may be asked."""
        self.lead.set_script("fine")
        before = self.stats()
        show = await self.play()
        assert (show.error, show.text, show.preambles) == (None, TEXT, 1)
        if before.circuit_breaker.state == "closed" and not before.bench_remaining_ms:
            assert show.backend == "lead"


def _request(fields: dict[str, Any]) -> Any:
    from understudy import ChatRequest

    return ChatRequest([{"role": "user", "content": "What happens when the lead falls silent?"}], fields)


@asynccontextmanager
async def theatre(
    lead: str = "fine",
    second: str = "fine",
    *,
    policy: str = "failover",
    time_scale: float = 1.0,
    lead_url: str | None = None,
    lead_settings: dict[str, Any] | None = None,
    second_settings: dict[str, Any] | None = None,
    members: Sequence[str] = ("lead", "second"),
    ssl: Any = None,
    speaks: str = "openai",
    model: str | None = None,
    lots: Random | None = None,
    tracer: Tracer | None = None,
    **settings: Any,
) -> AsyncIterator[Theatre]:
    """Open the house; `settings` are the profile's, over the short clocks. `model` None: each has its own.

    `lots` decide what the lead does by chance.
    """
    async with (
        FaultProvider(lead, time_scale=time_scale, ssl=ssl, rng=lots) as first,
        FaultProvider(second, time_scale=time_scale) as other,
    ):
        urls = {"lead": lead_url or first.base_url, "second": other.base_url}
        own = {"lead": lead_settings or {}, "second": second_settings or {}}
        profile = LoadBalancerProfile("evening", policy, tuple(members), settings={**SETTINGS, **settings})
        cast = [
            StandardProfile(
                name,
                speaks,
                model or f"{name}-model",
                settings={"base-url": urls[name], **own[name]},
            )
            for name in urls
        ]
        async with Balancer(profile, cast, tracer=tracer) as lb:
            house = Theatre(first, other, lb)
            yield house
            await house.check_nothing_is_left()


async def left_within_a_second(provider: FaultProvider, request: Request, since: float) -> None:
    """The provider saw the client go, at most a second after `since` (monotonic)."""
    closed = await provider.wait_closed(request, timeout=2)
    assert closed - since < 1.0


async def all_of(*plays: Any) -> list[Show]:
    return list(await asyncio.gather(*plays))
