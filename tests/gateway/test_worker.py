"""Facts about a worker: what is its part, and how it hears from its parent."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator

import pytest

from understudy.gateway.worker import ALONE, ORDERS, READY, Line, Worker


@pytest.mark.parametrize(
    ("whole", "parts"), [(9, [3, 3, 3]), (10, [4, 3, 3]), (11, [4, 4, 3]), (0, [0, 0, 0])]
)
def test_the_parts_are_the_whole_and_the_first_have_what_cannot_be_divided(
    whole: int, parts: list[int]
) -> None:
    assert [Worker(number, 3).share(whole) for number in (1, 2, 3)] == parts


def test_whoever_is_alone_has_the_whole() -> None:
    assert (ALONE.share(10), ALONE.is_alone, ALONE.is_apart) == (10, True, False)


def test_workers_are_apart_unless_they_share_their_state() -> None:
    assert [Worker(1, 2).is_apart, Worker(1, 2, is_shared=True).is_apart] == [True, False]
    assert not Worker(1, 2).is_alone


class Ends:
    """Both ends of a line, and the orders that came."""

    def __init__(self) -> None:
        self.parent, its = socket.socketpair()
        self.line = Line(its)
        self.came: list[signal.Signals] = []

    async def until(self, count: int) -> list[signal.Signals]:
        async with asyncio.timeout(5):
            while len(self.came) < count:
                await asyncio.sleep(0)
        return self.came


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.parent.close()
    made.line.close()


async def test_orders_come_as_they_were_given_two_at_once_too(ends: Ends) -> None:
    ends.line.listen(ends.came.append)
    ends.parent.send(bytes(ORDERS))
    assert await ends.until(3) == list(ORDERS)


async def test_the_lines_end_is_an_order_to_stop_and_comes_once(ends: Ends) -> None:
    ends.line.listen(ends.came.append)
    ends.parent.close()
    assert await ends.until(1) == [signal.SIGINT]
    for _ in range(5):
        await asyncio.sleep(0)
    assert ends.came == [signal.SIGINT]


def test_what_a_worker_says_is_that_it_is_ready_and_what_others_should_do(ends: Ends) -> None:
    ends.line.ready()
    ends.line.pass_on(signal.SIGHUP)
    assert ends.parent.recv(64) == READY + bytes([signal.SIGHUP])
