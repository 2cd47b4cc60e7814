"""Facts about the screen of ``understudy top``: Textual's own terminal, a real gateway, a manual clock."""

from __future__ import annotations

import pytest

from tests.runtime.house import completion, delta, refusal, speech, stream, STOP, DONE, USAGE
from tests.tui.stage import MIDDLE, NARROW, WIDE, seated

EVENING = (
    [refusal(500)] * 6 + [completion()],
    [
        completion(),
        stream(0.2, delta("x"), STOP, USAGE, DONE),
        refusal(429, retry_after="20"),
        *[completion()] * 9,
    ],
    completion(),
)


@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("middle", MIDDLE), ("narrow", NARROW)])
async def test_members_above_and_what_happened_below(name: str, size: tuple[int, int]) -> None:
    async with seated(*EVENING, size=size, failover_retry_count=1) as seat:
        for number in range(5):
            await seat.ask(f"request-{number}", 12.0)
        await seat.after(1)
        seat.check(name)
