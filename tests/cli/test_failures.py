"""Errors as lines: what went wrong, who said what, the way out."""

from __future__ import annotations

import io

import click
import pytest

from understudy.cli import failures
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    Cause,
    ConfigurationError,
    DeadlineExceeded,
    FailureKind,
    InternalError,
    NoBackendAvailable,
    ProfileError,
    RequestError,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
)


def lines(error: BaseException) -> list[str]:
    stream = io.StringIO()
    failures.show(error, stream)
    text = stream.getvalue()
    assert text.endswith("\n")
    return text.splitlines()


def cause(backend: str, kind: FailureKind, message: str, status: int | None = None) -> Cause:
    return Cause(backend, kind, status, message)


def test_a_configuration_error_is_one_line_and_its_hint_another() -> None:
    assert lines(ConfigurationError("no such key", hint="export it")) == [
        "error: no such key",
        "hint: export it",
    ]
    assert lines(ConfigurationError("no such key")) == ["error: no such key"]


def test_every_problem_of_a_profile_is_said_with_its_own_hint() -> None:
    problems = [ProfileError("a.json: $.policy: unknown", hint="did you mean failover?"), ProfileError("b")]
    assert lines(ProfileError("a.json: $.policy: unknown (and 1 more)", problems=problems)) == [
        "error: a.json: $.policy: unknown",
        "hint: did you mean failover?",
        "error: b",
    ]


def test_a_profile_error_without_a_list_is_itself_the_problem() -> None:
    assert lines(ProfileError("no profile named x", hint="did you mean y?")) == [
        "error: no profile named x",
        "hint: did you mean y?",
    ]


def test_causes_and_skipped_members_have_a_line_each_and_are_not_repeated_in_the_first() -> None:
    error = AllBackendsFailed(
        "All backends failed: one: 500 Oops; two: 401 Unauthorized",
        causes=[
            cause("one", FailureKind.SERVER_ERROR, "500 Oops", 500),
            cause("two", FailureKind.AUTH, "401 Unauthorized", 401),
        ],
        trail=[
            AttemptEntry("one", 1, "server_error", 500, 0.0, 0.1, None),
            AttemptEntry("two", 1, "auth", 401, 0.1, 0.1, None),
            SkipEntry("three", SkipReason.NO_KEY, None),
        ],
    )
    assert lines(error) == [
        "error: All backends failed",
        "  one: server_error (500 Oops)",
        "  two: auth (401 Unauthorized)",
        "  three was skipped: it has no key",
        "hint: check the key of two: `understudy check` says where it comes from",
    ]


def test_nothing_to_ask_names_each_member_and_when_to_come_back() -> None:
    skip = SkipEntry("one", SkipReason.CIRCUIT_OPEN, 12.0)
    error = NoBackendAvailable(
        "All backends are currently unhealthy (circuit breakers open). one: circuit_open, back in 12.0 s",
        skips=[skip],
        trail=[skip],
        retry_after=12.0,
    )
    shown = lines(error)
    assert shown[0] == "error: All backends are currently unhealthy (circuit breakers open)."
    assert shown[1].startswith("  one was skipped: circuit open")
    assert shown[2:] == ["hint: ask again in 12.0 s"]


def test_nothing_usable_points_to_the_check() -> None:
    skip = SkipEntry("one", SkipReason.NO_KEY, None)
    error = NoBackendAvailable("No backend is available. one: no_key", skips=[skip], trail=[skip])
    assert lines(error)[-1] == "hint: `understudy check` says what is wrong with each member"


def test_a_broken_off_answer_is_blamed_on_the_backend_that_broke_off() -> None:
    error = StreamInterrupted(
        "two broke off after its first content: cut",
        causes=[cause("one", FailureKind.AUTH, "401"), cause("two", FailureKind.TRUNCATED, "cut")],
    )
    assert lines(error) == [
        "error: two broke off after its first content: cut",
        "  one: auth (401)",
        "  two: truncated (cut)",
        "hint: the text is incomplete; ask again",
    ]


def test_a_failure_without_a_way_out_of_its_own_points_to_the_log() -> None:
    error = RequestRejected(
        "The request was rejected: one: 400 what?",
        causes=[cause("one", FailureKind.INVALID_REQUEST, "400 what?", 400)],
    )
    assert lines(error)[0] == "error: The request was rejected"
    assert lines(error)[-1] == "hint: --debug shows every step"


