"""Faults before the first content: invisible, whichever way a backend fails.

Each row is played to a stream and to a unary call, and looked at from three sides. The caller gets the
whole canonical answer from the second member, with one preamble and that member's model and usage. The
lead saw exactly the attempts that the trail names. Breaker and metrics count what the kind says.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.e2e.theatre import theatre
from understudy.faults import TEXT, TOKENS


@dataclass(frozen=True)
class Row:
    """`attempts` on the lead, each of which ends as `kind`; `counts` with the breaker."""

    fault: str
    script: str
    kind: str
    attempts: int = 2
    counts: bool = True
    only: str = ""

    def __str__(self) -> str:
        return f"{self.fault} {self.script}"


ROWS = [
    Row("F04", "silence", "timeout", attempts=1),
    Row("F05", "slow-head every=0.05s", "timeout", attempts=1),
    Row("F06", "silence after=headers", "timeout", attempts=1),
    Row("F07", "delay 20s", "timeout", attempts=1),
    Row("F08", "pings every=0.1s", "timeout", attempts=1, only="stream"),
    Row("F08", "pings every=0.1s kind=delta", "timeout", attempts=1, only="stream"),
    Row("F08", "pings every=0.1s kind=event", "timeout", attempts=1, only="stream"),
    Row("F09", "error after=preamble", "server_error", only="stream"),
    Row("F09", "end after=preamble", "empty", only="stream"),
    Row("F09", "cut after=preamble", "reset", only="stream"),
    Row("F09", "silence after=preamble", "timeout", attempts=1, only="stream"),
    Row("F13", "reset", "reset"),
    Row("F13", "reset after=headers", "reset"),
    Row("F17", "malformed after=headers", "protocol", only="stream"),
    Row("F17", "malformed", "protocol", only="unary"),
    Row("F17", "garbage", "protocol"),
    Row("F18", "error openai-overloaded after=0", "server_error"),
    Row("F18", "error openai-quota after=0", "quota", attempts=1),
    Row("F18", "error openai-key after=0", "auth", attempts=1),
    Row("F21", "says anthropic-overloaded", "server_error"),
    Row("F23", "status 500", "server_error"),
    Row("F23", "status 502", "server_error"),
    Row("F23", "status 503", "server_error"),
    Row("F23", "status 504", "server_error"),
    Row("F24", "html 502", "server_error"),
    Row("F24", "html 200", "protocol"),
    Row("F29", "status 429", "rate_limited"),
    Row("F30", "says openai-quota", "quota", attempts=1),
    Row("F30", "says spend-limit", "quota", attempts=1),
    Row("F32", "status 401", "auth", attempts=1),
    Row("F32", "status 402", "quota", attempts=1),
    Row("F32", "status 403", "auth", attempts=1),
    Row("F32", "says gemini-key", "auth", attempts=1),
    Row("F33", "says anthropic-credit", "quota", attempts=1),
    Row("F34", "says openai-context", "context_length", attempts=1, counts=False),
    Row("F34", "says anthropic-context", "context_length", attempts=1, counts=False),
    Row("F34", "says groq-context", "context_length", attempts=1, counts=False),
    Row("F34", "says vllm-context", "context_length", attempts=1, counts=False),
    Row("F34", "says together-context", "context_length", attempts=1, counts=False),
    Row("F34", "says gemini-context", "context_length", attempts=1, counts=False),
    Row("F34", "error openai-context after=0", "context_length", attempts=1, counts=False),
    Row("F36", "says openai-model", "model_not_found", attempts=1),
    Row("F36", "says openrouter-model", "model_not_found", attempts=1),
    Row("F38", "empty choices", "empty"),
    Row("F38", "empty null", "empty", counts=False),
    Row("F38", "empty blank", "empty", counts=False),
    Row("F38", "empty space", "empty", counts=False),
    Row("F38", "empty done", "empty", only="stream"),
    Row("F38", "empty body", "empty"),
    Row("F39", "status 204", "protocol"),
    Row("F39", "truncate", "protocol", only="unary"),
    Row("F39", "length +10", "protocol", only="unary"),
    Row("F40", "flood 500 size=1GB", "server_error"),
    Row("F41", "big-header 80KB", "protocol"),
    Row("F42", "as stream", "protocol", only="unary"),
    Row("F43", "claim gzip", "protocol"),
    Row("F43", "claim br", "protocol"),
    Row("F43", "encoding gzip claim=br", "protocol"),
    Row("F53", "redirect 301 to=other", "protocol"),
    Row("F53", "redirect 302", "protocol"),
    Row("F53", "redirect 307 to=other", "protocol"),
    Row("F63", "error prefill after=0", "invalid_request", attempts=1, counts=False),
]

# What only the caller's own request is to blame for goes to the caller from the first member asked.
TO_THE_CALLER = ("F63",)


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("row", [row for row in ROWS if row.fault not in TO_THE_CALLER], ids=str)
async def test_the_second_steps_in_and_nobody_notices(row: Row, streamed: bool) -> None:
    if row.only and (row.only == "stream") != streamed:
        pytest.skip(f"a fault of {row.only} answers only")
    async with theatre(row.script) as house:
        show = await house.play(stream=streamed)
        # The caller
        assert show.error is None
        assert (show.text, show.preambles) == (TEXT, 1)
        assert (show.backend, show.model) == ("second", "second-model")
        assert show.usage is not None
        assert (show.usage.output_tokens, show.usage.estimated) == (len(TOKENS), False)
        # The providers
        assert len(house.lead.requests) == row.attempts
        assert len(house.second.requests) == 1
        # Breaker, metrics, trail
        assert show.attempts == [("lead", row.kind)] * row.attempts + [("second", "success")]
        lead = house.stats()
        assert lead.by_kind == {row.kind: row.attempts}
        assert lead.circuit_breaker.failures == (row.attempts if row.counts else 0)
        assert (lead.failures, lead.refused) == ((row.attempts, 0) if row.counts else (0, row.attempts))
        assert lead.timeouts == (row.attempts if row.kind == "timeout" else 0)
        assert house.lb.stats().failed_over == 1
        await house.check_a_healthy_call_succeeds()
