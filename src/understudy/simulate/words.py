"""What a modelled backend understands of a request and says in answer, whatever its wire format."""

from __future__ import annotations

from typing import Protocol

import msgspec

from understudy.simulate.canonical import TOKEN, Question


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request as a backend reads it.

    `limit` are the most tokens that the answer may have, `prefill` is how it begins already. `input_tokens`
    are those of the prompt.
    """

    question: Question
    stream: bool
    limit: int | None
    prefill: str
    input_tokens: int


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """An answer as a backend gives it: what it says of itself, and why it ends."""

    model: str
    identity: int
    input_tokens: int
    output_tokens: int
    is_cut: bool


class Words(Protocol):
    """One wire format. Texts need no escaping (`canonical`)."""

    def read(self, body: bytes) -> Asked:
        """Raises ValueError for what no modelled caller would say."""
        ...

    def begin(self, spoken: Spoken, text: str) -> bytes:
        """A stream up to its first content, which is `text`."""
        ...

    def more(self, spoken: Spoken, text: str) -> bytes: ...

    def end(self, spoken: Spoken, text: str) -> bytes:
        """The last text, with all that ends a stream: finish reason, usage, terminal marker."""
        ...

    def whole(self, spoken: Spoken, text: str) -> bytes:
        """A unary answer."""
        ...

    def error(self, status: int, message: str) -> bytes: ...

    def broken(self, message: str) -> bytes:
        """An error inside a stream."""
        ...


def tokens_of(text: str) -> int:
    return (len(text) + TOKEN - 1) // TOKEN
