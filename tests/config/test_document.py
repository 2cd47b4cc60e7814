"""JSON text → an object that is JSON through and through."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.config.document import read_document
from understudy.errors import ProfileError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.json: not JSON: Expecting value (line 1, column 1)"),
        ('{"a": 1,\n  "b" 2}', "x.json: not JSON: Expecting ':' delimiter (line 2, column 7)"),
        ('{"a": 1} x', "x.json: not JSON: Extra data (line 1, column 10)"),
        ('{"a": "two\nlines"}', "x.json: not JSON: Invalid control character at (line 1, column 11)"),
        ("[]", "x.json: a profile must be a JSON object"),
        ('"text"', "x.json: a profile must be a JSON object"),
        ("null", "x.json: a profile must be a JSON object"),
        ('{"a": NaN}', "x.json: not JSON: a number that no JSON reader keeps"),
        ('{"a": -Infinity}', "x.json: not JSON: a number that no JSON reader keeps"),
        ('{"a": ' + "9" * 5000 + "}", "x.json: not JSON: a number that no JSON reader keeps"),
        ('{"a": [1, 1e999]}', "x.json: $.a[1]: a number too large for JSON"),
        ('{"a": {"b": 1, "b": 2}}', 'x.json: $.a: "b" is given twice'),
        ('{"a": [{"b": 1, "b": 1}]}', 'x.json: $.a[0]: "b" is given twice'),
        ('{"a": "\\ud800"}', "x.json: $.a: broken Unicode: half of a surrogate pair"),
        ('{"\\udfff": 1}', 'x.json: $: "\\udfff": broken Unicode: half of a surrogate pair'),
        ('{"a":' * 100_000, "x.json: nested too deeply"),
    ],
)
def test_what_is_refused_and_where(text: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_document(text, "x.json")
    assert caught.value.message == message


def test_every_problem_is_found() -> None:
    with pytest.raises(ProfileError) as caught:
        read_document('{"a": 1, "a": 2, "b": 1e999, "c": 1, "c": 2}', "x.json")

    assert [problem.message for problem in caught.value.problems] == [
        'x.json: $: "a" is given twice',
        'x.json: $: "c" is given twice',
        "x.json: $.b: a number too large for JSON",
    ]
    assert caught.value.problems[0].hint == "keep one of them"


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert read_document('{"a": "\\ud83d\\ude00"}', "x") == {"a": "😀"}


def test_deep_but_readable_is_read_without_recursion() -> None:
    depth = 500
    assert read_document('{"a":' * depth + "1" + "}" * depth, "x")


TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_all_json_objects_are_read_as_they_are(document: dict[str, object]) -> None:
    assert read_document(json.dumps(document), "x") == document


@given(st.text())
def test_whatever_the_text_it_is_an_object_or_a_profile_error(text: str) -> None:
    with suppress(ProfileError):
        assert isinstance(read_document(text, "x"), dict)
