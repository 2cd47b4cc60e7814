"""Counting tokens by a rule of thumb."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from understudy.wire.anthropic_count import DOCUMENT_TOKENS, IMAGE_TOKENS, count_tokens
from understudy.wire.dialect import cut_apart


def counted(**fields: object) -> int:
    return count_tokens(cut_apart(msgspec.json.encode({"model": "claude", "max_tokens": 10**6, **fields})))


def block(**fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 0),
        ({"messages": [{"role": "user", "content": "12345678"}]}, 2),
        ({"messages": [{"role": "user", "content": "123456789"}, {"role": "assistant", "content": ""}]}, 3),
        ({"system": "1234"}, 1),
        ({"system": [{"type": "text", "text": "1234", "cache_control": {"type": "ephemeral"}}]}, 1),
        (block(type="text", text="12345678"), 2),
        (block(type="thinking", thinking="1234", signature="x" * 100), 1),
        (block(type="redacted_thinking", data="x" * 100), 0),
        (block(type="tool_use", id="toolu_0123456789", name="1234", input={"x": "éé"}), 4),
        (block(type="tool_result", tool_use_id="toolu_0123456789", content="1234"), 1),
        (block(type="tool_result", content=[{"type": "text", "text": "12345678"}]), 2),
        ({"tools": [{"name": "1234", "description": "5678", "input_schema": {"type": "object"}}]}, 7),
        (block(type="image", source={"type": "base64", "data": "x" * 10_000}), IMAGE_TOKENS),
        (
            block(type="document", title="1234", source={"type": "base64", "data": "x" * 10_000}),
            DOCUMENT_TOKENS + 1,
        ),
        (block(type="document", source={"type": "url", "url": "https://example.org"}), DOCUMENT_TOKENS),
        (block(type="document", source={"type": "file", "file_id": "file_1"}), DOCUMENT_TOKENS),
        (
            block(type="document", source={"type": "text", "media_type": "text/plain", "data": "12345678"}),
            2,
        ),
        (
            block(type="document", source={"type": "content", "content": [{"type": "text", "text": "1234"}]}),
            1,
        ),
        ({"messages": [7, None]}, 0),
    ],
)
def test_four_characters_are_a_token_and_a_picture_has_its_figure(
    fields: dict[str, object], tokens: int
) -> None:
    assert counted(**fields) == tokens
