"""One question, one answer: what stdout holds, what stderr holds, and the status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.command_line import Run
from tests.cli.local_provider import Home, provider
from understudy.cli import one_shot, process, standard_streams
from understudy.errors import InternalError
from understudy.faults import TEXT, FaultProvider
from understudy.library import balancer
from understudy.library.answer import Answer, Choice
from understudy.library.balancer import TransportName
from understudy.library.chat_stream import ChatStream
from understudy.runtime.ports import Transport
from understudy.wire.chat import Usage


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Asks through the profile ``p``: status, stdout, stderr."""

    def run(*arguments: str, prompt: str = "hello") -> tuple[int, str, str]:
        status = process.run(["--profile-load", "p", "--prompt", prompt, *arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultProvider]:
    models = {
        "down": "status 500",
        "denied": "status 401",
        "cut": "cut after=20",
        "coloured": "text 'red \x1b[31malert\x07'",
    }
    with provider(models=models) as upstream:
        yield upstream


def test_stdout_holds_the_answer_and_nothing_else(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url)
    assert run() == (0, TEXT, "")


def test_a_failover_is_not_seen_in_the_answer(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("a", upstream.base_url, "down")
    home.backend("b", upstream.base_url)
    home.pool("p", "a", "b")
    assert run() == (0, TEXT, "")


def test_json_is_one_object_with_answer_usage_trail_and_stats(
    home: Home, run: Run, upstream: FaultProvider
) -> None:
    home.backend("a", upstream.base_url, "down")
    home.backend("b", upstream.base_url, "fine-model")
    home.pool("p", "a", "b")
    status, out, err = run("--json")
    document = json.loads(out)
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert document["answer"] == TEXT
    assert {key: document[key] for key in ("finish_reason", "tool_calls", "backend", "model")} == {
        "finish_reason": "stop",
        "tool_calls": [],
        "backend": "b",
        "model": "fine-model",
    }
    assert document["usage"] == {"input_tokens": 2, "output_tokens": 60, "estimated": False}
    assert [(entry["backend"], entry["outcome"]) for entry in document["trail"]] == [
        ("a", "server_error"),
        ("a", "server_error"),
        ("b", "success"),
    ]
    assert document["trail"][-1]["first_content_ms"] > 0
    assert document["stats"]["failed_over"] == 1
    assert document["stats"]["backends"]["b"]["successes"] == 1


def test_a_failure_names_every_cause_on_stderr(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("a", upstream.base_url, "down")
    home.backend("b", upstream.base_url, "denied")
    home.pool("p", "a", "b", failover_retry_count=1)
    status, out, err = run()
    assert (status, out) == (1, "")
    assert err.splitlines()[-4:] == [
        "error: All backends failed",
        "  a: server_error (500 Internal Server Error)",
        "  b: auth (401 Unauthorized)",
        "hint: check the key of b: `understudy check` says where it comes from",
    ]


def test_a_failure_is_an_object_too(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url, "down")
    status, out, err = run("--json", "--set", "failover_retry_count=1")
    document = json.loads(out)
    assert status == 1
    assert sorted(document) == ["error", "partial", "stats", "trail"]
    assert document["error"]["type"] == "all_backends_failed"
    assert document["error"]["retryable"] is True
    assert [cause["kind"] for cause in document["error"]["causes"]] == ["server_error"]
    assert (document["partial"], len(document["trail"])) == ("", 1)
    assert document["stats"]["failed"] == 1
    assert "  p: server_error" in err


# Nobody goes on with a broken answer.
ALONE = ("--set", "stream_recovery=off")


def test_half_an_answer_stays_and_the_status_says_so(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url, "cut")
    status, out, err = run(*ALONE)
    assert status == 1
    assert out
    assert TEXT.startswith(out)
    assert err.splitlines()[0].startswith("error: p broke off after its first content")
    status, out, _ = run("--json", *ALONE)
    assert status == 1
    assert json.loads(out)["partial"]
    assert json.loads(out)["error"]["type"] == "stream_interrupted"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_last_line_is_ended_and_controls_do_not_reach_it(
    home: Home, upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.backend("p", upstream.base_url, "coloured")
    stdout = Terminal()
    monkeypatch.setattr(sys, "stdout", stdout)
    assert process.run(["--profile-load", "p", "--prompt", "hello"]) == 0
    assert stdout.getvalue() == "red \ufffd[31malert\ufffd\n"


def test_a_pipe_gets_the_text_as_it_came(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url, "coloured")
    assert run()[1] == "red \x1b[31malert\x07"


def test_an_error_begins_its_own_line_where_both_streams_end_up_in_one_place(
    home: Home, run: Run, upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.backend("p", upstream.base_url, "cut")
    monkeypatch.setattr(standard_streams, "share_a_line", lambda: True)
    assert run()[1].endswith("\n")
    home.backend("p", upstream.base_url)
    assert not run()[1].endswith("\n")


def test_the_stats_come_after_the_answer_and_on_stderr(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url)
    status, out, err = run("--stats")
    assert (status, out) == (0, TEXT)
    assert err.splitlines()[:3] == ["Load Balancer Statistics", "Profile: p", "Total Requests: 1"]
    home.backend("p", upstream.base_url, "down")
    status, _, err = run("--stats")
    assert status == 1
    assert err.index("error: ") < err.index("Load Balancer Statistics")


def test_warnings_about_the_profile_are_a_line_each_on_stderr(
    home: Home, run: Run, upstream: FaultProvider
) -> None:
    home.save(
        "a",
        {
            "provider": "openai",
            "model": "m",
            "ephemeralSettings": {"base-url": upstream.base_url, "auth-key": "sk-very-secret-indeed"},
        },
    )
    home.pool("p", "a", "missing")
    status, out, err = run()
    assert (status, out) == (0, TEXT)
    assert [line.partition(":")[0] for line in err.splitlines()] == ["warning", "warning"]
    assert "the key itself is in the profile" in err
    assert "missing is skipped" in err
    assert "very-secret" not in err


def test_a_key_that_is_refused_is_warned_about_though_another_backend_answers(
    home: Home, run: Run, upstream: FaultProvider
) -> None:
    home.backend("a", upstream.base_url, "denied")
    home.backend("b", upstream.base_url)
    home.pool("p", "a", "b")
    status, out, err = run()
    assert (status, out) == (0, TEXT)
    assert err == "warning: [LB:config] a: check key and model: 401 Unauthorized\n"


@pytest.mark.parametrize(
    ("script", "remark"),
    [
        ("tools", "warning: the model calls tools ("),
        ("finish length", "warning: the model stopped early (finish_reason length)"),
    ],
)
def test_what_else_the_model_sent_is_told_on_stderr(
    script: str, remark: str, home: Home, run: Run, upstream: FaultProvider
) -> None:
    home.backend("p", upstream.base_url, f"fault: {script}")
    status, _, err = run()
    assert status == 0
    assert err.startswith(remark)
    assert err.count("\n") == 1


def test_a_refusal_is_no_answer_and_told_as_what_it_is() -> None:
    refused = Answer((Choice(0, refusal="I can't help with that."),), "p", "m", Usage(), ())
    assert list(one_shot.remarks(refused)) == ["the model refused: I can't help with that."]
    fine = Answer((Choice(0, text="Sure.", finish_reason="stop"),), "p", "m", Usage(), ())
    assert list(one_shot.remarks(fine)) == []


def test_of_several_choices_the_first_is_printed(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.save(
        "p",
        {
            "provider": "openai",
            "model": "m",
            "modelParams": {"n": 2},
            "ephemeralSettings": {"base-url": upstream.base_url},
        },
    )
    assert run()[:2] == (0, TEXT)


def test_settings_given_here_win_over_the_profile(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("a", upstream.base_url, "down")
    home.pool("p", "a", "a", failover_retry_count=5)
    upstream.clear_requests()
    assert run("--set", "failover_retry_count=1")[0] == 1
    assert len(upstream.requests) == 2


def test_the_default_profile_answers_if_none_is_named(
    home: Home, upstream: FaultProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    home.backend("mine", upstream.base_url)
    assert process.run(["profile", "set-default", "mine"]) == 0
    capsys.readouterr()
    assert process.run(["--prompt", "hello"]) == 0
    assert capsys.readouterr().out == TEXT


@pytest.mark.parametrize("transport", ["aiohttp", "pyreqwest"])
def test_either_transport_answers(
    transport: TransportName, home: Home, run: Run, upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = balancer._TRANSPORTS[transport], []

    def noted() -> Transport:
        made.append(transport)
        return make()

    monkeypatch.setitem(balancer._TRANSPORTS, transport, noted)
    home.backend("p", upstream.base_url)
    assert run("--transport", transport) == (0, TEXT, "")
    assert made == [transport]


def test_the_prompt_is_what_the_backend_gets(home: Home, run: Run, upstream: FaultProvider) -> None:
    home.backend("p", upstream.base_url)
    run(prompt="Grüße, 再演!")
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "Grüße, 再演!"}]


@pytest.mark.parametrize(
    ("profile", "message", "hint"),
    [
        ("testlb48", 'no profile named "testlb48"', "did you mean testlb489?"),
        ("groqgpt", "environment variable GROQ_API_KEY is not set", "export GROQ_API_KEY=…"),
        ("nowhere/x.json", "nowhere/x.json: no such file or directory", None),
    ],
)
def test_a_profile_that_cannot_be_used_is_two_lines_and_status_2(
    profile: str, message: str, hint: str | None, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert process.run(["--profile-load", profile, "--prompt", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err.splitlines()[0]
    assert hint is None or err.splitlines()[1].startswith(f"hint: {hint}")


def test_a_host_that_cannot_be_reached_is_named_with_a_way_out(home: Home, run: Run) -> None:
    home.backend("p", "http://127.0.0.1:1/v1")
    status, out, err = run("--set", "failover_retry_count=1")
    assert (status, out) == (1, "")
    assert "  p: connect (" in err
    assert err.splitlines()[-1] == "hint: is the base-url of p right, and can it be reached from here?"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_is_reported_as_an_answer_that_failed(
    as_json: bool, home: Home, run: Run, upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(stream: ChatStream) -> Any:
        raise InternalError("a bug of Understudy while asking p: oops")

    home.backend("p", upstream.base_url)
    monkeypatch.setattr(ChatStream, "__anext__", broken)
    status, out, err = run(*["--json"] * as_json)
    assert status == 1
    assert err.startswith("error: ")
    assert (json.loads(out)["error"]["type"] if as_json else out) == ("internal_error" if as_json else "")


def test_questions_have_plain_defaults() -> None:
    assert one_shot.Question("x") == one_shot.Question("x", None, {}, "aiohttp", False, False, False)
