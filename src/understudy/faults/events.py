"""Words about what an answer says of itself: broken events, errors, usage, endings.

A stream gets the fault as an event of its own, so that the canonical text around it stays whole; a
unary answer, which has no events, becomes the fault or carries it inside.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle
from typing import Any, cast

from understudy.faults.act import (
    DONE,
    HEAD,
    Act,
    Change,
    Cut,
    End,
    ErrorForm,
    Event,
    Part,
    Pause,
    Timeline,
    ending,
    inserting,
    until,
)
from understudy.faults.answer import NO_FINISH
from understudy.faults.plan import Edit, Plan, Usage
from understudy.faults.replies import wording
from understudy.faults.word import Option, Word, duration, one_of, position, positive, size
from understudy.faults.wordings import WORDINGS, Wording

KINDS = ("json", "text", "bytes", "shape", "array")
# What is malformed in every format; the rest each has for itself.
MALFORMED = {
    "text": b"upstream connect error or disconnect before headers",
    "bytes": b"\xff\xfe\x00\x9f\x92",
    "array": b"[1,2,3]",
}
STRAY = " THIS MUST NOT BE SEEN"


def _changed(plan: Plan, change: Change, edit: Edit | None = None) -> Plan:
    plan = replace(plan, stream_changes=(*plan.stream_changes, change))
    return plan if edit is None else replace(plan, edits=(*plan.edits, edit))


def _placed(event: Event, after: int) -> Event:
    # No event can come before the head.
    return replace(event, mark=max(after, HEAD))


def malformed(plan: Plan, *, kind: str, after: int) -> Plan:
    data = {**MALFORMED, **plan.format.MALFORMED}[kind]
    broken = _placed(plan.format.unreadable_event(data), after)
    return _changed(plan, inserting(broken.mark, broken), lambda *_: broken.data)


def error(plan: Plan, *, wording: Wording | None, after: int, then: str, form: str) -> Plan:
    value = (wording or WORDINGS[plan.format.FAULT]).value
    after = max(after, HEAD)
    rest: dict[str, tuple[Act, ...]] = {
        "end": (End(),),
        "done": (plan.format.LAST, End()),
        "cut": (Cut(),),
        "open": (Pause(None, DONE),),
    }
    error = _error(plan, value, cast(ErrorForm, form), after)
    return replace(_changed(plan, ending(after, (*error, *rest[then]))), failure=value)


def _error(plan: Plan, value: Any, form: ErrorForm, after: int) -> tuple[Act, ...]:
    if form == "bare":
        return (Part(json.dumps(value, indent=2).encode() + b"\n", after),)
    return tuple(_placed(event, after) for event in plan.format.error_events(value, form))


def invalid_utf8(plan: Plan, *, after: int) -> Plan:
    event = _placed(plan.format.token_event(plan.answer, "?"), after)
    event = replace(event, data=event.data.replace(b"?", b"\xff\xc3"))
    return _changed(
        plan, inserting(event.mark, event), lambda body, _: plan.format.prefixed(body, b"\xff\xc3")
    )


def big_event(plan: Plan, *, size: int, after: int) -> Plan:
    text = "x" * size
    event = _placed(plan.format.token_event(plan.answer, text), after)
    return _changed(
        plan, inserting(event.mark, event), lambda body, _: plan.format.prefixed(body, text.encode())
    )


def pings(plan: Plan, *, every: float, times: int | None, kind: str, after: int) -> Plan:
    after = max(after, HEAD)
    ping: dict[str, Act] = {
        "comment": Part(b": still here\n\n", after),
        "event": Part(b'event: ping\ndata: {"type":"ping"}\n\n', after),
        "delta": _placed(plan.format.token_event(plan.answer, None), after),
    }
    acts = (Pause(every, after), ping[kind])
    if times is not None:
        return _changed(plan, inserting(after, *acts * times))

    def forever(timeline: Timeline) -> Timeline:
        yield from until(timeline, after)
        yield from cycle(acts)

    return _changed(plan, forever)


def usage(plan: Plan, *, kind: str) -> Plan:
    return replace(plan, usage=cast(Usage, kind))


def done(plan: Plan, *, kind: str) -> Plan:
    last = plan.format.LAST
    stray = _placed(plan.format.token_event(plan.answer, STRAY), DONE)
    changes: dict[str, Change] = {
        "missing": _without_done,
        "twice": inserting(DONE, last),
        "data-after": inserting(DONE, stray, last),
    }
    return _changed(plan, changes[kind])


def _without_done(timeline: Timeline) -> Timeline:
    return (act for act in timeline if act.mark != DONE)


def empty(plan: Plan, *, kind: str, finish: str | None) -> Plan:
    answer = replace(plan.answer, tokens=(), finish=_finish(finish))
    match kind:
        case "choices":
            return replace(plan, answer=replace(answer, choices=0))
        case "null":
            return replace(plan, answer=replace(answer, is_null=True))
        case "space":
            return replace(plan, answer=replace(answer, tokens=(" ", "\n\n")))
        case "done":
            only = ending(HEAD, (plan.format.LAST, End()))
            return _changed(replace(plan, answer=answer), only, lambda *_: b"{}")
        case "body":
            return _changed(plan, ending(HEAD, (End(),)), lambda *_: b"")
        case _:
            return replace(plan, answer=answer)


def finish(plan: Plan, *, reason: str, after: int | None) -> Plan:
    tokens = plan.answer.tokens[:after]
    return replace(plan, answer=replace(plan.answer, finish=_finish(reason), tokens=tokens))


def _finish(reason: str | None) -> str | None:
    return NO_FINISH if reason == "none" else reason


def azure(plan: Plan) -> Plan:
    plan, told = replace(plan, filtered=True), plan.format.prelude()
    return plan if told is None else _changed(plan, inserting(told.mark, told))


def blocked(plan: Plan, *, reason: str) -> Plan:
    nothing = replace(plan.answer, tokens=(), reasoning=(), tool_calls=())
    return replace(plan, answer=replace(nothing, finish="content_filter", blocked=reason))


WORDS = (
    Word(
        "malformed",
        "one event that cannot be read, the rest is fine; a unary answer is nothing else",
        malformed,
        (
            Option("kind", one_of(*KINDS), "json", bare=True),
            Option("after", position, 10),
        ),
        "malformed after=10",
        "F16 F17",
    ),
    Word(
        "error",
        "an error object inside a 200, in a provider's own words; then= what follows it",
        error,
        (
            Option("wording", wording, None, bare=True),
            Option("after", position, 20),
            Option("then", one_of("end", "done", "cut", "open"), "end"),
            Option("form", one_of("object", "chunk", "nested", "bare"), "object"),
        ),
        "error openai-overloaded after=20",
        "F09 F18 F19 F20 F34",
    ),
    Word(
        "invalid-utf8",
        "a token that is no UTF-8",
        invalid_utf8,
        (Option("after", position, 10),),
        "invalid-utf8 after=10",
        "F51",
    ),
    Word(
        "big-event",
        "one token of so many bytes, on one line",
        big_event,
        (Option("size", size, 10_000_000, bare=True), Option("after", position, 10)),
        "big-event 10MB",
        "F41",
    ),
    Word(
        "pings",
        "signs of life instead of content; with times= the answer goes on after so many",
        pings,
        (
            Option("every", duration, 2.0),
            Option("times", positive, None),
            Option("kind", one_of("comment", "event", "delta"), "comment"),
            Option("after", position, HEAD),
        ),
        "pings every=2s",
        "F08",
    ),
    Word(
        "usage",
        "usage missing, zero, twice (the first wrong), unasked (always), or with the finish reason",
        usage,
        (Option("kind", one_of("missing", "zero", "twice", "always", "finish"), bare=True),),
        "usage twice",
        "F44",
    ),
    Word(
        "done",
        "the last event ([DONE], message_stop, …) missing, twice, or followed by more data",
        done,
        (Option("kind", one_of("missing", "twice", "data-after"), bare=True),),
        "done data-after",
        "F45 F46",
    ),
    Word(
        "empty",
        "an answer without content: no choices, null, blank or white space, only the last event, no body",
        empty,
        (
            Option("kind", one_of("blank", "null", "space", "choices", "done", "body"), bare=True),
            Option("finish", str, None),
        ),
        "empty null finish=length",
        "F38",
    ),
    Word(
        "finish",
        "another finish reason (none: null), also early",
        finish,
        (Option("reason", str, bare=True), Option("after", position, None)),
        "finish content_filter after=20",
        "F35",
    ),
    Word(
        "azure",
        "what Azure's content filter found, beside the answer and in an event that is no part of it",
        azure,
        example="azure",
        faults="F35",
    ),
    Word(
        "blocked",
        "a prompt that a filter did not let pass, told in a 200: no answer, but the reason",
        blocked,
        (Option("reason", str, "PROHIBITED_CONTENT", bare=True),),
        "blocked SAFETY",
        "F35",
    ),
)
