"""Bare uvicorn and aiohttp, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from benches.environments import environment
from benches.gateway.proxies.base import Command, Place
from benches.gateway.versions import python_packages

APPLICATION = Path(__file__).with_name("floor_app.py")


def interpreter() -> Path:
    return environment("gateway-floor", python_packages("floor"))


def prepare(place: Place) -> Command:
    return Command(
        [str(interpreter()), "-P", str(APPLICATION), str(place.port), place.upstream, str(place.ca_file)]
    )
