from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from understudy.faults.act import (
    DONE,
    END,
    FINISH,
    HEAD,
    PREAMBLE,
    REQUEST,
    USAGE,
    Act,
    Cut,
    End,
    Head,
    Part,
    Pause,
    ending,
    inserting,
    until,
)


def timeline() -> Iterator[Act]:
    yield Head()
    yield Part(b"role", PREAMBLE)
    yield from (Part(b"%d" % mark, mark) for mark in (1, 2, 3))
    yield Part(b"finish", FINISH)
    yield End()


def endless() -> Iterator[Act]:
    return (Part(b"", mark) for mark in count(1))


def marks(acts: Iterator[Act]) -> list[int]:
    return [act.mark for act in acts]


def test_the_places_of_an_answer_come_in_this_order() -> None:
    places = [REQUEST, HEAD, PREAMBLE, 1, 10**9, FINISH, USAGE, DONE, END]
    assert places == sorted(set(places))
    assert marks(timeline()) == [HEAD, PREAMBLE, 1, 2, 3, FINISH, END]


def test_until_takes_everything_up_to_a_place_and_nothing_beyond() -> None:
    assert marks(until(timeline(), REQUEST)) == []
    assert marks(until(timeline(), 2)) == [HEAD, PREAMBLE, 1, 2]
    assert marks(until(timeline(), 99)) == [HEAD, PREAMBLE, 1, 2, 3]
    assert marks(until(timeline(), END)) == marks(timeline())


def test_inserting_puts_acts_behind_a_place_and_leaves_the_rest() -> None:
    pause = Pause(1.0, 2)
    acts = list(inserting(2, pause)(timeline()))
    assert acts.index(pause) == 4
    assert [act for act in acts if act is not pause] == list(timeline())


def test_inserting_before_the_head_puts_acts_first() -> None:
    pause = Pause(1.0, REQUEST)
    assert list(inserting(REQUEST, pause)(timeline())) == [pause, *timeline()]


def test_ending_stops_behind_a_place() -> None:
    assert list(ending(1, (Cut(),))(timeline()))[2:] == [Part(b"1", 1), Cut()]


def test_an_endless_timeline_can_be_changed_and_ended() -> None:
    """Nothing is produced before it is needed."""
    acts = ending(3, (End(),))(inserting(2, Pause(0.0, 2))(endless()))
    assert marks(acts) == [1, 2, 2, 3, END]
