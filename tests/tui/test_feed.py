"""Facts about following a gateway's live stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.gateway.stage import ADMIN_KEY, Stage
from tests.runtime.house import completion, refusal
from understudy.cli.in_process import InProcess
from understudy.runtime.clock import ManualClock
from understudy.tui.document import Picture, Summary
from understudy.tui.feed import LONGEST_PAUSE, Change, Hello, Lost, Missed, Told, follow
from understudy.tui.remote import GatewayError, Remote


class Listener:
    """Follows in a task of its own."""

    def __init__(self, remote: Remote, clock: ManualClock) -> None:
        self.heard: list[list[Told]] = []
        self.clock = clock
        self._task = asyncio.ensure_future(self._follow(remote))

    async def _follow(self, remote: Remote) -> None:
        async for told in follow(remote, self.clock):
            self.heard.append(told)

    def of(self, kind: type[Told]) -> list[Told]:
        return [one for told in self.heard for one in told if isinstance(one, kind)]

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


class Pieces:
    """A gateway that says these pieces, a list for each time it is asked."""

    name = "pieces"

    def __init__(self, *streams: Sequence[bytes]) -> None:
        self._streams = list(streams)

    async def get(self, path: str) -> bytes:
        raise GatewayError("not asked for")

    async def post(self, path: str) -> bytes:
        raise GatewayError("not asked for")

    async def live(self) -> AsyncIterator[bytes]:
        if not self._streams:
            raise GatewayError("nobody is there")
        for piece in self._streams.pop(0):
            yield piece


async def test_everything_a_gateway_tells_is_read() -> None:
    stage = Stage(refusal(401), completion())
    stage.admit_operator()
    listener = Listener(InProcess(stage.gateway, "gateway", ADMIN_KEY), stage.clock)
    await stage.clock.advance(0)
    await stage.play(1, headers={"x-request-id": "one"})
    await stage.clock.advance(1)
    (hello,) = listener.of(Hello)
    assert isinstance(hello, Hello)
    assert (hello.operator, hello.admin) == (True, True)
    picture = listener.of(Picture)[-1]
    assert isinstance(picture, Picture)
    assert picture.profiles["evening"].stats == stage.balancer.stats()
    assert picture.profiles["evening"].members["a"].model == "model-a"
    failed, ended = listener.of(Summary)
    assert isinstance(failed, Summary)
    assert isinstance(ended, Summary)
    assert (failed.id, failed.status, failed.backend) == ("one", "running", "a")
    assert (ended.id, ended.status, ended.backend) == ("one", "answered", "b")
    (change,) = listener.of(Change)
    assert isinstance(change, Change)
    assert change.words.startswith("check key and model")
    await listener.leave()


async def test_one_piece_is_told_in_one() -> None:
    piece = b'event: missed\ndata: {"count":1}\n\nevent: missed\ndata: {"count":2}\n\n'
    listener = Listener(Pieces([piece, b": a comment\n\n", b"event: news\ndata: {}\n\n"]), ManualClock())
    await listener.clock.advance(0)
    assert listener.heard == [[Missed(1), Missed(2)], [Lost("the gateway has ended the stream", 1.0)]]
    await listener.leave()


async def test_pauses_double_until_something_is_heard() -> None:
    clock = ManualClock()
    listener = Listener(Pieces(), clock)
    await clock.advance(34)
    pauses = [one.pause for one in listener.of(Lost) if isinstance(one, Lost)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
    await listener.leave()


async def test_whoever_was_heard_is_asked_again_soon() -> None:
    heard = b'event: missed\ndata: {"count":1}\n\n'
    clock = ManualClock()
    listener = Listener(Pieces([], [], [heard]), clock)
    await clock.advance(8)
    pauses = [one.pause for one in listener.of(Lost) if isinstance(one, Lost)]
    assert pauses == [1.0, 2.0, 1.0, 2.0, 4.0]
    await listener.leave()


@pytest.mark.parametrize(
    "said",
    [
        b'event: missed\ndata: {"count":"many"}\n\n',
        b"event: missed\ndata: {\n\n",
        b'event: picture\ndata: {"profiles":7}\n\n',
        b'event: picture\ndata: {"profiles":{}}\n\n',
        b'event: decision\ndata: {"id":1}\n\n',
    ],
)
async def test_what_is_no_sense_is_a_lost_stream(said: bytes) -> None:
    listener = Listener(Pieces([said]), ManualClock())
    await listener.clock.advance(0)
    ((lost,),) = listener.heard
    assert isinstance(lost, Lost)
    assert lost.message.startswith(("the gateway's answer is not as expected", "what answers is no gateway"))
    await listener.leave()


async def test_an_event_without_end_is_a_lost_stream() -> None:
    listener = Listener(Pieces([b"data: " + b"x" * (33 << 20)]), ManualClock())
    await listener.clock.advance(0)
    assert len(listener.of(Lost)) == 1
    await listener.leave()
