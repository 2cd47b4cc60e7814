"""A streamed answer in time."""

from __future__ import annotations

import itertools
from math import inf

import pytest

from understudy.errors import ConnectionReset
from understudy.simulate import openai_words
from understudy.simulate.canonical import Question, answer
from understudy.simulate.speech import LONGEST_GAP, Break, Piece, Speech
from understudy.simulate.words import Spoken
from understudy.wire import openai_chat
from understudy.wire.chat import ChatChunk


def speech(tokens: int, *, chunks: int = 3, pace: float = 0.01) -> Speech:
    text = answer(Question(1, tokens))
    return Speech(openai_words, Spoken("m", 1, 10, tokens, False), text, 100.0, pace, chunks)


def heard(pieces: list[Piece]) -> str:
    decoder = openai_chat.StreamDecoder(1, False, rules=(), secrets=())
    data = b"".join(what for _, what in pieces if isinstance(what, bytes))
    return "".join(item.text for item in decoder.feed(data) if isinstance(item, ChatChunk))


@pytest.mark.parametrize("tokens", [1, 2, 3, 60, 601])
@pytest.mark.parametrize("chunks", [2, 3, 8])
def test_all_pieces_together_are_the_answer(tokens: int, chunks: int) -> None:
    said = speech(tokens, chunks=chunks, pace=0.001)
    pieces = list(said.pieces())
    assert heard(pieces) == said.text
    assert pieces[0][0] == 100.0
    assert pieces[-1][0] == said.last == pytest.approx(100.0 + (tokens - 1) * 0.001)
    assert [when for when, _ in pieces] == sorted(when for when, _ in pieces)
    assert len(pieces) == (2 if tokens == 1 else min(chunks, tokens))


def test_no_gap_is_longer_than_the_longest() -> None:
    moments = [when for when, _ in speech(600, chunks=2, pace=0.1).pieces()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(gaps) == 12
    assert max(gaps) <= LONGEST_GAP + 0.1


@pytest.mark.parametrize("said", [1, 2, 30, 60])
@pytest.mark.parametrize("failure", ["cut", "ended", "error", "stall"])
def test_what_breaks_off_has_said_so_many_tokens(failure: str, said: int) -> None:
    whole = speech(60)
    pieces = list(whole.broken(Break(failure, whole.at(said), said)))
    assert heard(pieces) == whole.text[: said * 4]


def test_each_way_to_break_off_has_its_end() -> None:
    whole = speech(60)
    ends = {
        failure: list(whole.broken(Break(failure, 101.0, 9)))[-1]
        for failure in ("cut", "ended", "error", "stall")
    }
    assert isinstance(ends["cut"][1], ConnectionReset)
    assert ends["ended"] == (101.0, b"")
    assert ends["error"] == (101.0, b"")
    assert ends["stall"] == (inf, b"")
    (_, event), _ = list(whole.broken(Break("error", 101.0, 9)))[-2:]
    assert isinstance(event, bytes)
    assert b'"error"' in event


def test_what_breaks_off_before_its_first_token_has_said_nothing() -> None:
    (only,) = speech(60).broken(Break("cut", 99.0, 0))
    assert only[0] == 99.0
    assert isinstance(only[1], ConnectionReset)
