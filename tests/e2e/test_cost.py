"""What requests cost, from the usage that a backend tells to the bill of the pool, through a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.gateway_replies import PROTOCOLS, Protocol
from tests.e2e.gateway_theatre import QUESTION, Format, GatewayTheatre, gateway_theatre, patient_theatre
from understudy.faults import TOKENS

# No sum of some of these is that of others.
PRICE = {"input": 1_000_000, "output": 1_000, "cached_input": 10_000, "cache_write": 100_000, "reasoning": 10}
PRICED: dict[str, Any] = {"member_settings": {"price": PRICE}}
ASKED = (len(QUESTION) + 3) // 4
SAID = len(TOKENS)
THINKS = "reasoning 5 + cached 4 written=2"
FORMATS: tuple[Format, ...] = ("openai", "openai-responses", "anthropic", "gemini")
STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])


def dollars(asked: int, said: int, *, cached: int = 0, written: int = 0, thought: int = 0) -> float:
    by_price = (asked - cached - written, said - thought, cached, written, thought)
    return sum(count * price / 1e6 for count, price in zip(by_price, PRICE.values(), strict=True))


async def told(house: GatewayTheatre, request_id: str) -> dict[str, Any]:
    """Once it has ended."""
    while (entry := await house.told(request_id))["status"] == "running":
        await asyncio.sleep(0.005)
    return entry


async def check_sums(house: GatewayTheatre, ids: list[str]) -> dict[str, Any]:
    """What the attempts cost is what the members, the pool and the metrics say. Returns the pool's stats."""
    entries = [await told(house, one) for one in ids]
    attempts = [step for entry in entries for step in entry["trail"] if "outcome" in step]
    pool = await house.pool()
    metrics = (await house.request("GET", "/metrics")).body.decode().splitlines()
    for name, backend in pool["backends"].items():
        own = [step.get("cost_usd") for step in attempts if step["backend"] == name]
        known = [usd for usd in own if usd is not None]
        assert backend["unpriced"] == len(own) - len(known)
        if backend["cost_usd"] is not None:
            assert backend["cost_usd"] == pytest.approx(sum(known))
        start = f'understudy_cost_usd_total{{profile="evening",backend="{name}",'
        start_of_other = f'understudy_cost_usd_total{{backend="{name}",'
        shown = [line for line in metrics if line.startswith((start, start_of_other))]
        assert sum(float(line.split()[-1]) for line in shown) == pytest.approx(backend["cost_usd"] or 0.0)
    known = [backend["cost_usd"] for backend in pool["backends"].values() if backend["cost_usd"] is not None]
    assert pool["cost_usd"] == pytest.approx(sum(known))
    assert pool["cost_partial"] == any(backend["unpriced"] for backend in pool["backends"].values())
    requests = [entry["cost_usd"] for entry in entries if entry["cost_usd"] is not None]
    assert sum(requests) == pytest.approx(pool["cost_usd"])
    return pool


