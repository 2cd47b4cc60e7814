"""What a modelled backend answers, and when."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from understudy.errors import ConnectFailed, ConnectionReset, TransportError
from understudy.runtime.ports import HttpRequest
from understudy.simulate import openai_words
from understudy.simulate.backend import ModelledBackend, Reply
from understudy.simulate.canonical import Question, answer, prompt
from understudy.simulate.clock import WALL_START
from understudy.simulate.distribution import constant
from understudy.simulate.fate import Fate, Stretch
from understudy.simulate.scenario import Effects, Model, Phase
from understudy.wire import openai_chat
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.retry_after import retry_after

QUESTION = Question(3, 60)
NOW = 1000.0


def backend(*stretches: Stretch, effects: Effects | None = None, **model: Any) -> ModelledBackend:
    steady: dict[str, Any] = {
        "first_content": constant(0.5),
        "tokens_per_second": constant(100.0),
        "error_after": constant(0.1),
        "chunks": 4,
        **model,
    }
    fate = Fate(effects or Effects(), stretches)
    return ModelledBackend("b", 'm"1', openai_words, Model(**steady), fate, Random(1))


def request(
    *, stream: bool = True, prefill: str = "", question: Question = QUESTION, **fields: int
) -> HttpRequest:
    messages = [{"role": "user", "content": prompt(question, 1, 40)}]
    if prefill:
        messages.append({"role": "assistant", "content": prefill})
    body = openai_chat.encode_request(
        ChatRequest(messages, fields), model="m", stream=stream, include_usage=stream
    )
    return HttpRequest("http://simulated/b/chat/completions", {}, body, connect_timeout=5.0)


def chunks(reply: Reply) -> list[ChatChunk]:
    data = b"".join(what for _, what in reply.pieces if isinstance(what, bytes))
    decoder = openai_chat.StreamDecoder(1, False, rules=(), secrets=())
    return [item for item in decoder.feed(data) if isinstance(item, ChatChunk)]


def text(reply: Reply) -> str:
    return "".join(chunk.text for chunk in chunks(reply))


def failing(failure: str) -> ModelledBackend:
    return backend(effects=Effects(failures=((failure, 1.0),)))


def outage(begin: float) -> Stretch:
    return Stretch(begin, begin + 60, Phase("outage", Effects(), 60, cuts=True))


# Answers


def test_a_stream_is_the_known_answer_in_its_own_time() -> None:
    reply = backend().reply(request(), NOW)
    assert (reply.status, reply.at) == (200, NOW + 0.5)
    assert text(reply) == answer(QUESTION)
    assert [when for when, _ in reply.pieces][-1] == pytest.approx(NOW + 0.5 + 0.59)
    assert chunks(reply)[0].model == 'm"1'


def test_a_unary_answer_comes_when_its_last_token_has() -> None:
    reply = backend().reply(request(stream=False), NOW)
    assert reply.at == pytest.approx(NOW + 0.5 + 0.59)
    (_, body), end = reply.pieces
    assert end == (reply.at, b"")
    assert isinstance(body, bytes)
    assert answer(QUESTION).encode() in body


def test_backends_of_another_wording_say_something_else() -> None:
    assert text(backend(wording=2).reply(request(), NOW)) == answer(QUESTION, 2) != answer(QUESTION)


def test_a_limit_cuts_the_answer_off() -> None:
    reply = backend().reply(request(max_tokens=10), NOW)
    assert text(reply) == answer(QUESTION)[:40]
    assert chunks(reply)[-1].finish_reason == "length"
    assert text(backend().reply(request(max_tokens=60), NOW)) == answer(QUESTION)


def test_a_prefilled_answer_is_gone_on_with() -> None:
    whole = answer(QUESTION)
    reply = backend().reply(request(prefill=whole[:99], max_tokens=100), NOW)
    assert text(reply) == whole[99:]
    assert text(backend().reply(request(prefill="something else"), NOW)) == whole


def test_a_backend_without_prefill_refuses_it() -> None:
    assert backend(prefill=False).reply(request(prefill="abc "), NOW).status == 400
    assert backend(prefill=False).reply(request(), NOW).status == 200


def test_a_phase_makes_it_slower() -> None:
    slow = Phase("slow", Effects(latency=(4.0, 4.0), speed=(0.5, 0.5)), 60)
    reply = backend(Stretch(NOW, NOW + 60, slow)).reply(request(), NOW)
    assert reply.at == NOW + 2.0
    assert reply.pieces[-1][0] == pytest.approx(NOW + 2.0 + 1.18)


# Failures


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
def test_a_status_comes_after_its_time_with_a_body(status: int) -> None:
    reply = failing(str(status)).reply(request(), NOW)
    assert (reply.status, reply.at) == (status, NOW + 0.1)
    assert b"modelled failure" in b"".join(what for _, what in reply.pieces if isinstance(what, bytes))


@pytest.mark.parametrize(
    ("failure", "after", "error", "message"),
    [
        ("connect", 0.001, ConnectFailed, "connection refused"),
        ("unreachable", 5.0, ConnectFailed, "connect timeout after 5 s"),
        ("reset", 0.1, ConnectionReset, "before the answer"),
        ("silence", inf, ConnectionReset, ""),
    ],
)
def test_a_failure_before_the_head_comes_as_the_transports_error(
    failure: str, after: float, error: type[TransportError], message: str
) -> None:
    reply = failing(failure).reply(request(), NOW)
    assert reply.at == NOW + after
    assert type(reply.error) is error
    assert message in str(reply.error)


@pytest.mark.parametrize("failure", ["cut", "ended", "error", "stall"])
def test_a_failure_in_the_middle_comes_after_some_of_the_answer(failure: str) -> None:
    reply = failing(failure).reply(request(), NOW)
    said = text(reply)
    assert answer(QUESTION).startswith(said)
    assert 0 < len(said) < len(answer(QUESTION))
    assert reply.at == NOW + 0.5


def test_an_answer_of_one_token_breaks_off_behind_it() -> None:
    question = Question(3, 1)
    reply = failing("cut").reply(request(question=question), NOW)
    assert text(reply) == answer(question)
    assert isinstance(reply.pieces[-1][1], ConnectionReset)


def test_a_unary_answer_that_breaks_off_never_comes() -> None:
    cut = failing("cut").reply(request(stream=False), NOW)
    assert isinstance(cut.error, ConnectionReset)
    assert NOW + 0.5 <= cut.at < NOW + 1.09
    assert failing("stall").reply(request(stream=False), NOW).at == inf


def test_a_phase_that_cuts_breaks_off_what_is_on_its_way() -> None:
    reply = backend(outage(NOW + 0.805)).reply(request(), NOW)
    assert text(reply) == answer(QUESTION)[: 31 * 4]
    assert reply.pieces[-1][0] == NOW + 0.805
    assert isinstance(reply.pieces[-1][1], ConnectionReset)


def test_a_phase_that_cuts_before_the_first_token_leaves_nothing() -> None:
    reply = backend(outage(NOW + 0.2)).reply(request(), NOW)
    assert reply.at == NOW + 0.2
    assert isinstance(reply.error, ConnectionReset)


def test_what_breaks_off_by_itself_is_cut_only_if_that_comes_first() -> None:
    own = backend(outage(NOW + 60), effects=Effects(failures=(("ended", 1.0),))).reply(request(), NOW)
    assert own.pieces[-1][1] == b""
    cut = backend(outage(NOW + 0.2), effects=Effects(failures=(("ended", 1.0),))).reply(request(), NOW)
    assert isinstance(cut.error, ConnectionReset)


# Ceilings and capacity


def test_beyond_its_capacity_it_is_overloaded() -> None:
    busy = backend(effects=Effects(concurrent=(2.0, 2.0)))
    busy.in_flight = 1
    assert busy.reply(request(), NOW).status == 200
    busy.in_flight = 2
    assert busy.reply(request(), NOW).status == 503


def test_with_one_more_than_it_bears_it_falls_over_and_is_back_after_a_restart() -> None:
    weak = backend(effects=Effects(topples=(2.0, 2.0)), restart=constant(5.0))
    weak.in_flight = 1
    assert weak.reply(request(), NOW).status == 200
    weak.in_flight = 2
    refused = weak.reply(request(), NOW)
    assert isinstance(refused.error, ConnectFailed)
    assert (weak.falls, weak.in_flight) == (1, 0)
    weak.in_flight = 2
    assert isinstance(weak.reply(request(), NOW + 4.9).error, ConnectFailed)
    assert weak.falls == 1, "it was down already"
    weak.in_flight = 1
    assert weak.reply(request(), NOW + 5).status == 200


def test_beyond_its_rate_it_says_when_to_come_back() -> None:
    limited = backend(effects=Effects(rpm=6.0))
    statuses = [limited.reply(request(), NOW).status for _ in range(7)]
    assert statuses == [200] * 6 + [429]
    refused = limited.reply(request(), NOW)
    assert retry_after(refused.headers, wall=0.0) == 10
    assert limited.reply(request(), NOW + 10).status == 200


def test_it_may_say_so_by_its_own_clock() -> None:
    limited = backend(effects=Effects(rpm=6.0), retry_after="date")
    for _ in range(6):
        limited.reply(request(), NOW)
    refused = limited.reply(request(), NOW)
    assert retry_after(refused.headers, wall=WALL_START) == pytest.approx(10, abs=1.2)
    assert retry_after(refused.headers, wall=WALL_START - 3600) == pytest.approx(3610, abs=1.2)


def test_tokens_are_counted_as_prompt_and_answer() -> None:
    limited = backend(effects=Effects(tpm=200.0))
    assert [limited.reply(request(), NOW).status for _ in range(3)] == [200, 200, 429]
    brief = backend(effects=Effects(tpm=200.0))
    assert [brief.reply(request(max_tokens=10), NOW).status for _ in range(5)] == [200] * 4 + [429]


def test_an_answer_tells_what_is_left() -> None:
    limited = backend(effects=Effects(rpm=6.0, tpm=200.0))
    headers = limited.reply(request(), NOW).headers
    assert headers["x-ratelimit-limit-requests"] == "6"
    assert headers["x-ratelimit-remaining-requests"] == "5"
    assert headers["x-ratelimit-reset-requests"] == "10.000s"
    assert headers["x-ratelimit-remaining-tokens"] == "100"
    assert headers["x-ratelimit-reset-tokens"] == "30.000s"
    assert "x-ratelimit-remaining-requests" in limited.reply(request(stream=False), NOW).headers
    assert "x-ratelimit-limit-requests" not in backend().reply(request(), NOW).headers


def test_its_repr_shows_how_busy_it_is() -> None:
    assert repr(backend()) == "<ModelledBackend b, 0 requests, 0 in flight>"
