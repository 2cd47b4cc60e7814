"""What comes over the tables: a text to read, a question to answer; and the table that keeps its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

Row = tuple[str, Sequence[str]]
"""A line's key, and its cells."""


class Reading(ModalScreen[None]):
    """A text, until a key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "close", "Back"),
    ]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = Text(self._title)
            box.border_subtitle = Text("Escape: back")
            yield Static(_text(self._lines), id="text")

    def show(self, lines: Sequence[str]) -> None:
        """The same, newer."""
        self.query_one("#text", Static).update(_text(lines))

    def action_close(self) -> None:
        self.dismiss()


class Question(ModalScreen[bool]):
    """Something to be sure of. Only a ``y`` is a yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q,enter", "answer(False)", "No"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        super().__init__()
        self._lines = [question, "", consequence, "", "y: yes   n: no"]

    def compose(self) -> ComposeResult:
        yield Static(_text(self._lines), id="question")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Lines(DataTable[Text]):
    """A table whose cursor stays with its line, wherever that goes. At the top it stays at the top."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, cursor_type="row", cell_padding=1)
        self._titles: list[str] = []
        self._shown: list[Row] = []

    @property
    def chosen(self) -> str | None:
        """The key of the line that the cursor is on."""
        return self._shown[self.cursor_row][0] if self._shown else None

    def show(self, titles: list[str], rows: list[Row]) -> None:
        """There are three cases: other columns, other lines, the same lines with other words."""
        chosen, at_top = self.chosen, self.cursor_row == 0
        if titles != self._titles:
            self.clear(columns=True)
            self.add_columns(*titles)
        elif _keys(rows) == _keys(self._shown):
            self._change(rows)
            return
        else:
            self.clear()
        self._titles, self._shown = titles, rows
        for key, values in rows:
            self.add_row(*map(_cell, values), key=key)
        self._fit()
        keys = _keys(rows)
        if not at_top and chosen in keys:
            self.move_cursor(row=keys.index(chosen))

    def _change(self, rows: list[Row]) -> None:
        for row, ((_, before), (_, now)) in enumerate(zip(self._shown, rows, strict=True)):
            for column, (old, new) in enumerate(zip(before, now, strict=True)):
                if old != new:
                    self.update_cell_at((row, column), _cell(new), update_width=True)  # type: ignore[arg-type]
        self._shown = rows
        self._fit()

    def _fit(self) -> None:
        """As wide as what is in them. DataTable itself finds out when it has nothing else to do, and a line
        that it has drawn by then stays cut short until the line changes again.
        """
        for place, column in enumerate(self.ordered_columns):
            widths = [cell_len(values[place]) for _, values in self._shown]
            column.content_width = max([column.label.cell_len, *widths])


def _keys(rows: Sequence[Row]) -> list[str]:
    return [key for key, _ in rows]


def _cell(words: str) -> Text:
    """As it is: brackets are no markup."""
    return Text(words, no_wrap=True)


def _text(lines: Sequence[str]) -> Text:
    return Text("\n".join(lines))
