"""Schemathesis against ``understudy serve``: the gateway does what its own document says.

It makes requests out of the document, right ones and wrong ones, the same in every run, and checks status,
content type, headers and shape of every answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from understudy.faults import FaultProvider

CLIENT, ADMIN = "client-key", "admin-key"

# A request that is right by the document may still be none for a backend, a member or a setting.
CONFIGURATION = """
[[operations]]
include-operation-id = ["chat", "responses", "messages", "act", "changeSetting"]

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path


def save(home: Path, provider: FaultProvider) -> None:
    """A profile "evening" with two members at this provider."""
    member = {"provider": "openai", "model": "m", "ephemeralSettings": {"base-url": provider.base_url}}
    pool = {"type": "loadbalancer", "policy": "failover", "profiles": ["lead", "second"]}
    for name, document in {"lead": member, "second": member, "evening": pool}.items():
        (home / "profiles" / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[str]:
    """The base URL of the program itself, which must end well."""
    environ = {
        **os.environ,
        "UNDERSTUDY_HOME": str(home),
        "UNDERSTUDY_KEYS": f"alice={CLIENT}",
        "UNDERSTUDY_ADMIN_KEY": ADMIN,
    }
    options = ("--profile-load", "evening", "--port", "0", "--drain-delay", "0")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "understudy", "serve", *options),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0
    for secret in (b"Traceback", CLIENT.encode(), ADMIN.encode()):
        assert secret not in said


async def schemathesis(home: Path, url: str, key: str, paths: str, examples: int) -> None:
    """Every check it has, on the routes of these paths."""
    options = (
        *("--include-path-regex", paths, "--max-examples", str(examples)),
        *("--generation-deterministic", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--header", f"Authorization: Bearer {key}", "--max-response-time", "5"),
    )
    start = "from schemathesis.cli import schemathesis; schemathesis()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", start, "--config-file", str(home / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", *options),
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    assert process.returncode == 0, report.decode()
    assert b"passed" in report


async def test_clients_routes_do_what_the_document_says(home: Path) -> None:
    async with FaultProvider() as provider:
        save(home, provider)
        async with serving(home) as url:
            await schemathesis(home, url, CLIENT, "^/(?!admin|live)", examples=6)


async def test_admin_routes_do_what_the_document_says(home: Path) -> None:
    async with FaultProvider() as provider:
        save(home, provider)
        async with serving(home) as url:
            await schemathesis(home, url, ADMIN, "^/admin", examples=8)
