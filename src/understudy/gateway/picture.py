"""What a gateway looks like at one instant, in JSON: the picture that screens draw.

1. A large gateway is drawn profile by profile, and whoever waits meanwhile comes first.
2. The shape is the same for every reader; what is a client's own (its requests) is in no picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from understudy.gateway.profiles import Profiles, Served


async def draw(profiles: Profiles, wall: float, *, worker: str | None, draining: bool) -> bytes:
    """The picture, encoded. `wall` is now, in seconds since the epoch."""
    drawn: dict[str, msgspec.Raw] = {}
    for name, served in list(profiles.by_name.items()):
        drawn[name] = msgspec.Raw(msgspec.json.encode(_profile(served, is_default=name == profiles.default)))
        await asyncio.sleep(0)
    whole = {"at": instant(wall), "worker": worker, "draining": draining, "profiles": drawn}
    return msgspec.json.encode(whole)


def _profile(served: Served, *, is_default: bool) -> Mapping[str, Any]:
    stats = served.balancer.stats()
    strips = served.balancer.strips()
    models = {slot.name: None if slot.profile is None else slot.profile.model for slot in _slots(served)}
    return {
        "policy": stats.policy,
        "default": is_default,
        "in_flight": served.door.inside,
        "waiting": served.door.waiting + stats.waiting,
        "stats": stats.to_dict(),
        "members": {name: {"model": models[name], "strip": strip} for name, strip in strips.items()},
    }


def _slots(served: Served) -> Any:
    return served.balancer.profile.members


def instant(wall: float) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
