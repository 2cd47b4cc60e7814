"""Profiles from their files, once and anew.

1. With names given, these are served, and a wrong one is an error. Without any, every saved load balancer
   is; one that cannot be used is left out with a warning, and it is an error if none is left.
2. The first name given is the default; without names the saved default is, if it is served.
3. ``gateway.json`` in the configuration folder may hold ``{"aliases": {MODEL: PROFILE}}``; aliases given
   with the command come before them.
4. Loading anew takes everything or nothing: one bad file, or one member that could be used so far and no
   longer can, and all stays as it is; but not a file that was left out before for the same reason. A profile
   that goes on being served keeps its door and its health. Of its warnings only those are said that are new.
5. Files can be read once for several workers. Each serves its part of the ceilings that they set.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from understudy.config.files import read_text
from understudy.config.pool import PoolProfile, load_pool
from understudy.config.profile import LoadBalancerProfile
from understudy.config.store import ProfileStore, is_path
from understudy.errors import ConfigurationError, ProfileError
from understudy.gateway import shares
from understudy.gateway.admission import Door
from understudy.gateway.profiles import Profiles, Served, patience
from understudy.gateway.worker import ALONE, Worker
from understudy.library.balancer import Balancer, checked
from understudy.runtime.link import Link
from understudy.runtime.ports import Transport
from understudy.runtime.tracing import Tracer

_log = logging.getLogger("understudy.gateway")


class _GatewayFile(msgspec.Struct, forbid_unknown_fields=True):
    aliases: dict[str, str] = {}


class SharedTransport:
    """One transport for all profiles; closing a balancer leaves it open for the others."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.send = transport.send

    async def close(self) -> None:
        """It is the gateway's to close."""

    async def close_for_good(self) -> None:
        await self._transport.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve. `names` empty: everything saved. `settings` override the profiles'.

    `state` is where the profiles are shared with other processes, None if they are not.
    """

    store: ProfileStore
    environ: Mapping[str, str]
    transport: SharedTransport
    names: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 2048
    queue: int = 1024
    tracer: Tracer | None = None
    state: Link | None = None
    worker: Worker = ALONE


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of the files, with nothing live in it."""

    pools: Sequence[PoolProfile]
    default: str | None
    aliases: Mapping[str, str]
    left_out: Mapping[str, str]


def read(plan: Plan) -> Reading:
    """The profiles as every worker will serve them. Raises `ConfigurationError`."""
    left_out: dict[str, str] = {}
    pools = _pools(plan, left_out)
    _warn(pools, {})
    names = {pool.name: None for pool in pools}
    return Reading(pools, _default(plan, names), _aliases(plan, names), left_out)


def load(plan: Plan, reading: Reading | None = None) -> Profiles:
    """The profiles, live. Raises `ConfigurationError`."""
    reading = reading or read(plan)
    served = {pool.name: _serve(plan, pool) for pool in _parts(plan, reading.pools)}
    return Profiles(served, default=reading.default, aliases=reading.aliases, left_out=reading.left_out)


async def reload(plan: Plan, profiles: Profiles) -> Profiles:
    """Rule 4: what is to be served from now on. Raises `ConfigurationError`."""
    current = profiles.by_name
    left_out = dict(profiles.left_out)
    pools = _parts(plan, await asyncio.to_thread(_pools, plan, left_out, current))
    for pool in pools:
        if pool.name in current:
            _check_members(pool, current[pool.name].balancer.profile)
    names = {pool.name: None for pool in pools}
    aliases, default = _aliases(plan, names), _default(plan, names)
    new = {pool.name: _serve(plan, pool) for pool in pools if pool.name not in current}
    # Whatever could be wrong has been looked at: from here on nothing is raised.
    _warn(pools, current)
    for pool in pools:
        if pool.name in current:
            current[pool.name].balancer.reload(pool)
            current[pool.name].heed_settings()
    served = {name: new.get(name) or current[name] for name in names}
    leaving = [one for name, one in current.items() if name not in served]
    return Profiles(
        served,
        default=default,
        aliases=aliases,
        leaving=[one for one in (*profiles.leaving, *leaving) if one.busy],
        left_out=left_out,
    )


