"""Scenario files: what they mean, and what is said about what they can't mean."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.simulate.profiles import pair
from understudy.errors import ConfigurationError, ProfileError
from understudy.simulate.figures import figures
from understudy.simulate.run import simulate
from understudy.simulate.scenario import Effects, Phase, Scenario
from understudy.simulate.scenario_file import drawn, duration, load_scenario, names, read_scenario


def read(text: str, source: str = "s.toml") -> Scenario:
    return read_scenario(text, source, name="s")


def problems(text: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        read(text)
    return [f"{each.message} | {each.hint}" for each in caught.value.problems]


# What they mean

FULL = """
name = "everything"
description = "All keys."
duration = "1h30m"

[traffic]
process = "closed"
rate = 3
daily = 0.5
burst_every = "10m"
burst_length = 20
burst_factor = 3
clients = 7
think = "2s"
session = 4
prompt_tokens = 100
answer_tokens = 200
stream = 0.25
leaves = 0.125
patience = "500ms"

[backends.default]
first_content = 0.5
tokens_per_second = 80
chunks = 4

[backends.1]
error_after = "20ms"
prefill = true
wording = 3
retry_after = "date"
rpm = 60
tpm = 9000
concurrent = 5
topples = 9
restart = "3s"
latency = 2
speed = 0.5
failures = { 500 = 0.25, cut = 0.125 }

[backends.fast]
first_content = 0.125

[[phases]]
name = "outage"
backends = [1, "fast"]
from = "10m"
for = "60s"
every = "20m"
cuts = true
failures = { connect = 1 }
latency = [1, 20]

