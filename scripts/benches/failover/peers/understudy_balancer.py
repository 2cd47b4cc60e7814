"""This library: its defaults, the timeout, and what the roster says."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import understudy
from benches.failover.calls import Stream
from benches.failover.gateways.understudy import write_profile
from benches.failover.pool import Pool
from benches.failover.worker import MESSAGES, run


@asynccontextmanager
async def open_client(pool: Pool) -> AsyncIterator[Stream]:
    rng = Random(pool.seed)  # noqa: S311 — lots to be had again
    with tempfile.TemporaryDirectory() as folder:
        profile = str(write_profile(pool, Path(folder)))
        async with understudy.Balancer.load(profile, rng=rng) as balancer:

            async def stream() -> AsyncGenerator[str, None]:
                async with balancer.stream(MESSAGES) as chunks:
                    async for chunk in chunks:
                        yield chunk.text

            yield stream


if __name__ == "__main__":
    run(open_client)
