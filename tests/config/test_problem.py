"""Problems: one line each, all of them in one error."""

from __future__ import annotations

import pytest

from understudy.config.problem import Problems, place
from understudy.errors import ProfileError


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((), "$"),
        (("profiles", 0), "$.profiles[0]"),
        (("ephemeralSettings", "base-url"), "$.ephemeralSettings.base-url"),
        (("$schema",), "$.$schema"),
        (("two words", 'a"b', "new\nline"), '$["two words"]["a\\"b"]["new\\nline"]'),
    ],
)
def test_a_place_is_a_path_from_the_root_on_one_line(steps: tuple[str | int, ...], text: str) -> None:
    assert place(*steps) == text


def test_nothing_found_raises_nothing() -> None:
    Problems("x.json").raise_if_any()


def test_one_problem_is_the_error() -> None:
    problems = Problems("x.json")
    problems.add("$.a", "wrong", "mend it")

    with pytest.raises(ProfileError) as caught:
        problems.raise_if_any()

    assert (caught.value.message, caught.value.hint) == ("x.json: $.a: wrong", "mend it")
    assert [problem.message for problem in caught.value.problems] == ["x.json: $.a: wrong"]


def test_of_several_the_first_speaks_and_says_how_many_more() -> None:
    problems = Problems("x.json")
    for name in "abc":
        problems.add(f"$.{name}", "wrong", f"mend {name}")

    with pytest.raises(ProfileError) as caught:
        problems.raise_if_any()

    assert caught.value.message == "x.json: $.a: wrong (and 2 more)"
    assert [problem.hint for problem in caught.value.problems] == ["mend a", "mend b", "mend c"]
    assert repr(problems) == "<Problems of x.json, 3 found>"


def test_what_was_found_elsewhere_joins_them_flat() -> None:
    problems, elsewhere = Problems("x.json"), Problems("x.json")
    problems.add("$.a", "wrong")
    elsewhere.add("$.b", "wrong")
    elsewhere.add("$.c", "wrong")
    with pytest.raises(ProfileError) as caught:
        elsewhere.raise_if_any()

    joined = problems.joined(caught.value)

    assert [problem.message for problem in joined.problems] == [
        "x.json: $.a: wrong",
        "x.json: $.b: wrong",
        "x.json: $.c: wrong",
    ]
    assert [problem.message for problem in Problems("y").joined(ProfileError("alone")).problems] == ["alone"]
