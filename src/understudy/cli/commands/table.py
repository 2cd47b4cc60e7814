"""Every slash command: the table behind dispatch, ``/help``, completion and the documentation.

1. A command is known by its name or an alias; case matters not. An unknown one is told the nearest.
2. Completion offers what may stand at the word being typed, and nothing for a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.cli.commands.backend import BASEURL, KEY, KEYFILE, MODEL, PROVIDER
from understudy.cli.commands.command import Command, Context, Usage
from understudy.cli.commands.profile import PROFILE
from understudy.cli.commands.set import SET
from understudy.cli.commands.stats import STATS
from understudy.cli.commands.talk import CLEAR, QUIT, WHY
from understudy.cli.session import Session
from understudy.config.secret import shown
from understudy.core.settings import nearest
from understudy.errors import ConfigurationError

_COLUMN = 34


async def _help(context: Context, rest: str) -> None:
    commands = [find(f"/{rest.removeprefix('/')}")] if rest else COMMANDS
    context.screen.say("\n".join(help_lines(commands)))


def _help_words(session: Session, words: list[str]) -> Iterable[str]:
    return () if words else [command.name for command in COMMANDS]


HELP = Command("/help", (Usage("[COMMAND]", "this list"),), _help, _help_words)

COMMANDS: tuple[Command, ...] = (
    PROFILE, STATS, WHY, SET, PROVIDER, MODEL, BASEURL, KEYFILE, KEY, CLEAR, HELP, QUIT,
)  # fmt: skip

_BY_NAME = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


def find(name: str) -> Command:
    """The command of this name; raises `ConfigurationError` with the nearest."""
    command = _BY_NAME.get(name.lower())
    if command is None:
        likely = closest(name)
        way_out = f"did you mean {likely}? " if likely else ""
        raise ConfigurationError(f"unknown command {shown(name)}", hint=f"{way_out}/help shows all commands")
    return command


def closest(name: str) -> str | None:
    """The command's name that is most like this one, if any is."""
    return nearest(name.lower(), _BY_NAME)


def help_lines(commands: Iterable[Command]) -> list[str]:
    """A line for each way to write a command; a long one has its meaning on the next line."""
    lines = []
    for written, meaning in written_ways(commands):
        if len(written) < _COLUMN:
            lines.append(f"{written:<{_COLUMN}}{meaning}")
        else:
            lines += [written, " " * _COLUMN + meaning]
    return lines


def written_ways(commands: Iterable[Command]) -> list[tuple[str, str]]:
    return [
        (f"{command.name} {usage.arguments}".rstrip(), usage.help)
        for command in commands
        for usage in command.usages
    ]


def completions(session: Session, text: str) -> list[str]:
    """The words that may stand where `text`, the line up to the cursor, ends."""
    if not text.startswith("/"):
        return []
    words, typed = words_of(text)
    candidates = _completed_by(session, words[0], words[1:]) if words else _BY_NAME
    return [word for word in candidates if word.lower().startswith(typed.lower())]


def words_of(text: str) -> tuple[list[str], str]:
    """The words that are written, and the one being typed, empty behind a blank."""
    words = text.split()
    if not words or text[-1].isspace():
        return words, ""
    return words[:-1], words[-1]


def _completed_by(session: Session, name: str, words: list[str]) -> Iterable[str]:
    command = _BY_NAME.get(name.lower())
    return command.complete(session, words) if command else ()
