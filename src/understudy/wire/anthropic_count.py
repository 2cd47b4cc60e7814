"""How many tokens an Anthropic request has, by a rule of thumb.

Four characters of whatever the model reads are a token: texts, thoughts, system, tool calls with their
input, tool results, and the tools' names, descriptions and schemas. An image is `IMAGE_TOKENS`, a document
that is no text `DOCUMENT_TOKENS`, whatever their size. Names of fields, ids and marks count nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.wire.chat import estimate_tokens
from understudy.wire.dialect import Fields

__all__ = ["DOCUMENT_TOKENS", "IMAGE_TOKENS", "count_tokens"]

IMAGE_TOKENS = 1600
DOCUMENT_TOKENS = 3000

_COUNTED = ("system", "messages", "tools")
_READ = ("text", "thinking", "name", "description", "title", "content", "source", "input", "input_schema")
_WHOLE = ("input", "input_schema")  # JSON that the model sees as it is


def count_tokens(fields: Fields) -> int:
    """The tokens of a request's fields; of a shape we do not know, nothing is counted."""
    counted = [msgspec.json.decode(fields[name]) for name in _COUNTED if name in fields]
    return estimate_tokens(sum(map(_characters, counted)))


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    return _of_object(value) if isinstance(value, dict) else 0


def _of_object(value: Mapping[str, Any]) -> int:
    """There are three cases: an image, a document that is no text, anything else, read field by field."""
    if value.get("type") == "image":
        return 4 * IMAGE_TOKENS
    if value.get("type") in ("base64", "url", "file"):
        return 4 * DOCUMENT_TOKENS
    if value.get("type") == "text" and "data" in value:
        return _characters(value["data"])
    return sum(_of_field(name, value[name]) for name in _READ if name in value)


def _of_field(name: str, value: Any) -> int:
    if name in _WHOLE:
        return len(msgspec.json.encode(value).decode())
    return _characters(value)
