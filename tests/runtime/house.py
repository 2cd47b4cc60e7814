"""A house with a cast: an engine over scripted backends on a manual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

from understudy.core.events import Event
from understudy.core.facts import Facts
from understudy.core.member import Member
from understudy.core.policies import BY_NAME
from understudy.core.pool import Pool
from understudy.core.settings import (
    BreakerSettings,
    MemberSettings,
    PoolSettings,
    RecoverySettings,
    RetrySettings,
    Timeouts,
)
from understudy.errors import TrailEntry
from understudy.runtime.backend import Backend, WireFormat
from understudy.runtime.clock import ManualClock
from understudy.runtime.engine import Call, Engine
from understudy.runtime.tracing import Tracer
from understudy.simulate.scripted_transport import Piece, Reply, ScriptedTransport
from understudy.wire import openai_chat
from understudy.wire.chat import ChatChunk, ChatRequest

TIMEOUTS = Timeouts(first_content=10, unary=10, connect=5, stall=5)
RETRY = RetrySettings(delay=1.0)
BREAKER = BreakerSettings()
NO_RECOVERY = RecoverySettings(scope="off")
JSON_HEADERS = {"content-type": "application/json"}


def event(**body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def delta(content: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    said = {} if content is None else {"content": content}
    return event(model="m", choices=[{"index": 0, "delta": {**said, **fields}, "finish_reason": finish}])


PREAMBLE = delta("", role="assistant")
STOP = delta(finish="stop")
DONE = b"data: [DONE]\n\n"
USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})


def stream(*pieces: Piece, **options: Any) -> Reply:
    return Reply(pieces=pieces, **options)


def speech(*words: str) -> Reply:
    """A whole streamed answer."""
    return stream(PREAMBLE, *(delta(word) for word in words), STOP, USAGE, DONE)


def completion(content: str | None = "Hello", finish: str | None = "stop", **fields: Any) -> Reply:
    """A whole unary answer."""
    message = {"role": "assistant", "content": content}
    body = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}
    return Reply(headers=JSON_HEADERS, pieces=[json.dumps(body).encode()])


def refusal(status: int, message: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"error": {"message": message}}).encode()
    return Reply(status=status, headers={**JSON_HEADERS, **named}, pieces=[body])


class Listener:
    def __init__(self) -> None:
        self.heard: list[Event] = []

    def observe(self, event: Event) -> None:
        self.heard.append(event)


class House:
    """Backends ``a``, ``b``, … that play the given scripts, one list of replies each.

    `facts` and `formats` are the members', in order; without any nothing is known, and OpenAI chat spoken.
    All are of one model; nobody goes on with a broken answer unless `recovery` says so.
    """

    def __init__(
        self,
        *scripts: Sequence[Reply] | Reply,
        policy: str = "failover",
        timeouts: Timeouts = TIMEOUTS,
        strict: bool = False,
        retry: RetrySettings = RETRY,
        breaker: BreakerSettings = BREAKER,
        recovery: RecoverySettings = NO_RECOVERY,
        key: str | None = None,
        facts: Sequence[Facts] = (),
        formats: Sequence[ModuleType] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.listener = Listener()
        names = [chr(ord("a") + position) for position in range(len(scripts))]
        spoken = dict.fromkeys(names, openai_chat) | dict(zip(names, formats, strict=False))
        urls = {name: f"http://{name}.test/v1" for name in names}
        self.transport = ScriptedTransport(
            self.clock,
            {
                urls[name] + spoken[name].PATH: [script] if isinstance(script, Reply) else script
                for name, script in zip(names, scripts, strict=True)
            },
        )
        known = dict(enumerate(facts))
        self.members = [
            Member(
                name,
                index,
                MemberSettings(timeouts, strict_events=strict, facts=known.get(index, Facts()), model="m"),
            )
            for index, name in enumerate(names)
        ]
        self.pool = Pool(
            "house", BY_NAME[policy](), self.members, PoolSettings(breaker, retry, recovery=recovery)
        )
        self.backends = {
            name: Backend(name, cast(WireFormat, spoken[name]), base_url=url, model="m", key=key)
            for name, url in urls.items()
        }
        self.engine = Engine(
            self.pool,
            self.backends,
            transport=self.transport,
            clock=self.clock,
            jitter=lambda: 0.0,
            observers=[self.listener],
            tracer=tracer,
        )

    def call(self, *, stream: bool = True, **fields: Any) -> Call:
        request = ChatRequest([{"role": "user", "content": "To be, or not to be?"}], fields)
        return self.engine.call(request, stream=stream)

    def start(self, *, stream: bool = True, **fields: Any) -> Show:
        return Show(self.call(stream=stream, **fields))

    async def play(self, seconds: float = 0.0, *, stream: bool = True, **fields: Any) -> Show:
        """One request, and so much time for it."""
        show = self.start(stream=stream, **fields)
        await self.clock.advance(seconds)
        return show

    def asked(self) -> list[str]:
        """Which backends were asked, in order."""
        return [request.url[7] for request in self.transport.requests]

    def check(self) -> None:
        """Nothing is left: no timer, no connection, and the counts add up."""
        assert self.clock.timers == 0
        assert all(response.closed for response in self.transport.responses)
        assert self.pool.metrics.in_flight == 0
        assert all(member.metrics.in_flight == 0 for member in self.members)


class Show:
    """A request being read to its end in a task of its own."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.chunks: list[ChatChunk] = []
        self.task = asyncio.create_task(self._read())
        # Looked at here, so that asyncio does not log what a test has no interest in.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _read(self) -> None:
        async for chunk in self.call.chunks():
            self.chunks.append(chunk)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        return self.call.trail

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(entry.backend, getattr(entry, "outcome", "skipped")) for entry in self.trail]

    @property
    def error(self) -> Any:
        """What the request raised."""
        assert self.task.done(), "the request still runs"
        return self.task.exception()
