"""Only harmless redirects are followed."""

from __future__ import annotations

import pytest

from tests.runtime.scripted_response import ScriptedResponse
from understudy.runtime.ports import HttpRequest
from understudy.runtime.redirect import send_following

HERE = "https://api.example.com/v1/chat?key=1"


class ScriptedTransport:
    """Answers in order and remembers what was asked; the last answer repeats."""

    def __init__(self, *answers: ScriptedResponse) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> ScriptedResponse:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None: ...


def moved(location: str | None, status: int = 307) -> ScriptedResponse:
    return ScriptedResponse(status=status, headers={"location": location} if location is not None else {})


def request(url: str = HERE) -> HttpRequest:
    return HttpRequest(url, {"authorization": "Bearer k"}, b"{}", 1.5, "ca.pem")


@pytest.mark.parametrize("status", [307, 308])
async def test_the_same_origin_is_asked_again_with_everything_but_the_path_unchanged(status: int) -> None:
    first, last = moved("/v2/chat", status), ScriptedResponse()
    transport = ScriptedTransport(first, last)
    assert await send_following(transport, request()) is last
    assert transport.requests == [request(), request("https://api.example.com/v2/chat")]
    assert first.closed
    assert not last.closed


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://api.example.com/v2", "https://api.example.com/v2"),
        ("https://API.example.com:443/v2", "https://api.example.com/v2"),
        ("//api.example.com/v2?x=2#part", "https://api.example.com/v2?x=2"),
        ("chat2", "https://api.example.com/v1/chat2"),
        ("?other", "https://api.example.com/v1/chat?other"),
        # The origin is the request's own, even where another reader would see another host.
        ("https://me:secret@api.example.com/v2", "https://api.example.com/v2"),
    ],
)
async def test_a_location_of_the_same_origin_is_resolved(location: str, target: str) -> None:
    transport = ScriptedTransport(moved(location), ScriptedResponse())
    await send_following(transport, request())
    assert transport.requests[1].url == target


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example.com/v1",
        "http://api.example.com/v1",
        "https://api.example.com:8443/v1",
        "//evil.example.com/",
        "https://api.example.com@evil.example.com/",
        "https://api.example.com.evil.example.com/",
        "https://api.example.com\\@evil.example.com/",
        "https://api.example.com:port/v1",
        "https://[broken/",
        "ftp://api.example.com/",
        "",
        None,
    ],
)
async def test_another_origin_or_no_location_is_handed_back(location: str | None) -> None:
    answer = moved(location)
    transport = ScriptedTransport(answer)
    assert await send_following(transport, request()) is answer
    assert len(transport.requests) == 1
    assert not answer.closed


@pytest.mark.parametrize("status", [200, 201, 300, 301, 302, 303, 304, 404])
async def test_any_other_status_is_handed_back(status: int) -> None:
    answer = moved("/v2", status)
    transport = ScriptedTransport(answer)
    assert await send_following(transport, request()) is answer
    assert len(transport.requests) == 1


async def test_a_loop_ends_after_three_redirects() -> None:
    transport = ScriptedTransport(moved("/again"))
    answer = await send_following(transport, request())
    assert answer.status == 307
    assert len(transport.requests) == 4


async def test_each_step_is_judged_by_the_step_before() -> None:
    transport = ScriptedTransport(moved("/v2/"), moved("next"), ScriptedResponse())
    await send_following(transport, request())
    assert transport.requests[2].url == "https://api.example.com/v2/next"