def test_an_error_that_lists_nobody_keeps_its_whole_message() -> None:
    assert lines(DeadlineExceeded("No answer began within 5 ms (request_timeout_ms)"))[0] == (
        "error: No answer began within 5 ms (request_timeout_ms)"
    )


@pytest.mark.parametrize("kind", FailureKind)
def test_a_way_out_names_the_backend_it_is_about(kind: FailureKind) -> None:
    words = failures.way_out("synthetic", kind)
    general = (FailureKind.TRUNCATED, FailureKind.CONTEXT_LENGTH)
    assert words is None or "synthetic" in words or kind in general


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FailureKind.CONNECT, "base-url"),
        (FailureKind.TIMEOUT, "timeout_ms"),
        (FailureKind.STALL, "stall_timeout_ms"),
        (FailureKind.QUOTA, "credit"),
        (FailureKind.RATE_LIMITED, "limits"),
        (FailureKind.MODEL_NOT_FOUND, "model"),
        (FailureKind.CONTEXT_LENGTH, "context window"),
    ],
)
def test_failures_a_user_can_mend_have_a_way_out(kind: FailureKind, words: str) -> None:
    error = AllBackendsFailed("All backends failed: b: m", causes=[cause("b", kind, "m")])
    assert words in lines(error)[-1]


def test_what_an_upstream_sent_stays_on_one_line_and_does_not_reach_the_terminal() -> None:
    evil = cause("one", FailureKind.SERVER_ERROR, "500\r\n  two \x1b[31m: fine\x07")
    shown = lines(AllBackendsFailed("All backends failed: one: 500", causes=[evil]))
    assert shown[1] == "  one: server_error (500 two \ufffd[31m: fine\ufffd)"


def test_a_usage_error_of_the_command_line_has_the_same_shape() -> None:
    context = click.Context(click.Command("check"), info_name="understudy check")
    assert lines(click.UsageError("Missing argument 'NAME'.", context)) == [
        "error: Missing argument 'NAME'.",
        "hint: `understudy check --help` shows how",
    ]
    assert lines(click.UsageError("Option '--prompt' requires an argument."))[1] == (
        "hint: `understudy --help` shows how"
    )
    assert lines(click.ClickException("cannot listen")) == ["error: cannot listen"]


def test_a_usage_error_may_bring_its_own_hint() -> None:
    context = click.Context(click.Command("x"), info_name="x")
    assert lines(click.UsageError("no such word\nhint: did you mean reset?", context)) == [
        "error: no such word",
        "hint: did you mean reset?",
    ]


def test_a_likely_option_is_offered_as_the_way_out() -> None:
    error = click.NoSuchOption("--promt", possibilities=["--prompt", "--plain"])
    assert lines(error)[1] == "hint: did you mean --prompt?"


def test_a_file_error_names_the_file_and_the_reason() -> None:
    assert lines(FileNotFoundError(2, "No such file or directory", "/x")) == [
        "error: /x: no such file or directory"
    ]
    assert lines(OSError("strange")) == ["error: strange"]


def test_a_bug_is_one_line_and_asks_for_a_report() -> None:
    assert lines(ZeroDivisionError("division by zero")) == [
        "error: a bug of Understudy: ZeroDivisionError: division by zero",
        "hint: run it again with --debug for the traceback, and report it",
    ]


@pytest.mark.parametrize(
    ("error", "status", "is_bug"),
    [
        (ConfigurationError("x"), 2, False),
        (click.UsageError("x"), 2, False),
        (click.ClickException("x"), 1, False),
        (RequestError("x"), 1, False),
        (InternalError("x"), 1, True),
        (ValueError("x"), 1, True),
        (OSError("x"), 1, False),
        (click.Abort(), 1, False),
        (click.exceptions.Exit(0), 1, False),
    ],
)
def test_the_exit_status_tells_what_is_to_be_mended_from_what_failed(
    error: Exception, status: int, is_bug: bool
) -> None:
    assert failures.status_of(error) == status
    assert failures.is_bug(error) is is_bug


def test_complaints_and_warnings_are_lines_too() -> None:
    stream = io.StringIO()
    failures.complain("one\ntwo", "three", stream)
    failures.complain("four", None, stream)
    failures.warn("five\nsix", stream)
    assert stream.getvalue() == "error: one two\nhint: three\nerror: four\nwarning: five six\n"
