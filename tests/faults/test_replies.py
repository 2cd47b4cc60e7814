"""What a client gets instead of an answer."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import pytest

from tests.faults.raw import Client, ask, play, stream
from understudy.faults import TEXT, FaultProvider, ScriptError
from understudy.faults.replies import moved
from understudy.faults.wordings import WORDINGS


@pytest.mark.parametrize("asked", [True, False])
async def test_a_status_with_an_error_body(asked: bool) -> None:
    answer = await play("503 message='try later' error-type=busy error-code=later", stream=asked)
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"error": {"message": "try later", "type": "busy", "param": None, "code": "later"}}


async def test_the_type_of_an_error_follows_from_its_status() -> None:
    kinds = {}
    for code in (400, 401, 402, 404, 418, 429, 500, 529):
        kinds[code] = (await play(str(code))).json["error"]["type"]
    assert kinds == {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "insufficient_quota",
        404: "invalid_request_error",
        418: "invalid_request_error",
        429: "rate_limit_error",
        500: "server_error",
        529: "server_error",
    }


async def test_a_status_with_a_body_of_the_scripts_own() -> None:
    answer = await play("400 body='no; really no' content-type=text/plain")
    assert (answer.status, answer.body) == (400, b"no; really no")
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("text", ["2", "abc", "-1", "1e12", "NaN", "0.35", "277403"])
async def test_retry_after_is_sent_as_it_is_written(text: str) -> None:
    assert (await play(f"429 retry-after={text}")).headers["retry-after"] == text
    assert (await play(f"429 retry-after-ms={text}")).headers["retry-after-ms"] == text
    assert "retry-after" not in (await play("429")).headers


async def test_retry_after_may_be_a_date_on_the_providers_clock() -> None:
    headers = (await play("429 retry-after=date:+3s + skew +1h", time_scale=0.01)).headers
    date, until = (parsedate_to_datetime(headers[name]) for name in ("date", "retry-after"))
    assert (until - date).total_seconds() == 3.0


async def test_no_content_has_no_body_and_the_connection_goes_on() -> None:
    async with FaultProvider("204; fine") as provider, Client(provider) as client:
        answer = await client.ask()
        assert (answer.status, answer.body) == (204, b"")
        assert "content-length" not in answer.headers
        assert (await client.ask()).text == TEXT


@pytest.mark.parametrize("name", WORDINGS)
async def test_a_providers_own_words(name: str) -> None:
    wording = WORDINGS[name]
    answer = await play(f"says {name}")
    assert answer.status == wording.status
    assert json.dumps(answer.json) == json.dumps(wording.value)
    for header, value in wording.headers:
        assert answer.headers[header] == value


async def test_a_wording_with_another_status() -> None:
    assert (await play("says anthropic-context code=413")).status == 413


@pytest.mark.parametrize(("script", "status"), [("html", 200), ("html 502", 502)])
async def test_a_web_page(script: str, status: int) -> None:
    answer = await stream(script)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html")
    assert answer.body.startswith(b"<html>")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_a_redirect_on_the_same_host_leads_to_an_answer(code: int) -> None:
    async with FaultProvider(f"redirect {code}") as provider, Client(provider) as client:
        answer = await client.ask()
        assert answer.status == code
        assert answer.headers["location"] == "/v1/moved/chat/completions"
        assert (await client.ask(path=answer.headers["location"])).text == TEXT
        assert [request.step for request in provider.requests] == [f"redirect {code}", "fine"]


async def test_a_redirect_to_another_host_would_come_back_here_with_the_key() -> None:
    async with FaultProvider("redirect to=other") as provider:
        location = (await ask(provider)).headers["location"]
        assert location == f"http://localhost:{provider.port}/v1/moved/chat/completions"


async def test_a_redirect_can_go_in_circles_or_anywhere() -> None:
    assert (await play("redirect to=loop")).headers["location"] == "/v1/chat/completions"
    assert (await play("redirect to=http://nobody.test/v1")).headers["location"] == "http://nobody.test/v1"


def test_a_redirect_to_nowhere_in_particular_is_refused() -> None:
    with pytest.raises(ScriptError, match="same, other, loop or a URL"):
        FaultProvider("redirect to=elsewhere")


def test_what_moves_keeps_its_place() -> None:
    answer_path = "/chat/completions"
    assert moved("/openai/v1/chat/completions", answer_path) == "/openai/v1/moved/chat/completions"
    assert moved("/v1/chat/completions?a=/b", answer_path) == "/v1/moved/chat/completions?a=/b"
    assert moved("/v1/models/m:x?alt=sse", "/models/") == "/v1/moved/models/m:x?alt=sse"


async def test_a_flood_of_a_size_is_that_long() -> None:
    answer = await play("flood 500 size=200000")
    assert (answer.status, len(answer.body)) == (500, 200_000)
    assert (await play("flood size=10 content-type=text/plain")).headers["content-type"] == "text/plain"


async def test_a_flood_without_a_size_goes_on_until_the_client_leaves() -> None:
    async with FaultProvider("flood 500") as provider:
        async with Client(provider) as client:
            client.send()
            assert await client.reader.readuntil(b"\r\n\r\n")
            for _ in range(200):
                await client.reader.readexactly(65536)
            (request,) = provider.requests
            assert request.finished is None
        await provider.wait_closed(request)


def test_wordings_are_named_once_and_say_what_they_are() -> None:
    assert all(wording.name == name and wording.meaning for name, wording in WORDINGS.items())
    contexts = [name for name in WORDINGS if name.endswith("-context")]
    assert len(contexts) >= 5
