"""The versions that are measured: `versions.toml`, and what each says of itself."""

from __future__ import annotations

import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from benches.gateway.tools import find


def _all() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("versions.toml").read_text())


def python_packages(proxy: str) -> list[str]:
    packages: list[str] = _all()["python"][proxy]
    return packages


def node_packages(proxy: str) -> dict[str, object]:
    """A whole package.json."""
    packages = dict(_all()["node"][proxy])
    overrides = packages.pop("overrides", {})
    return {"private": True, "dependencies": packages, "overrides": overrides}


def _own() -> str:
    names = ("uvicorn", "httptools", "uvloop", "aiohttp", "pyreqwest")
    return ", ".join(f"{name} {version}" for name in names if (version := _installed(name)))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _program(*command: str) -> str:
    """The first line that it says about itself."""
    found = find(command[0])
    if found is None:
        return f"no {command[0]}"
    done = subprocess.run([found, *command[1:]], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout + done.stderr).partition("\n")[0].strip()


def said() -> str:
    """One line: what was measured, and with what."""
    pinned = [package for proxy in ("floor", "litellm") for package in python_packages(proxy)]
    node = [
        f"{name}=={version}" for name, version in _all()["node"]["portkey"].items() if name != "overrides"
    ]
    programs = [_program("nginx", "-v"), f"node {_program('node', '--version')}", _program("wrk", "-v")]
    return f"Understudy with {_own()}; peers: {', '.join([*pinned, *node])}; {'; '.join(programs)}"
