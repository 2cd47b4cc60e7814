from __future__ import annotations

from understudy.faults.answer import CANONICAL, NO_FINISH, TEXT, TOKENS, Answer, Call, ToolCall

TOOL = ToolCall("get_weather", '{"city": "東京"}', "call_1")


def test_the_canonical_answer_has_sixty_tokens_and_multibyte_characters() -> None:
    assert len(TOKENS) == 60
    assert "".join(TOKENS) == TEXT == CANONICAL.text
    assert CANONICAL.output_tokens == 60
    assert {"再", "🎭", "é", "—"} <= set(TEXT)


def test_no_token_of_it_is_white_space_alone_for_that_is_no_content() -> None:
    assert all(token.strip() for token in TOKENS)


def test_a_tool_call_counts_one_token_for_its_name_and_one_per_piece() -> None:
    answer = Answer(tokens=(), tool_calls=(TOOL, TOOL), piece=5)
    assert answer.pieces(TOOL) == ['{"cit', 'y": "', '東京"}']
    assert answer.output_tokens == 2 * (1 + 3)


def test_reasoning_counts() -> None:
    assert Answer(reasoning=("a", "b")).output_tokens == 62


def test_the_finish_reason_follows_from_what_was_said() -> None:
    assert Answer().finish_reason == "stop"
    assert Answer(tool_calls=(TOOL,)).finish_reason == "tool_calls"
    assert Answer(finish="length").finish_reason == "length"
    assert Answer(finish=NO_FINISH).finish_reason is None


def test_another_text_is_a_token_per_word() -> None:
    answer = CANONICAL.saying("one two  three")
    assert answer.tokens == ("one", " two", " ", " three")
    assert answer.text == "one two  three"


def test_another_length_repeats_the_canonical_tokens() -> None:
    assert CANONICAL.of_length(3).tokens == TOKENS[:3]
    assert CANONICAL.of_length(125).tokens == (*TOKENS, *TOKENS, *TOKENS[:5])
    assert CANONICAL.of_length(0).text == ""


def test_four_characters_of_a_prompt_are_a_token() -> None:
    assert [Call("m", prompt_size=size).input_tokens for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_an_answer_that_was_begun_goes_on_where_it_was_left() -> None:
    assert CANONICAL.going_on("The sh").tokens[:3] == ("ow", " goes", " on")
    assert CANONICAL.going_on("The show").tokens == TOKENS[2:]
    assert CANONICAL.going_on(TEXT).tokens == ()


def test_one_that_was_begun_otherwise_is_said_in_whole() -> None:
    assert CANONICAL.going_on("the show") is CANONICAL
    assert CANONICAL.going_on("") is CANONICAL
