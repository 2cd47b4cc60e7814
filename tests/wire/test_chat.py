"""The neutral chat values: what a caller may hand in, what counts as content."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.wire.chat import (
    ChatChunk,
    ChatRequest,
    ToolCallDelta,
    Usage,
    estimate_tokens,
)
from understudy.wire.state import ProviderState

MESSAGES = ({"role": "user", "content": "Hi"},)


def test_a_request_is_made_of_a_prompt_a_list_or_a_request() -> None:
    request = ChatRequest(MESSAGES, {"n": 2})
    assert ChatRequest.of("Hi", {"n": 2}) == request
    assert ChatRequest.of([{"role": "user", "content": "Hi"}], {"n": 2}) == request
    assert ChatRequest.of(request, {}) is request
    assert ChatRequest.of(request, {"n": 3, "top_p": 1}) == ChatRequest(MESSAGES, {"n": 3, "top_p": 1})


def test_a_list_handed_in_may_change_afterwards() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    request = ChatRequest.of(messages, {})
    messages.clear()
    assert request.messages == MESSAGES


def test_with_other_fields_its_messages_stay() -> None:
    assert ChatRequest(MESSAGES, {"n": 2}).with_fields({"n": 3}) == ChatRequest(MESSAGES, {"n": 3})


@pytest.mark.parametrize(("n", "choices"), [(3, 3), (1, 1), (0, 1), (-2, 1), (None, 1), ("2", 1)])
def test_one_choice_unless_more_were_asked_for(n: object, choices: int) -> None:
    assert ChatRequest(MESSAGES, {"n": n}).choices == choices
    assert ChatRequest(MESSAGES).choices == 1


@pytest.mark.parametrize(
    ("options", "wants"),
    [
        ({"include_usage": True}, True),
        ({"include_usage": False}, False),
        ({}, False),
        (None, False),
        ("include_usage", False),
        ([True], False),
    ],
)
def test_usage_is_wanted_only_where_it_was_asked_for(options: object, wants: bool) -> None:
    assert ChatRequest(MESSAGES, {"stream_options": options}).wants_usage is wants
    assert ChatRequest(MESSAGES).wants_usage is False


@pytest.mark.parametrize(
    "chunk",
    [
        ChatChunk("x"),
        ChatChunk(" x"),
        ChatChunk(reasoning="x"),
        ChatChunk(refusal=" "),
        ChatChunk(audio={"id": "a"}),
        ChatChunk(tool_calls=(ToolCallDelta(0, name="f"),)),
        ChatChunk(tool_calls=(ToolCallDelta(0), ToolCallDelta(1, arguments=" "))),
    ],
)
def test_what_is_content(chunk: ChatChunk) -> None:
    assert chunk.has_content


@pytest.mark.parametrize(
    "chunk",
    [
        ChatChunk(),
        ChatChunk("\n ", reasoning=" \t"),
        ChatChunk(finish_reason="stop", usage=Usage(1, 2), model="m", id="i", raw=b"{}"),
        ChatChunk(tool_calls=(ToolCallDelta(0, "call_1"),)),
    ],
)
def test_what_is_not(chunk: ChatChunk) -> None:
    assert not chunk.has_content


@pytest.mark.parametrize(
    "known",
    [
        {"id": "i"},
        {"model": "m"},
        {"finish_reason": "stop"},
        {"text": " "},
        {"reasoning": " "},
        {"refusal": " "},
        {"tool_calls": (ToolCallDelta(0),)},
        {"audio": {"id": "a"}},
        {"annotations": ({},)},
        {"logprobs": ({},)},
        {"state": (ProviderState("a", "k", "v"),)},
    ],
)
def test_whatever_is_known_or_said_is_of_an_answer(known: dict[str, Any]) -> None:
    assert ChatChunk(**known).is_of_an_answer


def test_an_event_about_something_else_is_not() -> None:
    assert not ChatChunk(id="", model="", raw=b'{"prompt_filter_results":[]}').is_of_an_answer


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_characters_are_a_token(characters: int, tokens: int) -> None:
    assert estimate_tokens(characters) == tokens


def test_usage_as_a_dictionary_names_the_three_that_users_read() -> None:
    assert Usage(1, 2, True, 3, 4).to_dict() == {"input_tokens": 1, "output_tokens": 2, "estimated": True}
