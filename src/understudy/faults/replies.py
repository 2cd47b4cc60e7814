"""Words that answer with something else than an answer: a status, a page, nothing."""

from __future__ import annotations

from dataclasses import replace

from understudy.faults.http import reason
from understudy.faults.openai_chat import error_body
from understudy.faults.plan import Plan, Reply
from understudy.faults.word import Option, Word, status

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}


def refuse(
    plan: Plan,
    *,
    code: int,
    message: str | None,
    error_type: str | None,
    error_code: str | None,
    body: str | None,
    content_type: str,
    retry_after: str | None,
) -> Plan:
    kind = error_type or TYPES.get(code, "invalid_request_error" if code < 500 else "server_error")
    data = error_body(message or reason(code), kind=kind, code=error_code) if body is None else body.encode()
    headers = plan.headers if retry_after is None else (*plan.headers, ("retry-after", retry_after))
    return replace(plan, reply=Reply.of(code, data, content_type), headers=headers)


def fine(plan: Plan) -> Plan:
    return plan


WORDS = (
    Word("fine", "the whole answer", fine, example="fine"),
    Word(
        "status",
        "an HTTP error; the number alone will do",
        refuse,
        (
            Option("code", status, bare=True),
            Option("message", str, None),
            Option("error-type", str, None),
            Option("error-code", str, None),
            Option("body", str, None),
            Option("content-type", str, "application/json"),
            Option("retry-after", str, None),
        ),
        "status 503 message='try later'",
        "F21 F22 F23 F32 F36 F37",
    ),
)
