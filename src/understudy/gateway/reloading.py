"""Loading the profiles anew: when an operator asks for it, on SIGHUP, and when a file changes.

1. Files are looked at once a second: that works on every file system, also where a mounted folder is
   swapped as a whole. A change is taken once it has stood still for one look, so that several files saved
   together are one change.
2. What is wrong is one line in the log, once; the profiles that run stay.
3. Only one loading at a time.
"""

from __future__ import annotations

import asyncio
import logging

from understudy.errors import ConfigurationError
from understudy.gateway import loading
from understudy.gateway.app import Gateway

_log = logging.getLogger("understudy.gateway")

LOOK_SECONDS = 1.0


class Reloader:
    """Keeps one gateway's profiles current."""

    def __init__(self, plan: loading.Plan, gateway: Gateway, *, every: float = LOOK_SECONDS) -> None:
        self._plan = plan
        self._gateway = gateway
        self._every = every
        self._turn = asyncio.Lock()
        self._seen = loading.fingerprint(plan)

    async def reload(self) -> None:
        """Raises `ConfigurationError`, and then nothing has changed."""
        async with self._turn:
            self._seen = await asyncio.to_thread(loading.fingerprint, self._plan)
            self._gateway.profiles = await loading.reload(self._plan, self._gateway.profiles)
            _log.info("profiles loaded anew: %s", ", ".join(self._gateway.profiles.by_name))

    async def try_reload(self) -> None:
        """Rule 2; raises nothing, so that a bug of ours does not end the watch."""
        try:
            await self.reload()
        except ConfigurationError as error:
            hint = f" ({error.hint})" if error.hint else ""
            _log.error("profiles not loaded, the running ones stay: %s%s", error.message, hint)
        except Exception:
            _log.exception("profiles not loaded, the running ones stay: a bug in the gateway")

    async def watch(self) -> None:
        """Rule 1; runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._every)
            look = await asyncio.to_thread(loading.fingerprint, self._plan)
            if look == self._seen:
                continue
            while (later := await self._look_again()) != look:
                look = later
            await self.try_reload()

    async def _look_again(self) -> object:
        await asyncio.sleep(self._every)
        return await asyncio.to_thread(loading.fingerprint, self._plan)
