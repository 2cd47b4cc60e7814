"""Profiles for simulations, made in code."""

from __future__ import annotations

from typing import Any

from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.simulate.cast import Cast, make_cast

PRICE = {"input": 1, "output": 4}


def member(name: str, provider: str = "openai", model: str = "m", **settings: Any) -> StandardProfile:
    return StandardProfile(name, provider, model, settings={"base-url": "http://anywhere/v1", **settings})


def pair(policy: str = "failover", **settings: Any) -> Cast:
    """Two backends with a price."""
    members = [member(name, price=PRICE) for name in ("first", "second")]
    return make_cast(LoadBalancerProfile("pair", policy, ("first", "second"), settings=settings), members)
