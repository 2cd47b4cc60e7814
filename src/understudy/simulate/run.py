"""One simulation: a profile under a scenario, with the product's own core and runtime in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from understudy.core.pool import Pool
from understudy.library.balancer import Balancer
from understudy.simulate.backend import ModelledBackend
from understudy.simulate.cast import Cast
from understudy.simulate.clock import VirtualClock
from understudy.simulate.crowd import Crowd
from understudy.simulate.fate import Fate, Stretch, stretches
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.scenario import Scenario
from understudy.simulate.tally import Incident, Tally, Witness
from understudy.simulate.transport import ModelledTransport

_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulation leaves behind. `began` is its first instant, `ended` its last."""

    scenario: Scenario
    seed: int
    cast: Cast
    settings: Mapping[str, Any]
    tally: Tally
    attempts: int
    incidents: tuple[Incident, ...]
    pool: Pool
    began: float
    ended: float


def simulate(
    cast: Cast,
    scenario: Scenario,
    *,
    seed: int = 0,
    requests: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Play it through. `settings` override the profile's; `requests` is how many are made, or about.

    Raises `ConfigurationError` for a wrong setting, and whatever a bug of ours raises.
    """
    scenario = scaled(scenario, requests)
    loop = VirtualLoop()
    try:
        with undisturbed():
            return loop.run_until_complete(_play(cast, scenario, seed, requests, settings or {}, loop))
    finally:
        loop.close()


def scaled(scenario: Scenario, requests: int | None) -> Scenario:
    """The scenario at a rate that makes about so many requests in its time; a closed loop has none."""
    traffic = scenario.traffic
    if requests is None or traffic.process != "poisson":
        return scenario
    step = scenario.duration / _SAMPLES
    expected = sum(traffic.rate_at((number + 0.5) * step) for number in range(_SAMPLES)) * step
    sessions = Random(0)  # noqa: S311 - only a mean is wanted
    per_session = sum(max(1, round(traffic.session(sessions))) for _ in range(_SAMPLES)) / _SAMPLES
    rate = traffic.rate * requests / (expected * per_session)
    return replace(scenario, traffic=replace(traffic, rate=rate))


async def _play(
    cast: Cast,
    scenario: Scenario,
    seed: int,
    requests: int | None,
    settings: Mapping[str, Any],
    loop: VirtualLoop,
) -> Run:
    began = loop.time()
    fates = stretches(scenario, seed, began)
    backends = {
        part.url: _backend(cast, index, scenario, fates, seed) for index, part in enumerate(cast.parts)
    }
    incidents = tuple(_incidents(cast, fates))
    witness = Witness(incidents)
    balancer = Balancer(
        cast.pool,
        settings=settings,
        clock=VirtualClock(loop),
        transport=ModelledTransport({f"{url}/": backend for url, backend in backends.items()}, loop),
        rng=Random(f"{seed}/balancer"),  # noqa: S311 - jitter is no secret
        observers=[witness],
    )
    crowd = Crowd(
        scenario.traffic,
        balancer,
        loop,
        seed=seed,
        positions={slot.name: position for position, slot in enumerate(cast.pool.members, 1)},
        wordings=_wordings(cast, scenario),
        most=requests if scenario.traffic.process == "closed" else None,
    )
    async with balancer:
        await crowd.come(scenario.duration)
    await nothing_is_left(loop)
    return Run(
        scenario, seed, cast, settings, crowd.tally, witness.attempts, incidents, balancer.pool, began,
        loop.time(),
    )  # fmt: skip


async def nothing_is_left(loop: VirtualLoop) -> None:
    """A task that outlives the balancer is a leak of ours."""
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks(loop) if task is not own]
    if left:
        raise RuntimeError(f"{len(left)} tasks were left behind, the first: {left[0]!r}")


def _backend(cast: Cast, index: int, scenario: Scenario, fates: list[Stretch], seed: int) -> ModelledBackend:
    part = cast.parts[index]
    model = scenario.model(part.name, part.position)
    own = [stretch for stretch in fates if stretch.phase.concerns(part.name, part.position)]
    chance = Random(f"{seed}/backend/{part.position}")  # noqa: S311 - a model's chance
    return ModelledBackend(part.name, part.model, part.words, model, Fate(model.effects, own), chance)


def _incidents(cast: Cast, fates: list[Stretch]) -> Iterator[Incident]:
    for stretch in fates:
        for part in cast.parts:
            if stretch.phase.is_outage and stretch.phase.concerns(part.name, part.position):
                yield Incident(part.name, stretch)


def _wordings(cast: Cast, scenario: Scenario) -> list[int]:
    return sorted({scenario.model(part.name, part.position).wording for part in cast.parts})


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without log lines, of which there would be millions, and with a collector that comes seldom.

    The product ties no rings of objects, so that there is little to collect, and much to look through.
    """
    logger = logging.getLogger("understudy")
    level, thresholds = logger.level, gc.get_threshold()
    logger.setLevel(logging.CRITICAL)
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        logger.setLevel(level)
