"""Facts about the errors and the facts they carry."""

from __future__ import annotations

import re

import pytest

from understudy import errors
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    Cause,
    ConfigurationError,
    FailureKind,
    NoBackendAvailable,
    ProfileError,
    RequestError,
    RequestRejected,
    SkipEntry,
    SkipReason,
    UnderstudyError,
)


def test_an_attempt_in_a_trail_is_in_milliseconds_since_the_request_began() -> None:
    entry = AttemptEntry("a", 1, "success", 200, started=0.0014, duration=1.5, first_content=0.25)
    assert entry.to_dict() == {
        "backend": "a",
        "attempt": 1,
        "outcome": "success",
        "status": 200,
        "started_ms": 1.4,
        "duration_ms": 1500.0,
        "first_content_ms": 250.0,
    }


def test_what_is_out_of_the_ordinary_is_added() -> None:
    entry = AttemptEntry(
        "a",
        2,
        "reset",
        None,
        0.0,
        None,
        None,
        "gone",
        reconnected=True,
        malformed_events=1,
        dropped_field="x",
        left_out=("seed", "messages[].name"),
        answer_limit=8192,
        recovery="replay",
    )
    assert entry.to_dict() == {
        "backend": "a",
        "attempt": 2,
        "outcome": "reset",
        "status": None,
        "started_ms": 0.0,
        "duration_ms": None,
        "first_content_ms": None,
        "message": "gone",
        "reconnected": True,
        "malformed_events": 1,
        "dropped_field": "x",
        "left_out": ["seed", "messages[].name"],
        "answer_limit": 8192,
        "recovery": "replay",
    }


def test_a_skipped_member_names_its_reason_and_when_it_returns() -> None:
    assert SkipEntry("a", SkipReason.BENCHED, 2.0).to_dict() == {
        "backend": "a",
        "skipped": "benched",
        "until_ms": 2000.0,
    }


@pytest.mark.parametrize("reason", SkipReason)
def test_a_reason_tells_whether_it_is_about_this_request(reason: SkipReason) -> None:
    assert reason.is_unfitness is (
        reason == "context_length" or (reason.startswith("no_") and reason != "no_key")
    )


@pytest.mark.parametrize(
    ("reasons", "blames"),
    [
        ("no_images", True),
        ("no_images context_length", True),
        ("missing no_key no_tools", True),
        ("missing no_key", False),
        ("no_images circuit_open", False),
        ("no_images drained", False),
        ("", False),
    ],
)
def test_nobody_was_there_for_this_request_if_every_usable_member_is_unfit(
    reasons: str, blames: bool
) -> None:
    skips = [SkipEntry("a", SkipReason(reason), None) for reason in reasons.split()]
    assert NoBackendAvailable("nobody", skips=skips).blames_request is blames


def test_a_failed_request_says_what_to_do_about_it() -> None:
    cause = Cause("a", FailureKind.SERVER_ERROR, 500, "500 Internal Server Error", b"secret body")
    error = AllBackendsFailed("all failed", causes=[cause], retryable=True, retry_after=1.23456)
    assert error.to_dict() == {
        "type": "all_backends_failed",
        "message": "all failed",
        "retryable": True,
        "retry_after_s": 1.235,
        "causes": [
            {"backend": "a", "kind": "server_error", "status": 500, "message": "500 Internal Server Error"}
        ],
    }
    assert RequestError("x").to_dict()["retry_after_s"] is None
    assert str(cause) == "a: server_error (500 Internal Server Error)"


def test_a_rejected_request_passes_on_status_and_body() -> None:
    error = RequestRejected("no", causes=[Cause("a", FailureKind.INVALID_REQUEST, 422, "no", b"{}")])
    assert (error.status, error.body) == (422, b"{}")


def test_a_mistake_of_the_users_carries_the_way_out() -> None:
    assert (ConfigurationError("wrong").hint, ConfigurationError("wrong", hint="mend").hint) == (None, "mend")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: list[type] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│ ├└─]*)([A-Z]\w+)(?: |$)", line)
        if match is None or not hasattr(errors, match[2]):
            continue
        depth, leaf = len(match[1]) // 4, getattr(errors, match[2])
        drawn[depth:] = [leaf]
        if depth:
            assert leaf.__base__ is drawn[depth - 1], leaf
    leaves = {value for value in vars(errors).values() if isinstance(value, type)}
    named = {leaf for leaf in leaves if issubclass(leaf, UnderstudyError)}
    assert all(leaf.__name__ in (errors.__doc__ or "") for leaf in named)


def test_a_profile_error_may_hold_every_problem() -> None:
    parts = [ProfileError("first"), ProfileError("second")]
    assert ProfileError("first (and 1 more)", problems=parts).problems == tuple(parts)
    assert ProfileError("first").problems == ()
