"""Shared state in Redis or Valkey, by the scripts of `state.scripts`.

1. Each call is one script on one key, and one round trip. A server that has forgotten one is sent
   all of them.
2. redis-py's own retries are off: who calls decides what a failure means. After a failure that a new
   connection may mend (a replica that was the master, a password that was changed) all are closed.
3. Whatever goes wrong is `StateUnavailable` with one line, in which the password is masked.
4. An exchange that is the first, or comes after a failure, does not end before `CONNECTIONS` are open: the
   first request that waits for an answer shall not wait for a connection as well. They are opened beside the
   exchange, not after it: a slow server would not get both done within the patience that there is for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1
from math import ceil, inf
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
)

from understudy.core.shared import (
    Cursor,
    Lease,
    Picture,
    Pin,
    Record,
    Report,
    Room,
    Told,
    Usage,
    Verdict,
    Wanted,
)
from understudy.errors import ConfigurationError
from understudy.runtime.ports import StateUnavailable
from understudy.state import scripts

T = TypeVar("T")

PREFIX = f"understudy:{scripts.SCHEMA}"
KEPT = 24 * 3600.0
"""Seconds after which circuits are forgotten that no process has looked at."""
PATIENCE = 2.0
"""Seconds for a connection, and for an answer."""
CONNECTIONS = 4
"""For the background, and for what requests ask for at one time; more are opened when they are needed."""
_FIELDS = 13


class Script:
    """A text that the server knows by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


_ALL = _EXCHANGE, _LEASE, _RESERVE, _SPEND, _PUBLISH, _NUMBERS = tuple(
    Script(text)
    for text in (
        scripts.EXCHANGE,
        scripts.LEASE,
        scripts.RESERVE,
        scripts.SPEND,
        scripts.PUBLISH,
        scripts.NUMBERS,
    )
)


