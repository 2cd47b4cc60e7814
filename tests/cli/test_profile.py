"""``understudy profile``: what was asked for on stdout, what was done on stderr."""

from __future__ import annotations

import io
import json
import stat
import sys
from typing import Any

import click
import pytest

from tests.cli.command_line import Run
from tests.cli.local_provider import Home
from understudy.cli import process, profile_list
from understudy.config.schema import load_balancer_schema, standard_schema


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``understudy profile``: status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = process.run(["profile", *arguments])
        return status, *capsys.readouterr()

    return run


def saved(home: Home, name: str) -> Any:
    return json.loads((home.path / "profiles" / f"{name}.json").read_text(encoding="utf-8"))


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_list_tells_own_profiles_examples_the_default_and_broken_ones(home: Home, run: Run) -> None:
    home.backend("mine", "http://localhost/v1", "qwen3")
    home.pool("pair", "mine", "chutes", policy="roundrobin")
    home.save("torn", "{")
    run("set-default", "pair")
    status, out, err = run("list")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert list(rows) == ["chutes", "groqgpt", "mine", "pair", "synthetic", "testlb489", "torn"]
    assert rows["mine"] == "mine       standard      openai: qwen3"
    assert rows["pair"] == "pair       loadbalancer  roundrobin: mine, chutes (default)"
    assert rows["testlb489"].endswith("failover: synthetic, chutes, groqgpt (example)")
    assert rows["torn"].startswith("torn       broken        ")


def test_the_list_is_json_for_programs(home: Home, run: Run) -> None:
    home.backend("mine", "http://localhost/v1", "qwen3")
    rows = {row["name"]: row for row in json.loads(run("list", "--json")[1])}
    assert rows["mine"] == {
        "name": "mine",
        "type": "standard",
        "summary": "openai: qwen3",
        "example": False,
        "default": False,
    }
    assert rows["chutes"]["example"] is True


def test_a_profile_of_ones_own_hides_the_example_of_its_name(home: Home, run: Run) -> None:
    home.backend("chutes", "http://localhost/v1")
    run("set-default", "chutes")
    assert "openai: m (default)" in run("list")[1]


def test_no_profiles_are_an_empty_list() -> None:
    assert profile_list.as_text([]) == ""


def test_a_profile_is_shown_as_json_with_its_key_masked(home: Home, run: Run) -> None:
    home.backend("mine", "http://localhost/v1", **{"auth-key": "sk-very-secret-indeed"})
    status, out, _ = run("show", "mine")
    assert status == 0
    assert json.loads(out)["ephemeralSettings"] == {"base-url": "http://localhost/v1", "auth-key": "********"}


def test_a_load_balancer_is_saved_with_settings_and_parameters(home: Home, run: Run) -> None:
    status, out, err = run(
        "save", "loadbalancer", "mine", "FAILOVER", "chutes", "groqgpt",
        "--set", "timeout-ms=5000", "--set", "circuit_breaker_enabled=off", "--param", "temperature=0.5",
    )  # fmt: skip
    file = home.path / "profiles" / "mine.json"
    assert (status, out, err) == (0, "", f"saved {file}\n")
    assert saved(home, "mine") == {
        "name": "mine",
        "version": 1,
        "type": "loadbalancer",
        "policy": "failover",
        "profiles": ["chutes", "groqgpt"],
        "modelParams": {"temperature": 0.5},
        "ephemeralSettings": {"timeout_ms": 5000, "circuit_breaker_enabled": False},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_backend_is_saved_with_everything_that_can_be_said_of_it(home: Home, run: Run) -> None:
    status, _, _ = run(
        "save", "model", "mine", "--provider", "openai", "--model", "qwen3", "--base-url", "http://localhost/v1",
        "--key-env", "MY_KEY", "--set", "context-limit=32000",
        "--set", 'error_rules=[{"status": 499, "kind": "server_error"}]',
        "--param", "temperature=0.2", "--param", "user=me", "--param", 'stop=["a"]', "--param", "seed=NaN",
    )  # fmt: skip
    assert status == 0
    document = saved(home, "mine")
    assert (document["provider"], document["model"]) == ("openai", "qwen3")
    assert document["modelParams"] == {"temperature": 0.2, "user": "me", "stop": ["a"], "seed": "NaN"}
    assert document["ephemeralSettings"] == {
        "base-url": "http://localhost/v1",
        "auth-key-env": "MY_KEY",
        "context-limit": 32000,
        "error_rules": [{"status": 499, "kind": "server_error"}],
    }


@pytest.mark.parametrize(
    ("option", "value", "setting"),
    [("--keyfile", "~/key", "auth-keyfile"), ("--key-name", "mine", "auth-key-name")],
)
def test_a_key_is_named_by_where_it_is(option: str, value: str, setting: str, home: Home, run: Run) -> None:
    assert run("save", "model", "mine", "--provider", "groq", "--model", "m", option, value)[0] == 0
    assert saved(home, "mine")["ephemeralSettings"] == {setting: value}


def test_saving_again_replaces_and_says_so(home: Home, run: Run) -> None:
    save = ("save", "model", "mine", "--provider", "groq", "--model")
    assert "(replaced)" not in run(*save, "one")[2]
    assert run(*save, "two")[2].endswith("mine.json (replaced)\n")
    assert saved(home, "mine")["model"] == "two"


def test_the_key_itself_is_read_from_stdin_and_warned_about(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_stdin(monkeypatch, b"sk-very-secret-indeed\nmore\n")
    status, out, err = run(
        "save", "model", "mine", "--provider", "groq", "--model", "m", "--key", "--inline-key"
    )
    assert (status, out) == (0, "")
    assert err.splitlines()[1].startswith("warning: mine: the key itself is in the profile")
    assert "very-secret" not in err
    assert saved(home, "mine")["ephemeralSettings"] == {"auth-key": "sk-very-secret-indeed"}


def test_on_a_terminal_the_key_is_asked_for_and_not_shown(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(words: str, **options: Any) -> str:
        asked.append((words, options))
        return "sk-very-secret-indeed"

    give_stdin(monkeypatch, b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "prompt", ask)
    run("save", "model", "mine", "--provider", "groq", "--model", "m", "--key", "--inline-key")
    assert asked == [("Key", {"hide_input": True, "err": True})]
    assert saved(home, "mine")["ephemeralSettings"] == {"auth-key": "sk-very-secret-indeed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key"], "--key would write the key into the profile"),
        (["--set", "auth-key=sk-very-secret-indeed"], "a key can't be given on the command line"),
        (["--set", "authkey=sk-very-secret-indeed"], "unknown setting 'authkey'"),
        (["--set", "timeout_ms=soon"], "timeout_ms must be a positive integer"),
        (["--set", "failover_retry_count=2"], "failover_retry_count belongs in the load-balancer profile"),
        (["--param", "model=other"], "it can't be set here"),
        (["--keyfile", "k", "--key-env", "K"], "both name a key"),
        (["--base-url", "ftp://x"], "base-url must be an http or https URL"),
    ],
)
def test_what_would_make_a_wrong_profile_is_refused_and_nothing_saved(
    arguments: list[str], message: str, home: Home, run: Run
) -> None:
    status, out, err = run("save", "model", "mine", "--provider", "groq", "--model", "m", *arguments)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[0]
    assert "very-secret" not in err
    assert not (home.path / "profiles").exists()


