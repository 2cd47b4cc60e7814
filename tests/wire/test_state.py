"""State that only its issuer understands, packed into one word."""

from __future__ import annotations

import pytest

from understudy.wire.state import ProviderState, is_tagged, tagged, untagged

STATE = ProviderState("gemini", "thoughtSignature", "c2ln/+8=", call="call_1", origin="0a1b2c")


def test_what_was_tagged_comes_back_with_the_text_that_stood_beside_it() -> None:
    word = tagged(STATE)
    assert is_tagged(word)
    assert word.isascii()
    assert " " not in word
    assert untagged(word, "Hm") == ProviderState(
        "gemini", "thoughtSignature", "c2ln/+8=", "Hm", "call_1", "0a1b2c"
    )


@pytest.mark.parametrize("word", ["", "EqQBCkYI", "understudy", "Understudy.W10"])
def test_a_providers_own_word_is_not_ours(word: str) -> None:
    assert not is_tagged(word)
    assert untagged(word) is None


@pytest.mark.parametrize("packed", ["", "x", "W10", "WyJhIl0", "é", "!!!!", "bm8ganNvbg"])
def test_a_damaged_word_is_nothing(packed: str) -> None:
    assert untagged(f"understudy.{packed}") is None


def test_a_dictionary_of_it_holds_what_is_there() -> None:
    assert STATE.to_dict() == {
        "issuer": "gemini",
        "kind": "thoughtSignature",
        "value": "c2ln/+8=",
        "call": "call_1",
        "origin": "0a1b2c",
    }
