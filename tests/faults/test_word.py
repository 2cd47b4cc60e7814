from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy.faults import word
from understudy.faults.act import DONE, FINISH, HEAD, PREAMBLE, REQUEST
from understudy.faults.plan import Plan
from understudy.faults.word import Option, ScriptError, Word


def play(plan: Plan, **values: Any) -> Plan:
    return plan


WORD = Word(
    "sing",
    "a song",
    play,
    (
        Option("song", str, bare=True),
        Option("verses", word.count, 3, bare=True),
        Option("key-change", word.position, None),
        Option("softly", word.flag, False),
    ),
)


def test_bare_values_fill_the_bare_options_in_order() -> None:
    expected = {"song": "aria", "verses": 5, "key_change": None, "softly": False}
    assert WORD.values([(None, "aria"), (None, "5")]) == expected


def test_names_may_come_in_any_order() -> None:
    values = WORD.values([("verses", "1"), ("key-change", "20"), ("song", "duet")])
    assert values == {"song": "duet", "verses": 1, "key_change": 20, "softly": False}


def test_a_flag_is_its_bare_name() -> None:
    assert WORD.values([(None, "softly"), (None, "aria")])["softly"] is True
    assert WORD.values([(None, "aria"), ("softly", "no")])["softly"] is False
    assert WORD.values([(None, "aria"), ("softly", "yes")])["softly"] is True


def test_the_bare_name_of_an_option_that_is_no_flag_is_a_value() -> None:
    assert WORD.values([(None, "verses")])["song"] == "verses"


def test_a_word_that_takes_anything_keeps_it_in_order() -> None:
    header = Word("header", "", play, takes_any=True)
    assert header.values([("b", "1"), ("a", "2"), ("b", "3")]) == {
        "extra": (("b", "1"), ("a", "2"), ("b", "3"))
    }
    with pytest.raises(ScriptError, match="no option 'x'"):
        header.values([(None, "x")])


def test_what_is_missing_or_too_much_is_named() -> None:
    with pytest.raises(ScriptError, match="'sing' needs song") as caught:
        WORD.values([])
    assert caught.value.hint == "write sing SONG [VERSES] [key-change=…] [softly]"
    with pytest.raises(ScriptError, match="'sing' has no option 'loud'"):
        WORD.values([(None, "aria"), (None, "3"), (None, "loud")])


def test_a_value_that_cannot_be_read_is_named_with_what_it_must_be() -> None:
    with pytest.raises(ScriptError, match="'sing': verses is 'many', but must be a number"):
        WORD.values([(None, "aria"), ("verses", "many")])


def test_syntax_shows_what_can_be_left_out() -> None:
    assert WORD.syntax == "sing SONG [VERSES] [key-change=…] [softly]"
    assert Word("header", "", play, takes_any=True).syntax == "header NAME=VALUE …"


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (word.duration, "20", 20.0),
        (word.duration, "20s", 20.0),
        (word.duration, "350ms", 0.35),
        (word.duration, "1.5m", 90.0),
        (word.duration, "2min", 120.0),
        (word.duration, "1h", 3600.0),
        (word.moment, "+3s", 3.0),
        (word.moment, "-10s", -10.0),
        (word.size, "10", 10),
        (word.size, "10B", 10),
        (word.size, "64KiB", 65536),
        (word.size, "10MB", 10_000_000),
        (word.size, "1GB", 10**9),
        (word.count, "0", 0),
        (word.positive, "1", 1),
        (word.status, "529", 529),
        (word.rate, "50", 50.0),
        (word.rate, "0.2/s", 0.2),
        (word.position, "0", PREAMBLE),
        (word.position, "20", 20),
        (word.position, "request", REQUEST),
        (word.position, "headers", HEAD),
        (word.position, "preamble", PREAMBLE),
        (word.position, "finish", FINISH),
        (word.position, "done", DONE),
        (word.one_of("a", "b"), "b", "b"),
    ],
)
def test_values_are_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (word.duration, "-1s"),
        (word.duration, "soon"),
        (word.duration, "1 s"),
        (word.moment, "3s"),
        (word.moment, "+"),
        (word.size, "10XB"),
        (word.size, "-1"),
        (word.count, "-1"),
        (word.count, "²"),
        (word.count, "9" * 16),
        (word.positive, "0"),
        (word.status, "20"),
        (word.status, "099"),
        (word.rate, "0"),
        (word.rate, "fast"),
        (word.position, "-3"),
        (word.position, "middle"),
        (word.position, "1" * 10),
        (word.one_of("a", "b"), "c"),
    ],
)
def test_nonsense_is_refused(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(text)


def test_the_nearest_known_word_is_offered_if_one_is_near() -> None:
    assert word.nearest("statsu", ["status", "stall"]) == "did you mean 'status'?"
    assert word.nearest("zebra", ["status", "stall"]) is None
