"""Facts about when profiles are loaded anew, and what is said of it.

These tests look at files as quickly as they can; nothing in them waits for a time to pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.files import Files, Repertory
from tests.runtime.house import completion
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError
from understudy.gateway import loading
from understudy.gateway.app import Gateway
from understudy.gateway.profiles import Profiles
from understudy.gateway.reloading import LOOK_SECONDS, Reloader

SCRIPTS = {"a": completion(), "b": completion()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


class Watched(Reloader):
    """Counts its looks and its loadings, and can be told to hold its breath."""

    def __init__(self, house: Repertory) -> None:
        super().__init__(house.plan, house.gateway, every=0.0)
        self.house = house
        self.looks = 0
        self.loadings = 0

    async def reload(self) -> None:
        self.loadings += 1
        await super().reload()

    async def _look_again(self) -> object:
        self.looks += 1
        await asyncio.sleep(0)
        return await super()._look_again()

    async def until(self, loadings: int) -> None:
        async with asyncio.timeout(5):
            while self.loadings < loadings or self._turn.locked():
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        """Long enough for several looks at the files."""
        for _ in range(20):
            await asyncio.to_thread(lambda: None)
            await asyncio.sleep(0)


@asynccontextmanager
async def watching(files: Files, scripts: Any = SCRIPTS) -> AsyncIterator[Watched]:
    watched = Watched(Repertory(files, scripts))
    task = asyncio.ensure_future(watched.watch())
    try:
        yield watched
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "understudy.gateway"]


# Rule 1


def test_files_are_looked_at_once_a_second(files: Files) -> None:
    house = Repertory(files, SCRIPTS)
    assert Reloader(house.plan, house.gateway)._every == LOOK_SECONDS == 1.0


async def test_a_changed_file_is_loaded(files: Files) -> None:
    async with watching(files) as watched:
        assert await watched.house.answered_by() == "a"
        files.pool("evening", "b", "a")
        await watched.until(1)
        assert await watched.house.answered_by() == "b"


async def test_while_nothing_changes_nothing_is_loaded(files: Files) -> None:
    async with watching(files) as watched:
        await watched.settle()
        assert watched.loadings == 0


async def test_aliases_are_a_file_like_any(files: Files) -> None:
    async with watching(files) as watched:
        files.name_aliases(gpt="evening")
        await watched.until(1)
        assert await watched.house.answered_by("gpt") == "a"


class Interrupted(Watched):
    """Somebody saves another file whenever this one looks again, five times."""

    save: Callable[[int], None]

    async def _look_again(self) -> object:
        if self.looks < 5:
            self.save(self.looks)
        return await super()._look_again()


async def test_several_files_saved_together_are_one_change(files: Files) -> None:
    """Among them one that is wrong until the last is there."""
    house = Repertory(files, SCRIPTS)
    watched = Interrupted(house)

    def save(number: int) -> None:
        files.member(f"m{number}")
        files.pool("evening", "a", "b", "m4")

    watched.save = save
    task = asyncio.ensure_future(watched.watch())
    save(9)
    await watched.until(1)
    await watched.settle()
    assert (watched.loadings, watched.looks) == (1, 6)
    assert list(house.stats()["backends"]) == ["a", "b", "m4"]
    task.cancel()
    await asyncio.wait({task})


# Rule 2


async def test_what_is_wrong_is_one_line_once_and_the_profiles_stay(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(files) as watched:
        before = watched.house.profiles
        files.pool("evening", "a", "b", timout_ms=5)
        await watched.until(1)
        await watched.settle()
        assert watched.loadings == 1
        assert watched.house.profiles is before
        (line,) = lines(caplog)
        assert line.startswith("profiles not loaded, the running ones stay: ")
        assert "timout_ms" in line
        assert line.endswith("(did you mean timeout_ms?)")
        assert "\n" not in line
        assert caplog.records[0].levelno == logging.ERROR


async def test_once_it_has_been_mended_it_is_loaded(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "understudy.gateway")
    async with watching(files) as watched:
        files.save("evening", "{")
        await watched.until(1)
        files.pool("evening", "b", "a")
        await watched.until(2)
        assert await watched.house.answered_by() == "b"
        assert lines(caplog)[-1] == "profiles loaded anew: evening"


async def test_a_fault_without_a_hint_has_none(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(Repertory(files, SCRIPTS))
    (files.path / "default-profile").mkdir()
    await watched.try_reload()
    assert lines(caplog)[0].endswith("default-profile: is a directory")


async def test_a_bug_is_logged_with_its_traceback_and_does_not_end_the_watch(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(files) as watched:
        gateway = watched.house.gateway
        before = gateway.profiles
        gateway.profiles = None  # type: ignore[assignment]
        files.pool("evening", "b", "a")
        await watched.until(1)
        (record,) = caplog.records
        assert record.exc_info is not None
        assert lines(caplog) == ["profiles not loaded, the running ones stay: a bug in the gateway"]
        gateway.profiles = before
        files.pool("evening", "b", "a", timeout_ms=77)
        await watched.until(2)
        assert await watched.house.answered_by() == "b"


async def test_who_asks_for_it_hears_what_is_wrong(files: Files) -> None:
    watched = Watched(Repertory(files, SCRIPTS))
    files.save("evening", "{")
    with pytest.raises(ConfigurationError, match=r"evening\.json"):
        await watched.reload()


async def test_what_was_loaded_by_hand_is_not_loaded_again(files: Files) -> None:
    watched = Watched(Repertory(files, SCRIPTS))
    files.pool("evening", "b", "a")
    await watched.reload()
    task = asyncio.ensure_future(watched.watch())
    await watched.settle()
    assert watched.loadings == 1
    task.cancel()
    await asyncio.wait({task})


# Rule 3


class Recorded(ProfileStore):
    """Remembers when it was read."""

    def __init__(self, home: Path, log: list[str]) -> None:
        super().__init__(home)
        self.log = log

    def names(self) -> tuple[str, ...]:
        self.log.append("read")
        return super().names()


class Taking(Gateway):
    """Remembers when it was given profiles."""

    log: list[str]

    @property
    def profiles(self) -> Profiles:
        return super().profiles

    @profiles.setter
    def profiles(self, profiles: Profiles) -> None:
        self.log.append("taken")
        self.conversations.profiles = profiles


async def test_only_one_loading_at_a_time(files: Files) -> None:
    """Of two that overlapped the slower could put the older profiles back."""
    log: list[str] = []
    plan = replace(Repertory(files, SCRIPTS).plan, store=Recorded(files.path, log))
    gateway = Taking(loading.load(plan))
    gateway.log = log
    reloader = Reloader(plan, gateway)
    log.clear()
    await asyncio.gather(*(reloader.reload() for _ in range(3)))
    assert log == ["read", "taken"] * 3
