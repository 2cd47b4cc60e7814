"""A profile as a simulation plays it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.simulate.profiles import member
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError, SkipReason
from understudy.simulate import anthropic_words, openai_words
from understudy.simulate.cast import load_cast, make_cast


def test_nobody_needs_a_key_or_a_certificate() -> None:
    profile = member("a", **{"auth-key-env": "NOT_SET", "ca-file": "/nowhere.pem"})
    (slot,) = make_cast(profile).pool.members
    assert (slot.problem, slot.key) == (None, None)
    hosted = StandardProfile("b", "groq", "llama-3.3-70b-versatile")
    assert make_cast(hosted).pool.members[0].problem is None


def test_a_member_keeps_its_format_where_it_can_be_played() -> None:
    members = [
        member("chat"),
        member("messages", "anthropic"),
        member("other", "gemini"),
        member("responses", "openai-responses"),
    ]
    names = tuple(each.name for each in members)
    cast = make_cast(LoadBalancerProfile("lb", "failover", names), members)
    assert [part.words for part in cast.parts] == [openai_words, anthropic_words, openai_words, openai_words]
    assert [part.position for part in cast.parts] == [1, 2, 3, 4]


def test_what_is_known_of_a_model_stays_known() -> None:
    hosted = StandardProfile("b", "anthropic", "claude-sonnet-4-5")
    assert hosted.facts
    played = make_cast(hosted).pool.members[0].profile
    assert played is not None
    assert {key: played.settings[key] for key in hosted.facts} == dict(hosted.facts)


def test_a_members_own_settings_stay() -> None:
    played = make_cast(member("a", timeout_ms=1234, price={"input": 1, "output": 2})).pool.members[0].profile
    assert played is not None
    assert played.settings["timeout_ms"] == 1234
    assert played.settings["price"] == {"input": 1, "output": 2}


def test_the_same_member_listed_twice_is_one_backend() -> None:
    cast = make_cast(LoadBalancerProfile("lb", "roundrobin", ("a", "a", "b")), [member("a"), member("b")])
    assert [slot.name for slot in cast.pool.members] == ["a", "a#2", "b"]
    assert [(part.name, part.position) for part in cast.parts] == [("a", 1), ("b", 2)]


def save_by_hand(home: Path, name: str, *members: str) -> None:
    """A load balancer that the store itself would refuse to save."""
    document = {"type": "loadbalancer", "policy": "failover", "profiles": members}
    (home / "profiles").mkdir(exist_ok=True)
    (home / "profiles" / f"{name}.json").write_text(json.dumps(document))


def save(home: Path, *profiles: StandardProfile | LoadBalancerProfile) -> ProfileStore:
    store = ProfileStore(home)
    for profile in profiles:
        store.save(profile)
    return store


def test_a_saved_profile_is_found_with_its_members(tmp_path: Path) -> None:
    store = save(tmp_path, member("a"), member("b"), LoadBalancerProfile("lb", "failover", ("a", "b", "a")))
    assert [slot.name for slot in load_cast("lb", store).pool.members] == ["a", "b", "a#2"]
    assert [slot.name for slot in load_cast("a", store).pool.members] == ["a"]


def test_a_member_that_is_nowhere_stays_missing(tmp_path: Path) -> None:
    store = save(tmp_path, member("a"))
    save_by_hand(tmp_path, "lb", "a", "gone")
    cast = load_cast("lb", store)
    gone = cast.pool.members[1]
    assert gone.problem is not None
    assert gone.problem[0] is SkipReason.MISSING
    assert [part.name for part in cast.parts] == ["a"]


def test_a_load_balancer_is_no_member(tmp_path: Path) -> None:
    store = save(tmp_path, member("a"), member("b"))
    save_by_hand(tmp_path, "inner", "a", "b")
    save_by_hand(tmp_path, "outer", "inner", "a")
    names = [slot.name for slot in load_cast("outer", store).pool.members if slot.problem is None]
    assert names == ["a"]


def test_without_any_member_there_is_nothing_to_play(tmp_path: Path) -> None:
    store = save(tmp_path)
    save_by_hand(tmp_path, "lb", "gone", "lost")
    with pytest.raises(ConfigurationError, match="no member of lb can be used"):
        load_cast("lb", store)
