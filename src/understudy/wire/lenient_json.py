r"""JSON for texts that are not quite Unicode: halves of surrogate pairs, broken UTF-8.

Strict JSON libraries refuse them. Halves are written escaped (``\ud83d``), the one way in which JSON can say
them, and read as they are; bytes that are no UTF-8 become U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def encoded(value: object) -> bytes:
    """Mappings and sequences of any kind will do. Raises TypeError for what JSON does not know."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:
        return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def decoded(data: bytes) -> Any:
    """Control characters inside strings are read too. Raises ValueError or RecursionError."""
    return json.loads(data.decode(errors="replace"), strict=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
