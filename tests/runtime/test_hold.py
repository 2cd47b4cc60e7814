"""Chunks that have arrived and are not handed on yet."""

from __future__ import annotations

from understudy.core.settings import RecoverySettings
from understudy.runtime.hold import Hold
from understudy.wire.chat import ChatChunk, ToolCallDelta

ROLE = ChatChunk(id="one")
TEXT = ChatChunk(text="Hello")
CALL = ChatChunk(tool_calls=(ToolCallDelta(0, "call_1", "f"),))
MORE = ChatChunk(tool_calls=(ToolCallDelta(0, arguments="{}"),))
STOP = ChatChunk(finish_reason="tool_calls")


def hold(seconds: float = 0.0, *, calls: bool = False) -> Hold:
    return Hold(RecoverySettings(hold=seconds, hold_tool_calls=calls))


def test_nothing_is_held_unless_it_is_wanted() -> None:
    assert Hold.wanted(RecoverySettings()) is None
    assert Hold.wanted(RecoverySettings(hold=1.0)) is not None
    assert Hold.wanted(RecoverySettings(hold_tool_calls=True)) is not None


class TestFirstPart:
    def test_it_goes_out_when_its_time_has_come(self) -> None:
        held = hold(2.0)
        assert held.take([ROLE, TEXT], 10.0) == []
        assert (held.until, held.is_holding, repr(held)) == (12.0, True, "<Hold of 2 chunks>")
        assert held.ripe(11.9) == []
        assert held.ripe(12.0) == [ROLE, TEXT]
        assert (held.until, held.is_holding) == (None, False)
        assert held.take([TEXT], 12.1) == [TEXT], "it was the first part"

    def test_what_arrives_later_goes_out_with_it(self) -> None:
        held = hold(2.0)
        held.take([TEXT], 10.0)
        assert held.take([STOP], 12.5) == [TEXT, STOP]

    def test_a_whole_answer_need_not_be_held(self) -> None:
        held = hold(2.0)
        held.take([TEXT], 10.0)
        assert held.rest() == [TEXT]
        assert held.until is None

    def test_what_broke_off_is_dropped_and_the_next_part_is_held_anew(self) -> None:
        held = hold(2.0)
        held.take([TEXT], 10.0)
        held.drop()
        assert held.rest() == []
        held = hold(2.0)
        held.take([TEXT], 10.0)
        held.drop()
        assert held.take([TEXT], 20.0) == []
        assert held.until == 22.0


class TestToolCalls:
    def test_from_the_first_one_on_all_is_held(self) -> None:
        held = hold(calls=True)
        assert held.take([ROLE, TEXT], 1.0) == [ROLE, TEXT]
        assert held.take([TEXT, CALL], 1.0) == [TEXT]
        assert held.take([MORE], 99.0) == []
        assert held.take([TEXT, STOP], 99.0) == []
        assert held.rest() == [CALL, MORE, TEXT, STOP]

    def test_a_preamble_waits_with_it(self) -> None:
        held = hold(calls=True)
        assert held.take([ROLE, CALL], 1.0) == []
        assert held.rest() == [ROLE, CALL]

    def test_an_answer_without_content_is_held_by_nothing(self) -> None:
        assert hold(calls=True).take([ROLE, STOP], 1.0) == [ROLE, STOP]

    def test_a_dropped_one_is_no_reason_to_hold_what_comes_after_it(self) -> None:
        held = hold(calls=True)
        held.take([TEXT, CALL], 1.0)
        held.drop()
        assert held.take([TEXT], 2.0) == [TEXT]

    def test_what_the_same_bytes_said_is_not_torn_apart(self) -> None:
        whole = ChatChunk(text="Hello", raw=b"data: both\n\n")
        empty = ChatChunk(tool_calls=CALL.tool_calls, raw=b"")
        assert hold(calls=True).take([whole, empty], 1.0) == []
        assert hold(calls=True).take([TEXT, whole, empty], 1.0) == [TEXT]

    def test_without_that_wish_they_go_out_as_they_come(self) -> None:
        held = hold(1.0)
        held.take([TEXT], 0.0)
        assert held.take([CALL], 1.0) == [TEXT, CALL]
