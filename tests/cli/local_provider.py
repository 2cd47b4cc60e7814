"""A fault provider in a thread of its own, profiles that lead to it, and the command line in-process.

The command line runs its own event loop, so that the provider needs another one.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.faults import FaultProvider


@contextmanager
def provider(script: str = "fine", **options: Any) -> Iterator[FaultProvider]:
    """A provider that serves until the block is left."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = FaultProvider(script, **options)
    asyncio.run_coroutine_threadsafe(made.start(), loop).result(5)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@dataclass(frozen=True)
class Home:
    """A configuration folder."""

    path: Path

    def save(self, name: str, document: dict[str, Any] | str) -> Path:
        """Write a profile's file as it is, right or wrong."""
        file = self.path / "profiles" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return file

    def backend(self, name: str, base_url: str, model: str = "m", **settings: Any) -> None:
        """A standard profile; settings in snake spelling."""
        self.save(
            name,
            {"provider": "openai", "model": model, "ephemeralSettings": {"base-url": base_url, **settings}},
        )

    def pool(self, name: str, *members: str, policy: str = "failover", **settings: Any) -> None:
        """A load balancer that does not wait before it asks again."""
        document = {
            "type": "loadbalancer",
            "policy": policy,
            "profiles": members,
            "ephemeralSettings": {"failover_retry_delay_ms": 0, **settings},
        }
        self.save(name, document)
