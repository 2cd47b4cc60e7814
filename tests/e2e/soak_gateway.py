"""``understudy serve``, as it is, which tells on SIGUSR1 what it holds: one JSON object on stdout each time.

Run by test_gateway_soak.py. A figure of its own is only what cannot be seen from outside; the process's
descriptors and memory are among them because it is asked at an instant of its own.
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
from understudy.gateway.app import Gateway


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
    objects = gc.get_objects()
    gateway = next(thing for thing in objects if isinstance(thing, Gateway))
    profiles = gateway.profiles
    balancers = [served.balancer for served in profiles.by_name.values()]
    return {
        "tasks": len(asyncio.all_tasks()),
        "sockets": sockets(),
        "resident": resident(),
        "objects": len(objects),
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
    signal.signal(signal.SIGUSR1, tell)
    raise SystemExit(run(["serve", *sys.argv[1:]]))
