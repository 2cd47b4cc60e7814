"""What the runtime needs from outside: a clock, a transport, observers, and a place to share what it knows.

Each protocol's docstring lists what its methods raise; nothing else may come out of an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

import msgspec

from understudy.core.shared import Lease, Picture, Report, Room, Usage, Wanted
from understudy.errors import UnderstudyError


class Handle(Protocol):
    """A callback that has been asked for; `cancel` takes it back and may be called twice."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Where the runtime reads time. Raises nothing.

    `now` is monotonic seconds, `wall` seconds since the Unix epoch. `call_at` calls `callback` on
    the running event loop once `now()` has reached `when`, at the next turn if it already has.
    """

    def now(self) -> float: ...

    def wall(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle: ...


class HttpRequest(msgspec.Struct, frozen=True):
    """One POST. `connect_timeout` (seconds) bounds name resolution, connecting and TLS together.

    `ca_file` names a PEM bundle to trust besides the platform's; None trusts the platform's alone.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_timeout: float = 5.0
    ca_file: str | None = None

    def __repr__(self) -> str:
        """Without headers and body, which hold keys and prompts."""
        return (
            f"HttpRequest({self.url!r}, connect_timeout={self.connect_timeout!r}, ca_file={self.ca_file!r})"
        )


class HttpResponse(Protocol):
    """The head of an answer, and its body piece by piece, exactly as it came over the wire.

    `headers` has lower-case names; of a repeated header the values are joined by ``", "``.
    `reconnected`: the request was sent a second time because a kept-alive connection was dead.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def reconnected(self) -> bool: ...

    async def read(self) -> bytes:
        """What has arrived and was not read yet, at most 256 KiB; waits if nothing has; ``b""`` at
        the proper end of the body.

        Raises `ConnectionReset` when the connection ends or resets with the body incomplete (as
        `BodyCutShort` where it ended properly, short of its Content-Length),
        `ProtocolViolation` when the framing is broken. Cancelling it closes the connection.
        """
        ...

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it at once.

        Idempotent, never waits, raises nothing.
        """
        ...


class Transport(Protocol):
    """Sends requests and hands back answers as they arrive.

    It follows no redirect, decodes no content encoding and retries nothing, but for one case: if a
    *reused* connection turns out dead before a byte of the answer came, the request goes out once
    more on a fresh connection, and the response says `reconnected`.
    """

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Wait for the head of the answer (status and headers) and no longer.

        Raises `ConnectFailed` (refused, DNS, TLS, connect timeout; the message says which),
        `ConnectionReset` (closed or reset before the head was complete), `ProtocolViolation`
        (not HTTP, or a head beyond 64 KiB). Cancelling it closes the connection within a second.
        """
        ...

    async def close(self) -> None:
        """Close every connection, idle or not. Idempotent."""
        ...


class Observer(Protocol):
    """Is told what happened, one fact of `core.events` at a time, in order.

    It must not block. What it raises is logged once and goes no further: an observer's failure
    never reaches a request. It may name the kinds of facts that it `hears`, and is told no others then.
    """

    def observe(self, event: Any) -> None: ...


class StateUnavailable(UnderstudyError):
    """The store of the shared state did not do what it was asked. The message holds no password."""


class StateStore(Protocol):
    """Where processes that serve the same pool tell each other what they know.

    Each call is one look at one value, and as a whole happens or does not. Each raises `StateUnavailable`
    and nothing else. It takes as long as it takes: how long is waited for is the caller's business, and to
    cancel it is safe at any moment. Time is the store's own; it comes and goes as seconds from now.
    """

    async def exchange(self, pool: str, report: Report) -> Picture:
        """Join what is told with what is there (`core.shared`); all that has changed since the cursor."""
        ...

    async def lease(
        self, pool: str, member: str, holder: str, epoch: int, seconds: float, ends: float = inf
    ) -> Lease:
        """The only leave to probe the member for so long, if nobody else has it.

        Nor is it given to whom an epoch that is over still holds, or who knows of an opening that ends in
        `ends` seconds, when there has been a longer one since.
        """
        ...

    async def reserve(self, pool: str, member: str, wanted: Sequence[Wanted]) -> Sequence[Room]:
        """Take tokens and one request of the member's ceilings, if there is room for both in this minute.

        For one after the other. What is above a ceiling by itself has its room when nothing else is inside.
        """
        ...

    async def spend(self, pool: str, member: str, usage: Sequence[Usage]) -> None:
        """Count this towards the member's ceilings, or back."""
        ...

    async def publish(self, pool: str, process: str, numbers: bytes, seconds: float) -> None:
        """One process's numbers, kept for so long."""
        ...

    async def numbers(self, pool: str) -> Mapping[str, bytes]:
        """Each process's numbers, as last published."""
        ...

    async def withdraw(self, pool: str, process: str) -> None:
        """Forget the process's numbers."""
        ...

    async def close(self) -> None:
        """Let go of all connections. Idempotent; raises nothing."""
        ...
