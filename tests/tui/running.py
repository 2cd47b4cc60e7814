"""A gateway that runs in a thread of its own, on a real socket, for whoever asks it from outside."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from tests.gateway.house import KEY, House, chat, house
from understudy.gateway.admin import Admin

ADMIN_KEY = "admin-key-0815"


class Running:
    """The house and its address."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house = house
        self.url = house.url
        self._loop = loop

    def ask(self, request_id: str = "", key: str = KEY, **fields: Any) -> None:
        """One request of a client."""
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        if request_id:
            headers["x-request-id"] = request_id
        body = json.dumps(chat(**fields)).encode()
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def set_script(self, script: str) -> None:
        """What the lead plays from now on."""
        self._loop.call_soon_threadsafe(self.house.lead.set_script, script)

    def drain(self) -> None:
        self._loop.call_soon_threadsafe(setattr, self.house.gateway, "draining", True)


@contextmanager
def running(lead: str = "fine", second: str = "fine", *, keys: str = "", **options: Any) -> Iterator[Running]:
    """Serve until the block is left. It has admin routes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def nothing() -> None:
        """Nothing changes."""

    try:
        opened: House = run(stack.enter_async_context(house(lead, second, keys=keys, **options)))
        opened.gateway.admin = Admin(ADMIN_KEY, lambda: opened.gateway.profiles, nothing)
        yield Running(opened, loop)
    finally:
        run(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
