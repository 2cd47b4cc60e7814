"""Anthropic's Messages, as a modelled backend speaks them: few events, none of them superfluous."""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.simulate.canonical import asked
from understudy.simulate.words import Asked, Spoken, tokens_of

_TYPES = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[dict[str, Any]]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(block.get("text", "") for block in self.content)


class _Request(msgspec.Struct, gc=False):
    messages: list[_Message]
    max_tokens: int
    stream: bool = False


_REQUEST = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Asked:
    request = _REQUEST.decode(body)
    messages = request.messages
    prefill = messages.pop().text if messages[-1].role == "assistant" else ""
    return Asked(
        asked(messages[-1].text),
        request.stream,
        request.max_tokens,
        prefill,
        sum(tokens_of(message.text) for message in messages) + tokens_of(prefill),
    )


def begin(spoken: Spoken, text: str) -> bytes:
    message = (
        f'{{"id":"msg_{spoken.identity}","type":"message","role":"assistant","model":"{spoken.model}",'
        f'"content":[],"stop_reason":null,"usage":{{"input_tokens":{spoken.input_tokens},"output_tokens":1}}}}'
    )
    start = _event("message_start", f'"message":{message}')
    block = _event("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')
    return start + block + more(spoken, text)


def more(spoken: Spoken, text: str) -> bytes:
    return _event("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{text}"}}')


def end(spoken: Spoken, text: str) -> bytes:
    delta = (
        f'"delta":{{"stop_reason":"{_reason(spoken)}"}},"usage":{{"output_tokens":{spoken.output_tokens}}}'
    )
    last = more(spoken, text) + _event("content_block_stop", '"index":0')
    return last + _event("message_delta", delta) + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def whole(spoken: Spoken, text: str) -> bytes:
    return (
        f'{{"id":"msg_{spoken.identity}","type":"message","role":"assistant","model":"{spoken.model}",'
        f'"content":[{{"type":"text","text":"{text}"}}],"stop_reason":"{_reason(spoken)}",'
        f'"usage":{{"input_tokens":{spoken.input_tokens},"output_tokens":{spoken.output_tokens}}}}}'
    ).encode()


def error(status: int, message: str) -> bytes:
    kind = _TYPES.get(status, "api_error")
    return f'{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}'.encode()


def broken(message: str) -> bytes:
    return b"event: error\ndata: " + error(500, message) + b"\n\n"


def _event(kind: str, fields: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}",{fields}}}\n\n'.encode()


def _reason(spoken: Spoken) -> str:
    return "max_tokens" if spoken.is_cut else "end_turn"
