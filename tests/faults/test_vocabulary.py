"""The table of words: what holds for every one of them."""

from __future__ import annotations

import pytest

from tests.faults.raw import play
from understudy.faults.script import Script
from understudy.faults.vocabulary import KINDS, WORDS
from understudy.faults.word import Word

EVERY = pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
ENDLESS = {"pings": "pings every=2s times=3", "flood": "flood 500 size=100KB", "tokens": "tokens 500"}


def test_a_word_stands_in_the_table_once() -> None:
    assert len(WORDS) == sum(map(len, KINDS.values()))


@EVERY
def test_every_word_has_a_meaning_and_an_example_of_itself(word: Word) -> None:
    assert word.meaning
    (step,) = Script.parse(word.example).steps
    assert step.clauses[0].word is word


@EVERY
def test_the_options_of_a_word_are_named_once_and_the_bare_ones_come_first(word: Word) -> None:
    names = [option.name for option in word.options]
    assert len(set(names)) == len(names)
    bare = [option.bare for option in word.options]
    assert bare == sorted(bare, reverse=True)


@EVERY
@pytest.mark.parametrize("asked", [True, False], ids=["stream", "unary"])
async def test_every_example_can_be_played(word: Word, asked: bool) -> None:
    script = ENDLESS.get(word.name, word.example)
    answer = await play(script, time_scale=0.0001, stream=asked)
    assert answer.head or word.name == "garbage"


def test_only_words_for_healthy_answers_shape_them() -> None:
    shaping = {word.name for word in WORDS.values() if word.shapes_answer}
    assert shaping == {word.name for word in KINDS["Other healthy answers"]}
