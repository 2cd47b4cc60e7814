"""Which of several processes this is, and the line to the one that started it.

1. A worker takes orders from its line alone. Signals that reach it itself are not heeded: a terminal's
   Ctrl-C and a service manager send them to every process of a group, and each would come twice.
2. An order is the number of the signal that the parent got. The line's end is the parent's end: whoever is
   left alone stops as on SIGINT.
3. Of what may be had at most each worker has its part, unless it is counted for all of them in one place. The
   parts are the whole.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

ORDERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READY = b"r"


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `of` workers, by its `number` from 1. `is_shared`: all of them have one state."""

    number: int = 1
    of: int = 1
    is_shared: bool = False

    @property
    def is_alone(self) -> bool:
        return self.of == 1

    @property
    def is_apart(self) -> bool:
        """Are there others that don't know what this one knows?"""
        return not (self.is_alone or self.is_shared)

    @property
    def name(self) -> str | None:
        """Its number, where there are others."""
        return None if self.is_alone else str(self.number)

    def share(self, whole: int) -> int:
        """Rule 3: this worker's part. What cannot be divided goes to the first ones."""
        return whole // self.of + (self.number <= whole % self.of)


ALONE = Worker()


class Line:
    """A worker's end of the line to its parent."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def ready(self) -> None:
        """Tell that requests are taken."""
        self._end.send(READY)

    def pass_on(self, order: signal.Signals) -> None:
        """Let the other workers have this order, too."""
        self._end.send(bytes([order]))

    def listen(self, obey: Callable[[signal.Signals], None]) -> None:
        """Give `obey` every order from now on (rule 2)."""
        loop = asyncio.get_running_loop()

        def heed() -> None:
            orders = self._end.recv(64)
            if not orders:
                loop.remove_reader(self._end)
            for order in orders or bytes([signal.SIGINT]):
                obey(signal.Signals(order))

        loop.add_reader(self._end, heed)

    def close(self) -> None:
        self._end.close()
