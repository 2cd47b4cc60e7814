"""An answer that breaks off after it was shown, and who goes on with it."""

from __future__ import annotations

from typing import Any

from tests.core.stage import Stage, Text, member, takes
from understudy.core.recovery import Way, is_same_model, may_go_on, way_of

M = {"model": "m"}


def house(names: str = "ab", **options: Any) -> Stage:
    """All of one model."""
    members = options.pop("members", {})
    recovery = {"scope": "same_model", **options.pop("recovery", {})}
    every = {name: {**M, **members.get(name, {})} for name in names}
    return Stage(names, members=every, recovery=recovery, **{"delay": 1.0, **options})


class TestWhoMay:
    def test_a_model_is_the_same_by_its_name_or_by_its_identity(self) -> None:
        one = member(model="qwen3", identity="")
        assert is_same_model(one, member(model="qwen3"))
        assert not is_same_model(one, member(model="qwen2"))
        other = member(model="Qwen/Qwen3", identity="qwen-3")
        assert is_same_model(member(model="qwen3", identity="qwen-3"), other)
        assert not is_same_model(one, other)
        assert not is_same_model(member(model="a", identity="x"), member(model="b", identity="y"))

    def test_what_is_not_known_is_not_the_same(self) -> None:
        assert not is_same_model(member(), member())

    def test_a_member_is_its_own_equal(self) -> None:
        one = member()
        assert may_go_on(one, one, "same_model")
        assert not may_go_on(member(), one, "same_model")
        assert may_go_on(member(), one, "any")


class TestWay:
    def test_by_continuation_where_the_member_is_known_to_take_a_prefill(self) -> None:
        assert way_of(member(supports=takes("prefill")), Text()) is Way.CONTINUATION
        assert way_of(member(supports=takes("tools")), Text()) is Way.REPLAY
        assert way_of(member(), Text()) is Way.REPLAY

    def test_by_replay_where_what_was_shown_does_not_lend_itself_to_it(self) -> None:
        prefilling = member(supports=takes("prefill"))
        assert way_of(prefilling, Text(can_be_prefilled=False)) is Way.REPLAY

    def test_by_replay_where_a_prefill_was_refused_before(self) -> None:
        prefilling = member(supports=takes("prefill"))
        prefilling.health.refuses_prefill = True
        assert way_of(prefilling, Text()) is Way.REPLAY
