"""``understudy check``: everything that is wrong at once, and what comes back from each member."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.command_line import Run
from tests.cli.local_provider import Home, provider
from understudy.cli import process
from understudy.faults import FaultProvider


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``understudy check``: status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = process.run(["check", *arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def report(run: Run) -> Callable[..., Any]:
    """The report as a program reads it."""
    return lambda *arguments: json.loads(run(*arguments, "--json")[1])


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultProvider]:
    message = "Unsupported parameter: max_tokens is not supported, use max_completion_tokens"
    models = {
        "down": "status 500",
        "denied": "status 401",
        "newer": f'status 400 message="{message}"; fine; loop',
        "stubborn": f'status 400 message="{message}"',
        "late": "silence",
        "speechless": "empty blank",
    }
    with provider(models=models) as upstream:
        yield upstream


def test_a_profile_that_is_right_is_described_in_order(home: Home, run: Run) -> None:
    home.backend("one", "http://localhost:1/v1", "qwen3", **{"context-limit": 32000})
    home.backend("two", "http://localhost:2/v1")
    home.pool("pair", "one", "two", timeout_ms=5000, circuit_breaker_enabled=True)
    status, out, err = run("pair")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"pair: a load balancer, policy failover ({home.path}/profiles/pair.json)",
        "  1. one: openai, qwen3",
        "     at    http://localhost:1/v1",
        "     key   none is sent",
        "     facts context-limit 32000 (member profile)",
        "           supports tools, json-schema, reasoning; tokenizer qwen (model table)",
        "  2. two: openai, m",
        "     at    http://localhost:2/v1",
        "     key   none is sent",
        "Settings that differ from the default:",
        "  failover_retry_delay_ms  0        load-balancer profile",
        "  timeout_ms               5000     load-balancer profile",
        "  context-limit            32000    member profile one",
    ]


def test_a_backend_alone_and_an_example_can_be_checked_too(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.backend("one", "http://localhost:1/v1")
    assert run("one")[1].splitlines()[0] == f"one: a backend ({home.path}/profiles/one.json)"
    monkeypatch.setenv("GROQ_API_KEY", "gsk_very_secret")
    status, out, _ = run("groqgpt")
    assert status == 0
    assert out.startswith("groqgpt: a backend (an example that ships with Understudy)\n")
    assert "     key   environment variable GROQ_API_KEY\n" in out
    assert "very_secret" not in out


def test_every_mistake_is_found_in_the_profile_and_in_its_members(home: Home, run: Run) -> None:
    home.save(
        "bad",
        {
            "type": "loadbalancer",
            "policy": "failovr",
            "profiles": ["testlb489", "groqgp", "torn", 7],
            "ephemeralSettings": {"tiemout_ms": 3},
        },
    )
    home.save("torn", {"provider": "opnai", "model": ""})
    status, out, err = run("bad")
    assert status == 2
    assert out.splitlines() == [
        "bad: the profile can't be used",
        "  1. testlb489  (can't be used)",
        "  2. groqgp  (can't be used)",
        "  3. torn  (can't be used)",
    ]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 7
    for words in (
        "$.policy",
        "$.profiles[3]",
        "tiemout_ms",
        "testlb489 is itself",
        "groqgp",
        "opnai",
        "$.model",
    ):
        assert any(words in line for line in errors), words
    assert "hint: did you mean failover?" in err
    assert "hint: did you mean groqgpt?" in err


@pytest.mark.parametrize("text", ["{", '{"type": "loadbalancer", "policy": "x", "profiles": 5}'])
def test_a_profile_whose_members_cannot_be_read_has_none(text: str, home: Home, run: Run) -> None:
    home.save("bad", text)
    status, out, err = run("bad")
    assert (status, out) == (2, "bad: the profile can't be used\n")
    assert err.startswith("error: ")


def test_a_name_that_is_nobodys_gets_the_nearest(run: Run) -> None:
    status, _, err = run("testlb48")
    assert status == 2
    assert "hint: did you mean testlb489?" in err


def test_a_profile_given_as_a_path_finds_its_members_beside_it(home: Home, run: Run) -> None:
    home.backend("one", "http://localhost:1/v1")
    home.backend("two", "http://localhost:2/v1")
    home.pool("pair", "one", "two")
    elsewhere = home.path / "elsewhere"
    (home.path / "profiles").rename(elsewhere)
    assert run(str(elsewhere / "pair.json"))[0] == 0
    (elsewhere / "pair.json").write_text('{"type": "loadbalancer", "policy": "x", "profiles": ["one"]}')
    status, out, _ = run(str(elsewhere / "pair.json"))
    assert status == 2
    assert "1. one" in out


def test_a_key_that_is_missing_is_named_and_the_member_stays_in_the_chain(home: Home, run: Run) -> None:
    status, out, err = run("testlb489")
    assert status == 2
    assert "  1. synthetic: openai, hf:openai/gpt-oss-120b  (can't be used)\n" in out
    assert "     key   environment variable SYNTHETIC_API_KEY\n" in out
    assert "error: synthetic: environment variable SYNTHETIC_API_KEY is not set\n" in err
    assert err.count("error: ") == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auth-key-env": "MY_KEY"}, "environment variable MY_KEY"),
        ({"auth-keyfile": "/nowhere/key"}, "key file /nowhere/key"),
        ({"auth-key-name": "mine"}, "keyring entry mine"),
        ({"auth-key": "sk-very-secret-indeed"}, "in the profile itself"),
    ],
)
def test_where_a_key_comes_from_is_told_and_never_the_key(
    settings: dict[str, str], words: str, home: Home, run: Run
) -> None:
    home.backend("one", "http://localhost:1/v1", **settings)
    _, out, err = run("one")
    assert f"     key   {words}\n" in out
    assert "very-secret" not in out + err


def test_what_is_unwise_is_a_warning_and_no_mistake(home: Home, run: Run) -> None:
    home.backend("one", "http://localhost:1/v1", **{"auth-key": "sk-very-secret-indeed"})
    home.pool("pair", "one", "one")
    status, _, err = run("pair")
    assert status == 0
    assert err.count("warning: ") == err.count("\n") == 1


SEEM = "a, b seem to be one model: with the same model-identity each could go on with streams that another "


@pytest.mark.parametrize(
    ("models", "identities", "pool", "is_told"),
    [
        (("gpt-4o", "openai/gpt-4o"), (None, None), {}, True),
        (("gpt-4o", "openai/gpt-4o"), ("gpt-4o", None), {}, True),
        (("gpt-4o", "openai/gpt-4o"), ("gpt-4o", "gpt-4o"), {}, False),
        (("gpt-4o", "openai/gpt-4o"), ("mine", "theirs"), {}, False),
        (("gpt-4o", "gpt-4o"), (None, "gpt-4o"), {}, False),
        (("gpt-4o", "gpt-4o-mini"), (None, None), {}, False),
        (("gpt-4o", "openai/gpt-4o"), (None, None), {"stream_recovery": "any"}, False),
    ],
)
def test_members_of_one_model_that_could_go_on_with_each_others_streams(
    models: tuple[str, str],
    identities: tuple[str | None, str | None],
    pool: dict[str, str],
    is_told: bool,
    home: Home,
    report: Any,
) -> None:
    for name, model, identity in zip("ab", models, identities, strict=True):
        settings = {} if identity is None else {"model-identity": identity}
        home.backend(name, "http://localhost:1/v1", model=model, **settings)
    home.pool("pair", "a", "b", "a", "nobody", **pool)
    warnings = report("pair")["warnings"]
    assert [warning.startswith(SEEM) for warning in warnings] == [True] * is_told


def test_a_member_listed_twice_has_two_places_and_its_mistakes_once(home: Home, report: Any) -> None:
    home.save("torn", "{")
    home.backend("one", "http://localhost:1/v1", timeout_ms=5)
    home.pool("pool", "one", "torn", "one", "torn")
    found = report("pool")
    assert [member["name"] for member in found["members"]] == ["one", "torn", "one#2", "torn#2"]
    assert [len(member["problems"]) for member in found["members"]] == [0, 1, 0, 0]
    assert [setting["key"] for setting in found["settings"]].count("timeout_ms") == 1


def test_the_report_is_an_object_for_programs(home: Home, report: Any) -> None:
    home.backend("one", "http://localhost:1/v1", timeout_ms=7)
    home.pool("pair", "one", "nobody")
    found = report("pair")
    assert {key: found[key] for key in ("profile", "ok", "policy", "warnings", "problems")} == {
        "profile": "pair",
        "ok": False,
        "policy": "failover",
        "warnings": [],
        "problems": [],
    }
    assert found["members"][0] == {
        "name": "one",
        "provider": "openai",
        "model": "m",
        "base_url": "http://localhost:1/v1",
        "key": "none is sent",
        "facts": [],
        "problems": [],
        "live": None,
    }
    assert found["members"][1]["provider"] is found["members"][1]["key"] is None
    assert found["members"][1]["problems"][0]["message"].startswith('no profile named "nobody"')
    assert found["settings"] == [
        {"key": "failover_retry_delay_ms", "value": 0, "source": "load-balancer profile"},
        {"key": "timeout_ms", "value": 7, "source": "member profile one"},
    ]


def test_what_is_known_of_a_members_model_is_told_with_where_it_comes_from(home: Home, report: Any) -> None:
    home.backend(
        "one", "http://localhost:1/v1", "gpt-4o", **{"max-output": 100, "price": {"input": 1, "output": 2}}
    )
    home.backend("two", "http://localhost:1/v1", "gpt-4o-mini", supports=[])
    home.pool("pair", "one", "two")
    first, second = (
        {fact["key"]: (fact["value"], fact["source"]) for fact in member["facts"]}
        for member in report("pair")["members"]
    )
    assert first["context-limit"] == (128000, "model table")
    assert first["max-output"] == (100, "member profile")
    assert first["price"] == ({"input": 1, "output": 2}, "member profile")
    assert second["supports"] == ([], "member profile")


def test_a_price_and_a_model_that_takes_nothing_but_text_have_their_words(home: Home, run: Run) -> None:
    home.backend("one", "http://localhost:1/v1", "m", supports=[], price={"input": 1.5, "output": 2})
    assert "     facts supports nothing; price input 1.5, output 2 (member profile)" in run("one")[1]


def test_each_member_is_asked_live_by_itself(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("one", upstream.base_url, "qwen3")
    home.backend("two", upstream.base_url, "other")
    home.pool("pair", "one", "two", "one")
    upstream.clear_requests()
    status, out, err = run("pair", "--live")
    assert (status, err) == (0, "")
    assert sorted(request.model for request in upstream.requests) == ["other", "qwen3"]
    assert all(request.body["max_tokens"] == 16 for request in upstream.requests)
    lives = [line for line in out.splitlines() if line.startswith("     live")]
    assert lives[0].startswith("     live  qwen3 answered, first content after ")
    assert lives[0].endswith(" ms, 2 tokens in, 60 out")
    assert len(lives) == 2


def test_a_member_that_does_not_answer_is_asked_once_and_told_with_a_way_out(
    home: Home, run: Run, upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-indeed")
    home.backend("one", upstream.base_url, "denied", **{"auth-key-env": "MY_KEY"})
    home.backend("two", upstream.base_url, "down")
    home.backend("three", "http://127.0.0.1:1/v1")
    home.pool("pool", "one", "two", "three")
    upstream.clear_requests()
    status, out, err = run("pool", "--live")
    assert status == 1
    assert len(upstream.requests) == 2
    assert "     live  auth: 401 Unauthorized\n" in out
    assert err.splitlines()[:3] == [
        "error: one: auth: 401 Unauthorized",
        "hint: check environment variable MY_KEY",
        "error: two: server_error: 500 Internal Server Error",
    ]
    assert "base-url of three" in err
    assert "very-secret" not in out + err


def test_the_pools_settings_hold_for_each_member(home: Home, report: Any, upstream: FaultProvider) -> None:
    home.backend("one", upstream.base_url, "late")
    home.pool("pair", "one", "one", timeout_ms=50)
    live = report("pair", "--live")["members"][0]["live"]
    assert live == {
        "ok": False,
        "model": None,
        "first_content_ms": None,
        "input_tokens": 0,
        "output_tokens": 0,
        "failure": "timeout: Request exceeded 50ms",
        "hint": "if one is only slow, raise timeout_ms",
    }


def test_a_deadline_without_any_failure_is_told_as_such(
    home: Home, report: Any, upstream: FaultProvider
) -> None:
    home.backend("one", upstream.base_url, "late")
    home.pool("pair", "one", "one", request_timeout_ms=50)
    live = report("pair", "--live")["members"][0]["live"]
    assert live["failure"].startswith("No answer began within 50 ms")


def test_a_model_that_knows_only_the_newer_field_is_asked_again(
    home: Home, report: Any, upstream: FaultProvider
) -> None:
    home.backend("one", upstream.base_url, "newer")
    home.backend("two", upstream.base_url, "stubborn")
    home.pool("pair", "one", "two")
    upstream.clear_requests()
    found = report("pair", "--live")
    assert [member["live"]["ok"] for member in found["members"]] == [True, False]
    bodies = [request.body for request in upstream.requests if request.model == "newer"]
    assert ["max_tokens" in body for body in bodies] == [True, False]
    assert bodies[1]["max_completion_tokens"] == 16


def test_an_answer_without_content_is_told_as_such(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("one", upstream.base_url, "speechless")
    status, out, _ = run("one", "--live")
    assert status == 0
    assert "     live  speechless answered without content\n" in out


def test_a_wrong_configuration_weighs_more_than_an_answer(
    home: Home, report: Any, run: Run, upstream: FaultProvider
) -> None:
    home.backend("one", upstream.base_url)
    home.pool("pair", "one", "nobody")
    status, out, _ = run("pair", "--live", "--json")
    assert status == 2
    assert [member["live"] is None for member in json.loads(out)["members"]] == [False, True]


def test_a_single_backend_is_asked_live_too(home: Home, report: Any, upstream: FaultProvider) -> None:
    home.backend("one", upstream.base_url, "qwen3")
    found = report("one", "--live")
    assert (found["ok"], found["policy"]) == (True, None)
    assert found["members"][0]["live"]["model"] == "qwen3"
    assert found["members"][0]["live"]["first_content_ms"] > 0
