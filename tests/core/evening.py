"""An evening in virtual time: requests arrive, backends answer by simple laws, and the walk decides.

No event loop and no sockets: a heap of instants. What a backend does with an attempt is a `Turn`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.core.stage import Stage, failure
from understudy.core.attempt import Attempt
from understudy.core.breaker import State
from understudy.core.dispatch import Dispatch, GiveUp, Wait
from understudy.core.events import BreakerOpened, Event, ProbeSettled, TurnCame
from understudy.core.fit import Needs
from understudy.core.outcome import Failure, Success, Tokens


class Turn(NamedTuple):
    """What comes of an attempt: content after `first` seconds and an end `then` later, or a failure."""

    first: float
    then: float = 0.5
    fails: str | None = None


Law = Callable[[float, int], Turn]
"""By the instant, and the attempts in flight with this one."""


def steady(first: float, then: float = 0.5) -> Law:
    return lambda now, in_flight: Turn(first, then)


def refusing(kind: str = "server_error", after: float = 0.005) -> Law:
    return lambda now, in_flight: Turn(after, fails=kind)


def until(instant: float, law: Law, afterwards: Law) -> Law:
    return lambda now, in_flight: (law if now < instant else afterwards)(now, in_flight)


def at_most(places: int, law: Law) -> Law:
    """503 for whatever is above so many at once."""
    return lambda now, in_flight: law(now, in_flight) if in_flight <= places else refusing()(now, in_flight)


class Evening:
    """Plays requests against `laws`, by member name. `asked` is who was asked when, `ends` how it ended."""

    def __init__(self, stage: Stage, laws: dict[str, Law]) -> None:
        self.stage = stage
        self.laws = laws
        self.asked: list[tuple[float, str]] = []
        self.ends: list[tuple[float, str]] = []  # when, and who answered, or "failed"
        self.kinds: Counter[str] = Counter()
        self.opened: list[tuple[float, str]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._waiting: dict[int, Callable[[], None]] = {}

    def at(self, instant: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (instant, self._count, do))

    def arrivals(self, rate: float, seconds: float, needs: Callable[[], Needs] | None = None) -> None:
        """So many a second, evenly, from now on."""
        for number in range(int(rate * seconds)):
            self.at(self.stage.now + number / rate, lambda: self._begin(needs))

    def run(self) -> None:
        while self._heap:
            instant, _, do = heapq.heappop(self._heap)
            self.stage.now = max(self.stage.now, instant)
            do()

    def answered_by(self, since: float = 0.0) -> dict[str, int]:
        return dict(Counter(name for at, name in self.ends if at >= since))

    def attempts_on(self, name: str, begin: float = 0.0, end: float = float("inf")) -> int:
        return sum(who == name and begin <= at < end for at, who in self.asked)

    def _begin(self, needs: Callable[[], Needs] | None) -> None:
        walk = self.stage.begin(needs=None if needs is None else needs())
        self._step(walk.dispatch)

    def _step(self, dispatch: Dispatch) -> None:
        now = self.stage.now
        step = dispatch.next_step(now)
        match step:
            case Attempt():
                self._attempt(dispatch, step)
            case Wait(instant, _):
                self._wait(dispatch, instant)
            case GiveUp():
                dispatch.failed(now)
                self.ends.append((now, "failed"))
        self._tell(dispatch)

    def _wait(self, dispatch: Dispatch, instant: float) -> None:
        request = dispatch.request

        def look() -> None:
            if self._waiting.get(request) is look:
                del self._waiting[request]
                self._step(dispatch)

        self._waiting[request] = look
        self.at(instant, look)

    def _attempt(self, dispatch: Dispatch, attempt: Attempt) -> None:
        name, now = attempt.member.name, self.stage.now
        self.asked.append((now, name))
        turn = self.laws[name](now, attempt.member.metrics.in_flight)
        if turn.first > attempt.limit:
            turn = Turn(attempt.limit, fails="timeout")
        if turn.fails is not None:
            self.at(now + turn.first, lambda: self._fails(dispatch, attempt, failure(turn.fails or "")))
        else:
            self.at(now + turn.first, lambda: self._commits(dispatch, attempt, turn.then))

    def _fails(self, dispatch: Dispatch, attempt: Attempt, why: Failure) -> None:
        self.kinds[str(why.kind)] += 1
        dispatch.settle(attempt, why, self.stage.now)
        self._tell(dispatch)
        self._step(dispatch)

    def _commits(self, dispatch: Dispatch, attempt: Attempt, then: float) -> None:
        dispatch.commit(attempt, self.stage.now)
        self._tell(dispatch)
        self.at(self.stage.now + then, lambda: self._answers(dispatch, attempt))

    def _answers(self, dispatch: Dispatch, attempt: Attempt) -> None:
        dispatch.settle(attempt, Success(), self.stage.now, Tokens(100, 50, False, 50))
        dispatch.answered(self.stage.now)
        self.ends.append((self.stage.now, attempt.member.name))
        dispatch.leave(self.stage.now)
        self._tell(dispatch)

    def _tell(self, dispatch: Dispatch) -> None:
        for event in dispatch.take_events():
            self._hear(event)

    def _hear(self, event: Event) -> None:
        match event:
            case TurnCame(request=request) if request in self._waiting:
                self.at(self.stage.now, self._waiting[request])
            case ProbeSettled():
                for look in tuple(self._waiting.values()):
                    self.at(self.stage.now, look)
            case BreakerOpened(at=at, backend=backend):
                self.opened.append((at, backend))
            case _:
                pass


def evening(names: str, policy: str, laws: dict[str, Law], seed: int = 1, **more: Any) -> Evening:
    from random import Random

    stage = Stage(names, policy, **more)
    stage.chance = Random(seed).random
    return Evening(stage, laws)


def is_closed(show: Evening, name: str) -> bool:
    return show.stage.state(name) is State.CLOSED
