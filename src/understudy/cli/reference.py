"""The reference of the command line: every command's own help, as one page.

`page` is its text; `write` puts it where it is kept, and a test holds it current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from understudy.cli.main import root

_WIDTH = 88
_INTRODUCTION = """\
<!-- Made from the commands' own help by understudy.cli.reference; edit that and write it again. -->

# The command line

Every command as its `--help` has it. [The guide](../cli.md) says how they work together.
"""


def page() -> str:
    """The page's text."""
    sections = (f"## `{context.command_path}`\n\n```\n{_help(context)}\n```\n" for context in _commands())
    return "\n".join([_INTRODUCTION, *sections])


def write(folder: Path) -> None:
    """Put the page into the folder of reference pages."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cli.md").write_text(page(), encoding="utf-8")


def _commands() -> Iterator[click.Context]:
    settings = {**root.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    yield from _with_parts(root, click.Context(root, info_name="understudy", **settings))


def _with_parts(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The command, then what it is a group of."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None  # it was just listed
            yield from _with_parts(part, click.Context(part, info_name=name, parent=context))


def _help(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().splitlines())
