"""A scenario as frozen values: what the backends are like, what befalls them, and who asks.

`scenario_file` reads them from TOML or JSON and says what each key means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, pi
from typing import Literal

from understudy.simulate.distribution import Draw, constant, lognormal

FAILURES = (
    "connect",  # refused at once
    "unreachable",  # nobody answers until the connect timeout has passed
    "reset",  # the connection breaks before the answer's head
    "silence",  # the request is taken, and nothing ever comes
    "cut",  # the stream's connection breaks after some content
    "ended",  # the stream ends after some content as if it were whole, without a terminal marker
    "stall",  # after some content nothing more comes
    "error",  # an error event after some content
)
"""How an attempt can fail, besides an HTTP status."""

Share = tuple[str, float]
Ramp = tuple[float, float]
Span = tuple[float, float]

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Effects:
    """What holds of a backend, always or during a phase.

    `failures` are shares of its requests. `rpm` and `tpm` are ceilings, answered with 429 and Retry-After;
    beyond `concurrent` requests at a time the answer is 503, beyond `topples` it falls over. `latency` and
    `speed` are factors of what the backend is like. A ramp is the value at a phase's begin and at its end.
    """

    failures: tuple[Share, ...] = ()
    rpm: float | None = None
    tpm: float | None = None
    concurrent: Ramp | None = None
    topples: Ramp | None = None
    latency: Ramp = (1.0, 1.0)
    speed: Ramp = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Model:
    """What a backend is like. Times in seconds; `chunks` are the pieces that an answer comes in.

    `prefill`: does it go on with an answer that the caller has begun; None: what the profile says of it.
    Backends of another `wording` give other answers. `retry_after` is how they say when to come back.
    One that has fallen over is back after `restart`.
    """

    first_content: Draw = field(default=lognormal(0.6, 1.8))
    tokens_per_second: Draw = field(default=lognormal(60.0, 110.0))
    error_after: Draw = field(default=constant(0.08))
    chunks: int = 2
    prefill: bool | None = None
    wording: int = 0
    retry_after: Literal["seconds", "date"] = "seconds"
    restart: Draw = field(default=constant(15.0))
    effects: Effects = Effects()


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that befalls backends together. `backends` None are all of them.

    It begins at `begin` and lasts `length`; then again `every` so many seconds, if that is given, or `random`
    times at instants that the seed chooses. `cuts`: answers that are on their way break off when it begins.
    """

    name: str
    effects: Effects
    length: float
    begin: float = 0.0
    every: float | None = None
    random: int = 0
    backends: tuple[str | int, ...] | None = None
    cuts: bool = False

    @property
    def is_outage(self) -> bool:
        """Does a backend fail more often than not meanwhile?"""
        return sum(share for _, share in self.effects.failures) >= 0.5

    def concerns(self, name: str, position: int) -> bool:
        return self.backends is None or name in self.backends or position in self.backends


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who asks. `process` "poisson": at `rate` sessions a second, in bursts `burst_factor` as many; `daily`
    is how far the rate swings with the hour of the day. "closed": `clients` that ask, read, think.

    A session is one request, or several in a row, `think` apart. `stream` and `leaves` are shares: of
    streams, and of callers who leave after `patience` seconds at most.
    """

    process: Literal["poisson", "closed"] = "poisson"
    rate: float = 2.0
    daily: float = 0.0
    burst_every: float | None = None
    burst_length: float = 30.0
    burst_factor: float = 5.0
    clients: int = 20
    think: Draw = field(default=constant(5.0))
    session: Draw = field(default=constant(1.0))
    prompt_tokens: Draw = field(default=lognormal(400.0, 3000.0))
    answer_tokens: Draw = field(default=lognormal(150.0, 600.0))
    stream: float = 1.0
    leaves: float = 0.0
    patience: Draw = field(default=lognormal(4.0, 20.0))

    @property
    def highest_rate(self) -> float:
        return self.rate * (1 + self.daily) * (self.burst_factor if self.burst_every else 1.0)

    def rate_at(self, seconds: float) -> float:
        """Least at midnight, most at noon."""
        rate = self.rate * (1 - self.daily * cos(2 * pi * seconds / DAY))
        bursting = self.burst_every is not None and seconds % self.burst_every < self.burst_length
        return rate * self.burst_factor if bursting else rate


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it. `models` are by a member's name or its position, counted from 1; others are `default`."""

    name: str
    description: str = ""
    duration: float = 3600.0
    traffic: Traffic = Traffic()
    default: Model = Model()
    models: Mapping[str | int, Model] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()

    def model(self, name: str, position: int) -> Model:
        return self.models.get(name) or self.models.get(position) or self.default
