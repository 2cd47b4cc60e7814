"""Facts about what the workers of one gateway tell each other."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from understudy.gateway.glance import Glance
from understudy.gateway.siblings import Account, Siblings
from understudy.gateway.worker import Worker
from understudy.observe.families import Family, Sample


class Counts:
    """One worker's figures, as a test sets them."""

    def __init__(self) -> None:
        self.answered = 0
        self.in_flight = 0
        self.trails: dict[tuple[str, str | None], dict[str, Any]] = {}

    def read(self) -> Account:
        families = [
            Family(name, "Things.", kind, "", (), (Sample((), value),))
            for name, kind, value in [
                ("answered_total", "counter", self.answered),
                ("in_flight", "gauge", self.in_flight),
            ]
        ]
        total = self.answered + self.in_flight
        stats = {"total_requests": total, "answered": self.answered, "in_flight": self.in_flight}
        return Account(families, {"evening": {**stats, "backends": {}}})

    def find(self, request_id: str, client: str | None) -> dict[str, Any] | None:
        return self.trails.get((request_id, client))

    def list_newest(self, count: int, client: str | None) -> list[dict[str, Any]]:
        return [trail for (_, whose), trail in self.trails.items() if whose == client][:count]

    def glance(self, watcher: int, after: int | None) -> Glance:
        return Glance(watcher, {}, after or 0)


class Someone(Siblings):
    """A worker, and its figures."""

    ask_seconds = 0.3

    def __init__(self, folder: Path, number: int, of: int = 2) -> None:
        self.counts = Counts()
        counts = self.counts
        super().__init__(
            folder, Worker(number, of), counts.read, counts.find, counts.list_newest, counts.glance
        )

    async def told(self) -> dict[int, tuple[float | None, float | None]]:
        """Of each worker what it answered and what is in flight."""
        return {
            number: (_value(account, "answered_total"), _value(account, "in_flight"))
            for number, account in (await self.accounts()).items()
        }


def _value(account: Account, name: str) -> float | None:
    return next((family.samples[0].value for family in account.metrics if family.name == name), None)


@asynccontextmanager
async def workers(folder: Path, *numbers: int) -> AsyncIterator[list[Someone]]:
    made = [Someone(folder, number) for number in numbers]
    for one in made:
        await one.open()
    try:
        yield made
    finally:
        for one in made:
            await one.close()


async def test_each_hears_from_all_its_own_first(tmp_path: Path) -> None:
    async with workers(tmp_path, 1, 2) as (one, two):
        one.counts.answered, two.counts.answered, two.counts.in_flight = 3, 5, 1
        assert list((await one.told()).items()) == [(1, (3, 0)), (2, (5, 1))]
        assert list((await two.told()).items()) == [(2, (5, 1)), (1, (3, 0))]


async def test_a_trail_is_found_where_it_is_for_whom_it_is(tmp_path: Path) -> None:
    async with workers(tmp_path, 1, 2) as (one, two):
        two.counts.trails = {("r", "alice"): {"id": "r"}, ("r", None): {"id": "r"}}
        assert await one.trail("r", "alice") == await one.trail("r", None) == {"id": "r"}
        assert await one.trail("r", "bob") is None
        assert await two.trail("r", "alice") is None, "its own are looked for before"


async def test_one_that_is_not_there_is_answered_for_from_its_books(tmp_path: Path) -> None:
    async with workers(tmp_path, 1) as (one,):
        assert await one.told() == {1: (0, 0), 2: (None, None)}
        async with workers(tmp_path, 2) as (two,):
            two.counts.answered, two.counts.in_flight = 5, 1
            assert await one.told() == {1: (0, 0), 2: (5, 1)}
        assert await one.told() == {1: (0, 0), 2: (5, None)}
        assert (await one.accounts())[2].stats["evening"]["total_requests"] == 5


