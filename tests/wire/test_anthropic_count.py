"""Counting the tokens of an Anthropic request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from understudy.core.facts import Tokenizer
from understudy.wire.anthropic_count import DOCUMENT_TOKENS, IMAGE_TOKENS, count_tokens
from understudy.wire.dialect import cut_apart
from understudy.wire.tokens import MESSAGE, estimate


def counted(**fields: object) -> int:
    return count_tokens(cut_apart(msgspec.json.encode({"model": "claude", "max_tokens": 10**6, **fields})))


def block(**fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


def tokens(text: str) -> int:
    return round(estimate(text, Tokenizer.CLAUDE))


@pytest.mark.parametrize(
    ("fields", "text", "more"),
    [
        ({}, "", 0),
        ({"messages": [{"role": "user", "content": "What is it?"}]}, "What is it?", MESSAGE),
        (
            {"messages": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]},
            "One\nTwo",
            2 * MESSAGE,
        ),
        ({"system": "Be kind"}, "Be kind", 0),
        ({"system": [{"type": "text", "text": "Be kind", "cache_control": {"type": "x"}}]}, "Be kind", 0),
        (block(type="text", text="What is it?"), "What is it?", MESSAGE),
        (block(type="thinking", thinking="Let me see", signature="x" * 100), "Let me see", MESSAGE),
        (block(type="redacted_thinking", data="x" * 100), "", MESSAGE),
        (
            block(type="tool_use", id="toolu_0123456789", name="find", input={"x": "éé"}),
            'find\n{"x":"éé"}',
            MESSAGE,
        ),
        (block(type="tool_result", tool_use_id="toolu_0123456789", content="found it"), "found it", MESSAGE),
        (block(type="tool_result", content=[{"type": "text", "text": "found it"}]), "found it", MESSAGE),
        (
            {"tools": [{"name": "find", "description": "Finds it", "input_schema": {"type": "object"}}]},
            'find\nFinds it\n{"type":"object"}',
            0,
        ),
        (block(type="image", source={"type": "base64", "data": "x" * 10_000}), "", MESSAGE + IMAGE_TOKENS),
        (
            block(type="document", title="A title", source={"type": "base64", "data": "x" * 10_000}),
            "A title",
            MESSAGE + DOCUMENT_TOKENS,
        ),
        (
            block(type="document", source={"type": "url", "url": "https://example.org"}),
            "",
            MESSAGE + DOCUMENT_TOKENS,
        ),
        (block(type="document", source={"type": "file", "file_id": "f"}), "", MESSAGE + DOCUMENT_TOKENS),
        (
            block(
                type="document", source={"type": "text", "media_type": "text/plain", "data": "Plain words"}
            ),
            "Plain words",
            MESSAGE,
        ),
        (
            block(type="document", source={"type": "content", "content": [{"type": "text", "text": "Hm"}]}),
            "Hm",
            MESSAGE,
        ),
        ({"messages": 7}, "", 0),
        ({"messages": [7, None]}, "", 2 * MESSAGE),
    ],
)
def test_what_the_model_reads_counts_and_a_picture_has_its_figure(
    fields: dict[str, object], text: str, more: int
) -> None:
    assert counted(**fields) == tokens(text) + more
