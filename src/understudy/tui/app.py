"""The screen of ``understudy top``: members above, what has happened below.

1. It shows what the gateway tells (`tui.feed`), drawn once for all that came in one piece.
2. Without a stream it says so, and since when the figures are; it goes on by itself when there is one again.
3. An operator's action is asked about first, and done by the gateway's admin routes. Without the admin key
   it is said what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple
from urllib.parse import quote

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input, Static

from understudy.runtime.ports import Clock
from understudy.tui import columns, details
from understudy.tui.board import Board, MemberLine, ProfileLine
from understudy.tui.document import summary_of
from understudy.tui.feed import follow
from understudy.tui.remote import KEY_VARIABLE, GatewayError, Remote, decoded
from understudy.tui.screens import Lines, Question, Reading, Row

MEMBERS, NEWS = "members", "news"


class Action(NamedTuple):
    """What an operator may do to a member."""

    question: str
    consequence: str
    done: str


ACTIONS = {
    "reset": Action("Reset {}?", "Its failures, its bench and its circuit are forgotten.", "reset"),
    "drain": Action("Drain {}?", "It finishes what it has, and is given nothing more.", "drained"),
    "enable": Action("Take {} into service?", "It is asked again when its turn comes.", "in service"),
    "open": Action("Hold the circuit of {} open?", "It is not asked, until it is reset.", "held open"),
    "close": Action("Hold the circuit of {} closed?", "It is asked, until it is reset.", "held closed"),
}  # fmt: skip

HELP = [
    "Tab            members, or what has happened",
    "Enter          all about the line that is marked",
    "s              sort: by the next of several orders",
    "/              filter by a part of a name, a model, a state or of what happened",
    "p              pause: the screen stands still; again, and it goes on",
    "r              reset the member that is marked (forget its failures)",
    "d, e           drain it, or take it into service",
    "o, c           hold its circuit open, or closed",
    "?              this",
    "q              leave",
    "",
    "What an operator does is asked about first, and needs the admin key.",
    "",
    "A strip has a letter for ten seconds:",
    details.LEGEND,
]


class Top(App[None]):
    """Shows one gateway."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; background: $primary; color: $text; text-style: bold; padding: 0 1; }
    #members { height: 1fr; scrollbar-size-horizontal: 0; }
    #news { height: 1fr; scrollbar-size-horizontal: 0; border-top: solid $primary; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #said { display: none; height: 1; padding: 0 1; text-style: bold; }
    Reading, Question { align: center middle; }
    Reading VerticalScroll, #question { width: 90%; border: solid $primary; background: $surface; }
    Reading VerticalScroll { max-width: 100; height: auto; max-height: 90%; padding: 0 1; }
    Reading #text { height: auto; }
    #question { max-width: 72; height: auto; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("slash", "filter", "Filter"),
        Binding("p", "pause", "Pause"),
        Binding("r", "act('reset')", "Reset"),
        Binding("d", "act('drain')", "Drain", show=False),
        Binding("e", "act('enable')", "Enable", show=False),
        Binding("o", "act('open')", "Open", show=False),
        Binding("c", "act('close')", "Close", show=False),
        Binding("question_mark,h", "help", "Help", key_display="?"),
        Binding("escape", "unfilter", "No filter", show=False),
    ]

    def __init__(self, remote: Remote, clock: Clock) -> None:
        super().__init__()
        self.board = Board()
        self._remote = remote
        self._clock = clock
        self._width = columns.WIDE
        self._detail: Callable[[], list[str]] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Lines(MEMBERS)
        yield Lines(NEWS)
        yield Input(id="filter", placeholder="filter", compact=True)
        yield Static(id="said", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.draw()
        self.query_one(f"#{MEMBERS}").focus()
        self.run_worker(self._follow())

    def on_resize(self, event: events.Resize) -> None:
        self._width = event.size.width
        self.draw()

    async def _follow(self) -> None:
        async for told in follow(self._remote, self._clock):
            self.board.take(told)
            self.draw()

    # Drawing

    def draw(self) -> None:
        width = self._width
        self._head.update(Text(self.head(), no_wrap=True, overflow="ellipsis"))
        chosen = columns.members(width)
        self._members.show(
            [column.title for column in chosen], [_row(line, chosen) for line in self.board.lines()]
        )
        news: list[Row] = [(line.key, columns.news(line, width)) for line in self.board.news()]
        self._news.show(columns.news_titles(width), news)
        if self._detail is not None and isinstance(self.screen, Reading):
            self.screen.show(self._detail())

    def head(self) -> str:
        """Rule 2, and how it is looked at."""
        board = self.board
        picture = board.picture
        since = "" if picture is None else f"{picture.at[11:19]} UTC"
        said = [self._remote.name, *self._state(since)]
        if picture is not None and picture.worker is not None:
            said.append(f"worker {picture.worker}")
        if board.order != "as listed":
            said.append(f"sorted by {board.order}")
        if board.filter:
            said.append(f"filter {board.filter}")
        if board.missed:
            said.append(f"{board.missed} not shown")
        return " · ".join(said)

    def _state(self, since: str) -> list[str]:
        """There are four cases: paused, no stream, nothing heard yet, and all is well."""
        lost = self.board.lost
        if self.board.paused:
            return [f"PAUSED at {since}"]
        if lost is not None:
            figures = [f"figures of {since}"] if since else []
            return [f"DISCONNECTED, again in {lost.pause:.0f} s: {lost.message}", *figures]
        return [since or "connecting"]

    def say(self, words: str) -> None:
        """One line below the tables, until Escape."""
        said = self.query_one("#said", Static)
        said.update(Text(words, no_wrap=True, overflow="ellipsis"))
        said.display = bool(words)

    @property
    def _head(self) -> Static:
        return self.screen_stack[0].query_one("#head", Static)

    @property
    def _members(self) -> Lines:
        return self.screen_stack[0].query_one(f"#{MEMBERS}", Lines)

    @property
    def _news(self) -> Lines:
        return self.screen_stack[0].query_one(f"#{NEWS}", Lines)

    # Keys

    def action_sort(self) -> None:
        self.board.sort()
        self.draw()

    def action_pause(self) -> None:
        self.board.pause()
        self.draw()

    def action_help(self) -> None:
        self._read("Keys", HELP)

    def action_filter(self) -> None:
        asked = self.query_one("#filter", Input)
        asked.display = True
        asked.value = self.board.filter
        asked.focus()

    def action_unfilter(self) -> None:
        self.query_one("#filter", Input).value = ""
        self._filtered("")
        self.say("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self.board.filter = event.value
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._filtered(event.value)

    def _filtered(self, wanted: str) -> None:
        self.board.filter = wanted
        self.query_one("#filter", Input).display = False
        self._members.focus()
        self.draw()

    # Details

    async def on_data_table_row_selected(self, event: Lines.RowSelected) -> None:
        key = event.row_key.value
        assert key is not None, "every line has one"
        if event.data_table is self._news:
            await self._tell_request(key)
        else:
            self._tell_line(key)

    def _tell_line(self, key: str) -> None:
        """Of a profile or a member, kept current while it is read."""

        def lines() -> list[str]:
            found = next((line for line in self.board.lines() if line.key == key), None)
            match found:
                case ProfileLine():
                    return details.of_profile(found)
                case MemberLine():
                    return details.of_member(found)
                case _:
                    return ["it is not there any more"]

        self._read(key.replace("/", ": "), lines(), lines)

    async def _tell_request(self, key: str) -> None:
        line = self.board.news_of(key)
        if line is None or not line.request:
            return
        try:
            body = await self._remote.get(f"/requests/{quote(line.request, safe='')}")
            told = details.of_request(summary_of(decoded(body)))
        except GatewayError as error:
            self.say(error.message)
            return
        self._read(f"Request {line.request}", told)

    def _read(self, title: str, lines: list[str], newer: Callable[[], list[str]] | None = None) -> None:
        self._detail = newer
        self.push_screen(Reading(title, lines))

    # Actions

    def action_act(self, action: str) -> None:
        """Rule 3."""
        line = self.board.member(self._members.chosen or "")
        hello = self.board.hello
        if line is None:
            self.say("no member is marked")
        elif not (hello.operator and hello.admin):
            self.say(f"this needs the gateway's admin key, as {KEY_VARIABLE} or --key")
        else:
            self._ask(action, line)

    def _ask(self, action: str, line: MemberLine) -> None:
        asked = ACTIONS[action]
        name = f"{line.backend.name} of {line.profile}"

        def answered(sure: bool | None) -> None:
            if sure:
                self.run_worker(self._act(action, line, f"{name}: {asked.done}"))

        self.push_screen(Question(asked.question.format(name), asked.consequence), answered)

    async def _act(self, action: str, line: MemberLine, done: str) -> None:
        profile, backend = quote(line.profile, safe=""), quote(line.backend.name, safe="")
        try:
            await self._remote.post(f"/admin/profiles/{profile}/backends/{backend}/{action}")
        except GatewayError as error:
            done = error.message
        self.say(done)


def _row(line: ProfileLine | MemberLine, chosen: list[columns.Column]) -> Row:
    if isinstance(line, ProfileLine):
        return line.key, columns.profile(line, chosen)
    return line.key, columns.member(line, chosen)
