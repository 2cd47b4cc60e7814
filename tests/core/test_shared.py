"""What is shared of a member: how two tellings become one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.shared import Record, Verdict, acted, joined, moved, ruling

instants = st.sampled_from([0.0, 5.0, 10.0, 20.0])
verdicts = st.builds(
    Verdict,
    st.integers(0, 3),
    st.booleans(),
    instants,
    instants,
    st.sampled_from(["", "closed", "open"]),
    st.booleans(),
)
records = st.builds(Record, verdicts, st.integers(0, 2), instants, st.sampled_from(["", "a", "b"]), instants)

OPEN = Verdict(3, True, 10.0, 40.0)


class TestVerdicts:
    """Rule 1."""

    def test_the_higher_epoch_holds_whatever_the_other_says(self) -> None:
        closed = Verdict(4)
        assert ruling(OPEN, closed) == closed
        assert ruling(closed, OPEN) == closed

    def test_of_one_epoch_open_holds_against_closed(self) -> None:
        assert ruling(Verdict(3), OPEN) == OPEN
        assert ruling(OPEN, Verdict(3)) == OPEN

    def test_of_one_epoch_the_later_deadline_holds_with_its_beginning(self) -> None:
        later = Verdict(3, True, 20.0, 50.0)
        assert ruling(later, OPEN) == ruling(OPEN, later) == later

    def test_of_one_epoch_a_hand_on_the_member_is_not_lost(self) -> None:
        assert ruling(Verdict(3, forced="open"), Verdict(3, drained=True)) == Verdict(
            3, forced="open", drained=True
        )


class TestBenches:
    """Rule 2."""

    def test_the_later_instant_holds(self) -> None:
        assert joined(Record(benched_until=20.0), Record(benched_until=10.0)).benched_until == 20.0

    def test_a_bench_from_before_a_reset_is_forgotten(self) -> None:
        assert joined(Record(benched_until=20.0), Record(resets=1, benched_until=10.0)).benched_until == 10.0


class TestLeases:
    def test_the_later_one_holds(self) -> None:
        later = Record(holder="b", held_until=20.0)
        assert joined(Record(holder="a", held_until=10.0), later).holder == "b"

    def test_it_ends_with_its_epoch(self) -> None:
        assert joined(Record(holder="a", held_until=10.0), Record(Verdict(1))).holder == ""


class TestActions:
    """Rule 3."""

    before = Record(OPEN, 2, 99.0, "a", 50.0)

    @pytest.mark.parametrize("action", ["drain", "enable", "open", "close", "reset"])
    def test_each_raises_the_epoch_and_ends_the_lease(self, action: str) -> None:
        after = acted(self.before, action, 7.0)
        assert after.verdict.epoch == 4
        assert after.holder == ""

    def test_drain_and_enable_leave_the_circuit_alone(self) -> None:
        drained = acted(self.before, "drain", 7.0)
        assert drained.verdict == OPEN._replace(epoch=4, drained=True)
        assert acted(drained, "enable", 7.0).verdict == OPEN._replace(epoch=5)
        assert drained.benched_until == 99.0

    def test_open_and_close_force_the_circuit(self) -> None:
        assert acted(self.before, "open", 7.0).verdict == Verdict(4, True, 7.0, 7.0, "open")
        assert acted(self.before, "close", 7.0).verdict == Verdict(4, forced="closed")
        assert acted(self.before, "close", 7.0).benched_until == 99.0

    def test_reset_leaves_nothing_but_a_drain(self) -> None:
        forced = acted(acted(self.before, "drain", 7.0), "open", 7.0)
        assert acted(forced, "reset", 7.0) == Record(Verdict(6, drained=True), 3)


class TestMeeting:
    """Rule 4."""

    @given(records, records)
    def test_the_order_does_not_matter(self, one: Record, other: Record) -> None:
        assert joined(one, other) == joined(other, one)

    @given(records, records, records)
    def test_nor_does_who_meets_first(self, one: Record, two: Record, three: Record) -> None:
        assert joined(joined(one, two), three) == joined(one, joined(two, three))

    @given(records, records)
    def test_nor_how_often(self, one: Record, other: Record) -> None:
        both = joined(one, other)
        assert joined(both, one) == joined(both, both) == both


class TestInstants:
    """Rule 5."""

    @given(records)
    def test_they_come_back_by_the_clock_they_left(self, record: Record) -> None:
        assert moved(moved(record, 1000.0), -1000.0) == record

    def test_one_that_is_not_there_stays_so(self) -> None:
        assert moved(Record(), 1000.0) == Record()

    def test_all_of_them_move(self) -> None:
        record = Record(OPEN, 0, 5.0, "a", 6.0)
        assert moved(record, 100.0) == Record(Verdict(3, True, 110.0, 140.0), 0, 105.0, "a", 106.0)
