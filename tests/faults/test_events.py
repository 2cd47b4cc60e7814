"""Broken events, errors, usage and endings inside an answer."""

from __future__ import annotations

import json

import pytest

from tests.faults.raw import Client, play, stream
from understudy.faults import TEXT, TOKENS, FaultProvider, openai_chat
from understudy.faults.events import KINDS
from understudy.faults.events import MALFORMED as EVERYWHERE
from understudy.faults.wordings import WORDINGS

MALFORMED = {**EVERYWHERE, **openai_chat.MALFORMED}
ASKED = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("kind", KINDS)
async def test_one_event_is_malformed_and_the_rest_is_fine(kind: str) -> None:
    answer = await stream(f"malformed {kind} after=10")
    broken = b"data: " + MALFORMED[kind] + b"\n\n"
    before, found, after = answer.body.partition(broken)
    assert found
    assert before.count(b"data: ") == 1 + 10
    answer.body = before + after
    assert (answer.text, answer.finish) == (TEXT, "stop")


async def test_the_first_event_of_all_can_be_malformed() -> None:
    for after in ("headers", "request"):
        assert (await stream(f"malformed text after={after}")).body.startswith(b"data: " + MALFORMED["text"])


async def test_a_unary_answer_is_nothing_but_malformed() -> None:
    assert (await play("malformed json")).body == MALFORMED["json"]


@pytest.mark.parametrize(
    ("then", "ending", "last"),
    [("end", "end", "}"), ("done", "end", "[DONE]"), ("cut", "cut", "}")],
)
async def test_an_error_object_ends_a_stream(then: str, ending: str, last: str) -> None:
    answer = await stream(f"error openai-quota after=5 then={then}")
    assert answer.ending == ending
    assert answer.data[-1].endswith(last)
    error = next(event for event in answer.events if "error" in event)
    assert error == WORDINGS["openai-quota"].value
    assert answer.events.index(error) == 1 + 5


async def test_after_an_error_a_stream_may_stay_open() -> None:
    async with FaultProvider("error then=open") as provider:
        async with Client(provider) as client:
            client.send(stream=True)
            await client.reader.readuntil(b'"error":')
            (request,) = provider.requests
        await provider.wait_closed(request)


async def test_an_error_can_come_before_everything_else_and_as_a_chunk() -> None:
    (only,) = (await stream("error vllm-context after=headers")).events
    assert only == WORDINGS["vllm-context"].value
    chunk = (await stream("error openrouter-provider after=2 form=chunk")).events[-1]
    assert chunk["error"]["code"] == 502
    assert chunk["choices"][0]["finish_reason"] == "error"
    flat = (await stream("error vllm-context form=chunk")).events[-1]
    assert flat["error"] == WORDINGS["vllm-context"].value


async def test_an_error_can_come_naked_in_no_event() -> None:
    answer = await stream("error openai-quota after=5 form=bare")
    *_, event, naked = answer.body.split(b"\n\n")
    assert event.startswith(b"data: ")
    assert naked.startswith(b'{\n  "error"')
    assert json.loads(naked) == WORDINGS["openai-quota"].value
    nested = await stream("error openai-quota after=5 form=nested", model="m")
    assert nested.events[-1] == WORDINGS["openai-quota"].value


async def test_an_error_makes_a_unary_answer_a_200_with_an_error() -> None:
    answer = await play("error anthropic-overloaded")
    assert (answer.status, answer.json) == (200, WORDINGS["anthropic-overloaded"].value)


@pytest.mark.parametrize("asked", [True, False])
async def test_invalid_utf8_is_in_the_text(asked: bool) -> None:
    answer = await play("invalid-utf8", stream=asked)
    assert answer.body.count(b"\xff\xc3") == 1
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    json.loads(
        answer.body.split(b"data: ")[11].decode("utf-8", "replace")
        if asked
        else answer.body.decode("utf-8", "replace")
    )


@pytest.mark.parametrize("asked", [True, False])
async def test_a_big_event_is_one_line_of_that_size(asked: bool) -> None:
    answer = await play("big-event 1MB", stream=asked)
    longest = max(answer.body.split(b"\n"), key=len)
    assert 1_000_000 < len(longest) < 1_001_500
    assert len(answer.text) == len(TEXT) + 1_000_000


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("comment", b": still here\n\n"),
        ("event", b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("delta", b'data: {"choices":[{"index":0,"delta":{},"finish_reason":null}]}\n\n'),
    ],
)
async def test_signs_of_life_and_then_the_answer(kind: str, sign: bytes) -> None:
    answer = await stream(f"pings every=2s times=3 kind={kind}")
    assert answer.body.startswith(sign * 3)
    answer.body = answer.body[len(sign) * 3 :]
    assert answer.text == TEXT


async def test_signs_of_life_for_ever_and_nothing_else() -> None:
    async with FaultProvider("pings every=2s after=3", time_scale=0.001) as provider:
        async with Client(provider) as client:
            for _ in range(2):
                client.send(stream=True)
                head = await client.reader.readuntil(b": still here\n\n")
                assert head.count(b"data: ") == 1 + 3
                for _ in range(5):
                    await client.reader.readuntil(b": still here\n\n")
                break
            (request,) = provider.requests
        await provider.wait_closed(request)


