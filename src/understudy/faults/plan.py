"""How one attempt will be answered: what the words of a step have agreed on.

A word is a function from plan to plan, so words compose; `performance` turns the finished plan
into acts. What a plan says applies whether the caller asked for a stream or not, as far as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from understudy.faults import openai_chat
from understudy.faults.act import Change
from understudy.faults.answer import CANONICAL, Answer
from understudy.faults.formats import FORMATS, Format

Edit = Callable[[bytes, int], bytes]
HeadEdit = Callable[[bytes], bytes]
Encoding = Literal["identity", "gzip", "deflate", "raw-deflate"]
Form = Literal["stream", "unary"]
Usage = Literal["asked", "missing", "always", "zero", "twice", "finish"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where and when an attempt is played.

    `wall` is seconds since the Unix epoch, `other_origin` this provider under another host name,
    `target` what was asked for: path and query, as they were sent.
    """

    identity: bytes
    created: int
    wall: float
    other_origin: str
    target: str


Header = tuple[str, str | Callable[[Stage], str]]


@dataclass(frozen=True, slots=True)
class Style:
    """How events are written as lines. Every style is allowed by the event-stream format.

    `line` None is what the provider's own lines end with.
    """

    line: str | None = None
    space: bool = True
    multiline: bool = False
    fields: bool = False
    comments: bool = False
    bom: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A body that is no answer: an error, a page, nothing. `length` None sends it chunked."""

    status: int
    body: Callable[[], Iterable[bytes]] = field(repr=False)
    content_type: str | None
    length: int | None

    @classmethod
    def of(cls, status: int, body: bytes, content_type: str | None = "application/json") -> Reply:
        return cls(status, lambda: (body,), content_type, len(body))


@dataclass(frozen=True, slots=True)
class Plan:
    """One attempt's answer, to be, in the `format` that the caller speaks.

    `form` None is what the caller asked for. `changes` alter any timeline, `stream_changes` only a
    stream's and come first; `edits` alter the bytes of a unary answer and are told its tokens.
    `failure` is an error that a unary answer is instead, within its 200. `filtered` tells what a
    content filter found, where the format has a place for it. `slice` writes the body in pieces of so
    many bytes. `head` alters the head's bytes, `head_pause` sends them one at a time. `pace` is
    tokens per second. `skew` is how wrong the provider's own clock is. `cached` and `written` are how many of
    the prompt's tokens were read from a cache and written to one, as far as there are so many.
    """

    format: Format = openai_chat
    answer: Answer = CANONICAL
    reply: Reply | None = None
    form: Form | None = None
    content_type: str | None = None
    headers: tuple[Header, ...] = ()
    changes: tuple[Change, ...] = ()
    stream_changes: tuple[Change, ...] = ()
    edits: tuple[Edit, ...] = ()
    style: Style = Style()
    failure: Any = None
    filtered: bool = False
    usage: Usage = "asked"
    ascii: bool = False
    encoding: Encoding = "identity"
    claimed_encoding: str | None = None
    slice: int | None = None
    extra_length: int = 0
    head: HeadEdit | None = None
    head_pause: float | None = None
    version: Literal["1.1", "1.0"] = "1.1"
    closing: Literal["keep", "say", "silently"] = "keep"
    skew: float = 0.0
    pace: float | None = None
    cached: int = 0
    written: int = 0

    def cache_of(self, prompt: int) -> tuple[int, int]:
        """Of so many tokens those that were read from a cache, and those that were written to one."""
        cached = min(self.cached, prompt)
        return cached, min(self.written, prompt - cached)


Plans = Mapping[Format, Plan]


def in_every_format(plan: Plan) -> Plans:
    return {spoken: replace(plan, format=spoken) for spoken in FORMATS}
