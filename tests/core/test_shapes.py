"""Shapes: what a setting takes, from JSON and from a command line, and that the schema agrees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from understudy.core.error_rules import ErrorRule
from understudy.core.shapes import (
    BASE_URL,
    TEXT,
    VARIABLE,
    Amounts,
    Boolean,
    Choice,
    ErrorRules,
    Integer,
    Lateness,
    Shape,
    StatusList,
    Words,
)
from understudy.errors import FailureKind

FRUIT = Words(("apple", "pear"))
PRICE = Amounts(("input", "output", "cached", "write"))
RULE = {"status": 503, "match": "try .* later", "kind": "rate_limited"}


@pytest.mark.parametrize(
    ("shape", "description"),
    [
        (Integer(1), "a positive integer"),
        (Integer(0), "an integer of at least 0"),
        (Integer(1, 100), "an integer from 1 to 100"),
        (Boolean(), "true or false"),
        (Choice(("serving", "window")), "one of serving, window"),
        (StatusList(), "a list of HTTP statuses from 400 to 599"),
        (TEXT, "a non-empty text of one line"),
        (FRUIT, "a list of apple, pear"),
        (PRICE, '{"input": number, "output": number}, all from 0, optionally "cached", "write"'),
        (Lateness(), "off, an integer of at least 0 (milliseconds), or p50 to p99"),
        (
            ErrorRules(),
            'a list of {"status": 400–599, "match": "pattern", "kind": failure kind}, '
            "status or match or both",
        ),
    ],
)
def test_the_description_completes_must_be(shape: Shape, description: str) -> None:
    assert shape.description == description


@pytest.mark.parametrize(
    ("shape", "value", "kept"),
    [
        (Integer(1), 1, 1),
        (Integer(1), 30_000.0, 30_000),
        (Integer(0), 0, 0),
        (Integer(1, 100), 100, 100),
        (Integer(1), 2**53 - 1, 2**53 - 1),
        (Boolean(), False, False),
        (Choice(("a", "b")), "b", "b"),
        (TEXT, "gpt-4o", "gpt-4o"),
        (TEXT, " two words ", " two words "),
        (StatusList(), [], ()),
        (StatusList(), [400, 599.0], (400, 599)),
        (FRUIT, [], ()),
        (FRUIT, ["pear", "apple"], ("pear", "apple")),
        (PRICE, {"output": 0, "input": 2.5}, {"input": 2.5, "output": 0}),
        (PRICE, {"input": 1, "output": 2, "write": 3.75}, {"input": 1, "output": 2, "write": 3.75}),
        (ErrorRules(), [], ()),
        (ErrorRules(), [RULE], (ErrorRule(503, "try .* later", FailureKind.RATE_LIMITED),)),
        (
            ErrorRules(),
            [{"status": 418, "kind": "auth"}],
            (ErrorRule(418, None, FailureKind.AUTH),),
        ),
        (
            ErrorRules(),
            [{"match": "x", "kind": "quota"}],
            (ErrorRule(None, "x", FailureKind.QUOTA),),
        ),
        (Lateness(), "off", "off"),
        (Lateness(), 0, 0),
        (Lateness(), 1500.0, 1500),
        (Lateness(), "p50", "p50"),
        (Lateness(), "p99", "p99"),
        (BASE_URL, "http://127.0.0.1:65535/v1/", "http://127.0.0.1:65535/v1/"),
        (BASE_URL, "https://[::1]:8000", "https://[::1]:8000"),
        (BASE_URL, "https://api.example.com", "https://api.example.com"),
        (VARIABLE, "_KEY_1", "_KEY_1"),
        (VARIABLE, "my_company_llm_key_v2", "my_company_llm_key_v2"),
        (VARIABLE, "GSK_PRODUCTION_ENVIRONMENT_KEY", "GSK_PRODUCTION_ENVIRONMENT_KEY"),
    ],
)
def test_these_are_taken_and_the_schema_takes_them_too(shape: Shape, value: object, kept: object) -> None:
    result = shape.check(value)

    assert result == kept
    assert type(result) is type(kept)
    assert takes(shape, value)


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (Integer(1), 0),
        (Integer(1), -1),
        (Integer(1), True),
        (Integer(1), "5"),
        (Integer(1), 1.5),
        (Integer(1), float("inf")),
        (Integer(1), None),
        (Integer(1), 2**53),
        (Integer(1, 100), 101),
        (Boolean(), 1),
        (Boolean(), "true"),
        (Choice(("a", "b")), "A"),
        (Choice(("a", "b")), 1),
        (Choice(("1", "b")), 1),
        (TEXT, ""),
        (TEXT, "  "),
        (TEXT, "two\nlines"),
        (TEXT, "one line and its end\n"),
        (TEXT, 5),
        (FRUIT, "pear"),
        (FRUIT, ["plum"]),
        (FRUIT, [1]),
        (FRUIT, ["pear", "pear"]),
        (PRICE, 3),
        (PRICE, {}),
        (PRICE, {"input": 1}),
        (PRICE, {"input": 1, "output": 2, "more": 3}),
        (PRICE, {"input": -1, "output": 2}),
        (PRICE, {"input": "1", "output": 2}),
        (PRICE, {"input": True, "output": 2}),
        (PRICE, {"input": 2**54, "output": 2}),
        (StatusList(), 500),
        (StatusList(), "500"),
        (StatusList(), [200]),
        (StatusList(), [600]),
        (StatusList(), ["500"]),
        (ErrorRules(), RULE),
        (ErrorRules(), ["500"]),
        (ErrorRules(), [{"kind": "auth"}]),
        (ErrorRules(), [{"status": 500}]),
        (ErrorRules(), [{**RULE, "kind": "cancelled"}]),
        (ErrorRules(), [{**RULE, "kind": "internal"}]),
        (ErrorRules(), [{**RULE, "kind": "mismatch"}]),
        (ErrorRules(), [{**RULE, "status": 200}]),
        (ErrorRules(), [{**RULE, "status": None}]),
        (ErrorRules(), [{**RULE, "match": ""}]),
        (ErrorRules(), [{**RULE, "match": "(unclosed"}]),
        (ErrorRules(), [{**RULE, "more": 1}]),
        (Lateness(), "p49"),
        (Lateness(), "p100"),
        (Lateness(), "p95\n"),
        (Lateness(), "1500"),
        (Lateness(), -1),
        (Lateness(), True),
        (BASE_URL, "api.example.com/v1"),
        (BASE_URL, "ftp://api.example.com"),
        (BASE_URL, "https://"),
        (BASE_URL, "https://user:password@example.com"),
        (BASE_URL, "https://example.com/v1?api-version=1"),
        (BASE_URL, "https://example.com/v1#here"),
        (BASE_URL, "https://example.com:65536"),
        (BASE_URL, "https://example.com:"),
        (BASE_URL, "https://exa mple.com"),
        (BASE_URL, "https://example.com/v1\n"),
        (BASE_URL, "https://example.com/v1/chat/completions"),
        (BASE_URL, "https://example.com/v1/chat/completions//"),
        (VARIABLE, "MY-KEY"),
        (VARIABLE, "1KEY"),
        (VARIABLE, "$KEY"),
        (VARIABLE, "KEY\n"),
        (VARIABLE, "sk-proj-0123456789abcdef"),
        (VARIABLE, "gsk_0123456789abcdefABCD"),
        (VARIABLE, "a3f9c2d47b8e41f0a6c5d2e9b7f3a1c8"),
    ],
)
def test_these_are_refused_and_the_schema_refuses_them_too(shape: Shape, value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's business
        shape.check(value)
    assert not takes(shape, value)


@pytest.mark.parametrize(
    ("shape", "text", "kept"),
    [
        (Integer(1), " 5000 ", 5000),
        (Lateness(), " 1500 ", 1500),
        (Lateness(), " OFF", "off"),
        (Lateness(), "P95", "p95"),
        (Boolean(), "on", True),
        (Boolean(), "Yes", True),
        (Boolean(), "1", True),
        (Boolean(), "off", False),
        (Boolean(), "NO", False),
        (Boolean(), "0", False),
        (Boolean(), "false", False),
        (Boolean(), " true ", True),
        (Choice(("serving", "window")), " Window ", "window"),
        (TEXT, "word", "word"),
        (StatusList(), "500, 502 503", (500, 502, 503)),
        (StatusList(), "[429,500]", (429, 500)),
        (StatusList(), "", ()),
        (FRUIT, "Pear, apple", ("pear", "apple")),
        (FRUIT, "[]", ()),
        (PRICE, '{"input": 1, "output": 2.5}', {"input": 1, "output": 2.5}),
    ],
)
def test_a_command_line_says_it_in_words(shape: Shape, text: str, kept: object) -> None:
    assert shape.parse(text) == kept


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Integer(1), "fast"),
        (Integer(1), "0"),
        (Integer(1), "9" * 5000),
        (Boolean(), "maybe"),
        (Choice(("a", "b")), "c"),
        (TEXT, " "),
        (StatusList(), "500 teapot"),
        (StatusList(), "200"),
        (ErrorRules(), '[{"status": 500, "kind": "auth"}]'),
    ],
)
def test_a_command_line_that_says_nonsense_is_refused(shape: Shape, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's business
        shape.parse(text)


def test_rules_that_are_rules_already_are_kept() -> None:
    rules = ErrorRules().check([RULE])

    assert ErrorRules().check(rules) == rules


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["https://a/v1", "KEY", "a", "auth", 400, 599, 1, 100, 503.0]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "match", "kind", "other"]), inner, max_size=4)
    ),
    max_leaves=6,
)
SHAPES: list[Shape] = [
    Integer(1),
    Integer(0),
    Integer(1, 100),
    Boolean(),
    Choice(("a", "b")),
    TEXT,
    BASE_URL,
    VARIABLE,
    StatusList(),
    ErrorRules(),
]


@given(st.sampled_from(SHAPES), JSON)
def test_shape_and_schema_never_disagree(shape: Shape, value: Any) -> None:
    try:
        shape.check(value)
    except ValueError:
        assert not takes(shape, value)
    else:
        assert takes(shape, value)


def takes(shape: Shape, value: object) -> bool:
    """Does the shape's JSON Schema take the value?"""
    validator = Draft202012Validator(shape.schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    return validator.is_valid(value)
