"""The screen before a real gateway on a manual clock, and what can be read on it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.gateway.stage import ADMIN_KEY, Stage
from understudy.cli.in_process import InProcess
from understudy.testing import Reply
from understudy.tui.app import Top
from understudy.tui.remote import Remote

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDE, MIDDLE, NARROW = (142, 24), (96, 22), (46, 20)
_LETTER = 12.2  # how wide the picture of one is
_PIECE = re.compile(r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')


class Seat:
    """Somebody who looks at the screen and types."""

    def __init__(self, stage: Stage, app: Top, pilot: Pilot[None]) -> None:
        self.stage = stage
        self.app = app
        self.pilot = pilot

    async def after(self, seconds: float) -> None:
        """Look again."""
        await self.stage.clock.advance(seconds)
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.after(0)

    async def ask(self, request_id: str, seconds: float = 1.0, **fields: Any) -> None:
        """A request of a client, and so much time for it."""
        await self.stage.play(seconds, headers={"x-request-id": request_id}, **fields)
        await self.pilot.pause()

    @property
    def screen(self) -> list[str]:
        """The lines of the terminal, as they are."""
        lines: dict[float, list[str]] = {}
        for left, top, words in _PIECE.findall(self.app.export_screenshot()):
            line = lines.setdefault(float(top), [])
            column = round(float(left) / _LETTER)
            line += " " * (column - len(line))
            line[column:] = unescape(words).replace("\xa0", " ")
        return ["".join(lines[top]).rstrip() for top in sorted(lines)]

    def shows(self, words: str) -> bool:
        return any(words in line for line in self.screen)

    def check(self, name: str) -> None:
        """The screen is as it was when somebody looked at it and found it good.

        ``UNDERSTUDY_SNAPSHOTS=write`` keeps what is there now, for that somebody to look at.
        """
        file = SNAPSHOTS / f"{name}.txt"
        seen = "\n".join(self.screen) + "\n"
        if os.environ.get("UNDERSTUDY_SNAPSHOTS") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(seen, encoding="utf-8")
        assert seen == file.read_text(encoding="utf-8")


@asynccontextmanager
async def seated(
    *scripts: Sequence[Reply] | Reply,
    size: tuple[int, int] = WIDE,
    operator: bool = True,
    remote: Remote | None = None,
    **settings: Any,
) -> AsyncIterator[Seat]:
    """Take a seat. `operator`: with the admin key."""
    stage = Stage(*scripts, **settings)
    if operator:
        stage.admit_operator()
    inside = InProcess(stage.gateway, "http://gateway.test:4141", ADMIN_KEY if operator else "")
    app = Top(remote or inside, stage.clock)
    async with app.run_test(size=size) as pilot:
        seat = Seat(stage, app, pilot)
        await seat.after(0)
        yield seat
