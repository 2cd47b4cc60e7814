"""How many tokens an Anthropic request has, by the rule of `wire.tokens`, as Claude counts.

Counted is whatever the model reads: texts, thoughts, system, tool calls with their input, tool results, and
the tools' names, descriptions and schemas. An image is `IMAGE_TOKENS`, a document that is no text
`DOCUMENT_TOKENS`, whatever their size. Names of fields, ids and marks count nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from understudy.core.facts import Tokenizer
from understudy.wire.dialect import Fields
from understudy.wire.tokens import MESSAGE, estimate

__all__ = ["DOCUMENT_TOKENS", "IMAGE_TOKENS", "count_tokens"]

IMAGE_TOKENS = 1600
DOCUMENT_TOKENS = 3000

_COUNTED = ("system", "messages", "tools")
_READ = ("text", "thinking", "name", "description", "title", "content", "source", "input", "input_schema")
_WHOLE = ("input", "input_schema")  # JSON that the model sees as it is


def count_tokens(fields: Fields) -> int:
    """The tokens of a request's fields; of a shape we do not know, nothing is counted."""
    values = {name: msgspec.json.decode(fields[name]) for name in _COUNTED if name in fields}
    found = list(_found(list(values.values())))
    texts = "\n".join(item for item in found if isinstance(item, str))
    messages = values.get("messages")
    marks = MESSAGE * len(messages) if isinstance(messages, list) else 0
    return round(estimate(texts, Tokenizer.CLAUDE)) + marks + sum(n for n in found if isinstance(n, int))


def _found(value: Any) -> Iterator[str | int]:
    """Texts to count, and the tokens of what is no text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _found(item)
    elif isinstance(value, dict):
        yield from _of_object(value)


def _of_object(value: Mapping[str, Any]) -> Iterator[str | int]:
    """There are three cases: an image, a document that is no text, anything else, read field by field."""
    if value.get("type") == "image":
        yield IMAGE_TOKENS
    elif value.get("type") in ("base64", "url", "file"):
        yield DOCUMENT_TOKENS
    elif value.get("type") == "text" and "data" in value:
        yield from _found(value["data"])
    else:
        for name in _READ:
            if name in value:
                yield from _of_field(name, value[name])


def _of_field(name: str, value: Any) -> Iterator[str | int]:
    if name in _WHOLE:
        yield msgspec.json.encode(value).decode()
    else:
        yield from _found(value)
