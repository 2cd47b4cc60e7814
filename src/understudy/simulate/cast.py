"""A profile as a simulation plays it: its own policy, settings and facts, with modelled backends behind it.

1. Nobody is asked for a key, and no certificate file is looked for: nothing leaves the machine.
2. A member keeps its wire format if backends are modelled in it, else it is played in OpenAI's chat format.
   What is known of its model it keeps in any case.
3. A member that the profile lists and that is nowhere to be found stays missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from understudy.config.aliases import WireFormat
from understudy.config.checks import KEY_SETTINGS
from understudy.config.pool import PoolProfile, make_pool
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError
from understudy.simulate import anthropic_words, openai_words
from understudy.simulate.words import Words

_WORDS: dict[WireFormat, Words] = {
    WireFormat.OPENAI: openai_words,
    WireFormat.ANTHROPIC: anthropic_words,
}
_LEFT_OUT = frozenset((*KEY_SETTINGS, "ca-file", "base-url"))


@dataclass(frozen=True, slots=True)
class Part:
    """One backend to be modelled; `position` counts from 1."""

    name: str
    position: int
    url: str
    model: str
    words: Words


@dataclass(frozen=True, slots=True)
class Cast:
    """The pool to balance over, and who plays its backends."""

    pool: PoolProfile
    parts: tuple[Part, ...]


def load_cast(name_or_path: str, store: ProfileStore) -> Cast:
    """The cast of a saved profile; raises `ConfigurationError`."""
    profile = store.load(name_or_path)
    if isinstance(profile, StandardProfile):
        return make_cast(profile)
    return make_cast(profile, _members(profile, store))


def make_cast(profile: Profile, members: Iterable[StandardProfile] = ()) -> Cast:
    """The cast of profiles made in code; raises `ConfigurationError`."""
    if isinstance(profile, StandardProfile):
        played = {profile.name: _played(profile)}
        return _cast(make_pool(played[profile.name], (), {}), played)
    played = {member.name: _played(member) for member in members}
    return _cast(make_pool(profile, played.values(), {}), played)


def _members(profile: LoadBalancerProfile, store: ProfileStore) -> Iterable[StandardProfile]:
    """Those that can be found (rule 3)."""
    for name in dict.fromkeys(profile.members):
        try:
            member = store.load(name, beside=profile.path)
        except ConfigurationError:
            continue
        if isinstance(member, StandardProfile):
            yield member


def _cast(pool: PoolProfile, played: Mapping[str, StandardProfile]) -> Cast:
    names = list(dict.fromkeys(slot.profile.name for slot in pool.members if slot.profile is not None))
    return Cast(
        pool,
        tuple(
            Part(name, position, _url(name), played[name].model, _WORDS[played[name].wire_format])
            for position, name in enumerate(names, 1)
        ),
    )


def _played(profile: StandardProfile) -> StandardProfile:
    """Rules 1 and 2."""
    kept: dict[str, Any] = {key: value for key, value in profile.settings.items() if key not in _LEFT_OUT}
    provider = profile.provider if profile.wire_format in _WORDS else "openai"
    return StandardProfile(
        profile.name,
        provider,
        profile.model,
        profile.model_params,
        {**profile.facts, **kept, "base-url": _url(profile.name)},
    )


def _url(name: str) -> str:
    return f"http://simulated/{name}"
