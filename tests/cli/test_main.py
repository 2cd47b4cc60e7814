"""The root command: what it runs and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.command_line import Run, failing
from understudy.cli import main, one_shot, process, repl, saved_profiles
from understudy.errors import ConfigurationError


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[one_shot.Question]:
    """Collects the questions instead of answering them; the status is 1."""
    asked: list[one_shot.Question] = []

    def answer(question: one_shot.Question) -> int:
        asked.append(question)
        return 1

    monkeypatch.setattr(one_shot, "answer", answer)
    return asked


def test_help_names_every_option_and_command(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    for word in (
        "--profile-load",
        "--prompt",
        "--json",
        "--stats",
        "--set",
        "--plain",
        "--debug",
        "--transport",
    ):
        assert word in out
    for word in ("check", "demo", "faults", "profile"):
        assert f"\n  {word} " in out
    assert run("-h")[1] == out


@pytest.mark.parametrize("name", ["check", "demo", "faults", "profile"])
def test_every_command_has_help(name: str, run: Run) -> None:
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: understudy {name}")


def test_a_prompt_is_answered_once_with_everything_that_was_asked_for(
    run: Run, questions: list[one_shot.Question]
) -> None:
    status, _, _ = run(
        "--profile-load", "p", "--prompt", "-", "--json", "--stats", "--plain",
        "--transport", "pyreqwest", "--set", "timeout_ms=5", "--set", "tpm_threshold=7",
    )  # fmt: skip
    assert status == 1
    assert questions == [
        one_shot.Question(
            prompt="-",
            profile="p",
            settings={"timeout_ms": "5", "tpm_threshold": "7"},
            transport="pyreqwest",
            as_json=True,
            with_stats=True,
            plain=True,
        )
    ]


def test_without_a_prompt_a_session_opens(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def session(profile: str | None, **options: Any) -> int:
        opened.append((profile, options))
        return 0

    monkeypatch.setattr(repl, "run", session)
    assert run("--profile-load", "p", "--set", "timeout_ms=5", "--plain")[0] == 0
    assert run()[0] == 0
    assert opened == [
        ("p", {"settings": {"timeout_ms": "5"}, "transport": "aiohttp", "plain": True}),
        (None, {"settings": {}, "transport": "aiohttp", "plain": False}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--promt", "x"], "'--promt'", "did you mean --prompt?"),
        (["--prompt"], "--prompt", "`understudy --help` shows how"),
        (["--transport", "curl", "--prompt", "x"], "'curl'", "`understudy --help` shows how"),
        (["profil"], "no such command: profil", "did you mean profile?"),
        (["Write a haiku"], "no such command: Write a haiku", "a prompt goes behind --prompt"),
        (["check"], "NAME", "`understudy check --help` shows how"),
        (["faults"], "a command is missing", "`understudy faults --help` shows how"),
        (["--json"], "--json can't be used without --prompt", "`understudy --help` shows how"),
        (["--stats"], "--stats can't be used without --prompt", "`understudy --help` shows how"),
        (
            ["--prompt", "x", "profile", "list"],
            "--prompt can't be used with the command profile",
            "`understudy --help` shows how",
        ),
        (["--set", "timeout_ms", "--prompt", "x"], '"timeout_ms" is not KEY=VALUE', "as in timeout_ms=5000"),
        (["--set", "timeoutms=5"], "unknown setting 'timeoutms'", "did you mean timeout_ms?"),
    ],
)  # fmt: skip
def test_what_is_spelled_wrong_gets_one_line_a_way_out_and_status_2(
    arguments: list[str], message: str, hint: str, run: Run
) -> None:
    status, out, err = run(*arguments)
    first, second = err.splitlines()
    assert (status, out) == (2, "")
    assert first.startswith("error: ")
    assert message in first
    assert second == f"hint: {hint}"


def test_debug_alone_takes_no_word_behind_it(
    run: Run, questions: list[one_shot.Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = run("--debug", "profile", "path")
    assert (status, out) == (0, f"{saved_profiles.store().folder}\n")


@pytest.mark.parametrize(
    ("arguments", "patterns"),
    [
        (["--debug"], "understudy:*"),
        (["--debug=understudy:lb:*"], "understudy:lb:*"),
        (["--plain", "--debug", "--prompt", "--debug"], "understudy:*"),
        (["--plain"], ""),
    ],
)
def test_debug_takes_patterns_only_behind_an_equals_sign(arguments: list[str], patterns: str) -> None:
    with main.root.make_context("understudy", arguments) as context:
        assert context.params["debug"] == patterns


def test_a_prompt_that_looks_like_an_option_is_a_prompt() -> None:
    with main.root.make_context("understudy", ["--prompt", "--debug"]) as context:
        assert (context.params["prompt"], context.params["debug"]) == ("--debug", "")


@pytest.mark.parametrize("before", [[], ["--"], ["--plain"]])
def test_what_stands_behind_a_command_is_the_commands_own(before: list[str], run: Run) -> None:
    assert run(*before, "profile", "list", "--debug")[0] == 2
    save = ("profile", "save", "model", "mine", "--provider", "groq", "--model", "--debug")
    assert run(*before, *save)[0] == 0
    assert '"model": "--debug"' in run("profile", "show", "mine")[1]


def test_the_environment_turns_on_log_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_DEBUG", "understudy:*")
    monkeypatch.setattr(one_shot, "answer", failing(ValueError("oops")))
    assert "Traceback" in run("--prompt", "x")[2]


def test_a_bug_is_no_traceback_unless_debugging(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_shot, "answer", failing(ValueError("oops")))
    status, out, err = run("--prompt", "x")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "error: a bug of Understudy: ValueError: oops",
        "hint: run it again with --debug for the traceback, and report it",
    ]
    assert "Traceback" in run("--debug", "--prompt", "x")[2]


def test_an_expected_error_is_no_traceback_even_when_debugging(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_shot, "answer", failing(ConfigurationError("wrong")))
    assert run("--debug", "--prompt", "x")[2] == "error: wrong\n"


def test_the_shell_can_complete_options_commands_and_profiles(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_UNDERSTUDY_COMPLETE", "bash_complete")
    found = {}
    for words in (
        "understudy --prof",
        "understudy ch",
        "understudy check test",
        "understudy --profile-load gr",
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            process.run([])
        found[words] = capsys.readouterr().out.strip()
    assert list(found.values()) == ["plain,--profile-load", "plain,check", "plain,testlb489", "plain,groqgpt"]
