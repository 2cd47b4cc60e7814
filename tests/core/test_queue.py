"""Requests that wait for capacity: first come, first served."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from understudy.core.queue import Queue


def test_the_first_in_line_has_the_member_and_nobody_passes() -> None:
    queue = Queue()
    assert queue.join(1, [0], 10)
    assert queue.join(2, [0], 10)
    assert queue.first(0) == 1
    assert queue.may_take(1, 0)
    assert not queue.may_take(2, 0), "from behind"
    assert not queue.may_take(3, 0), "coming anew"
    assert queue.may_take(3, 1), "nobody waits for that one"


def test_leaving_tells_whose_turn_it_is() -> None:
    queue = Queue()
    queue.join(1, [0, 1], 10)
    queue.join(2, [1], 10)
    queue.join(3, [0, 1], 10)
    assert queue.leave(1) == [3, 2]
    assert (queue.first(0), queue.first(1)) == (3, 2)
    assert queue.leave(3) == [], "it was first in a line that is empty now, and second in the other"
    assert queue.leave(2) == []
    assert queue.first(0) is queue.first(1) is None


def test_who_leaves_from_the_middle_makes_it_nobodys_turn() -> None:
    queue = Queue()
    for request in (1, 2, 3):
        queue.join(request, [0], 10)
    assert queue.leave(2) == []
    assert queue.leave(1) == [3]


def test_joining_again_keeps_the_place_and_may_add_lines() -> None:
    queue = Queue()
    queue.join(1, [0], 10)
    queue.join(2, [0], 10)
    assert queue.join(1, [0, 1], 1)
    assert (queue.first(0), queue.first(1)) == (1, 1)
    assert len(queue) == 2


def test_one_too_many_is_turned_away_and_stands_nowhere() -> None:
    queue = Queue()
    queue.join(1, [0], 1)
    assert not queue.join(2, [1], 1)
    assert queue.first(1) is None
    assert queue.leave(2) == []
    assert not Queue().join(1, [0], 0)


def test_an_empty_one_is_false_and_its_repr_counts() -> None:
    queue = Queue()
    assert not queue
    queue.join(1, [0], 10)
    assert queue
    assert repr(queue) == "<Queue of 1>"


@given(st.lists(st.tuples(st.integers(1, 8), st.sets(st.integers(0, 3), min_size=1), st.booleans())))
def test_every_line_is_in_the_order_of_coming(steps: list[tuple[int, set[int], bool]]) -> None:
    """Against plain lists."""
    queue = Queue()
    lines: dict[int, list[int]] = {member: [] for member in range(4)}
    for request, members, leaves in steps:
        if leaves:
            firsts = {member: line[0] for member, line in lines.items() if line}
            for line in lines.values():
                if request in line:
                    line.remove(request)
            turns = {line[0] for member, line in lines.items() if line and firsts[member] == request}
            assert set(queue.leave(request)) == turns
        else:
            queue.join(request, members, 100)
            for member in members:
                if request not in lines[member]:
                    lines[member].append(request)
        for member, line in lines.items():
            assert queue.first(member) == (line[0] if line else None)
    assert len(queue) == len({request for line in lines.values() for request in line})
