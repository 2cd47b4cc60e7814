"""What backends say is what the product's own decoders read, and what it asks is what they understand."""

from __future__ import annotations

from types import ModuleType

import msgspec
import pytest
from msgspec.structs import replace

from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.simulate import anthropic_words, openai_words
from understudy.simulate.canonical import Question, prompt
from understudy.simulate.words import Asked, Spoken, Words, tokens_of
from understudy.wire import anthropic_messages, openai_chat
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.refusal import classify

FORMATS: list[tuple[Words, ModuleType]] = [(openai_words, openai_chat), (anthropic_words, anthropic_messages)]
SPOKEN = Spoken("m", 5, 100, 12, False)
QUESTION = Question(9, 40)
TEXT = prompt(QUESTION, 1, 60)


def encoded(wire: ModuleType, *messages: tuple[str, str], stream: bool = True, **fields: int) -> bytes:
    request = ChatRequest([{"role": role, "content": content} for role, content in messages], fields)
    body: bytes = wire.encode_request(request, model="m", stream=stream, include_usage=stream, defaults={})
    return body


def decoded(wire: ModuleType, data: bytes) -> list[ChatChunk | Failure]:
    decoder = wire.StreamDecoder(1, False, rules=(), secrets=())
    return [item for item in decoder.feed(data) if isinstance(item, ChatChunk | Failure)]


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_a_request_is_understood(words: Words, wire: ModuleType) -> None:
    asked = words.read(encoded(wire, ("user", TEXT), max_tokens=30))
    assert asked == Asked(QUESTION, True, 30, "", 60)
    assert words.read(encoded(wire, ("user", TEXT), stream=False, max_tokens=30)).stream is False


def test_without_a_limit_openai_has_none() -> None:
    assert openai_words.read(encoded(openai_chat, ("user", TEXT))).limit is None


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_a_prefill_is_understood(words: Words, wire: ModuleType) -> None:
    asked = words.read(encoded(wire, ("user", TEXT), ("assistant", "abc def"), max_tokens=30))
    assert asked.prefill == "abc def"
    assert asked.question == QUESTION
    assert asked.input_tokens == 62


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_a_whole_stream_is_read_whole(words: Words, wire: ModuleType) -> None:
    data = words.begin(SPOKEN, "abc ") + words.more(SPOKEN, "def ") + words.end(SPOKEN, "ghi.")
    chunks = [item for item in decoded(wire, data) if isinstance(item, ChatChunk)]
    assert "".join(chunk.text for chunk in chunks) == "abc def ghi."
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    usage = [chunk.usage for chunk in chunks if chunk.usage is not None][-1]
    assert (usage.input_tokens, usage.output_tokens) == (100, 12)


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_a_unary_answer_is_read(words: Words, wire: ModuleType) -> None:
    (chunk,) = wire.decode_unary(words.whole(SPOKEN, "abc."), 1, rules=(), secrets=())
    assert (chunk.text, chunk.finish_reason, chunk.model) == ("abc.", "stop", "m")
    assert (chunk.usage.input_tokens, chunk.usage.output_tokens) == (100, 12)


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_an_answer_cut_by_its_limit_says_so(words: Words, wire: ModuleType) -> None:
    (chunk,) = wire.decode_unary(words.whole(replace(SPOKEN, is_cut=True), "abc"), 1, rules=(), secrets=())
    assert chunk.finish_reason == "length"


@pytest.mark.parametrize(("words", "wire"), FORMATS)
def test_an_error_event_is_a_failure(words: Words, wire: ModuleType) -> None:
    *_, failure = decoded(wire, words.begin(SPOKEN, "abc ") + words.broken("broken"))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.SERVER_ERROR


@pytest.mark.parametrize(("words", "wire"), FORMATS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.INVALID_REQUEST),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.SERVER_ERROR),
        (529, FailureKind.SERVER_ERROR),
    ],
)
def test_a_refusal_is_classed_by_its_status(
    words: Words, wire: ModuleType, status: int, kind: FailureKind
) -> None:
    body = words.error(status, "modelled failure")
    assert classify(status, {}, body, wall=0.0, rules=(), secrets=()).kind is kind


def test_anthropics_messages_may_be_plain_texts() -> None:
    body = msgspec.json.encode({"max_tokens": 5, "messages": [{"role": "user", "content": TEXT}]})
    assert anthropic_words.read(body) == Asked(QUESTION, False, 5, "", 60)


def test_parts_of_a_token_count_as_one() -> None:
    assert [tokens_of(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
