"""The list of profiles: one line each, broken ones included with what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from understudy.config.profile import LoadBalancerProfile, Profile
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Row:
    """One profile. `kind` is ``standard``, ``loadbalancer`` or ``broken``; `summary` says what it is."""

    name: str
    kind: str
    summary: str
    is_example: bool
    is_default: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.kind,
            "summary": self.summary,
            "example": self.is_example,
            "default": self.is_default,
        }

    @property
    def remarks(self) -> str:
        words = ["default"] * self.is_default + ["example"] * self.is_example
        return f" ({', '.join(words)})" if words else ""


def rows(store: ProfileStore) -> list[Row]:
    """Every profile, by name."""
    own, default = store.own_names(), store.default
    return [_row(store, name, name not in own, name == default) for name in store.names()]


def as_text(rows: Sequence[Row]) -> str:
    """A line each, in columns."""
    width = max((len(row.name) for row in rows), default=0)
    return "".join(f"{row.name:<{width}}  {row.kind:<12}  {row.summary}{row.remarks}\n" for row in rows)


def _row(store: ProfileStore, name: str, is_example: bool, is_default: bool) -> Row:
    try:
        profile = store.load(name)
    except ConfigurationError as error:
        return Row(name, "broken", error.message, is_example, is_default)
    return Row(name, *_described(profile), is_example, is_default)


def _described(profile: Profile) -> tuple[str, str]:
    if isinstance(profile, LoadBalancerProfile):
        return "loadbalancer", f"{profile.policy}: {', '.join(profile.members)}"
    return "standard", f"{profile.provider}: {profile.model}"
