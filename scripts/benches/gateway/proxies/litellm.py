"""LiteLLM's proxy: one worker, no database, a key, three deployments.

As its makers would like it: bytecode compiled, a price for the mock model (without one it looks for a
price, in vain, for every chunk), its own price list instead of one from the network, no telemetry, nobody
retries.
"""

from __future__ import annotations

import json

from benches.environments import environment
from benches.gateway.proxies.base import MEMBERS, Command, Place
from benches.gateway.requests import KEY
from benches.gateway.versions import python_packages
from benches.worker import MODEL

PRICE = {"input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7}


def configuration(place: Place) -> str:
    """JSON, which is YAML too."""
    backend = {"model": f"openai/{MODEL}", "api_base": f"{place.upstream}/v1", "api_key": "none", **PRICE}
    return json.dumps(
        {
            "model_list": [{"model_name": MODEL, "litellm_params": backend} for _ in range(MEMBERS)],
            "router_settings": {"num_retries": 0},
            "litellm_settings": {"num_retries": 0, "telemetry": False},
            "general_settings": {"master_key": KEY},
        }
    )


def prepare(place: Place) -> Command:
    interpreter = environment("gateway-litellm", python_packages("litellm"))
    file = place.folder / "litellm.yaml"
    file.write_text(configuration(place))
    arguments = [
        "--config",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
        "--num_workers",
        "1",
    ]
    environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Command([str(interpreter.with_name("litellm")), *arguments], environ)
