"""The lines a person types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.cli.builders import home
from understudy.cli.session import Session
from understudy.cli.terminal import Terminal, Words


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(home(tmp_path), {})


@pytest.fixture
def terminal(session: Session, tmp_path: Path, keyboard: PipeInput) -> Terminal:
    return Terminal(session, tmp_path / "history", keyboard=keyboard, display=DummyOutput())


class TestLine:
    async def test_enter_ends_it(self, terminal: Terminal, keyboard: PipeInput) -> None:
        keyboard.send_text("hello\r")

        assert await terminal.line() == "hello"

    async def test_the_up_key_brings_it_back(self, terminal: Terminal, keyboard: PipeInput) -> None:
        keyboard.send_text("hello\r")
        await terminal.line()
        keyboard.send_text("\x1b[A!\r")

        assert await terminal.line() == "hello!"

    async def test_ctrl_c_gives_it_up(self, terminal: Terminal, keyboard: PipeInput) -> None:
        keyboard.send_text("hel\x03")

        assert await terminal.line() == ""

    async def test_ctrl_d_on_an_empty_one_ends_the_session(
        self, terminal: Terminal, keyboard: PipeInput
    ) -> None:
        keyboard.send_text("\x04")

        with pytest.raises(EOFError):
            await terminal.line()

    async def test_what_is_pasted_in_several_lines_is_one(
        self, terminal: Terminal, keyboard: PipeInput
    ) -> None:
        keyboard.send_text("\x1b[200~one\ntwo\x1b[201~\r")

        assert await terminal.line() == "one\ntwo"


class TestHidden:
    async def test_it_is_not_remembered(
        self, terminal: Terminal, keyboard: PipeInput, tmp_path: Path
    ) -> None:
        keyboard.send_text("hello\r")
        await terminal.line()
        keyboard.send_text("hunter2\r")
        assert await terminal.hidden("Key: ") == "hunter2"
        keyboard.send_text("\x1b[A\r")

        assert await terminal.line() == "hello"
        assert "hunter2" not in (tmp_path / "history").read_text()

    @pytest.mark.parametrize("key", ["\x03", "\x04"])
    async def test_ctrl_c_and_ctrl_d_give_none(
        self, key: str, terminal: Terminal, keyboard: PipeInput
    ) -> None:
        keyboard.send_text(key)

        assert await terminal.hidden("Key: ") == ""


class TestWords:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("/st", [("/stats", -3)]),
            ("/stats ", [("lb", 0), ("loadbalancer", 0)]),
            ("/stats lo", [("loadbalancer", -2)]),
            ("hello /st", []),
        ],
    )
    def test_they_take_the_place_of_what_was_typed(
        self, text: str, found: list[tuple[str, int]], session: Session
    ) -> None:
        completions = Words(session).get_completions(Document(text), CompleteEvent())

        assert [(one.text, one.start_position) for one in completions] == found
