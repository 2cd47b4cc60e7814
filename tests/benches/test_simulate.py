"""Both rows are of the same requests, and a broken answer is no figure."""

from __future__ import annotations

import pytest

from benches import simulate
from understudy.simulate.tally import End, Tally


def test_the_floor_hears_what_the_simulation_hears() -> None:
    floor, played = simulate.floor(40), simulate.with_understudy(40)
    assert len(floor) > 20
    assert list(floor.began) == list(played.began)
    assert list(floor.first) == list(played.first)
    assert set(floor.ends) == set(played.ends) == {End.WHOLE}


@pytest.mark.parametrize("end", [End.WRONG, End.FAILED, End.INTERRUPTED])
def test_an_answer_that_is_not_whole_fails_the_bench(end: End) -> None:
    def play(requests: int) -> Tally:
        tally = Tally()
        tally.add(1.0, 2.0, End.WHOLE, 1)
        tally.add(1.0, None, end, 0)
        return tally

    with pytest.raises(ValueError, match="1 of 2 answers did not come whole"):
        simulate.microseconds(play, 2)


def test_nobody_asking_is_no_figure() -> None:
    with pytest.raises(ValueError, match="0 of 0"):
        simulate.microseconds(lambda requests: Tally(), 1)


def test_every_row_can_be_measured() -> None:
    for play in simulate.ROWS.values():
        assert simulate.microseconds(play, 20) > 0
        assert simulate.calls(play, 20) > 10
