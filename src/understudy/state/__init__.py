"""Stores of shared state: in memory for one process, in Redis or Valkey for many.

`open_store` finds the one that a URL names.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from understudy.errors import ConfigurationError
from understudy.runtime.ports import StateStore

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")


def open_store(url: str) -> StateStore:
    """The store at this URL; nothing is connected yet. Raises `ConfigurationError`, without the password."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in SCHEMES:
        raise ConfigurationError(
            f"the state URL has to begin with one of {', '.join(f'{known}://' for known in SCHEMES)}",
            hint="for example redis://localhost:6379/0",
        )
    try:
        from understudy.state.redis import RedisStore
    except ImportError as error:
        raise ConfigurationError(
            f"shared state needs {error.name}, which is not installed", hint="pip install 'understudy[redis]'"
        ) from None
    return RedisStore(url)
