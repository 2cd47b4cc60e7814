"""Who asks, when, and whether they notice a wrong answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.simulate.profiles import pair
from understudy.simulate import openai_words
from understudy.simulate.cast import Cast
from understudy.simulate.distribution import constant
from understudy.simulate.run import Run, simulate
from understudy.simulate.scenario import DAY, Effects, Model, Phase, Scenario, Traffic
from understudy.simulate.tally import End
from understudy.simulate.words import Words

CALM = Scenario("calm", duration=300, traffic=Traffic(rate=0.5), default=Model(chunks=4))


def changed(said: str) -> str:
    return said[:-1] + "!" if len(said) > 4 else said


def lying() -> Cast:
    """Backends that change the last letter of every piece but the first."""
    words = SimpleNamespace(
        **{name: getattr(openai_words, name) for name in ("read", "begin", "error", "broken")},
        more=lambda spoken, text: openai_words.more(spoken, changed(text)),
        end=lambda spoken, text: openai_words.end(spoken, changed(text)),
        whole=lambda spoken, text: openai_words.whole(spoken, changed(text)),
    )
    honest = pair()
    parts = tuple(replace(part, words=cast(Words, words)) for part in honest.parts)
    return Cast(honest.pool, parts)


def ends(run: Run) -> Counter[End]:
    return Counter(map(End, run.tally.ends))


@pytest.mark.parametrize("stream", [0.0, 1.0])
def test_an_answer_that_is_another_is_wrong(stream: float) -> None:
    run = simulate(lying(), replace(CALM, traffic=replace(CALM.traffic, stream=stream)))
    assert ends(run)[End.WRONG] > 0.9 * len(run.tally)


def test_a_beginning_that_is_another_is_wrong_too() -> None:
    broken = Phase("cuts", Effects(failures=(("cut", 1.0),)), 400)
    run = simulate(lying(), replace(CALM, phases=(broken,)), settings=_without_recovery())
    assert ends(run)[End.WRONG] > 0.4 * len(run.tally)


def _without_recovery() -> dict[str, Any]:
    """What breaks off is to stay so, in a product that could go on."""
    from understudy.core.settings import REGISTRY

    keys = {setting.key for setting in REGISTRY}
    return {"stream_recovery": "off"} if "stream_recovery" in keys else {}


def test_arrivals_follow_the_rate_of_the_hour() -> None:
    run = simulate(pair(), Scenario("day", duration=DAY, traffic=Traffic(rate=0.02, daily=1.0)))
    hours = Counter(int((began - run.began) // 3600) for began in run.tally.began)
    noon, midnight = (
        sum(hours[hour] for hour in range(9, 15)),
        sum(hours[hour] for hour in (21, 22, 23, 0, 1, 2)),
    )
    assert noon > 5 * midnight
    assert len(run.tally) == pytest.approx(0.02 * DAY, rel=0.1)


def test_bursts_come_when_they_are_due() -> None:
    traffic = Traffic(rate=0.2, burst_every=100, burst_length=10, burst_factor=20)
    run = simulate(pair(), Scenario("bursts", duration=1000, traffic=traffic))
    bursting = sum((began - run.began) % 100 < 10 for began in run.tally.began)
    assert bursting == pytest.approx(10 * 10 * 4, rel=0.15)
    assert len(run.tally) - bursting == pytest.approx(10 * 90 * 0.2, rel=0.25)


def test_when_callers_come_does_not_depend_on_what_they_ask() -> None:
    one = simulate(pair(), CALM)
    other = simulate(
        pair(), replace(CALM, traffic=replace(CALM.traffic, stream=0.5, answer_tokens=constant(9)))
    )
    assert sorted(one.tally.began) == sorted(other.tally.began)
