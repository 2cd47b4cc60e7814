"""Portkey's gateway on Node, with a fallback over three targets. It has no client keys of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from benches.environments import HOME, ROOT, NotInstallable
from benches.gateway.proxies.base import MEMBERS, Command, Place
from benches.gateway.tools import tool
from benches.gateway.versions import node_packages

FOLDER = HOME / "gateway-portkey"
PROGRAM = FOLDER / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def install() -> None:
    """Once for these versions; npm's reason is given when it can't."""
    wanted = json.dumps(node_packages("portkey"))
    manifest = FOLDER / "package.json"
    if PROGRAM.exists() and manifest.read_text() == wanted:
        return
    print(f"Setting up {FOLDER.relative_to(ROOT)} (once) …", file=sys.stderr)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    manifest.write_text(wanted)
    command = [tool("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or not PROGRAM.exists():
        raise NotInstallable((done.stderr.strip() or "npm gave no reason").splitlines()[-1])


def headers(upstream: str) -> dict[str, str]:
    target = {"provider": "openai", "custom_host": f"{upstream}/v1", "api_key": "none"}
    config = {"strategy": {"mode": "fallback"}, "targets": [target] * MEMBERS}
    return {"x-portkey-config": json.dumps(config)}


def prepare(place: Place) -> Command:
    install()
    arguments = [tool("node"), str(PROGRAM), f"--port={place.port}", "--headless"]
    return Command(arguments, {"NODE_ENV": "production"}, headers(place.upstream))
