"""Profiles as values: checked when made, and what follows from them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from understudy.config.aliases import ALIASES, WireFormat
from understudy.config.profile import LoadBalancerProfile, StandardProfile, located, source_of
from understudy.config.secret import InlineKey, KeyFile, KeyringEntry, KeyVariable, Secret
from understudy.errors import ProfileError

OWN = "https://llm.example/v1"


def member(provider: str = "openai", path: Path | None = None, **settings: Any) -> StandardProfile:
    return StandardProfile("one", provider, "m", settings=settings, path=path)


class TestBaseUrl:
    def test_it_is_the_profiles_own(self) -> None:
        assert member(base_url=OWN).base_url == OWN

    def test_else_the_aliases(self) -> None:
        assert member("groq").base_url == ALIASES["groq"].base_url

    def test_it_ends_without_a_slash(self) -> None:
        assert member(base_url=f"{OWN}//").base_url == OWN

    def test_a_provider_without_an_address_for_all_needs_one(self) -> None:
        with pytest.raises(ProfileError, match="base-url is missing") as caught:
            member("azure-openai")
        assert caught.value.hint == f"see {ALIASES['azure-openai'].homepage}"

        assert member("azure-openai", base_url="https://me.openai.azure.com/openai/v1").base_url


class TestKey:
    @pytest.mark.parametrize(
        ("settings", "reference"),
        [
            ({"auth-key-env": "MY_KEY"}, KeyVariable("MY_KEY")),
            ({"auth-keyfile": "/etc/key"}, KeyFile(Path("/etc/key"))),
            ({"auth-key-name": "entry"}, KeyringEntry("entry")),
            ({"auth-key": "my-key"}, InlineKey(Secret("my-key"))),
        ],
    )
    def test_it_is_the_one_the_profile_names(self, settings: dict[str, str], reference: object) -> None:
        assert StandardProfile("one", "openai", "m", settings=settings).key == reference
        assert StandardProfile("one", "openai", "m", settings={**settings, "base-url": OWN}).key == reference

    def test_else_the_aliases_variable_at_the_aliases_own_address(self) -> None:
        assert member().key == KeyVariable("OPENAI_API_KEY")
        assert member(base_url="https://api.openai.com/v1/").key == KeyVariable("OPENAI_API_KEY")
        assert member("azure-openai", base_url="https://me.openai.azure.com/openai/v1").key == KeyVariable(
            "AZURE_OPENAI_API_KEY"
        )

    def test_but_nobody_elses_host_is_given_it(self) -> None:
        assert member(base_url=OWN).key is None
        assert member("azure-openai", base_url=OWN).key is None

    def test_a_local_backend_gets_none(self) -> None:
        assert member("ollama").key is None


class TestPaths:
    def test_a_relative_path_starts_at_the_profiles_folder(self) -> None:
        profile = member(path=Path("/home/me/one.json"), auth_keyfile="keys/one", ca_file="ca.pem")

        assert profile.key == KeyFile(Path("/home/me/keys/one"))
        assert profile.ca_file == Path("/home/me/ca.pem")

    def test_without_a_file_it_stays_as_it_is(self) -> None:
        assert located("keys/one", None) == Path("keys/one")

    def test_a_tilde_is_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")

        assert located("~/key", Path("/elsewhere/one.json")) == Path("/home/me/key")

    def test_no_authorities_of_its_own_is_none(self) -> None:
        assert member().ca_file is None


class TestStandardProfile:
    def test_it_speaks_its_aliases_language(self) -> None:
        assert member("groq").wire_format is WireFormat.OPENAI
        assert member("anthropic").wire_format is WireFormat.ANTHROPIC
        assert member("groq").knows_stream_usage
        assert not member("mistral").knows_stream_usage

    def test_it_is_checked_when_made_and_told_everything(self) -> None:
        with pytest.raises(ProfileError) as caught:
            StandardProfile("no name", "opnai", "", {"stream": 1}, {"timeout_ms": 0})

        assert [problem.message.split(": ")[1] for problem in caught.value.problems] == [
            "$.name",
            "$.provider",
            "$.model",
            "$.modelParams.stream",
            "$.ephemeralSettings.timeout_ms",
        ]
        assert caught.value.message.startswith('profile "no name": $.name: ')
        assert caught.value.message.endswith("(and 4 more)")

    def test_a_profile_from_a_file_names_the_file(self) -> None:
        with pytest.raises(ProfileError, match=r"^/home/me/one\.json: \$\.ephemeralSettings\.timeout_ms: "):
            member(path=Path("/home/me/one.json"), timeout_ms=0)
        assert source_of("one", None) == 'profile "one"'

    def test_it_is_frozen_and_made_anew_by_replace(self) -> None:
        profile = member(auth_key="my-key")

        with pytest.raises(FrozenInstanceError):
            profile.model = "other"  # type: ignore[misc]
        assert replace(profile, model="other").settings == {"auth-key": Secret("my-key")}

    def test_it_keeps_copies_of_what_it_was_given(self) -> None:
        params, settings = {"temperature": 0}, {"timeout_ms": 1}
        profile = StandardProfile("one", "openai", "m", params, settings)
        params["temperature"], settings["timeout_ms"] = 1, 2

        assert (profile.model_params, profile.settings) == ({"temperature": 0}, {"timeout_ms": 1})

    def test_its_repr_shows_no_key(self) -> None:
        assert "my-key" not in repr(member(auth_key="my-key"))

    def test_an_inline_key_is_warned_about(self) -> None:
        assert member(auth_key="my-key").warnings == (
            "one: the key itself is in the profile; auth-key-env or auth-keyfile keep it out",
        )
        assert member(auth_key_env="K").warnings == ()
        assert member("ollama").warnings == ()


class TestLoadBalancerProfile:
    @pytest.mark.parametrize("policy", ["failover", "FailOver", "FAILOVER"])
    def test_policies_are_read_in_any_case(self, policy: str) -> None:
        assert LoadBalancerProfile("lb", policy, ("a", "b")).policy == "failover"

    def test_members_may_come_as_a_list_and_twice(self) -> None:
        assert LoadBalancerProfile("lb", "failover", ["a", "a"]).members == ("a", "a")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("policy", "members", "message", "hint"),
        [
            ("failover", (), "$.profiles: no members", "list the names of standard profiles"),
            ("roundrobin", (), "$.profiles: no members", "list the names of standard profiles"),
            (
                "Failover",
                ("a",),
                "$.profiles: failover needs at least two members",
                "list another one to fail over to",
            ),
            ("failover", "a", '$.profiles: it must be a list of profile names, not "a"', None),
            ("failover", ("a", "lb"), '$.profiles[1]: "lb" is this load balancer itself', None),
            ("roundrobin", ("a", None), "$.profiles[1]: it is missing; it must be 1 to 64 letters", None),
            ("roundrobin", ("./a.json",), "$.profiles[0]: it must be 1 to 64 letters", None),
        ],
    )
    def test_members_that_make_no_pool_are_refused(
        self, policy: str, members: Any, message: str, hint: str | None
    ) -> None:
        with pytest.raises(ProfileError) as caught:
            LoadBalancerProfile("lb", policy, members)
        assert caught.value.message.startswith(f'profile "lb": {message}')
        assert caught.value.hint == hint

    def test_one_member_is_enough_to_take_turns(self) -> None:
        assert LoadBalancerProfile("lb", "roundrobin", ("a",)).members == ("a",)

    def test_it_is_told_everything_at_once(self) -> None:
        with pytest.raises(ProfileError) as caught:
            LoadBalancerProfile("l b", 5, ("a", "?"), {"n": 1, "model": "m"}, {"base-url": OWN})  # type: ignore[arg-type]

        assert [problem.message.split(": ")[1] for problem in caught.value.problems] == [
            "$.name",
            "$.policy",
            "$.profiles[1]",
            "$.modelParams.model",
            "$.ephemeralSettings.base-url",
        ]

    def test_it_keeps_checked_settings_and_parameters(self) -> None:
        profile = LoadBalancerProfile("lb", "failover", ("a", "b"), {"n": 1}, {"timeout-ms": 5})

        assert (profile.model_params, profile.settings) == ({"n": 1}, {"timeout_ms": 5})

    @pytest.mark.parametrize(
        ("settings", "warned"),
        [
            ({}, False),
            ({"request_timeout_ms": 60_001}, False),
            ({"request_timeout_ms": 60_000}, True),
            ({"timeout_ms": 600_000}, True),
        ],
    )
    def test_a_deadline_that_leaves_no_time_for_another_attempt_is_warned_about(
        self, settings: dict[str, int], warned: bool
    ) -> None:
        warnings = LoadBalancerProfile("lb", "failover", ("a", "b"), settings=settings).warnings

        assert [warning.startswith("lb: request_timeout_ms") for warning in warnings] == [True] * warned
