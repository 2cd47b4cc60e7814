"""Words about the head of a response and the life of its connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from understudy.faults.act import HEAD, Cut, ending
from understudy.faults.header import header_value
from understudy.faults.http import head_bytes
from understudy.faults.plan import HeadEdit, Plan
from understudy.faults.word import Option, ScriptError, Word, duration, moment, positive, size, status

GARBAGE = b"\x16\x03\x01SSH-2.0-nobody\r\n\x00\xff\xfe this is not HTTP\r\n"


def header(plan: Plan, *, extra: Sequence[tuple[str, str]]) -> Plan:
    headers = []
    for name, text in extra:
        try:
            headers.append((name, header_value(text)))
        except ValueError as error:
            raise ScriptError(f"'header': {name} is {text!r}, but must be {error}") from None
    return replace(plan, headers=(*plan.headers, *headers))


def big_header(plan: Plan, *, size: int) -> Plan:
    return replace(plan, headers=(*plan.headers, ("x-big", "b" * size)))


def skew(plan: Plan, *, time: float) -> Plan:
    return replace(plan, skew=time)


def slow_head(plan: Plan, *, every: float) -> Plan:
    return replace(plan, head_pause=every)


def _edited(plan: Plan, edit: HeadEdit) -> Plan:
    before = plan.head
    return replace(plan, head=edit if before is None else lambda head: edit(before(head)))


def interim(plan: Plan, *, code: int, times: int) -> Plan:
    line = head_bytes("1.1", code, [])
    return _edited(plan, lambda head: line * times + head)


def garbage(plan: Plan) -> Plan:
    plan = _edited(plan, lambda _: GARBAGE)
    return replace(plan, changes=(*plan.changes, ending(HEAD, (Cut(),))))


def http10(plan: Plan) -> Plan:
    return replace(plan, version="1.0")


def close(plan: Plan) -> Plan:
    return replace(plan, closing="say")


def hang_up(plan: Plan) -> Plan:
    return replace(plan, closing="silently")


WORDS = (
    Word(
        "header",
        "more headers; a value may be a date as in date:+3s or rfc3339:+30s",
        header,
        example="header x-ratelimit-remaining-requests=0 x-ratelimit-reset-requests=1s",
        faults="F26 F31",
        takes_any=True,
    ),
    Word(
        "big-header",
        "a header of so many bytes",
        big_header,
        (Option("size", size, 65536, bare=True),),
        "big-header 64KiB",
        "F41",
    ),
    Word(
        "skew",
        "the provider's clock is so much off",
        skew,
        (Option("time", moment, bare=True),),
        "skew +1h",
        "F26",
    ),
    Word(
        "slow-head",
        "the head, byte by byte",
        slow_head,
        (Option("every", duration, 1.0),),
        "slow-head every=1s",
        "F05",
    ),
    Word(
        "interim",
        "1xx responses before the real one",
        interim,
        (Option("code", status, 100, bare=True), Option("times", positive, 1)),
        "interim 103",
        "F54",
    ),
    Word("garbage", "bytes that are no HTTP, then close", garbage, example="garbage", faults="F17"),
    Word(
        "http10", "HTTP/1.0: the end of the connection ends the body", http10, example="http10", faults="F54"
    ),
    Word("close", "the answer says that the connection will close", close, example="close", faults="F54"),
    Word(
        "hang-up",
        "close the idle connection right after the answer without having said so",
        hang_up,
        example="hang-up",
        faults="F54",
    ),
)
