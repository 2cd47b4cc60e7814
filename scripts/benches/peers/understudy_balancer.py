"""This library over three backends, as its users call it. UNDERSTUDY_STATE shares its state with others."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import understudy
from benches.worker import MEMBERS, MESSAGES, MODEL, run


def _profile(folder: Path, base_url: str) -> Path:
    """A load-balancer profile and, beside it, its members."""
    names = [f"member{number}" for number in range(MEMBERS)]
    member = {"provider": "openai", "model": MODEL, "ephemeralSettings": {"base-url": base_url}}
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(member))
    profile = folder / "pool.json"
    profile.write_text(json.dumps({"type": "loadbalancer", "policy": "failover", "profiles": names}))
    return profile


class UnderstudyBalancer:
    def __init__(self, balancer: understudy.Balancer) -> None:
        self.balancer = balancer

    async def complete(self) -> str:
        return (await self.balancer.complete(MESSAGES)).text

    async def stream(self) -> str:
        return "".join([chunk.text async for chunk in self.balancer.stream(MESSAGES)])


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[UnderstudyBalancer]:
    with tempfile.TemporaryDirectory() as folder:
        profile, state = str(_profile(Path(folder), base_url)), os.environ.get("UNDERSTUDY_STATE")
        async with understudy.Balancer.load(profile, state=state) as balancer:
            yield UnderstudyBalancer(balancer)


if __name__ == "__main__":
    run(open_client)
