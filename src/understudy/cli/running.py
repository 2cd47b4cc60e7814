"""A gateway that runs, as ``stats``, ``why`` and ``top`` reach it.

1. Its address is an argument or ``--url``, its key ``--key`` or better the environment's, where no list of
   processes shows it: ``UNDERSTUDY_KEY``, else the operator's ``UNDERSTUDY_ADMIN_KEY``.
2. A gateway that isn't there, or doesn't answer as asked, is one line and status 1.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from understudy.tui.remote import HttpRemote, Remote

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT = "http://127.0.0.1:4141"
_KEYS = ("UNDERSTUDY_KEY", "UNDERSTUDY_ADMIN_KEY")

url_option = click.option(
    "--url", default=DEFAULT, show_default=True, metavar="URL", help="The gateway's address."
)
key_option = click.option(
    "--key",
    default=None,
    metavar="KEY",
    help="A client's key or the admin key; better in UNDERSTUDY_KEY, where no other user sees it.",
)


def ask(url: str, key: str | None, question: Callable[[Remote], Awaitable[T]]) -> T:
    """What the gateway answers. Raises `click.ClickException`, or `ConfigurationError` for a wrong URL."""
    from understudy.cli import stopping

    async def asked() -> T:
        async with reached(url, key) as remote:
            return await question(remote)

    with said_clearly():
        return stopping.run(asked())


def reached(url: str, key: str | None) -> HttpRemote:
    """Rule 1."""
    from understudy.tui.remote import HttpRemote

    return HttpRemote(url, key or next(filter(None, map(_variable, _KEYS)), None))


@contextmanager
def said_clearly() -> Iterator[None]:
    """Rule 2."""
    from understudy.tui.remote import GatewayError

    try:
        yield
    except GatewayError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise click.ClickException(f"{error.message}{hint}") from None


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
