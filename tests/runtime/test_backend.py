"""Where requests go."""

from __future__ import annotations

from typing import cast

import pytest

from understudy.runtime.backend import Backend, WireFormat
from understudy.wire import anthropic_messages, gemini, openai_chat


@pytest.mark.parametrize(
    ("wire_format", "stream", "url"),
    [
        (openai_chat, True, "https://x.org/v1/chat/completions"),
        (openai_chat, False, "https://x.org/v1/chat/completions"),
        (anthropic_messages, True, "https://x.org/v1/messages"),
        (gemini, True, "https://x.org/v1/models/m%2F1:streamGenerateContent?alt=sse"),
        (gemini, False, "https://x.org/v1/models/m%2F1:generateContent"),
    ],
)
def test_the_address_is_the_formats_for_the_model_and_the_way_of_answering(
    wire_format: object, stream: bool, url: str
) -> None:
    backend = Backend("a", cast(WireFormat, wire_format), base_url="https://x.org/v1", model="m/1")
    assert backend.url_for(stream=stream) == url
    assert repr(backend) == "<Backend a, m/1 at https://x.org/v1>"
