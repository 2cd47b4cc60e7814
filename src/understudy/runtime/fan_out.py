"""Tells observers what happened. An observer's failure is logged once and never reaches a request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from copy import copy

from understudy.core.events import Event
from understudy.runtime.ports import Observer

_log = logging.getLogger("understudy.observers")


class FanOut:
    """Hands each event to each observer, in order. Who is among them may change at any time."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._known: Sequence[Observer] = ()
        self._hearers: dict[type[Event], Sequence[Observer]] = {}
        self._failed: set[int] = set()

    def tell(self, events: Iterable[Event]) -> None:
        if self._observers != self._known:
            self._known = copy(self._observers)
            self._hearers.clear()
        for event in events:
            hearers = self._hearers.get(type(event))
            if hearers is None:
                hearers = self._who_hear(type(event))
            for observer in hearers:
                try:
                    observer.observe(event)
                except Exception:
                    self._report(observer)

    def _who_hear(self, kind: type[Event]) -> Sequence[Observer]:
        """All but those who say what they hear, and do not name this kind."""
        hearers = [one for one in self._observers if kind in getattr(one, "hears", (kind,))]
        self._hearers[kind] = hearers
        return hearers

    def _report(self, observer: Observer) -> None:
        if id(observer) not in self._failed:
            self._failed.add(id(observer))
            _log.exception("observer %r failed; further failures of it are not logged", observer)
