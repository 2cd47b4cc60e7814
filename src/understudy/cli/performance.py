"""What the demo plays: five requests, in which two of three backends fail and one of them recovers.

::

    synthetic   answers 500 until it recovers
    chutes      takes requests and says nothing
    groqgpt     is well

    1, 2        both are tried and fail; groqgpt answers. In 2 synthetic's circuit opens
    3           synthetic is skipped; chutes' circuit opens
    4           both are skipped: the answer begins at once
    5           synthetic has recovered; a probe closes its circuit, and its answer is the probe's own

`Performance.play` returns what did not happen of all this, told by the balancer's own events and stats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from understudy.cli.playbill import Playbill
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.store import ProfileStore
from understudy.core.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Event, RequestEnded
from understudy.core.stats import Stats
from understudy.faults import TEXT, Answer, FaultProvider
from understudy.library.balancer import Balancer

PROFILE = "testlb489"
LEAD, SILENT, WELL = "synthetic", "chutes", "groqgpt"
PROMPT = "What happens when the lead falls silent?"
COMEBACK = "Thank you for waiting: I am back, and the next line is mine again."
SHORTER = {
    "timeout_ms": 600,
    "failover_retry_delay_ms": 100,
    "circuit_breaker_recovery_timeout_ms": 5000,
}
TOKENS_PER_SECOND = 55.0

Transition = BreakerOpened | BreakerHalfOpened | BreakerClosed


class Witness:
    """An observer that keeps what the demo's claims are judged by."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def saw(self, kind: type[Transition], backend: str) -> bool:
        return any(
            type(event) is kind and getattr(event, "backend", None) == backend for event in self.events
        )

    @property
    def failed_over(self) -> int:
        return sum(isinstance(event, RequestEnded) and event.failed_over for event in self.events)


class Performance:
    """One run of the demo, written to `playbill`.

    `recovery` is what synthetic plays in the end, `settings` those that differ from the shipped profile,
    `pace` how fast the backends speak, in tokens per second.
    """

    def __init__(
        self,
        playbill: Playbill,
        *,
        recovery: str = "fine",
        settings: Mapping[str, int] = SHORTER,
        pace: float = TOKENS_PER_SECOND,
    ) -> None:
        self._bill = playbill
        self._recovery = recovery
        self._settings = settings
        self._pace = pace
        self._witness = Witness()
        self._answers: list[bool] = []

    async def play(self) -> list[str]:
        """Play everything; returns the claims that did not come true."""
        async with _backends(self._pace) as backends:
            with TemporaryDirectory(prefix="understudy-demo-") as home:
                _save_profiles(ProfileStore(Path(home)), backends, self._settings)
                self._introduce()
                async with Balancer.load(PROFILE, home=home, observers=[self._witness]) as balancer:
                    with _log_lines(self._bill):
                        await self._requests(balancer, backends[LEAD])
                    stats = balancer.stats()
        self._conclude(stats)
        return [claim for claim, holds in self._claims(stats) if not holds]

    async def _requests(self, balancer: Balancer, lead: FaultProvider) -> None:
        await self._request(balancer, "1. Two backends fail, the third one answers")
        await self._request(balancer, f"2. The third failure opens the circuit of {LEAD}")
        await self._request(balancer, f"3. {LEAD} is skipped; the circuit of {SILENT} opens too")
        await self._request(balancer, "4. Both are skipped, and nothing is waited for")
        self._bill.heading(f"{LEAD} recovers; its circuit stays open until its time has passed")
        lead.set_script(self._recovery)
        await _probe_is_due(balancer)
        await self._request(balancer, f"5. A probe finds {LEAD} recovered and closes its circuit")

    async def _request(self, balancer: Balancer, heading: str) -> None:
        self._bill.heading(heading)
        async with balancer.stream(PROMPT) as stream:
            async for chunk in stream:
                self._bill.say(stream.backend or "", chunk.text)
            self._bill.end_answer()
            self._answers.append(stream.text in (TEXT, COMEBACK))

    def _introduce(self) -> None:
        line = self._bill.line
        line("Understudy: when a model can't go on, another steps in without dropping a line.", bold=True)
        line(f"Three local servers play the backends of the profile {PROFILE}, in this order:")
        line("")
        line(f"    {LEAD:<10} fails every request with status 500, until it recovers")
        line(f"    {SILENT:<10} takes requests and says nothing")
        line(f"    {WELL:<10} is well")
        line("")
        line("The profile is the one that ships, with shorter times:")
        for key, value in self._settings.items():
            line(f"    {key} {value}")

    def _conclude(self, stats: Stats) -> None:
        from understudy.cli.render import stats_text

        self._bill.heading(
            f"{stats.answered} of {stats.total_requests} requests answered, "
            f"{stats.failed_over} of them by another backend than the first one asked"
        )
        self._bill.line("")
        stats_text(stats, self._bill.stream, plain=self._bill.plain)
        self._bill.line("")
        self._bill.line("Your own backends: understudy profile save --help, then understudy check NAME")

    def _claims(self, stats: Stats) -> Iterator[tuple[str, bool]]:
        saw = self._witness.saw
        yield "five requests were answered", stats.answered == len(self._answers) == 5
        yield "every answer was whole, and one backend's alone", all(self._answers)
        yield "requests failed over", self._witness.failed_over >= 3
        yield f"the circuit of {LEAD} opened", saw(BreakerOpened, LEAD)
        yield f"the circuit of {LEAD} was half-open", saw(BreakerHalfOpened, LEAD)
        yield f"the circuit of {LEAD} closed", saw(BreakerClosed, LEAD)
        yield f"the circuit of {SILENT} opened", saw(BreakerOpened, SILENT)
        yield f"{LEAD} is back", stats.backends[0].successes == 1


@asynccontextmanager
async def _backends(pace: float) -> AsyncIterator[dict[str, FaultProvider]]:
    """The three servers, on free ports."""
    providers = {
        LEAD: FaultProvider("status 500", answer=Answer().saying(COMEBACK), pace=pace),
        SILENT: FaultProvider("silence"),
        WELL: FaultProvider(pace=pace),
    }
    async with AsyncExitStack() as stack:
        for provider in providers.values():
            await stack.enter_async_context(provider)
        yield providers


def _save_profiles(
    store: ProfileStore, backends: dict[str, FaultProvider], settings: Mapping[str, int]
) -> None:
    """The shipped profile and its members, with shorter times and the servers' addresses."""
    for name, provider in backends.items():
        example = store.load(name)
        assert isinstance(example, StandardProfile)
        store.save(replace(example, settings={"base-url": provider.base_url}))
    profile = store.load(PROFILE)
    assert isinstance(profile, LoadBalancerProfile)
    store.save(replace(profile, settings={**profile.settings, **settings}))


@contextmanager
def _log_lines(bill: Playbill) -> Iterator[None]:
    """The balancer's log lines go to the bill meanwhile."""
    log = logging.getLogger("understudy.lb"), logging.getLogger("understudy.circuit-breaker")
    levels = [logger.level for logger in log]
    for logger in log:
        logger.addHandler(bill)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(log, levels, strict=True):
            logger.removeHandler(bill)
            logger.setLevel(level)


async def _probe_is_due(balancer: Balancer) -> None:
    """Wait until the circuit of the first backend may be probed, as its own figures say."""
    remaining = balancer.stats().backends[0].circuit_breaker.next_probe_in_ms
    await asyncio.sleep((remaining or 0) / 1000)
