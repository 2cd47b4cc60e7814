"""What only the backend that issued it understands: signatures of thoughts, encrypted reasoning.

Such state has to come back with the conversation's next request, or the issuer refuses it or thinks anew;
to any other backend it is noise at best. So:

1. A chunk carries it as `ProviderState`, with the wire format that issued it, and the place where.
2. A client whose protocol has a place for such a thing gets it there: in its own words if its own format
   issued it, else as `tagged` text, so that it can be told apart when it comes back.
3. A request in neutral words has it in an assistant message's `FIELD`, a list of `ProviderState.to_dict`.
   An encoder takes its own format's and leaves the others out. What another place issued is left out
   before (`runtime.backend`), for not all who speak a format can read what the others wrote.
4. That is no promise: another account at the same place may be unable to read it, and what a client got in
   its own format's words bears no mark. Who refuses a request for its state is asked again without it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

FIELD = "provider_state"

_MARK = "understudy."


class ProviderState(msgspec.Struct, frozen=True, gc=False):
    """`issuer` is a wire format's name, `kind` its own word for what `value` is.

    `text` is the reasoning that `value` vouches for, `call` the id of the tool call that it belongs to.
    `origin` tells one place that speaks the format from another; empty where it is not known.
    """

    issuer: str
    kind: str
    value: str
    text: str = ""
    call: str = ""
    origin: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value}


def tagged(state: ProviderState) -> str:
    """The state as one word that any protocol can carry; without its text, which is beside it."""
    packed = msgspec.json.encode([state.issuer, state.kind, state.value, state.call, state.origin])
    return _MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def is_tagged(word: str) -> bool:
    return word.startswith(_MARK)


def untagged(word: str, text: str = "") -> ProviderState | None:
    """What `tagged` packed; None if it is not ours, or was damaged."""
    if not word.startswith(_MARK):
        return None
    packed = word.removeprefix(_MARK)
    try:
        data = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        issuer, kind, value, call, origin = msgspec.json.decode(data, type=tuple[str, str, str, str, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return ProviderState(issuer, kind, value, text, call, origin)
