from __future__ import annotations

import pytest

from understudy.faults.plan import Plan, Reply
from understudy.faults.script import Script, Step
from understudy.faults.word import ScriptError


def step(text: str) -> Step:
    (only,) = Script.parse(text).steps
    return only


def reply(text: str) -> Reply:
    found = step(text).plan(Plan()).reply
    assert found is not None
    return found


def words(text: str) -> list[str]:
    return [clause.word.name for clause in step(text).clauses]


def refusal(text: str) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        Script.parse(text)
    return caught.value


def test_steps_are_separated_by_semicolons() -> None:
    script = Script.parse("status 500;fine ; reset after=3")
    assert [step.text for step in script.steps] == ["status 500", "fine", "reset after=3"]
    assert not script.loops


def test_a_script_prints_as_it_can_be_written() -> None:
    for text in ("status 500; fine", "30% reset; 3x 429 retry-after=2; loop", "text 'a; b'"):
        assert str(Script.parse(text)) == text
        assert str(Script.parse(str(Script.parse(text)))) == text


def test_empty_steps_are_dropped() -> None:
    assert str(Script.parse("; 500;; fine;")) == "500; fine"


def test_loop_is_the_last_word() -> None:
    script = Script.parse("500; fine; loop")
    assert script.loops
    assert len(script.steps) == 2


def test_a_bare_status_is_a_status() -> None:
    assert words("503") == ["status"]
    assert reply("503").status == 503
    assert words("429 retry-after=2") == ["status"]
    assert words("600") == ["status"]


def test_clauses_are_joined_by_a_plus_that_stands_alone() -> None:
    assert words("encoding gzip + stall after=3 + drip every=1s") == ["encoding", "stall", "drip"]
    assert words("header retry-after=date:+3s") == ["header"]


def test_a_word_that_shapes_the_answer_comes_first_wherever_it_stands() -> None:
    plan = step("finish length after=2 + text 'one two three'").plan(Plan())
    assert plan.answer.text == "one two"


def test_other_words_come_in_their_order() -> None:
    assert reply("500 + 502").status == 502
    assert reply("502 + 500").status == 500


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("text 'a; b + c'", "a; b + c"),
        ('text "a; b"', "a; b"),
        (r'text "say \"hi\""', 'say "hi"'),
        ("text text=word", "word"),
        ("text text='two words'", "two words"),
        ("text a'b c'd", "ab cd"),
    ],
)
def test_quotes_hold_a_value_together(text: str, spoken: str) -> None:
    assert step(text).plan(Plan()).answer.text == spoken


def test_a_body_may_be_json() -> None:
    body = reply("""400 body='{"error": {"message": "no; never"}}'""").body()
    assert b"".join(body) == b'{"error": {"message": "no; never"}}'


def test_qualifiers_come_before_the_words() -> None:
    found = step("30% 3x for 60s when stream when usage capacity 2 status 500")
    assert (found.chance, found.times, found.lasting) == (0.3, 3, 60.0)
    assert (found.occasions, found.capacity) == (("stream", "usage"), 2)
    assert [clause.word.name for clause in found.clauses] == ["status"]


def test_a_percentage_may_have_a_fraction() -> None:
    assert step("2.5% reset").chance == 0.025


def test_down_is_503_for_a_time() -> None:
    assert (step("down 60s").lasting, reply("down 60s").status) == (60.0, 503)
    assert words("down 60s reset") == ["reset"]


def test_qualifiers_alone_qualify_fine() -> None:
    assert words("capacity 2") == ["fine"]
    assert words("3x") == ["fine"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "empty", "fine"),
        ("loop", "empty", "fine"),
        ("statsu 500", "unknown fault word 'statsu'", "'status'"),
        ("stall aftr=3", "'stall' has no option 'aftr'", "'after'"),
        ("fine now", "'fine' has no option 'now'", ""),
        ("status", "'status' needs code", "429"),
        ("status five", "code is 'five'", ""),
        ("stall after=-1", "after is '-1'", ""),
        ("500 +", "a fault word is missing", "fine"),
        ("500 + + 502", "a fault word is missing", "fine"),
        ("text 'open", "a quote is not closed: 'open", ""),
        ("for", "for is ''", ""),
        ("for ever", "for is 'ever'", ""),
        ("0x 500", "at least 1", ""),
        ("capacity many", "capacity is 'many'", ""),
        ("down soon", "down is 'soon'", ""),
        ("when raining 500", "'when' knows no 'raining'", "stream, unary, usage, reused"),
        ("when", "'when' knows no ''", "stream"),
        ("says openai-contxt", "'openai-context'", ""),
        ("says nothing-like-it-at-all-xyz", "one of", ""),
        ("qqqqqq", "unknown fault word 'qqqqqq'", ""),
    ],
)
def test_what_cannot_be_read_is_named_and_the_nearest_word_offered(
    text: str, message: str, hint: str
) -> None:
    error = refusal(text)
    assert message in error.message
    assert hint in (error.hint or "")
