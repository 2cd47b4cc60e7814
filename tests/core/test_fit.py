"""Can a member take this request? Never "no" where it is not certain."""

from __future__ import annotations

import pytest

from tests.core.stage import Asking, Stage, member, takes
from understudy.core.facts import Facts, Feature, Tokenizer
from understudy.core.fit import MARGIN, REASONS, Fit
from understudy.errors import SkipReason


def check(facts: Facts, asking: Asking, *others: Facts) -> SkipReason | None:
    """In a pool of a member with these facts, and others."""
    members = [member(str(index)) for index in range(len(others) + 1)]
    for one, known in zip(members, (facts, *others), strict=True):
        object.__setattr__(one.settings, "facts", known)
    return Fit(asking, members).check(facts)


NOTHING_BUT_TEXT = Facts(supports=takes())


class TestFeatures:
    """Rules 1 to 3."""

    @pytest.mark.parametrize("feature", REASONS)
    def test_what_is_not_known_is_not_held_against_a_member(self, feature: Feature) -> None:
        assert check(Facts(), Asking(frozenset({feature}), tokens=10**9)) is None

    @pytest.mark.parametrize(
        ("feature", "reason"),
        [
            ("tools", "no_tools"),
            ("images", "no_images"),
            ("files", "no_files"),
            ("audio", "no_audio"),
            ("json-schema", "no_json_schema"),
        ],
    )
    def test_a_feature_that_the_model_does_not_take_is_a_reason(self, feature: str, reason: str) -> None:
        asking = Asking(takes(feature))
        assert check(NOTHING_BUT_TEXT, asking) == reason
        assert check(Facts(supports=takes(feature)), asking) is None

    def test_of_several_the_first_in_order_is_told(self) -> None:
        assert check(NOTHING_BUT_TEXT, Asking(takes("json-schema", "files", "images"))) == "no_images"

    def test_reasoning_is_none(self) -> None:
        assert check(NOTHING_BUT_TEXT, Asking(takes("reasoning"))) is None

    def test_a_prefilled_answer_rules_out_only_while_another_goes_on_with_it(self) -> None:
        prefilled = Asking(takes("prefill"))
        assert check(NOTHING_BUT_TEXT, prefilled, NOTHING_BUT_TEXT) is None
        assert check(NOTHING_BUT_TEXT, prefilled, Facts(supports=takes("prefill"))) == "no_prefill"
        assert check(NOTHING_BUT_TEXT, prefilled, Facts()) == "no_prefill"

    def test_a_member_that_is_only_listed_goes_on_with_nothing(self) -> None:
        stage = Stage("ab", members={"a": {"supports": takes()}}, problems={"b": SkipReason.NO_KEY})
        fit = Fit(Asking(takes("prefill", "tools")), stage.pool.members)
        facts = stage.member("a").settings.facts
        assert fit.check(facts) == "no_tools"
        assert Fit(Asking(takes("prefill")), stage.pool.members).check(facts) is None


class TestWindow:
    """Rules 4 and 5."""

    def test_only_what_is_clearly_too_long_is(self) -> None:
        window = Facts(context_limit=850)
        assert check(window, Asking(tokens=1000)) is None
        assert check(window, Asking(tokens=1001)) is SkipReason.CONTEXT_LENGTH
        assert MARGIN == 0.15

    def test_the_answer_needs_its_place_too(self) -> None:
        window = Facts(context_limit=850)
        assert check(window, Asking(tokens=900, answer_limit=85)) is None
        assert check(window, Asking(tokens=900, answer_limit=86)) is SkipReason.CONTEXT_LENGTH

    def test_but_no_more_than_the_model_answers_at_most(self) -> None:
        window = Facts(context_limit=850, max_output=10)
        assert check(window, Asking(tokens=900, answer_limit=10**6)) is None

    def test_where_the_request_sets_no_limit_the_members_own_counts(self) -> None:
        window = Facts(context_limit=850, max_output=500)
        unlimited = Fit(Asking(tokens=900), [])
        assert unlimited.check(window, 85) is None
        assert unlimited.check(window, 86) is SkipReason.CONTEXT_LENGTH
        assert Fit(Asking(tokens=900, answer_limit=1), []).check(window, 86) is None

    def test_a_prompt_whose_bytes_fit_is_not_counted(self) -> None:
        asking = Asking(tokens=10**6, bytes=1000)
        assert check(Facts(context_limit=1000), asking) is None
        assert asking.looks == ["most"]

    def test_else_it_is_counted_as_the_members_model_does(self) -> None:
        asking = Asking(tokens=10, bytes=1001)
        assert check(Facts(context_limit=1000, tokenizer=Tokenizer.QWEN), asking) is None
        assert asking.looks == ["most", "tokens qwen"]

    def test_without_a_known_window_nothing_is_looked_at(self) -> None:
        asking = Asking(tokens=10**6)
        assert check(Facts(supports=takes("tools")), asking) is None
        assert asking.looks == []


def test_the_features_are_looked_at_once() -> None:
    class Counting(Asking):
        asked = 0

        def __getattribute__(self, name: str) -> object:
            if name == "features":
                type(self).asked += 1
            return super().__getattribute__(name)

    fit = Fit(Counting(takes("images")), [])
    assert [fit.check(NOTHING_BUT_TEXT) for _ in range(3)] == ["no_images"] * 3
    assert Counting.asked == 1


def test_repr_names_the_needs() -> None:
    assert repr(Fit(Asking(), [])).startswith("<Fit for Asking(")
