"""Reasoning and state, put together and found again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.wire.state import FIELD, ProviderState
from understudy.wire.thoughts import blocks_of, parts_left_out, readable, states_of, without_state


def state(text: str = "", issuer: str = "a") -> ProviderState:
    return ProviderState(issuer, "k", "v", text)


class TestBlocks:
    @pytest.mark.parametrize(
        ("reasoning", "texts", "blocks"),
        [
            ("", [], []),
            ("Hm", [], [("Hm", None)]),
            (" ", [], [(" ", None)]),
            ("", [""], [("", "")]),
            ("", ["Hm"], [("", "Hm")]),
            ("Hm", ["Hm"], [("Hm", "Hm")]),
            ("Hm", [""], [("Hm", None), ("", "")]),
            (" ", [""], [("", "")]),
            ("Hm", ["", ""], [("Hm", None), ("", ""), ("", "")]),
            ("Hm So", ["", "Hm"], [("", ""), ("Hm", "Hm"), (" So", None)]),
            ("Hm\n\nSo", ["Hm", "So"], [("Hm", "Hm"), ("So", "So")]),
            ("Well Hm So", ["Hm"], [("Well ", None), ("Hm", "Hm"), (" So", None)]),
            ("Hm ", ["Hm"], [("Hm", "Hm")]),
            ("m", ["Hm"], [("m", None), ("", "Hm")]),
            ("x", ["Hm"], [("", "Hm"), ("x", None)]),
        ],
    )
    def test_reasoning_is_cut_at_the_texts_of_its_states(
        self, reasoning: str, texts: list[str], blocks: list[tuple[str, str | None]]
    ) -> None:
        cut = blocks_of(reasoning, map(state, texts))
        assert [(text, vouching and vouching.text) for text, vouching in cut] == blocks

    @given(st.text("ab "), st.lists(st.text("ab", max_size=2), max_size=3))
    def test_no_state_and_no_letter_is_lost(self, reasoning: str, texts: list[str]) -> None:
        states = [state(text) for text in texts]
        blocks = blocks_of(reasoning, states)
        assert [vouching for _, vouching in blocks if vouching] == states
        assert "".join(text for text, _ in blocks).count("a") == reasoning.count("a")


class TestMessages:
    def test_a_format_finds_its_own_states(self) -> None:
        states = [state(issuer="a"), state(issuer="b"), state("x", issuer="a")]
        message = {"role": "assistant", "provider_state": [each.to_dict() for each in states]}
        assert states_of(message, "a") == [states[0], states[2]]
        assert states_of({"role": "assistant"}, "a") == states_of({"provider_state": None}, "a") == []

    @pytest.mark.parametrize(
        "odd", ["odd", 7, [7], [{"issuer": "a"}], [{"issuer": 7, "kind": "k", "value": "v"}]]
    )
    def test_odd_state_is_an_error(self, odd: object) -> None:
        with pytest.raises(ValueError, match="provider_state: "):
            states_of({"provider_state": odd}, "a")

    def test_a_message_without_state_is_the_message_itself(self) -> None:
        message = {"role": "assistant", "content": "a"}
        assert without_state(message) is message
        assert without_state({**message, "provider_state": []}) == message

    @pytest.mark.parametrize(
        ("message", "lost"),
        [
            ({}, ()),
            ({"name": None, "reasoning_content": ""}, ()),
            ({"name": "n"}, ("messages[].name",)),
            ({"reasoning_content": "Hm"}, ("messages[].reasoning_content",)),
            (
                {"reasoning_content": "Hm", "provider_state": [state(issuer="b").to_dict()]},
                ("messages[].reasoning_content",),
            ),
            ({"reasoning_content": "Hm", "provider_state": [state().to_dict()]}, ()),
        ],
    )
    def test_what_is_left_out_is_named_once(self, message: dict[str, Any], lost: tuple[str, ...]) -> None:
        assert parts_left_out([message, {}, message], "a") == lost


@pytest.mark.parametrize(
    ("state", "stays"),
    [
        ({"issuer": "gemini", "kind": "k", "value": "v", "origin": "here"}, True),
        ({"issuer": "gemini", "kind": "k", "value": "v"}, True),
        ({"issuer": "gemini", "kind": "k", "value": "v", "origin": "there"}, False),
        ({"issuer": "anthropic", "kind": "k", "value": "v", "origin": "there"}, True),
        ("odd", True),
    ],
)
def test_what_the_same_format_issued_elsewhere_is_not_readable(state: Any, stays: bool) -> None:
    said = {"role": "assistant", "content": "x", FIELD: [state]}
    assert readable(said, "gemini", "here") == {**said, FIELD: [state] if stays else []}


def test_what_is_no_list_of_states_is_left_to_the_encoder() -> None:
    said = {"role": "assistant", FIELD: "odd"}
    assert readable(said, "gemini", "here") is said
