"""A request leaves nothing behind that only the garbage collector can undo."""

from __future__ import annotations

import gc

import pytest

from tests.runtime.house import House, completion, refusal, speech
from understudy.core.settings import RetrySettings
from understudy.simulate.scripted_transport import Reply


@pytest.mark.parametrize(
    ("first", "second", "streamed"),
    [
        (speech("Hello"), speech("never"), True),
        (completion("Hello"), completion("never"), False),
        (refusal(500), speech("Hello"), True),
    ],
    ids=["stream", "unary", "failover"],
)
async def test_a_request_ties_no_ring(first: Reply, second: Reply, streamed: bool) -> None:
    house = House(first, second, retry=RetrySettings(count=1))
    await house.play(stream=streamed)
    gc.collect()
    gc.disable()
    try:
        async for _ in house.call(stream=streamed).chunks():
            pass
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [item for item in gc.garbage if type(item).__module__.startswith("understudy")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert ours == []
