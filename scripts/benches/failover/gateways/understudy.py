"""The gateway under test: its defaults, the timeout, and what the roster says. It wants a client key."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benches.environments import ROOT
from benches.failover.pool import Pool
from benches.failover.worker import MODEL
from benches.gateway.proxies.base import Command
from benches.gateway.requests import KEY


def _member(url: str) -> dict[str, object]:
    return {"provider": "openai", "model": MODEL, "ephemeralSettings": {"base-url": url}}


def write_profile(pool: Pool, folder: Path) -> Path:
    """A load-balancer profile and, beside it, its members. `policy` is a field, the rest are settings."""
    settings = dict(pool.settings)
    policy, names = settings.pop("policy"), [f"member{number}" for number in range(len(pool.backends))]
    for name, url in zip(names, pool.backends, strict=True):
        (folder / f"{name}.json").write_text(json.dumps(_member(url)))
    balancer = {
        "type": "loadbalancer",
        "policy": policy,
        "profiles": names,
        "ephemeralSettings": {"timeout_ms": pool.milliseconds, **settings},
    }
    file = folder / f"{MODEL}.json"
    file.write_text(json.dumps(balancer))
    return file


def prepare(pool: Pool, port: int, folder: Path) -> Command:
    profile = str(write_profile(pool, folder))
    arguments = ["serve", "--profile-load", profile, "--host", "127.0.0.1", "--port", str(port)]
    environ = {
        "PYTHONPATH": str(ROOT / "src"),
        "UNDERSTUDY_HOME": str(folder),
        "UNDERSTUDY_KEYS": f"bench={KEY}",
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    return Command([sys.executable, "-m", "understudy", *arguments], environ, headers)
