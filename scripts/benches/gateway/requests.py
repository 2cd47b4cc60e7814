"""The one request that everybody is sent, as bytes: 1.9 KB of chat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from benches.worker import MODEL, PROMPT

KEY = "sk-bench-0123456789abcdef"  # the client's
PATH = "/v1/chat/completions"


class Target(NamedTuple):
    """Where a request goes, and what this proxy wants to be told with it."""

    port: int
    headers: Mapping[str, str] = {}


def body(model: str = MODEL, say: str = "", *, stream: bool = False) -> str:
    """`say` tells the mock what to play."""
    asked: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": PROMPT + say}]}
    return json.dumps({**asked, "stream": True} if stream else asked)


def headers(target: Target) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", **target.headers}


def request(target: Target, sent: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", f"Host: 127.0.0.1:{target.port}", f"Content-Length: {len(sent)}"]
    lines += [f"{name}: {value}" for name, value in headers(target).items()]
    return "\r\n".join([*lines, "", sent]).encode()
