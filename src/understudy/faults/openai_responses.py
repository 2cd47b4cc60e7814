"""The OpenAI Responses format, literally; what a response is as an object is in `responses_object`.

::

    response.created, response.in_progress,
    { response.output_item.added, { part added, { delta }, done, part done }, response.output_item.done },
    response.completed | response.incomplete

1. Every event has the name that is its type, and a number: 0, 1, 2 … as they are sent.
2. Items come one after the other; interleaved function calls are added and spoken in turns.
3. A function call's item, which names it, is a token; so is every piece of its arguments. Whatever
   else is added comes with what was before it, and so does whatever is done; the last item is done
   with the stop reason.
4. The stop reason is in the last event, which holds the whole response; behind it nothing is said.
   Without a stop reason there is no such event.
5. Usage is told in the last event alone, without being asked for.
6. There is one choice, whatever is asked for.
7. An error is an event, and then the response has failed.
8. What all ids end with is as wide as `IDENTITY`, so that an answer can be written once and stamped
   per request.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from understudy.faults import openai_chat
from understudy.faults.act import DONE, FINISH, PREAMBLE, ErrorForm, Event, Timeline
from understudy.faults.answer import Answer, Call
from understudy.faults.json_bytes import dump
from understudy.faults.responses_object import (
    ARGUMENTS,
    TEXT,
    Item,
    Part,
    counts,
    ending,
    final,
    items,
    response,
    spoken,
)

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage

NAME = "openai-responses"
IDENTITY = b"68e0a1b2c3d40000000000"
REQUEST_ID: str | None = "x-request-id"
LINE = "\n"
ANSWER_PATH = "/responses"
COUNT_PATH = "/responses/input_tokens"
PATHS: tuple[str, ...] = (ANSWER_PATH, COUNT_PATH)

WANTS_ENCRYPTED = "reasoning.encrypted_content"
COMPLETED, FAILED = "response.completed", "response.failed"

FAULT = "openai-server"
# What a word says of the response; `completed` writes the rest of it.
LAST = Event(b'{"status":"completed","incomplete_details":null}', DONE, COMPLETED)
HALF = b'event: response.output_text.delta\ndata: {"type":"response.output_te'
MALFORMED: Mapping[str, bytes] = {
    "json": b'{"item_id":"msg_broken","type":"response.output_text.delta","delta":"bro',
    "shape": b'{"item_id":3,"type":"response.output_text.delta","output_index":"none","delta":{}}',
}


def identity(number: int) -> bytes:
    return b"68e0a1b2c3d4%010d" % number


def read_call(body: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Call:
    asked, include = body.get("input"), body.get("include")
    return Call(
        model=str(body.get("model") or ""),
        stream=body.get("stream") is True,
        prompt_size=sum(map(_size, (body.get("instructions"), asked))),
        encrypted=isinstance(include, list) and WANTS_ENCRYPTED in include,
    )


def _size(value: object) -> int:
    """Of a text, of an item's content, or of the texts of its parts; anything else as it is written."""
    match value:
        case str():
            return len(value)
        case {"content": content}:
            return _size(content)
        case {"text": str(text)}:
            return len(text)
        case list():
            return sum(map(_size, value))
        case dict():
            return len(dump(value))
        case _:
            return 0


def count(path: str, call: Call) -> bytes | None:
    if not path.endswith(COUNT_PATH):
        return None
    return dump({"object": "response.input_tokens", "input_tokens": call.input_tokens})


def error_body(message: str, *, status: int, kind: str | None = None, code: str | None = None) -> bytes:
    return openai_chat.error_body(message, status=status, kind=kind, code=code)


def content_tokens(plan: Plan, call: Call) -> int:
    return plan.answer.output_tokens


def whole(plan: Plan, call: Call, stage: Stage) -> bytes:
    return dump(final(plan, call, stage), ascii_only=plan.ascii)


def failed(plan: Plan, call: Call, stage: Stage) -> bytes:
    error = _error(plan.failure)
    return dump(response(plan, call, stage, status="failed", error=error), ascii_only=plan.ascii)


def _error(value: Any) -> dict[str, Any]:
    error = value.get("error", value)
    return {"code": str(error.get("code") or error.get("type")), "message": error["message"]}


def token_event(answer: Answer, text: str | None) -> Event:
    # Text is in the message behind the reasoning.
    index, part = 1 if answer.reasoning else 0, spoken(answer)
    item = Item(index, {"id": f"msg_{IDENTITY.decode()}{index:02}"}, {}, part, (text or "",))
    ((name, data),) = _deltas(item, part, ascii_only=False)
    return Event(data, PREAMBLE, name)


def error_events(value: Any, form: ErrorForm) -> tuple[Event, ...]:
    """As documented, as it is really sent, or no more than that the response has failed."""
    error = value.get("error", value)
    failure = Event(dump({"status": "failed", "error": _error(value)}), PREAMBLE, FAILED)
    if form == "chunk":
        return (failure,)
    told = {"error": error} if form == "nested" else {**_error(value), "param": error.get("param")}
    return (Event(dump({"type": "error", **told}), PREAMBLE, "error"), failure)


def unreadable_event(data: bytes) -> Event:
    return Event(data, PREAMBLE, "response.output_text.delta")


def prelude() -> None:
    """The response itself tells what was found."""


