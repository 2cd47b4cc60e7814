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
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.faults import FaultProvider

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


@pytest.mark.parametrize("name", SAMPLES)
async def test_the_sample_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the members fails."""
    async with FaultProvider("fine", models={"synthetic": "status 500"}) as provider:
        make_home(tmp_path, provider.base_url)
        monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        await run(SAMPLES[name])


async def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """But for the first two, of which one is running this and the other has a test of its own."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    commands = [line for line in "".join(blocks).splitlines() if not line.startswith("scripts/")]
    assert len(commands) == 3
    async with FaultProvider() as provider:
        make_home(tmp_path, provider.base_url)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for command in commands:
            process = await asyncio.create_subprocess_shell(
                command,
                env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path), "PATH": path},
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
