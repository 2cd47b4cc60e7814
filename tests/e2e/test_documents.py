"""Every Python sample in README and docs runs, against real servers; every link's target was checked
elsewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
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


@pytest.mark.parametrize("name", SAMPLES)
async def test_the_sample_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shipped profile's members replaced by local ones, of which one fails."""
    async with FaultProvider("fine", models={"synthetic": "status 500"}) as provider:
        profiles = tmp_path / "profiles"
        profiles.mkdir()
        for member in MEMBERS:
            settings = {"base-url": provider.base_url}
            profile = {"provider": "openai", "model": member, "ephemeralSettings": settings}
            (profiles / f"{member}.json").write_text(json.dumps(profile))
        monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        await run(SAMPLES[name])
