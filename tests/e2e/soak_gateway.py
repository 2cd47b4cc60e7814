"""``understudy serve``, as it is, which tells on SIGUSR1 what it holds: one JSON object on stdout each time.

Run by test_gateway_soak.py, in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from typing import Any

from understudy.cli.process import run
from understudy.gateway import app


class Watched(app.Gateway):
    """The gateway, for whoever wants to look at it."""

    instance: Watched

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Watched.instance = self


def sockets() -> int:
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one that listed the folder
            continue
    return sum(link.startswith("socket:") for link in links)


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def holdings() -> dict[str, Any]:
    gc.collect()
    gateway, profiles = Watched.instance, Watched.instance.profiles
    balancers = [served.balancer for served in profiles.by_name.values()]
    return {
        "tasks": len(asyncio.all_tasks()),
        "sockets": sockets(),
        "resident": resident(),
        "objects": len(gc.get_objects()),
        "journal": len(gateway.journal),
        "running": gateway.running,
        "inside": sum(served.door.inside for served in profiles.by_name.values()),
        "waiting": sum(served.door.waiting for served in profiles.by_name.values()),
        "leaving": len(profiles.leaving),
        "engines": sum(len(balancer._engines()) for balancer in balancers),
    }


def tell(*_: object) -> None:
    print(json.dumps(holdings()), flush=True)


if __name__ == "__main__":
    app.Gateway = Watched  # type: ignore[misc]
    signal.signal(signal.SIGUSR1, tell)
    raise SystemExit(run(["serve", *sys.argv[1:]]))
