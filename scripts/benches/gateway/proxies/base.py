"""What a proxy is told about its surroundings, and the command that starts it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benches.worker import MODEL

MEMBERS = 3


class Place(NamedTuple):
    """Where a proxy is to live."""

    port: int  # it listens on
    upstream: str  # the mock's, as in http://127.0.0.1:18100
    ca_file: Path  # to trust, where the upstream speaks TLS
    folder: Path  # its own, for its configuration


class Command(NamedTuple):
    """What to start, and what a request to it has to say besides."""

    arguments: list[str]
    environment: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Loads(NamedTuple):
    """How much a proxy is given at once: enough, and no more than it can carry where that is the point."""

    connections: int = 32  # unary, as fast as it goes
    rate: int = 100  # unary requests a second, low load
    paced: int = 100  # streams of 100 events a second
    flood: int = 32  # streams as fast as they go
    volley: int = 64  # streams of 200 events a second, begun together
    crowd: int = 1000  # streams of 5 events a second; 0: too many for it
    held: int = 1000  # streams open, for their memory
    served: int = 50_000  # requests, for the memory that stays


class Proxy(NamedTuple):
    """`prepare` installs it where needed, and raises `NotInstallable`. Without one it is the mock itself."""

    title: str
    prepare: Callable[[Place], Command] | None
    tls: bool = False
    loads: Loads = Loads()
    models: tuple[str, ...] = (MODEL,)  # that requests name in turn
