"""A worker's part of the ceilings that a profile sets.

Workers that don't know of each other can keep to a ceiling only if each has a part of it. A ceiling that is
smaller than the number of workers can't be had in parts. Where the state is shared, some are counted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from understudy.config.pool import MemberSlot, PoolProfile
from understudy.errors import ConfigurationError
from understudy.gateway.worker import Worker

CEILINGS = ("tpm_limit", "rpm_limit", "max_concurrency", "failover_in_rpm")
COUNTED_TOGETHER = ("tpm_limit", "rpm_limit")
FEWER = "use fewer --workers"
OR_SHARED = f"{FEWER}, or --state redis://… so that it is counted for all of them"


def settings(given: Mapping[str, Any], worker: Worker, where: str) -> dict[str, Any]:
    """The settings with this worker's part of each ceiling; raises `ConfigurationError`."""
    divided = divided_among(worker)
    return {
        key: _part(key, value, worker, where) if key in divided else value for key, value in given.items()
    }


def divided_among(worker: Worker) -> tuple[str, ...]:
    """The ceilings of which this worker has a part."""
    if worker.is_alone:
        return ()
    return tuple(key for key in CEILINGS if not (worker.is_shared and key in COUNTED_TOGETHER))


def pool(profile: PoolProfile, worker: Worker) -> PoolProfile:
    """The profile with this worker's part of each ceiling; raises `ConfigurationError`."""
    if worker.is_alone:
        return profile
    members = tuple(_slot(slot, worker, profile.name) for slot in profile.members)
    return replace(profile, members=members, settings=settings(profile.settings, worker, profile.name))


def _slot(slot: MemberSlot, worker: Worker, where: str) -> MemberSlot:
    member = slot.profile
    if member is None:
        return slot
    parts = settings(member.settings, worker, f"{where}: {slot.name}")
    return slot if parts == member.settings else replace(slot, profile=replace(member, settings=parts))


def _part(key: str, whole: Any, worker: Worker, where: str) -> Any:
    if not isinstance(whole, int):
        return whole
    if whole < worker.of:
        raise ConfigurationError(
            f"{where}: {key} {whole} can't be divided among {worker.of} workers",
            hint=OR_SHARED if key in COUNTED_TOGETHER else FEWER,
        )
    return worker.share(whole)
