"""A backend's answer, decoded: what holds in every format. A format's `Reader` says what one event means.

::

    bytes ──EventStream──> events ──Reader.take──┬──> chunks
                                                 ├──  can't be read: `Malformed`, or a `Failure`
                                                 └──  holds an error: a `Failure`

1. An event makes chunks, also one that says nothing neutral; the first of them carries the event's own
   bytes, framed anew. A comment, and an event whose data is blank, make none: they keep a connection alive.
2. An event that can't be read is malformed. It is dropped and counted while it is isolated: after a sound
   one, and outside of tool calls. As the very first, after another one, while a call is open, or with
   `strict`, it is a failure. So is, however isolated, what can't come where it comes.
3. An error in place of an answer is a failure, classed as if it had come as a status. Where the stream names
   its event ``error``, its data may be plain words.
4. Each format has its own terminal marker. Once it has come, nothing that follows can make the answer a
   failure: an error is malformed then, what is malformed is dropped and counted, and an event beyond the
   limit of `EventStream` is no failure either.
5. ``[DONE]`` is the last thing that is decoded, in every format, for imitators send it in every format, but
   it is no terminal marker. Of some formats the marker itself is the last thing. A failure always is.
6. A whole answer that can't be read, or is JSON but no answer, is a failure, `protocol`. An empty body is a
   chunk without content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, ProtocolViolation
from understudy.wire.chat import ChatChunk, Malformed
from understudy.wire.refusal import classify_error_object
from understudy.wire.sniffing import what_else
from understudy.wire.sse import Event, EventStream

__all__ = ["ErrorInside", "Reader", "StreamDecoder", "decode_whole"]


class ErrorInside(Exception):
    """The backend tells of an error where an answer was due. `kind` where that leaves no doubt of it."""

    def __init__(self, told: object, kind: FailureKind | None = None) -> None:
        super().__init__(told)
        self.told = told
        self.kind = kind


_UNTAKEN = (ValueError, RecursionError, ErrorInside, ProtocolViolation)


class Reader(Protocol):
    """One answer of a format, put together event by event. `asked` is the number of choices."""

    def __init__(self, asked: int = 1) -> None: ...

    @property
    def finished(self) -> bool:
        """Has a terminal marker come for every choice?"""
        ...

    @property
    def done(self) -> bool:
        """Was that the last thing to be read?"""
        ...

    @property
    def call_open(self) -> bool:
        """Has a tool call begun, and no end come?"""
        ...

    @property
    def finish_reason(self) -> str | None:
        """The newest one that came, in OpenAI's words."""
        ...

    def take(self, event: Event) -> list[ChatChunk]:
        """What the event says.

        Raises ValueError or RecursionError if it can't be read, ErrorInside, ProtocolViolation for what can't
        come here.
        """
        ...


class StreamDecoder:
    """The body of one stream: bytes in, chunks, dropped events and at most one failure out.

    A format makes its own of it by naming its `READER`. `choices` is how many were asked for; `rules` and
    `secrets` go to the classing of errors.
    """

    READER: ClassVar[type[Reader]]

    def __init__(
        self,
        choices: int = 1,
        strict: bool = False,
        *,
        rules: Sequence[ErrorRule] = (),
        secrets: Sequence[str] = (),
    ) -> None:
        self.done = False
        self.finished = False
        self.malformed = 0
        self._reader = self.READER(choices)
        self._events = EventStream()
        self._strict = strict
        self._rules = rules
        self._secrets = secrets
        self._sound = False  # the event before this one could be read
        self._failed = False

    def __repr__(self) -> str:
        state = "failed" if self._failed else "done" if self.done else "open"
        return f"<StreamDecoder {state}, finish_reason {self.finish_reason}, {self.malformed} malformed>"

    @property
    def tool_call_open(self) -> bool:
        """Has a tool call begun, and no end come?"""
        return self._reader.call_open

    @property
    def finish_reason(self) -> str | None:
        """The newest one that came, in OpenAI's words."""
        return self._reader.finish_reason

    def feed(self, data: bytes) -> list[ChatChunk | Malformed | Failure]:
        """What these bytes complete. Raises nothing."""
        if self.done or self._failed:
            return []
        try:
            events = self._events.feed(data)
        except ProtocolViolation as error:
            return [] if self.finished else [self._fail(Failure(FailureKind.PROTOCOL, str(error)))]
        reader = self._reader
        taken: list[ChatChunk | Malformed | Failure] = []
        for event in events:
            if event.data == b"[DONE]" and event.event == "message":  # no need to find out that it is no JSON
                self.done = True
                break
            try:
                taken += reader.take(event)
                self._sound = True
                self.finished, self.done = reader.finished, reader.done
            except _UNTAKEN as error:
                taken += self._untaken(event, error)
            if self.done or self._failed:
                break
        return taken

    def _untaken(self, event: Event, error: Exception) -> Sequence[Malformed | Failure]:
        """There are three cases: an error, what can't come here, what can't be read."""
        if isinstance(error, ErrorInside):
            return [self._error(error)]
        if isinstance(error, ProtocolViolation):
            return [self._fail(Failure(FailureKind.PROTOCOL, str(error), in_stream=True))]
        return self._unreadable(event, error)

    def _unreadable(self, event: Event, error: Exception) -> Sequence[Malformed | Failure]:
        """There are four cases: the end, an empty event that only keeps the connection alive, an error in
        plain words, garbage."""
        data = event.data.strip()
        if data == b"[DONE]":
            self.done = True
        if self.done or not data:
            return []
        if event.event == "error":
            return [self._error(ErrorInside(data.decode(errors="replace")))]
        return [self._malformed(f"a malformed event: {error}")]

    def _malformed(self, message: str) -> Malformed | Failure:
        self.malformed += 1
        isolated, self._sound = self._sound, False
        if self.finished or (isolated and not self._strict and not self.tool_call_open):
            return Malformed(message)
        return self._fail(Failure(FailureKind.PROTOCOL, message, in_stream=True))

    def _error(self, error: ErrorInside) -> Malformed | Failure:
        failure = _classed(error, self._rules, self._secrets)
        if self.finished:
            return self._malformed(f"an error after the end: {failure.message}")
        return self._fail(failure)

    def _fail(self, failure: Failure) -> Failure:
        self._failed = True
        return failure


def decode_whole(
    read: Callable[[bytes, int], list[ChatChunk]],
    body: bytes,
    choices: int,
    rules: Sequence[ErrorRule],
    secrets: Sequence[str],
) -> list[ChatChunk] | Failure:
    """A unary answer's chunks. `read` raises what `Reader.take` does."""
    if not body.strip():
        return [ChatChunk(raw=body)]
    try:
        return read(body, choices)
    except (ValueError, RecursionError):
        return Failure(FailureKind.PROTOCOL, what_else(body))
    except ErrorInside as error:
        return _classed(error, rules, secrets)
    except ProtocolViolation as error:
        return Failure(FailureKind.PROTOCOL, str(error))


def _classed(error: ErrorInside, rules: Sequence[ErrorRule], secrets: Sequence[str]) -> Failure:
    return classify_error_object(error.told, kind=error.kind, rules=rules, secrets=secrets)
