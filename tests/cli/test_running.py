"""``understudy stats`` and ``understudy why`` against a gateway on a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.command_line import Run
from tests.e2e.servers import free_port
from tests.gateway.house import KEY
from tests.tui.running import ADMIN_KEY, Running, running
from understudy.core.stats import Stats

KEYS = f"alice={KEY},bob=key-of-bob-0815"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNDERSTUDY_KEY", "UNDERSTUDY_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gateway() -> Iterator[Running]:
    """One that has answered two requests, of which the first failed over."""
    with running("500; fine", failover_retry_count=1) as made:
        made.ask("first")
        made.ask("second")
        yield made


def own_stats(gateway: Running) -> Stats:
    return gateway.house.gateway.profiles.by_name["evening"].balancer.stats()


# Statistics


def test_the_table_is_the_sessions(run: Run, gateway: Running) -> None:
    status, out, err = run("--plain", "stats", "evening", "--url", gateway.url)
    assert (status, err) == (0, "")
    assert out == f"{own_stats(gateway)}\n"
    assert "Success Rate: 50.0%" in out


def test_without_a_name_every_profile_is_shown(run: Run, gateway: Running) -> None:
    profiles = gateway.house.gateway.profiles.by_name
    profiles["matinee"] = profiles["evening"]
    status, out, _ = run("stats", "--url", f"{gateway.url}/v1/")
    table = f"{own_stats(gateway)}\n"
    assert (status, out) == (0, f"{table}\n{table}")


def test_as_json_it_is_what_the_gateway_answers(run: Run, gateway: Running) -> None:
    status, out, _ = run("stats", "evening", "--url", gateway.url, "--json")
    assert status == 0
    assert json.loads(out) == json.loads(json.dumps(own_stats(gateway).to_dict()))


def test_an_unknown_profile_is_told_the_nearest(run: Run, gateway: Running) -> None:
    status, out, err = run("stats", "evenin/g", "--url", gateway.url)
    assert (status, out) == (1, "")
    assert err == "error: no profile or alias is named 'evenin/g'; did you mean evening?\n"


# Requests


def test_why_tells_the_decision_and_its_steps(run: Run, gateway: Running) -> None:
    status, out, err = run("why", "first", "--url", gateway.url)
    assert (status, err) == (0, "")
    decision, *steps = out.splitlines()
    assert decision.startswith("lead: server_error (500) → second answered in ")
    assert [step.partition(",")[0] for step in steps] == ["1. lead", "2. second"]


def test_what_needed_no_decision_is_one_step(run: Run, gateway: Running) -> None:
    _, out, _ = run("why", "second", "--url", gateway.url)
    (step,) = out.splitlines()
    assert step.startswith("1. lead, attempt 1: answered in ")


def test_without_an_id_the_newest_requests_are_listed(run: Run, gateway: Running) -> None:
    status, out, _ = run("why", "--url", gateway.url)
    assert status == 0
    second, first = out.splitlines()
    assert second.startswith("second  answered   lead answered in ")
    assert first.startswith("first   answered   lead: server_error (500) → second answered in ")


def test_of_a_quiet_gateway_there_is_nothing_to_tell(run: Run) -> None:
    with running() as made:
        assert run("why", "--url", made.url)[:2] == (0, "nothing has been asked yet\n")


def test_why_as_json(run: Run, gateway: Running) -> None:
    _, out, _ = run("why", "first", "--url", gateway.url, "--json")
    assert [step["backend"] for step in json.loads(out)["trail"]] == ["lead", "second"]


def test_an_unknown_id_is_one_line(run: Run, gateway: Running) -> None:
    status, out, err = run("why", "third?", "--url", gateway.url)
    assert (status, out) == (1, "")
    assert err == "error: no recent request of yours has this id\n"


# Keys


def test_a_client_asks_with_its_key_and_sees_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(keys=KEYS) as made:
        made.ask("of-alice")
        made.ask("of-bob", key="key-of-bob-0815")
        assert run("why", "of-alice", "--url", made.url, "--key", KEY)[0] == 0
        assert run("why", "of-bob", "--url", made.url, "--key", KEY)[0] == 1
        monkeypatch.setenv("UNDERSTUDY_ADMIN_KEY", ADMIN_KEY)
        assert run("why", "of-bob", "--url", made.url)[0] == 0
        monkeypatch.setenv("UNDERSTUDY_KEY", KEY)
        assert run("why", "of-bob", "--url", made.url)[0] == 1, "one's own key comes first"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a key is needed: Authorization: Bearer KEY, or x-api-key: KEY"),
        (("--key", "sk-of-nobody"), "this key is not known here"),
    ],
)
def test_a_missing_or_wrong_key_is_one_line_and_a_hint(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    with running(keys=KEYS) as made:
        status, out, err = run("stats", "--url", made.url, *arguments)
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"error: {message}",
        "hint: UNDERSTUDY_KEY=KEY in the environment, or --key; the admin key sees everything",
    ]


# No gateway


@pytest.mark.parametrize("command", [("stats",), ("why", "any")])
def test_no_gateway_is_one_line_and_a_hint(run: Run, command: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    status, out, err = run(*command, "--url", url)
    assert (status, out) == (1, "")
    error, hint = err.splitlines()
    assert error.startswith(f"error: no gateway answers at {url}: ")
    assert "refused" in error
    assert hint == "hint: `understudy serve` starts one, and a URL names another one"


def test_another_server_is_told_apart(run: Run) -> None:
    with running() as made:
        status, out, err = run("stats", "--url", made.house.lead.base_url)
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert err.startswith("error: ")


@pytest.mark.parametrize("url", ["ftp://gateway", "http://", "http://[", "http://u:p@host", "host:99999"])
def test_what_is_no_url_is_a_configuration_error(run: Run, url: str) -> None:
    status, _, err = run("stats", "--url", url)
    assert status == 2
    assert err.splitlines() == [
        "error: the URL of a gateway is expected",
        "hint: as in http://127.0.0.1:4141",
    ]
