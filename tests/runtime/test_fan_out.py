"""Facts about telling observers."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from understudy.core.events import BreakerClosed, Event, ProbeSettled
from understudy.runtime.fan_out import FanOut


class Broken:
    def observe(self, event: Any) -> None:
        raise RuntimeError("observer bug")


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def observe(self, event: Any) -> None:
        self.heard.append(event)


def test_a_broken_observer_is_logged_once_and_the_others_hear_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Listener()
    events = [ProbeSettled(1.0, 1, "a"), ProbeSettled(2.0, 1, "a")]
    with caplog.at_level(logging.ERROR):
        FanOut([Broken(), listener]).tell(events)
    assert listener.heard == events
    assert [record.message.split(" failed")[0][:8] for record in caplog.records] == ["observer"]


class Choosy(Listener):
    hears: frozenset[type[Event]] = frozenset((BreakerClosed,))


def test_who_says_what_it_hears_is_told_no_others() -> None:
    choosy, listener = Choosy(), Listener()
    events = [ProbeSettled(1.0, 1, "a"), BreakerClosed(2.0, 1, "a"), ProbeSettled(3.0, 1, "a")]
    FanOut([choosy, listener]).tell(events)
    assert choosy.heard == [events[1]]
    assert listener.heard == events


def test_who_comes_later_hears_from_then_on_and_who_has_gone_no_more() -> None:
    first, second = Listener(), Listener()
    observers = [first]
    fan_out = FanOut(observers)
    event = ProbeSettled(1.0, 1, "a")
    fan_out.tell([event])
    observers[:] = [second]
    fan_out.tell([event])
    assert (first.heard, second.heard) == ([event], [event])
