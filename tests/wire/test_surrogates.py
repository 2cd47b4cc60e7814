"""Halves of characters: joined across pieces, replaced where they stay alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from understudy.wire.surrogates import SurrogateHalves

GRIN = "\U0001f600"
FIRST, SECOND = "\ud83d", "\ude00"


def joined(*pieces: str) -> str:
    halves = SurrogateHalves()
    return "".join(halves.join("text", piece) for piece in pieces) + halves.rest("text")


def test_two_halves_in_two_pieces_are_one_character() -> None:
    halves = SurrogateHalves()
    assert halves.join("text", "a" + FIRST) == "a"
    assert repr(halves) == "<SurrogateHalves, 1 held>"
    assert halves.join("text", SECOND + "b") == GRIN + "b"
    assert repr(halves) == "<SurrogateHalves, 0 held>"


def test_an_empty_piece_between_the_halves_changes_nothing() -> None:
    assert joined(FIRST, "", SECOND) == GRIN
    halves = SurrogateHalves()
    assert halves.join("text", FIRST) == halves.join("reasoning", "") == ""


def test_a_half_that_stays_alone_becomes_a_replacement_character() -> None:
    assert joined(FIRST, "x") == "�x"
    assert joined(SECOND, "x") == "�x"
    assert joined("x", FIRST) == "x�"
    assert joined(FIRST + FIRST, SECOND) == "�" + GRIN


def test_texts_are_told_apart_by_their_key() -> None:
    halves = SurrogateHalves()
    assert halves.join("text", FIRST) == ""
    assert halves.join("reasoning", SECOND) == "�"
    assert halves.owing() == ("text",)
    assert halves.rest("reasoning") == ""
    assert halves.rest("text") == "�"
    assert halves.owing() == ()


@given(st.lists(st.text()))
def test_whole_text_passes_as_it_came(pieces: list[str]) -> None:
    halves = SurrogateHalves()
    assert [halves.join("text", piece) for piece in pieces] == pieces


@given(st.text(alphabet=st.one_of(st.characters(), st.just(GRIN))), st.sets(st.integers(0, 40)))
def test_however_the_units_are_cut_the_text_is_the_same(text: str, cuts: set[int]) -> None:
    units = text.encode("utf-16-le")
    edges = [0, *sorted(cut * 2 for cut in cuts if cut * 2 < len(units)), len(units)]
    pieces = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(edges)]
    assert joined(*pieces) == text
