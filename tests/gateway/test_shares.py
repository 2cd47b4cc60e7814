"""Facts about a worker's part of the ceilings that a profile sets."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import LoadBalancerProfile, StandardProfile
from understudy.config.pool import PoolProfile, make_pool
from understudy.errors import ConfigurationError
from understudy.gateway import shares
from understudy.gateway.worker import ALONE, Worker


def profile(pool: dict[str, Any], member: dict[str, Any]) -> PoolProfile:
    a = StandardProfile("a", "vllm", "m", settings=member)
    b = StandardProfile("b", "vllm", "m", settings={"auth-key": "sk-0123456789", "stall_timeout_ms": 5})
    return make_pool(
        LoadBalancerProfile("evening", "failover", ("a", "b", "gone"), settings=pool), [a, b], {}
    )


@pytest.mark.parametrize("key", shares.CEILINGS)
def test_the_parts_of_every_ceiling_are_the_whole_wherever_it_is_set(key: str) -> None:
    whole = profile({key: 11}, {key: 7})
    parts = [shares.pool(whole, Worker(number, 3)) for number in (1, 2, 3)]
    assert sum(part.settings[key] for part in parts) == 11
    members = [part.members[0].profile for part in parts]
    assert sum(member.settings[key] for member in members if member is not None) == 7


def test_nothing_else_is_touched() -> None:
    whole = profile({"rpm_limit": 4, "timeout_ms": 4, "queue_limit": 4}, {"stall_timeout_ms": 4})
    part = shares.pool(whole, Worker(1, 2))
    assert part.settings == {"rpm_limit": 2, "timeout_ms": 4, "queue_limit": 4}
    assert part.members == whole.members
    assert part.members[2].problem is not None


def test_a_ceiling_that_is_switched_off_stays_off() -> None:
    assert shares.settings({"rpm_limit": None}, Worker(1, 2), "--set") == {"rpm_limit": None}


def test_whoever_is_alone_has_the_profile_as_it_is() -> None:
    whole = profile({"rpm_limit": 1}, {"tpm_limit": 1})
    assert shares.pool(whole, ALONE) is whole
    assert shares.settings({"rpm_limit": 1}, ALONE, "--set") == {"rpm_limit": 1}


def test_with_shared_state_only_what_is_not_counted_there_is_had_in_parts() -> None:
    whole = profile(dict.fromkeys(shares.CEILINGS, 8), {})
    part = shares.pool(whole, Worker(1, 4, is_shared=True))
    assert part.settings == {"tpm_limit": 8, "rpm_limit": 8, "max_concurrency": 2, "failover_in_rpm": 2}


def test_a_ceiling_smaller_than_the_workers_are_many_is_refused_and_says_where_it_is() -> None:
    with pytest.raises(ConfigurationError) as caught:
        shares.pool(profile({}, {"max_concurrency": 2}), Worker(1, 3))
    assert caught.value.message == "evening: a: max_concurrency 2 can't be divided among 3 workers"
    assert caught.value.hint == "use fewer --workers"
    with pytest.raises(ConfigurationError) as caught:
        shares.pool(profile({}, {"rpm_limit": 2}), Worker(1, 3))
    assert "--state redis://" in str(caught.value.hint)
    assert shares.pool(profile({}, {"max_concurrency": 3}), Worker(1, 3))
