"""All circuits open, though every backend answers some requests; over real sockets."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.e2e.theatre import theatre
from understudy.errors import NoBackendAvailable
from understudy.faults import TEXT

BROWN = "500; fine; 2x 500; fine"
OPENING = 5  # calls until the circuits of both are open


async def test_callers_get_answers_though_both_circuits_are_open(caplog: pytest.LogCaptureFixture) -> None:
    async with theatre(BROWN, BROWN, failover_retry_count=1) as house:
        for _ in range(OPENING):
            await house.play()
        assert [house.stats(name).circuit_breaker.state for name in ("lead", "second")] == ["open", "open"]
        with caplog.at_level(logging.INFO, logger="understudy"):
            show = await house.play()
        assert (show.error, show.text, show.preambles) == (None, TEXT, 1)
        assert show.skips == [("lead", "circuit_open"), ("second", "circuit_open")]
        assert "[circuit-breaker] lead: Asked all the same, nobody else is left (panic mode)" in [
            record.getMessage() for record in caplog.records
        ]
        assert house.lb.stats().panicked == 2
        assert "Panicked: 2" in str(house.lb.stats())


async def test_without_panic_mode_they_get_an_error_at_once() -> None:
    async with theatre(BROWN, BROWN, failover_retry_count=1, panic_mode=False) as house:
        for _ in range(OPENING):
            await house.play()
        show = await house.play()
        assert isinstance(show.error, NoBackendAvailable)
        assert show.attempts == []


BREAKING = "cut after=3; fine; 2x cut after=3; fine"
BREAKS: dict[str, Any] = {
    "failover_retry_count": 1,
    "max_attempts": 2,
}  # neither has a rest


async def test_callers_get_whole_answers_though_both_break_off_every_other_one() -> None:
    async with theatre(BREAKING, BREAKING, model="m", stream_recovery="same_model", **BREAKS) as house:
        for _ in range(OPENING + 1):
            await house.play()
        assert [house.stats(name).circuit_breaker.state for name in ("lead", "second")] == ["open", "open"]
        show = await house.play()
        assert (show.error, show.text) == (None, TEXT)
        assert house.lb.stats().panicked >= 1


async def test_who_never_ends_an_answer_is_not_asked_anyway_and_nobody_is_shown_a_fragment() -> None:
    """Nor if beginnings go well between failures."""
    never = "500; 20x cut after=3"
    async with theatre(never, never, model="m", failover_retry_count=1) as house:
        for _ in range(30):
            show = await house.play()
        asked = len(house.lead.requests) + len(house.second.requests)
        for _ in range(5):
            show = await house.play()
            assert isinstance(show.error, NoBackendAvailable)
            assert show.text == ""
        assert len(house.lead.requests) + len(house.second.requests) == asked
        assert house.lb.stats().panicked > 0, "until ten had broken off in a row"


async def test_a_pool_that_is_down_fails_at_once_as_ever() -> None:
    async with theatre("500", "500", failover_retry_count=1) as house:
        for _ in range(3):
            await house.play()
        asked = len(house.lead.requests) + len(house.second.requests)
        for _ in range(5):
            show = await house.play()
            assert "All backends are currently unhealthy" in str(show.error)
        assert len(house.lead.requests) + len(house.second.requests) == asked
        assert house.lb.stats().panicked == 0
