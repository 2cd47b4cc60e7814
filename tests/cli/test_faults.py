"""``understudy faults``: run the provider, list what it can play."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.faults.raw import ask
from understudy.cli import faults as command
from understudy.errors import ConfigurationError
from understudy.faults import FaultProvider
from understudy.faults.vocabulary import WORDS


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command.faults, arguments)


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The provider in a process of its own, and the base URL that it printed."""
    start = "from understudy.cli.faults import faults; faults()"
    process = subprocess.Popen(
        [sys.executable, "-c", start, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class Elsewhere:
    """Enough of a provider for a client that only needs its port."""

    def __init__(self, base_url: str) -> None:
        self.port = int(base_url.rpartition(":")[2].partition("/")[0])


def test_list_prints_every_word_with_its_meaning() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(WORDS)


def test_a_script_that_cannot_be_read_is_a_configuration_error() -> None:
    result = run("serve", "--script", "statsu 500")
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.hint == "did you mean 'status'?"


@pytest.mark.parametrize("text", ["slow", "=500", "slow;500"])
def test_a_model_needs_name_and_script(text: str) -> None:
    result = run("serve", "--model", text)
    assert result.exit_code == 2
    assert "is not NAME=SCRIPT" in result.stderr


def test_a_port_that_is_taken_is_one_line() -> None:
    async def taken() -> Any:
        async with FaultProvider() as provider:
            return await asyncio.to_thread(run_on, provider.port)

    def run_on(port: int) -> str:
        with served("--port", str(port)) as (process, printed):
            assert (printed, process.wait(10)) == ("", 1)
            assert process.stderr is not None
            return process.stderr.read()

    error = asyncio.run(taken())
    assert error.startswith("Error: cannot listen on http://127.0.0.1:")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_it_is_told_to_stop(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = FaultProvider("418")
    serving = asyncio.ensure_future(command._serve(provider))
    while not provider.port:
        await asyncio.sleep(0)
    assert (await ask(provider)).status == 418
    os.kill(os.getpid(), number)
    await asyncio.wait_for(serving, 5.0)
    assert capsys.readouterr().out == f"{provider.base_url}\n"
    assert provider.open_connections == 0


async def test_a_port_that_cannot_be_listened_on_is_told() -> None:
    async with FaultProvider() as provider:
        with pytest.raises(click.ClickException, match="cannot listen on"):
            await command._serve(FaultProvider(port=provider.port))


def test_options_reach_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[FaultProvider] = []

    async def serve(provider: FaultProvider) -> None:
        async with provider:
            seen.append(provider)
            answers = [await ask(provider, model=model) for model in ("m", "flaky", "flaky")]
        assert [answer.status for answer in answers] == [200, 500, 200]
        assert answers[0].text == "Good evening"

    monkeypatch.setattr(command, "_serve", serve)
    result = run(
        "serve", "--model", "flaky=500; fine", "--text", "Good evening", "--pace", "1000",
        "--time-scale", "0.001", "--log",
    )  # fmt: skip
    assert (result.exit_code, len(seen), result.stdout) == (0, 1, "")
    rows = [json.loads(line) for line in result.stderr.splitlines()]
    assert [row["status"] for row in rows] == [200, 500, 200]
    assert [row["step"] for row in rows] == ["fine", "500", "fine"]


def test_the_log_may_lose_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    async def serve(provider: FaultProvider) -> None:
        async with provider:
            assert (await ask(provider)).status == 200

    monkeypatch.setattr(command, "_serve", serve)
    monkeypatch.setattr(click, "echo", broken)
    assert run("serve", "--log").exit_code == 0


def test_as_a_process_it_prints_its_url_logs_and_ends_with_zero() -> None:
    with served("--script", "500; fine", "--log") as (process, base_url):
        answer = asyncio.run(ask(Elsewhere(base_url)))  # type: ignore[arg-type]
        assert answer.status == 500
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    assert json.loads(err)["status"] == 500
