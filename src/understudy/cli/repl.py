"""The session: lines in, answers out.

1. A line that begins with ``/`` is a command, ``//`` and everything else a prompt; white space alone is
   nothing. A prompt takes the conversation along, and joins it with its answer once that is whole.
2. On a terminal Ctrl-C cancels the answer or command, not the session; Ctrl-D ends it. A line that fails
   is told in a few lines, and the session goes on.
3. Without a terminal the same lines come from stdin, without prompts and notes; the exit status is 1 if
   any of them failed.
4. A profile asked for has to load, or the session does not begin. If none is asked for, the default
   profile is loaded; without one the session begins with none.
5. Leaving, however it happens, closes every connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy._version import __version__
from understudy.cli import stopping
from understudy.cli.commands.command import Context, Reader
from understudy.cli.commands.table import find
from understudy.cli.failures import ANSWERED, FAILED
from understudy.cli.lines import Lines
from understudy.cli.screen import Screen
from understudy.cli.session import Session
from understudy.config.store import ProfileStore, config_dir
from understudy.errors import ConfigurationError
from understudy.observe.words import failover_note

if TYPE_CHECKING:
    from understudy.library.balancer import TransportName
    from understudy.library.chat_stream import ChatStream

_log = logging.getLogger("understudy.cli.repl")


def run(
    profile: str | None,
    *,
    settings: Mapping[str, Any] | None = None,
    transport: TransportName = "aiohttp",
    plain: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Hold a session and return its exit status; raises `ConfigurationError` if it can't begin."""
    home = config_dir(environ)
    session = Session(ProfileStore(home), environ, options=settings, transport=transport)
    terminal = is_watched()
    screen = Screen(terminal=terminal, plain=plain)
    reader = _terminal_reader(session, home) if terminal else Lines(sys.stdin)
    return stopping.run(Repl(Context(session, screen, reader)).hold(profile))


def is_watched() -> bool:
    """Does a person type, and see what is typed?"""
    return sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())


def _terminal_reader(session: Session, home: Path) -> Reader:
    # Imported late: pipes need none of it.
    from understudy.cli.terminal import Terminal

    return Terminal(session, home / "history")


class Repl:
    """One session over a context."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._session = context.session
        self._screen = context.screen
        self._failed = False
        self._running: asyncio.Task[None] | None = None

    async def hold(self, profile: str | None) -> int:
        """Begin, take every line, end; the exit status."""
        try:
            await self._begin(profile)
            if self._screen.terminal:
                await self._take_lines_of_a_person()
                return ANSWERED
            await self._take_lines(self.take)
            return FAILED if self._failed else ANSWERED
        finally:
            await self._session.close()

    async def _begin(self, profile: str | None) -> None:
        """Rule 4."""
        if profile is not None:
            await self._load(profile)
        elif (default := self._session.store.default) is not None:
            await self._told(self._load(default))
        self._screen.note(f"Understudy {__version__}; /help lists the commands, Ctrl-D ends the session")

    async def _load(self, profile: str) -> None:
        for warning in await self._session.load(profile):
            self._screen.warn(warning)

    async def _take_lines_of_a_person(self) -> None:
        """Rule 2."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            await self._take_lines(self._take_interruptibly)
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def _take_lines(self, take: Callable[[str], Awaitable[None]]) -> None:
        while not self._session.finished:
            try:
                line = await self._context.reader.line()
            except EOFError:
                return
            except ConfigurationError as error:
                self._tell(error)
            else:
                await take(line)

    async def _take_interruptibly(self, line: str) -> None:
        own = asyncio.current_task()
        self._running = asyncio.ensure_future(self.take(line))
        try:
            await self._running
        except asyncio.CancelledError:
            if own is not None and own.cancelling():
                raise
            self._screen.end_answer()
            self._screen.note("cancelled")
        finally:
            self._running = None

    def _interrupt(self) -> None:
        """Between lines there is nothing to cancel."""
        if self._running is not None:
            self._running.cancel()

    async def take(self, line: str) -> None:
        """Do what one line says (rule 1)."""
        line = line.strip()
        if line.startswith("/") and not line.startswith("//"):
            name, *rest = line.split(maxsplit=1)
            await self._told(self._command(name, "".join(rest)))
        elif line:
            await self._told(self._answer(line))

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it; what goes wrong is told, but for a stdout that nobody reads any more."""
        try:
            await work
        except BrokenPipeError:
            raise
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._failed = True
        self._screen.end_answer()
        _log.debug("a line failed", exc_info=error)
        self._screen.error(error)

    async def _command(self, name: str, rest: str) -> None:
        await find(name).run(self._context, rest)

    async def _answer(self, prompt: str) -> None:
        session = self._session
        balancer = await session.balancer()
        async with balancer.stream(session.question(prompt)) as stream:
            try:
                text = await self._printed(stream)
            finally:
                session.trail = stream.trail
        session.answered(prompt, text, stream.backend, stream.model)
        note = failover_note(stream.trail, stream.backend, stream.model)
        if note:
            self._screen.note(note)

    async def _printed(self, stream: ChatStream) -> str:
        """Print the answer as it arrives; its text. A refusal is what the model says, too."""
        pieces = []
        async for chunk in stream:
            if chunk.index == 0:
                piece = chunk.text + chunk.refusal
                self._screen.piece(piece)
                pieces.append(piece)
        self._screen.end_answer()
        return "".join(pieces)
