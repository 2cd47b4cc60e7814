"""An error as OpenAI's clients know it, whichever of its protocols they speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.wire.dialect import ErrorReply

__all__ = ["write_error"]


def write_error(reply: ErrorReply) -> bytes:
    """``{"error": {…}}``, as the body of an answer with the reply's status."""
    return msgspec.json.encode({"error": _error(reply)})


def _error(reply: ErrorReply) -> Mapping[str, Any]:
    named = {"message": reply.message, "type": _type(reply), "param": reply.param, "code": reply.code}
    return {**reply.details, **named}


def _type(reply: ErrorReply) -> str:
    """OpenAI's word for what went wrong; a refused key is an invalid request there."""
    if reply.code == "insufficient_quota":
        return reply.code
    if reply.status >= 500:
        return "service_unavailable_error" if reply.status == 503 else "server_error"
    return "rate_limit_error" if reply.status == 429 else "invalid_request_error"
