"""Races lost in a row, without a word."""

from __future__ import annotations

import pytest

from understudy.core.silence import FAR, RACES, Silence

NOW = 1000.0
LASTS = 30.0


def lost(races: int = RACES, now: float = NOW) -> Silence:
    silence = Silence()
    for _ in range(races):
        silence.lost_race(now, 0.5, LASTS)
    return silence


def test_a_few_lost_races_hold_nobody_back() -> None:
    silence = lost(RACES - 1)
    assert not silence.holds(NOW)
    assert not silence.tried(NOW, LASTS)
    assert repr(silence) == "<Silence, 2 races lost>"


def test_so_many_in_a_row_do_for_their_time_and_are_told_once() -> None:
    silence = lost(RACES - 1)
    assert silence.lost_race(NOW, 0.5, LASTS)
    assert silence.holds(NOW + LASTS - 0.1)
    assert not silence.holds(NOW + LASTS)
    assert not silence.lost_race(NOW + 1, 0.5, LASTS), "it is asked last already"
    assert silence.holds(NOW + LASTS)


def test_whoever_is_asked_last_is_not_on_trial() -> None:
    silence = lost()
    assert not silence.tried(NOW + 1, LASTS)
    assert silence.until == NOW + LASTS


def test_a_trial_is_one_at_a_time() -> None:
    silence = lost()
    assert silence.tried(NOW + LASTS, LASTS)
    assert silence.holds(NOW + 2 * LASTS - 0.1)
    assert not silence.tried(NOW + LASTS, LASTS)


@pytest.mark.parametrize(("seconds", "left"), [(FAR * 0.5, 0), (FAR * 0.5 + 0.01, RACES)])
def test_a_word_in_time_ends_it(seconds: float, left: int) -> None:
    silence = lost()
    silence.spoke(seconds)
    assert silence.lost == left
    assert silence.holds(NOW) == bool(left)


def test_the_last_winner_says_what_is_in_time() -> None:
    silence = lost()
    silence.lost_race(NOW, 0.1, LASTS)
    silence.spoke(FAR * 0.2)
    assert silence.lost == RACES + 1


def test_a_start_is_what_it_takes_to_be_in_time_or_less() -> None:
    assert Silence().start(3.0) == Silence().start(None) == 0.0
    assert lost(1).start(None) == FAR * 0.5
    assert lost(1).start(0.7) == 0.7
    assert lost(1).start(60.0) == FAR * 0.5
