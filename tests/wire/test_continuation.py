"""A request that asks for the rest of an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import ChatRequest
from understudy.wire.continuation import continued
from understudy.wire.dialect import BadRequest, ClientRequest

QUESTION = {"role": "user", "content": "Hi"}
BEGUN = {"role": "assistant", "content": "The show"}


def client(dialect: Any, **fields: Any) -> ClientRequest:
    body = {"model": "m", "stream": True, "messages": [QUESTION], "max_tokens": 100, **fields}
    read = dialect.read_request(json.dumps(body).encode())
    assert isinstance(read, ClientRequest)
    return read


def fields_of(request: ChatRequest | ClientRequest) -> dict[str, Any]:
    return {name: json.loads(bytes(raw)) for name, raw in request.fields.items()}


def test_in_neutral_words_the_answer_so_far_is_the_last_message() -> None:
    request = ChatRequest([QUESTION], {"max_tokens": 100, "max_completion_tokens": 5, "temperature": 0})
    asked = continued(request, "The show", 10, native=False, defaults={}, more={"prefix": True})
    assert list(asked.messages) == [QUESTION, BEGUN]  # type: ignore[union-attr]
    assert asked.fields == {
        "max_tokens": 90,
        "max_completion_tokens": 1,
        "temperature": 0,
        "prefix": True,
    }
    assert request.fields["max_tokens"] == 100


@pytest.mark.parametrize("dialect", [openai_client, anthropic_client])
def test_in_the_clients_own_format_everything_else_stays_as_it_came(dialect: Any) -> None:
    request = client(dialect, metadata={"user_id": "x"})
    asked = continued(
        request, "The show", 10, native=True, defaults={}, more={"continue_final_message": True}
    )
    assert isinstance(asked, ClientRequest)
    told = fields_of(asked)
    assert told["messages"] == [QUESTION, BEGUN]
    assert told["max_tokens"] == 90
    assert told["metadata"] == {"user_id": "x"}
    assert told["continue_final_message"] is True
    assert fields_of(request)["max_tokens"] == 100


def test_a_limit_is_never_less_than_one() -> None:
    asked = continued(client(openai_client), "The show", 1000, native=True, defaults={}, more={})
    assert fields_of(asked)["max_tokens"] == 1


def test_a_limit_that_is_none_is_left_to_whoever_is_asked() -> None:
    asked = continued(
        client(openai_client, max_tokens=None), "The show", 10, native=True, defaults={}, more={}
    )
    assert fields_of(asked)["max_tokens"] is None


def test_for_another_format_it_is_put_into_neutral_words() -> None:
    asked = continued(client(anthropic_client), "The show", 99, native=False, defaults={}, more={})
    assert isinstance(asked, ChatRequest)
    assert asked.messages[-1] == BEGUN
    assert asked.fields["max_tokens"] == 1


def test_so_is_a_format_without_messages() -> None:
    body = {"model": "m", "input": "Hi", "stream": True}
    request = responses_client.read_request(json.dumps(body).encode())
    asked = continued(request, "The show", 10, native=True, defaults={}, more={})
    assert isinstance(asked, ChatRequest)
    assert [message["role"] for message in asked.messages] == ["user", "assistant"]


def test_one_that_cannot_be_put_into_them_is_the_clients_fault() -> None:
    request = client(anthropic_client, messages=[{"role": "robot", "content": "Hi"}])
    with pytest.raises(BadRequest):
        continued(request, "The show", 10, native=False, defaults={}, more={})


def test_the_backends_usual_limit_is_lowered_where_the_request_has_none() -> None:
    usual = {"max_tokens": 50, "temperature": 1}
    asked = continued(ChatRequest([QUESTION]), "The show", 10, native=False, defaults=usual, more={})
    assert asked.fields == {"max_tokens": 40}
    request = client(openai_client)
    del request.fields["max_tokens"]
    asked = continued(request, "The show", 10, native=True, defaults=usual, more={})
    assert fields_of(asked)["max_tokens"] == 40
    asked = continued(client(openai_client), "The show", 10, native=True, defaults=usual, more={})
    assert fields_of(asked)["max_tokens"] == 90
