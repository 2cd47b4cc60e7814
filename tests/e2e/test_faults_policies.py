"""Faults whose answer is a rule of its own: limits, benches, circuits, callers' mistakes."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme

from tests.e2e.theatre import FIRST_CONTENT, all_of, left_within_a_second, theatre
from understudy import (
    AllBackendsFailed,
    DeadlineExceeded,
    NoBackendAvailable,
    RequestRejected,
    StreamInterrupted,
)
from understudy.faults import TEXT, FaultProvider, SilentPort, closed_port, full_port

BOTH = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])


# Connecting


@BOTH
async def test_f01_a_refused_connection_fails_over_at_once(streamed: bool) -> None:
    with closed_port() as port:
        async with theatre(lead_url=f"http://127.0.0.1:{port}/v1", failover_retry_delay_ms=5000) as house:
            began = time.monotonic()
            show = await house.play(stream=streamed)
            assert time.monotonic() - began < 1, "switching backend never waits"
            assert (show.text, show.attempts) == (TEXT, [("lead", "connect"), ("second", "success")])
            assert "refused" in str(show.trail[0])
            assert house.stats().circuit_breaker.failures == 1


async def test_f01_a_refused_connection_is_tried_again_only_when_no_other_backend_is_left() -> None:
    with closed_port() as port:
        async with theatre("fine", "status 401", lead_url=f"http://127.0.0.1:{port}/v1") as house:
            show = await house.play()
            assert isinstance(show.error, AllBackendsFailed)
            assert show.attempts == [("lead", "connect"), ("second", "auth"), ("lead", "connect")]


async def test_f02_a_name_that_does_not_resolve_fails_over() -> None:
    async with theatre(lead_url="http://no-such-host.invalid/v1", connect_timeout_ms=5000) as house:
        show = await house.play()
        assert show.attempts == [("lead", "connect"), ("second", "success")]
        assert house.stats().by_kind == {"connect": 1}


async def test_f02_a_connection_that_is_not_taken_is_bounded_by_the_connect_clock() -> None:
    with full_port() as port:
        async with theatre(lead_url=f"http://127.0.0.1:{port}/v1", timeout_ms=20000) as house:
            began = time.monotonic()
            show = await house.play()
            assert time.monotonic() - began < 2
            assert show.attempts == [("lead", "connect"), ("second", "success")]


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, str(path)


async def test_f03_tls_with_an_authority_of_ones_own_works(authority: tuple[trustme.CA, str]) -> None:
    ca, path = authority
    context = _server_context(ca.issue_cert("127.0.0.1"))
    async with theatre(ssl=context, lead_settings={"ca-file": path}) as house:
        show = await house.play()
        assert (show.text, show.backend) == (TEXT, "lead")


@pytest.mark.parametrize("case", ["expired", "wrong host", "unknown authority"])
async def test_f03_a_certificate_that_does_not_hold_is_a_connect_failure(
    authority: tuple[trustme.CA, str], case: str
) -> None:
    ca, path = authority
    now = datetime.now(UTC)
    certificate = {
        "expired": ca.issue_cert("127.0.0.1", not_before=now - timedelta(9), not_after=now - timedelta(1)),
        "wrong host": ca.issue_cert("elsewhere.test"),
        "unknown authority": trustme.CA().issue_cert("127.0.0.1"),
    }[case]
    async with theatre(
        ssl=_server_context(certificate), lead_settings={"ca-file": path}, connect_timeout_ms=5000
    ) as house:
        show = await house.play()
        assert show.attempts == [("lead", "connect"), ("second", "success")]
        assert "TLS" in str(show.trail[0])
        assert house.lead.requests == [], "verification is never switched off"


async def test_f03_plaintext_on_a_tls_port_is_a_connect_failure() -> None:
    async with FaultProvider() as plain:
        url = plain.base_url.replace("http:", "https:")
        async with theatre(lead_url=url, connect_timeout_ms=5000) as house:
            show = await house.play()
            assert show.attempts == [("lead", "connect"), ("second", "success")]


async def test_f03_a_tls_handshake_that_stalls_is_bounded_by_the_connect_clock() -> None:
    async with (
        SilentPort() as silent,
        theatre(lead_url=f"https://127.0.0.1:{silent.port}/v1", timeout_ms=20000) as house,
    ):
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began < 2
        assert show.attempts == [("lead", "connect"), ("second", "success")]


# Silence


@BOTH
async def test_f04_the_provider_sees_the_close_and_the_third_request_opens_the_circuit(
    streamed: bool,
) -> None:
    async with theatre("silence") as house:
        for expected in ("closed", "closed", "open"):
            began = time.monotonic()
            show = await house.play(stream=streamed)
            assert show.attempts == [("lead", "timeout"), ("second", "success")]
            await left_within_a_second(house.lead, house.lead.requests[-1], began + FIRST_CONTENT)
            assert house.stats().circuit_breaker.state == expected
        show = await house.play(stream=streamed)
        assert show.skips == [("lead", "circuit_open")]
        assert len(house.lead.requests) == 3


async def test_f05_a_head_that_drips_does_not_push_the_first_content_clock_on() -> None:
    async with theatre("slow-head every=0.1s") as house:
        began = time.monotonic()
        await house.play()
        assert time.monotonic() - began < FIRST_CONTENT + 0.5


# Retries


async def test_f22_one_500_is_retried_on_the_same_backend() -> None:
    async with theatre("status 500; fine") as house:
        show = await house.play()
        assert (show.text, show.backend) == (TEXT, "lead")
        assert show.attempts == [("lead", "server_error"), ("lead", "success")]
        assert house.second.requests == []
        assert house.stats().circuit_breaker.failures == 1


async def test_f23_a_persistent_500_opens_the_circuit_after_the_threshold() -> None:
    async with theatre("status 500") as house:
        await house.play()
        show = await house.play()
        assert show.attempts == [("lead", "server_error"), ("second", "success")]
        assert house.stats().circuit_breaker.state == "open"
        assert len(house.lead.requests) == 3


@BOTH
async def test_f72_attempts_at_the_provider_are_the_attempts_in_the_trail(streamed: bool) -> None:
    async with theatre("status 503", "status 503", failover_retry_count=3) as house:
        show = await house.play(stream=streamed)
        assert isinstance(show.error, AllBackendsFailed)
        assert len(show.attempts) == len(house.lead.requests) + len(house.second.requests) == 6


# Rate limits


async def test_f25_a_short_retry_after_is_waited_out_by_the_first_ranked() -> None:
    async with theatre("429 retry-after-ms=350; fine") as house:
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began >= 0.35
        assert show.attempts == [("lead", "rate_limited"), ("lead", "success")]
        first, second = house.lead.requests
        assert second.arrived - first.arrived >= 0.35
        lead = house.stats()
        assert (lead.refused, lead.failures, lead.circuit_breaker.failures) == (1, 0, 0)


@pytest.mark.parametrize("settings", [{"retry_after_max_ms": 100}, {"policy": "roundrobin"}], ids=str)
async def test_f25_with_a_shorter_limit_or_another_policy_the_next_member_answers_at_once(
    settings: dict[str, Any],
) -> None:
    async with theatre("429 retry-after=2; fine", **settings) as house:
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began < 1
        assert show.attempts == [("lead", "rate_limited"), ("second", "success")]
        lead = house.stats()
        assert 1000 < lead.bench_remaining_ms <= 2000
        show = await house.play()
        assert (show.backend, len(house.lead.requests)) == ("second", 1)


async def test_f25_another_request_skips_the_benched_member() -> None:
    async with theatre("429 retry-after-ms=600; fine") as house:
        waiting = asyncio.create_task(house.play())
        await house.lead.wait_for_requests(1)
        await asyncio.sleep(0.05)
        show = await house.play()
        assert show.skips == [("lead", "benched")]
        assert show.backend == "second"
        assert (await waiting).backend == "lead"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("retry-after=date:+3s", 3),
        ("retry-after=date:+1h", 900),
        ("retry-after=date:-1h", 1),
        ("retry-after=2.5", 2.5),
        ("retry-after-ms=2350", 2.35),
        ("retry-after=1e12", 900),
        ("retry-after=-1", 1),
        ("retry-after=277403", 900),
    ],
)
async def test_f26_f27_f28_retry_after_in_every_spelling(header: str, seconds: float) -> None:
    async with theatre(f"429 {header}", retry_after_max_ms=0) as house:
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began < 1, "no sleep"
        assert show.backend == "second"
        lead = house.stats()
        assert seconds - 1.2 < lead.bench_remaining_ms / 1000 <= seconds
        assert lead.circuit_breaker.failures == 0


async def test_f26_a_date_is_read_against_the_providers_own_clock() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1, seconds=5), usegmt=True)
    async with theatre(f"429 retry-after='{later}' + skew +1h", retry_after_max_ms=0) as house:
        await house.play()
        assert 2 < house.stats().bench_remaining_ms / 1000 <= 6


@pytest.mark.parametrize("nonsense", ["abc", "NaN", "inf"])
async def test_f27_nonsense_is_no_retry_after(nonsense: str) -> None:
    async with theatre(f"429 retry-after={nonsense}") as house:
        show = await house.play()
        assert show.attempts == [("lead", "rate_limited")] * 2 + [("second", "success")]
        assert house.stats().bench_remaining_ms == 0
        assert house.stats().circuit_breaker.failures == 2


# The request itself


async def test_f34_only_a_member_with_a_larger_window_is_asked() -> None:
    small, large = {"context-limit": 8000}, {"context-limit": 9000}
    async with theatre("says openai-context", lead_settings=small, second_settings=small) as house:
        show = await house.play()
        assert isinstance(show.error, RequestRejected)
        assert show.error.status == 400
        assert b"context_length_exceeded" in (show.error.body or b"")
        assert show.attempts == [("lead", "context_length")]
        assert show.skips == [("second", "context_length")]
        assert house.second.requests == []
        assert house.stats().circuit_breaker.failures == 0
    async with theatre("says openai-context", lead_settings=small, second_settings=large) as house:
        assert (await house.play()).backend == "second"


@pytest.mark.parametrize("script", ["says openai-filter", "says azure-filter", "says openrouter-moderation"])
@BOTH
async def test_f35_a_policy_error_goes_to_the_caller(script: str, streamed: bool) -> None:
    async with theatre(script) as house:
        show = await house.play(stream=streamed)
        assert isinstance(show.error, RequestRejected)
        assert show.attempts == [("lead", "content_filter")]
        assert (house.second.requests, house.stats().circuit_breaker.failures) == ([], 0)


@pytest.mark.parametrize("status", [400, 405, 413, 422])
@BOTH
async def test_f36_the_callers_own_mistake_goes_to_the_caller(status: int, streamed: bool) -> None:
    async with theatre(f"status {status}") as house:
        show = await house.play(stream=streamed)
        assert isinstance(show.error, RequestRejected)
        assert (show.error.status, len(show.attempts)) == (status, 1)
        assert show.attempts == [("lead", "invalid_request")]
        assert house.second.requests == []
        lead = house.stats()
        assert (lead.refused, lead.failures, lead.circuit_breaker.failures) == (1, 0, 0)
        await house.check_a_healthy_call_succeeds()


async def test_f37_the_users_own_rule_makes_a_400_a_server_error() -> None:
    rules = [{"status": 400, "match": "try again", "kind": "server_error"}]
    async with theatre("400 message='please try again later'", error_rules=rules) as house:
        show = await house.play()
        assert show.attempts == [("lead", "server_error")] * 2 + [("second", "success")]


async def test_f63_a_fallback_that_rejects_the_request_is_recorded_and_the_next_one_asked() -> None:
    async with theatre("status 500", "says prefill") as house:
        show = await house.play()
        assert type(show.error) is AllBackendsFailed, "the first cause decides what is reported"
        assert [str(cause.kind) for cause in show.error.causes] == [
            "server_error",
            "server_error",
            "invalid_request",
        ]


async def test_f63_a_first_member_that_rejects_the_request_is_believed() -> None:
    async with theatre("says prefill") as house:
        show = await house.play()
        assert isinstance(show.error, RequestRejected)
        assert house.second.requests == []


async def test_f63_one_that_cannot_read_what_others_thought_is_not() -> None:
    async with theatre("says thinking-signature") as house:
        show = await house.play()
        assert show.attempts == [("lead", "unfit"), ("second", "success")]
        assert house.stats().failures == 0


async def test_a_provider_that_does_not_know_stream_options_is_asked_without() -> None:
    for script in ("when usage says stream-options", "when usage says extra-forbidden"):
        async with theatre(script) as house:
            show = await house.play()
            assert (show.text, show.attempts) == (TEXT, [("lead", "success")])
            assert [bool(request.body.get("stream_options")) for request in house.lead.requests] == [
                True,
                False,
            ]
            assert house.stats().failures == 0


# Limits


@BOTH
async def test_f40_an_error_body_that_never_ends_is_left_alone(streamed: bool) -> None:
    async with theatre("flood 400", timeout_ms=20000) as house:
        began = time.monotonic()
        show = await house.play(stream=streamed)
        assert time.monotonic() - began < 3
        assert isinstance(show.error, RequestRejected)
        assert len(show.error.body or b"") <= 64 * 1024


async def test_f53_a_redirect_that_loops_ends_as_protocol_after_three_hops() -> None:
    async with theatre("redirect 307 to=loop", failover_retry_count=1) as house:
        show = await house.play()
        assert show.attempts == [("lead", "protocol"), ("second", "success")]
        assert len(house.lead.requests) == 4


async def test_f53_a_key_never_follows_to_another_host(tmp_path: Path) -> None:
    keyfile = tmp_path / "key"
    keyfile.write_text("sk-the-leads-own-key")
    keyfile.chmod(0o600)
    async with theatre(
        "redirect 308 to=other", lead_settings={"auth-keyfile": str(keyfile)}, failover_retry_count=1
    ) as house:
        show = await house.play()
        assert show.attempts == [("lead", "protocol"), ("second", "success")]
        (request,) = house.lead.requests
        assert request.credential is not None
        assert house.second.requests[0].credential is None


# Circuits


async def test_f55_a_flap_is_served_by_the_other_and_the_lead_is_back_soon_after() -> None:
    """Down for the first half; twenty calls at intervals; time a hundredfold."""
    async with theatre("down 0.6s", circuit_breaker_recovery_timeout_ms=300, failover_retry_count=1) as house:
        backends = []
        for _ in range(20):
            show = await house.play()
            assert (show.error, show.text) == (None, TEXT)
            backends.append(show.backend)
            await asyncio.sleep(0.06)
        during = [request for request in house.lead.requests if request.status == 503]
        assert len(during) <= 6, "attempts on the lead during its outage are few"
        assert backends[-1] == "lead"
        assert house.stats().circuit_breaker.state == "closed"


@pytest.mark.parametrize("at_once", [10, 150], ids=["as it comes", "in one volley on a cold house"])
async def test_f56_five_percent_of_failures_never_open_the_circuit(at_once: int) -> None:
    lots = Random(23)  # few enough never to be half of twenty, whatever comes first
    async with theatre("5% status 500", timeout_ms=20000, lots=lots) as house:
        for _ in range(150 // at_once):
            shows = await all_of(*(house.play() for _ in range(at_once)))
            assert all(show.text == TEXT for show in shows)
        assert house.stats().failures > 0
        assert house.stats().circuit_breaker.state == "closed"
        assert house.stats().circuit_breaker.opened_at is None


async def test_f56_thirty_percent_of_failures_and_every_request_is_answered() -> None:
    async with theatre("30% status 500") as house:
        for _ in range(10):
            shows = await all_of(*(house.play(stream=False) for _ in range(10)))
            assert all(show.text == TEXT for show in shows)


async def test_f56_seventy_percent_of_failures_open_it_within_two_seconds_worth_of_requests() -> None:
    async with theatre("70% status 500") as house:
        for _ in range(40):
            assert (await house.play()).text == TEXT
            if house.stats().circuit_breaker.state == "open":
                break
        assert house.stats().circuit_breaker.state == "open"


@pytest.mark.parametrize("probe", ["silence", "status 400", "cancelled"])
async def test_f59_after_a_probe_that_says_nothing_good_a_new_one_is_admitted(probe: str) -> None:
    async with theatre(
        "3x status 500; " + ("silence" if probe == "cancelled" else probe) + "; fine",
        failover_retry_count=3,
        circuit_breaker_recovery_timeout_ms=200,
    ) as house:
        await house.play()
        assert house.stats().circuit_breaker.state == "open"
        await asyncio.sleep(0.21)
        if probe == "cancelled":
            task = asyncio.create_task(house.play())
            await house.lead.wait_for_requests(4)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            await house.play()
        next_probe = house.stats().circuit_breaker.next_probe_in_ms
        assert next_probe is not None
        await asyncio.sleep(next_probe / 1000 + 0.01)
        show = await house.play()
        assert (show.backend, house.stats().circuit_breaker.state) == ("lead", "closed")


# Everything down


async def test_f61_all_backends_down_names_every_cause() -> None:
    async with theatre("status 500", "status 401") as house:
        show = await house.play()
        assert type(show.error) is AllBackendsFailed
        assert show.error.retryable
        assert [cause.backend for cause in show.error.causes] == ["lead", "lead", "second"]
        assert "lead: 500" in str(show.error)
        assert "second: 401" in str(show.error)


async def test_f61_all_rate_limited_says_when_the_first_returns() -> None:
    async with theatre("429 retry-after=60", "429 retry-after=30") as house:
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began < 1
        assert isinstance(show.error, AllBackendsFailed)
        assert show.error.retry_after is not None
        assert 28 < show.error.retry_after <= 30
        show = await house.play()
        assert isinstance(show.error, NoBackendAvailable)
        assert show.skips == [("lead", "benched"), ("second", "benched")]


async def test_f61_the_deadline_bounds_everything() -> None:
    async with theatre(
        "silence", "silence", timeout_ms=5000, request_timeout_ms=300, failover_retry_count=5
    ) as house:
        began = time.monotonic()
        show = await house.play()
        assert time.monotonic() - began < 1
        assert isinstance(show.error, DeadlineExceeded)
        assert house.stats().failures == 0, "its own time had not passed: not to blame"


async def test_f62_a_fallback_that_fails_too_before_and_after_content() -> None:
    async with theatre("status 500", "status 503") as house:
        show = await house.play()
        assert isinstance(show.error, AllBackendsFailed)
        assert len(show.error.causes) == 4
    async with theatre("status 401", "cut after=20") as house:
        show = await house.play()
        assert isinstance(show.error, StreamInterrupted)
        assert show.attempts == [("lead", "auth"), ("second", "truncated")]
        assert show.preambles == 1


# Callers


@pytest.mark.parametrize(
    ("script", "streamed"),
    [
        ("silence", True),
        ("silence after=headers", True),
        ("silence after=preamble", True),
        ("stall after=20", True),
        ("silence", False),
        ("silence after=headers", False),
    ],
)
async def test_f64_a_caller_who_leaves_is_seen_leaving_within_a_second(script: str, streamed: bool) -> None:
    async with theatre(script, timeout_ms=20000, unary_timeout_ms=20000, stall_timeout_ms=20000) as house:
        task = asyncio.create_task(house.play(stream=streamed))
        (request,) = await house.lead.wait_for_requests(1)
        await asyncio.sleep(0.1)
        task.cancel()
        left = time.monotonic()
        await asyncio.gather(task, return_exceptions=True)
        await left_within_a_second(house.lead, request, left)
        assert house.second.requests == []
        lead = house.stats()
        assert (lead.cancelled, lead.failures, lead.circuit_breaker.failures) == (1, 0, 0)
        assert (lead.output_tokens > 0) is ("stall" in script), "what was sent has been paid for"
        await house.check_a_healthy_call_succeeds()


async def test_f64_a_caller_who_leaves_in_the_back_off_is_not_asked_for_again() -> None:
    async with theatre("status 500", failover_retry_delay_ms=5000) as house:
        task = asyncio.create_task(house.play())
        await house.lead.wait_for_requests(1)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert (len(house.lead.requests), house.second.requests) == (1, [])
        assert house.lb.stats().cancelled == 1


async def test_f65_a_callers_own_timeout_twenty_times_blames_nobody() -> None:
    async def impatient(house: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(house.play(), 0.1)

    async with theatre("silence", timeout_ms=20000) as house:
        await asyncio.gather(*(impatient(house) for _ in range(20)))
        lead = house.stats()
        assert (lead.cancelled, lead.circuit_breaker.state, lead.bench_remaining_ms) == (20, "closed", 0)
        await house.check_a_healthy_call_succeeds()


@pytest.mark.parametrize("occasion", ["stream", "unary"])
async def test_f67_a_refusal_of_one_shape_only_is_classed_like_any(occasion: str) -> None:
    async with theatre(f"when {occasion} status 401") as house:
        refused = await house.play(stream=occasion == "stream")
        assert refused.attempts == [("lead", "auth"), ("second", "success")]
        fine = await house.play(stream=occasion != "stream")
        assert fine.attempts == [("lead", "success")]
