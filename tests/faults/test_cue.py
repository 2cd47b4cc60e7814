"""The film strip: take, look at what was played, take again."""

from __future__ import annotations

from random import Random

from understudy.faults import openai_chat
from understudy.faults.cue import Prompter
from understudy.faults.formats import FORMATS
from understudy.faults.plan import Plan, in_every_format
from understudy.faults.script import Occasion, Script

PLANS = in_every_format(Plan())


def prompter(script: str, seed: int = 0) -> Prompter:
    return Prompter(Script.parse(script), PLANS, Random(seed))


def played(found: Prompter, count: int, *, now: float = 0.0, on: Occasion = "stream") -> list[str]:
    return [found.take(now, frozenset({on})).text for _ in range(count)]


def test_the_last_step_repeats() -> None:
    assert played(prompter("500; fine; reset"), 5) == ["500", "fine", "reset", "reset", "reset"]


def test_a_script_that_loops_begins_anew() -> None:
    assert played(prompter("500; fine; loop"), 5) == ["500", "fine", "500", "fine", "500"]
    assert played(prompter("500; loop"), 3) == ["500", "500", "500"]


def test_a_counted_step_is_over_after_so_many_attempts_also_the_last() -> None:
    assert played(prompter("2x 500; reset"), 4) == ["2x 500", "2x 500", "reset", "reset"]
    assert played(prompter("2x 500"), 4) == ["2x 500", "2x 500", "fine", "fine"]


def test_a_counted_step_loops() -> None:
    assert played(prompter("2x 500; fine; loop"), 5) == ["2x 500", "2x 500", "fine", "2x 500", "2x 500"]


def test_a_step_for_a_time_is_counted_from_its_first_attempt() -> None:
    found = prompter("fine; for 60s 503; reset")
    assert played(found, 1, now=0.0) == ["fine"]
    assert played(found, 2, now=100.0) == ["for 60s 503"] * 2
    assert played(found, 1, now=159.9) == ["for 60s 503"]
    assert played(found, 1, now=160.0) == ["reset"]


def test_down_for_a_time_and_then_healthy() -> None:
    found = prompter("down 60s")
    assert played(found, 1, now=5.0) == ["down 60s"]
    assert found.take(64.9, frozenset()).plans[openai_chat].reply is not None
    assert played(found, 2, now=65.0) == ["fine", "fine"]


def test_a_step_of_no_time_at_all_is_passed_by() -> None:
    assert played(prompter("for 0s 500; reset"), 1) == ["reset"]
    assert played(prompter("for 0s 500"), 2) == ["fine", "fine"]
    assert played(prompter("for 0s 500; loop"), 2) == ["fine", "fine"]


def test_a_step_with_count_and_time_is_over_when_either_is() -> None:
    assert played(prompter("2x for 60s 500; reset"), 3) == ["2x for 60s 500", "2x for 60s 500", "reset"]


def test_a_step_is_used_up_also_where_it_does_not_apply() -> None:
    found = prompter("when stream 401; 500")
    assert played(found, 1, on="unary") == ["fine"]
    assert played(found, 1, on="stream") == ["500"]


def test_every_occasion_has_to_be_there() -> None:
    found = prompter("when stream when usage 400")
    both: frozenset[Occasion] = frozenset({"stream", "usage"})
    assert found.take(0.0, frozenset({"stream"})).text == "fine"
    assert found.take(0.0, both).text == "when stream when usage 400"


def test_chance_is_kept_in_the_long_run_and_the_same_for_the_same_seed() -> None:
    first = played(prompter("30% 500", seed=7), 1000)
    assert 250 < sum(text != "fine" for text in first) < 350
    assert first == played(prompter("30% 500", seed=7), 1000)
    assert first != played(prompter("30% 500", seed=8), 1000)


def test_no_chance_and_every_chance() -> None:
    assert set(played(prompter("0% 500"), 50)) == {"fine"}
    assert set(played(prompter("100% 500"), 50)) == {"100% 500"}


def test_beyond_its_capacity_a_provider_answers_503() -> None:
    found = prompter("capacity 2 reset")
    found.active = 2
    assert played(found, 1) == ["capacity 2 reset"]
    found.active = 3
    cue = found.take(0.0, frozenset())
    assert cue.text == "over capacity"
    for plan in cue.plans.values():
        assert plan.reply is not None
        assert plan.reply.status == 503


def test_what_is_fine_is_the_providers_own_plan_itself() -> None:
    """So that the service can tell that it has written this answer before."""
    for script in ("fine", "0% 500"):
        plans = prompter(script).take(0.0, frozenset()).plans
        assert all(plans[spoken] is PLANS[spoken] for spoken in FORMATS)


def test_a_cue_has_its_plan_in_every_format() -> None:
    plans = prompter("500").take(0.0, frozenset()).plans
    bodies = [b"".join(plan.reply.body()) for plan in plans.values() if plan.reply]
    assert [plan.format for plan in plans.values()] == list(FORMATS)
    # OpenAI words its errors in the same way in both of its formats.
    assert (len(bodies), len(set(bodies))) == (len(FORMATS), len(FORMATS) - 1)


def test_repr_shows_where_the_script_is() -> None:
    found = prompter("500; fine")
    assert repr(found) == "<Prompter '500; fine', step 1, 0 active>"
    found.take(0.0, frozenset())
    found.active = 2
    assert repr(found) == "<Prompter '500; fine', step 2, 2 active>"
