"""Conversations that go from one format's backend to another's and back: everyone gets their own state back,
and nobody another's.

A client is its protocol's history: what it was sent it sends again, as the official SDKs would.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from understudy.wire import (
    anthropic_client,
    anthropic_messages,
    openai_chat,
    openai_client,
    openai_responses,
    responses_client,
)
from understudy.wire.chat import ChatChunk
from understudy.wire.state import ProviderState

_CORPUS = Path(__file__).parent / "corpus"
CLAUDE = (_CORPUS / "anthropic" / "thinking.sse").read_bytes()
GPT = (_CORPUS / "responses" / "reasoning.sse").read_bytes()

SIGNED = b"EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"
REDACTED = b"EmwKAhgBEgy3va3pzix/LafPsn4a"
ENCRYPTED = b"gAAAAABofuNhQ7k"


class Talk:
    """One client's conversation, in its protocol's words."""

    dialect: ModuleType
    name: str

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.history: list[Any] = []

    def ask(self, wire_format: ModuleType) -> bytes:
        """What a backend of this format is sent."""
        self.history.append({"role": "user", "content": "Hi"})
        body = {"model": "m", "stream": self.stream, self.name: self.history}
        self.request = self.dialect.read_request(json.dumps(body).encode())
        self.request.id = f"req{len(self.history)}"
        how: dict[str, Any] = {"model": "m", "stream": self.stream, "include_usage": False}
        if self.dialect.FORMAT is wire_format:
            return wire_format.encode_native(self.request.fields, **how)  # type: ignore[no-any-return]
        return wire_format.encode_request(self.request.chat, **how)  # type: ignore[no-any-return]

    def answer(self, data: bytes, wire_format: ModuleType) -> None:
        """Take up what comes of a backend's stream."""
        chunks = [item for item in wire_format.StreamDecoder().feed(data) if isinstance(item, ChatChunk)]
        if not self.stream:
            self.take_whole(json.loads(self.dialect.write_answer(chunks, None, self.request)))
            return
        writer = self.dialect.StreamWriter(self.request)
        native = self.dialect.FORMAT is wire_format
        said = writer.write(chunks, native=native) + writer.end(None)
        self.take(said)

    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def take_whole(self, body: Any) -> None:
        raise NotImplementedError


class AnthropicTalk(Talk):
    dialect = anthropic_client
    name = "messages"

    def take(self, data: bytes) -> None:
        """Put together as Anthropic's clients do."""
        blocks: list[dict[str, Any]] = []
        for event in _events(data):
            if event["type"] == "content_block_start":
                blocks.append(event["content_block"])
            elif event["type"] == "content_block_delta":
                for name, piece in event["delta"].items():
                    if name in ("text", "thinking", "signature"):
                        blocks[-1][name] = blocks[-1].get(name, "") + piece
        self.history.append({"role": "assistant", "content": blocks})

    def take_whole(self, body: Any) -> None:
        self.history.append({"role": "assistant", "content": body["content"]})


class ResponsesTalk(Talk):
    dialect = responses_client
    name = "input"

    def take(self, data: bytes) -> None:
        self.history += _events(data)[-1]["response"]["output"]

    def take_whole(self, body: Any) -> None:
        self.history += body["output"]


class ChatTalk(Talk):
    dialect = openai_client
    name = "messages"

    def take(self, data: bytes) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_details": []}
        for event in _events(data):
            for choice in event["choices"]:
                message["content"] += choice["delta"].get("content") or ""
                message["reasoning_details"] += choice["delta"].get("reasoning_details") or []
        self.history.append(message)

    def take_whole(self, body: Any) -> None:
        self.history.append(body["choices"][0]["message"])


def _events(data: bytes) -> list[Any]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def thoughts(body: bytes, name: str) -> list[Any]:
    """What a backend is sent of its own thoughts."""
    said = json.loads(body)[name]
    if name == "input":
        return [item for item in said if item.get("type") == "reasoning"]
    blocks = [block for turn in said if isinstance(turn["content"], list) for block in turn["content"]]
    return [block for block in blocks if "thinking" in block["type"]]


TALKS = [AnthropicTalk, ResponsesTalk, ChatTalk]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", TALKS)
def test_claude_gets_its_thoughts_back_and_nobody_else_does(kind: type[Talk], stream: bool) -> None:
    talk = kind(stream=stream)
    talk.ask(anthropic_messages)
    talk.answer(CLAUDE, anthropic_messages)

    for other in (openai_chat, openai_responses):
        body = talk.ask(other)
        assert SIGNED not in body
        assert REDACTED not in body
        assert b"understudy." not in body
        assert b"21" in body
        talk.answer(GPT, openai_responses)

    body = talk.ask(anthropic_messages)
    assert ENCRYPTED not in body
    assert b"understudy." not in body
    thought, redacted = thoughts(body, "messages")
    assert thought == {
        "type": "thinking",
        "thinking": "I need to find the GCD of 1071 and 462 using the Euclidean algorithm.",
        "signature": SIGNED.decode(),
    }
    assert redacted == {"type": "redacted_thinking", "data": REDACTED.decode()}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", TALKS)
def test_gpt_gets_its_reasoning_back_and_nobody_else_does(kind: type[Talk], stream: bool) -> None:
    talk = kind(stream=stream)
    talk.ask(openai_responses)
    talk.answer(GPT, openai_responses)

    body = talk.ask(anthropic_messages)
    assert ENCRYPTED not in body
    assert b"understudy." not in body
    talk.answer(CLAUDE, anthropic_messages)
    assert ENCRYPTED not in talk.ask(openai_chat)

    body = talk.ask(openai_responses)
    assert SIGNED not in body
    assert b"understudy." not in body
    [item] = thoughts(body, "input")
    assert item["encrypted_content"] == ENCRYPTED.decode()
    assert "".join(part["text"] for part in item["summary"]).endswith("I use Euclid's algorithm.")


@pytest.mark.parametrize("kind", TALKS)
def test_state_of_a_call_comes_back_with_its_call(kind: type[Talk]) -> None:
    state = ProviderState("gemini", "thoughtSignature", "x", call="call_1")
    talk = kind(stream=True)
    talk.ask(anthropic_messages)
    writer = talk.dialect.StreamWriter(talk.request)
    talk.take(writer.write([ChatChunk("a", state=(state,))], native=False) + writer.end(None))
    talk.ask(openai_chat)
    [message] = [message for message in talk.request.chat.messages if message["role"] == "assistant"]
    assert message["provider_state"] == [state.to_dict()]
