"""Plays one timeline on one connection.

1. Pauses follow a schedule: a late wake-up is not added to the next pause; a pause that a slow
   client has already used up is not made up for either.
2. Durations are multiplied by the time scale.
3. The event loop gets a turn at least every 64 parts.
4. A connection is not cut or reset within 20 ms of the last part, real time: a client that gets
   bytes and their end at once may never look at the bytes, and then the fault came before them.
"""

from __future__ import annotations

import asyncio
import time

from understudy.faults.act import FINISH, PREAMBLE, Cut, Part, Pause, Reset, Timeline
from understudy.faults.connection import Connection
from understudy.faults.log import Request
from understudy.faults.plan import Plan

PARTS_PER_TURN = 64
READING_TIME = 0.02


class Player:
    """One attempt being played."""

    def __init__(self, connection: Connection, request: Request, plan: Plan, time_scale: float) -> None:
        self._connection, self._request, self._reply = connection, request, plan.reply
        self._time_scale = time_scale
        self._due = 0.0
        self._parts = 0
        self._sent_at: float | None = None

    async def play(self, acts: Timeline) -> None:
        """Raises `ClientLeft`."""
        for act in acts:
            match act:
                case Part():
                    await self._send(act)
                case Pause(seconds):
                    await self._pause(seconds)
                case Cut():
                    await self._let_be_read()
                    await self._connection.cut()
                case Reset():
                    await self._let_be_read()
                    await self._connection.reset()

    async def _send(self, part: Part) -> None:
        await self._connection.write(part.data)
        self._sent_at = time.monotonic()
        self._record(part)
        self._parts += 1
        if self._parts % PARTS_PER_TURN == 0:
            await asyncio.sleep(0)

    def _record(self, part: Part) -> None:
        if self._reply is not None:
            self._request.status = self._reply.status
            return
        self._request.status = 200
        if PREAMBLE < part.mark < FINISH:
            self._request.tokens = part.mark

    async def _let_be_read(self) -> None:
        if self._sent_at is not None:
            await self._connection.wait(self._sent_at + READING_TIME - time.monotonic())

    async def _pause(self, seconds: float | None) -> None:
        if seconds is None:
            await self._connection.wait(None)
            return
        now = time.monotonic()
        self._due = max((self._due or now) + seconds * self._time_scale, now)
        await self._connection.wait(self._due - now)
