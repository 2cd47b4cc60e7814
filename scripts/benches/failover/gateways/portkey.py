"""Portkey's gateway on Node, with its configuration in a header of each request.

`fallback` asks the targets in their order. `loadbalance` draws lots among three fallbacks, each of which
begins with another target, so that nobody is without a second and a third choice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.failover.pool import Pool
from benches.gateway.proxies.base import Command
from benches.gateway.proxies.portkey import PROGRAM, install
from benches.gateway.tools import tool


def _fallback(targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {"strategy": {"mode": "fallback"}, "targets": targets}


def _turned(targets: list[dict[str, Any]], places: int) -> list[dict[str, Any]]:
    return targets[places:] + targets[:places]


def configuration(pool: Pool) -> dict[str, Any]:
    targets: list[dict[str, Any]] = [
        {
            "provider": "openai",
            "custom_host": url,
            "api_key": "none",
            "request_timeout": pool.milliseconds,
            **({"retry": pool.settings["retry"]} if "retry" in pool.settings else {}),
        }
        for url in pool.backends
    ]
    if pool.settings["mode"] == "fallback":
        return _fallback(targets)
    turns = [_fallback(_turned(targets, places)) for places in range(len(targets))]
    return {"strategy": {"mode": "loadbalance"}, "targets": turns}


def prepare(pool: Pool, port: int, folder: Path) -> Command:
    install()
    arguments = [tool("node"), f"--random-seed={pool.seed}", str(PROGRAM), f"--port={port}", "--headless"]
    headers = {"x-portkey-config": json.dumps(configuration(pool))}
    return Command(arguments, {"NODE_ENV": "production"}, headers)
