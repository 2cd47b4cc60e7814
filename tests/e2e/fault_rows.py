"""The faults, one row each: what the lead plays, and what a balancer is to make of it.

The same rows are played to the library and, in both protocols, to the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BeforeContent:
    """`attempts` on the lead, each of which ends as `kind`; `counts` with the breaker."""

    fault: str
    script: str
    kind: str
    attempts: int = 2
    counts: bool = True
    only: str = ""

    def __str__(self) -> str:
        return f"{self.fault} {self.script}"


BEFORE_CONTENT = [
    BeforeContent("F04", "silence", "timeout", attempts=1),
    BeforeContent("F05", "slow-head every=0.05s", "timeout", attempts=1),
    BeforeContent("F06", "silence after=headers", "timeout", attempts=1),
    BeforeContent("F07", "delay 20s", "timeout", attempts=1),
    BeforeContent("F08", "pings every=0.1s", "timeout", attempts=1, only="stream"),
    BeforeContent("F08", "pings every=0.1s kind=delta", "timeout", attempts=1, only="stream"),
    BeforeContent("F08", "pings every=0.1s kind=event", "timeout", attempts=1, only="stream"),
    BeforeContent("F09", "error after=preamble", "server_error", only="stream"),
    BeforeContent("F09", "end after=preamble", "empty", only="stream"),
    BeforeContent("F09", "cut after=preamble", "reset", only="stream"),
    BeforeContent("F09", "silence after=preamble", "timeout", attempts=1, only="stream"),
    BeforeContent("F13", "reset", "reset"),
    BeforeContent("F13", "reset after=headers", "reset"),
    BeforeContent("F17", "malformed after=headers", "protocol", only="stream"),
    BeforeContent("F17", "malformed", "protocol", only="unary"),
    BeforeContent("F17", "garbage", "protocol"),
    BeforeContent("F18", "error openai-overloaded after=0", "server_error"),
    BeforeContent("F18", "error openai-quota after=0", "quota", attempts=1),
    BeforeContent("F18", "error openai-key after=0", "auth", attempts=1),
    BeforeContent("F21", "says anthropic-overloaded", "server_error"),
    BeforeContent("F23", "status 500", "server_error"),
    BeforeContent("F23", "status 502", "server_error"),
    BeforeContent("F23", "status 503", "server_error"),
    BeforeContent("F23", "status 504", "server_error"),
    BeforeContent("F24", "html 502", "server_error"),
    BeforeContent("F24", "html 200", "protocol"),
    BeforeContent("F29", "status 429", "rate_limited"),
    BeforeContent("F30", "says openai-quota", "quota", attempts=1),
    BeforeContent("F30", "says spend-limit", "quota", attempts=1),
    BeforeContent("F32", "status 401", "auth", attempts=1),
    BeforeContent("F32", "status 402", "quota", attempts=1),
    BeforeContent("F32", "status 403", "auth", attempts=1),
    BeforeContent("F32", "says gemini-key", "auth", attempts=1),
    BeforeContent("F33", "says anthropic-credit", "quota", attempts=1),
    BeforeContent("F34", "says openai-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "says anthropic-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "says groq-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "says vllm-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "says together-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "says gemini-context", "context_length", attempts=1, counts=False),
    BeforeContent("F34", "error openai-context after=0", "context_length", attempts=1, counts=False),
    BeforeContent("F36", "says openai-model", "model_not_found", attempts=1),
    BeforeContent("F36", "says openrouter-model", "model_not_found", attempts=1),
    BeforeContent("F38", "empty choices", "empty"),
    BeforeContent("F38", "empty null", "empty", counts=False),
    BeforeContent("F38", "empty blank", "empty", counts=False),
    BeforeContent("F38", "empty space", "empty", counts=False),
    BeforeContent("F38", "empty done", "empty", only="stream"),
    BeforeContent("F38", "empty body", "empty"),
    BeforeContent("F39", "status 204", "protocol"),
    BeforeContent("F39", "truncate", "protocol", only="unary"),
    BeforeContent("F39", "length +10", "protocol", only="unary"),
    BeforeContent("F40", "flood 500 size=1GB", "server_error"),
    BeforeContent("F41", "big-header 80KB", "protocol"),
    BeforeContent("F42", "as stream", "protocol", only="unary"),
    BeforeContent("F43", "claim gzip", "protocol"),
    BeforeContent("F43", "claim br", "protocol"),
    BeforeContent("F43", "encoding gzip claim=br", "protocol"),
    BeforeContent("F53", "redirect 301 to=other", "protocol"),
    BeforeContent("F53", "redirect 302", "protocol"),
    BeforeContent("F53", "redirect 307 to=other", "protocol"),
    BeforeContent("F63", "error prefill after=0", "invalid_request", attempts=1, counts=False),
]

# What only the caller's own request is to blame for goes to the caller from the first member asked.
TO_THE_CALLER = ("F63",)


@dataclass(frozen=True)
class AfterContent:
    """`counts` with the breaker; `open_socket`: only our close ends the provider's part."""

    fault: str
    script: str
    kind: str
    counts: bool = True
    open_socket: bool = False

    def __str__(self) -> str:
        return f"{self.fault} {self.script}"