async def test_a_script_of_endless_pings_can_be_played_again() -> None:
    async with FaultProvider("pings every=1s", time_scale=0.001) as provider:
        for _ in range(2):
            async with Client(provider) as client:
                client.send(stream=True)
                await client.reader.readuntil(b": still here\n\n")


async def test_usage_may_be_missing_though_it_was_asked_for() -> None:
    assert b"usage" not in (await stream("usage missing", **ASKED)).body
    assert "usage" not in (await play("usage missing")).json


async def test_usage_may_be_zero() -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert (await stream("usage zero")).events[-1]["usage"] == zero
    assert (await play("usage zero")).json["usage"] == zero


async def test_usage_may_come_twice_and_only_the_last_is_right() -> None:
    usages = [event["usage"] for event in (await stream("usage twice")).events if event["usage"]]
    assert [usage["completion_tokens"] for usage in usages] == [0, 60]


async def test_usage_may_come_unasked_or_with_the_finish_reason() -> None:
    *_, finish, last = (await stream("usage always")).events
    assert finish["usage"] is None
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 60)
    last = (await stream("usage finish")).events[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 60


async def test_done_may_be_missing_double_or_not_the_last_word() -> None:
    missing, twice, after = [
        (await stream(f"done {kind}")).data for kind in ("missing", "twice", "data-after")
    ]
    assert "[DONE]" not in missing
    assert twice[-2:] == ["[DONE]", "[DONE]"]
    assert (after[-3], after[-1]) == ("[DONE]", "[DONE]")
    assert "MUST NOT BE SEEN" in after[-2]


async def test_an_answer_without_choices() -> None:
    answer = await stream("empty choices")
    assert [event["choices"] for event in answer.events] == [[]]
    assert answer.data[-1] == "[DONE]"
    assert (await play("empty choices")).json["choices"] == []


@pytest.mark.parametrize(("kind", "content"), [("null", None), ("blank", ""), ("space", " \n\n")])
async def test_an_answer_with_empty_content(kind: str, content: str | None) -> None:
    answer = await stream(f"empty {kind}")
    assert not answer.text.strip()
    assert answer.finish == "stop"
    contents = [event["choices"][0]["delta"].get("content") for event in answer.events[1:-1]]
    assert contents == {"null": [None], "blank": [], "space": [" ", "\n\n"]}[kind]
    assert (await play(f"empty {kind}")).json["choices"][0]["message"]["content"] == content


async def test_an_answer_that_is_done_before_it_began() -> None:
    assert (await stream("empty done", **ASKED)).data == ["[DONE]"]
    assert (await play("empty done")).body == b"{}"


async def test_an_answer_of_no_bytes() -> None:
    for asked in (True, False):
        answer = await play("empty body", stream=asked)
        assert (answer.status, answer.body, answer.ending) == (200, b"", "end")


async def test_an_empty_answer_may_have_any_finish_reason_or_none() -> None:
    assert (await stream("empty blank finish=length")).finish == "length"
    assert (await stream("empty blank finish=none")).finish is None


async def test_a_finish_reason_of_its_own_also_early() -> None:
    answer = await stream("finish content_filter after=20", **ASKED)
    assert (answer.text, answer.finish) == ("".join(TOKENS[:20]), "content_filter")
    assert answer.events[-1]["usage"]["completion_tokens"] == 20
    assert (await play("finish length")).json["choices"][0]["finish_reason"] == "length"


async def test_no_finish_reason_at_all() -> None:
    answer = await stream("finish none")
    assert (answer.text, answer.finish, answer.data[-1]) == (TEXT, None, "[DONE]")
    assert (await play("finish none")).json["choices"][0]["finish_reason"] is None


async def test_azure_sends_an_event_without_choices_first() -> None:
    first, *rest = (await stream("azure")).events
    assert first["choices"] == []
    (found,) = first["prompt_filter_results"]
    assert found["content_filter_results"]["jailbreak"] == {"filtered": False, "detected": False}
    assert len(rest) == 62


async def test_azure_tells_what_its_filter_found_beside_every_choice() -> None:
    answer = await stream("azure + finish content_filter after=2")
    results = [event["choices"][0]["content_filter_results"] for event in answer.events[1:]]
    filtered = [found["violence"]["filtered"] for found in results]
    assert filtered == [False, False, False, True]
    whole = (await play("azure + finish content_filter after=2")).json
    (choice,) = whole["choices"]
    assert choice["content_filter_results"] == results[-1]
    assert whole["prompt_filter_results"] == answer.events[0]["prompt_filter_results"]
    assert b"filter_results" not in (await play("finish content_filter")).body


@pytest.mark.parametrize("asked", [True, False])
async def test_a_blocked_prompt_has_no_answer_but_the_filters_finish_reason(asked: bool) -> None:
    answer = await play("reasoning 2 + tools 2 + blocked", stream=asked)
    assert answer.text == ""
    finish = answer.finish if asked else answer.json["choices"][0]["finish_reason"]
    assert finish == "content_filter"