def fingerprint(plan: Plan) -> object:
    """Changes when a file does that `load` would read; keys are not looked at."""
    folders = {plan.store.folder, plan.store.home}
    folders.update(Path(name).expanduser().parent for name in plan.names if is_path(name))
    files = {plan.store.default_path}
    with suppress(OSError):  # a folder that can't be listed
        files.update(path for folder in folders for path in folder.glob("*.json"))
    return tuple(_fingerprints(sorted(files)))


def _fingerprints(files: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for path in files:
        with suppress(OSError):  # not there, or gone since it was listed
            status = path.stat()
            yield str(path), status.st_mtime_ns, status.st_size, status.st_ino


def _serve(plan: Plan, profile: PoolProfile) -> Served:
    worker = plan.worker
    settings = shares.settings(dict(checked(*pair) for pair in plan.settings.items()), worker, "--set")
    balancer = Balancer(
        profile,
        settings=settings,
        environ=plan.environ,
        transport=plan.transport,
        tracer=plan.tracer,
        state=plan.state,
    )
    balancer.share()
    door = Door(worker.share(plan.limit), worker.share(plan.queue), patience(balancer))
    return Served(profile.name, balancer, door)


def _parts(plan: Plan, pools: Iterable[PoolProfile]) -> list[PoolProfile]:
    """Rule 5."""
    return [shares.pool(pool, plan.worker) for pool in pools]


def _pools(plan: Plan, left_out: dict[str, str], current: Collection[str] = ()) -> list[PoolProfile]:
    """Rule 1; of `current` names, which are served already, none may fail.

    `left_out` are names and reasons, those known before and, afterwards, those of this time.
    """
    pools = [load_pool(name, plan.store, plan.environ) for name in plan.names]
    pools = pools or list(_all_saved(plan, left_out, current))
    if not pools:
        raise ConfigurationError(
            f"no load-balancer profile in {plan.store.folder} can be served",
            hint="--profile-load NAME says which and why not; `understudy profile list` shows all",
        )
    return pools


def _all_saved(plan: Plan, left_out: dict[str, str], current: Collection[str]) -> Iterator[PoolProfile]:
    known = dict(left_out)
    left_out.clear()
    own = plan.store.own_names()
    for name in plan.store.names():
        try:
            if isinstance(plan.store.load(name), LoadBalancerProfile):
                yield load_pool(name, plan.store, plan.environ)
        except ConfigurationError as error:
            is_known = known.get(name) == error.message
            if name in current or (current and isinstance(error, ProfileError) and not is_known):
                raise
            left_out[name] = error.message
            if name in own and not is_known:
                _log.warning("%s is not served: %s", name, error.message)


def _warn(pools: Iterable[PoolProfile], current: Mapping[str, Served]) -> None:
    for pool in pools:
        said = current[pool.name].balancer.profile.warnings if pool.name in current else ()
        for warning in pool.warnings:
            if warning not in said:
                _log.warning("%s: %s", pool.name, warning)


def _check_members(new: PoolProfile, old: PoolProfile) -> None:
    known = {slot.name for slot in old.members if slot.problem is not None}
    for slot in new.members:
        if slot.problem is not None and slot.name not in known:
            raise ConfigurationError(f"{new.name}: {slot.name}: {slot.problem[1]}", hint=slot.hint)


def _default(plan: Plan, served: Collection[str]) -> str | None:
    """Rule 2."""
    if plan.names:
        return next(iter(served))
    default = plan.store.default
    return default if default in served else None


def _aliases(plan: Plan, served: Collection[str]) -> dict[str, str]:
    """Rule 3."""
    saved = _saved_aliases(plan.store.home)
    aliases = {**plan.aliases, **{alias: saved[alias] for alias in saved if alias not in plan.aliases}}
    for alias, name in aliases.items():
        if name not in served:
            raise ConfigurationError(
                f"the alias {alias} stands for {name}, which is not served",
                hint=f"served are {', '.join(served)}",
            )
    return aliases


def _saved_aliases(home: Path) -> dict[str, str]:
    path = home / "gateway.json"
    if not os.path.lexists(path):
        return {}
    try:
        return msgspec.json.decode(read_text(path), type=_GatewayFile).aliases
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"{path}: {error}", hint='it holds {"aliases": {"MODEL": "PROFILE"}} and nothing else'
        ) from None
