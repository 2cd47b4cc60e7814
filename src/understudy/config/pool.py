"""A profile with its members found and their keys resolved: what a balancer starts from.

1. A member that can't be used (its file missing or broken, its authorities not there, its key not to be had)
   is kept in its place with the reason, and warned about once.
2. Only a pool with no usable member at all is an error; it names each member and its reason.
3. A member that is itself a load balancer is an error, whatever the others are.
4. The same member listed twice has two places: ``synthetic`` and ``synthetic#2``.
5. A standard profile alone is a pool of one, under policy failover.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from understudy.config.problem import place
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile, source_of
from understudy.config.secret import Secret, resolve, shown
from understudy.config.store import ProfileStore
from understudy.core.settings import Layers, nearest
from understudy.errors import ConfigurationError, ProfileError, SkipReason

Problem = tuple[SkipReason, str]


@dataclass(frozen=True, slots=True)
class MemberSlot:
    """One place in a pool. `problem` says why the member can't be used, None if it can.

    `key` is None for a backend that gets none. `hint` is the way out of the problem.
    """

    name: str
    profile: StandardProfile | None
    key: Secret | None = None
    problem: Problem | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class PoolProfile:
    """What a profile comes to. `settings` and `model_params` are the load balancer's own."""

    name: str
    policy: str
    members: tuple[MemberSlot, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_params: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def layers(
        self,
        member: MemberSlot | None = None,
        option: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
    ) -> Layers:
        """The settings in force for one member, or without one for the pool."""
        profile = member.profile if member else None
        return Layers(
            profile=self.settings,
            member=profile.settings if profile else {},
            option=option or {},
            session=session or {},
            model=profile.facts if profile else {},
        )

    def params(self, member: MemberSlot) -> dict[str, Any]:
        """What fills the gaps of a request to this member: its own parameters before the pool's."""
        return {**self.model_params, **(member.profile.model_params if member.profile else {})}


def load_pool(name_or_path: str, store: ProfileStore, environ: Mapping[str, str]) -> PoolProfile:
    """The pool of a saved profile; raises `ConfigurationError`."""
    profile = store.load(name_or_path)

    def find(name: str) -> Profile:
        return store.load(name, beside=profile.path)

    return _pool(profile, find, environ)


def make_pool(
    profile: Profile, members: Iterable[StandardProfile], environ: Mapping[str, str]
) -> PoolProfile:
    """The pool of profiles made in code; raises `ConfigurationError`."""
    known = {member.name: member for member in members}

    def find(name: str) -> Profile:
        if name in known:
            return known[name]
        likely = nearest(name, known)
        raise ProfileError(
            f"no profile named {shown(name)} was given", hint=f"did you mean {likely}?" if likely else None
        )

    return _pool(profile, find, environ)


def _pool(profile: Profile, find: Callable[[str], Profile], environ: Mapping[str, str]) -> PoolProfile:
    if isinstance(profile, StandardProfile):
        alone = (_slot(profile.name, profile, environ),)
        _check_usable(profile.name, alone)
        return PoolProfile(profile.name, "failover", alone, warnings=_warnings(profile, alone))
    members = tuple(_slots(profile, find, environ))
    _check_usable(profile.name, members)
    return PoolProfile(
        profile.name,
        profile.policy,
        members,
        profile.settings,
        profile.model_params,
        _warnings(profile, members),
    )


def _slots(
    profile: LoadBalancerProfile, find: Callable[[str], Profile], environ: Mapping[str, str]
) -> Iterator[MemberSlot]:
    seen: Counter[str] = Counter()
    for index, name in enumerate(profile.members):
        seen[name] += 1
        position = name if seen[name] == 1 else f"{name}#{seen[name]}"
        try:
            member = find(name)
        except ConfigurationError as error:
            yield MemberSlot(position, None, problem=(SkipReason.MISSING, error.message), hint=error.hint)
            continue
        if isinstance(member, LoadBalancerProfile):
            raise ProfileError(
                f"{source_of(profile.name, profile.path)}: {place('profiles', index)}: "
                f"{shown(name)} is itself a load balancer",
                hint="list its members instead",
            )
        yield _slot(position, member, environ)


def _slot(position: str, profile: StandardProfile, environ: Mapping[str, str]) -> MemberSlot:
    """There are three cases: no such authorities, no key to be had, and usable."""
    if profile.ca_file is not None and not profile.ca_file.is_file():
        message = f"ca-file {profile.ca_file} is not there"
        return MemberSlot(position, profile, problem=(SkipReason.MISSING, message))
    try:
        key = None if profile.key is None else resolve(profile.key, environ)
    except ConfigurationError as error:
        return MemberSlot(position, profile, problem=(SkipReason.NO_KEY, error.message), hint=error.hint)
    return MemberSlot(position, profile, key)


def _check_usable(name: str, members: Sequence[MemberSlot]) -> None:
    problems = [(member.name, member.problem[1], member.hint) for member in members if member.problem]
    if len(problems) < len(members):
        return
    reasons = "; ".join(f"{position}: {message}" for position, message, _ in problems)
    hint = next((hint for _, _, hint in problems if hint), None)
    prefix = f"no member of {name} can be used: " if len(members) > 1 else ""
    raise ConfigurationError(f"{prefix}{reasons}", hint=hint)


def _warnings(profile: Profile, members: Iterable[MemberSlot]) -> tuple[str, ...]:
    """Each once, though a member may be listed twice."""
    found = list(profile.warnings)
    for member in members:
        if member.profile:
            found.extend(member.profile.warnings)
        if member.problem:
            reason, message = member.problem
            way_out = f" ({member.hint})" if member.hint else ""
            found.append(f"{member.name.partition('#')[0]} is skipped ({reason}): {message}{way_out}")
    return tuple(dict.fromkeys(found))
