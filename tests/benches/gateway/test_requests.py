"""Everybody is sent the same."""

from __future__ import annotations

import json

from benches.gateway import requests
from benches.gateway.requests import Target


def test_a_request_is_as_long_as_it_says() -> None:
    sent = requests.body(say=" play:5:10", stream=True)
    head, _, rest = requests.request(Target(80, {"x-more": "yes"}), sent).partition(b"\r\n\r\n")
    assert rest == sent.encode()
    assert b"Content-Length: %d\r\n" % len(rest) in head
    assert head.endswith(b"\r\nx-more: yes")
    assert json.loads(rest)["stream"] is True


def test_an_anthropic_client_asks_the_same_in_its_own_words() -> None:
    sent = requests.body(stream=True, client=requests.ANTHROPIC)
    assert requests.request(Target(80), sent, requests.ANTHROPIC).startswith(
        b"POST /v1/messages HTTP/1.1\r\n"
    )
    own = json.loads(sent)
    assert own.pop("max_tokens") > 0
    assert own == json.loads(requests.body(stream=True))


def test_a_request_has_about_two_kilobytes() -> None:
    whole = requests.request(Target(80), requests.body())
    assert 1900 < len(whole) < 2100
    assert "stream" not in json.loads(requests.body())
