"""An answer from memory: each read gives the next piece, or raises it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class ScriptedResponse:
    """Satisfies `ports.HttpResponse`; counts reads and remembers being closed."""

    def __init__(
        self,
        pieces: Iterable[bytes | Exception] = (),
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._pieces = iter(pieces)
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.reconnected = False
        self.reads = 0
        self.closed = False

    async def read(self) -> bytes:
        self.reads += 1
        piece = next(self._pieces, b"")
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True
