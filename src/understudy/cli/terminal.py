"""The lines a person types: editing, history, completion, and the status line below.

1. Ctrl-C gives up the line being typed, Ctrl-D on an empty one ends the session.
2. The prompt goes to the terminal, also when stdout is a file or a pipe.
3. A hidden line is neither shown nor remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import DummyHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output

from understudy.cli.commands.table import completions, words_of
from understudy.cli.history import History
from understudy.cli.session import Session

_PROMPT = "> "


class Words(Completer):
    """Completes slash commands and what belongs to them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        _, typed = words_of(text)
        for word in completions(self._session, text):
            yield Completion(word, start_position=-len(typed))


class Terminal:
    """`history` is the file of earlier lines. Keyboard and display are the terminal's by default."""

    def __init__(
        self, session: Session, history: Path, *, keyboard: Input | None = None, display: Output | None = None
    ) -> None:
        display = display or create_output(always_prefer_tty=True)
        self._lines: PromptSession[str] = PromptSession(
            _PROMPT,
            history=History(history),
            completer=Words(session),
            complete_while_typing=True,
            bottom_toolbar=lambda: session.status,
            input=keyboard,
            output=display,
        )
        self._hidden: PromptSession[str] = PromptSession(
            history=DummyHistory(), is_password=True, reserve_space_for_menu=0, input=keyboard, output=display
        )

    async def line(self) -> str:
        """The next line, empty if it was given up; raises EOFError at Ctrl-D."""
        try:
            return await self._lines.prompt_async(handle_sigint=False)
        except KeyboardInterrupt:
            return ""

    async def hidden(self, label: str) -> str:
        """Empty if the user gave none."""
        try:
            return await self._hidden.prompt_async(label, handle_sigint=False)
        except (KeyboardInterrupt, EOFError):
            return ""
