"""Event streams: the format's rules, any split of the bytes, linear time, bounded memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import ProtocolViolation
from understudy.wire.sse import Event, EventStream, framed


def fed(pieces: Iterable[bytes], limit: int = 1 << 20) -> list[Event]:
    stream = EventStream(limit)
    return [event for piece in pieces for event in stream.feed(piece)]


def plain_events(data: bytes) -> list[Event]:
    """The whole of a stream at once, written as the standard reads. It knows nothing of pieces."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[Event] = []
    buffer, name, last_id = b"", "", ""
    for line in text.split(b"\n")[:-1]:
        if line == b"":
            if buffer:
                events.append(Event(buffer[:-1], name or "message", last_id))
            buffer, name = b"", ""
        elif line.startswith(b":"):
            continue
        else:
            field, colon, value = line.partition(b":")
            if colon and value.startswith(b" "):
                value = value[1:]
            if field == b"data":
                buffer += value + b"\n"
            elif field == b"event":
                name = value.decode("utf-8", "replace")
            elif field == b"id" and b"\x00" not in value:
                last_id = value.decode("utf-8", "replace")
    return events


FIELDS = (
    b"data|data:|data: x|data:x|data:  two|event: ping|event|: c|:|id: 7|id|id: a\x00b|retry: 10|unknown: x"
    b"| data: x|data: \xe4\xbd\xa0"
)
LINES = st.one_of(
    st.just(b""),
    st.sampled_from(FIELDS.split(b"|")),
    st.binary(max_size=8).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"")),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=24).flatmap(
    lambda lines: st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]).map(
        lambda mark: mark + b"".join(line + end for line, end in lines)
    )
)


