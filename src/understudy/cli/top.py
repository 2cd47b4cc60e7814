"""``understudy top``: a running gateway, live in the terminal.

1. What keeps it from showing anything is said before the screen is taken: no terminal, no gateway, a wrong
   key. Later the screen itself says so, and goes on by itself.
2. However it ends, the terminal is as it was.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import click

from understudy.cli import failures, running, stopping
from understudy.errors import ConfigurationError

if TYPE_CHECKING:
    from understudy.tui.remote import Remote

_MISSING = "top needs {name}, which is not installed"
_INSTALL = "pip install 'understudy[top]'"
_NO_TERMINAL = "top needs a terminal"
_ONCE = "`understudy stats` prints the figures once"


@click.command()
@click.argument("url", default=running.DEFAULT, metavar="[URL]")
@running.key_option
@click.option("--demo", is_flag=True, help="Look at a gateway of its own, with backends that misbehave.")
def top(url: str, key: str | None, demo: bool) -> int:
    """Watch the gateway at URL (default http://127.0.0.1:4141): members, and what is decided.

    The key `?` shows the keys. --demo needs no gateway, no key and no network.
    """
    _check_textual()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigurationError(_NO_TERMINAL, hint=_ONCE)
    with running.said_clearly():
        return asyncio.run(_demo() if demo else _watch(url, key))


def _check_textual() -> None:
    try:
        import understudy.tui.app  # noqa: F401 - does it find what it needs?
    except ImportError as error:
        raise ConfigurationError(_MISSING.format(name=error.name), hint=_INSTALL) from None


async def _watch(url: str, key: str | None) -> int:
    async with running.reached(url, key) as remote:
        await remote.get("/live?once=1")
        return await _show(remote)


async def _demo() -> int:
    from understudy.cli.demo import without_proxy
    from understudy.cli.top_demo import gateway

    with without_proxy():
        async with gateway() as remote:
            return await _show(remote)


async def _show(remote: Remote) -> int:
    """Rule 2."""
    from understudy.runtime.clock import SystemClock
    from understudy.tui.app import Top

    app = Top(remote, SystemClock())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: app.exit(return_code=stopping.TERMINATED))
    try:
        await app.run_async()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    return app.return_code or failures.ANSWERED
