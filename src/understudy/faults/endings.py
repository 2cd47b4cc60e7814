"""Words about how the connection ends when the answer is not whole."""

from __future__ import annotations

from dataclasses import replace

from understudy.faults.act import REQUEST, Act, Cut, End, Reset, ending
from understudy.faults.performance import share
from understudy.faults.plan import Plan
from understudy.faults.word import Option, Word, position


def _end(plan: Plan, after: int, act: Act) -> Plan:
    return replace(plan, changes=(*plan.changes, ending(after, (act,))))


def cut(plan: Plan, *, after: int) -> Plan:
    return _end(plan, after, Cut())


def end(plan: Plan, *, after: int) -> Plan:
    return replace(
        plan,
        stream_changes=(*plan.stream_changes, ending(after, (End(),))),
        edits=(*plan.edits, lambda body, tokens: body[: share(body, after, tokens)]),
    )


def reset(plan: Plan, *, after: int) -> Plan:
    return _end(plan, after, Reset())


WORDS = (
    Word(
        "cut",
        "close the connection with the body incomplete",
        cut,
        (Option("after", position, 40),),
        "cut after=40",
        "F11 F49",
    ),
    Word(
        "end",
        "end the body properly, but before the answer is whole",
        end,
        (Option("after", position, 40),),
        "end after=40",
        "F12",
    ),
    Word(
        "reset",
        "reset the connection",
        reset,
        (Option("after", position, REQUEST),),
        "reset after=20",
        "F13 F14",
    ),
)
