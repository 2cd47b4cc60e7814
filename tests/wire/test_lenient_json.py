"""JSON with texts that are not quite Unicode."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from understudy.wire.lenient_json import decoded, encoded


def test_any_mapping_and_sequence_is_written() -> None:
    assert encoded(MappingProxyType({"a": range(2)})) == b'{"a":[0,1]}'


def test_half_a_surrogate_pair_is_written_escaped() -> None:
    assert encoded(MappingProxyType({"a": ("\ud83d",), "b": "é"})) == rb'{"a":["\ud83d"],"b":"\u00e9"}'


def test_what_is_no_json_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="complex is not JSON"):
        encoded({"a": 1j})


def test_halves_broken_utf8_and_control_characters_are_read() -> None:
    assert decoded(b'["\\ud83d", "\xff", "\x01"]') == ["\ud83d", "\ufffd", "\x01"]


def test_what_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        decoded(b"{nonsense")
