"""A share of the recent requests, and a few besides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from understudy.core.budget import SPAN, Budget, Recent

STEPS = st.lists(
    st.tuples(st.sampled_from(["request", "spend", "wait"]), st.sampled_from([0.0, 0.3, 1.0, 4.5, 11.0])),
    max_size=60,
)


@given(steps=STEPS, share=st.sampled_from([0.0, 0.1, 0.5, 3.0]), floor=st.integers(0, 4))
def test_it_is_the_plain_count_of_the_last_seconds(
    steps: list[tuple[str, float]], share: float, floor: int
) -> None:
    recent = Recent()
    budget, now = Budget(recent, floor), 1000.2
    events: list[tuple[str, float]] = []
    for what, seconds in steps:
        now += seconds
        if what != "wait":
            events.append((what, now // 1.0))
            (recent.add if what == "request" else budget.spend)(now)
        requests = sum(kind == "request" and second + SPAN > now for kind, second in events)
        extras = sum(kind == "spend" and second + SPAN > now for kind, second in events)
        assert budget.allows(now, share) == (share > 0 and extras + 1 <= floor + share * requests)
        assert budget.room(now, share) == (max(0.0, floor + share * requests - extras) if share > 0 else 0.0)


@given(seconds=st.lists(st.sampled_from([0.0, 0.2, 1.0, 7.0]), min_size=1, max_size=200))
def test_what_is_kept_is_bounded(seconds: list[float]) -> None:
    recent, now = Recent(), 0.0
    for passed in seconds:
        now += passed
        recent.add(now)
        assert len(recent._seconds) <= SPAN + 1


def test_it_eases_when_the_oldest_extra_is_forgotten() -> None:
    budget = Budget(Recent(), 1)
    assert budget.eases_at(5.0) == 5.0
    budget.spend(5.4)
    budget.spend(9.0)
    assert not budget.allows(9.0, 0.1)
    assert budget.eases_at(9.0) == 15.0
    assert not budget.allows(15.0, 0.1)
    assert budget.eases_at(15.0) == 19.0
    assert budget.allows(19.0, 0.1)


def test_repr_shows_the_floor() -> None:
    assert repr(Budget(Recent(), 3)) == "<Budget, 3 at least>"
