"""The parent of several workers: forks them, replaces those that die, hands signals on.

::

    parent ── line ── worker 1 ─┐
       │ ──── line ── worker 2 ─┤ accept from one socket, which the parent bound
       └ ──── line ── worker 3 ─┘

1. The parent has no event loop, no thread and no connection, so that a fork is safe at any time, and a new
   worker is what the others were, whatever has become of the files meanwhile.
2. All workers take connections from one socket: who is busy takes fewer, and what a worker that dies had not
   taken yet goes to the others.
3. `announce` is called once, when all are ready. A worker that ends before that ends all: `StartFailed`.
4. A worker that ends by itself is replaced: at once if it had been well for `SETTLED_SECONDS`, else after a
   pause that doubles. Each end is one line in the log, and so is each try that the system does not allow.
5. SIGTERM and SIGINT stop all, a second one hurries them, SIGHUP reloads all. Whoever has not left
   `drain_seconds` after the first, or `last_seconds` after a later one, is killed.
6. A worker may pass an order on to the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from understudy.errors import UnderstudyError
from understudy.gateway.worker import ORDERS, READY, Line

_log = logging.getLogger("understudy.gateway")

SETTLED_SECONDS = 10.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0


class StartFailed(UnderstudyError):
    """A worker ended before all were ready. `status` is what it left with; None if it was killed."""

    def __init__(self, number: int, status: int) -> None:
        super().__init__(f"worker {number} {_end(status)} before it was ready")
        self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


class Begun(NamedTuple):
    """A worker that has just begun; `is_late` if it takes the place of another one."""

    number: int
    line: Line
    is_late: bool


class _Place:
    """One worker's place. `pid` 0: nobody is there; `due` is when somebody will be."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.line: socket.socket | None = None
        self.began = 0.0
        self.is_ready = False
        self.pause = 0.0
        self.due = 0.0

    def __repr__(self) -> str:
        return f"<Place {self.number}: {self.pid or 'nobody'}>"

    def order(self, order: int) -> None:
        if self.line is not None:
            with contextlib.suppress(OSError):  # it is about to end, and does not read any more
                self.line.send(bytes([order]))

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None

    def next_pause(self, now: float) -> float:
        """Rule 4."""
        settled = self.is_ready and now - self.began >= SETTLED_SECONDS
        self.is_ready = False
        self.pause = 0.0 if settled else min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)
        return self.pause


