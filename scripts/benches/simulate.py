"""CPU of one simulated request, beside what the simulation itself costs without Understudy in it.

How it is measured:

1. A quiet day of a million requests, 12 a second, and of it as many as are asked for: streams of 2.4 pieces
   on average, three backends of known models, no faults. Every answer must come whole, or the bench fails.
2. The floor is the same callers, the same loop and the same modelled backends, with nothing between them but
   a client that always asks the first backend: it writes the request, reads events, and takes their text.
   What a row costs above it is the product's.
3. CPU time of this process, the least and the median of interleaved rounds: others on the machine only add.
4. Calls are those of functions, of the interpreter's own too, as `cProfile` counts them. They are the same on
   every machine.
"""

from __future__ import annotations

import argparse
import cProfile
import resource
import time
from collections.abc import AsyncIterator, Callable
from pstats import Stats
from random import Random
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from benches.machine import Steal, facts
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.library.balancer import Balancer
from understudy.runtime.ports import HttpRequest
from understudy.simulate import openai_words
from understudy.simulate.backend import ModelledBackend
from understudy.simulate.cast import make_cast
from understudy.simulate.crowd import Crowd
from understudy.simulate.fate import Fate
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.run import simulate, undisturbed
from understudy.simulate.scenario import DAY, Effects, Model, Scenario, Traffic
from understudy.simulate.tally import End, Tally
from understudy.simulate.transport import ModelledTransport
from understudy.wire.chat import ChatRequest

A_DAY = 1_000_000
MODEL = "gpt-4o-mini"
NAMES = ("first", "second", "third")
URL = "http://simulated/first/"

Play = Callable[[int], Tally]


def quiet(requests: int) -> Scenario:
    """As much of a quiet day."""
    return Scenario("quiet", duration=DAY * requests / A_DAY, traffic=Traffic(rate=A_DAY / DAY))


def with_understudy(requests: int) -> Tally:
    members = [StandardProfile(name, "openai", MODEL) for name in NAMES]
    return simulate(
        make_cast(LoadBalancerProfile("bench", "failover", NAMES), members), quiet(requests)
    ).tally


# The floor


class _Delta(msgspec.Struct, gc=False):
    content: str = ""


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice]


_EVENT = msgspec.json.Decoder(_Event)


class _Piece(msgspec.Struct, gc=False):
    text: str


class _Answer:
    """What a caller takes for a stream of the balancer's."""

    backend = NAMES[0]

    def __init__(self, transport: ModelledTransport, request: ChatRequest) -> None:
        self._transport = transport
        self._request = request

    async def __aiter__(self) -> AsyncIterator[_Piece]:
        body = msgspec.json.encode({"model": MODEL, "messages": self._request.messages, "stream": True})
        response = await self._transport.send(HttpRequest(URL, {}, body))
        while data := await response.read():
            for event in data.split(b"\n\n"):
                if event and event != b"data: [DONE]":
                    yield _Piece(_EVENT.decode(event[6:]).choices[0].delta.content)
        response.close()


def floor(requests: int) -> Tally:
    """The same, without Understudy (point 2)."""
    loop, scenario = VirtualLoop(), quiet(requests)
    chance = Random("0/backend/1")  # noqa: S311 - the chance that the simulation gives its first backend
    backend = ModelledBackend(NAMES[0], MODEL, openai_words, Model(), Fate(Effects(), ()), chance)
    transport = ModelledTransport({URL: backend}, loop)
    client = SimpleNamespace(stream=lambda request: _Answer(transport, request))
    crowd = Crowd(scenario.traffic, cast(Balancer, client), loop, seed=0, positions={NAMES[0]: 1})
    try:
        with undisturbed():
            loop.run_until_complete(crowd.come(scenario.duration))
    finally:
        loop.close()
    return crowd.tally


ROWS: dict[str, Play] = {"without Understudy: the floor": floor, "`understudy simulate`": with_understudy}


# Measuring


def checked(tally: Tally) -> Tally:
    """Raises ValueError unless every answer came whole."""
    broken = sum(end != End.WHOLE for end in tally.ends)
    if broken or not len(tally):
        raise ValueError(f"{broken} of {len(tally)} answers did not come whole")
    return tally


def microseconds(play: Play, requests: int) -> float:
    before = time.process_time()
    tally = play(requests)
    return (time.process_time() - before) / len(checked(tally)) * 1e6


def calls(play: Play, requests: int) -> float:
    profile = cProfile.Profile()
    tally = profile.runcall(play, requests)
    total: int = cast(Any, Stats(profile)).total_calls
    return total / len(checked(tally))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=2000, help="in each round, about so many")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    steal = Steal()
    counted = {name: calls(play, given.requests) for name, play in ROWS.items()}  # this warms up, too
    taken: dict[str, list[float]] = {name: [] for name in ROWS}
    for _ in range(given.rounds):
        for name, play in ROWS.items():
            taken[name].append(microseconds(play, given.requests))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{facts()}; stolen meanwhile: {steal}; {given.rounds} rounds of {given.requests}; {memory} MB\n")
    print("| | µs CPU per request, least | median | a million takes | calls per request |")
    print("|---|---|---|---|---|")
    for name, figures in taken.items():
        least, middle = min(figures), median(figures)
        print(
            f"| {name} | {least:.0f} | {middle:.0f} | {least * A_DAY / 60e6:.1f} min | {counted[name]:.0f} |"
        )


if __name__ == "__main__":
    main()
