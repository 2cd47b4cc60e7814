"""Faults before the first content: invisible, whichever way a backend fails.

Each row is played to a stream and to a unary call, and looked at from three sides. The caller gets the
whole canonical answer from the second member, with one preamble and that member's model and usage. The
lead saw exactly the attempts that the trail names. Breaker and metrics count what the kind says.
"""

from __future__ import annotations

import pytest

from tests.e2e.fault_rows import BEFORE_CONTENT, TO_THE_CALLER, BeforeContent
from tests.e2e.theatre import theatre
from understudy.faults import TEXT, TOKENS


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("row", [row for row in BEFORE_CONTENT if row.fault not in TO_THE_CALLER], ids=str)
async def test_the_second_steps_in_and_nobody_notices(row: BeforeContent, streamed: bool) -> None:
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
