"""Facts about putting an answer together."""

from __future__ import annotations

from dataclasses import replace

from understudy.errors import AttemptEntry
from understudy.library.answer import MANY, Answer, AnswerParts, Choice, ToolCall
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage


def answer(*chunks: ChatChunk) -> Answer:
    parts = AnswerParts()
    for chunk in chunks:
        parts.add(chunk)
    return Answer(parts.choices(), "a", "m", Usage(1, 2), ())


def test_pieces_are_joined_unchanged_and_the_last_finish_reason_stays() -> None:
    whole = answer(
        ChatChunk(text="To"),
        ChatChunk(reasoning="hm", refusal="no"),
        ChatChunk(text=" be", finish_reason="stop"),
        ChatChunk(),
    )
    assert (whole.text, whole.reasoning, whole.refusal, whole.finish_reason) == ("To be", "hm", "no", "stop")
    assert str(whole) == "To be"


def test_many_pieces_are_the_same_answer_looked_at_at_any_time() -> None:
    parts, said = AnswerParts(), ""
    for number in range(3 * MANY):
        parts.add(ChatChunk(text=f"{number} ", index=0))
        said += f"{number} "
        if number % 100 == 0:
            assert parts.choices()[0].text == said
        assert len(parts._new) <= MANY
    assert parts.choices()[0].text == said


def test_tool_calls_are_put_together_by_index_also_interleaved() -> None:
    whole = answer(
        ChatChunk(tool_calls=(ToolCallDelta(1, "c2", "look", '{"b'),)),
        ChatChunk(tool_calls=(ToolCallDelta(0, "c1", "hear", '{"a'),)),
        ChatChunk(tool_calls=(ToolCallDelta(1, arguments='":2}'), ToolCallDelta(0, arguments='":1}'))),
        ChatChunk(tool_calls=(ToolCallDelta(2),)),
    )
    assert whole.tool_calls == (
        ToolCall("c1", "hear", '{"a":1}'),
        ToolCall("c2", "look", '{"b":2}'),
        ToolCall(None, "", ""),
    )
    assert whole.tool_calls[0].to_dict() == {"id": "c1", "name": "hear", "arguments": '{"a":1}'}


def test_several_choices_are_kept_apart() -> None:
    whole = answer(ChatChunk(text="b", index=1), ChatChunk(text="a", index=0))
    assert [choice.text for choice in whole.choices] == ["a", "b"]
    assert whole.text == "a"


def test_an_answer_without_chunks_is_one_empty_choice() -> None:
    assert answer().choices == (Choice(0),)


def test_the_dictionary_is_the_command_lines_object() -> None:
    assert answer(ChatChunk(text="Hi", finish_reason="stop")).to_dict() == {
        "answer": "Hi",
        "finish_reason": "stop",
        "tool_calls": [],
        "backend": "a",
        "model": "m",
        "usage": {"input_tokens": 1, "output_tokens": 2, "estimated": False},
        "trail": [],
    }


def test_an_answer_costs_what_all_of_its_attempts_did() -> None:
    entries = tuple(
        AttemptEntry("a", 1, "success", 200, 0.0, 0.1, None, cost_usd=usd) for usd in (0.5, None, 0.25)
    )
    whole = answer(ChatChunk(text="To be"))
    assert whole.cost_usd is None
    assert replace(whole, trail=entries).cost_usd == 0.75
