"""OpenAI's chat completions, as a modelled backend speaks them: few events, none of them superfluous."""

from __future__ import annotations

import msgspec

from understudy.simulate.canonical import asked
from understudy.simulate.words import Asked, Spoken, tokens_of

_TYPES = {400: "invalid_request_error", 429: "rate_limit_error"}


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str = ""


class _Request(msgspec.Struct, gc=False):
    messages: list[_Message]
    stream: bool = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_REQUEST = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Asked:
    request = _REQUEST.decode(body)
    messages = request.messages
    prefill = messages.pop().content if messages[-1].role == "assistant" else ""
    tokens = tokens_of(prefill)
    for message in messages:
        tokens += tokens_of(message.content)
    limit = request.max_completion_tokens or request.max_tokens
    return Asked(asked(messages[-1].content), request.stream, limit, prefill, tokens)


def begin(spoken: Spoken, text: str) -> bytes:
    return _event(spoken, f'{{"role":"assistant","content":"{text}"}}')


def more(spoken: Spoken, text: str) -> bytes:
    return _event(spoken, f'{{"content":"{text}"}}')


def end(spoken: Spoken, text: str) -> bytes:
    return (
        f'data: {{"id":"sim-{spoken.identity}","object":"chat.completion.chunk","model":"{spoken.model}",'
        f'"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":"{_reason(spoken)}"}}],'
        f"{_usage(spoken)}}}\n\n"
        "data: [DONE]\n\n"
    ).encode()


def whole(spoken: Spoken, text: str) -> bytes:
    return (
        f'{{"id":"sim-{spoken.identity}","object":"chat.completion","model":"{spoken.model}",'
        f'"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},'
        f'"finish_reason":"{_reason(spoken)}"}}],{_usage(spoken)}}}'
    ).encode()


def error(status: int, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error")
    return f'{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":null}}}}'.encode()


def broken(message: str) -> bytes:
    return b"data: " + error(500, message) + b"\n\n"


def _event(spoken: Spoken, delta: str) -> bytes:
    return (
        f'data: {{"id":"sim-{spoken.identity}","object":"chat.completion.chunk","model":"{spoken.model}",'
        f'"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}\n\n'
    ).encode()


def _reason(spoken: Spoken) -> str:
    return "length" if spoken.is_cut else "stop"


def _usage(spoken: Spoken) -> str:
    total = spoken.input_tokens + spoken.output_tokens
    return (
        f'"usage":{{"prompt_tokens":{spoken.input_tokens},"completion_tokens":{spoken.output_tokens},'
        f'"total_tokens":{total}}}'
    )
