"""Words that answer with something else than an answer: a status, a page, nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat

from understudy.faults.header import Value, header_value
from understudy.faults.http import reason
from understudy.faults.plan import Header, Plan, Reply, Stage
from understudy.faults.word import Option, Word, nearest, size, status
from understudy.faults.wordings import WORDINGS, Wording

BODILESS = (204, 304)
WATER = b"All work and no play makes a dull show.\n" * 1600
PAGE = b"""<html>
<head><title>%b</title></head>
<body><center><h1>%b</h1></center><hr><center>cdn</center></body>
</html>
"""


def fine(plan: Plan) -> Plan:
    return plan


def refuse(
    plan: Plan,
    *,
    code: int,
    message: str | None,
    error_type: str | None,
    error_code: str | None,
    body: str | None,
    content_type: str,
    retry_after: Value | None,
    retry_after_ms: Value | None,
) -> Plan:
    headers = _given(("retry-after", retry_after), ("retry-after-ms", retry_after_ms))
    if code in BODILESS:
        reply = Reply.of(code, b"", None)
    elif body is not None:
        reply = Reply.of(code, body.encode(), content_type)
    else:
        error = plan.format.error_body(message or reason(code), status=code, kind=error_type, code=error_code)
        reply = Reply.of(code, error, content_type)
    return replace(plan, reply=reply, headers=(*plan.headers, *headers))


def _given(*headers: tuple[str, Value | None]) -> tuple[Header, ...]:
    return tuple((name, value) for name, value in headers if value is not None)


def wording(text: str) -> Wording:
    if text not in WORDINGS:
        hint = nearest(text, WORDINGS)
        raise ValueError(f"one of {', '.join(WORDINGS)}" + (f"; {hint}" if hint else ""))
    return WORDINGS[text]


def says(plan: Plan, *, wording: Wording, code: int | None) -> Plan:
    reply = Reply.of(code or wording.status, wording.body)
    return replace(plan, reply=reply, headers=(*plan.headers, *wording.headers))


def html(plan: Plan, *, code: int) -> Plan:
    title = f"{code} {reason(code)}".encode()
    return replace(plan, reply=Reply.of(code, PAGE % (title, title), "text/html"))


def redirect(plan: Plan, *, code: int, to: str) -> Plan:
    headers = (*plan.headers, ("location", _location(to, plan.format.ANSWER_PATH)))
    return replace(plan, reply=Reply.of(code, b"", None), headers=headers)


def _location(to: str, answer_path: str) -> str | Callable[[Stage], str]:
    """There are four cases: the moved path here, the same under another name, here again, a URL."""
    match to:
        case "same":
            return lambda stage: moved(stage.target, answer_path)
        case "other":
            return lambda stage: stage.other_origin + moved(stage.target, answer_path)
        case "loop":
            return lambda stage: stage.target
        case _:
            return to


MOVED = "/moved/"


def moved(target: str, answer_path: str) -> str:
    path, mark, query = target.partition("?")
    before, _, after = path.rpartition(answer_path)
    return before + MOVED + answer_path.lstrip("/") + after + mark + query


def target(text: str) -> str:
    if text not in ("same", "other", "loop") and "/" not in text:
        raise ValueError("same, other, loop or a URL")
    return text


def flood(plan: Plan, *, code: int, size: int | None, content_type: str) -> Plan:
    return replace(plan, reply=Reply(code, lambda: _flood(size), content_type, size))


def _flood(size: int | None) -> Iterator[bytes]:
    if size is None:
        return repeat(WATER)
    return (WATER[: size - start] for start in range(0, size, len(WATER)))


WORDS = (
    Word("fine", "the whole answer", fine, example="fine"),
    Word(
        "status",
        "an HTTP status with an error body (204 and 304 without); the number alone will do",
        refuse,
        (
            Option("code", status, bare=True),
            Option("retry-after", header_value, None),
            Option("retry-after-ms", header_value, None),
            Option("message", str, None),
            Option("error-type", str, None),
            Option("error-code", str, None),
            Option("body", str, None),
            Option("content-type", str, "application/json"),
        ),
        "429 retry-after=2",
        "F21 F22 F23 F25 F26 F27 F28 F29 F32 F36 F37 F39 F55 F56 F58 F60 F61 F62 F67",
    ),
    Word(
        "says",
        "an HTTP error in a provider's own words",
        says,
        (Option("wording", wording, bare=True), Option("code", status, None)),
        "says anthropic-credit",
        "F21 F30 F33 F34 F35 F36 F37 F63",
    ),
    Word(
        "html",
        "a web page, as from a CDN",
        html,
        (Option("code", status, 200, bare=True),),
        "html 502",
        "F24",
    ),
    Word(
        "redirect",
        "to a path that is fine: on this host (same), under its other name (other); or to itself (loop)",
        redirect,
        (Option("code", status, 307, bare=True), Option("to", target, "same")),
        "redirect 308 to=other",
        "F53",
    ),
    Word(
        "flood",
        "an error with a huge body; without a size one that never ends",
        flood,
        (
            Option("code", status, 500, bare=True),
            Option("size", size, None),
            Option("content-type", str, "application/json"),
        ),
        "flood 500 size=1GB",
        "F40",
    ),
)