class Supervisor:
    """Starts and keeps `count` workers."""

    def __init__(
        self,
        count: int,
        *,
        announce: Callable[[], None],
        stopping: Callable[[], None] = lambda: None,
        drain_seconds: float = 130.0,
        last_seconds: float = 5.0,
    ) -> None:
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._announce = announce
        self._when_stopping = stopping
        self._drain_seconds = drain_seconds
        self._last_seconds = last_seconds
        self._is_announced = False
        self._kill_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()

    def run(self) -> Begun | None:
        """In a worker who it is; in the parent None, once all have left.

        Raises `StartFailed`, and what `announce` raises, when no worker is left any more.
        """
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        try:
            with _signals_ring(self._ringer):
                while self._is_needed:
                    if (begun := self._turn()) is not None:
                        return begun
        except BaseException:
            self._end_all()
            raise
        finally:
            self._selector.close()
            self._bell.close()
            self._ringer.close()
        return None

    @property
    def _is_needed(self) -> bool:
        return self._kill_at is None or any(place.pid for place in self._places)

    def _turn(self) -> Begun | None:
        """One turn of the parent's loop; in a worker that has just begun, as `run`."""
        for place in self._places if self._kill_at is None else ():
            if not place.pid and place.due <= time.monotonic() and (line := self._try_fork(place)):
                return Begun(place.number, line, self._is_announced)
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is self._bell:
                self._heed_signals()
            else:
                self._hear(key.data)
        self._bury()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill()
        return None

    def _patience(self) -> float | None:
        """Until there is something to do without being asked."""
        dues = [place.due for place in self._places if not place.pid] if self._kill_at is None else []
        dues += [] if self._kill_at is None else [self._kill_at]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    # Workers

    def _try_fork(self, place: _Place) -> Line | None:
        """Rule 4: what the system does not allow now it may allow later."""
        try:
            return self._fork(place)
        except OSError as error:
            if not self._is_announced:
                raise
            pause = self._put_off(place)
            _log.warning(
                "worker %d can't be replaced: %s; tried in %.1f s", place.number, error.strerror, pause
            )
            return None

    def _fork(self, place: _Place) -> Line | None:
        """The worker's line in the worker, None in the parent."""
        ours, its = socket.socketpair()
        # Until the worker has forgotten the parent's ways, no signal may find it.
        signal.pthread_sigmask(signal.SIG_BLOCK, ORDERS)
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._become_worker()
                return Line(its)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)
        its.close()
        ours.setblocking(False)
        place.pid, place.line, place.began, place.is_ready = pid, ours, time.monotonic(), False
        self._selector.register(ours, selectors.EVENT_READ, place)
        return None

    def _become_worker(self) -> None:
        """Rule 1 of workers, and nothing of the parent's stays open: else others would not see its end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for place in self._places:
            place.hang_up()

    def _hear(self, place: _Place) -> None:
        """A worker says that it is ready, or passes an order on (rule 6), or has ended."""
        assert place.line is not None
        try:
            said = place.line.recv(64)
        except OSError:
            said = b""
        if not said:
            self._selector.unregister(place.line)
            place.hang_up()
        for word in said:
            if word == READY[0]:
                place.is_ready = True
                self._announce_if_ready()
            else:
                self._order(word, but=place)

    def _announce_if_ready(self) -> None:
        if not self._is_announced and all(place.is_ready for place in self._places):
            self._is_announced = True
            self._announce()

    def _bury(self) -> None:
        """A worker's line ends before it does, so that one whose line is there need not be looked for."""
        for place in self._places:
            if place.pid and place.line is None:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._miss(place, status)

    def _miss(self, place: _Place, status: int) -> None:
        pid, place.pid = place.pid, 0
        if self._kill_at is not None:
            return
        if not self._is_announced:
            raise StartFailed(place.number, status)
        pause = self._put_off(place)
        when = f"in {pause:.1f} s" if pause else "at once"
        _log.warning("worker %d (%d) %s; it is replaced %s", place.number, pid, _end(status), when)

    def _put_off(self, place: _Place) -> float:
        now = time.monotonic()
        pause = place.next_pause(now)
        place.due = now + pause
        return pause

    # Signals

    def _heed_signals(self) -> None:
        for number in self._bell.recv(64):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)
            elif number == signal.SIGHUP:
                self._order(number)

    def _stop(self, number: int) -> None:
        """Rule 5."""
        patience = self._drain_seconds if self._kill_at is None else self._last_seconds
        self._kill_at = time.monotonic() + patience
        self._when_stopping()
        self._order(number)

    def _order(self, number: int, but: _Place | None = None) -> None:
        for place in self._places:
            if place is not but:
                place.order(number)

    def _kill(self) -> None:
        for place in self._places:
            if place.pid:
                _log.warning("worker %d (%d) did not leave and is killed", place.number, place.pid)
                os.kill(place.pid, signal.SIGKILL)
        self._kill_at = time.monotonic() + self._last_seconds

    def _end_all(self) -> None:
        """Nothing is served: who is there leaves at once."""
        for place in self._places:
            if place.pid:
                os.kill(place.pid, signal.SIGKILL)
                os.waitpid(place.pid, 0)
                place.pid = 0
            place.hang_up()


@contextlib.contextmanager
def _signals_ring(ringer: socket.socket) -> Iterator[None]:
    """Signals are bytes on the bell meanwhile, and interrupt nothing."""
    ringer.setblocking(False)

    def nothing(number: int, frame: FrameType | None) -> None: ...

    before = {number: signal.signal(number, nothing) for number in (*ORDERS, signal.SIGCHLD)}
    signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
    parent = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == parent:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)


def _end(status: int) -> str:
    """How a process has ended, in words."""
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.WEXITSTATUS(status)}"