class TestFormat:
    @pytest.mark.parametrize(
        ("data", "events"),
        [
            (b"data: one\n\ndata: two\n\n", [Event(b"one"), Event(b"two")]),
            (b"data:one\n\n", [Event(b"one")]),
            (b"data:  one\n\n", [Event(b" one")]),
            (b"data: a\ndata: b\ndata\n\n", [Event(b"a\nb\n")]),
            (b"data:\n\n", [Event(b"")]),
            (b"data\n\n", [Event(b"")]),
            (b"event: error\ndata: x\n\ndata: y\n\n", [Event(b"x", "error"), Event(b"y")]),
            (b"event:\ndata: x\n\n", [Event(b"x", "message")]),
            (b"event: ping\n\ndata: x\n\n", [Event(b"x")]),
            (b"id: 7\ndata: x\n\ndata: y\n\n", [Event(b"x", id="7"), Event(b"y", id="7")]),
            (b"id: a\0b\ndata: x\n\n", [Event(b"x")]),
            (b"id: 7\n\nid\ndata: x\n\n", [Event(b"x")]),
            (b"retry: 10\ndata: x\nother: y\n\n", [Event(b"x")]),
            (b": note\n\ndata: x\n\n", [Event(b"x")]),
            (b"\n\n\ndata: x\n\n\n\n", [Event(b"x")]),
            (b"data: x\r\rdata: y\r\n\r\n", [Event(b"x"), Event(b"y")]),
            (b"data: x\r\n\ndata: y\n\r\n", [Event(b"x"), Event(b"y")]),
            (b"\xef\xbb\xbfdata: x\n\n", [Event(b"x")]),
            (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
            (b"data: x\n\ndata: \xef\xbb\xbf\n\n", [Event(b"x"), Event(b"\xef\xbb\xbf")]),
            (b" data: x\n\n", []),
            (b"event: \xff\nid: \xfe\ndata: \xff\n\n", [Event(b"\xff", "�", "�")]),
        ],
    )
    def test_reads_what_the_standard_says_whole_and_byte_by_byte(
        self, data: bytes, events: list[Event]
    ) -> None:
        assert fed([data]) == events
        assert fed(bytes([byte]) for byte in data) == events
        assert plain_events(data) == events

    @pytest.mark.parametrize("tail", [b"data: y", b"data: y\n", b"data: y\r\n", b"data: y\r"])
    def test_an_event_that_no_blank_line_has_ended_is_none(self, tail: bytes) -> None:
        assert fed([b"data: x\n\n", tail]) == [Event(b"x")]

    def test_comments_yield_nothing_and_are_counted(self) -> None:
        stream = EventStream()
        assert stream.feed(b": PROCESSING\n\n:\n\n: half") == []
        assert stream.comments == 2
        assert stream.feed(b" way\ndata: :x\n\n") == [Event(b":x")]
        assert stream.comments == 3

    def test_the_repr_shows_what_is_pending(self) -> None:
        stream = EventStream()
        stream.feed(b": c\ndata: 12\nda")
        assert repr(stream) == "<EventStream 10 bytes pending, 1 comments>"


class TestPieces:
    @pytest.mark.parametrize(
        ("pieces", "events"),
        [
            pytest.param([b"data: ", b"data: x\n\n"], [Event(b"data: x")], id="a line looks like an event"),
            pytest.param([b"data: x\n", b"data: y\n\n"], [Event(b"x\ny")], id="its second half does"),
            pytest.param(
                [b"data: x\n", b"\ndata: y\r\n\r\n"], [Event(b"x"), Event(b"y")], id="LF, then CRLF"
            ),
            pytest.param([b"data: x\r", b"\ndata: y\n\n"], [Event(b"x\ny")], id="CRLF in two"),
            pytest.param([b"data: x\r", b"", b"\ndata: y\n\n"], [Event(b"x\ny")], id="with nothing between"),
            pytest.param([b"data: x\r", b"\r", b"\n"], [Event(b"x")], id="CR and CRLF"),
            pytest.param([b"", b"\xef\xbb", b"\xbfdata: x\n\n"], [Event(b"x")], id="a mark in two"),
        ],
    )
    def test_cuts_that_mislead(self, pieces: list[bytes], events: list[Event]) -> None:
        assert fed(pieces) == events

    @given(STREAMS)
    def test_a_whole_stream_reads_as_the_standard_does(self, data: bytes) -> None:
        assert fed([data]) == plain_events(data)

    @given(STREAMS, st.lists(st.integers(0, 120), max_size=8))
    def test_however_the_bytes_are_cut_the_events_are_the_same(self, data: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[start:end] for start, end in pairwise(edges)]
        assert fed(pieces) == plain_events(data)

    @given(STREAMS)
    def test_byte_by_byte_the_events_are_the_same(self, data: bytes) -> None:
        assert fed(bytes([byte]) for byte in data) == plain_events(data)

    @given(STREAMS, st.integers(0, 40))
    def test_the_limit_trips_the_same_however_the_bytes_are_cut(self, data: bytes, limit: int) -> None:
        assert tripped([data], limit) == tripped([bytes([byte]) for byte in data], limit)


def tripped(pieces: list[bytes], limit: int) -> bool:
    try:
        fed(pieces, limit)
    except ProtocolViolation:
        return True
    return False


class TestLimit:
    def test_one_event_may_keep_as_much_as_the_limit_and_no_more(self) -> None:
        assert fed([b"data: 1234\n\n"] * 3, limit=10) == [Event(b"1234")] * 3
        assert fed([b"data: 1234\n\n" * 3], limit=10) == [Event(b"1234")] * 3
        with pytest.raises(ProtocolViolation, match="an event of more than 10 bytes"):
            fed([b"data: 12345\n\n"], limit=10)

    @pytest.mark.parametrize("before", [b"\n\n", b"data: 1\n\n", b": c\n"])
    def test_it_holds_for_every_event_of_a_piece(self, before: bytes) -> None:
        with pytest.raises(ProtocolViolation):
            fed([before + b"data: 12345\n\n"], limit=10)

    def test_the_lines_of_one_event_add_up(self) -> None:
        assert len(fed([b"data: 1\n\ndata: 2\n\n"], limit=10)) == 2
        with pytest.raises(ProtocolViolation):
            fed([b"data: 1\ndata: 2\n\n"], limit=10)

    def test_a_line_that_never_ends_trips_it_while_it_arrives(self) -> None:
        stream = EventStream(limit=10)
        stream.feed(b"0123456789")
        with pytest.raises(ProtocolViolation):
            stream.feed(b"0")

    def test_fields_that_mean_nothing_count_too(self) -> None:
        with pytest.raises(ProtocolViolation):
            fed([b"retry: 1\n"] * 20, limit=100)

    def test_comments_do_not_add_up(self) -> None:
        stream = EventStream(limit=100)
        for _ in range(1000):
            stream.feed(b": still thinking\n")
        assert stream.comments == 1000

    def test_the_limit_stands_at_32_mebibytes(self) -> None:
        stream = EventStream()
        megabyte = b"x" * (1 << 20)
        for _ in range(32):
            stream.feed(megabyte)
        with pytest.raises(ProtocolViolation, match="33554432"):
            stream.feed(b"x")


def seconds_for(pieces: list[bytes]) -> float:
    """The least of three processor times: noise only ever adds."""
    times = []
    for _ in range(3):
        stream = EventStream()
        began = time.process_time()
        for piece in pieces:
            stream.feed(piece)
        times.append(time.process_time() - began)
    return min(times)


class TestCost:
    """Quadratic work would be sixteen times as much for four times the bytes; linear is four times."""

    @pytest.mark.parametrize(
        "piece",
        [
            pytest.param(b"x" * 256, id="one long line"),
            pytest.param(b"x" * 255 + b"\r", id="lines that end in CR"),
            pytest.param(b"data: " + b"x" * 249 + b"\n", id="one long event without a blank line"),
            pytest.param(b": " + b"x" * 253 + b"\n", id="comments without a blank line"),
            pytest.param(b"data: x\n\n" * 28 + b"data", id="events that straddle the pieces"),
        ],
    )
    def test_time_grows_with_the_bytes(self, piece: bytes) -> None:
        assert seconds_for([piece] * 16_000) < 9 * seconds_for([piece] * 4_000)

    def test_memory_stays_near_the_event_that_is_pending(self) -> None:
        stream = EventStream()
        tracemalloc.start()
        for _ in range(2_000):
            stream.feed(b": waiting\n\ndata: " + b"y" * 200 + b"\n\n")
        for _ in range(1 << 16):
            stream.feed(b"x")
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 3 << 16


# Framed again


@pytest.mark.parametrize(
    ("event", "framing"),
    [
        (Event(b'{"a": 1}'), b'data: {"a": 1}\n\n'),
        (Event(b"x", "ping", "7"), b"event: ping\ndata: x\n\n"),
        (Event(b" two\n\nlines "), b"data:  two\ndata: \ndata: lines \n\n"),
        (Event(b"", "done"), b"event: done\ndata: \n\n"),
        (Event("ß".encode(), "größe"), "event: größe\ndata: ß\n\n".encode()),
    ],
)
def test_an_event_is_framed_again_with_its_data_untouched(event: Event, framing: bytes) -> None:
    assert framed(event) == framing


@given(
    st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"")),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=10),
)
def test_what_was_framed_is_read_as_the_same(data: bytes, name: str) -> None:
    (again,) = fed([framed(Event(data, name))])
    assert (again.data, again.event) == (data.decode(errors="replace").encode(), name)
