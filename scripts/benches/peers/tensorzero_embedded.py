"""TensorZero's gateway inside the process, three providers of one model, its observability off."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tensorzero import AsyncTensorZeroGateway

from benches.worker import MEMBERS, MODEL, PROMPT, run

CALL: dict[str, Any] = {
    "model_name": "pool",
    "input": {"messages": [{"role": "user", "content": PROMPT}]},
}
ROUTING = [f"member{number}" for number in range(MEMBERS)]
PROVIDER = """
[models.pool.providers.{name}]
type = "openai"
model_name = "{model}"
api_base = "{base_url}/"
api_key_location = "none"
"""


def _configuration(folder: Path, base_url: str) -> Path:
    providers = [PROVIDER.format(name=name, model=MODEL, base_url=base_url) for name in ROUTING]
    gateway = "[gateway]\nobservability.enabled = false\n"
    file = folder / "tensorzero.toml"
    file.write_text(f"{gateway}[models.pool]\nrouting = {ROUTING}\n{''.join(providers)}")
    return file


class TensorZeroEmbedded:
    def __init__(self, gateway: Any) -> None:
        self.gateway = gateway

    async def complete(self) -> str:
        answer = await self.gateway.inference(**CALL)
        return "".join(block.text for block in answer.content)

    async def stream(self) -> str:
        chunks = await self.gateway.inference(**CALL, stream=True)
        return "".join([block.text async for chunk in chunks for block in chunk.content])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[TensorZeroEmbedded]:
    with tempfile.TemporaryDirectory() as folder:
        file = _configuration(Path(folder), base_url)
        gateway = AsyncTensorZeroGateway.build_embedded(config_file=str(file))
        async with await gateway as opened:
            yield TensorZeroEmbedded(opened)


if __name__ == "__main__":
    run(open_client)
