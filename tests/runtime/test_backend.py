"""Facts about a member's upstream: what is sent to it, and in whose words."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from understudy.runtime.backend import Backend, UnwritableRequest, WireFormat
from understudy.wire import anthropic_client, anthropic_messages, gemini, openai_chat, openai_client
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import ClientRequest

KEY = "sk-of-the-member"
MESSAGES = [{"role": "user", "content": "Hi"}]
OPENAI, ANTHROPIC = cast(WireFormat, openai_chat), cast(WireFormat, anthropic_messages)


def backend(wire_format: WireFormat = OPENAI, **options: Any) -> Backend:
    return Backend("a", wire_format, base_url="http://a.test/v1", model="ours", key=KEY, **options)


def from_openai(**fields: Any) -> ClientRequest:
    body = {"model": "theirs", "messages": MESSAGES, **fields}
    return openai_client.read_request(json.dumps(body).encode())


def from_anthropic(**fields: Any) -> ClientRequest:
    body = {"model": "theirs", "max_tokens": 9, "messages": MESSAGES, **fields}
    return anthropic_client.read_request(json.dumps(body).encode())


def encoded(made: Backend, request: ChatRequest | ClientRequest, *, stream: bool = False) -> Any:
    return json.loads(made.encode(request, stream=stream))


def test_a_request_in_its_own_format_is_native_and_any_other_is_not() -> None:
    assert backend().is_native(from_openai())
    assert not backend().is_native(from_anthropic())
    assert backend(ANTHROPIC).is_native(from_anthropic())
    assert not backend().is_native(ChatRequest(MESSAGES))


def test_a_native_request_goes_out_with_its_fields_as_they_came() -> None:
    sent = encoded(backend(), from_openai(unheard_of=[1, None], top_p=0.5))
    assert sent == {"model": "ours", "messages": MESSAGES, "unheard_of": [1, None], "top_p": 0.5}


def test_that_of_a_client_of_another_format_goes_out_translated() -> None:
    sent = encoded(backend(), from_anthropic(system="Be brief.", stop_sequences=["!"]))
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, *MESSAGES]
    assert (sent["model"], sent["stop"]) == ("ours", ["!"])
    assert "stop_sequences" not in sent


def test_neutral_words_are_written_in_the_backends_format() -> None:
    assert encoded(backend(), ChatRequest(MESSAGES, {"top_p": 1}))["top_p"] == 1
    assert encoded(backend(ANTHROPIC), ChatRequest(MESSAGES))["messages"][0]["role"] == "user"


@pytest.mark.parametrize("request_", [from_openai(stream=True), ChatRequest(MESSAGES)])
def test_usage_is_asked_for_in_streams_unless_the_backend_refuses_to_know_it(
    request_: ChatRequest | ClientRequest,
) -> None:
    made = backend()
    assert encoded(made, request_, stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in encoded(made, request_)
    made.asks_usage = False
    assert "stream_options" not in encoded(made, request_, stream=True)


@pytest.mark.parametrize("request_", [from_openai(top_p=0.1), ChatRequest(MESSAGES, {"top_p": 0.1})])
def test_defaults_fill_what_the_request_leaves_out(request_: ChatRequest | ClientRequest) -> None:
    sent = encoded(backend(defaults={"top_p": 0.9, "seed": 7}), request_)
    assert (sent["top_p"], sent["seed"]) == (0.1, 7)


def test_what_cannot_be_written_is_the_callers_mistake() -> None:
    with pytest.raises(UnwritableRequest, match="cannot be written as JSON"):
        backend().encode(ChatRequest(MESSAGES, {"tools": object()}), stream=False)


def test_so_is_what_cannot_be_translated() -> None:
    wrong = from_anthropic(messages=[{"role": "user", "content": [{"no": "type"}]}])
    with pytest.raises(UnwritableRequest, match=r"messages\[0\]"):
        backend().encode(wrong, stream=False)


def test_what_its_format_cannot_say_is_said_so() -> None:
    with pytest.raises(UnwritableRequest) as caught:
        backend(ANTHROPIC).encode(ChatRequest([{"role": "stagehand", "content": "Hi"}]), stream=False)
    assert "stagehand" in str(caught.value)
    assert "JSON" not in str(caught.value)


def test_a_backend_shows_its_model_and_address_and_no_key() -> None:
    assert repr(backend()) == "<Backend a, ours at http://a.test/v1>"


# Headers


def test_a_backend_gets_its_own_key_and_no_other() -> None:
    request = from_openai()
    assert backend().headers_for(request)["authorization"] == f"Bearer {KEY}"
    assert backend(ANTHROPIC).headers_for(from_anthropic())["x-api-key"] == KEY


def test_what_a_client_of_its_format_has_to_add_it_sees_and_nobody_else_does() -> None:
    request = from_anthropic()
    request.headers = {"anthropic-beta": "thinking", "x-api-key": "the client's"}
    headers = backend(ANTHROPIC).headers_for(request)
    assert (headers["anthropic-beta"], headers["x-api-key"]) == ("thinking", KEY)
    assert "anthropic-beta" not in backend().headers_for(request)


@pytest.mark.parametrize("request_", [from_openai(), from_anthropic(), ChatRequest(MESSAGES)])
def test_without_any_its_headers_are_made_once(request_: ChatRequest | ClientRequest) -> None:
    made = backend()
    assert made.headers_for(request_) is made.headers


# Addresses


@pytest.mark.parametrize(
    ("wire_format", "stream", "url"),
    [
        (openai_chat, True, "https://x.org/v1/chat/completions"),
        (openai_chat, False, "https://x.org/v1/chat/completions"),
        (anthropic_messages, True, "https://x.org/v1/messages"),
        (gemini, True, "https://x.org/v1/models/m%2F1:streamGenerateContent?alt=sse"),
        (gemini, False, "https://x.org/v1/models/m%2F1:generateContent"),
    ],
)
def test_the_address_is_the_formats_for_the_model_and_the_way_of_answering(
    wire_format: object, stream: bool, url: str
) -> None:
    backend = Backend("a", cast(WireFormat, wire_format), base_url="https://x.org/v1", model="m/1")
    assert backend.url_for(stream=stream) == url
    assert repr(backend) == "<Backend a, m/1 at https://x.org/v1>"
