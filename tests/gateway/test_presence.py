"""Who leaves ends what is done for them, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from understudy.gateway.http import Message, Scope
from understudy.gateway.presence import EXTENSION, Presence


class Client:
    """A client on a server that offers to call back, or on one that does not."""

    def __init__(self, *, calls_back: bool) -> None:
        self.told: Callable[[], None] | None = None
        self.reads = 0
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.scope: Scope = {"extensions": {EXTENSION: self._tell}} if calls_back else {}

    def _tell(self, when_gone: Callable[[], None] | None) -> None:
        self.told = when_gone

    async def receive(self) -> Message:
        self.reads += 1
        return await self._messages.get()

    def send(self, body: bytes) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body})

    async def leave(self) -> None:
        if self.told is not None:
            self.told()
        self._messages.put_nowait({"type": "http.disconnect"})
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture(params=[True, False], ids=["calls back", "is watched"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(calls_back=request.param)


async def answer(client: Client, began: asyncio.Event, until: asyncio.Event) -> bool:
    """An answering that waits; whether the client was gone after it."""
    with Presence(client.scope, client.receive) as presence:
        began.set()
        await until.wait()
    return presence.gone


async def answering(client: Client) -> tuple[asyncio.Task[bool], asyncio.Event]:
    began, until = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(answer(client, began, until))
    await began.wait()
    await asyncio.sleep(0)
    return task, until


async def test_who_leaves_ends_the_answering_without_an_error(client: Client) -> None:
    task, _ = await answering(client)
    await client.leave()

    assert await task is True
    assert task.cancelling() == 0


async def test_who_stays_is_answered(client: Client) -> None:
    task, until = await answering(client)
    until.set()

    assert await task is False


async def test_what_a_client_still_sends_is_no_leaving(client: Client) -> None:
    task, until = await answering(client)
    client.send(b"more")
    await asyncio.sleep(0)
    until.set()

    assert await task is False


async def test_another_cancellation_is_somebody_elses(client: Client) -> None:
    task, _ = await answering(client)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_so_is_one_beside_our_own(client: Client) -> None:
    task, _ = await answering(client)
    task.cancel()
    if client.told is not None:
        client.told()
    else:
        await client.leave()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_is_passed_on_though_the_client_has_left(client: Client) -> None:
    async def go_wrong() -> None:
        with Presence(client.scope, client.receive):
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("a bug")

    task = asyncio.ensure_future(go_wrong())
    await asyncio.sleep(0)
    await client.leave()

    with pytest.raises(ValueError, match="a bug"):
        await task


async def test_nothing_is_left_of_it(client: Client) -> None:
    task, until = await answering(client)
    until.set()
    await task
    await asyncio.sleep(0)

    assert client.told is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_that_calls_back_is_never_asked() -> None:
    client = Client(calls_back=True)
    task, until = await answering(client)
    until.set()
    await task

    assert client.reads == 0


async def test_who_left_after_the_answer_is_nobodys_concern(client: Client) -> None:
    task, until = await answering(client)
    leave = client.told
    until.set()
    await task
    if leave is not None:
        leave()

    assert task.cancelling() == 0
