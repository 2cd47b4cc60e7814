"""The gateway under test, as a user starts it: client keys, breakers, metrics and trail are on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benches.environments import ROOT
from benches.gateway.proxies.base import MEMBERS, Command, Place
from benches.gateway.requests import KEY
from benches.worker import MODEL


def _write(file: Path, profile: Mapping[str, object]) -> Path:
    file.write_text(json.dumps(profile))
    return file


def models(profiles: int) -> list[str]:
    """What a client calls the profiles. The first is everybody's."""
    return [MODEL, *(f"{MODEL}{number:03}" for number in range(1, profiles))]


def write_profiles(place: Place, members: int, profiles: int, policy: str) -> list[Path]:
    """Load-balancer profiles that share their members, with everything else as it comes."""
    settings = {"base-url": f"{place.upstream}/v1"}
    if place.upstream.startswith("https"):
        settings["ca-file"] = str(place.ca_file)
    names = [f"member{number:03}" for number in range(members)]
    for name in names:
        _write(
            place.folder / f"{name}.json",
            {"provider": "openai", "model": MODEL, "ephemeralSettings": settings},
        )
    balancer = {"type": "loadbalancer", "policy": policy, "profiles": names}
    return [_write(place.folder / f"{model}.json", balancer) for model in models(profiles)]


def gateway(
    transport: str,
    *options: str,
    members: int = MEMBERS,
    profiles: int = 1,
    policy: str = "failover",
) -> Callable[[Place], Command]:
    def prepare(place: Place) -> Command:
        files = write_profiles(place, members, profiles, policy)
        loads = [word for file in files for word in ("--profile-load", str(file))]
        listen = ["--host", "127.0.0.1", "--port", str(place.port), "--transport", transport]
        environ = {
            "PYTHONPATH": str(ROOT / "src"),
            "UNDERSTUDY_HOME": str(place.folder),
            "UNDERSTUDY_KEYS": f"bench={KEY}",
        }
        return Command([sys.executable, "-m", "understudy", "serve", *loads, *listen, *options], environ)

    return prepare
