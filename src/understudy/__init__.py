"""Understudy: an LLM load balancer with failover.

When a model can't go on, another steps in without dropping a line. Name several backends in a
load-balancer profile, and answer through them:

    async with understudy.Balancer.load("testlb489") as lb:
        async for chunk in lb.stream("Write a haiku about testing"):
            print(chunk.text, end="")

General layout, outer rings import inner ones and never the reverse:

- `cli`: the command line and its REPL
- `library`: `Balancer` and `SyncBalancer`, what applications use
- `config`, `observe`, `faults`: profiles and keys; log lines; a provider that misbehaves on command
- `runtime`: the one loop, HTTP transports, clocks: the only ring that awaits
- `wire`: bytes to values and back
- `core`: decides, purely: breaker, window, policies, one request's walk
- `errors`: everything that can go wrong, and whose fault it is
- `testing`: the kit for your own tests: `ManualClock`, `ScriptedTransport`

Names are imported when they are first used, so that ``import understudy`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from understudy._version import __version__
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    BalancerClosed,
    Cause,
    ConfigurationError,
    DeadlineExceeded,
    FailureKind,
    InternalError,
    NoBackendAvailable,
    ProfileError,
    RequestError,
    RequestRejected,
    SettingError,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
    TrailEntry,
    UnderstudyError,
)

if TYPE_CHECKING:
    from understudy.config.profile import LoadBalancerProfile, StandardProfile
    from understudy.core.stats import BackendStats, Stats
    from understudy.library.answer import Answer, Choice, ToolCall
    from understudy.library.balancer import Balancer
    from understudy.library.chat_stream import ChatStream
    from understudy.library.sync_balancer import SyncBalancer, SyncChatStream
    from understudy.wire.chat import ChatChunk, ChatRequest, ToolCallDelta, Usage

__all__ = [
    "AllBackendsFailed",
    "Answer",
    "AttemptEntry",
    "BackendStats",
    "Balancer",
    "BalancerClosed",
    "Cause",
    "ChatChunk",
    "ChatRequest",
    "ChatStream",
    "Choice",
    "ConfigurationError",
    "DeadlineExceeded",
    "FailureKind",
    "InternalError",
    "LoadBalancerProfile",
    "NoBackendAvailable",
    "ProfileError",
    "RequestError",
    "RequestRejected",
    "SettingError",
    "SkipEntry",
    "SkipReason",
    "StandardProfile",
    "Stats",
    "StreamInterrupted",
    "SyncBalancer",
    "SyncChatStream",
    "ToolCall",
    "ToolCallDelta",
    "TrailEntry",
    "UnderstudyError",
    "Usage",
    "__version__",
]

_HOMES = {
    "Answer": "library.answer",
    "BackendStats": "core.stats",
    "Balancer": "library.balancer",
    "ChatChunk": "wire.chat",
    "ChatRequest": "wire.chat",
    "ChatStream": "library.chat_stream",
    "Choice": "library.answer",
    "LoadBalancerProfile": "config.profile",
    "StandardProfile": "config.profile",
    "Stats": "core.stats",
    "SyncBalancer": "library.sync_balancer",
    "SyncChatStream": "library.sync_balancer",
    "ToolCall": "library.answer",
    "ToolCallDelta": "wire.chat",
    "Usage": "wire.chat",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'understudy' has no attribute {name!r}")
    value = getattr(import_module(f"understudy.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
