"""A plan and a call become acts whose parts are the bytes on the wire.

1. Order of the layers: answer → changes → what only a whole stream can tell → lines, or an array →
   content encoding → slices → transfer encoding.
2. A body of known length is sent with Content-Length, any other one chunked; to an HTTP/1.0 style
   neither, its end is the end of the connection.
3. A unary answer's tokens are equal shares of its bytes, so that a position means the same in both.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from itertools import chain

from understudy.faults.act import FINISH, HEAD, PREAMBLE, Change, End, Event, Head, Part, Pause, Timeline
from understudy.faults.answer import Call
from understudy.faults.event_stream import ArrayFramer, Framer
from understudy.faults.http import head_bytes
from understudy.faults.plan import Encoding, Plan, Reply, Stage

WINDOW_BITS: dict[Encoding, int] = {"gzip": 31, "deflate": 15, "raw-deflate": -15}
ENCODING_NAMES: dict[Encoding, str] = {"gzip": "gzip", "deflate": "deflate", "raw-deflate": "deflate"}


def perform(plan: Plan, call: Call, stage: Stage) -> Timeline:
    """The whole timeline of one attempt; lazy."""
    if plan.reply is not None:
        return _perform_reply(plan, plan.reply, stage)
    if plan.form == "stream" or (plan.form is None and call.stream):
        return _perform_stream(plan, call, stage)
    return _perform_unary(plan, call, stage)


def _perform_stream(plan: Plan, call: Call, stage: Stage) -> Timeline:
    events = plan.format.events(plan, call, stage)
    acts = _changed(plan, chain((Head(),), events, (End(),)), plan.stream_changes)
    acts = plan.format.completed(acts, plan, call, stage)
    acts = _encoded(plan, _framed(plan, call, acts))
    content_type = "application/json" if call.as_array else "text/event-stream; charset=utf-8"
    return _sent(plan, stage, 200, content_type, None, acts)


def _perform_unary(plan: Plan, call: Call, stage: Stage) -> Timeline:
    body = (plan.format.whole if plan.failure is None else plan.format.failed)(plan, call, stage)
    tokens = plan.format.content_tokens(plan, call)
    for edit in plan.edits:
        body = edit(body, tokens)
    return _perform_body(plan, stage, 200, "application/json", body, tokens)


def _perform_reply(plan: Plan, reply: Reply, stage: Stage) -> Timeline:
    # How long it will be when it is compressed is not known before it is.
    length = reply.length if plan.encoding == "identity" else None
    parts = (Part(data, mark) for mark, data in enumerate(reply.body(), 1))
    acts = _changed(plan, chain((Head(),), parts, (End(),)))
    return _sent(plan, stage, reply.status, reply.content_type, length, _encoded(plan, acts))


def _perform_body(
    plan: Plan, stage: Stage, status: int, content_type: str | None, body: bytes, tokens: int
) -> Timeline:
    if plan.encoding != "identity":
        body = zlib.compress(body, wbits=WINDOW_BITS[plan.encoding])
    shares = _shares(body, tokens) if plan.changes or plan.pace else iter((Part(body, tokens),))
    acts = _changed(plan, chain((Head(),), shares, (End(),)))
    return _sent(plan, stage, status, content_type, len(body), acts)


def _shares(body: bytes, count: int) -> Timeline:
    count = max(1, count)
    for mark in range(1, count + 1):
        yield Part(body[share(body, mark - 1, count) : share(body, mark, count)], mark)


def share(body: bytes, position: int, tokens: int) -> int:
    """How many bytes of `body` are its tokens up to `position`."""
    tokens = max(1, tokens)
    return len(body) * min(max(position, 0), tokens) // tokens


def _changed(plan: Plan, acts: Timeline, first: tuple[Change, ...] = ()) -> Timeline:
    paces = (paced(1 / plan.pace),) if plan.pace else ()
    for change in (*first, *plan.changes, *paces):
        acts = change(acts)
    return acts


def paced(seconds: float) -> Change:
    """A change that lets so much time pass between one token and the next."""

    def change(acts: Timeline) -> Timeline:
        token = PREAMBLE
        for act in acts:
            if token < act.mark < FINISH:
                if token > PREAMBLE:
                    yield Pause(seconds, act.mark)
                token = act.mark
            yield act

    return change


def _framed(plan: Plan, call: Call, acts: Timeline) -> Timeline:
    framer = ArrayFramer() if call.as_array else Framer(plan.style, plan.format.LINE)
    for act in acts:
        match act:
            case Event(data, mark, name):
                yield Part(framer.frame(data, name), mark)
            case End(mark):
                if last := framer.last():
                    yield Part(last, mark)
                yield act
            case _:
                yield act


def _encoded(plan: Plan, acts: Timeline) -> Timeline:
    """Each part can be decoded as soon as it is there: the encoder is flushed after every one."""
    if plan.encoding == "identity":
        yield from acts
        return
    encoder = zlib.compressobj(wbits=WINDOW_BITS[plan.encoding])
    for act in acts:
        match act:
            case Part(data, mark):
                yield Part(encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH), mark)
            case End(mark):
                yield Part(encoder.flush(), mark)
                yield act
            case _:
                yield act


def _sent(
    plan: Plan, stage: Stage, status: int, content_type: str | None, length: int | None, acts: Timeline
) -> Timeline:
    """The acts as HTTP/1.1 (or 1.0) sends them; the layer next to the socket."""
    chunked = length is None and plan.version == "1.1"
    for act in acts:
        match act:
            case Head():
                yield from _head(plan, _head_bytes(plan, stage, status, content_type, length))
            case Part(data, mark):
                for piece in _sliced(data, plan.slice):
                    yield Part(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece, mark)
            case End(mark):
                if chunked:
                    yield Part(b"0\r\n\r\n", mark)
                yield act
            case _:
                yield act


def _sliced(data: bytes, size: int | None) -> Iterator[bytes]:
    # An empty chunk would end the body.
    size = size or len(data) or 1
    return (data[at : at + size] for at in range(0, len(data), size))


def _head(plan: Plan, head: bytes) -> Timeline:
    if plan.head_pause is None:
        yield Part(head, HEAD)
        return
    for byte in head:
        yield Part(bytes((byte,)), HEAD)
        yield Pause(plan.head_pause, HEAD)


def _head_bytes(plan: Plan, stage: Stage, status: int, content_type: str | None, length: int | None) -> bytes:
    stage = replace(stage, wall=stage.wall + plan.skew)
    headers: list[tuple[str, object]] = [("date", formatdate(stage.wall, usegmt=True))]
    if content_type := plan.content_type or content_type:
        headers.append(("content-type", content_type))
    headers += _length_headers(plan, status, length)
    encoding = plan.claimed_encoding or ENCODING_NAMES.get(plan.encoding, "none")
    if encoding != "none":
        headers.append(("content-encoding", encoding))
    if plan.closing == "say" or plan.version == "1.0":
        headers.append(("connection", "close"))
    if plan.format.REQUEST_ID is not None:
        headers.append((plan.format.REQUEST_ID, stage.identity.decode()))
    headers += [(name, value if isinstance(value, str) else value(stage)) for name, value in plan.headers]
    head = head_bytes(plan.version, status, headers)
    return plan.head(head) if plan.head else head


def _length_headers(plan: Plan, status: int, length: int | None) -> list[tuple[str, object]]:
    if status == 204 or (length is None and plan.version == "1.0"):
        return []
    if length is None:
        return [("transfer-encoding", "chunked")]
    return [("content-length", length + plan.extra_length)]


class Prepared:
    """The plain answers of one format that have been written already, for the current second.

    Every request of a kind gets the same bytes, stamped with its own id, so that a healthy
    provider costs next to nothing.
    """

    LIMIT = 256

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._identity = plan.format.IDENTITY
        self._second = 0
        self._parts: dict[Call, tuple[Part, ...]] = {}

    def timeline(self, plan: Plan, call: Call, stage: Stage) -> Timeline | None:
        """None if `plan` is not the plain one, or if it takes its time."""
        if plan is not self._plan or plan.pace:
            return None
        # The date is in the head.
        if int(stage.wall) != self._second or len(self._parts) >= self.LIMIT:
            self._second = int(stage.wall)
            self._parts.clear()
        parts = self._parts.get(call)
        if parts is None:
            parts = self._parts[call] = self._write(call, stage)
        return self._stamped(parts, stage.identity)

    def _write(self, call: Call, stage: Stage) -> tuple[Part, ...]:
        acts = perform(self._plan, call, replace(stage, identity=self._identity))
        parts = tuple(act for act in acts if isinstance(act, Part))
        # A unary answer goes out in one piece.
        return parts if call.stream else (Part(b"".join(part.data for part in parts), parts[-1].mark),)

    def _stamped(self, parts: tuple[Part, ...], identity: bytes) -> Timeline:
        for part in parts:
            yield Part(part.data.replace(self._identity, identity), part.mark)
        yield End()
