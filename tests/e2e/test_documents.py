"""Every Python sample in README and docs runs, and so does every command of the README, against real
servers. The other pages' commands and JSON are held by the tests of what they tell about."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from understudy.faults import TEXT, FaultProvider

ROOT = Path(__file__).parents[2]
MEMBERS = ("synthetic", "chutes", "groqgpt")


def samples() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, sample in enumerate(
            re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S), 1
        ):
            yield f"{page.relative_to(ROOT)} {number}", sample


SAMPLES = dict(samples())


def test_there_are_samples() -> None:
    assert any(name.startswith("README.md") for name in SAMPLES)


async def run(sample: str) -> None:
    code = compile(sample, "sample", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace = {"__name__": "sample"}
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, namespace)
    else:
        await asyncio.to_thread(eval, code, namespace)


def make_home(folder: Path, base_url: str) -> None:
    """The shipped profile with its members replaced by local ones."""
    profiles = folder / "profiles"
    profiles.mkdir()
    for member in MEMBERS:
        profile = {"provider": "openai", "model": member, "ephemeralSettings": {"base-url": base_url}}
        (profiles / f"{member}.json").write_text(json.dumps(profile))


GATEWAY = "http://127.0.0.1:4141"


@pytest.mark.parametrize("name", SAMPLES)
async def test_the_sample_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the members fails. What asks the gateway finds one."""
    async with FaultProvider("fine", models={"synthetic": "status 500"}) as provider:
        make_home(tmp_path, provider.base_url)
        monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        if GATEWAY not in SAMPLES[name]:
            await run(SAMPLES[name])
            return
        async with gateway("understudy serve --profile-load testlb489", tmp_path) as url:
            await run(SAMPLES[name].replace(GATEWAY, url))


@asynccontextmanager
async def gateway(command: str, home: Path) -> AsyncIterator[str]:
    """The command at work on a free port, until SIGTERM ends it well."""
    process = await asyncio.create_subprocess_shell(
        f"exec {command.partition('#')[0]} --port 0 --drain-delay 0",
        env=environment(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        assert await process.wait() == 0


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "UNDERSTUDY_HOME": str(home), "PATH": path}


async def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """But for the first two, of which one is running this and the other has a test of its own."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    commands = [line for line in "".join(blocks).splitlines() if not line.startswith("scripts/")]
    assert len(commands) == 4
    async with FaultProvider() as provider:
        make_home(tmp_path, provider.base_url)
        *commands, serve = commands
        async with (
            gateway(serve, tmp_path) as url,
            AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client,
        ):
            answer = await client.chat.completions.create(
                model="whatever", messages=[{"role": "user", "content": "Hi"}]
            )
            assert answer.choices[0].message.content == TEXT
        for command in commands:
            process = await asyncio.create_subprocess_shell(
                command,
                env=environment(tmp_path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, errors = await process.communicate()
            assert process.returncode == 0, (command, errors)


def test_the_readmes_profile_is_the_one_that_ships() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    shipped = ROOT / "src" / "understudy" / "config" / "examples" / "testlb489.json"
    assert json.loads(text) == json.loads(shipped.read_text())
