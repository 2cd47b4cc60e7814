"""One answer out of two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.faults import TEXT, TOKENS
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.seam import MANY, OVERLAP, Mismatch, Seam, Transcript, cut
from understudy.wire.state import ProviderState

STOP = ChatChunk(finish_reason="stop")
CALL = (ToolCallDelta(0, "call_1", "f", "{}"),)


def said(*pieces: str, **fields: object) -> list[ChatChunk]:
    return [ChatChunk(text=piece, id="one", model="m", **fields) for piece in pieces]  # type: ignore[arg-type]


def thought(*pieces: str) -> list[ChatChunk]:
    return [ChatChunk(reasoning=piece, id="one", model="m") for piece in pieces]


def shown(chunks: Sequence[ChatChunk]) -> Transcript:
    transcript = Transcript()
    transcript.add(chunks)
    return transcript


def spliced(seam: Seam, chunks: Sequence[ChatChunk]) -> tuple[list[ChatChunk], bool]:
    """What goes out, and whether the answers differ."""
    out: list[ChatChunk] = []
    for chunk in chunks:
        passed = seam.feed(chunk)
        if isinstance(passed, Mismatch):
            return out, True
        if passed is not None:
            out.append(passed)
    return out, False


def texts(chunks: Sequence[ChatChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_many_pieces_are_the_same_transcript_looked_at_at_any_time() -> None:
    transcript, text = Transcript(), ""
    for number in range(3 * MANY):
        transcript.add(said(f"{number} "))
        text += f"{number} "
        if number % 100 == 0:
            assert (transcript.text, transcript.id, transcript.model) == (text, "one", "m")
        assert len(transcript._new) <= MANY
    assert transcript.said[0].text == text


class TestReplay:
    @pytest.mark.parametrize("position", range(len(TOKENS) + 1))
    def test_every_position_of_the_canonical_answer(self, position: int) -> None:
        first = shown(said(*TOKENS[:position]))
        seam = Seam.replay(first, same_model=True)
        out, differs = spliced(seam, [ChatChunk(id="two"), *said(*TOKENS), STOP])
        assert not differs
        assert first.text + texts(out) == TEXT
        assert [chunk.finish_reason for chunk in out if chunk.finish_reason] == ["stop"]
        assert {chunk.id for chunk in out} == {first.id}
        assert seam.resumed

    def test_what_goes_out_has_the_first_ones_name_and_nothing_of_the_second_ones_own(self) -> None:
        seam = Seam.replay(shown(said("ab")), same_model=True)
        chunk = ChatChunk(
            text="abc", id="two", model="n", raw=b"data", usage=Usage(1, 2), logprobs=({},), annotations=({},)
        )
        assert seam.feed(chunk) == ChatChunk(text="c", id="one", model="m")

    def test_what_belongs_to_new_text_goes_with_it(self) -> None:
        seam = Seam.replay(shown(said("ab")), same_model=True)
        spliced(seam, said("ab"))
        state = (ProviderState("gemini", "signature", "x"),)
        chunk = ChatChunk(text="c", logprobs=({},), annotations=({},), state=state)
        passed = seam.feed(chunk)
        assert isinstance(passed, ChatChunk)
        assert (passed.logprobs, passed.annotations) == (({},), ({},))
        assert passed.state == ()  # it vouches for thoughts that were swallowed

    def test_an_end_before_all_came_again_is_a_difference(self) -> None:
        assert spliced(Seam.replay(shown(said("abc")), same_model=True), [*said("ab"), STOP]) == ([], True)

    def test_so_is_anything_else_before_it(self) -> None:
        first = shown(said("abc"))
        for chunk in (ChatChunk(tool_calls=CALL), ChatChunk(audio={"data": ""}), ChatChunk(refusal="No")):
            assert spliced(Seam.replay(first, same_model=True), [*said("ab"), chunk]) == ([], True)

    def test_after_it_anything_may_come(self) -> None:
        seam = Seam.replay(shown(said("ab")), same_model=False)
        state = (ProviderState("gemini", "signature", "x"),)
        out, differs = spliced(seam, [*said("ab"), ChatChunk(tool_calls=CALL, state=state), STOP])
        assert not differs
        assert (out[0].tool_calls, out[0].state) == (CALL, state)

    def test_a_refusal_is_matched_too(self) -> None:
        first = shown([ChatChunk(refusal="I will"), ChatChunk(refusal=" not")])
        out, differs = spliced(
            Seam.replay(first, same_model=True), [ChatChunk(refusal="I will not say."), STOP]
        )
        assert not differs
        assert "".join(chunk.refusal for chunk in out) == " say."
        assert spliced(Seam.replay(first, same_model=True), said("I will")) == ([], True)

    def test_choices_are_matched_each_by_itself(self) -> None:
        first = shown([*said("ab"), *said("xy", index=1), ChatChunk(index=1, finish_reason="stop")])
        again = [
            *said("xy", index=1),
            *said("abc"),
            ChatChunk(index=1, finish_reason="stop"),
            STOP,
            *said("new", index=2),
        ]
        out, differs = spliced(Seam.replay(first, same_model=True), again)
        assert not differs
        assert [(chunk.index, chunk.text, chunk.finish_reason) for chunk in out] == [
            (0, "c", None),
            (0, "", "stop"),
            (2, "new", None),
        ]


class TestReasoning:
    def test_the_same_models_is_matched_if_the_break_was_inside_it(self) -> None:
        first = shown(thought("Let me"))
        again = [*thought("Let", " me think."), ChatChunk(text="Yes.")]
        out, differs = spliced(Seam.replay(first, same_model=True), again)
        assert not differs
        assert [(chunk.reasoning, chunk.text) for chunk in out] == [(" think.", ""), ("", "Yes.")]

    def test_its_signature_goes_with_it(self) -> None:
        state = (ProviderState("anthropic", "signature", "x"),)
        seam = Seam.replay(shown(thought("Let me")), same_model=True)
        out, _ = spliced(seam, [*thought("Let me"), ChatChunk(state=state)])
        assert [chunk.state for chunk in out] == [state]

    def test_other_thoughts_are_a_difference_and_so_are_fewer(self) -> None:
        first = shown(thought("Let me"))
        assert spliced(Seam.replay(first, same_model=True), thought("Let us")) == ([], True)
        assert spliced(Seam.replay(first, same_model=True), [*thought("Let"), *said("Yes")]) == ([], True)
        assert spliced(Seam.replay(first, same_model=True), [*thought("Let"), STOP]) == ([], True)

    def test_after_the_text_has_begun_it_is_swallowed(self) -> None:
        first = shown([*thought("Let me"), *said("Yes")])
        again = [*thought("Something else"), *said("Yes."), STOP]
        out, differs = spliced(Seam.replay(first, same_model=True), again)
        assert not differs
        assert [(chunk.reasoning, chunk.text) for chunk in out] == [("", "."), ("", "")]

    def test_another_models_is_swallowed_and_the_text_begins(self) -> None:
        state = (ProviderState("anthropic", "signature", "x"),)
        again = [*thought("Mine"), ChatChunk(state=state), *said("Yes."), STOP]
        out, differs = spliced(Seam.replay(shown(thought("Let me")), same_model=False), again)
        assert not differs
        assert [(chunk.reasoning, chunk.text, chunk.state) for chunk in out] == [
            ("", "Yes.", ()),
            ("", "", ()),
        ]


class TestContinuation:
    @pytest.mark.parametrize("position", range(len(TOKENS) + 1))
    def test_every_position_of_the_canonical_answer(self, position: int) -> None:
        first = shown(said(*TOKENS[:position]))
        prefill, tail = cut(first.text)
        seam = Seam.continuation(first, tail)
        out, differs = spliced(seam, [*said(TEXT[len(prefill) :]), STOP])
        assert not differs
        assert first.text + texts(out) == TEXT

    def test_it_must_say_the_tail_again(self) -> None:
        first = shown(said(TEXT[:80]))
        assert spliced(Seam.continuation(first, cut(first.text).tail), said(TEXT[80:])) == ([], True)


@given(text=st.text(max_size=120))
def test_a_cut_keeps_the_text_and_its_overlap(text: str) -> None:
    prefill, tail = cut(text)
    assert prefill + tail == text
    assert prefill == prefill.rstrip()
    assert len(tail) >= min(OVERLAP, len(text))


def test_white_space_before_the_overlap_must_come_again() -> None:
    assert cut("To be, \n" + "x" * OVERLAP) == ("To be,", " \n" + "x" * OVERLAP)


def pieces_of(text: str, places: Sequence[int]) -> list[str]:
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(marks)]


PLACES = st.lists(st.integers(0, 500), max_size=12)


@given(
    answer=st.text("ab \n☕", max_size=80),
    reasoning=st.text("xy ", max_size=20),
    at=st.integers(0, 100),
    one=PLACES,
    other=PLACES,
    same_model=st.booleans(),
)
def test_any_answer_cut_anywhere_becomes_one_again(
    answer: str, reasoning: str, at: int, one: list[int], other: list[int], same_model: bool
) -> None:
    whole = [*thought(*pieces_of(reasoning, one)), *said(*pieces_of(answer, one))]
    before = whole[: at % (len(whole) + 1)]
    again = [*thought(*pieces_of(reasoning, other)), *said(*pieces_of(answer, other)), STOP]
    out, differs = spliced(Seam.replay(shown(before), same_model=same_model), again)
    assert not differs
    assert texts(before) + texts(out) == answer
    assert out[-1].finish_reason == "stop"
    if same_model:
        assert "".join(chunk.reasoning for chunk in (*before, *out)) == reasoning


@given(answer=st.text("ab", min_size=1, max_size=40), other=st.text("ab", max_size=40), at=st.integers(0, 40))
def test_nothing_wrong_goes_out(answer: str, other: str, at: int) -> None:
    """Either the other answer begins with what was shown, or nothing of it does go out."""
    before = answer[:at]
    out, differs = spliced(Seam.replay(shown(said(before)), same_model=True), [*said(*other), STOP])
    if other.startswith(before):
        assert (before + texts(out), differs) == (other, False)
    else:
        assert (texts(out), differs) == ("", True)


def test_a_transcript_knows_whether_it_is_text_alone() -> None:
    assert shown(said("a")).is_text
    assert not shown([ChatChunk(tool_calls=CALL)]).is_text
    assert not shown([ChatChunk(audio={"data": ""})]).is_text


def test_reprs_show_no_text() -> None:
    first = shown(said("secret"))
    assert repr(first) == "<Transcript of 6 characters>"
    seam = Seam.replay(first, same_model=True)
    assert repr(seam) == "<Seam, not resumed>"
    seam.feed(ChatChunk(text="secrets"))
    assert repr(seam) == "<Seam, resumed>"
