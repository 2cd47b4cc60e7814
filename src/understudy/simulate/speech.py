"""A streamed answer in time: its pieces, and where it breaks off.

1. It comes in `chunks` pieces: the first token, and equal parts of the rest, the last one with all that ends
   an answer. It comes in more where they would be more than `LONGEST_GAP` seconds apart: for so long no
   real stream is silent while it goes on.
2. What breaks off does so after a token, in the same rhythm, as `Break.failure` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf
from typing import NamedTuple

import msgspec

from understudy.errors import ConnectionReset, TransportError
from understudy.simulate.canonical import TOKEN
from understudy.simulate.words import Spoken, Words

LONGEST_GAP = 5.0

Piece = tuple[float, bytes | TransportError]
"""When it comes, and what; no bytes are the body's end."""


class Break(NamedTuple):
    """An answer's end before its time, at the instant `at`, after so many tokens."""

    failure: str
    at: float
    tokens: int


class Speech(msgspec.Struct, frozen=True):
    """`first` is the first token's instant, `pace` the seconds from token to token."""

    words: Words
    spoken: Spoken
    text: str
    first: float
    pace: float
    chunks: int

    @property
    def last(self) -> float:
        """The last token's instant."""
        return self.at(self.spoken.output_tokens)

    def at(self, tokens: int) -> float:
        """When so many tokens have come."""
        return self.first + max(0, tokens - 1) * self.pace

    def pieces(self) -> list[Piece]:
        """The whole of it."""
        words, spoken, text, tokens = self.words, self.spoken, self.text, self.spoken.output_tokens
        said = 1
        pieces: list[Piece] = [(self.first, words.begin(spoken, text[:TOKEN]))]
        if self._parts(tokens) > 1:
            for until in self._stops(tokens):
                if until < tokens:
                    pieces.append((self.at(until), self._between(said, until)))
                    said = until
        pieces.append((self.last, words.end(spoken, text[said * TOKEN :])))
        return pieces

    def broken(self, breaks: Break) -> Iterator[Piece]:
        """What comes of it until it breaks off."""
        if breaks.tokens:
            said = 1
            yield self.first, self.words.begin(self.spoken, self.text[:TOKEN])
            for until in self._stops(breaks.tokens):
                yield self.at(until), self._between(said, until)
                said = until
        yield from self._ending(breaks)

    def _stops(self, tokens: int) -> Iterator[int]:
        """How many tokens have been said with each piece behind the first, up to `tokens` (rule 1)."""
        parts = self._parts(tokens)
        said = 1
        for part in range(1, parts + 1):
            until = 1 + (tokens - 1) * part // parts
            if until > said:
                yield until
                said = until

    def _parts(self, tokens: int) -> int:
        """Into how many what follows the first token is cut."""
        return max(self.chunks - 1, ceil((tokens - 1) * self.pace / LONGEST_GAP))

    def _between(self, said: int, until: int) -> bytes:
        return self.words.more(self.spoken, self.text[said * TOKEN : until * TOKEN])

    def _ending(self, breaks: Break) -> Iterator[Piece]:
        match breaks.failure:
            case "ended":
                yield breaks.at, b""
            case "error":
                yield breaks.at, self.words.broken("modelled failure")
                yield breaks.at, b""
            case "stall":
                yield inf, b""
            case _:
                yield breaks.at, ConnectionReset("connection reset in the middle of the answer")
