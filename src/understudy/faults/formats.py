"""The formats that the provider speaks, and what each must be able to say.

A format is a module that knows its bytes literally. The path of a request chooses it, and from then
on the plan of the attempt knows it: no word asks which format it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from understudy.faults import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.faults.act import ErrorForm, Event, Timeline
from understudy.faults.answer import Answer, Call

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage


class Format(Protocol):
    """What a format says, first when all is well, then when a fault word is played.

    A path is the format's if it holds `ANSWER_PATH` and ends with one of `PATHS`. `IDENTITY` is an id
    that stands for all of its width, `REQUEST_ID` the header that carries it, if any does; `LINE` is
    what ends the lines of its events. `FAULT` names the wording of a fault of the provider's own. An
    event without a place of its own is marked 0; whoever plays it puts it into its place.
    """

    NAME: str
    PATHS: tuple[str, ...]
    ANSWER_PATH: str
    IDENTITY: bytes
    REQUEST_ID: str | None
    LINE: str

    def identity(self, number: int) -> bytes: ...

    def read_call(self, body: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Call:
        """What the request asks for; whatever makes no sense counts as not given."""
        ...

    def count(self, path: str, call: Call) -> bytes | None:
        """How many tokens the prompt has, if that is what is asked for at `path`."""
        ...

    def content_tokens(self, plan: Plan, call: Call) -> int:
        """How many marks the content of an answer has."""
        ...

    def whole(self, plan: Plan, call: Call, stage: Stage) -> bytes:
        """A unary answer."""
        ...

    def events(self, plan: Plan, call: Call, stage: Stage) -> Timeline:
        """A stream, from its preamble to its last event."""
        ...

    def completed(self, acts: Timeline, plan: Plan, call: Call, stage: Stage) -> Timeline:
        """A stream in which every word has had its say, with what only the whole of it can tell."""
        ...

    FAULT: str
    LAST: Event
    HALF: bytes
    MALFORMED: Mapping[str, bytes]

    def error_body(
        self, message: str, *, status: int, kind: str | None = None, code: str | None = None
    ) -> bytes:
        """The type of an error follows from its status, unless `kind` is another."""
        ...

    def error_events(self, value: Any, form: ErrorForm) -> tuple[Event, ...]:
        """An error inside a stream."""
        ...

    def failed(self, plan: Plan, call: Call, stage: Stage) -> bytes:
        """A unary answer that is the plan's failure."""
        ...

    def token_event(self, answer: Answer, text: str | None) -> Event:
        """One more token of `answer`, None for one without text."""
        ...

    def unreadable_event(self, data: bytes) -> Event: ...

    def prelude(self) -> Event | None:
        """What a filter found in the prompt, where it is told beside the answer; it has its own place."""
        ...

    def prefixed(self, body: bytes, data: bytes) -> bytes:
        """A unary answer with more bytes in front of its text."""
        ...


FORMATS: tuple[Format, ...] = (openai_chat, openai_responses, anthropic_messages, gemini)


def asked_at(path: str) -> Format | None:
    """The format whose path this is, under any prefix; None if it is nobody's."""
    for spoken in FORMATS:
        if spoken.ANSWER_PATH in path and path.endswith(spoken.PATHS):
            return spoken
    return None
