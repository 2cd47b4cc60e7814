"""`/why`, `/clear`, `/quit`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.builders import context, do, home
from understudy.errors import SkipEntry, SkipReason


async def test_why_tells_the_last_requests_trail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = context(home(tmp_path))
    await do(session, "/why")
    session.session.trail = ()
    await do(session, "/why")
    skip = SkipEntry("first", SkipReason.BENCHED, 2.0)
    session.session.trail = (skip,)
    await do(session, "/why")
    session.session.trail = (skip, SkipEntry("second", SkipReason.CIRCUIT_OPEN, None))
    await do(session, "/why")

    assert capsys.readouterr().out.splitlines() == [
        "nothing has been asked yet",
        "no backend was reached",
        "1. first was skipped: benched, back 2000 ms after the request began",
        "first skipped: benched → second skipped: circuit open",
        "1. first was skipped: benched, back 2000 ms after the request began",
        "2. second was skipped: circuit open",
    ]


async def test_clear_forgets_the_conversation_and_nothing_else(tmp_path: Path) -> None:
    session = context(home(tmp_path))
    await session.session.load("pair")
    session.session.answered("q", "a", "second", "m")
    await do(session, "/clear")

    assert session.session.messages == []
    assert session.session.status == "lb:pair:second:m"


@pytest.mark.parametrize("line", ["/quit", "/exit"])
async def test_quit_ends_the_session(line: str, tmp_path: Path) -> None:
    session = context(home(tmp_path))
    assert not session.session.finished
    await do(session, line)

    assert session.session.finished
