"""LiteLLM's proxy, one worker without a database: the settings of its Router, in a file.

`order` among an entry's settings gives each deployment the priority of its place; the others are the
Router's own. Standard library alone: the Router's process reads this file, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.environments import environment
from benches.failover.pool import Pool
from benches.failover.worker import MODEL
from benches.gateway.proxies.base import Command
from benches.gateway.requests import KEY
from benches.gateway.versions import python_packages

PRICE = {"input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7}


def interpreter() -> Path:
    """Of the proxy and of the Router. Raises `NotInstallable`."""
    return environment("gateway-litellm", python_packages("litellm"))


def deployments(pool: Pool) -> list[dict[str, Any]]:
    """With a price: without one it looks for it, in vain, for every chunk."""
    backends = [
        {"model": f"openai/{MODEL}", "api_base": url, "api_key": "none", **PRICE} for url in pool.backends
    ]
    if pool.settings.get("order"):
        backends = [{**backend, "order": place} for place, backend in enumerate(backends, 1)]
    return [{"model_name": MODEL, "litellm_params": backend} for backend in backends]


def router_settings(pool: Pool) -> dict[str, Any]:
    own = {name: value for name, value in pool.settings.items() if name != "order"}
    return {"timeout": pool.timeout, "stream_timeout": pool.timeout, **own}


def configuration(pool: Pool) -> str:
    """JSON, which is YAML too."""
    return json.dumps(
        {
            "model_list": deployments(pool),
            "router_settings": router_settings(pool),
            "litellm_settings": {"telemetry": False},
            "general_settings": {"master_key": KEY},
        }
    )


def prepare(pool: Pool, port: int, folder: Path) -> Command:
    program = interpreter().with_name("litellm")
    file = folder / "litellm.yaml"
    file.write_text(configuration(pool))
    arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Command([str(program), *arguments], environ, {"Authorization": f"Bearer {KEY}"})
