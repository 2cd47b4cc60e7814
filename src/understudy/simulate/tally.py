"""What became of every request, as callers and the balancer's events tell it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import nan
from typing import Any

from understudy.core.events import BackendBenched, BreakerOpened, Event, FirstContent, RequestEnded
from understudy.simulate.fate import Stretch


class End(IntEnum):
    """How a request ended for its caller."""

    WHOLE = 0  # the answer, and all of it
    WRONG = 1  # an answer that ended well and is not the one that was asked for
    INTERRUPTED = 2  # the answer's beginning, and an error that says so
    FAILED = 3  # an error
    LEFT = 4  # the caller did not wait for the end


@dataclass(slots=True)
class Incident:
    """One backend during one occurrence of a phase in which it mostly fails. Instants, None if it never came.

    `detected`: its circuit opened, or it was benched. `recovered`: it answered a request again that began
    after the end.
    """

    backend: str
    stretch: Stretch
    detected: float | None = None
    recovered: float | None = None


class Tally:
    """Grows by a few numbers per request."""

    def __init__(self) -> None:
        self.began = array("d")
        self.first = array("d")
        self.ends = array("b")
        self.by = array("b")
        self.errors: Counter[str] = Counter()

    def add(self, began: float, first: float | None, end: End, by: int, error: str = "") -> None:
        """`by` is the position of the backend that answered, 0 for none."""
        self.began.append(began)
        self.first.append(nan if first is None else first - began)
        self.ends.append(end)
        self.by.append(by)
        if error:
            self.errors[error] += 1

    def __len__(self) -> int:
        return len(self.ends)


class Witness:
    """An observer of the balancer's events."""

    hears = frozenset((RequestEnded, BreakerOpened, BackendBenched, FirstContent))

    def __init__(self, incidents: Sequence[Incident]) -> None:
        self.attempts = 0
        self._incidents = incidents
        self._open: dict[str, list[Incident]] = {}
        for incident in incidents:
            self._open.setdefault(incident.backend, []).append(incident)
        self._heard: dict[type[Event], Callable[[Any], None]] = {
            RequestEnded: self._ended,
            BreakerOpened: self._left_alone,
            BackendBenched: self._left_alone,
            FirstContent: self._answers,
        }

    def observe(self, event: Event) -> None:
        heard = self._heard.get(type(event))
        if heard is not None:
            heard(event)

    def _ended(self, event: RequestEnded) -> None:
        self.attempts += event.attempts

    def _left_alone(self, event: BreakerOpened | BackendBenched) -> None:
        for incident in self._open.get(event.backend, ()):
            if incident.detected is None and incident.stretch.begin <= event.at < incident.stretch.end:
                incident.detected = event.at

    def _answers(self, event: FirstContent) -> None:
        incidents = self._open.get(event.backend)
        if not incidents:
            return
        began = event.at - event.after
        over = [incident for incident in incidents if incident.stretch.end <= began]
        for incident in over:
            incident.recovered = event.at
        if over:
            self._open[event.backend] = [each for each in incidents if each.recovered is None]
