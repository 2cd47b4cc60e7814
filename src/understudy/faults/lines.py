"""The word about how events are written as lines."""

from __future__ import annotations

from dataclasses import replace

from understudy.faults.plan import Plan, Style
from understudy.faults.word import Option, Word, flag, one_of

ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


def sse(
    plan: Plan, *, lines: str | None, no_space: bool, multiline: bool, fields: bool, comments: bool, bom: bool
) -> Plan:
    style = Style(lines and ENDS[lines], not no_space, multiline, fields, comments, bom)
    return replace(plan, style=style)


WORDS = (
    Word(
        "sse",
        "other ways to write the same events, all of them allowed",
        sse,
        (
            Option("lines", one_of(*ENDS), None),
            Option("no-space", flag, False),
            Option("multiline", flag, False),
            Option("fields", flag, False),
            Option("comments", flag, False),
            Option("bom", flag, False),
        ),
        "sse lines=crlf multiline comments",
        "F52",
    ),
)
