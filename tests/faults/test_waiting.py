from __future__ import annotations

import asyncio

import pytest

from understudy.faults.waiting import Changes


async def test_what_is_true_already_is_not_waited_for() -> None:
    await Changes().wait_until(lambda: True, timeout=0.0)


async def test_whoever_waits_looks_again_after_each_change() -> None:
    changes = Changes()
    seen: list[int] = []
    waiting = asyncio.ensure_future(changes.wait_until(lambda: len(seen) >= 2, timeout=5.0))
    for _ in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        seen.append(1)
        changes.happened()
    await waiting


async def test_waiting_is_bounded() -> None:
    with pytest.raises(TimeoutError):
        await Changes().wait_until(lambda: False, timeout=0.0)


async def test_who_has_given_up_is_not_woken() -> None:
    changes = Changes()
    waiting = asyncio.ensure_future(changes.wait_until(lambda: False, timeout=5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    changes.happened()
    assert waiting.cancelled()
