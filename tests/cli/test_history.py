"""The lines a person typed in earlier sessions."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from understudy.cli.history import History, holds_key


async def remembered(path: Path) -> list[str]:
    """What a later session finds, newest first."""
    return [line async for line in History(path).load()]


async def test_lines_are_found_in_a_later_session(tmp_path: Path) -> None:
    path = tmp_path / "home" / "history"
    history = History(path)
    history.append_string("hello")
    history.append_string("two\nlines — 再演")

    assert history.get_strings() == ["hello", "two\nlines — 再演"]
    assert await remembered(path) == ["two\nlines — 再演", "hello"]


class TestKeys:
    @pytest.mark.parametrize(
        "line",
        [
            "/key",
            "/key hunter2",
            "  /KEY hunter2",
            "/kye hunter2",
            "/keys hunter2",
            "/set auth-key sk-live-0123456789abcdef",
            "why is gsk_0123456789abcdef refused?",
            "use 0123456789abcdef0123456789abcdef for it",
            "/baseurl https://user:hunter2@one.example/v1",
        ],
    )
    async def test_a_line_that_holds_one_is_not_remembered(self, line: str, tmp_path: Path) -> None:
        history = History(tmp_path / "history")
        history.append_string(line)

        assert history.get_strings() == []
        assert not (tmp_path / "history").exists()

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "   ",
            "hello",
            "key hunter2",
            "/keyfile ~/keys/groq",
            "/baseurl https://one.example/v1",
            "/profile save model mine --inline-key",
            "/unheard-of",
            "mail me@example.org",
        ],
    )
    def test_others_are(self, line: str) -> None:
        assert not holds_key(line)


class TestFile:
    def test_it_is_its_owners_alone_also_if_it_was_not_before(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "history"
        History(path).append_string("hello")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
        History(path).append_string("again")

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_one_that_cant_be_written_or_read_is_done_without(self, tmp_path: Path) -> None:
        """A folder in the file's place fails for everybody, also for root."""
        path = tmp_path / "history"
        os.mkdir(path)
        history = History(path)
        history.append_string("hello")

        assert history.get_strings() == ["hello"]
        assert await remembered(path) == []