def prefixed(body: bytes, data: bytes) -> bytes:
    pattern = rb'"type":"(?:output_text","text|refusal","refusal)":"'
    return re.sub(pattern, lambda found: found[0] + data, body, count=1)


def events(plan: Plan, call: Call, stage: Stage) -> Timeline:
    return Writer(plan, call, stage).events()


def completed(acts: Timeline, plan: Plan, call: Call, stage: Stage) -> Timeline:
    numbers = itertools.count()
    for act in acts:
        if isinstance(act, Event):
            data = _whole_event(act, plan, call, stage).replace(IDENTITY, stage.identity)
            act = Event(_numbered(data, act.name, next(numbers)), act.mark, act.name)
        yield act


def _whole_event(event: Event, plan: Plan, call: Call, stage: Stage) -> bytes:
    """A word's event about the response says only what is special about it."""
    if event.name not in (COMPLETED, FAILED) or event.data.startswith(b'{"type"'):
        return event.data
    rest = final(plan, call, stage) if event.name == COMPLETED else response(plan, call, stage)
    told = {**rest, **json.loads(event.data)}
    return dump({"type": event.name, "response": told}, ascii_only=plan.ascii)


def _numbered(data: bytes, name: str, number: int) -> bytes:
    """What is no event of this format has no number either."""
    begun = b'{"type":"%b"' % name.encode()
    if not data.startswith(begun):
        return data
    return b'%b,"sequence_number":%d%b' % (begun, number, data[len(begun) :])


Said = tuple[str, bytes]


def _deltas(item: Item, part: Part, *, ascii_only: bool) -> Iterator[Said]:
    name = f"{part.event}.delta"
    before = dump({"type": name, **_place(item, part)})[:-1] + b',"delta":'
    after = b',"logprobs":[]}' if part is TEXT else b"}"
    for piece in item.pieces:
        yield name, before + dump(piece, ascii_only=ascii_only) + after


def _place(item: Item, part: Part) -> dict[str, Any]:
    place = {"item_id": item.added["id"], "output_index": item.index}
    return {**place, part.index: 0} if part.index else place


@dataclass(frozen=True, slots=True)
class Speech:
    """An item, or several in turns, as a stream says them: each of `steps` is a token."""

    opening: Sequence[Said]
    steps: Iterable[Said]
    closing: Sequence[Said]


def _in_turns(speeches: Sequence[Speech]) -> Speech:
    turns = zip_longest(*(speech.steps for speech in speeches))
    steps = (said for turn in turns for said in turn if said is not None)
    return Speech((), steps, [said for speech in speeches for said in speech.closing])


class Writer:
    """Writes the events of one stream; they are numbered when it is complete."""

    def __init__(self, plan: Plan, call: Call, stage: Stage) -> None:
        self.plan, self.call, self.stage = plan, call, stage

    def events(self) -> Timeline:
        yield self._about("response.created")
        # The first of two usages is wrong on purpose: the last one counts.
        usage = counts(0, 0, 0) if self.plan.usage == "twice" else None
        yield self._about("response.in_progress", usage=usage)
        yield from self._content()
        status, _ = ending(self.plan.answer)
        if status != "in_progress":
            whole = final(self.plan, self.call, self.stage)
            name, data = self._said(f"response.{status}", response=whole)
            yield Event(data, FINISH, name)

    def _said(self, name: str, /, **fields: Any) -> Said:
        return name, dump({"type": name, **fields}, ascii_only=self.plan.ascii)

    def _about(self, name: str, **known: Any) -> Event:
        name, data = self._said(name, response=response(self.plan, self.call, self.stage, **known))
        return Event(data, PREAMBLE, name)

    def _content(self) -> Timeline:
        mark = PREAMBLE
        held: Sequence[Said] = ()
        for speech in self._speeches():
            for name, data in (*held, *speech.opening):
                yield Event(data, mark, name)
            for name, data in speech.steps:
                mark += 1
                yield Event(data, mark, name)
            held = speech.closing
        yield from (Event(data, FINISH, name) for name, data in held)

    def _speeches(self) -> list[Speech]:
        found = items(self.plan, self.call, self.stage)
        speeches = [self._speech(item) for item in found]
        if not self.plan.answer.interleaved:
            return speeches
        first = sum(item.part is not ARGUMENTS for item in found)
        return [*speeches[:first], _in_turns(speeches[first:])]

    def _speech(self, item: Item) -> Speech:
        added = self._said("response.output_item.added", output_index=item.index, item=item.added)
        done = self._said("response.output_item.done", output_index=item.index, item=item.done)
        part = item.part
        if part is None:
            return Speech([added], (), [done])
        said = self._done(item, part)
        deltas = _deltas(item, part, ascii_only=self.plan.ascii)
        if part is ARGUMENTS:
            return Speech((), chain([added], deltas), [said, done])
        place, text = _place(item, part), "".join(item.pieces)
        opened = self._said(f"{part.added}.added", **place, part=part.value(""))
        closed = self._said(f"{part.added}.done", **place, part=part.value(text))
        return Speech([added, opened], deltas, [said, closed, done])

    def _done(self, item: Item, part: Part) -> Said:
        more: dict[str, Any] = {"logprobs": []} if part is TEXT else {}
        named = {"name": item.done["name"]} if part is ARGUMENTS else {}
        said = {**_place(item, part), **named, part.holds: "".join(item.pieces), **more}
        return self._said(f"{part.event}.done", **said)
