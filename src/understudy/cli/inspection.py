"""What `understudy check` finds out about a profile without asking anybody.

1. Every mistake is found, not only the first: those of the profile, and those of each member, also when
   the profile itself is wrong as long as its list of members can be read.
2. A key is looked for and never shown; only where it comes from is said.
3. Members that seem to be one model, and can't go on with each other's broken streams because nobody has said
   so, are told of: the names go by the table of models, which may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from understudy.config.checks import KEY_SETTINGS
from understudy.config.document import read_document
from understudy.config.files import read_text
from understudy.config.models import plain
from understudy.config.pool import MemberSlot, make_pool
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile
from understudy.config.profile_file import to_document
from understudy.config.secret import KeyFile, KeyReference, KeyringEntry, KeyVariable
from understudy.config.store import ProfileStore, is_path
from understudy.core.settings import FACTS, Layers, Source, lookup
from understudy.errors import ConfigurationError, ProfileError

_TOLD_ELSEWHERE = (*KEY_SETTINGS, "base-url")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, and the way out if there is one to tell."""

    message: str
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One place in the chain. `slot` is None where the member can't be used; `problems` say why."""

    name: str
    profile: StandardProfile | None = None
    slot: MemberSlot | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def is_repeated(self) -> bool:
        """Has the same member an earlier place?"""
        return "#" in self.name

    @property
    def key(self) -> str:
        """Where its key comes from, in words."""
        return (
            "none is sent" if self.profile is None or self.profile.key is None else _words(self.profile.key)
        )

    @property
    def facts(self) -> tuple[EffectiveSetting, ...]:
        """What is known of its model, each with where it comes from."""
        if self.profile is None:
            return ()
        layers = Layers(member=self.profile.settings, model=self.profile.facts)
        found = ((key, *layers.effective(key)) for key in FACTS)
        return tuple(EffectiveSetting(*fact) for fact in found if fact[1] is not None)

    def to_dict(self) -> dict[str, Any]:
        known = self.profile
        return {
            "name": self.name,
            "provider": known and known.provider,
            "model": known and known.model,
            "base_url": known and known.base_url,
            "key": known and self.key,
            "facts": [fact.to_dict() for fact in self.facts],
            "problems": [problem.to_dict() for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A setting that differs from its default, and where its value comes from."""

    key: str
    value: Any
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {"key": self.key, "value": self.value, "source": self.source}


@dataclass(frozen=True, slots=True)
class Inspection:
    """A profile as it stands. `profile` is None where it can't be read."""

    name: str
    profile: Profile | None
    members: tuple[MemberReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        return (*self.problems, *(problem for member in self.members for problem in member.problems))

    @property
    def settings(self) -> tuple[EffectiveSetting, ...]:
        """Those of the load balancer, then each member's own; addresses and keys are told elsewhere."""
        found: list[EffectiveSetting] = []
        if isinstance(self.profile, LoadBalancerProfile):
            found.extend(_differing(self.profile, Source.PROFILE))
        for member in self.members:
            if member.profile is not None and not member.is_repeated:
                found.extend(_differing(member.profile, f"{Source.MEMBER} {member.name}"))
        return tuple(found)


def inspect(name_or_path: str, store: ProfileStore, environ: Mapping[str, str]) -> Inspection:
    """Look at the profile and at all of its members."""
    try:
        profile = store.load(name_or_path)
    except ProfileError as error:
        names = _listed_members(name_or_path, store)
        members = tuple(_member(name, store, None, environ) for name in names)
        return Inspection(name_or_path, None, _numbered(members), _problems(error))
    if isinstance(profile, StandardProfile):
        members = (_standard(profile, environ),)
        return Inspection(profile.name, profile, members, warnings=profile.warnings)
    return _load_balancer(profile, store, environ)


def _load_balancer(
    profile: LoadBalancerProfile, store: ProfileStore, environ: Mapping[str, str]
) -> Inspection:
    members = tuple(_member(name, store, profile.path, environ) for name in profile.members)
    concerns = [warning for member in members if member.profile for warning in member.profile.warnings]
    warnings = tuple(dict.fromkeys([*profile.warnings, *concerns, *_strangers(profile, members)]))
    return Inspection(profile.name, profile, _numbered(members), warnings=warnings)


def _strangers(profile: LoadBalancerProfile, members: Sequence[MemberReport]) -> Iterator[str]:
    """Rule 3."""
    if Layers(profile=profile.settings).value("stream_recovery") != "same_model":
        return
    alike: dict[str, list[StandardProfile]] = {}
    for member in members:
        if member.profile is not None:
            alike.setdefault(plain(member.profile.model), []).append(member.profile)
    for profiles in alike.values():
        if any(_are_strangers(*pair) for pair in combinations(profiles, 2)):
            names = ", ".join(dict.fromkeys(one.name for one in profiles))
            yield (
                f"{names} seem to be one model: with the same model-identity each could go on with streams "
                "that another one broke off"
            )


def _are_strangers(one: StandardProfile, other: StandardProfile) -> bool:
    """Do they have two names, and not both of them a word about what they are?"""
    said = [profile.settings.get("model-identity") for profile in (one, other)]
    return one.model != other.model and None in said


def _member(name: str, store: ProfileStore, beside: Path | None, environ: Mapping[str, str]) -> MemberReport:
    """There are three cases: not to be loaded, of the wrong kind, a backend."""
    try:
        profile = store.load(name, beside=beside)
    except ProfileError as error:
        return MemberReport(name, problems=_problems(error))
    if isinstance(profile, LoadBalancerProfile):
        problem = Problem(f"{name} is itself a load balancer", "list its members instead")
        return MemberReport(name, problems=(problem,))
    return _standard(profile, environ)


def _standard(profile: StandardProfile, environ: Mapping[str, str]) -> MemberReport:
    try:
        slot = make_pool(profile, (), environ).members[0]
    except ConfigurationError as error:
        return MemberReport(profile.name, profile, None, _problems(error))
    return MemberReport(profile.name, profile, slot)


def _differing(profile: Profile, source: str) -> list[EffectiveSetting]:
    found = []
    for key, value in to_document(profile)["ephemeralSettings"].items():
        setting = lookup(key)
        if key not in _TOLD_ELSEWHERE and value != setting.default:
            found.append(EffectiveSetting(key, value, source))
    return found


def _numbered(members: tuple[MemberReport, ...]) -> tuple[MemberReport, ...]:
    """A member listed twice has two places, and its problems only once."""
    seen: dict[str, int] = {}
    numbered = []
    for member in members:
        count = seen[member.name] = seen.get(member.name, 0) + 1
        again = replace(member, name=f"{member.name}#{count}", problems=())
        numbered.append(member if count == 1 else again)
    return tuple(numbered)


def _listed_members(name_or_path: str, store: ProfileStore) -> list[str]:
    """The members that a broken profile lists, as far as it can be read."""
    path = Path(name_or_path).expanduser() if is_path(name_or_path) else store.folder / f"{name_or_path}.json"
    try:
        members = read_document(read_text(path), str(path)).get("profiles")
    except ProfileError:
        return []
    return [name for name in members if isinstance(name, str)] if isinstance(members, list) else []


def _problems(error: ConfigurationError) -> tuple[Problem, ...]:
    several = error.problems if isinstance(error, ProfileError) else ()
    return tuple(Problem(one.message, one.hint) for one in several or (error,))


def _words(key: KeyReference) -> str:
    """There are four cases; the last is the key itself."""
    match key:
        case KeyVariable(name):
            return f"environment variable {name}"
        case KeyFile(path):
            return f"key file {path}"
        case KeyringEntry(name):
            return f"keyring entry {name}"
    return "in the profile itself"
