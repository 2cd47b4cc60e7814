r"""Characters beyond the basic plane, cut in two by a backend that streams UTF-16 units.

JSON may write an emoji as ``\ud83d\ude00``, and a backend may send the halves in two deltas. A first
half at the end of a piece is held back until its second half arrives; a half that stays alone becomes
U+FFFD, for no text may hold one. Everything else passes through as it came.
"""

from __future__ import annotations

from collections.abc import Hashable


class SurrogateHalves:
    """Joins the pieces of several texts, told apart by key."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    def __repr__(self) -> str:
        return f"<SurrogateHalves, {len(self._held)} held>"

    def are_none_in(self, piece: str) -> bool:
        """Has the piece none, and is none held back, so that it passes through as it came?"""
        return not self._held and piece.isascii()

    def join(self, key: Hashable, piece: str) -> str:
        """The piece with its characters whole, as far as that is possible yet."""
        if self.are_none_in(piece):
            return piece
        piece = self._held.pop(key, "") + piece
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            self._held[key] = piece[-1]
            piece = piece[:-1]
        return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def owing(self) -> tuple[Hashable, ...]:
        """The keys of the texts with a half held back."""
        return tuple(self._held)

    def rest(self, key: Hashable) -> str:
        """What a text that has ended still owes: U+FFFD for a half that stayed alone."""
        return "\ufffd" if self._held.pop(key, None) else ""
