"""A transport that plays scripts instead of opening sockets, on whatever clock it is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from understudy.errors import TransportError
from understudy.runtime.clock import sleep
from understudy.runtime.ports import Clock, HttpRequest

# Waits for this many seconds of the clock's time.
Pause = float

Piece = bytes | Pause | TransportError


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

    `head` comes before status and headers, `pieces` are the body: bytes arrive, numbers wait so many
    seconds, and an error is raised as the transport would raise it. A body that runs out of pieces has
    ended properly.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    pieces: Sequence[Piece] = ()
    head: Sequence[Pause | TransportError] = ()
    reconnected: bool = False


class ScriptedResponse:
    """Plays the body of a `Reply`."""

    def __init__(self, reply: Reply, clock: Clock) -> None:
        self._reply = reply
        self._clock = clock
        self._pieces = deque(reply.pieces)
        self.closed = False

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._reply.headers

    @property
    def reconnected(self) -> bool:
        return self._reply.reconnected

    async def read(self) -> bytes:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, TransportError):
                raise piece
            await sleep(self._clock, piece)
        return b""

    def close(self) -> None:
        self.closed = True


class ScriptedTransport:
    """Answers each request to a URL with the next `Reply` of that URL's script; the last one repeats.

    `requests` holds what was sent, in order; `responses` what was answered. Raises KeyError for a URL
    without a script: a test that asks an unknown backend is wrong.
    """

    def __init__(self, clock: Clock, scripts: Mapping[str, Sequence[Reply]]) -> None:
        self._clock = clock
        self._scripts = {url: deque(replies) for url, replies in scripts.items()}
        self.requests: list[HttpRequest] = []
        self.responses: list[ScriptedResponse] = []
        self.closed = False

    async def send(self, request: HttpRequest) -> ScriptedResponse:
        self.requests.append(request)
        script = self._scripts[request.url]
        reply = script.popleft() if len(script) > 1 else script[0]
        for piece in reply.head:
            if isinstance(piece, TransportError):
                raise piece
            await sleep(self._clock, piece)
        response = ScriptedResponse(reply, self._clock)
        self.responses.append(response)
        return response

    async def close(self) -> None:
        self.closed = True
