"""What a slash command is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from understudy.cli.screen import Screen
from understudy.cli.session import Session
from understudy.errors import ConfigurationError


class Reader(Protocol):
    """Where a session's lines come from."""

    async def line(self) -> str:
        """The next line; raises EOFError after the last, `ConfigurationError` if it can't be read."""
        ...

    async def hidden(self, label: str) -> str:
        """A line that is neither shown nor remembered; empty if the user gave none."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a command works with."""

    session: Session
    screen: Screen
    reader: Reader


Run = Callable[[Context, str], Awaitable[None]]
Complete = Callable[[Session, list[str]], Iterable[str]]


def nothing(session: Session, words: list[str]) -> Iterable[str]:
    """No completions."""
    return ()


@dataclass(frozen=True, slots=True)
class Usage:
    """One way to write a command, without its name, and what that does."""

    arguments: str
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command, by its `name` with the slash.

    `run` gets what follows the name, stripped. `complete` gets the words between the name and the one
    being typed, and gives all words that may stand there.
    """

    name: str
    usages: tuple[Usage, ...]
    run: Run
    complete: Complete = nothing
    aliases: tuple[str, ...] = ()


def misused(usage: str) -> ConfigurationError:
    """The command was not written as it can be."""
    return ConfigurationError(f"this is written: {usage}", hint="/help shows all commands")


def flag(words: list[str], name: str) -> bool:
    """Is the flag among the words? It is taken out."""
    found = name in words
    words[:] = [word for word in words if word != name]
    return found


def unquoted(text: str) -> str:
    """A path as the user means it: quotes around the whole are a shell's habit."""
    for quote in "'\"":
        if len(text) > 1 and text[0] == text[-1] == quote:
            return text[1:-1]
    return text