[[phases]]
name = "shared"
backends = "all"
random = 3
for = 5
"""


def one(draw: object) -> float:
    return draw(Random(1))  # type: ignore[operator,no-any-return]


def test_every_key_is_read() -> None:
    scenario = read(FULL)
    assert (scenario.name, scenario.description, scenario.duration) == ("everything", "All keys.", 5400)
    traffic = scenario.traffic
    assert (traffic.process, traffic.rate, traffic.daily, traffic.clients) == ("closed", 3, 0.5, 7)
    assert (traffic.burst_every, traffic.burst_length, traffic.burst_factor) == (600, 20, 3)
    assert [one(traffic.think), one(traffic.session), one(traffic.patience)] == [2, 4, 0.5]
    assert [one(traffic.prompt_tokens), one(traffic.answer_tokens)] == [100, 200]
    assert (traffic.stream, traffic.leaves) == (0.25, 0.125)
    first = scenario.model("any", 1)
    assert first.effects == Effects(
        failures=(("500", 0.25), ("cut", 0.125)),
        rpm=60,
        tpm=9000,
        concurrent=(5, 5),
        topples=(9, 9),
        latency=(2, 2),
        speed=(0.5, 0.5),
    )
    assert (first.retry_after, one(first.restart)) == ("date", 3)
    assert (first.chunks, first.prefill, first.wording, one(first.error_after)) == (4, True, 3, 0.02)
    assert scenario.phases == (
        Phase(
            "outage",
            Effects(failures=(("connect", 1.0),), latency=(1, 20)),
            60,
            begin=600,
            every=1200,
            backends=(1, "fast"),
            cuts=True,
        ),
        Phase("shared", Effects(), 5, random=3),
    )


def test_a_backend_has_from_the_default_what_it_does_not_say() -> None:
    scenario = read(FULL)
    assert [one(scenario.model(*who).first_content) for who in (("x", 1), ("fast", 2), ("y", 3))] == [
        0.5,
        0.125,
        0.5,
    ]
    assert one(scenario.model("fast", 2).tokens_per_second) == 80


def test_an_empty_file_is_an_hour_of_calm() -> None:
    assert read("") == Scenario("s")


def test_json_means_the_same() -> None:
    text = json.dumps({"duration": "90s", "phases": [{"name": "p", "for": 5, "failures": {"500": 1}}]})
    scenario = read(text, "s.json")
    assert scenario.duration == 90
    assert scenario.phases == (Phase("p", Effects(failures=(("500", 1.0),)), 5),)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("1.5h", 5400), ("1d", 86_400), (7, 7)],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ({"median": 1.0, "p95": 1.0}, 0.999, 1.001),
        ({"mean": "30s"}, 0.0, 1000),
        ({"low": 1, "high": "2s"}, 1, 2),
        ({"p0": 1, "p50": 2, "p99.9": 3}, 1, 3),
    ],
)
def test_what_is_drawn_by_chance(table: object, low: float, high: float) -> None:
    draw, chance = drawn(table), Random(1)
    assert all(low <= draw(chance) <= high for _ in range(100))


# What they can't mean


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'duration = "soon"',
            '$.duration: it must be seconds, or a duration like "90s" or "1h30m", not "soon"',
        ),
        ("duration = true", "$.duration: it must be seconds"),
        ("duration = 0", "$.duration: it must be more than 0, not 0"),
        ("duration = -1", "$.duration: it must be seconds"),
        ("description = 1", "$.description: it must be a text, not 1"),
        ("durration = 1", "$.durration: unknown key | did you mean duration?"),
        ("zebra = 1", "$.zebra: unknown key | known: "),
        ("traffic = 1", "$.traffic: it must be a table, not 1"),
        ("[traffic]\nrate = 0", "$.traffic.rate: it must be more than 0"),
        ("[traffic]\nrate = true", "$.traffic.rate: it must be a number from 0 on, not true"),
        ("[traffic]\nstream = 1.5", "$.traffic.stream: it must be a share from 0 to 1, not 1.5"),
        ('[traffic]\nstream = "all"', "$.traffic.stream: it must be a share from 0 to 1"),
        ("[traffic]\nclients = 0", "$.traffic.clients: it must be a whole number from 1 on, not 0"),
        ("[traffic]\nclients = true", "$.traffic.clients: it must be a whole number"),
        ('[traffic]\nprocess = "constant"', "$.traffic.process: it must be poisson or closed"),
        ("[traffic]\nrates = 2", "$.traffic.rates: unknown key | did you mean rate?"),
        ('[traffic]\nthink = "x"', "$.traffic.think: it must be a number, a duration, or a table"),
        ("[traffic]\nthink = {median = 1}", "$.traffic.think: it must be a number, a duration, or a table"),
        ("[traffic]\nthink = {median = 2, p95 = 1}", "median must be above 0, and p95 no less than it"),
        ("[traffic]\nthink = {mean = 0}", "mean must be above 0"),
        ('[traffic]\nthink = {mean = "x"}', "it must be a number, a duration, or a table"),
        ("[traffic]\nthink = {low = 2, high = 1}", "high must be no less than low"),
        ("[traffic]\nthink = {p10 = 2, p50 = 1}", "percentiles must be from p0 to p100"),
        ("[traffic]\nthink = {p0 = 2, p101 = 3}", "percentiles must be from p0 to p100"),
        ("[traffic]\nthink = {p50 = 2}", "it must be a number, a duration, or a table"),
        ("backends = 1", "$.backends: it must be a table of tables, by name or position, not 1"),
        ("backends = {a = 1}", "$.backends: it must be a table of tables"),
        ("[backends.1]\nchunks = 1", '$.backends["1"].chunks: it must be a whole number from 2 on'),
        ("[backends.a]\nretry_after = 5", "$.backends.a.retry_after: it must be seconds or date, not 5"),
        ("[backends.a]\nprefill = 1", "$.backends.a.prefill: it must be true or false"),
        (
            "[backends.a]\nfrist_content = 1",
            "$.backends.a.frist_content: unknown key | did you mean first_content?",
        ),
        ("[backends.a]\nfailures = 1", "$.backends.a.failures: it must be a table of failures"),
        ("[backends.a]\nfailures = {conect = 1}", "conect is no failure (did you mean connect?)"),
        ("[backends.a]\nfailures = {200 = 1}", "200 is no failure (there are connect, "),
        ("[backends.a]\nfailures = {500 = 2}", "$.backends.a.failures: it must be a share from 0 to 1"),
        ("[backends.a]\nlatency = [1, 2, 3]", "it must be a number, or two"),
        ("phases = 1", "$.phases: it must be a list of tables, not 1"),
        ("phases = [1]", "$.phases: it must be a list of tables"),
        ("[[phases]]\nfor = 1", "$.phases[0].name: it is missing"),
        ('[[phases]]\nname = "p"', "$.phases[0].for: it is missing"),
        (
            '[[phases]]\nname = "p"\nfor = 1\nbackends = []',
            '$.phases[0].backends: it must be "all", or a list',
        ),
        (
            '[[phases]]\nname = "p"\nfor = 1\nbackends = [0]',
            '$.phases[0].backends: it must be "all", or a list',
        ),
        ('[[phases]]\nname = "p"\nfor = 1\nbackends = [true]', '$.phases[0].backends: it must be "all"'),
        ('[[phases]]\nname = "p"\nfor = 1\nevery = 5\nrandom = 2', "every and random exclude each other"),
        ('[[phases]]\nname = "p"\nfor = 1\nuntil = 2', "$.phases[0].until: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith("s.toml: $")
    assert problem in found


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(problems('duration = 0\n[traffic]\nrate = -1\n[[phases]]\nname = "x"')) == 3


def test_a_text_that_is_no_toml_or_json_is_told_with_its_place() -> None:
    with pytest.raises(ProfileError, match=r"s\.toml: not TOML: .*line 1"):
        read("duration = ?")
    with pytest.raises(ProfileError, match=r"s\.json: not JSON: .*line 1"):
        read("{", "s.json")
    with pytest.raises(ProfileError, match=r"s\.json: a scenario must be an object"):
        read("[]", "s.json")


# Where they are


def test_a_file_is_named_by_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('duration = "5m"\n')
    scenario = load_scenario(str(path))
    assert (scenario.name, scenario.duration) == ("mine", 300)


def test_a_name_that_does_not_ship_is_told_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match='no scenario named "broun-out" ships') as caught:
        load_scenario("broun-out")
    assert caught.value.hint == "did you mean brown-out?"
    with pytest.raises(ConfigurationError) as caught:
        load_scenario("x")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("there are black-hole, brown-out")


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_scenario("nowhere.toml")


def test_the_classic_outages_ship() -> None:
    assert names() == (
        "black-hole",
        "brown-out",
        "cold-start",
        "correlated",
        "flapping",
        "mid-stream",
        "noisy-day",
        "primary-down",
        "rate-limited",
        "slow-down",
        "slow-recovery",
    )


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_can_be_played_and_says_what_it_is(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.description.endswith(".")
    found = figures(simulate(pair(), scenario, requests=300))
    assert found["wrong"] == 0
    assert found["requests"] == pytest.approx(300, rel=0.3)
    assert found["whole"] > 0.7
