"""What is served, by model name.

1. A model is a profile's name; else an alias, exact or a pattern such as ``claude-*``, the first that
   matches; else the default profile's, if there is one. Names are looked up here and never become paths.
2. All profiles share one transport: their members at one host share connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from understudy.core.settings import nearest
from understudy.gateway.admission import Door
from understudy.gateway.http import HttpError
from understudy.library.balancer import Balancer

LONGEST_NAME = 100


class Served:
    """One profile that is served. `header` names it in answers."""

    __slots__ = ("balancer", "door", "header", "name")

    def __init__(self, name: str, balancer: Balancer, door: Door) -> None:
        self.name = name
        self.balancer = balancer
        self.door = door
        self.header = (b"x-understudy-profile", name.encode())

    def __repr__(self) -> str:
        return f"<Served {self.name}, {self.door!r}>"

    def heed_settings(self) -> None:
        """The settings have changed: how long one may wait at the door follows from them."""
        self.door.patience = patience(self.balancer)

    @property
    def busy(self) -> bool:
        """Is a request inside, or waiting to get in?"""
        return bool(self.door.inside or self.door.waiting)


class Profiles:
    """The profiles by name. `leaving` are served no longer but busy; `left_out` never were, and why."""

    def __init__(
        self,
        served: Mapping[str, Served],
        *,
        default: str | None = None,
        aliases: Mapping[str, str] | None = None,
        leaving: Sequence[Served] = (),
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.by_name = dict(served)
        self.default = default
        self.aliases = dict(aliases or {})
        self.leaving = tuple(leaving)
        self.left_out = dict(left_out or {})

    async def close(self) -> None:
        """End what is in flight, all at once: none waits for another's client to take its last words."""
        every = (*self.leaving, *self.by_name.values())
        await asyncio.gather(*(served.balancer.aclose() for served in every))

    def find(self, model: str) -> Served:
        """Rule 1; raises `HttpError` 404 with the nearest name."""
        served = self.by_name.get(model)
        if served is None:
            served = self.by_name.get(self._meant(model) or "")
        if served is None:
            raise HttpError(404, "model_not_found", self._unknown(model), param="model")
        return served

    def find_named(self, name: str) -> Served:
        """The profile of this name or exact alias; raises `HttpError` 404 with the nearest name."""
        served = self.by_name.get(name) or self.by_name.get(self.aliases.get(name, ""))
        if served is None:
            raise HttpError(404, "model_not_found", self._unknown(name))
        return served

    def names(self) -> list[str]:
        """All that may be asked for by name: profiles, then aliases that are no patterns."""
        return [*self.by_name, *(alias for alias in self.aliases if not _is_pattern(alias))]

    def _meant(self, model: str) -> str | None:
        if model in self.aliases:
            return self.aliases[model]
        patterns = (alias for alias in self.aliases if _is_pattern(alias))
        alias = next((alias for alias in patterns if fnmatchcase(model, alias)), None)
        return self.default if alias is None else self.aliases[alias]

    def _unknown(self, model: str) -> str:
        # Of a name without end the beginning is looked at: comparing takes time.
        shown = model if len(model) <= LONGEST_NAME else model[:LONGEST_NAME] + "…"
        likely = nearest(shown, self.names())
        listed = f"did you mean {likely}?" if likely else f"there are {', '.join(self.names()[:20])}"
        return f"no profile or alias is named {shown!r}; {listed}"


def patience(balancer: Balancer) -> float:
    """For how many seconds a request may wait for its turn."""
    milliseconds: int = balancer.setting("wait_for_capacity_ms")[0]
    return milliseconds / 1000


def _is_pattern(alias: str) -> bool:
    return any(letter in alias for letter in "*?[")
