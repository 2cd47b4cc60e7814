"""Never run: a type checker reads this file as a user's program against the public API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import understudy
from understudy.testing import ManualClock, Reply, ScriptedTransport


async def streams() -> AsyncIterator[str]:
    async with understudy.Balancer.load("testlb489") as lb:
        async for chunk in lb.stream("Write a haiku about testing"):
            assert_type(chunk, understudy.ChatChunk)
            yield chunk.text
        async with lb.stream([{"role": "user", "content": "Hi"}], max_tokens=5) as stream:
            async for chunk in stream:
                yield chunk.reasoning
            assert_type(stream.backend, str | None)
            assert_type(stream.usage, understudy.Usage | None)
            assert_type(stream.trail, tuple[understudy.TrailEntry, ...])
            assert_type(await stream.answer(), understudy.Answer)


async def completes() -> None:
    lb = understudy.Balancer.load(
        "testlb489", home="/tmp", settings={"timeout_ms": 5000}, transport="aiohttp"
    )
    answer = await lb.complete(understudy.ChatRequest([{"role": "user", "content": "Hi"}]), temperature=0)
    assert_type(answer, understudy.Answer)
    assert_type(answer.text, str)
    assert_type(answer.tool_calls, tuple[understudy.ToolCall, ...])
    assert_type(answer.usage.input_tokens, int)
    assert_type(lb.stats(), understudy.Stats)
    assert_type(lb.stats().backends[0].tpm, float)
    lb.set("timeout_ms", 1000)
    await lb.aclose()


def synchronously() -> Iterator[str]:
    with understudy.SyncBalancer.load("testlb489") as lb:
        yield lb.complete("Hi").text
        for chunk in lb.stream("Hi"):
            yield chunk.text


async def from_values() -> None:
    clock = ManualClock()
    members = [understudy.StandardProfile("a", "vllm", "m"), understudy.StandardProfile("b", "openai", "m")]
    profile = understudy.LoadBalancerProfile("pair", "failover", ("a", "b"))
    transport = ScriptedTransport(clock, {"http://localhost:8000/v1/chat/completions": [Reply(status=500)]})
    async with understudy.Balancer(profile, members, clock=clock, transport=transport) as lb:
        try:
            await lb.complete("Hi")
        except understudy.RequestRejected as error:
            assert_type(error.status, int | None)
        except understudy.AllBackendsFailed as error:
            assert_type(error.causes, tuple[understudy.Cause, ...])
            assert_type(error.causes[0].kind, understudy.FailureKind)
        except understudy.RequestError as error:
            assert_type(error.retry_after, float | None)


def mistakes(lb: understudy.Balancer) -> None:
    lb.stream(5)  # type: ignore[arg-type]
    understudy.Balancer.load("x", transport="curl")  # type: ignore[arg-type]
    understudy.SyncBalancer.load("x", clok=None)  # type: ignore[call-arg]
