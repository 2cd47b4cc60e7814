"""Words about time: late, slow, silent."""

from __future__ import annotations

from dataclasses import replace

from understudy.faults.act import REQUEST, Cut, Pause, ending, inserting
from understudy.faults.plan import Plan
from understudy.faults.word import Option, Word, duration, position, rate


def delay(plan: Plan, *, time: float, after: int) -> Plan:
    return replace(plan, changes=(*plan.changes, inserting(after, Pause(time, after))))


def silence(plan: Plan, *, time: float | None, after: int) -> Plan:
    return replace(plan, changes=(*plan.changes, ending(after, (Pause(time, after), Cut()))))


def drip(plan: Plan, *, every: float) -> Plan:
    return replace(plan, pace=1 / every if every else None)


def pace(plan: Plan, *, tokens: float) -> Plan:
    return replace(plan, pace=tokens)


WORDS = (
    Word(
        "delay",
        "wait, then go on as if nothing had been",
        delay,
        (Option("time", duration, bare=True), Option("after", position, REQUEST)),
        "delay 20s",
        "F07",
    ),
    Word(
        "silence",
        "send nothing more: for a time, then close; without a time until the client leaves",
        silence,
        (Option("time", duration, None, bare=True), Option("after", position, REQUEST)),
        "silence 60s after=headers",
        "F04 F06 F09 F47",
    ),
    Word(
        "stall",
        "the same in the middle of the answer",
        silence,
        (Option("time", duration, None, bare=True), Option("after", position, 20)),
        "stall 60s after=20",
        "F10",
    ),
    Word(
        "drip", "one token at a time, slowly", drip, (Option("every", duration, 5.0),), "drip every=5s", "F15"
    ),
    Word(
        "pace",
        "so many tokens per second",
        pace,
        (Option("tokens", rate, bare=True),),
        "pace 50/s",
        "F15 F57",
    ),
)