async def test_so_is_one_that_does_not_answer(tmp_path: Path) -> None:
    async with workers(tmp_path, 1, 2) as (one, two):
        two.counts.answered = 5
        await one.told()
        await two.close()
        with socket.socket(socket.AF_UNIX) as hanging:
            hanging.bind(str(tmp_path / "2.socket"))
            hanging.listen()
            async with asyncio.timeout(1):
                assert await one.told() == {1: (0, 0), 2: (5, None)}


async def test_whoever_takes_its_place_counts_on_from_what_was_told(tmp_path: Path) -> None:
    async with workers(tmp_path, 1) as (one,):
        for answered in (5, 7):
            async with workers(tmp_path, 2) as (two,):
                two.counts.answered = answered
                await one.told()
        async with workers(tmp_path, 2) as (two,):
            assert (await one.told())[2] == (12, 0)
            two.counts.answered, two.counts.in_flight = 1, 1
            assert (await one.told())[2] == (13, 1)
            assert (await two.accounts())[2].stats["evening"]["total_requests"] == 14


async def test_books_are_written_without_being_asked_for(tmp_path: Path) -> None:
    two = Someone(tmp_path, 2)
    two.book_seconds = 0.01
    two.counts.answered = 4
    await two.open()
    books = tmp_path / "2.books"
    async with asyncio.timeout(5):
        while not books.exists():
            await asyncio.sleep(0)
        first = books.stat().st_ino
        await asyncio.sleep(0.1)
        assert books.stat().st_ino == first, "nothing has changed"
        two.counts.answered = 5
        while books.stat().st_ino == first:
            await asyncio.sleep(0.01)
    await two.close()
    assert _value(Someone(tmp_path, 2)._former, "answered_total") == 5


async def test_where_they_cannot_be_written_one_line_says_so_until_they_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workers(tmp_path, 1) as (one,):
        (tmp_path / "1.new").mkdir()
        for one.counts.answered in (1, 2):
            assert (await one.told())[1] == (one.counts.answered, 0)
        (line,) = caplog.messages
        assert line.startswith("the counts of a worker that dies will be lost: ")
        (tmp_path / "1.new").rmdir()
        one.counts.answered = 3
        await one.told()
        (tmp_path / "1.new").mkdir()
        one.counts.answered = 4
        await one.told()
        assert len(caplog.messages) == 2


async def test_books_that_nobody_can_read_are_none(tmp_path: Path) -> None:
    (tmp_path / "2.books").write_bytes(b"\xc1")
    async with workers(tmp_path, 1) as (one,):
        assert await one.told() == {1: (0, 0), 2: (None, None)}


async def test_where_it_cannot_listen_it_says_so_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Someone(tmp_path / ("x" * 120), 1)
    with caplog.at_level(logging.WARNING):
        await one.open()
    assert caplog.messages[0].startswith("the other workers can't ask this one: ")
    assert (await one.told())[1] == (0, 0)
    await one.close()


@pytest.mark.parametrize("said", [b"", b"\xc1", b"\x93\x01\x02\x03"])
async def test_whoever_asks_nothing_sensible_gets_no_answer(tmp_path: Path, said: bytes) -> None:
    async with workers(tmp_path, 1):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "1.socket")
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_one_that_answers_nonsense_is_answered_for(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(b"\xc1")
        writer.close()

    server = await asyncio.start_unix_server(babble, tmp_path / "2.socket")
    async with workers(tmp_path, 1) as (one,):
        assert await one.told() == {1: (0, 0), 2: (None, None)}
    server.close()


async def test_afterwards_nobody_is_at_its_place(tmp_path: Path) -> None:
    async with workers(tmp_path, 1):
        assert (tmp_path / "1.socket").is_socket()
    assert not (tmp_path / "1.socket").exists()


async def test_a_place_that_a_killed_worker_left_can_be_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "2.socket"))
    async with workers(tmp_path, 1, 2) as (one, two):
        two.counts.answered = 2
        assert (await one.told())[2] == (2, 0)
