"""A gateway on a manual clock before scripted backends, and visitors who speak ASGI with it.

``evening`` is the profile; its members are ``a``, ``b``, … A visitor sees every message that a server would
see, may take them slowly, and may leave.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tests.gateway.house import PROFILE, chat
from tests.runtime.house import Listener
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.gateway.admin import Admin
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.http import Message
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles, Served
from understudy.testing import ManualClock, Reply, ScriptedTransport

# A piece of a body that makes the scripted transport itself fail.
BUG = cast(Any, "no piece at all")

ADMIN_KEY = "key-of-the-operator-1147"
SETTINGS: dict[str, Any] = {
    "failover_retry_delay_ms": 1000,
    "timeout_ms": 10000,
    "stall_timeout_ms": 30000,
    "stream_recovery": "off",
}


class Visit:
    """One request. `messages` are what the application sent."""

    def __init__(self, gateway: Gateway, request: Mapping[str, Any], body: bytes, *, whole: bool) -> None:
        self.messages: list[Message] = []
        self.takes = asyncio.Event()  # while it is set the client takes what is sent
        self.takes.set()
        self.server_error: Exception | None = None  # what the server raises when it is to send
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        if whole:
            self.send_body(body)
        scope = {"type": "http", "http_version": "1.1", "headers": [], **request}
        self.task = asyncio.ensure_future(gateway(scope, self._received.get, self._send))
        # Looked at here, so that asyncio does not log what a test has no interest in.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def send_body(self, body: bytes) -> None:
        self._received.put_nowait({"type": "http.request", "body": body})

    def leave(self) -> None:
        self._received.put_nowait({"type": "http.disconnect"})

    async def ended(self) -> None:
        """Wait until the application is done with it; raises what the application did."""
        async with asyncio.timeout(5):
            await asyncio.shield(self.task)

    async def _send(self, message: Message) -> None:
        await self.takes.wait()
        if self.server_error is not None:
            raise self.server_error
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_whole(self) -> bool:
        """Has the answer come to its proper end?"""
        return len(self.messages) > 1 and not self.messages[-1].get("more_body")


class Stage:
    """One evening's gateway. `scripts` are what the members answer; `speaks` their format."""

    def __init__(
        self,
        *scripts: Sequence[Reply] | Reply,
        speaks: str = "openai",
        keys: str = "",
        door: Door | None = None,
        comment_seconds: float = 0.0,
        policy: str = "",
        **settings: Any,
    ) -> None:
        self.clock = ManualClock()
        self.listener = Listener()
        names = [chr(ord("a") + position) for position in range(len(scripts))]
        path = "/chat/completions" if speaks == "openai" else "/messages"
        self.transport = ScriptedTransport(
            self.clock,
            {
                f"http://{name}.test/v1{path}": [script] if isinstance(script, Reply) else script
                for name, script in zip(names, scripts, strict=True)
            },
        )
        members = [
            StandardProfile(name, speaks, f"model-{name}", settings={"base-url": f"http://{name}.test/v1"})
            for name in names
        ]
        policy = policy or ("failover" if len(names) > 1 else "roundrobin")
        self.balancer = Balancer(
            LoadBalancerProfile(PROFILE, policy, tuple(names), settings={**SETTINGS, **settings}),
            members,
            clock=self.clock,
            transport=self.transport,
            environ={},
            observers=[self.listener],
        )
        self.served = Served(PROFILE, self.balancer, door or Door(100, 100, 20.0))
        self.gateway = Gateway(
            Profiles({PROFILE: self.served}, aliases={"gpt-4o": PROFILE}),
            keys=Keys(keys),
            clock=self.clock,
            comment_seconds=comment_seconds,
        )

    def admit_operator(self, reload: Any = None) -> None:
        """Switch the admin routes on."""
        self.gateway.admin = Admin(ADMIN_KEY, lambda: self.gateway.profiles, reload)

    def visit(
        self,
        path: str = "/v1/chat/completions",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        whole: bool = True,
        **fields: Any,
    ) -> Visit:
        """A request that is on its way; `fields` are those of a chat. Not `whole`: its body comes later."""
        sent = chat(**fields) if body is None else body
        request = {
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        return Visit(self.gateway, request, data, whole=whole)

    async def play(self, seconds: float = 0.0, path: str = "/v1/chat/completions", **options: Any) -> Visit:
        """A request, and so much time for it."""
        visit = self.visit(path, **options)
        await self.clock.advance(seconds)
        return visit

    async def look(self, path: str, **options: Any) -> Visit:
        """What a route shows."""
        return await self.play(0.0, path, method="GET", **options)

    async def trail(self, visit: Visit) -> Any:
        """What is kept of a request."""
        return (await self.look(f"/requests/{visit.headers['x-request-id']}")).json

    def bodies(self) -> list[Any]:
        """What the members were asked, in order."""
        return [json.loads(request.body) for request in self.transport.requests]

    def check(self) -> None:
        """Nothing is left: no timer, no connection, no place at the door, and the counts add up."""
        assert self.clock.timers == 0
        assert all(response.closed for response in self.transport.responses)
        assert (self.served.door.inside, self.served.door.waiting, self.gateway.running) == (0, 0, 0)
        stats = self.balancer.stats()
        assert stats.in_flight == 0
        assert stats.total_requests == stats.answered + stats.failed + stats.cancelled


def message_of(visit: Visit) -> str:
    """The message of an error in OpenAI's shape."""
    return cast(str, visit.json["error"]["message"])
