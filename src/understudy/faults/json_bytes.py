"""JSON as the formats put it on the wire: compact, in UTF-8."""

from __future__ import annotations

import json


def dump(value: object, *, ascii_only: bool = False) -> bytes:
    # A lone surrogate can only be written as an escape.
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return dump(value, ascii_only=True)
