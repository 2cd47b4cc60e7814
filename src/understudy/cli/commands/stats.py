"""``/stats lb``: the load balancer's statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable

from understudy.cli.commands.command import Command, Context, Usage, flag, misused
from understudy.cli.session import Session
from understudy.errors import ConfigurationError

NO_LOAD_BALANCER = "No load balancer profile active. Use /profile load to activate a load balancer profile."
_WORDS = ("lb", "loadbalancer")


async def _run(context: Context, rest: str) -> None:
    words = rest.split()
    as_json = flag(words, "--json")
    if len(words) > 1 or not set(words) <= set(_WORDS):
        raise misused("/stats lb [--json]")
    stats = context.session.stats()
    if stats is not None and as_json:
        context.screen.say(json.dumps(stats.to_dict(), ensure_ascii=False))
    elif stats is not None:
        context.screen.stats(stats)
    elif as_json:
        # A sentence is no JSON, so a program has to be told otherwise.
        raise ConfigurationError(NO_LOAD_BALANCER)
    else:
        context.screen.say(NO_LOAD_BALANCER)


def _complete(session: Session, words: list[str]) -> Iterable[str]:
    return ("--json",) if words else _WORDS


STATS = Command(
    "/stats",
    (Usage("lb [--json]", "the load balancer's statistics; also /stats loadbalancer"),),
    _run,
    _complete,
)
