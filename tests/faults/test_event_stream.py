from __future__ import annotations

import pytest

from understudy.faults.event_stream import ArrayFramer, Framer
from understudy.faults.plan import Style

JSON = b'{"a":1,"b":2}'


def framed(style: Style, *data: bytes) -> bytes:
    framer = Framer(style)
    return b"".join(map(framer.frame, data or (JSON,)))


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style(), b'data: {"a":1,"b":2}\n\n'),
        (Style(line="\r\n"), b'data: {"a":1,"b":2}\r\n\r\n'),
        (Style(line="\r"), b'data: {"a":1,"b":2}\r\r'),
        (Style(space=False), b'data:{"a":1,"b":2}\n\n'),
        (Style(multiline=True), b'data: {\ndata: "a":1,"b":2}\n\n'),
        (Style(comments=True), b': still here\n\ndata: {"a":1,"b":2}\n\n'),
        (Style(fields=True), b'event: message\nid: 1\nretry: 3000\ndata: {"a":1,"b":2}\n\n'),
        (Style(bom=True), b'\xef\xbb\xbfdata: {"a":1,"b":2}\n\n'),
    ],
)
def test_an_event_in_every_style(style: Style, expected: bytes) -> None:
    assert framed(style) == expected


def test_the_name_of_an_event_comes_before_its_data_in_the_same_style() -> None:
    def named(style: Style) -> bytes:
        return Framer(style).frame(JSON, "ping")

    assert named(Style()) == b'event: ping\ndata: {"a":1,"b":2}\n\n'
    assert named(Style(space=False)) == b'event:ping\ndata:{"a":1,"b":2}\n\n'
    assert named(Style(fields=True)) == b'event: ping\nid: 1\nretry: 3000\ndata: {"a":1,"b":2}\n\n'


def test_only_json_is_written_on_several_lines() -> None:
    assert framed(Style(multiline=True), b"[DONE]") == b"data: [DONE]\n\n"


def test_a_byte_order_mark_comes_once_and_ids_count_up() -> None:
    data = framed(Style(bom=True, fields=True), JSON, JSON)
    assert data.count(b"\xef\xbb\xbf") == 1
    assert b"id: 2\n" in data


def test_bytes_that_are_no_utf8_pass_through() -> None:
    assert framed(Style(), b"\xff\xfe\x00") == b"data: \xff\xfe\x00\n\n"


def test_lines_end_as_the_providers_own_do_unless_the_style_says_how() -> None:
    assert Framer(Style(), "\r\n").frame(JSON) == b'data: {"a":1,"b":2}\r\n\r\n'
    assert Framer(Style(line="\n"), "\r\n").frame(JSON) == b'data: {"a":1,"b":2}\n\n'
    assert Framer(Style()).last() == b""


def test_events_can_be_the_elements_of_an_array() -> None:
    framer = ArrayFramer()
    assert framer.frame(JSON) == b'[{"a":1,"b":2}'
    assert framer.frame(JSON, "name") == b',\r\n{"a":1,"b":2}'
    assert framer.last() == b"\n]"


def test_an_array_without_elements_is_nothing() -> None:
    assert ArrayFramer().last() == b""
