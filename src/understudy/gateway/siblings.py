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
    """`id` and `client` are those of the request whose trail is asked for; without, for the account."""

    id: str | None = None
    client: str | None = None


class Siblings:
    """The other workers. `count` reads this worker's own account, `find` one of its trails."""

    ask_seconds = ASK_SECONDS
    book_seconds = BOOK_SECONDS

    def __init__(
        self,
        folder: Path,
        worker: Worker,
        count: Callable[[], Account],
        find: Callable[[str, str | None], dict[str, Any] | None],
    ) -> None:
        self._folder = folder
        self.worker = worker
        self._count = count
        self._find = find
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

    async def accounts(self) -> dict[int, Account]:
        """Every worker's account by its number, this one's first."""
        own = self._account()
        told = await self._ask_all(Question(), Account)
        return {self.worker.number: own} | {
            number: account or self._read_books(number) for number, account in told.items()
        }

    async def trail(self, request_id: str, client: str | None) -> dict[str, Any] | None:
        """The trail of another worker's request, if that client may see it."""
        found = await self._ask_all(Question(request_id, client), dict[str, Any])
        return next((trail for trail in found.values() if trail is not None), None)

    # Asking

    async def _ask_all(self, question: Question, kind: type[Any]) -> Mapping[int, Any]:
        others = [number for number in range(1, self.worker.of + 1) if number != self.worker.number]
        answers = await asyncio.gather(*(self._ask(number, question, kind) for number in others))
        return dict(zip(others, answers, strict=True))

    async def _ask(self, number: int, question: Question, kind: type[Any]) -> Any:
        """None where nobody answers (rule 2)."""
        try:
            async with asyncio.timeout(self.ask_seconds):
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
        if question.id is None:
            return self._account()
        return self._find(question.id, question.client)

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
