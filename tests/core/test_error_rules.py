"""A user's own error rules: what they match."""

from __future__ import annotations

import pytest

from understudy.core.error_rules import ErrorRule
from understudy.errors import FailureKind

KIND = FailureKind.SERVER_ERROR


def test_what_a_rule_leaves_out_matches_anything() -> None:
    assert ErrorRule(400, None, KIND).matches(400, "whatever")
    assert ErrorRule(None, "overheated", KIND).matches(None, "the GPU is overheated")
    assert ErrorRule(None, "overheated", KIND).matches(418, "overheated")


def test_status_and_pattern_must_both_match() -> None:
    rule = ErrorRule(400, "try again", KIND)
    assert rule.matches(400, "please try again later")
    assert not rule.matches(401, "please try again later")
    assert not rule.matches(None, "please try again later")
    assert not rule.matches(400, "no")


def test_the_pattern_is_searched_for_anywhere_whatever_its_case() -> None:
    rule = ErrorRule(None, r"gpu \d+ is HOT", KIND)
    assert rule.matches(500, '{"message": "GPU 7 is hot"}')
    assert not rule.matches(500, "GPU is hot")


def test_a_broken_pattern_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"'\(' is no regular expression: missing \)"):
        ErrorRule(None, "(", KIND)


def test_rules_that_say_the_same_are_equal() -> None:
    assert ErrorRule(400, "x", KIND) == ErrorRule(400, "x", KIND)
    assert ErrorRule(400, "x", KIND) != ErrorRule(400, "y", KIND)
    assert repr(ErrorRule(400, None, KIND)) == (
        "ErrorRule(status=400, match=None, kind=<FailureKind.SERVER_ERROR: 'server_error'>)"
    )
