"""Neutral words, checked before another format says them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.wire import neutral as drawn
from understudy.wire.chat import ChatRequest
from understudy.wire.neutral import calls_of, check, parts_of

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def checked(*messages: Any, **fields: Any) -> None:
    check(ChatRequest(messages or (USER,), fields), "Gemini")


class TestTypes:
    """Rule 1."""

    @given(request=drawn.requests(drawn.Words()))
    def test_whatever_neutral_words_can_say_is_right(self, request: ChatRequest) -> None:
        check(request, "Gemini")

    @pytest.mark.parametrize(
        "fields",
        [
            {"temperature": None, "stop": None, "tools": None, "n": None},
            {"temperature": 1, "stop": ("a", "b"), "tools": ({},), "seed": 2**80},
            {"novelty": object(), "metadata": 7, "tool_choice": 7},
        ],
    )
    def test_nulls_whole_numbers_tuples_and_what_is_not_known_are_right(self, fields: dict[str, Any]) -> None:
        checked(**fields)

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("temperature", "x", "temperature: expected `float | null`, got `str`"),
            ("temperature", True, "temperature: expected `float | null`, got `bool`"),
            ("max_tokens", 1.5, "max_tokens: expected `int | null`, got `float`"),
            ("max_completion_tokens", [], "max_completion_tokens: expected `int | null`, got `array`"),
            ("stop", 7, "stop: expected `str | array | null`, got `int`"),
            ("stop", ["a", None], "stop[1]: expected `str`, got `null`"),
            ("service_tier", ["flex"], "service_tier: expected `str | null`, got `array`"),
            ("response_format", "json", "response_format: expected `object | null`, got `str`"),
            ("reasoning_effort", 7, "reasoning_effort: expected `str | null`, got `int`"),
            ("tools", 7, "tools: expected `array | null`, got `int`"),
            ("tools", {"f": 1}, "tools: expected `array | null`, got `object`"),
            ("logprobs", "yes", "logprobs: expected `bool | null`, got `str`"),
            ("modalities", "audio", "modalities: expected `array | null`, got `str`"),
            ("user", 7, "user: expected `str | null`, got `int`"),
        ],
    )
    def test_of_another_type_a_field_is_named(self, name: str, value: object, said: str) -> None:
        with pytest.raises(ValueError, match="expected") as caught:
            checked(**{name: value})
        assert str(caught.value) == said


class TestRefused:
    """Rule 2."""

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"functions": [{"name": "f"}]}, "Gemini has nothing like functions"),
            ({"function_call": "auto"}, "Gemini has nothing like function_call"),
            ({"audio": {"voice": "alloy"}}, "Gemini has nothing like audio"),
            ({"modalities": ["text", "audio"]}, "Gemini has nothing like spoken answers (modalities)"),
        ],
    )
    def test_what_changes_what_is_asked_is_refused(self, fields: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match="nothing like") as caught:
            checked(**fields)
        assert str(caught.value) == said

    def test_so_is_a_call_of_the_old_kind(self) -> None:
        with pytest.raises(ValueError, match="it wants tool_calls"):
            checked(USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}})

    def test_what_says_nothing_is_not(self) -> None:
        checked(functions=[], function_call=None, audio={}, modalities=["text"])
        checked(USER, {"role": "assistant", "content": "x", "function_call": None})


class TestResults:
    """Rule 3."""

    def test_a_result_answers_a_call_that_came_before_it(self) -> None:
        checked(CALLING, {"role": "tool", "tool_call_id": "c", "content": "x"})

    @pytest.mark.parametrize(
        "before", [(), ({**CALLING, "role": "user"},), ({"role": "assistant", "tool_calls": [{"id": "b"}]},)]
    )
    def test_or_it_is_refused(self, before: tuple[Any, ...]) -> None:
        result = {"role": "tool", "tool_call_id": "c", "content": "x"}
        with pytest.raises(ValueError, match="tool_call_id 'c' is not that of a call before it"):
            checked(*before, result)
        with pytest.raises(ValueError, match="not that of a call"):
            checked(*before, result, CALLING)

    def test_what_is_nothing_of_the_kind_is_left_to_the_encoder(self) -> None:
        odd = {"role": "assistant", "tool_calls": ["odd", {"id": 7}, {"id": ["x"]}]}
        checked("odd", odd, {"role": "tool", "tool_call_id": ["c"]}, {"role": "user", "tool_call_id": "c"})


class TestContent:
    """Rule 4."""

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            ("a", [{"type": "text", "text": "a"}]),
            ("", [{"type": "text", "text": ""}]),
            (None, []),
            (["a", 7], ["a", 7]),
            (({"type": "text"},), [{"type": "text"}]),
        ],
    )
    def test_is_a_list_of_parts(self, content: object, parts: list[Any]) -> None:
        assert list(parts_of({"content": content})) == parts

    def test_may_be_missing(self) -> None:
        assert (list(parts_of({})), list(calls_of({}))) == ([], [])

    @pytest.mark.parametrize("content", [7, {"type": "text", "text": "x"}, True])
    def test_anything_else_is_an_error(self, content: object) -> None:
        with pytest.raises(ValueError, match="content must be a string or a list of parts"):
            parts_of({"content": content})

    @pytest.mark.parametrize("calls", [7, {"id": "c"}, "c"])
    def test_so_are_calls_that_are_no_list(self, calls: object) -> None:
        with pytest.raises(ValueError, match="tool_calls must be a list"):
            calls_of({"tool_calls": calls})
        assert calls_of({"tool_calls": (CALL,)}) == (CALL,)
