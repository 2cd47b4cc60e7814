"""Facts about whoever records traces: what it is told, and that its failures reach nobody."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from tests.runtime.house import House, refusal, speech
from understudy.core.events import Event, ProbeSettled, RequestEnded


class Notes:
    """A tracer and its traces, which notes what it is told. `breaks` are what it can't do."""

    def __init__(self, *breaks: str, keeps_text: bool = False) -> None:
        self.keeps_text = keeps_text
        self.breaks = breaks
        self.said: list[str] = []
        self.calls: list[Any] = []

    def _do(self, what: str, words: str) -> None:
        if what in self.breaks:
            raise RuntimeError("a tracer's bug")
        self.said.append(words)

    def begin(self, call: Any, pool: Any, clock: Any) -> Notes:
        self.calls.append(call)
        self._do("begin", f"begin in {pool.profile}")
        return self

    def attempt(self, attempt: Any, backend: Any, exchange: Any) -> Mapping[str, str]:
        self._do("attempt", f"attempt on {backend.name}")
        return {"traceparent": f"of-{backend.name}-{attempt.number}"}

    def failed(self, error: Exception) -> None:
        self._do("failed", type(error).__name__)

    def observe(self, event: Event) -> None:
        self._do("observe", type(event).__name__)


async def test_a_trace_is_told_of_all_in_its_order() -> None:
    notes = Notes()
    house = House(refusal(500), speech("To", " be"), tracer=notes)
    show = await house.play(5)
    assert show.text == "To be"
    told = [word for word in notes.said if word[0].islower() or word.startswith(("Attempt", "Request"))]
    assert told == [
        "begin in house",
        *("AttemptStarted", "attempt on a", "AttemptFailed"),
        *("AttemptStarted", "attempt on a", "AttemptFailed"),
        *("AttemptStarted", "attempt on b", "AttemptSucceeded"),
        "RequestEnded",
    ]
    assert repr(house.engine.tracing).startswith("<Tracing of 0 requests by")


async def test_what_it_gives_goes_out_with_the_attempt_and_no_other() -> None:
    house = House(refusal(500), speech("To"), tracer=Notes())
    await house.play(5)
    sent = [request.headers["traceparent"] for request in house.transport.requests]
    assert sent == ["of-a-1", "of-a-2", "of-b-1"]
    assert "traceparent" not in house.backends["a"].headers


async def test_it_hears_the_error_before_the_end() -> None:
    notes = Notes()
    house = House(refusal(400), tracer=notes)
    show = await house.play(5)
    assert show.error is not None
    assert notes.said[-2:] == [type(show.error).__name__, "RequestEnded"]


async def test_facts_of_what_is_not_recorded_are_nobodys() -> None:
    notes = Notes()
    house = House(speech("To", " be"), tracer=notes)
    tracing = house.engine.tracing
    assert tracing is not None
    tracing.tell([ProbeSettled(0.0, 7, "a")])
    assert notes.said == [], "of a request that nobody records"


@pytest.mark.parametrize("breaks", ["begin", "attempt", "observe", "failed"])
async def test_its_bug_reaches_no_request_and_is_logged_once(
    breaks: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = House([speech("To"), speech("be"), refusal(400)], tracer=Notes(breaks))
    with caplog.at_level(logging.ERROR, "understudy.observers"):
        assert (await house.play(1)).text == "To"
        assert (await house.play(1)).text == "be"
        assert type((await house.play(1)).error).__name__ == "RequestRejected"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("tracing by ")
    ended = [event for event in house.listener.heard if isinstance(event, RequestEnded)]
    assert len(ended) == 3, "the other observers hear all the same"


@pytest.mark.parametrize("wanted", [True, False])
async def test_text_is_kept_for_it_if_it_wants_it(wanted: bool) -> None:
    notes = Notes(keeps_text=wanted)
    house = House(speech("To", " be"), tracer=notes)
    call = house.engine.call(house.call().request, stream=True, keeps_text=False)
    async for _ in call.chunks():
        pass
    assert {index: said.text for index, said in call.said.items()} == ({0: "To be"} if wanted else {})
