"""Tells observers what happened. An observer's failure is logged once and never reaches a request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from understudy.core.events import Event
from understudy.runtime.ports import Observer

_log = logging.getLogger("understudy.observers")


class FanOut:
    """Hands each event to each observer, in order. Who is among them may change at any time."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._failed: set[int] = set()

    def tell(self, events: Iterable[Event]) -> None:
        for event in events:
            for observer in self._observers:
                try:
                    observer.observe(event)
                except Exception:
                    self._report(observer)

    def _report(self, observer: Observer) -> None:
        if id(observer) not in self._failed:
            self._failed.add(id(observer))
            _log.exception("observer %r failed; further failures of it are not logged", observer)
