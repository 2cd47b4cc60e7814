"""How one process stands with the store of the shared state.

::

                 an answer in time          three late ones, or one after a request waited in vain
    joining, alone -----------------> sharing -----------------------------------------> slow
            ^                           |  ^                                              | |
            +---------------------------+  +----------------------------------------------+ |
            |      a failure                  three answers in time, one after another      |
            +-------------------------------------------------------------------------------+
                   a failure; back to slow after three late answers

Rules:

1. A request waits for the store only while the link is `sharing`, and no longer than `HOT` seconds. When it
   got no answer in time, or an error, no request waits again until the background has had an answer in time.
2. The background goes on asking in every state, with `PATIENCE`. While `slow`, what it hears is heeded: only
   what requests would have to wait for is decided alone.
3. A link that was hurt has the store prove that it can write before it is `sharing` again: a store that is
   full, or a replica that was the master, answers questions as if nothing were wrong.
4. Each change of state is one line in the log, and nothing else is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from understudy.runtime.ports import Clock, StateStore, StateUnavailable

T = TypeVar("T")

HOT = 0.05
PATIENCE = 2.0
IN_A_ROW = 3

_log = logging.getLogger("understudy.state")


class LinkState(StrEnum):
    JOINING = "joining"
    SHARING = "sharing"
    SLOW = "slow"
    ALONE = "alone"


class Link:
    """One process's link to `store`; all its pools share it."""

    def __init__(self, store: StateStore, clock: Clock) -> None:
        self.store = store
        self.state = LinkState.JOINING
        self._clock = clock
        self._is_hurt = True
        self._in_time = 0
        self._late = 0

    def __repr__(self) -> str:
        return f"<Link to {self.store!r}, {self.state}>"

    @property
    def is_quick(self) -> bool:
        """May a request wait for the store?"""
        return self.state is LinkState.SHARING and not self._is_hurt

    @property
    def must_prove(self) -> bool:
        """Rule 3."""
        return self._is_hurt

    def hurt(self) -> None:
        """A request has waited in vain (rule 1)."""
        self._is_hurt = True

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """In the background (rule 2). Raises `StateUnavailable`."""
        began = self._clock.now()
        try:
            answer = await within(self._clock, PATIENCE, work())
        except StateUnavailable as error:
            self._failed(str(error))
            raise
        self._answered(self._clock.now() - began)
        return answer

    def _answered(self, seconds: float) -> None:
        is_in_time = seconds <= HOT
        self._in_time = self._in_time + 1 if is_in_time else 0
        self._late = 0 if is_in_time else self._late + 1
        match self.state:
            case LinkState.JOINING | LinkState.ALONE if is_in_time:
                self._move(LinkState.SHARING, "")
            case LinkState.JOINING | LinkState.ALONE if self._late >= IN_A_ROW:
                self._move(LinkState.SLOW, "")
            case LinkState.SLOW if self._in_time >= IN_A_ROW:
                self._move(LinkState.SHARING, "")
            case LinkState.SHARING if self._late >= (1 if self._is_hurt else IN_A_ROW):
                self._move(LinkState.SLOW, "")
        self._is_hurt = self._is_hurt and not is_in_time

    def _failed(self, reason: str) -> None:
        self._in_time = self._late = 0
        self._is_hurt = True
        if self.state is not LinkState.ALONE:
            self._move(LinkState.ALONE, reason)

    def _move(self, state: LinkState, reason: str) -> None:
        """Rule 4."""
        self.state = state
        match state:
            case LinkState.SHARING:
                _log.info("[state] %r answers: what is known is shared", self.store)
            case LinkState.SLOW:
                limit = HOT * 1000
                _log.warning(
                    "[state] %r takes more than %.0f ms: probes and ceilings go by what is known here",
                    self.store, limit,
                )  # fmt: skip
            case _:
                _log.warning("[state] %r: %s: going by what is known here", self.store, reason)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """The work's result; raises `StateUnavailable` if it takes longer by this clock."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            handle = clock.call_at(clock.now() + seconds, lambda: limit.reschedule(loop.time()))
            try:
                return await work
            finally:
                handle.cancel()
    except TimeoutError:
        raise StateUnavailable(f"no answer within {seconds * 1000:.0f} ms") from None
