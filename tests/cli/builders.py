"""What the tests of the session share: a home with profiles, a context without a terminal, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from understudy.cli.commands.command import Context
from understudy.cli.commands.table import find
from understudy.cli.screen import Screen
from understudy.cli.session import Session
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.store import ProfileStore
from understudy.core.stats import BackendStats, CircuitStats, Percentiles, Stats

# Nobody listens there, so nothing that is only loaded could ever be asked by mistake.
NOWHERE = "http://127.0.0.1:9/v1"


class Typed:
    """A reader whose lines are known beforehand."""

    def __init__(self, *lines: str, hidden: Iterable[str] = ()) -> None:
        self._lines = list(lines)
        self._hidden = list(hidden)
        self.labels: list[str] = []

    async def line(self) -> str:
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)

    async def hidden(self, label: str) -> str:
        self.labels.append(label)
        return self._hidden.pop(0)


def standard(name: str, url: str = NOWHERE, **settings: Any) -> StandardProfile:
    return StandardProfile(name, "openai", f"model-of-{name}", settings={"base-url": url, **settings})


def pair(name: str = "pair", policy: str = "failover", **settings: Any) -> LoadBalancerProfile:
    settings = {"failover_retry_delay_ms": 1, **settings}
    return LoadBalancerProfile(name, policy, ("first", "second"), settings=settings)


def home(path: Path, first: str = NOWHERE, second: str = NOWHERE, **settings: Any) -> ProfileStore:
    """A configuration folder with `first`, `second` and the load balancer `pair` over them."""
    store = ProfileStore(path)
    for profile in (standard("first", first), standard("second", second), pair(**settings)):
        store.save(profile)
    return store


def context(
    store: ProfileStore,
    reader: Typed | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    terminal: bool = False,
    **options: Any,
) -> Context:
    session = Session(store, environ or {}, options=options)
    return Context(session, Screen(terminal=terminal, plain=True), reader or Typed())


async def do(context: Context, line: str) -> None:
    """Run one slash command."""
    name, _, rest = line.partition(" ")
    await find(name).run(context, rest.strip())


_NONE = Percentiles(None, None, None)
CLOSED = CircuitStats("closed", 0, None, None, None)

UNTRIED = BackendStats(
    name="untried", requests=0, successes=0, failures=0, timeouts=0, refused=0, cancelled=0, in_flight=0,
    input_tokens=0, output_tokens=0, estimated=0, malformed_events=0, total_latency_ms=0.0,
    avg_latency_ms=None, latency_ms=_NONE, first_content_ms=_NONE, tpm=0.0, serving_rate=None, by_kind={},
    refused_by_kind={}, skips={}, bench_remaining_ms=0.0, problem=None, success_rate=None,
    circuit_breaker=CLOSED,
)  # fmt: skip


def backend_stats(name: str, **changes: Any) -> BackendStats:
    return replace(UNTRIED, name=name, **changes)


def stats_of(*backends: BackendStats, **changes: Any) -> Stats:
    whole = Stats(
        profile="testlb489", policy="failover", total_requests=0, answered=0, failed=0, cancelled=0,
        in_flight=0, failed_over=0, backends=backends,
    )  # fmt: skip
    return replace(whole, **changes)
