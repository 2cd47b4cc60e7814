"""Reasoning items as state and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.wire.responses_state import NAME, item_of, state_of
from understudy.wire.state import ProviderState, tagged, untagged


def test_an_item_is_kept_with_all_that_it_needs() -> None:
    state = state_of("gAAAAA", "rs_1", "Hm")
    assert (state.issuer, state.kind, state.text, state.call) == (NAME, "reasoning", "Hm", "")
    assert item_of(state) == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "gAAAAA",
    }


def test_an_id_and_a_summary_may_be_missing() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"}
    assert item_of(state_of("gAAAAA", None, "")) == item


@given(st.text(), st.text(min_size=1), st.text())
def test_a_word_carries_it_through_any_protocol(encrypted: str, item_id: str, summary: str) -> None:
    state = state_of(
        encrypted.encode(errors="replace").decode(), item_id.encode(errors="replace").decode(), summary
    )
    assert untagged(tagged(state), summary) == state


@pytest.mark.parametrize("value", ["", "gAAAAA", "[]", '{"id":"rs_1"}'])
def test_what_is_no_item_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="no reasoning item"):
        item_of(ProviderState(NAME, "reasoning", value))
