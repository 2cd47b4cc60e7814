"""A reasoning item of Responses as state that its issuer wants back (`wire.state`), and as an item again.

The state's value is what the item holds besides its summary, which is the state's text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.wire.state import ProviderState

__all__ = ["NAME", "item_of", "state_of"]

NAME = "openai-responses"

_KIND = "reasoning"


class _Kept(msgspec.Struct, omit_defaults=True, gc=False):
    encrypted_content: str
    id: str = ""


_KEPT = msgspec.json.Decoder(_Kept)


def state_of(encrypted_content: str, item_id: str | None, summary: str) -> ProviderState:
    kept = msgspec.json.encode(_Kept(encrypted_content, item_id or ""))
    return ProviderState(NAME, _KIND, kept.decode(), summary)


def item_of(state: ProviderState) -> dict[str, Any]:
    """Raises ValueError for what `state_of` did not make."""
    try:
        kept = _KEPT.decode(state.value)
    except msgspec.MsgspecError:
        raise ValueError("a state that holds no reasoning item of Responses") from None
    named = {"id": kept.id} if kept.id else {}
    summary = [{"type": "summary_text", "text": state.text}] if state.text else []
    return {"type": _KIND, **named, "summary": summary, "encrypted_content": kept.encrypted_content}
