"""Programs that come with the system: found, or installed where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from benches.environments import NotInstallable

_SYSTEM = "/usr/sbin:/usr/local/sbin"
# With a run level of 1, a service that is installed is not started.
_QUIETLY = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM)


def tool(name: str) -> str:
    """Its path; raises `NotInstallable` with what to do."""
    if find(name) is None and os.geteuid() == 0 and find("apt-get"):
        print(f"Installing {name} (once) …", file=sys.stderr)
        for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "--yes", name]):
            subprocess.run(
                command, env={**os.environ, **_QUIETLY}, stdout=sys.stderr, stdin=subprocess.DEVNULL
            )
    found = find(name)
    if found is None:
        raise NotInstallable(f"{name} is not installed; on Debian and Ubuntu: sudo apt-get install {name}")
    return found
