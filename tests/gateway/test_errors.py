"""What a failure is in HTTP: status, code, causes, and how long to wait."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.gateway.house import caller, chat, house
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    BalancerClosed,
    Cause,
    DeadlineExceeded,
    FailureKind,
    NoBackendAvailable,
    RequestError,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
    TrailEntry,
)
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.errors import reply_of, reply_to, retry_after, status_of
from understudy.gateway.http import HttpError
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


def cause(
    kind: FailureKind, status: int | None = None, message: str = "it says no", backend: str = "lead"
) -> Cause:
    return Cause(backend, kind, status, message)


def skip(reason: SkipReason, backend: str = "second") -> SkipEntry:
    return SkipEntry(backend, reason, 2.5)


def failed(*reasons: FailureKind | SkipReason, **options: Any) -> AllBackendsFailed:
    """Everything that was asked or skipped, in order."""
    causes = [cause(reason) for reason in reasons if isinstance(reason, FailureKind)]
    trail = [skip(reason) for reason in reasons if isinstance(reason, SkipReason)]
    return AllBackendsFailed("all failed", causes=causes, trail=trail, **options)


def unavailable(*reasons: SkipReason) -> NoBackendAvailable:
    return NoBackendAvailable("nobody is there", skips=[skip(reason) for reason in reasons])


RATE, QUOTA, TIMEOUT = FailureKind.RATE_LIMITED, FailureKind.QUOTA, FailureKind.TIMEOUT
NO_IMAGES = SkipReason.NO_IMAGES
ERROR, BENCHED, OPEN = FailureKind.SERVER_ERROR, SkipReason.BENCHED, SkipReason.CIRCUIT_OPEN


# Rule 1: what the request is to blame for


@pytest.mark.parametrize(
    ("kind", "came", "status"),
    [
        (FailureKind.INVALID_REQUEST, 400, 400),
        (FailureKind.INVALID_REQUEST, 422, 422),
        (FailureKind.CONTEXT_LENGTH, 413, 413),
        (FailureKind.CONTENT_FILTER, 403, 400),
        (FailureKind.INVALID_REQUEST, 401, 400),
        (FailureKind.INVALID_REQUEST, 404, 400),
        (FailureKind.INVALID_REQUEST, 500, 400),
        (FailureKind.CONTENT_FILTER, 200, 400),
        (FailureKind.CONTEXT_LENGTH, None, 400),
        (FailureKind.STALL, None, 400),
    ],
)
def test_a_rejection_keeps_its_status_unless_it_speaks_of_us(
    kind: FailureKind, came: int | None, status: int
) -> None:
    assert status_of(RequestRejected("no", causes=[cause(kind, came), cause(ERROR, 500)])) == status


def test_a_rejection_says_what_the_first_backend_said() -> None:
    error = RequestRejected(
        "both failed", causes=[cause(FailureKind.CONTEXT_LENGTH, 400, "too long"), cause(ERROR)]
    )
    reply = reply_to(error, "req_1")

    assert (reply.status, reply.code, reply.message, reply.request_id) == (
        400,
        "context_length",
        "too long",
        "req_1",
    )


def test_it_names_the_clients_field_where_one_is_to_blame() -> None:
    blamed = Cause("lead", FailureKind.UNFIT, None, "tools[0].name: must be a string", param="tools[0].name")
    assert reply_to(RequestRejected("no", causes=[blamed]), "req_1").param == "tools[0].name"
    assert reply_to(AllBackendsFailed("no", causes=[blamed, cause(ERROR)]), "req_1").param is None


REJECTION = b'{"error": {"message": "no such thing", "odd": [1, 2]}}'


async def test_what_the_first_backend_said_passes_as_it_came() -> None:
    async with house(f"422 body='{REJECTION.decode()}'") as evening:
        answer = await evening.post(CHAT, chat())

    assert (answer.status, answer.body) == (422, REJECTION)
    assert evening.second.requests == []


@pytest.mark.parametrize("more", ["", '"type": "error", '])
async def test_it_is_put_into_the_clients_words_where_the_backend_speaks_another_format(more: str) -> None:
    body = REJECTION.decode().replace("{", "{" + more, 1)
    async with house(f"422 body='{body}'") as evening:
        answer = await evening.post(MESSAGES, chat())

    error = answer.json["error"]
    assert (answer.status, answer.json["type"]) == (422, "error")
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert "no such thing" in error["message"]


@pytest.mark.parametrize("body", ["sorry, no", "[1]", '{"detail": "no"}', "[" * 5000, ""])
async def test_so_it_is_where_what_came_is_no_error_of_the_format(body: str) -> None:
    async with house(f"422 body='{body}'") as evening:
        answer = await evening.post(CHAT, chat())

    assert answer.status == 422
    assert answer.json["error"]["code"] == "invalid_request"
    assert answer.json["error"]["causes"][0]["backend"] == "lead"


async def test_what_only_a_later_backend_says_does_not_pass() -> None:
    async with house("500", f"422 body='{REJECTION.decode()}'") as evening:
        answer = await evening.post(CHAT, chat())

    assert answer.status == 502
    assert answer.json["error"]["code"] == "all_backends_failed"


# Rule 2: all reasons count


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (failed(RATE, QUOTA, BENCHED), 429, "rate_limited"),
        (failed(RATE), 429, "rate_limited"),
        (failed(RATE, OPEN), 502, "all_backends_failed"),
        (failed(RATE, ERROR), 502, "all_backends_failed"),
        (failed(RATE, NO_IMAGES), 429, "rate_limited"),
        (failed(NO_IMAGES, RATE, ERROR), 502, "all_backends_failed"),
        (unavailable(NO_IMAGES), 400, "no_fitting_backend"),
        (unavailable(NO_IMAGES, SkipReason.NO_KEY), 400, "no_fitting_backend"),
        (unavailable(NO_IMAGES, SkipReason.CONTEXT_LENGTH), 400, "context_length"),
        (unavailable(NO_IMAGES, BENCHED), 429, "rate_limited"),
        (unavailable(NO_IMAGES, OPEN), 503, "no_backend_available"),
        (failed(TIMEOUT, TIMEOUT), 504, "timeout"),
        (failed(TIMEOUT, OPEN), 504, "timeout"),
        (failed(TIMEOUT, ERROR), 502, "all_backends_failed"),
        (failed(FailureKind.AUTH), 502, "all_backends_failed"),
        (failed(FailureKind.MODEL_NOT_FOUND), 502, "all_backends_failed"),
        (failed(), 502, "all_backends_failed"),
        (unavailable(BENCHED, BENCHED), 429, "rate_limited"),
        (unavailable(SkipReason.TPM_LIMIT, SkipReason.RPM_LIMIT), 429, "rate_limited"),
        (unavailable(SkipReason.CONCURRENCY, SkipReason.QUEUED), 429, "rate_limited"),
        (unavailable(SkipReason.FAILOVER_BUDGET, BENCHED), 503, "no_backend_available"),
        (unavailable(OPEN), 503, "no_backend_available"),
        (unavailable(BENCHED, OPEN), 503, "no_backend_available"),
        (unavailable(), 503, "no_backend_available"),
        (DeadlineExceeded("late", causes=[cause(ERROR)]), 504, "deadline_exceeded"),
        (DeadlineExceeded("late"), 504, "deadline_exceeded"),
        (BalancerClosed("closed"), 503, "shutting_down"),
        (StreamInterrupted("cut", causes=[cause(TIMEOUT), cause(FailureKind.STALL)]), 502, "stall"),
    ],
)
def test_each_error_has_its_status_and_its_code(error: RequestError, status: int, code: str) -> None:
    reply = reply_to(error, "req_1")

    assert (status_of(error), reply.status, reply.code) == (status, status, code)
    assert reply.message == error.message


@pytest.mark.parametrize("kinds", [*itertools.combinations_with_replacement(FailureKind, 2)])
def test_a_backends_refusal_of_our_key_or_path_never_becomes_ours(
    kinds: tuple[FailureKind, FailureKind],
) -> None:
    causes = [cause(kind, status) for kind, status in zip(kinds, (401, 404), strict=True)]

    for error in (AllBackendsFailed("", causes=causes), RequestRejected("", causes=causes)):
        assert status_of(error) not in (401, 403, 404)


# Rule 3: waiting


@pytest.mark.parametrize(
    ("seconds", "headers"),
    [
        (None, []),
        (0.0, [(b"retry-after", b"1")]),
        (0.2, [(b"retry-after", b"1")]),
        (1.0, [(b"retry-after", b"1")]),
        (1.001, [(b"retry-after", b"2")]),
        (3600, [(b"retry-after", b"3600")]),
    ],
)
def test_the_wait_is_in_whole_seconds_rounded_up(
    seconds: float | None, headers: list[tuple[bytes, bytes]]
) -> None:
    assert retry_after(seconds) == headers


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_who_was_limited_is_told_how_long_to_wait(path: str) -> None:
    async with house("429 retry-after=70", "429 retry-after=60") as evening:
        for _ in range(2):  # once by what the backends say, once by what we remember
            answer = await evening.post(path, chat())
            assert answer.status == 429
            assert answer.headers["retry-after"] == "60"
            assert 59 < answer.json["error"]["retry_after_s"] <= 60


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
PICTURE = {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.png"}}


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        (CHAT, [IMAGE], "invalid_request_error"),
        (MESSAGES, [PICTURE], "invalid_request_error"),
    ],
)
async def test_a_request_that_no_model_can_take_is_refused_in_the_protocols_own_words(
    path: str, content: list[Any], kind: str
) -> None:
    """Rule 2; nobody is asked, so nobody needs to be there."""
    settings = {"base-url": "http://127.0.0.1:9/v1", "auth-key": "k", "supports": ["tools"]}
    profile = LoadBalancerProfile("evening", "failover", ("lead", "second"))
    members = [StandardProfile(name, "openai", "m", settings=settings) for name in ("lead", "second")]
    served = Served("evening", Balancer(profile, members), Door(10, 10, 1.0))
    async with caller(Gateway(Profiles({"evening": served}, aliases={}), keys=Keys(""))) as client:
        answer = await client.post(path, json=chat(messages=[{"role": "user", "content": content}]))
        well = await client.get("/stats/evening")

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (400, kind, "no_fitting_backend")
    assert error["message"] == "No backend can take this request. lead: no_images; second: no_images"
    assert [entry["skipped"] for entry in error["skipped"]] == ["no_images", "no_images"]
    assert well.json()["backends"]["lead"]["skips"] == {"no_images": 1}


# Rule 4: causes


def test_an_error_names_its_causes_and_who_was_skipped() -> None:
    attempt = AttemptEntry("lead", 1, "server_error", 500, 0.0, 0.1, None)
    trail: list[TrailEntry] = [attempt, skip(BENCHED)]
    reply = reply_to(
        AllBackendsFailed("all failed", causes=[cause(ERROR, 500)], trail=trail, retry_after=1.23456), "req_1"
    )

    assert reply.details == {
        "causes": [{"backend": "lead", "kind": "server_error", "status": 500, "message": "it says no"}],
        "skipped": [{"backend": "second", "skipped": "benched", "until_ms": 2500.0}],
        "retry_after_s": 1.235,
    }
    json.dumps(reply.details)


def test_what_is_not_known_is_left_out() -> None:
    assert reply_to(failed(ERROR), "req_1").details.keys() == {"causes"}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_cause_has_a_line_for_each_attempt_and_no_key(path: str) -> None:
    async with house("500 message='bad key upstream-lead'", "500", failover_retry_count=1) as evening:
        answer = await evening.post(path, chat())

    assert [(one["backend"], one["status"]) for one in answer.json["error"]["causes"]] == [
        ("lead", 500),
        ("second", 500),
    ]
    assert "bad key" in answer.body.decode()
    assert "upstream-lead" not in answer.body.decode()


def test_an_error_that_no_backend_has_to_do_with_is_told_as_it_is() -> None:
    reply = reply_of(HttpError(404, "model_not_found", "who?", param="model"), "req_1")

    assert (reply.status, reply.code, reply.message, reply.param) == (404, "model_not_found", "who?", "model")
    assert (reply.request_id, reply.details) == ("req_1", {})
