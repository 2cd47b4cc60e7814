"""What is on the screen: the newest picture, what has happened, and how it is to be looked at.

1. A request has one line, from its first failed attempt to its end; lines are in the order of their last
   news, the newest first. At most `LENGTH` are kept.
2. Members stay within their profile, the default profile first. Sorted by anything else than the profile's
   own order, those that need a look come first.
3. A filter is a part of a member's or its profile's name, its model or its state; of a line, of its words.
4. While it is paused nothing on it changes; what comes meanwhile is there when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from understudy.core.history import Bucket
from understudy.core.stats import BackendStats, Stats
from understudy.tui import cells
from understudy.tui.document import Picture, ProfilePicture
from understudy.tui.feed import Change, Hello, Lost, Missed, Told

LENGTH = 300


class MemberLine(NamedTuple):
    """One member as it is now."""

    profile: str
    backend: BackendStats
    model: str | None
    strip: Sequence[Bucket | None]

    @property
    def key(self) -> str:
        return f"{self.profile}/{self.backend.name}"


class ProfileLine(NamedTuple):
    """A profile, and how many requests are inside and wait."""

    name: str
    stats: Stats
    is_default: bool
    in_flight: int
    waiting: int

    @property
    def key(self) -> str:
        return self.name


class NewsLine(NamedTuple):
    """Something that happened. `request` is its id, blank if it is about a member."""

    key: str
    at: str
    profile: str
    words: str
    request: str


ORDERS: dict[str, Callable[[BackendStats], Any] | None] = {
    "as listed": None,
    "name": lambda backend: backend.name,
    "state": lambda backend: (cells.is_well(backend), cells.state(backend)),
    "failures": lambda backend: -backend.failures,
    "in flight": lambda backend: -backend.in_flight,
    "first content": lambda backend: -(backend.first_content_ms.p95 or 0.0),
}


class Board:
    """`order` is one of `ORDERS`."""

    def __init__(self) -> None:
        self.hello = Hello()
        self.picture: Picture | None = None
        self.lost: Lost | None = None
        self.missed = 0
        self.order = next(iter(ORDERS))
        self.filter = ""
        self.paused = False
        self._news: dict[str, NewsLine] = {}
        self._waiting: list[Told] = []
        self._changes = 0

    def take(self, told: Sequence[Told]) -> None:
        """Rule 4."""
        if self.paused:
            self._waiting = [*self._waiting, *told][-LENGTH:]
        else:
            for one in told:
                self._take(one)

    def pause(self) -> None:
        """Or go on."""
        self.paused = not self.paused
        waiting, self._waiting = self._waiting, []
        self.take(waiting)

    def sort(self) -> None:
        """By the next order."""
        orders = list(ORDERS)
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]

    def lines(self) -> list[ProfileLine | MemberLine]:
        """Each profile with its members. One without a member that suits the filter is not shown."""
        shown: list[ProfileLine | MemberLine] = []
        profiles = {} if self.picture is None else self.picture.profiles
        for name, profile in sorted(profiles.items(), key=lambda named: not named[1].default):
            members = self._members(name, profile)
            if members:
                head = ProfileLine(name, profile.stats, profile.default, profile.in_flight, profile.waiting)
                shown += [head, *members]
        return shown

    def news(self) -> list[NewsLine]:
        """The newest first."""
        wanted = self.filter.lower()
        return [
            line for line in reversed(self._news.values()) if wanted in f"{line.profile} {line.words}".lower()
        ]

    def member(self, key: str) -> MemberLine | None:
        """Whatever the filter."""
        profile, _, name = key.partition("/")
        found = None if self.picture is None else self.picture.profiles.get(profile)
        members = [] if found is None else _members(profile, found)
        return next((line for line in members if line.backend.name == name), None)

    def news_of(self, key: str) -> NewsLine | None:
        return self._news.get(key)

    def _members(self, name: str, profile: ProfilePicture) -> list[MemberLine]:
        """Rules 2 and 3."""
        members = [line for line in _members(name, profile) if self._suits(line)]
        order = ORDERS[self.order]
        return members if order is None else sorted(members, key=lambda line: order(line.backend))

    def _suits(self, line: MemberLine) -> bool:
        said = f"{line.key} {line.model} {cells.state(line.backend)}"
        return self.filter.lower() in said.lower()

    def _take(self, told: Told) -> None:
        match told:
            case Hello():
                self.hello, self.lost = told, None
            case Picture():
                self.picture, self.lost = told, None
            case Lost():
                self.lost = told
            case Missed():
                self.missed += told.count
            case Change():
                self._changes += 1
                words = f"{told.backend}: {told.words}"
                self._note(NewsLine(f"change {self._changes}", told.at, told.profile, words, ""))
            case _:
                words = told.words if told.status == "answered" else f"{told.status}: {told.words}"
                self._note(NewsLine(told.id, told.at, told.profile, words, told.id))

    def _note(self, line: NewsLine) -> None:
        """Rule 1."""
        self._news.pop(line.key, None)
        self._news[line.key] = line
        if len(self._news) > LENGTH:
            del self._news[next(iter(self._news))]


def _members(name: str, profile: ProfilePicture) -> list[MemberLine]:
    nothing = profile.members.get
    lines = []
    for backend in profile.stats.backends:
        known = nothing(backend.name)
        model, strip = (None, []) if known is None else (known.model, known.strip)
        lines.append(MemberLine(name, backend, model, strip))
    return lines
