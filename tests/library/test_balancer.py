"""Facts about the library's face, over scripted backends on a manual clock."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.house import DONE, STOP, completion, delta, refusal, speech, stream
from understudy import (
    AllBackendsFailed,
    Balancer,
    BalancerClosed,
    ChatRequest,
    ConfigurationError,
    LoadBalancerProfile,
    SettingError,
    StandardProfile,
    StreamInterrupted,
)
from understudy.config.pool import PoolProfile, make_pool
from understudy.core.settings import Source
from understudy.core.slow_start import SlowStart
from understudy.testing import ManualClock, Reply, ScriptedTransport
from understudy.wire import openai_client
from understudy.wire.dialect import ClientRequest

URLS = {name: f"http://{name}.test/v1" for name in "ab"}
PAIR = LoadBalancerProfile("pair", "failover", ("a", "b"), settings={"failover_retry_count": 1})


def member(name: str, **settings: Any) -> StandardProfile:
    return StandardProfile(name, "openai", "m", settings={"base-url": URLS[name], **settings})


class Stage:
    """A balancer over two scripted members."""

    def __init__(self, *replies: Reply, settings: dict[str, Any] | None = None) -> None:
        self.clock = ManualClock()
        scripts = {
            url + "/chat/completions": [reply] for url, reply in zip(URLS.values(), replies, strict=False)
        }
        self.transport = ScriptedTransport(self.clock, scripts)
        self.lb = Balancer(
            PAIR,
            [member("a", timeout_ms=7000), member("b")],
            settings=settings,
            clock=self.clock,
            transport=self.transport,
        )

    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.transport.requests]


async def test_a_stream_is_iterated_for_chunks_and_asked_afterwards() -> None:
    stage = Stage(refusal(500), speech("To", " be"))
    text = ""
    stream_ = stage.lb.stream("To be?", temperature=0)
    async for chunk in stream_:
        text += chunk.text
    assert text == stream_.text == "To be"
    assert (stream_.backend, stream_.model, stream_.finish_reason) == ("b", "m", "stop")
    assert stream_.usage is not None
    assert stream_.usage.output_tokens == 3
    assert [entry.backend for entry in stream_.trail] == ["a", "b"]
    assert stream_.tool_calls == ()
    assert stage.bodies()[1]["temperature"] == 0
    assert stage.bodies()[1]["messages"] == [{"role": "user", "content": "To be?"}]
    assert repr(stream_) == "<ChatStream <Call <Dispatch 1 of pair, 2 attempts>, b>>"


async def test_complete_asks_for_one_piece() -> None:
    stage = Stage(completion("Hello", usage={"prompt_tokens": 4, "completion_tokens": 2}))
    answer = await stage.lb.complete([{"role": "user", "content": "Hi"}], max_tokens=5)
    assert (answer.text, answer.backend, answer.model) == ("Hello", "a", "m")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 2)
    assert stage.bodies()[0] == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "model": "m",
        "stream": False,
    }


async def test_a_request_value_may_be_reused_and_extended() -> None:
    stage = Stage(completion("Hello"))
    request = ChatRequest([{"role": "user", "content": "Hi"}], {"temperature": 1})
    await stage.lb.complete(request)
    await stage.lb.complete(request, temperature=2)
    assert [body["temperature"] for body in stage.bodies()] == [1, 2]


async def test_a_stream_can_be_read_to_its_answer() -> None:
    stage = Stage(speech("To", " be"))
    async with stage.lb.stream("Hi") as stream_:
        answer = await stream_.answer()
    assert answer.text == "To be"


async def test_leaving_a_streams_context_closes_its_connection() -> None:
    stage = Stage(stream(delta("Hello"), 60.0))
    async with stage.lb.stream("Hi") as stream_:
        await anext(stream_)
    assert stage.transport.responses[0].closed
    assert stage.clock.timers == 0


async def test_dropping_a_stream_closes_its_connection() -> None:
    stage = Stage(stream(delta("Hello"), 60.0))
    stream_ = stage.lb.stream("Hi")
    await anext(stream_)
    del stream_
    gc.collect()
    await stage.clock.advance()
    assert stage.transport.responses[0].closed


async def test_leaving_the_balancer_cancels_what_is_in_flight() -> None:
    stage = Stage(stream(delta("Hello"), 60.0))
    async with stage.lb as lb:
        task = asyncio.create_task(lb.complete("Hi"))
        await stage.clock.advance(1)
    with pytest.raises(BalancerClosed):
        await task
    assert stage.transport.closed


async def test_an_interrupted_stream_raises_and_keeps_the_partial_text() -> None:
    stage = Stage(stream(delta("Hello")), speech("never"), settings={"stream_recovery": "off"})
    stream_ = stage.lb.stream("Hi")
    with pytest.raises(StreamInterrupted) as caught:
        await stream_.answer()
    assert (caught.value.partial, stream_.text) == ("Hello", "Hello")
    assert stream_.so_far().usage.estimated


async def test_before_its_first_chunk_a_stream_knows_nothing() -> None:
    stage = Stage(speech("Hello"))
    assert stage.lb.stream("Hi").so_far().usage.output_tokens == 0
    assert stage.transport.requests == []


async def test_stats_are_frozen_a_dictionary_and_a_table() -> None:
    stage = Stage(refusal(401), speech("Hello"))
    for _ in range(3):
        await stage.lb.stream("Hi").answer()
    stats = stage.lb.stats()
    assert stats.to_dict()["backends"]["a"]["circuit_breaker"] == {
        "state": "open",
        "failures": 3,
        "opened_at": "2023-11-14T22:13:20.000Z",
        "next_probe_in_ms": 30000.0,
        "last_failure": "2023-11-14T22:13:20.000Z",
        "forced": False,
    }
    assert str(stats).startswith("Load Balancer Statistics\nProfile: pair\nTotal Requests: 3\n")
    with pytest.raises(AttributeError):
        stats.answered = 5  # type: ignore[misc]


# Settings


async def test_the_effective_value_names_its_source() -> None:
    lb = Stage(settings={"timeout-ms": 3000, "failover_retry_delay_ms": "250"}).lb
    assert lb.setting("failover_retry_count") == (1, Source.PROFILE)
    assert lb.setting("timeout_ms") == (3000, Source.OPTION)
    assert lb.setting("failover_retry_delay_ms") == (250, Source.OPTION)
    assert lb.setting("stall_timeout_ms") == (30000, Source.DEFAULT)
    lb.set("stall-timeout-ms", "9000")
    assert lb.settings()["stall_timeout_ms"] == (9000, Source.SESSION)
    lb.unset("stall_timeout_ms")
    assert lb.settings()["stall_timeout_ms"] == (30000, Source.DEFAULT)
    assert "base-url" not in lb.settings()


async def test_a_member_keeps_its_own_setting_until_a_live_one_outranks_it() -> None:
    stage = Stage(Reply(head=[60.0]), speech("Hello"))
    task = asyncio.create_task(stage.lb.stream("Hi").answer())
    await stage.clock.advance(6.9)
    assert not task.done()
    await stage.clock.advance(0.1)
    assert (await task).backend == "b"
    stage.lb.set("timeout_ms", 1000)
    task = asyncio.create_task(stage.lb.stream("Hi").answer())
    await stage.clock.advance(1)
    assert (await task).backend == "b"


async def test_a_running_attempt_keeps_the_settings_it_began_with() -> None:
    stage = Stage(Reply(head=[60.0]), speech("Hello"))
    task = asyncio.create_task(stage.lb.stream("Hi").answer())
    await stage.clock.advance(0.5)
    stage.lb.set("timeout_ms", 1000)
    await stage.clock.advance(6.4)
    assert not task.done()
    await stage.clock.advance(0.1)
    assert (await task).backend == "b"


async def test_a_live_change_holds_for_circuits_that_are_already_open() -> None:
    stage = Stage(refusal(401), speech("Hello"))
    for _ in range(3):
        await stage.lb.stream("Hi").answer()
    assert stage.lb.stats().backends[0].circuit_breaker.state == "open"
    await stage.clock.advance(5)
    stage.lb.set("circuit_breaker_recovery_timeout_ms", 5000)
    assert stage.lb.stats().backends[0].circuit_breaker.state == "half-open"


async def test_a_live_change_wakes_those_who_wait_for_capacity() -> None:
    """Both circuits are half-open, both probes out; a third request waits, until circuits are off."""
    slow = Reply(status=401, head=[5.0])
    stage = Stage(slow, slow, settings={"circuit_breaker_failure_threshold": 1})
    asking = [asyncio.create_task(stage.lb.stream("Hi").answer())]
    await stage.clock.advance(45)
    asking += [asyncio.create_task(stage.lb.stream("Hi").answer()) for _ in range(3)]
    await stage.clock.advance(1)
    assert len(stage.transport.requests) == 4
    stage.lb.set("circuit_breaker_enabled", "false")
    await stage.clock.advance()
    assert len(stage.transport.requests) == 5
    await stage.clock.advance(60)
    assert all(task.done() and task.exception() for task in asking)


async def test_what_happens_is_logged_unasked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="understudy"):
        await Stage(speech("Hello")).lb.stream("Hi").answer()
    assert "[LB:failover] Success on backend: a" in caplog.messages


async def test_usage_is_asked_for_only_where_the_provider_knows_the_field() -> None:
    clock = ManualClock()
    for provider, asked in (("vllm", True), ("mistral", False)):
        transport = ScriptedTransport(clock, {URLS["a"] + "/chat/completions": [speech("Hi")]})
        profile = StandardProfile("a", provider, "m", settings={"base-url": URLS["a"]})
        await Balancer(profile, clock=clock, transport=transport).stream("Hi").answer()
        assert (b"stream_options" in transport.requests[0].body) is asked


def small(name: str, provider: str, **params: Any) -> StandardProfile:
    """A member of whose model is known how much it takes and gives."""
    settings = {"base-url": URLS[name], "context-limit": 1000, "max-output": 100}
    return StandardProfile(name, provider, "m", model_params=params, settings=settings)


async def test_what_a_member_asks_for_itself_is_no_longer_than_its_model_answers() -> None:
    for provider, params, limit in (
        ("openai", {}, None),
        ("openai", {"max_tokens": 50}, 50),
        ("openai", {"max_tokens": 500}, 100),
        ("anthropic", {}, 100),
        ("anthropic", {"max_tokens": 50}, 50),
    ):
        clock = ManualClock()
        path = "/messages" if provider == "anthropic" else "/chat/completions"
        transport = ScriptedTransport(clock, {URLS["a"] + path: [refusal(500)]})
        lb = Balancer(small("a", provider, **params), clock=clock, transport=transport)
        lb.set("failover_retry_count", 1)
        with pytest.raises(AllBackendsFailed):
            await lb.complete("Hi")
        assert json.loads(transport.requests[0].body).get("max_tokens") == limit


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        (small("a", "openai"), "auth"),
        (small("a", "openai", max_tokens=100), "context_length"),
        (small("a", "openai", generationConfig={"maxOutputTokens": 500}), "context_length"),
    ],
)
async def test_and_needs_its_place_in_the_window(lead: StandardProfile, told: str) -> None:
    clock = ManualClock()
    scripts = {"a": refusal(401), "b": completion("Hello")}
    transport = ScriptedTransport(
        clock, {f"{URLS[name]}/chat/completions": [reply] for name, reply in scripts.items()}
    )
    lb = Balancer(PAIR, [lead, member("b")], clock=clock, transport=transport)
    answer = await lb.complete("word " * 1180)
    first = answer.trail[0].to_dict()
    assert (first["backend"], first.get("skipped") or first["outcome"]) == ("a", told)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tpm_threshold", 0, "tpm_threshold must be a positive integer"),
        ("tpm_threshold", "many", "tpm_threshold must be a positive integer"),
        ("tpm_treshold", 1, "unknown setting"),
        ("base-url", "http://x", "belongs to one backend"),
        ("context-limit", 5, "belongs to one backend"),
    ],
)
async def test_a_wrong_live_setting_is_refused(key: str, value: object, message: str) -> None:
    lb = Stage().lb
    with pytest.raises(SettingError, match=message):
        lb.set(key, value)
    with pytest.raises(SettingError, match=message):
        Stage(settings={key: value})


# For servers


def asked(**fields: Any) -> ClientRequest:
    body = {"model": "pair", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return openai_client.read_request(json.dumps(body).encode())


async def test_a_call_of_a_clients_request_keeps_nothing_of_it() -> None:
    stage = Stage(speech("Hello"))
    call = stage.lb.call(asked(unheard_of=1), stream=True)
    batch = await call.next_batch()
    assert batch is not None
    assert "".join(chunk.text for chunk in batch) == "Hello"
    assert (call.is_native, call.text) == (True, "")
    assert stage.bodies()[0]["unheard_of"] == 1
    call.leave()


async def test_it_is_busy_while_a_request_is_in_flight() -> None:
    stage = Stage(stream(delta("Hello"), 60.0))
    call = stage.lb.call(asked(), stream=True)
    assert not stage.lb.busy
    await call.next_batch()
    assert stage.lb.busy
    call.leave()
    assert not stage.lb.busy


async def test_its_pool_is_there_to_be_measured() -> None:
    stage = Stage(speech("Hello"))
    assert [member.name for member in stage.lb.pool.members] == ["a", "b"]


# An operator's hand


async def answered_by(stage: Stage) -> str | None:
    return (await stage.lb.stream("Hi").answer()).backend


def circuit(stage: Stage) -> str:
    return stage.lb.stats().backends[0].circuit_breaker.state


async def test_a_drained_member_is_given_nothing_until_it_is_enabled() -> None:
    stage = Stage(speech("a"), speech("b"))
    stage.lb.act("a", "drain")
    assert await answered_by(stage) == "b"
    stage.lb.act("a", "enable")
    assert await answered_by(stage) == "a"


async def test_not_even_what_was_to_be_asked_again_after_a_back_off() -> None:
    stage = Stage(refusal(500), speech("b"), settings={"failover_retry_count": 2})
    task = asyncio.create_task(stage.lb.stream("Hi").answer())
    await stage.clock.advance()
    stage.lb.act("a", "drain")
    await stage.clock.advance(60)
    assert (await task).backend == "b"
    assert [request.url[7] for request in stage.transport.requests] == ["a", "b"]


async def test_a_reset_member_is_neither_eased_in_nor_put_behind_for_limits_or_silence() -> None:
    stage = Stage(speech("Hello"), speech("Hello"))
    member, now = stage.lb.pool.members[0], stage.clock.now()
    member.exhaust(now, 60.0)
    member.health.slow_start = SlowStart(now, 30.0, 1)
    assert await answered_by(stage) == "b"
    stage.lb.act("a", "reset")
    assert member.health.slow_start is None
    member.health.silence.until = now + 60
    stage.lb.act("a", "reset")
    assert await answered_by(stage) == "a"


async def test_a_circuit_is_forced_until_reset_which_also_ends_a_bench() -> None:
    stage = Stage(speech("a"), speech("b"))
    stage.lb.act("a", "open")
    await stage.clock.advance(3600)
    assert (circuit(stage), await answered_by(stage)) == ("open", "b")
    stage.lb.pool.members[0].bench(stage.clock.now(), 60, 60)
    stage.lb.act("a", "reset")
    assert (circuit(stage), await answered_by(stage)) == ("closed", "a")


async def test_one_forced_closed_stays_so_through_failures() -> None:
    stage = Stage(refusal(401), speech("b"))
    stage.lb.act("a", "close")
    for _ in range(5):
        assert await answered_by(stage) == "b"
    assert circuit(stage) == "closed"
    stage.lb.act("a", "reset")
    for _ in range(3):
        await answered_by(stage)
    assert circuit(stage) == "open"


async def test_what_cannot_be_done_says_what_can(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    with pytest.raises(ConfigurationError, match="pair has no member c") as caught:
        stage.lb.act("c", "drain")
    assert caught.value.hint == "it has a, b"
    with pytest.raises(ConfigurationError, match="explode is no action") as caught:
        stage.lb.act("a", "explode")  # type: ignore[arg-type]
    assert caught.value.hint == "there are reset, open, close, drain, enable"
    assert caplog.records == []


async def test_what_was_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Stage().lb.act("b", "open")
    assert caplog.messages == ["[LB:operator] b: open"]


async def test_who_waits_looks_again_also_after_the_profile_has_changed() -> None:
    bench = refusal(429, retry_after="15")
    stage = Stage(bench, bench, settings={"failover_retry_count": 2, "retry_after_max_ms": 0})
    task = asyncio.create_task(stage.lb.stream("Hi").answer())
    await stage.clock.advance(1)
    assert len(stage.transport.requests) == 2
    stage.lb.reload(loaded())
    stage.lb.act("b", "reset")
    await stage.clock.advance()
    assert len(stage.transport.requests) == 3
    task.cancel()


# Loading anew


def loaded(*names: str, policy: str = "failover", **settings: Any) -> PoolProfile:
    """A profile over these members; of `a` and `b` those that `Stage` has."""
    own = {"a": member("a", timeout_ms=7000), "b": member("b"), "b2": replace(member("b"), name="b2")}
    profile = LoadBalancerProfile("pair", policy, names or ("a", "b"), settings=settings)
    return make_pool(profile, own.values(), {})


async def test_it_serves_by_the_new_profile_from_now_on() -> None:
    stage = Stage(speech("a"), speech("b"))
    stage.lb.reload(loaded("b", "a", policy="roundrobin", timeout_ms=123))
    assert await answered_by(stage) == "b"
    assert stage.lb.setting("timeout_ms")[0] == 123
    assert (stage.lb.stats().policy, repr(stage.lb)) == (
        "roundrobin",
        "<Balancer pair, roundrobin, 2 members>",
    )


async def test_what_is_in_flight_finishes_by_the_old_one() -> None:
    stage = Stage(stream(delta("To"), 20.0, delta(" be"), STOP, DONE), speech("b"))
    stream_ = stage.lb.stream("Hi")
    await anext(stream_)
    stage.lb.reload(loaded("b", "b2", stall_timeout_ms=1))
    assert stage.lb.busy
    task = asyncio.create_task(stream_.answer())
    await stage.clock.advance(20)
    answer = await task
    assert (answer.text, answer.backend) == ("To be", "a")
    assert not stage.lb.busy
    assert stage.lb.stats().answered == 1


async def test_a_member_that_is_the_same_keeps_its_health_and_its_place_may_change() -> None:
    stage = Stage(refusal(401), speech("b"))
    for _ in range(3):
        await answered_by(stage)
    before = {backend.name: backend for backend in stage.lb.stats().backends}
    stage.lb.reload(loaded("b", "a", circuit_breaker_recovery_timeout_ms=30000))
    after = {backend.name: backend for backend in stage.lb.stats().backends}
    assert after == before
    assert after["a"].circuit_breaker.state == "open"
    assert list(after) == ["b", "a"]
    assert (stage.lb.stats().total_requests, stage.lb.stats().failed_over) == (3, 3)


async def test_one_that_has_changed_or_is_new_begins_anew() -> None:
    stage = Stage(refusal(401), speech("b"))
    for _ in range(3):
        await answered_by(stage)
    pool = make_pool(LoadBalancerProfile("pair", "failover", ("a", "b", "b")), [member("a"), member("b")], {})
    stage.lb.reload(pool)
    backends = {backend.name: backend for backend in stage.lb.stats().backends}
    assert {name: backend.requests for name, backend in backends.items()} == {"a": 0, "b": 3, "b#2": 0}
    assert backends["a"].circuit_breaker.state == "closed"


async def test_another_key_is_another_backend() -> None:
    clock = ManualClock()
    url = URLS["a"] + "/chat/completions"
    transport = ScriptedTransport(clock, {url: [speech("Hi")]})
    profile = member("a", **{"auth-key-env": "A_KEY"})

    def with_key(key: str) -> PoolProfile:
        return make_pool(profile, [], {"A_KEY": key})

    lb = Balancer(with_key("sk-old-0123456789"), clock=clock, transport=transport)
    for key, requests in [("sk-old-0123456789", 1), ("sk-new-0123456789", 0)]:
        await lb.stream("Hi").answer()
        lb.reload(with_key(key))
        assert lb.stats().backends[0].requests == requests
    await lb.stream("Hi").answer()
    assert transport.requests[-1].headers["authorization"] == "Bearer sk-new-0123456789"


async def test_live_settings_stay_in_force_and_so_do_those_it_was_made_with() -> None:
    stage = Stage(settings={"stall_timeout_ms": 1111})
    stage.lb.set("timeout_ms", 2222)
    stage.lb.reload(loaded(timeout_ms=1, stall_timeout_ms=1, connect_timeout_ms=3333))
    shown = {key: stage.lb.setting(f"{key}_timeout_ms")[0] for key in ("stall", "connect")}
    assert (shown, stage.lb.setting("timeout_ms")[0]) == ({"stall": 1111, "connect": 3333}, 2222)
    assert stage.lb.pool.members[1].settings.timeouts.first_content == 2.222
    stage.lb.unset("timeout_ms")
    assert stage.lb.setting("timeout_ms")[0] == 1


async def test_round_robin_goes_on_where_it_was() -> None:
    stage = Stage(speech("a"), speech("b"))
    stage.lb.reload(loaded(policy="roundrobin"))
    first = await answered_by(stage)
    stage.lb.reload(loaded(policy="roundrobin", timeout_ms=5000))
    assert {first, await answered_by(stage)} == {"a", "b"}


async def test_closing_ends_what_earlier_profiles_began_begun_or_not() -> None:
    stage = Stage(stream(delta("Hello"), 60.0), speech("b"))
    begun, not_yet = stage.lb.stream("Hi"), stage.lb.stream("Hi")
    await anext(begun)
    stage.lb.reload(loaded())
    stage.lb.reload(loaded("b", "a"))
    await stage.lb.aclose()
    for stream_ in (begun, not_yet):
        with pytest.raises(BalancerClosed):
            await stream_.answer()
    assert stage.lb.stats().in_flight == 0


async def test_an_earlier_profile_is_forgotten_with_its_last_request() -> None:
    stage = Stage(speech("a"), speech("b"))
    engine = weakref.ref(stage.lb._engine)
    stream_ = stage.lb.stream("Hi")
    stage.lb.reload(loaded())
    gc.collect()
    assert engine() is not None
    await stream_.answer()
    del stream_
    gc.collect()
    assert engine() is None


# Profiles and keys


@pytest.fixture
def home(tmp_path: Path) -> Path:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    settings = {"base-url": URLS["a"], "auth-key-env": "A_KEY", "ca-file": str(profiles / "a.json")}
    one = {"provider": "openai", "model": "m", "modelParams": {"top_p": 0.5}, "ephemeralSettings": settings}
    (profiles / "a.json").write_text(json.dumps(one))
    pool = {"type": "loadbalancer", "policy": "roundrobin", "profiles": ["a"], "modelParams": {"seed": 1}}
    (profiles / "one.json").write_text(json.dumps(pool))
    return tmp_path


async def test_a_saved_profile_is_loaded_by_name_with_its_key_and_parameters(home: Path) -> None:
    clock = ManualClock()
    transport = ScriptedTransport(clock, {URLS["a"] + "/chat/completions": [completion("Hello")]})
    environ = {"A_KEY": "sk-secret"}
    async with Balancer.load("one", home=home, environ=environ, clock=clock, transport=transport) as lb:
        await lb.complete("Hi", seed=2)
        assert repr(lb) == "<Balancer one, roundrobin, 1 members>"
    (request,) = transport.requests
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert request.ca_file == str(home / "profiles" / "a.json")
    assert "sk-secret" not in repr(lb) + repr(lb.profile) + repr(request) + str(lb.stats().to_dict())
    body = json.loads(request.body)
    assert (body["top_p"], body["seed"]) == (0.5, 2)


async def test_the_configuration_directory_comes_from_the_environment(home: Path) -> None:
    lb = Balancer.load("one", environ={"UNDERSTUDY_HOME": str(home), "A_KEY": "k"}, transport="aiohttp")
    await lb.aclose()


async def test_a_member_that_cannot_be_used_is_kept_listed_and_skipped() -> None:
    clock = ManualClock()
    transport = ScriptedTransport(clock, {URLS["b"] + "/chat/completions": [completion("Hello")]})
    lb = Balancer(
        PAIR,
        [member("a", **{"auth-key-env": "NO_SUCH"}), member("b")],
        environ={},
        clock=clock,
        transport=transport,
    )
    answer = await lb.complete("Hi")
    assert answer.trail[0].to_dict() == {
        "backend": "a",
        "skipped": "no_key",
        "until_ms": None,
    }
    assert lb.stats().backends[0].problem == "no_key"


async def test_a_pool_without_a_usable_member_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError):
        Balancer(PAIR, [])


async def test_the_second_adapter_is_chosen_by_name() -> None:
    lb = Balancer(PAIR, [member("a"), member("b")], transport="pyreqwest")
    await lb.aclose()


async def test_a_standard_profile_alone_is_a_pool_of_one() -> None:
    clock = ManualClock()
    transport = ScriptedTransport(clock, {URLS["a"] + "/chat/completions": [stream(delta("Hi"), STOP, DONE)]})
    lb = Balancer(member("a"), clock=clock, transport=transport)
    assert (await lb.stream("Hi").answer()).text == "Hi"
