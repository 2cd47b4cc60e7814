"""Words about the body as bytes: its type, length, encoding, and how it is cut into writes."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from understudy.faults.act import End, Part, ending
from understudy.faults.performance import share
from understudy.faults.plan import Encoding, Form, Plan
from understudy.faults.word import Option, Word, one_of, position, positive


def content_type(plan: Plan, *, value: str) -> Plan:
    return replace(plan, content_type=value)


def form(plan: Plan, *, form: str) -> Plan:
    return replace(plan, form=cast(Form, form))


def encoding(plan: Plan, *, name: str, claim: str | None) -> Plan:
    return replace(plan, encoding=cast(Encoding, name), claimed_encoding=claim)


def claim(plan: Plan, *, name: str) -> Plan:
    return replace(plan, claimed_encoding=name)


def length(plan: Plan, *, off: int) -> Plan:
    return replace(plan, extra_length=off, closing="silently")


def truncate(plan: Plan, *, after: int) -> Plan:
    half = Part(plan.format.HALF, after)
    return replace(
        plan,
        stream_changes=(*plan.stream_changes, ending(after, (half, End()))),
        edits=(*plan.edits, lambda body, tokens: body[: share(body, after, tokens)]),
    )


def split(plan: Plan, *, bytes: int) -> Plan:  # noqa: A002  the script's own word
    return replace(plan, slice=bytes)


def offset(text: str) -> int:
    if text[:1] not in ("+", "-") or not text[1:].isdigit():
        raise ValueError("a number of bytes with a sign, such as +10")
    return int(text)


WORDS = (
    Word(
        "content-type",
        "another content type than the body's",
        content_type,
        (Option("value", str, bare=True),),
        "content-type text/plain",
        "F42",
    ),
    Word(
        "as",
        "a stream or a unary answer, whatever was asked for",
        form,
        (Option("form", one_of("stream", "unary"), bare=True),),
        "as unary",
        "F42",
    ),
    Word(
        "encoding",
        "compress the body; claim= names something else in the header (none: no header)",
        encoding,
        (Option("name", one_of("gzip", "deflate", "raw-deflate"), bare=True), Option("claim", str, None)),
        "encoding gzip",
        "F43",
    ),
    Word(
        "claim",
        "a Content-Encoding that is not true",
        claim,
        (Option("name", str, bare=True),),
        "claim br",
        "F43",
    ),
    Word(
        "length",
        "a Content-Length of a unary answer that is off, then close",
        length,
        (Option("off", offset, bare=True),),
        "length +10",
        "F39",
    ),
    Word(
        "truncate",
        "end the body properly in the middle of its JSON",
        truncate,
        (Option("after", position, 30),),
        "truncate after=30",
        "F39",
    ),
    Word(
        "split",
        "write the body in pieces of so many bytes, also inside a character",
        split,
        (Option("bytes", positive, 1, bare=True),),
        "split 1",
        "F48 F51",
    ),
)
