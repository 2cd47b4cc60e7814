"""``GET /v1/models``: what may be asked for, in the words of either protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_EPOCH = "1970-01-01T00:00:00Z"


def listing(names: Sequence[str], *, anthropic: bool) -> dict[str, Any]:
    rows = [model(name, anthropic=anthropic) for name in names]
    if not anthropic:
        return {"object": "list", "data": rows}
    return {
        "data": rows,
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model(name: str, *, anthropic: bool) -> dict[str, Any]:
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}
    return {"id": name, "object": "model", "created": 0, "owned_by": "understudy"}