AFTER_CONTENT = [
    AfterContent("F10", "stall after=20", "stall", open_socket=True),
    AfterContent("F10", "stall 60s after=20", "stall", open_socket=True),
    AfterContent("F10", "pings every=0.1s after=20", "stall", open_socket=True),
    AfterContent("F11", "cut after=40", "truncated"),
    AfterContent("F12", "end after=40", "truncated"),
    AfterContent("F14", "reset after=20", "truncated"),
    AfterContent("F16", "malformed after=10 + malformed after=10", "protocol"),
    AfterContent("F18", "error after=20", "server_error"),
    AfterContent("F18", "error openai-overloaded after=20", "server_error"),
    AfterContent("F18", "error openai-quota after=20", "quota"),
    AfterContent("F18", "error openai-rate-limit after=20", "rate_limited"),
    AfterContent("F34", "error openai-context after=20", "context_length", counts=False),
    AfterContent("F35", "error azure-filter after=20", "content_filter", counts=False),
    AfterContent("F49", "tools 1 + cut after=1", "truncated"),
    AfterContent("F49", "tools 1 + end after=4", "truncated"),
    AfterContent("F49", "tools 1 + malformed after=3", "protocol"),
]


@dataclass(frozen=True)
class Tolerated:
    """`estimated`: the backend did not say what it cost."""

    fault: str
    script: str
    estimated: bool = False
    only: str = ""

    def __str__(self) -> str:
        return f"{self.fault} {self.script}"


TOLERATED = [
    Tolerated("F07", "delay 0.2s"),
    Tolerated("F16", "malformed after=10", only="stream"),
    Tolerated("F35", "azure", only="stream"),
    Tolerated("F42", "as unary"),
    Tolerated("F42", "content-type text/plain"),
    Tolerated("F42", "content-type application/json", only="stream"),
    Tolerated("F43", "encoding gzip"),
    Tolerated("F43", "encoding deflate"),
    Tolerated("F44", "usage missing", estimated=True),
    Tolerated("F44", "usage zero", estimated=True),
    Tolerated("F44", "usage twice"),
    Tolerated("F44", "usage finish"),
    Tolerated("F44", "usage always"),
    Tolerated("F45", "done twice", only="stream"),
    Tolerated("F45", "done data-after", only="stream"),
    Tolerated("F46", "done missing", only="stream"),
    Tolerated("F51", "split 1"),
    Tolerated("F51", "escape"),
    Tolerated("F51", "surrogates"),
    Tolerated("F52", "sse lines=crlf", only="stream"),
    Tolerated("F52", "sse lines=cr", only="stream"),
    Tolerated("F52", "sse no-space multiline fields comments bom", only="stream"),
    Tolerated("F52", "sse lines=crlf comments + split 1", only="stream"),
    Tolerated("F53", "redirect 307"),
    Tolerated("F53", "redirect 308"),
    Tolerated("F54", "interim 100"),
    Tolerated("F54", "interim 103 times=3"),
    Tolerated("F54", "http10"),
    Tolerated("F54", "close"),
]
