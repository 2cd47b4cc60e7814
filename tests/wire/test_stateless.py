"""What is left of a client's own request where a backend cannot read the state in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from understudy.wire import anthropic_messages, openai_chat, openai_responses

USER = {"role": "user", "content": "Hi"}
BUDGET = {"type": "enabled", "budget_tokens": 2048}
SIGNED = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
REDACTED = {"type": "redacted_thinking", "data": "Emw"}
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c"}
TEXT = {"type": "text", "text": 'say "type": "thinking"'}
CLEARING = {"type": "clear_thinking_20251015", "keep": "all"}
TRIMMING = {"type": "clear_tool_uses_20250919"}


def cut(**fields: Any) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(fields).encode(), type=dict[str, msgspec.Raw])


def said(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    assert fields is not None
    return {name: msgspec.json.decode(raw) for name, raw in fields.items()}


def turn(*blocks: Any, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


class TestAnthropic:
    def test_thoughts_go_and_so_does_a_turn_of_nothing_else(self) -> None:
        fields = cut(messages=[USER, turn(SIGNED, REDACTED, TEXT), turn(SIGNED), USER], novelty=1)
        left = {"messages": [USER, turn(TEXT), USER], "novelty": 1}
        assert said(anthropic_messages.stateless(fields)) == left

    @pytest.mark.parametrize(
        "messages",
        [
            [USER],
            [{"role": "assistant", "content": 'I say "type": "thinking".'}],
            [turn(TEXT, "odd")],
            [turn({"type": "tool_use", "id": "c", "name": "f", "input": {"type": "thinking"}})],
        ],
    )
    def test_without_thoughts_there_is_nothing_to_leave_out(self, messages: list[Any]) -> None:
        assert anthropic_messages.stateless(cut(messages=messages)) is None

    def test_a_request_without_messages_has_no_thoughts(self) -> None:
        assert anthropic_messages.stateless({}) is None

    def test_what_is_left_is_sent_without_a_budget_in_the_middle_of_tool_use(self) -> None:
        turns = [USER, turn(SIGNED, USE), turn(RESULT, role="user")]
        fields = cut(messages=turns, thinking=BUDGET, max_tokens=9000)
        assert anthropic_messages.left_out_native(fields) == ()
        stateless: Any = anthropic_messages.stateless(fields)
        assert anthropic_messages.left_out_native(stateless) == ("thinking",)
        assert "thinking" not in encoded(stateless)

    @pytest.mark.parametrize(
        ("thinking", "thought", "left_out"),
        [
            (BUDGET, {**SIGNED, "signature": "understudy.W10"}, ("thinking",)),
            (BUDGET, {**SIGNED, "signature": ""}, ("thinking",)),
            (BUDGET, SIGNED, ()),
            ({"type": "adaptive"}, {**SIGNED, "signature": ""}, ()),
            (None, {**SIGNED, "signature": ""}, ()),
        ],
    )
    def test_thinking_is_named_where_others_thoughts_leave_no_room_for_it(
        self, thinking: Any, thought: Any, left_out: tuple[str, ...]
    ) -> None:
        fields = cut(messages=[USER, turn(thought, USE), turn(RESULT, role="user")], thinking=thinking)
        assert anthropic_messages.left_out_native(fields) == left_out
        assert encoded(fields).get("thinking") == (None if left_out else thinking)

    def test_a_request_of_nothing_is_told_whole(self) -> None:
        assert anthropic_messages.left_out_native(cut(thinking=BUDGET)) == ()

    @pytest.mark.parametrize(
        ("managed", "kept"),
        [
            ({"edits": [CLEARING, TRIMMING, "odd"]}, {"edits": [TRIMMING, "odd"]}),
            ({"edits": "odd"}, {"edits": "odd"}),
            ("odd", "odd"),
        ],
    )
    def test_without_thinking_no_thoughts_are_to_be_cleared_away(self, managed: Any, kept: Any) -> None:
        turns = [USER, turn(USE), turn(RESULT, role="user")]
        fields = cut(messages=turns, thinking=BUDGET, context_management=managed)
        assert encoded(fields)["context_management"] == kept
        del fields["thinking"]
        assert encoded(fields)["context_management"] == managed
        assert encoded(fields, thinking=BUDGET)["context_management"] == kept


def encoded(fields: Mapping[str, msgspec.Raw], **defaults: Any) -> dict[str, Any]:
    body = anthropic_messages.encode_native(
        fields, model="m", stream=False, include_usage=False, defaults=defaults
    )
    value: dict[str, Any] = json.loads(body)
    return value


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
DETAILED = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.encrypted"}]}


class TestResponses:
    def test_reasoning_goes_and_so_do_the_ids_that_it_is_known_by(self) -> None:
        fields = cut(input=[USER, REASONING, CALL, "odd"], store=False)
        call = {name: value for name, value in CALL.items() if name != "id"}
        assert said(openai_responses.stateless(fields)) == {"input": [USER, call, "odd"], "store": False}

    @pytest.mark.parametrize("given", ["Hi", [USER], [{"role": "user", "content": [{"type": "reasoning"}]}]])
    def test_without_reasoning_there_is_nothing_to_leave_out(self, given: Any) -> None:
        assert openai_responses.stateless(cut(input=given)) is None
        assert openai_responses.left_out_native(cut(input=given)) == ()


class TestChat:
    def test_the_details_of_reasoning_go(self) -> None:
        fields = cut(messages=[USER, DETAILED], top_p=1)
        bare = {"role": "assistant", "content": "x"}
        assert said(openai_chat.stateless(fields)) == {"messages": [USER, bare], "top_p": 1}

    @pytest.mark.parametrize(
        "messages", [[USER], [{"role": "user", "content": [{"type": "x", "reasoning_details": []}]}]]
    )
    def test_without_any_there_is_nothing_to_leave_out(self, messages: list[Any]) -> None:
        assert openai_chat.stateless(cut(messages=messages)) is None
        assert openai_chat.left_out_native(cut(messages=messages)) == ()
