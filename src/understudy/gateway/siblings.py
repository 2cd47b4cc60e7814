"""What the workers of one gateway tell each other, so that any of them answers for all.

1. Each listens on a socket of its own, in a folder that only this user may enter. A question is one message,
   and so is its answer.
2. Who is not there, or does not answer within `ASK_SECONDS`, is answered for from its books: its counts until
   they were written.
3. Books are written once a second if something has changed, and before an answer leaves: what has been told
   is never taken back, not even if the worker is killed. A worker begins with the books of who had its place.
4. Writing them takes at most a fiftieth of the time. Where it fails, one line says so, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from understudy.gateway import merging
from understudy.gateway.glance import Glance
from understudy.gateway.worker import Worker
from understudy.observe import families
from understudy.observe.families import Family

_log = logging.getLogger("understudy.gateway")

ASK_SECONDS = 1.0
BOOK_SECONDS = 1.0
_BOOK_SHARE = 50
_LONGEST = 64 * 1024 * 1024


class Account(msgspec.Struct):
    """What one worker has counted: its metrics, and the mergeable statistics of each profile."""

    metrics: list[Family] = []
    stats: dict[str, Any] = {}

    def lasting(self) -> Account:
        """What stays of it when the worker has ended."""
        stats = {name: merging.lasting(told) for name, told in self.stats.items()}
        return Account(families.lasting(self.metrics), stats)

    def succeeding(self, former: Account) -> Account:
        """This worker's account, with that of who had its place before."""
        stats = {
            name: merging.succeeding(told, former.stats[name]) if name in former.stats else told
            for name, told in self.stats.items()
        }
        return Account(families.succeeding(self.metrics, former.metrics), stats)


class Question(msgspec.Struct):
    """What is asked for: the trail of the request with this `id`, or so many of the `newest`, both as far as
    `client` may see them; a glance for the `watcher`, with the news `after` a number; else the account.
    """

    id: str | None = None
    client: str | None = None
    newest: int | None = None
    watcher: int | None = None
    after: int | None = None


class Siblings:
    """The other workers. Of this one, `count` reads the account, `find` a trail, `list_newest` the newest
    requests, `glance` what a watcher wants to know.
    """

    ask_seconds = ASK_SECONDS
    book_seconds = BOOK_SECONDS

    def __init__(
        self,
        folder: Path,
        worker: Worker,
        count: Callable[[], Account],
        find: Callable[[str, str | None], dict[str, Any] | None],
        list_newest: Callable[[int, str | None], list[dict[str, Any]]],
        glance: Callable[[int, int | None], Glance],
    ) -> None:
        self._folder = folder
        self.worker = worker
        self._count = count
        self._find = find
        self._list_newest = list_newest
        self._glance = glance
        self._former = self._read_books(worker.number)
        self._written = b""
        self._is_failing = False
        self._server: asyncio.Server | None = None
        self._writing: asyncio.Task[None]

    async def open(self) -> None:
        path = self._socket(self.worker.number)
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path, limit=_LONGEST)
        except OSError as error:
            _log.warning("the other workers can't ask this one: %s: %s", path, error.strerror or error)
        self._writing = asyncio.ensure_future(self._write_books_for_ever())

    async def close(self) -> None:
        """Also tidies up, as far as nobody else needs it."""
        self._writing.cancel()
        if self._server is not None:
            self._server.close()
            self._socket(self.worker.number).unlink(missing_ok=True)

    async def accounts(self, within: float | None = None) -> dict[int, Account]:
        """Every worker's account by its number, this one's first."""
        own = self._account()
        told = await self._ask_all(Question(), Account, within)
        return {self.worker.number: own} | {
            number: account or self._read_books(number) for number, account in told.items()
        }

    async def trail(self, request_id: str, client: str | None) -> dict[str, Any] | None:
        """The trail of another worker's request, if that client may see it."""
        found = await self._ask_all(Question(request_id, client), dict[str, Any])
        return next((trail for trail in found.values() if trail is not None), None)

    async def newest(self, count: int, client: str | None) -> list[dict[str, Any]]:
        """The newest requests of the other workers, of each so many, as far as that client may see."""
        found = await self._ask_all(Question(client=client, newest=count), list[dict[str, Any]])
        return [request for requests in found.values() for request in requests or ()]

    async def glances(self, watcher: int, after: Mapping[int, int], within: float) -> dict[int, Glance]:
        """Those of the other workers that answer, by their numbers; `after` by number, too."""

        async def ask(number: int) -> Glance | None:
            question = Question(watcher=watcher, after=after.get(number))
            glance: Glance | None = await self._ask(number, question, Glance, within)
            return glance

        found = await asyncio.gather(*map(ask, self._others))
        return {number: one for number, one in zip(self._others, found, strict=True) if one is not None}

    # Asking

    @property
    def _others(self) -> list[int]:
        return [number for number in range(1, self.worker.of + 1) if number != self.worker.number]

    async def _ask_all(
        self, question: Question, kind: type[Any], within: float | None = None
    ) -> Mapping[int, Any]:
        asked = (self._ask(number, question, kind, within) for number in self._others)
        return dict(zip(self._others, await asyncio.gather(*asked), strict=True))

    async def _ask(self, number: int, question: Question, kind: type[Any], within: float | None) -> Any:
        """None where nobody answers (rule 2)."""
        try:
            async with asyncio.timeout(within or self.ask_seconds):
                data = await _exchange(self._socket(number), msgspec.msgpack.encode(question))
            return msgspec.msgpack.decode(data, type=kind | None)
        except (OSError, TimeoutError, msgspec.MsgspecError):
            return None

    # Answering

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, msgspec.MsgspecError):
            question = msgspec.msgpack.decode(await reader.read(), type=Question)
            writer.write(msgspec.msgpack.encode(self._answer(question)))
            await writer.drain()
        writer.close()

    def _answer(self, question: Question) -> Any:
        if question.id is not None:
            return self._find(question.id, question.client)
        if question.newest is not None:
            return self._list_newest(question.newest, question.client)
        if question.watcher is not None:
            return self._glance(question.watcher, question.after)
        return self._account()

    # Books (rules 3 and 4)

    def _account(self) -> Account:
        account = self._count().succeeding(self._former)
        self._write_books(account)
        return account

    async def _write_books_for_ever(self) -> None:
        while True:
            began = time.monotonic()
            self._account()
            took = time.monotonic() - began
            await asyncio.sleep(max(self.book_seconds, took * _BOOK_SHARE))

    def _write_books(self, account: Account) -> None:
        data = msgspec.msgpack.encode(account.lasting())
        if data == self._written:
            return
        path = self._books(self.worker.number)
        new = path.with_suffix(".new")
        try:
            new.write_bytes(data)
            os.replace(new, path)
        except OSError as error:
            if not self._is_failing:
                _log.warning("the counts of a worker that dies will be lost: %s: %s", path, error.strerror)
            self._is_failing = True
            return
        self._written, self._is_failing = data, False

    def _read_books(self, number: int) -> Account:
        try:
            return msgspec.msgpack.decode(self._books(number).read_bytes(), type=Account)
        except (OSError, msgspec.MsgspecError):
            return Account()

    def _books(self, number: int) -> Path:
        return self._folder / f"{number}.books"

    def _socket(self, number: int) -> Path:
        return self._folder / f"{number}.socket"


async def _exchange(path: Path, question: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST)
    try:
        writer.write(question)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
