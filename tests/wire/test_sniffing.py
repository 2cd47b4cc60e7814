"""Telling event streams from JSON by their first bytes."""

from __future__ import annotations

import pytest

from understudy.wire.sniffing import sniff


@pytest.mark.parametrize(
    ("first_bytes", "shape"),
    [
        (b'{"type":"message"}', "json"),
        (b"\xef\xbb\xbf \n{", "json"),
        (b"event: message_start\n", "sse"),
        (b"data: {}\n\n", "sse"),
        (b": comment\n\n", "sse"),
        (b"retry:1\n", "sse"),
        (b"ev", "sse"),
        (b"<html>", "unknown"),
        (b"[1]", "unknown"),
        (b"datum", "unknown"),
    ],
)
def test_the_first_bytes_decide(first_bytes: bytes, shape: str) -> None:
    assert sniff("text/html", first_bytes) == shape


@pytest.mark.parametrize(
    ("content_type", "shape"),
    [
        ("text/event-stream; charset=utf-8", "sse"),
        ("Application/JSON", "json"),
        ("application/problem+json", "json"),
        ("text/html", "unknown"),
        (None, "unknown"),
    ],
)
@pytest.mark.parametrize("first_bytes", [b"", b" \r\n", b"\xef\xbb"])
def test_the_content_type_decides_while_they_say_nothing(
    content_type: str | None, shape: str, first_bytes: bytes
) -> None:
    assert sniff(content_type, first_bytes) == shape
