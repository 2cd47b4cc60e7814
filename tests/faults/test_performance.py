from __future__ import annotations

import zlib
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.faults import anthropic_messages, openai_chat
from understudy.faults.act import Act, Cut, End, Part, Pause, ending
from understudy.faults.answer import TEXT, Call
from understudy.faults.formats import FORMATS, Format
from understudy.faults.performance import Prepared, paced, perform, share
from understudy.faults.plan import Plan, Reply, Stage
from understudy.faults.script import Script

STAGE = Stage(
    identity=b"chatcmpl-0000000042", created=1, wall=0.0, other_origin="http://other", target="/v1/x"
)
UNARY, STREAM = Call("m"), Call("m", stream=True)


def acts(plan: Plan, call: Call) -> list[Act]:
    return list(perform(plan, call, STAGE))


def sent(plan: Plan, call: Call) -> bytes:
    return b"".join(act.data for act in acts(plan, call) if isinstance(act, Part))


def plan(script: str) -> Plan:
    return Script.parse(script).steps[0].plan(Plan())


def test_a_body_of_known_length_tells_it_and_a_stream_is_chunked() -> None:
    head, _, body = sent(Plan(), UNARY).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    assert b"chunked" not in head
    head, _, body = sent(Plan(), STREAM).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_an_http10_stream_has_neither() -> None:
    head, _, body = sent(plan("http10"), STREAM).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert b"connection: close" in head
    assert b"length" not in head
    assert b"chunked" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def test_each_event_is_a_part_of_its_own() -> None:
    parts = [act for act in acts(Plan(), STREAM) if isinstance(act, Part)]
    # Head, role, sixty tokens, finish reason, [DONE], the last chunk.
    assert len(parts) == 1 + 1 + 60 + 1 + 1 + 1


@given(st.binary(max_size=300), st.integers(0, 90))
def test_shares_of_a_body_add_up(body: bytes, tokens: int) -> None:
    edges = [share(body, position, tokens) for position in range(max(1, tokens) + 1)]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (0, len(body))
    assert (share(body, -3, tokens), share(body, 10**9, tokens)) == (0, len(body))


