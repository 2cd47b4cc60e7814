"""What a gateway looks like at one instant, in JSON: the picture that screens draw.

1. A large gateway is drawn profile by profile, and whoever waits meanwhile comes first.
2. Of several workers it shows all: statistics as in ``/stats``, the rest added up (`glance`).
3. The shape is the same for every reader; what is a client's own (its requests) is in no picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.core.history import Bucket
from understudy.gateway import merging
from understudy.gateway.glance import Glance, Part, bucket_number, laid_together

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway
    from understudy.gateway.profiles import Served
    from understudy.gateway.siblings import Account


async def draw(gateway: Gateway, glances: Sequence[Glance], accounts: Sequence[Account]) -> bytes:
    """The picture, encoded. `glances` are of the other workers, `accounts` of all; none of one alone."""
    drawn: dict[str, msgspec.Raw] = {}
    profiles = gateway.profiles
    for name, served in list(profiles.by_name.items()):
        parts = [(bucket_number(gateway.clock.now()), Part.of(served))]
        parts += [(glance.bucket, glance.parts[name]) for glance in glances if name in glance.parts]
        told = [one.stats[name] for one in accounts if name in one.stats]
        # One that began to be served while the others were asked.
        stats = merging.merged(told) if told else served.balancer.stats().to_dict()
        profile = _profile(served, parts, stats, is_default=name == profiles.default)
        drawn[name] = msgspec.Raw(msgspec.json.encode(profile))
        await asyncio.sleep(0)
    at = instant(gateway.clock.wall())
    whole = {"at": at, "worker": gateway.worker.name, "draining": gateway.draining, "profiles": drawn}
    return msgspec.json.encode(whole)


def _profile(
    served: Served, parts: Sequence[tuple[int, Part]], stats: Mapping[str, Any], *, is_default: bool
) -> Mapping[str, Any]:
    return {
        "policy": stats["policy"],
        "default": is_default,
        "in_flight": sum(part.in_flight for _, part in parts),
        "waiting": stats["waiting"] + sum(part.waiting for _, part in parts),
        "stats": stats,
        "members": {
            slot.name: {"model": slot.profile and slot.profile.model, "strip": _strip(slot.name, parts)}
            for slot in _slots(served)
        },
    }


def _strip(member: str, parts: Sequence[tuple[int, Part]]) -> list[Bucket | None]:
    strips = [(bucket, part.strips[member]) for bucket, part in parts if member in part.strips]
    return laid_together(strips)


def _slots(served: Served) -> Any:
    return served.balancer.profile.members


def instant(wall: float) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
