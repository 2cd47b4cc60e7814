"""Facts are frozen, and say when and in which request."""

from __future__ import annotations

import pytest

from understudy.core import events
from understudy.core.events import BackendBenched, Event

FACTS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]


def test_a_fact_cannot_be_changed() -> None:
    benched = BackendBenched(1000.0, 7, "a", 2.5)
    with pytest.raises(AttributeError):
        benched.seconds = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("kind", FACTS)
def test_every_fact_has_a_sentence_its_instant_and_its_request(kind: type[Event]) -> None:
    assert kind.__doc__
    assert kind.__struct_fields__[:2] == ("at", "request")
    assert kind.__struct_config__.frozen
