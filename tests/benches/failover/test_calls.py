"""A call is recorded as its caller saw it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest

from benches.failover import calls
from benches.failover.calls import call, reason


async def test_the_first_content_counts_not_the_first_piece() -> None:
    async def stream() -> AsyncGenerator[str, None]:
        yield ""
        await asyncio.sleep(0.02)
        yield "Hello"
        yield " there"

    made = await call(stream)
    assert (made.text, made.error) == ("Hello there", None)
    assert made.first is not None
    assert made.first >= 0.02


async def test_what_came_before_an_error_is_kept() -> None:
    async def stream() -> AsyncGenerator[str, None]:
        yield "Hel"
        raise ConnectionResetError("by\npeer")

    made = await call(stream)
    assert (made.text, made.error) == ("Hel", "ConnectionResetError: by peer")


async def test_nobody_is_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PATIENCE", 0.02)

    async def stream() -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield "never"

    made = await call(stream)
    assert made.first is None
    assert made.error == "TimeoutError:"


async def test_so_many_are_made_and_so_many_at_a_time() -> None:
    running, most = 0, 0

    async def stream() -> AsyncGenerator[str, None]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        yield "Hello"

    assert len(await calls.calls(stream, 20, 4)) == 20
    assert most == 4


async def test_a_caller_lets_a_while_pass_between_the_beginnings_of_its_calls() -> None:
    began: list[float] = []

    async def stream() -> AsyncGenerator[str, None]:
        began.append(time.perf_counter())
        await asyncio.sleep(0.01)
        yield "Hello"

    await calls.calls(stream, 3, 1, every=0.04)
    assert all(0.035 < after - before < 0.5 for before, after in pairwise(began))


def test_of_a_group_of_errors_the_first_is_named() -> None:
    group = ExceptionGroup("all failed", [ExceptionGroup("of one", [ValueError("the first")]), KeyError("x")])
    assert reason(group) == "ValueError: the first"
