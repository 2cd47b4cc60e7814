"""Facts about a member's upstream: what is sent to it, and in whose words."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from understudy.runtime.backend import Backend, UnwritableRequest, WireFormat
from understudy.wire import anthropic_client, anthropic_messages, gemini, openai_chat, openai_client
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.dialect import ClientRequest
from understudy.wire.state import ProviderState
from understudy.wire.unwanted import BUDGET

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
    return json.loads(made.encode(request, stream=stream)[0])


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
    with pytest.raises(UnwritableRequest, match=r"messages\[0\]") as caught:
        backend().encode(wrong, stream=False)
    assert caught.value.param == "messages[0].content[0]"


def test_so_is_what_is_nested_without_end_and_a_number_that_json_does_not_know() -> None:
    nested: Any = "x"
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UnwritableRequest, match="nested too deeply"):
        backend().encode(ChatRequest(MESSAGES, {"metadata": nested}), stream=False)
    for value in (float("nan"), float("inf")):
        with pytest.raises(UnwritableRequest, match=f"temperature: {value} is no number"):
            backend().encode(ChatRequest(MESSAGES, {"temperature": value}), stream=False)


def test_what_its_format_cannot_say_is_said_so() -> None:
    with pytest.raises(UnwritableRequest) as caught:
        backend(ANTHROPIC).encode(ChatRequest([{"role": "stagehand", "content": "Hi"}]), stream=False)
    assert "stagehand" in str(caught.value)
    assert "JSON" not in str(caught.value)


def test_a_backend_shows_its_model_and_address_and_no_key() -> None:
    assert repr(backend()) == "<Backend a, ours at http://a.test/v1>"


# State that only its issuer can read

SEALED = ProviderState("anthropic", "signature", "EqQB", "Hm")


def at(base_url: str, wire_format: WireFormat = ANTHROPIC) -> Backend:
    return Backend("a", wire_format, base_url=base_url, model="ours")


def answered(*states: ProviderState) -> ChatRequest:
    said = {"role": "assistant", "content": "x", "provider_state": [state.to_dict() for state in states]}
    return ChatRequest([*MESSAGES, said, *MESSAGES])


def signed(made: Backend) -> ProviderState:
    [state] = made.signed(ChatChunk(state=(SEALED,))).state
    return state


def test_an_origin_is_a_place_whatever_the_path_the_key_or_the_spelling() -> None:
    made = at("https://a.test/v1")
    assert at("https://A.test/other").origin == made.origin
    assert len({at(url).origin for url in ("https://a.test", "http://a.test", "https://a.test:8000")}) == 3
    assert "a.test" not in made.origin


def test_what_a_backend_issues_bears_its_origin() -> None:
    made = at("https://a.test/v1")
    assert signed(made) == ProviderState("anthropic", "signature", "EqQB", "Hm", origin=made.origin)
    plain = ChatChunk("x")
    assert made.signed(plain) is plain


def test_a_backend_gets_its_own_state_and_none_of_the_same_format_from_elsewhere() -> None:
    here, there = at("https://a.test/v1"), at("https://b.test/v1")
    request = answered(signed(there), signed(here))
    for made in (here, there):
        [_, said, _] = encoded(made, request)["messages"]
        assert [block["type"] for block in said["content"]] == ["thinking", "text"]
    assert len(encoded(here, answered(signed(there)))["messages"][1]["content"]) == 1


def test_state_of_unknown_origin_goes_to_whoever_speaks_its_format() -> None:
    assert encoded(at("https://a.test/v1"), answered(SEALED))["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Hm",
        "signature": "EqQB",
    }


def test_a_request_can_be_had_without_state() -> None:
    made = at("https://a.test/v1")
    request = made.stateless(answered(SEALED))
    assert request == ChatRequest([*MESSAGES, {"role": "assistant", "content": "x"}, *MESSAGES])
    thinking = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    native = from_anthropic(messages=[*MESSAGES, {"role": "assistant", "content": [thinking]}], top_k=3)
    stateless = made.stateless(native)
    assert isinstance(stateless, ClientRequest)
    assert encoded(made, stateless) == {**encoded(made, native), "messages": MESSAGES}


@pytest.mark.parametrize("request_", [from_anthropic(), from_openai(), ChatRequest(MESSAGES)])
def test_of_one_that_has_none_there_is_nothing_to_leave_out(request_: ChatRequest | ClientRequest) -> None:
    assert at("https://a.test/v1").stateless(request_) is None


def test_what_is_no_message_is_left_to_the_encoder() -> None:
    odd = ChatRequest(["odd", *answered(SEALED).messages])  # type: ignore[list-item]
    made = at("https://a.test/v1", OPENAI)
    assert encoded(made, odd)["messages"][0] == "odd"
    stateless = made.stateless(odd)
    assert isinstance(stateless, ChatRequest)
    assert stateless.messages[:2] == ["odd", *MESSAGES]


def test_thinking_that_others_answers_leave_no_room_for_is_named() -> None:
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]},
    ]
    request = from_anthropic(messages=turns, thinking={"type": "enabled", "budget_tokens": 2048})
    assert at("https://a.test/v1").left_out(request) == ("thinking",)


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


def test_what_it_is_known_to_refuse_is_left_out_and_named() -> None:
    made = backend(unwanted={"temperature", "seed"}, defaults={"seed": 7})
    body, left_out = made.encode(from_openai(temperature=0.5, top_p=1), stream=False)
    assert json.loads(body) == {"model": "ours", "messages": MESSAGES, "top_p": 1}
    assert left_out == ("seed", "temperature")
    made.refuses(["top_p"])
    assert "top_p" not in encoded(made, from_openai(top_p=1))


@pytest.mark.parametrize("asked", [{"reasoning_effort": "none"}, {}])
def test_who_takes_no_budget_does_not_think_unasked(asked: dict[str, Any]) -> None:
    made = backend(ANTHROPIC, unwanted={BUDGET})
    assert "thinking" not in encoded(made, ChatRequest(MESSAGES, asked))


def test_who_takes_no_budget_thinks_adaptively_if_that_is_asked_for() -> None:
    made = backend(ANTHROPIC, unwanted={BUDGET})
    request = from_openai(reasoning_effort="low", temperature=0.5)
    sent = encoded(made, request)
    assert (sent["thinking"], sent["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    assert made.left_out(request) == ("temperature",)
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns: list[Any] = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c"},
    ]
    amid_tools = ChatRequest(turns, {"reasoning_effort": "low"})
    assert encoded(made, amid_tools)["thinking"] == {"type": "adaptive"}
    assert "thinking" not in encoded(backend(ANTHROPIC), amid_tools)
    assert "thinking" not in encoded(backend(unwanted={BUDGET}), amid_tools), "another format's"