@STREAM_AND_UNARY
@pytest.mark.parametrize("speaks", FORMATS)
async def test_each_kind_of_token_is_priced_by_itself_in_every_format(speaks: Format, streamed: bool) -> None:
    async with patient_theatre(THINKS, speaks=speaks, **PRICED) as house:
        reply = await house.ask("openai", stream=streamed)
        written = 0 if speaks == "gemini" else 2  # which tells of no writing
        usd = dollars(ASKED, SAID + 5, cached=4, written=written, thought=5 if speaks != "anthropic" else 0)
        entry = await told(house, reply.headers["x-request-id"])
        [step] = entry["trail"]
        assert step["cost_usd"] == entry["cost_usd"] == pytest.approx(usd)
        assert (entry["cost_partial"], "cost_estimated" in step) == (False, False)
        lead = await house.stats()
        assert (lead["cost_usd"], lead["wasted_usd"], lead["estimated_usd"]) == (pytest.approx(usd), 0, 0)
        assert (lead["cached_tokens"], lead["cache_write_tokens"]) == (4, written)
        await check_sums(house, [reply.headers["x-request-id"]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_whole_answers_head_says_what_it_cost(protocol: Protocol) -> None:
    async with patient_theatre(speaks=protocol, **PRICED) as house:
        reply = await house.ask(protocol)
        assert float(reply.headers["x-understudy-cost"]) == pytest.approx(dollars(ASKED, SAID))
        begun = await house.ask(protocol, stream=True)
        assert "x-understudy-cost" not in begun.headers, "nobody knows when it begins"


async def test_a_head_says_nothing_of_a_cost_that_is_not_known() -> None:
    async with patient_theatre("401", own_settings={"second": {"price": PRICE}}) as house:
        reply = await house.ask("openai")
        assert reply.headers["x-understudy-backend"] == "second"
        assert "x-understudy-cost" not in reply.headers
        entry = await told(house, reply.headers["x-request-id"])
        assert (entry["cost_usd"], entry["cost_partial"]) == (pytest.approx(dollars(ASKED, SAID)), True)
        pool = await check_sums(house, [entry["id"]])
        assert (pool["backends"]["lead"]["cost_usd"], pool["unpriced"]) == (None, 1)


async def test_a_failed_request_has_its_cost_in_its_head() -> None:
    async with gateway_theatre("silence", "silence", timeout_ms=200, unary_timeout_ms=200, **PRICED) as house:
        reply = await house.ask("openai")
        assert reply.status >= 500
        assert float(reply.headers["x-understudy-cost"]) > 0
        pool = await check_sums(house, [reply.headers["x-request-id"]])
        assert pool["wasted_usd"] == pool["estimated_usd"] == pool["cost_usd"] > 0


async def test_an_answer_that_broke_off_is_paid_for_twice() -> None:
    same = {"model-identity": "understudy-1", "price": PRICE}
    async with patient_theatre("cut after=30", member_settings=same, stream_recovery="same_model") as house:
        reply = await house.ask("openai", stream=True)
        pool = await check_sums(house, [reply.headers["x-request-id"]])
        lead, second = pool["backends"]["lead"], pool["backends"]["second"]
        assert pool["recovered"] == 1
        assert lead["wasted_usd"] == lead["estimated_usd"] == lead["cost_usd"] > 0
        assert (second["cost_usd"], second["wasted_usd"]) == (pytest.approx(dollars(ASKED, SAID)), 0)
        entry = await told(house, reply.headers["x-request-id"])
        assert [step.get("cost_estimated", False) for step in entry["trail"]] == [True, False]


async def test_who_was_slower_is_paid_for_too() -> None:
    async with patient_theatre("delay 3s", hedge=50, **PRICED) as house:
        reply = await house.ask("openai", stream=True)
        assert reply.headers["x-understudy-backend"] == "second"
        pool = await check_sums(house, [reply.headers["x-request-id"]])
        assert pool["wasted_usd"] == pool["backends"]["lead"]["cost_usd"] > 0


async def test_a_caller_who_leaves_pays_and_wastes_nothing() -> None:
    async with patient_theatre("pace 20", **PRICED) as house:
        async with house.visit("openai") as visitor:
            await visitor.read_head()
            await visitor.read_until(b"show")
            request_id = visitor.headers["x-request-id"]
            visitor.leave()
        pool = await check_sums(house, [request_id])
        assert pool["cost_usd"] == pool["estimated_usd"] > 0
        assert (pool["cancelled"], pool["wasted_usd"]) == (1, 0)


async def test_after_an_evening_of_troubles_the_sums_agree() -> None:
    script = f"500; fine; cut after=10; usage missing; cut after=10; empty null; {THINKS}"
    own = {name: {"price": PRICE} for name in ("lead", "second")}
    options: dict[str, Any] = {"own_settings": own, "policy": "roundrobin", "circuit_breaker_enabled": False}
    async with patient_theatre(script, script, "fine", **options) as house:
        replies = [await house.ask("openai", stream=number % 2 > 0) for number in range(24)]
        pool = await check_sums(house, [reply.headers["x-request-id"] for reply in replies])
        assert pool["cost_partial"]
        assert 0 < pool["wasted_usd"] < pool["cost_usd"]
        assert 0 < pool["estimated_usd"] < pool["cost_usd"]