def test_a_position_means_the_same_share_of_a_unary_answer() -> None:
    whole = openai_chat.whole(Plan(), UNARY, STAGE)
    _, _, body = sent(plan("cut after=20"), UNARY).partition(b"\r\n\r\n")
    assert body == whole[: len(whole) * 20 // 60]


def test_streamed_gzip_can_be_decoded_part_by_part() -> None:
    """Each part is flushed: what has arrived can be read, also if the rest never comes."""
    parts = [act.data for act in acts(plan("encoding gzip + end after=20"), STREAM) if isinstance(act, Part)]
    decoder = zlib.decompressobj(wbits=31)
    for number, part in enumerate(parts[1:22]):
        size, _, data = part.partition(b"\r\n")
        decoded = decoder.decompress(data[: int(size, 16)])
        assert decoded.startswith(b"data: {"), number
        assert decoded.endswith(b"}\n\n"), number


def test_layers_are_applied_in_order() -> None:
    """Lines are compressed, the compressed bytes are sliced, and every slice is a chunk."""
    found = acts(plan("sse lines=crlf + encoding deflate + split 7"), STREAM)
    chunks = [act.data for act in found if isinstance(act, Part)][1:]
    assert all(int(chunk.partition(b"\r\n")[0], 16) <= 7 for chunk in chunks)
    body = b"".join(chunk.partition(b"\r\n")[2][:-2] for chunk in chunks[:-1])
    assert zlib.decompress(body).startswith(b'data: {"id":')
    assert zlib.decompress(body).endswith(b"data: [DONE]\r\n\r\n")


def test_a_reply_without_a_length_is_chunked_and_lazy() -> None:
    found = islice(perform(plan("flood 500"), UNARY, STAGE), 100)
    parts = [act.data for act in found if isinstance(act, Part)]
    assert b"chunked" in parts[0]
    assert len(parts) == 100


def test_a_reply_of_known_length_is_not_held_in_memory() -> None:
    found = list(islice(perform(plan("flood 500 size=1GB"), UNARY, STAGE), 3))
    assert isinstance(found[0], Part)
    assert b"content-length: 1000000000" in found[0].data


def test_a_compressed_reply_is_chunked_for_its_length_is_not_known() -> None:
    data = sent(plan("500 message=hello + encoding gzip"), UNARY)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"content-length" not in head
    assert b"content-encoding: gzip" in head
    assert b"hello" not in body


def test_pace_puts_a_pause_between_one_token_and_the_next() -> None:
    found = acts(Plan(pace=50.0), STREAM)
    pauses = [act for act in found if isinstance(act, Pause)]
    assert len(pauses) == 59
    assert {pause.seconds for pause in pauses} == {0.02}
    assert not any(isinstance(act, Pause) for act in found[:3])


def test_pace_leaves_preamble_and_ending_alone() -> None:
    acts: list[Act] = [Part(b"", 0), Part(b"", 1), Part(b"", 2), End()]
    assert list(paced(3.0)(iter(acts))) == [Part(b"", 0), Part(b"", 1), Pause(3.0, 2), Part(b"", 2), End()]


def test_pace_is_that_of_tokens_also_where_more_than_one_event_has_a_tokens_place() -> None:
    base = plan("reasoning 3 + tools 2 with-text split=12 + pace 10/s")
    found = acts(replace(base, format=anthropic_messages), STREAM)
    assert sum(isinstance(act, Pause) for act in found) == base.answer.output_tokens - 1


def test_an_answer_can_be_cut_and_paced_in_unary_form_too() -> None:
    found = acts(replace(Plan(pace=10.0), changes=(ending(3, (Cut(),)),)), UNARY)
    assert sum(isinstance(act, Pause) for act in found) == 2
    assert found[-1] == Cut()


@pytest.mark.parametrize("spoken", FORMATS, ids=lambda spoken: spoken.NAME)
def test_prepared_answers_are_the_same_bytes_stamped_with_the_id(spoken: Format) -> None:
    base = Plan(format=spoken)
    stage = replace(STAGE, identity=spoken.identity(42))
    prepared = Prepared(base)
    for call in (UNARY, STREAM):
        for _ in range(2):
            timeline = prepared.timeline(base, call, stage)
            assert timeline is not None
            *parts, end = timeline
            assert end == End()
            written = b"".join(act.data for act in perform(base, call, stage) if isinstance(act, Part))
            assert b"".join(act.data for act in parts if isinstance(act, Part)) == written


def test_a_prepared_unary_answer_goes_out_in_one_piece() -> None:
    base = Plan()
    assert len(list(Prepared(base).timeline(base, UNARY, STAGE) or ())) == 2


def test_only_the_plain_plan_is_prepared() -> None:
    base, slow = Plan(), Plan(pace=5.0)
    assert Prepared(base).timeline(Plan(reply=Reply.of(500, b"")), UNARY, STAGE) is None
    assert Prepared(slow).timeline(slow, UNARY, STAGE) is None


def test_prepared_answers_are_written_anew_each_second_for_the_date() -> None:
    base = Plan()
    prepared = Prepared(base)
    dates = []
    for wall in (0.0, 0.9, 1.0):
        part = next(prepared.timeline(base, UNARY, replace(STAGE, wall=wall)) or iter(()))
        assert isinstance(part, Part)
        dates.append(part.data.split(b"\r\n")[1])
    assert dates[0] == dates[1] == b"date: Thu, 01 Jan 1970 00:00:00 GMT"
    assert dates[2] == b"date: Thu, 01 Jan 1970 00:00:01 GMT"


def test_prepared_answers_are_bounded() -> None:
    base = Plan()
    prepared = Prepared(base)
    for size in range(Prepared.LIMIT + 1):
        prepared.timeline(base, Call("m", prompt_size=size), STAGE)
    assert len(prepared._parts) <= Prepared.LIMIT


def test_the_text_is_in_it() -> None:
    assert TEXT.encode() in sent(Plan(), UNARY)
