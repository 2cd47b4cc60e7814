"""A real Prometheus scrapes a gateway under load, and evaluates our rules and the dashboard's queries.

Needs Debian's package prometheus (`scripts/services` sees to it). Where it is missing these tests are
skipped, but for continuous integration: there they fail.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway_theatre import CLIENT_KEY, GatewayTheatre, patient_theatre
from tests.observe.test_deploy import PANELS, RULES, UNIT_TESTS, expressions

PRICE = {"price": {"input": 100, "output": 400}}
CEILINGS = {"tpm_limit": 1_000_000, "rpm_limit": 100_000, "max_concurrency": 50, "failover_in_rpm": 100_000}
SAME = {"model-identity": "understudy-1", **PRICE, **CEILINGS}
TROUBLES = "500; fine; cut after=30; 401; cached 4 + reasoning 3; delay 300ms; usage missing; fine; loop"

# What finds nothing here, by its legend: the circuits are closed, nobody is benched, and no provider has told
# that its limit is used up.
NO_SERIES = "{{backend}} probe"
NONE_SUCH = ("{{backend}} benched", "{{backend}} limit used up")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"no {name}: apt install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def promtool(*arguments: str, stdin: bytes = b"") -> str:
    ran = subprocess.run(
        [program("promtool"), *arguments], input=stdin, cwd=RULES.parent, capture_output=True, timeout=60
    )
    said = (ran.stdout + ran.stderr).decode()
    assert ran.returncode == 0, said
    return said


class Prometheus:
    """One that runs. Queries are asked of its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20)

    async def get(self, path: str, **parameters: str) -> Any:
        answer = await self._client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/api/v1/query", query=expression))["result"]
        return found

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """What it finds, as soon as there is something."""
        async with asyncio.timeout(20):
            while not (found := await self.query(expression)):
                await asyncio.sleep(0.1)
        return found

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await self._client.get("/-/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self._client.aclose()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def prometheus(target: int, home: Path) -> AsyncIterator[Prometheus]:
    """It scrapes the gateway at this port, five times a second, by our rules."""
    (home / "key").write_text(CLIENT_KEY)
    shipped = (RULES.parent / "prometheus.yml").read_text()
    config = shipped.replace("15s", "200ms").replace("30s", "400ms").replace("4141", str(target))
    config = config.replace("understudy.rules.yml", str(RULES))
    config = re.sub(r"# (authorization:|  credentials_file:)", r"\1", config)
    config = config.replace("/etc/prometheus/understudy.key", str(home / "key"))
    (home / "prometheus.yml").write_text(config)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    server = Prometheus(port)
    try:
        await server.ready()
        yield server
    finally:
        await server.close()
        process.terminate()
        await process.wait()


def in_full(expression: str) -> str:
    """As Grafana would ask it."""
    return expression.replace("$__rate_interval", "1m").replace("$profile", ".*")


def selectors(expression: str) -> set[str]:
    """Each series that it begins with: a name and its matchers."""
    return set(re.findall(r"\b(?:understudy_\w+|\w+:understudy_\w+:\w+|up)(?:\{[^}]*\})?", expression))


async def load(house: GatewayTheatre, rounds: int = 20) -> None:
    await asyncio.gather(*(house.ask("openai", stream=number % 2 > 0) for number in range(rounds)))


def troubled() -> Any:
    return patient_theatre(
        TROUBLES,
        "pace 40/s",
        member_settings=SAME,
        own_settings={"lead": {"max_concurrency": 5}},
        stream_recovery="same_model",
        hedge=100,
        hedge_budget_percent=100,
        circuit_breaker_failure_threshold=1000,
        circuit_breaker_failure_rate=0,
    )


class TestPromtool:
    def test_finds_nothing_wrong_with_the_rules(self) -> None:
        assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES.name)

    def test_finds_nothing_wrong_with_the_configuration(self) -> None:
        assert "SUCCESS" in promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")

    def test_sees_every_alert_fire_where_it_should(self) -> None:
        assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS.name)

    async def test_finds_nothing_wrong_with_the_exposition(self) -> None:
        async with troubled() as house:
            await load(house)
            shown = await house.request("GET", "/metrics")
            assert shown.status == 200
            assert await asyncio.to_thread(promtool, "check", "metrics", stdin=shown.body) == ""


async def test_prometheus_finds_what_the_rules_and_the_dashboard_ask_for(tmp_path: Path) -> None:
    async with troubled() as house, prometheus(house.port, tmp_path) as server:
        await server.until('up{job="understudy"} == 1')
        for _ in range(3):
            await load(house)
        await server.until("profile:understudy_cost_usd_wasted:per_hour > 0")
        groups = (await server.get("/api/v1/rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["lastError"] for rule in rules if rule["health"] != "ok"] == []
        for rule in rules:
            for selector in selectors(rule["query"]):
                assert await server.query(selector), (rule["name"], selector)
            if rule["type"] == "recording":
                assert await server.query(rule["name"]), rule["name"]
        await check_dashboard(server)


async def check_dashboard(server: Prometheus) -> None:
    """Every query of it finds something, but for those that there is nothing to find for."""
    legends = [target["legendFormat"] for panel in PANELS["panels"] for target in panel.get("targets", ())]
    for (title, expression), legend in zip(expressions(), legends, strict=True):
        found = await server.query(in_full(expression))
        assert bool(found) == (legend not in (NO_SERIES, *NONE_SUCH)), (title, expression)
        for selector in selectors(in_full(expression)):
            assert bool(await server.query(selector)) == (legend != NO_SERIES), (title, selector)
    found = await server.query("group by (profile) (understudy_requests_in_flight)")
    assert [series["metric"]["profile"] for series in found] == ["evening"]


async def test_the_bill_in_prometheus_is_the_one_in_the_statistics(tmp_path: Path) -> None:
    async with troubled() as house, prometheus(house.port, tmp_path) as server:
        await load(house)
        await house.check_nothing_is_left()
        pool = await house.pool()
        told = {name: backend["cost_usd"] for name, backend in pool["backends"].items()}
        total = pool["cost_usd"]
        await server.until(f"abs(sum(understudy_cost_usd_total) - {total}) < 1e-6")
        found = await server.query("sum by (backend) (understudy_cost_usd_total)")
        assert {one["metric"]["backend"]: float(one["value"][1]) for one in found} == pytest.approx(told)


async def test_an_outage_of_all_backends_and_a_gateway_that_is_gone_are_noticed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"circuit_breaker_failure_threshold": 1, "failover_retry_count": 1}
    async with (
        patient_theatre("500; loop", "500; loop", **options) as house,
        prometheus(house.port, tmp_path) as server,
    ):
        await server.until('up{job="understudy"} == 1')
        assert await server.query('ALERTS{alertname!="UnderstudyAbsent"}') == []
        for _ in range(4):
            await house.ask("openai")
        [alert] = await server.until('ALERTS{alertname="UnderstudyNoClosedCircuit"}')
        assert (alert["metric"]["profile"], alert["metric"]["alertstate"]) == ("evening", "pending")
        found = await server.until('ALERTS{alertname="UnderstudyCircuitOpen"}')
        assert {one["metric"]["backend"] for one in found} == {"lead", "second"}
        house.gateway.draining = True  # a client's key is refused from now on
        await server.until('ALERTS{alertname="UnderstudyDown"}')
        house.gateway.draining = False
