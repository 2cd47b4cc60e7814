"""The head of an answer."""

from __future__ import annotations

from understudy.runtime.head import head_size, joined_headers


def test_names_are_lower_case_and_repeated_values_joined_in_order() -> None:
    pairs = [("X-Part", "a"), ("Date", "now"), ("x-part", "b"), ("X-PART", "c")]
    assert joined_headers(pairs) == {"x-part": "a, b, c", "date": "now"}


def test_utf8_that_a_parser_smuggled_through_is_read_as_such() -> None:
    smuggled = "žluť".encode().decode("ascii", "surrogateescape")
    assert joined_headers([("x", smuggled), ("y", "žluť")]) == {"x": "žluť", "y": "žluť"}


def test_other_bytes_are_read_as_latin_1_and_can_be_encoded_again() -> None:
    smuggled = b"caf\xe9".decode("ascii", "surrogateescape")
    headers = joined_headers([("x", smuggled)])
    assert headers == {"x": "café"}
    headers["x"].encode()


def test_the_size_counts_what_the_line_costs_on_the_wire() -> None:
    lines = b"date: now\r\nx-part: a\r\n"
    assert head_size([(b"date", b"now"), (b"x-part", b"a")]) == len(lines)
    assert head_size([("date", "now"), ("x-part", "a")]) == len(lines)
