"""The answer that everybody knows."""

from __future__ import annotations

import json

import pytest

from understudy.simulate.canonical import LONGEST, Question, answer, asked, prompt
from understudy.wire.chat import estimate_tokens


@pytest.mark.parametrize("tokens", [1, 2, 60, LONGEST])
def test_an_answer_has_its_length_in_tokens(tokens: int) -> None:
    text = answer(Question(7, tokens))
    assert estimate_tokens(len(text)) == tokens
    assert text[-1] == "."
    assert text.isascii()
    assert json.dumps(text) == f'"{text}"'


def test_an_answer_is_neither_empty_nor_longer_than_the_longest() -> None:
    assert len(answer(Question(1, 0))) == 4
    assert answer(Question(1, LONGEST + 5)) == answer(Question(1, LONGEST))


def test_requests_and_wordings_have_answers_of_their_own() -> None:
    texts = {answer(Question(number, 20), wording) for number in range(50) for wording in range(3)}
    assert len(texts) == 150


@pytest.mark.parametrize("tokens", [0, 5, 400, 3000])
def test_a_prompt_says_who_asks(tokens: int) -> None:
    text = prompt(Question(17, 120), 3, tokens)
    assert asked(text) == Question(17, 120)
    assert estimate_tokens(len(text)) == max(tokens, estimate_tokens(len("session 3: \n#17 120")))


def test_prompts_of_a_session_begin_alike_and_others_do_not() -> None:
    first, second, other = (
        prompt(Question(1, 5), 1, 50),
        prompt(Question(2, 5), 1, 50),
        prompt(Question(3, 5), 2, 50),
    )
    assert first[:180] == second[:180]
    assert first[:11] != other[:11]


def test_another_prompt_is_none_of_ours() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        asked("hello")
