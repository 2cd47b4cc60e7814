"""What commands share."""

from __future__ import annotations

import pytest

from understudy.cli.commands.command import flag, misused, unquoted


def test_a_flag_may_stand_anywhere_and_is_taken_out() -> None:
    words = ["--json", "lb"]

    assert flag(words, "--json")
    assert words == ["lb"]
    assert not flag(words, "--json")


@pytest.mark.parametrize(
    ("text", "path"),
    [("'a b'", "a b"), ('"a b"', "a b"), ("a b", "a b"), ("it's", "it's"), ("'", "'"), ("", "")],
)
def test_quotes_around_the_whole_are_no_part_of_a_path(text: str, path: str) -> None:
    assert unquoted(text) == path


def test_misuse_says_how_it_is_written() -> None:
    error = misused("/set unset KEY")

    assert (error.message, error.hint) == ("this is written: /set unset KEY", "/help shows all commands")
