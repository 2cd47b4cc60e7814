"""Traces: what is recorded of each request by whoever records it.

1. A `Tracer` begins a `Trace` when a request begins. The trace is told of each attempt before it is sent, and
   of the request's facts in their order, `RequestEnded` being the last.
2. What a trace gives for an attempt goes out as headers with it.
3. What a tracer raises is logged once and never reaches a request.
4. Without a tracer nobody comes by here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from understudy.core.events import Event, RequestEnded

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.pool import Pool
    from understudy.errors import RequestError
    from understudy.runtime.backend import Backend
    from understudy.runtime.engine import Call
    from understudy.runtime.exchange import Exchange
    from understudy.runtime.ports import Clock

_log = logging.getLogger("understudy.observers")


class Trace(Protocol):
    """One request's. It must not block."""

    def attempt(self, attempt: Attempt, backend: Backend, exchange: Exchange) -> Mapping[str, str]:
        """It begins; the headers to send with it. What it costs and says `exchange` knows at its end."""
        ...

    def failed(self, error: RequestError) -> None:
        """The caller gets this error; `RequestEnded` follows."""
        ...

    def observe(self, event: Event) -> None:
        """A fact of this request."""
        ...


class Tracer(Protocol):
    """Who records. `keeps_text`: the text of answers is wanted, too."""

    @property
    def keeps_text(self) -> bool: ...

    def begin(self, call: Call, pool: Pool, clock: Clock) -> Trace:
        """The request begins now, in the context of whoever asks."""
        ...


class Tracing:
    """One engine's traces, by request."""

    def __init__(self, tracer: Tracer, pool: Pool, clock: Clock) -> None:
        self._tracer = tracer
        self._pool = pool
        self._clock = clock
        self._traces: dict[int, Trace] = {}
        self._has_failed = False
        self.keeps_text = tracer.keeps_text

    def __repr__(self) -> str:
        return f"<Tracing of {len(self._traces)} requests by {self._tracer!r}>"

    def begin(self, call: Call, request: int) -> None:
        try:
            self._traces[request] = self._tracer.begin(call, self._pool, self._clock)
        except Exception:
            self._report()

    def attempt(self, request: int, attempt: Attempt, backend: Backend, exchange: Exchange) -> None:
        """Rule 2."""
        trace = self._traces.get(request)
        if trace is not None:
            try:
                exchange.trace_headers = trace.attempt(attempt, backend, exchange)
            except Exception:
                self._report()

    def failed(self, request: int, error: RequestError) -> None:
        trace = self._traces.get(request)
        if trace is not None:
            try:
                trace.failed(error)
            except Exception:
                self._report()

    def tell(self, events: Iterable[Event]) -> None:
        """Each to the trace of its request, which may be another one's than the teller's."""
        for event in events:
            trace = self._traces.get(event.request)
            if trace is not None:
                self._tell(trace, event)

    def _tell(self, trace: Trace, event: Event) -> None:
        if isinstance(event, RequestEnded):
            del self._traces[event.request]
        try:
            trace.observe(event)
        except Exception:
            self._report()

    def _report(self) -> None:
        """Rule 3."""
        if not self._has_failed:
            self._has_failed = True
            _log.exception("tracing by %r failed; further failures of it are not logged", self._tracer)
