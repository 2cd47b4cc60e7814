"""What the runtime needs from outside: a clock, a transport, observers.

Each protocol's docstring lists what its methods raise; nothing else may come out of an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec


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