def test_a_key_on_stdin_that_is_no_text_is_refused(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_stdin(monkeypatch, b"\xff\n")
    status, _, err = run(
        "save", "model", "mine", "--provider", "groq", "--model", "m", "--key", "--inline-key"
    )
    assert status == 2
    assert err.startswith("error: the key on stdin is not UTF-8")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["mine", "failovr", "a", "b"], 'unknown: "failovr"', "did you mean failover?"),
        (["mine", "failover", "chutes"], "failover needs at least two members", "list another one"),
        (["mine", "failover", "chute", "groqgpt"], 'no profile named "chute"', "did you mean chutes?"),
        (["mine", "failover", "chutes", "testlb489"], "testlb489 is a load balancer", "list its members"),
        (["mine", "failover"], "MEMBERS", "`understudy profile save loadbalancer --help`"),
    ],
)
def test_a_load_balancer_that_could_not_work_is_refused(
    arguments: list[str], message: str, hint: str, home: Home, run: Run
) -> None:
    status, _, err = run("save", "loadbalancer", *arguments)
    assert status == 2
    assert message in err.splitlines()[0]
    assert err.splitlines()[1].startswith(f"hint: {hint}")
    assert not (home.path / "profiles").exists()


def test_a_profile_is_deleted_unless_a_load_balancer_lists_it(home: Home, run: Run) -> None:
    home.backend("mine", "http://localhost/v1")
    home.pool("pair", "mine", "chutes")
    status, _, err = run("delete", "mine")
    assert (status, err.splitlines()[0]) == (2, "error: mine can't be deleted: it is a member of pair")
    assert run("delete", "pair") == (0, "", "deleted pair\n")
    assert run("delete", "mine") == (0, "", "deleted mine\n")
    assert run("delete", "mine")[0] == 2


def test_the_default_is_chosen_and_forgotten(home: Home, run: Run) -> None:
    assert run("set-default", "testlb489") == (0, "", "the default is testlb489\n")
    assert "(default, example)" in run("list")[1]
    assert run("set-default", "--none") == (0, "", "there is no default any more\n")
    assert "default" not in run("list")[1]
    assert run("set-default", "nobody")[0] == 2


@pytest.mark.parametrize("arguments", [[], ["chutes", "--none"]])
def test_a_default_is_a_profile_or_none(arguments: list[str], run: Run) -> None:
    status, _, err = run("set-default", *arguments)
    assert (status, err.splitlines()[0]) == (2, "error: name a profile, or give --none")


def test_the_folder_and_files_can_be_found(home: Home, run: Run) -> None:
    home.backend("mine", "http://localhost/v1")
    assert run("path") == (0, f"{home.path}/profiles\n", "")
    assert run("path", "mine") == (0, f"{home.path}/profiles/mine.json\n", "")
    status, out, err = run("path", "chutes")
    assert (status, out) == (2, "")
    assert "`understudy profile show chutes`" in err


def test_the_schemas_are_those_of_the_reference(run: Run) -> None:
    assert json.loads(run("schema", "standard")[1]) == standard_schema()
    assert json.loads(run("schema", "loadbalancer")[1]) == load_balancer_schema()
    assert run("schema", "other")[0] == 2


@pytest.mark.parametrize("arguments", [[], ["save"]])
def test_a_verb_is_needed(arguments: list[str], run: Run) -> None:
    status, out, err = run(*arguments)
    assert (status, out, err.splitlines()[0]) == (2, "", "error: a command is missing")
