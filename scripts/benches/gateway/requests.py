"""The one request that everybody is sent, as bytes: 1.9 KB of chat, in OpenAI's words or in Anthropic's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from benches.worker import MODEL, PROMPT

KEY = "sk-bench-0123456789abcdef"  # the client's
PATH = "/v1/chat/completions"


class Client(NamedTuple):
    """Where it asks, and what it says beside the conversation."""

    path: str = PATH
    fields: Mapping[str, object] = {}


OPENAI = Client()
ANTHROPIC = Client("/v1/messages", {"max_tokens": 4096})


class Target(NamedTuple):
    """Where a request goes, and what this proxy wants to be told with it."""

    port: int
    headers: Mapping[str, str] = {}


def body(model: str = MODEL, say: str = "", *, stream: bool = False, client: Client = OPENAI) -> str:
    """`say` tells the mock what to play."""
    messages = [{"role": "user", "content": PROMPT + say}]
    asked: dict[str, object] = {"model": model, "messages": messages, **client.fields}
    return json.dumps({**asked, "stream": True} if stream else asked)


def headers(target: Target) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", **target.headers}


def request(target: Target, sent: str, client: Client = OPENAI) -> bytes:
    lines = [f"POST {client.path} HTTP/1.1", f"Host: 127.0.0.1:{target.port}", f"Content-Length: {len(sent)}"]
    lines += [f"{name}: {value}" for name, value in headers(target).items()]
    return "\r\n".join([*lines, "", sent]).encode()