class RedisStore:
    """The server at `url`: ``redis://``, ``rediss://``, ``unix://``, or the same as ``valkey://``.

    Connects when it is first used, on the event loop that uses it. `operations` counts what was asked of the
    server. Raises `ConfigurationError` if the URL says nothing.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.operations = 0
        self._is_warm = False
        self._secrets = [secret for secret in {parts.password, unquote(parts.password or "")} if secret]
        scheme = {"valkey": "redis", "valkeys": "rediss"}.get(parts.scheme, parts.scheme)
        try:
            self._client = redis.asyncio.Redis.from_url(
                url.replace(parts.scheme, scheme, 1),
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except (ValueError, RedisError) as error:
            raise ConfigurationError(
                f"the state URL is wrong: {self._masked(error)}", hint="for example redis://localhost:6379/0"
            ) from None

    def __repr__(self) -> str:
        return f"<RedisStore at {self.place}>"

    async def exchange(self, pool: str, report: Report) -> Picture:
        arguments: list[Any] = [
            report.cursor.born,
            report.cursor.change,
            report.pin.epoch,
            report.pin.member,
            _milliseconds(KEPT),
            int(report.proves),
        ]
        for told in report.told:
            arguments += _written(told)
        asking = self._run(_EXCHANGE, f"circuits:{pool}", arguments)
        answer = await (asking if self._is_warm else self._warmed(asking))
        now, born, change, pin_epoch, pin = (part.decode() for part in answer[:5])
        records = {
            member.decode(): _read(value, int(now))
            for member, value in zip(answer[5::2], answer[6::2], strict=True)
        }
        return Picture(Cursor(born, int(change)), records, Pin(int(pin_epoch), pin))

    async def lease(
        self, pool: str, member: str, holder: str, epoch: int, seconds: float, ends: float = inf
    ) -> Lease:
        known = "" if ends == inf else _milliseconds(ends)
        arguments = [member, holder, epoch, _milliseconds(seconds), _milliseconds(KEPT), known]
        granted, left = await self._run(_LEASE, f"circuits:{pool}", arguments)
        return Lease(bool(granted), int(left) / 1000)

    async def reserve(self, pool: str, member: str, wanted: Sequence[Wanted]) -> Sequence[Room]:
        arguments: list[Any] = []
        for tokens, *limits in wanted:
            arguments += [ceil(tokens), *("" if limit is None else limit for limit in limits)]
        return [
            Room(bool(granted), ceiling.decode(), int(seconds) / 1000, int(second))
            for granted, ceiling, seconds, second in await self._run(
                _RESERVE, _ceiling(pool, member), arguments
            )
        ]

    async def spend(self, pool: str, member: str, usage: Sequence[Usage]) -> None:
        arguments: list[Any] = []
        for ago, tokens, requests, second in usage:
            arguments += [_milliseconds(ago), ceil(tokens), ceil(requests), second]
        await self._run(_SPEND, _ceiling(pool, member), arguments)

    async def publish(self, pool: str, process: str, numbers: bytes, seconds: float) -> None:
        await self._run(_PUBLISH, f"stats:{pool}", [process, _milliseconds(seconds), numbers])

    async def numbers(self, pool: str) -> Mapping[str, bytes]:
        answer = await self._run(_NUMBERS, f"stats:{pool}", [])
        return {process.decode(): numbers for process, numbers in zip(answer[::2], answer[1::2], strict=True)}

    async def withdraw(self, pool: str, process: str) -> None:
        with self._told_in_one_line():
            self.operations += 1
            await self._client.hdel(f"{PREFIX}:stats:{pool}", process)

    async def close(self) -> None:
        with suppress(RedisError, OSError):  # it may be gone already
            await self._client.aclose()

    async def _run(self, script: Script, key: str, arguments: Sequence[Any]) -> Any:
        """Rule 1."""
        key = f"{PREFIX}:{key}"
        try:
            with self._told_in_one_line():
                self.operations += 1
                try:
                    return await self._client.evalsha(script.digest, 1, key, *arguments)
                except NoScriptError:
                    await self._teach()
                    return await self._client.evalsha(script.digest, 1, key, *arguments)
        except _Mended as error:
            await self._client.connection_pool.disconnect(inuse_connections=False)
            raise StateUnavailable(str(error)) from None

    async def _warmed(self, asking: Awaitable[T]) -> T:
        """Rule 4. Calls at one time have a connection each."""
        answer, _ = await asyncio.gather(asking, self._open(CONNECTIONS - 1))
        self._is_warm = True
        return answer

    async def _open(self, connections: int) -> None:
        with self._told_in_one_line():
            self.operations += connections
            await asyncio.gather(*(self._client.ping() for _ in range(connections)))

    async def _teach(self) -> None:
        """All of them at once: the background finds out first, and no request has to."""
        self.operations += 1
        async with self._client.pipeline(transaction=False) as pipeline:
            for script in _ALL:
                pipeline.script_load(script.text)
            await pipeline.execute()

    @contextmanager
    def _told_in_one_line(self) -> Iterator[None]:
        """Rules 2 and 3. Who is cancelled loses the connection, too."""
        try:
            yield
        except asyncio.CancelledError:
            self._is_warm = False
            raise
        except (ReadOnlyError, AuthenticationError) as error:
            self._is_warm = False
            raise _Mended(self._masked(error)) from None
        except (RedisError, OSError, TimeoutError) as error:
            self._is_warm = False
            raise StateUnavailable(self._masked(error)) from None

    def _masked(self, error: BaseException) -> str:
        """One line without the password, and without the place in our script."""
        line = " ".join(str(error).partition(" script: ")[0].split()) or type(error).__name__
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line[:200]


class _Mended(StateUnavailable):
    """By a new connection, if by anything."""


def _ceiling(pool: str, member: str) -> str:
    return f"ceiling:{pool}:{member}"


def _written(told: Told) -> list[Any]:
    """One row of what is told, as `scripts.EXCHANGE` reads it."""
    record, verdict = told.record, told.record.verdict
    return [
        told.member,
        verdict.epoch,
        int(verdict.is_open),
        _from_now(verdict.since),
        _from_now(verdict.until),
        verdict.forced or "-",
        int(verdict.drained),
        record.resets,
        _from_now(record.benched_until),
        told.action,
        told.action_id,
        told.returned,
    ]


def _read(value: bytes, now: int) -> tuple[int, Record]:
    """A record, and the number of its change."""
    parts = value.decode().split()
    if len(parts) != _FIELDS or parts[0] != scripts.SCHEMA:
        raise StateUnavailable(f"the store holds a record of another kind: {value[:40]!r}")
    change, epoch, is_open, since, until, drained, resets, benched, held = map(int, parts[1:10])
    forced, holder = ("" if part == "-" else part for part in parts[10:12])
    verdict = Verdict(epoch, bool(is_open), _seconds(since, now), _seconds(until, now), forced, bool(drained))
    return change, Record(verdict, resets, _seconds(benched, now), holder, _seconds(held, now))


def _milliseconds(seconds: float) -> int:
    """Never too few."""
    return ceil(seconds * 1000)


def _from_now(seconds: float) -> int | str:
    return _milliseconds(seconds) if seconds else ""


def _seconds(instant: int, now: int) -> float:
    return (instant - now) / 1000 if instant else 0.0
