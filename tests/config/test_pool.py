"""A profile with its members found and their keys resolved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.config.pool import MemberSlot, load_pool, make_pool
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.secret import Secret
from understudy.config.store import ProfileStore
from understudy.core.settings import Source
from understudy.errors import ConfigurationError, ProfileError, SkipReason

OWN = "https://llm.example/v1"


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path)


def member(name: str, provider: str = "ollama", **settings: Any) -> StandardProfile:
    return StandardProfile(name, provider, "m", settings=settings)


def balancer(*members: str, policy: str = "roundrobin", **settings: Any) -> LoadBalancerProfile:
    return LoadBalancerProfile("lb", policy, members, settings=settings)


class TestSlots:
    def test_members_keep_their_places_and_their_keys(self) -> None:
        first, second = member("a", auth_key_env="A"), member("b")

        pool = make_pool(balancer("b", "a", policy="failover"), [first, second], {"A": "key-of-a"})

        assert (pool.name, pool.policy) == ("lb", "failover")
        assert pool.members == (MemberSlot("b", second), MemberSlot("a", first, Secret("key-of-a")))
        assert pool.warnings == ()

    def test_the_same_member_twice_has_two_places(self) -> None:
        pool = make_pool(balancer("a", "b", "a", "a"), [member("a"), member("b")], {})

        assert [slot.name for slot in pool.members] == ["a", "b", "a#2", "a#3"]
        assert pool.members[0].profile is pool.members[2].profile

    def test_a_member_gets_no_other_members_key_or_address(self) -> None:
        pool = make_pool(
            balancer("a", "b"),
            [
                member("a", "openai", auth_key_env="A", base_url=OWN),
                member("b", "openai", base_url=f"{OWN}/b"),
            ],
            {"A": "key-of-a", "OPENAI_API_KEY": "key-of-openai"},
        )

        assert [slot.key for slot in pool.members] == [Secret("key-of-a"), None]
        assert [slot.profile and slot.profile.base_url for slot in pool.members] == [OWN, f"{OWN}/b"]


class TestProblems:
    def test_a_member_that_was_not_given_is_missing(self) -> None:
        pool = make_pool(balancer("a", "beta"), [member("a"), member("bet")], {})

        assert pool.members[1] == MemberSlot(
            "beta",
            None,
            problem=(SkipReason.MISSING, 'no profile named "beta" was given'),
            hint="did you mean bet?",
        )
        assert make_pool(balancer("a", "zzz"), [member("a")], {}).members[1].hint is None

    def test_a_key_that_cant_be_had_is_no_key(self) -> None:
        pool = make_pool(balancer("a", "b"), [member("a"), member("b", "groq")], {})

        [warning] = pool.warnings
        assert pool.members[1].problem == (
            SkipReason.NO_KEY,
            "environment variable GROQ_API_KEY is not set",
        )
        assert warning == (
            "b is skipped (no_key): environment variable GROQ_API_KEY is not set "
            "(export GROQ_API_KEY=… before starting)"
        )

    def test_authorities_that_are_not_there_are_told_before_any_request(self, tmp_path: Path) -> None:
        there = tmp_path / "ca.pem"
        there.write_text("")
        members = [member("a", ca_file=str(there)), member("b", ca_file=str(tmp_path / "nowhere"))]

        pool = make_pool(balancer("a", "b"), members, {})

        assert pool.members[0].problem is None
        assert pool.members[1].problem == (SkipReason.MISSING, f"ca-file {tmp_path}/nowhere is not there")
        assert pool.warnings == (f"b is skipped (missing): ca-file {tmp_path}/nowhere is not there",)

    def test_one_member_has_one_warning_wherever_it_stands(self) -> None:
        pool = make_pool(balancer("b", "a", "b"), [member("a"), member("b", "groq")], {})

        assert len(pool.warnings) == 1
        assert [slot.problem is None for slot in pool.members] == [False, True, False]

    def test_what_is_unwise_is_passed_on_but_used(self) -> None:
        pool = make_pool(balancer("a", request_timeout_ms=1_000), [member("a", auth_key="my-key")], {})

        assert pool.members[0].key == Secret("my-key")
        assert [warning.partition(":")[0] for warning in pool.warnings] == ["lb", "a"]
        assert "my-key" not in f"{pool}{pool.warnings}"

    def test_a_pool_without_a_usable_member_is_an_error_that_names_each(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make_pool(balancer("x", "b", "c"), [member("b", "groq"), member("c", "gemini")], {})

        assert caught.value.message == (
            'no member of lb can be used: x: no profile named "x" was given; '
            "b: environment variable GROQ_API_KEY is not set; "
            "c: environment variable GEMINI_API_KEY is not set"
        )
        assert caught.value.hint == "export GROQ_API_KEY=… before starting"

    def test_an_error_without_a_way_out_has_no_hint(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make_pool(balancer("x"), [], {})
        assert caught.value.hint is None


class TestOneAlone:
    def test_a_standard_profile_is_a_pool_of_one(self) -> None:
        profile = member("a", "groq", timeout_ms=5)

        pool = make_pool(profile, [], {"GROQ_API_KEY": "key"})

        assert (pool.name, pool.policy, pool.settings) == ("a", "failover", {})
        assert pool.members == (MemberSlot("a", profile, Secret("key")),)

    def test_its_problem_is_the_error(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make_pool(member("a", "groq"), [], {})
        assert caught.value.message == "a: environment variable GROQ_API_KEY is not set"

    def test_it_is_warned_about_once(self) -> None:
        assert len(make_pool(member("a", auth_key="my-key"), [], {}).warnings) == 1


class TestLoad:
    def test_the_example_loads_with_one_of_its_keys(self, store: ProfileStore) -> None:
        pool = load_pool("testlb489", store, {"CHUTES_API_KEY": "key"})

        assert [(slot.name, slot.problem and slot.problem[0]) for slot in pool.members] == [
            ("synthetic", SkipReason.NO_KEY),
            ("chutes", None),
            ("groqgpt", SkipReason.NO_KEY),
        ]
        assert pool.settings["tpm_threshold"] == 500
        assert len(pool.warnings) == 2

    def test_a_broken_member_keeps_its_place_and_its_reason(self, store: ProfileStore) -> None:
        store.save(member("good"))
        store.save(balancer("good", "chutes"))
        (store.folder / "chutes.json").write_text('{"provider": "ollama", "model": ""}')

        slot = load_pool("lb", store, {}).members[1]

        assert slot.profile is None
        assert slot.problem is not None
        assert slot.problem[0] is SkipReason.MISSING
        assert slot.problem[1].startswith(f"{store.folder}/chutes.json: $.model: it must be")

    def test_a_member_that_is_a_balancer_is_an_error_whatever_the_others_are(
        self, store: ProfileStore
    ) -> None:
        store.save(member("good"))
        store.folder.joinpath("lb.json").write_text(
            json.dumps({"type": "loadbalancer", "policy": "failover", "profiles": ["good", "testlb489"]})
        )

        with pytest.raises(ProfileError) as caught:
            load_pool("lb", store, {})

        assert caught.value.message == (
            f'{store.folder}/lb.json: $.profiles[1]: "testlb489" is itself a load balancer'
        )
        assert caught.value.hint == "list its members instead"

    def test_a_profile_by_path_finds_its_members_beside_it(self, store: ProfileStore, tmp_path: Path) -> None:
        project = tmp_path / "project"
        project.mkdir()
        text = json.dumps({"type": "loadbalancer", "policy": "roundrobin", "profiles": ["chutes"]})
        (project / "lb.json").write_text(text)
        (project / "chutes.json").write_text('{"provider": "ollama", "model": "beside"}')

        pool = load_pool(str(project / "lb.json"), store, {})

        assert pool.members[0].profile is not None
        assert pool.members[0].profile.model == "beside"

    def test_a_standard_profile_by_name_is_a_pool_of_one(self, store: ProfileStore) -> None:
        assert load_pool("chutes", store, {"CHUTES_API_KEY": "key"}).members[0].name == "chutes"

    def test_a_wrong_profile_is_its_own_error(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match="no profile named"):
            load_pool("nothing", store, {})


KEY = {"OPENAI_API_KEY": "k"}


class TestWhatHolds:
    POOL = make_pool(
        LoadBalancerProfile(
            "lb",
            "roundrobin",
            ("a", "x"),
            {"temperature": 0, "seed": 1},
            {"timeout_ms": 1, "stall_timeout_ms": 1, "bench_max_ms": 1},
        ),
        [StandardProfile("a", "ollama", "m", {"temperature": 1}, {"timeout_ms": 2, "context-limit": 8})],
        {},
    )

    def test_a_members_settings_go_before_the_pools(self) -> None:
        layers = self.POOL.layers(self.POOL.members[0])

        assert layers.effective("timeout_ms") == (2, Source.MEMBER)
        assert layers.effective("stall_timeout_ms") == (1, Source.PROFILE)
        assert layers.effective("context-limit") == (8, Source.MEMBER)

    def test_a_members_model_is_known_by_its_name(self) -> None:
        """Settings go before what the table says."""
        pool = make_pool(StandardProfile("a", "openai", "gpt-4o", {}, {"max-output": 5}), (), KEY)
        layers = pool.layers(pool.members[0])

        assert layers.effective("context-limit") == (128_000, Source.MODEL)
        assert layers.effective("max-output") == (5, Source.MEMBER)
        assert pool.layers().effective("context-limit") == (None, Source.DEFAULT)

    def test_a_missing_member_and_the_pool_itself_have_the_pools(self) -> None:
        for layers in (self.POOL.layers(), self.POOL.layers(self.POOL.members[1])):
            assert layers.effective("timeout_ms") == (1, Source.PROFILE)

    def test_options_and_the_session_go_before_both(self) -> None:
        slot = self.POOL.members[0]

        assert self.POOL.layers(slot, {"timeout_ms": 3}).effective("timeout_ms") == (3, Source.OPTION)
        assert self.POOL.layers(slot, {"timeout_ms": 3}, {"timeout_ms": 4}).effective("timeout_ms") == (
            4,
            Source.SESSION,
        )

    def test_a_members_parameters_go_before_the_pools(self) -> None:
        assert self.POOL.params(self.POOL.members[0]) == {"temperature": 1, "seed": 1}
        assert self.POOL.params(self.POOL.members[1]) == {"temperature": 0, "seed": 1}
