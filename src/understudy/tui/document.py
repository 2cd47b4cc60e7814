"""What a gateway says in JSON, as the values that it was made of.

1. Fields that this version does not know are ignored; one that is missing where it must not be is a
   `GatewayError`, because figures that are not there can't be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.core.history import Bucket
from understudy.core.stats import Stats
from understudy.tui.remote import GatewayError

_OTHER = "is the gateway of another version of Understudy?"


class MemberPicture(msgspec.Struct, frozen=True):
    """`strip`: ten minutes, ten seconds each, the newest last."""

    model: str | None
    strip: list[Bucket | None]


class ProfilePicture(msgspec.Struct, frozen=True):
    """`in_flight` and `waiting` are the gateway's own door."""

    policy: str
    default: bool
    in_flight: int
    waiting: int
    stats: Stats
    members: dict[str, MemberPicture]


class Picture(msgspec.Struct, frozen=True):
    """A gateway at one instant."""

    at: str
    worker: str | None
    draining: bool
    profiles: dict[str, ProfilePicture]


class Summary(msgspec.Struct, frozen=True):
    """One request."""

    id: str
    profile: str
    status: str
    words: str
    at: str = ""
    backend: str | None = None
    duration_ms: float | None = None
    trail_words: list[str] = []


def picture_of(document: Any) -> Picture:
    """Raises `GatewayError`."""
    try:
        profiles = {name: _with_stats(profile) for name, profile in document["profiles"].items()}
        return msgspec.convert({**document, "profiles": profiles}, Picture)
    except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
        raise _differs(error) from None


def stats_of(document: Any) -> Stats:
    """What `Stats.to_dict` was made of. Raises `GatewayError`."""
    try:
        return msgspec.convert(_stats(document), Stats)
    except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
        raise _differs(error) from None


def summary_of(document: Any) -> Summary:
    """Raises `GatewayError`."""
    try:
        return msgspec.convert(document, Summary)
    except msgspec.ValidationError as error:
        raise _differs(error) from None


def _with_stats(profile: Mapping[str, Any]) -> dict[str, Any]:
    return {**profile, "stats": _stats(profile["stats"])}


def _stats(document: Mapping[str, Any]) -> dict[str, Any]:
    backends = [_backend(name, backend) for name, backend in document["backends"].items()]
    return {**document, "backends": backends}


def _backend(name: str, backend: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has objects where the values have rows, and leaves out what follows from the rest."""
    judged = backend["successes"] + backend["failures"]
    return {
        **backend,
        "name": name,
        "success_rate": backend["successes"] / judged if judged else None,
        "ceilings": [{"key": key, **ceiling} for key, ceiling in backend["ceilings"].items()],
        "bill": [backend[key] for key in ("cost_usd", "wasted_usd", "estimated_usd", "unpriced")],
        "patience_ms": [(int(size), limit) for size, limit in backend["patience_ms"].items()],
    }


def _differs(error: Exception) -> GatewayError:
    return GatewayError(f"the gateway's answer is not as expected: {error}", _OTHER)
