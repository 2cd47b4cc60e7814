"""The live stream of a gateway, followed for as long as somebody looks.

1. What came in one piece is told in one: whoever draws does so once for all of it.
2. When the stream breaks off, or there was none, that is told, and after a pause it is asked for anew. The
   pauses double up to `LONGEST_PAUSE`; the first thing heard begins them anew.
3. What this version has no word for is passed over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from understudy.errors import ProtocolViolation
from understudy.runtime.clock import sleep
from understudy.runtime.ports import Clock
from understudy.tui.document import Picture, Summary, picture_of, summary_of
from understudy.tui.remote import GatewayError, Remote, decoded
from understudy.wire.sse import Event, EventStream

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


class Hello(msgspec.Struct, frozen=True):
    """Whom the gateway takes us for. `admin`: it has admin routes."""

    client: str | None = None
    operator: bool = False
    admin: bool = False
    version: str = ""


class Change(msgspec.Struct, frozen=True):
    """What has become of a member."""

    at: str
    profile: str
    backend: str
    words: str


class Missed(msgspec.Struct, frozen=True):
    """So many decisions and changes were not told: we are too slow for them."""

    count: int


class Lost(msgspec.Struct, frozen=True):
    """There is no stream; it is asked for anew in `pause` seconds."""

    message: str
    pause: float


Told = Hello | Picture | Summary | Change | Missed | Lost

_READERS: Mapping[str, Callable[[Any], Told]] = {
    "hello": lambda data: msgspec.convert(data, Hello),
    "picture": picture_of,
    "decision": summary_of,
    "change": lambda data: msgspec.convert(data, Change),
    "missed": lambda data: msgspec.convert(data, Missed),
}


async def follow(remote: Remote, clock: Clock) -> AsyncIterator[list[Told]]:
    """Never ends by itself."""
    pause = FIRST_PAUSE
    while True:
        lost = "the gateway has ended the stream"
        try:
            async for told in _once(remote):
                pause = FIRST_PAUSE
                yield told
        except (GatewayError, ProtocolViolation) as error:
            lost = str(error)
        yield [Lost(lost, pause)]
        await sleep(clock, pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _once(remote: Remote) -> AsyncIterator[list[Told]]:
    stream = EventStream()
    async for piece in remote.live():
        if told := [one for one in map(_told, stream.feed(piece)) if one is not None]:
            yield told


def _told(event: Event) -> Told | None:
    """Rule 3."""
    read = _READERS.get(event.event)
    if read is None:
        return None
    try:
        return read(decoded(event.data))
    except msgspec.ValidationError as error:
        raise GatewayError(f"the gateway's answer is not as expected: {error}") from None
