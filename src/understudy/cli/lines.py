"""The lines of a stdin that is no terminal.

1. A line is handed out as soon as it has arrived whole, so that a program can write the next one when it
   has read the answer to the last. The last line may lack its end.
2. Waiting for a line keeps the event loop running.
3. A line that is not UTF-8 is refused, and the lines after it are read.
"""

from __future__ import annotations

import asyncio
import os
from typing import TextIO

from understudy.cli.prompt import decoded
from understudy.cli.standard_streams import descriptor

_PIECE = 64 * 1024


class Lines:
    """Reads `stream`, which nobody else reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = descriptor(stream)
        self._held = b""
        self._number = 0

    async def line(self) -> str:
        """The next line without its end; raises EOFError after the last, `ConfigurationError` (rule 3)."""
        while b"\n" not in self._held:
            piece = await self._read()
            if not piece:
                break
            self._held += piece
        if not self._held:
            raise EOFError
        line, _, self._held = self._held.partition(b"\n")
        self._number += 1
        return decoded(line, f"line {self._number} of stdin").rstrip("\r")

    async def hidden(self, label: str) -> str:
        """As `line`, empty at the end: nothing is echoed here anyway."""
        try:
            return await self.line()
        except EOFError:
            return ""

    async def _read(self) -> bytes:
        """What has arrived, b"" at the end; waits if nothing has."""
        if self._descriptor is None:
            return self._stream.buffer.readline()
        await _readable(self._descriptor)
        return os.read(self._descriptor, _PIECE)


async def _readable(descriptor: int) -> None:
    """Wait until something can be read; a regular file never makes anybody wait."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    try:
        loop.add_reader(descriptor, arrived.set)
    except PermissionError:
        return
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(descriptor)
