"""The rules for a profile's fields: what is found, where, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy.config.checks import (
    NAME,
    check_model,
    check_params,
    check_policy,
    check_provider,
    check_settings,
    check_shape,
)
from understudy.config.problem import Problems
from understudy.config.secret import Secret
from understudy.core.settings import Scope
from understudy.errors import ProfileError

Found = list[tuple[str, str | None]]


def found(check: Callable[[Problems], object]) -> Found:
    """What a check finds: message and hint, without the source."""
    problems = Problems("x")
    check(problems)
    try:
        problems.raise_if_any()
    except ProfileError as error:
        return [(problem.message.removeprefix("x: "), problem.hint) for problem in error.problems]
    return []


def in_member(settings: dict[str, Any]) -> Found:
    return found(lambda problems: check_settings(settings, Scope.MEMBER, problems))


def in_pool(settings: dict[str, Any]) -> Found:
    return found(lambda problems: check_settings(settings, Scope.POOL, problems))


class TestNames:
    @pytest.mark.parametrize("name", ["a", "0", "Synthetic-2.fast_x", "a" * 64, "x.jsonl"])
    def test_letters_digits_and_three_marks_make_a_name(self, name: str) -> None:
        assert found(lambda problems: check_shape(name, NAME, "$.name", problems)) == []

    @pytest.mark.parametrize(
        "name", ["", ".a", "-a", "_a", "a b", "a/b", "a#2", "ä", "a" * 65, "a.json", "a\n", 7]
    )
    def test_anything_else_does_not(self, name: object) -> None:
        [(message, _)] = found(lambda problems: check_shape(name, NAME, "$.name", problems))

        assert message.startswith("$.name: it must be 1 to 64 letters")


class TestWords:
    @pytest.mark.parametrize(
        ("value", "message", "hint"),
        [
            ("opnai", '$.provider: unknown: "opnai"', "did you mean openai?"),
            ("OpenAI", '$.provider: unknown: "OpenAI"', "did you mean openai?"),
            ("groc", '$.provider: unknown: "groc"', "did you mean groq?"),
        ],
    )
    def test_an_unknown_provider_offers_the_nearest(self, value: object, message: str, hint: str) -> None:
        assert found(lambda problems: check_provider(value, problems)) == [(message, hint)]

    @pytest.mark.parametrize("value", ["zzzzzz", 5, ["openai"]])
    def test_one_like_none_lists_them_all(self, value: object) -> None:
        [(message, hint)] = found(lambda problems: check_provider(value, problems))

        assert message.startswith("$.provider: unknown: ")
        assert hint is not None
        assert hint.startswith("known: anthropic, azure-openai, ")

    def test_a_missing_one_is_told_so(self) -> None:
        assert found(lambda problems: check_policy(None, problems)) == [
            (
                "$.policy: it is missing; it must be one of cheapest, failover, "
                "failover_sticky, fastest, least_busy, roundrobin, sticky, weighted",
                None,
            )
        ]

    def test_policies_too(self) -> None:
        assert found(lambda problems: check_policy("round-robin", problems)) == [
            ('$.policy: unknown: "round-robin"', "did you mean roundrobin?")
        ]
        assert found(lambda problems: check_policy("failover", problems)) == []

    def test_a_key_pasted_for_a_provider_is_not_shown(self) -> None:
        [(message, _)] = found(lambda problems: check_provider("sk-proj-0123456789abcdef", problems))

        assert "0123456789" not in message


class TestModel:
    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (None, "$.model: it is missing; it must be a non-empty text of one line"),
            ("", '$.model: it must be a non-empty text of one line, not ""'),
            (["gpt"], '$.model: it must be a non-empty text of one line, not ["gpt"]'),
        ],
    )
    def test_a_model_is_a_name(self, model: object, message: str) -> None:
        assert found(lambda problems: check_model(model, problems)) == [(message, None)]


class TestParams:
    def test_any_parameter_goes_because_providers_differ(self) -> None:
        params = {"temperature": 0.2, "chat_template_kwargs": {"thinking": True}}

        assert check_params(params, Problems("x")) == params

    @pytest.mark.parametrize("params", [None, [], "temperature", 1])
    def test_anything_but_an_object_is_refused(self, params: object) -> None:
        [(message, _)] = found(lambda problems: check_params(params, problems))

        assert message.startswith("$.modelParams: it must be an object, not ")

    def test_what_the_request_or_the_profile_says_is_not_a_parameter(self) -> None:
        params = {"stream": True, "model": "m", "messages": [], "api_key": "sk-proj-0123456789abcdef"}

        assert found(lambda problems: check_params(params, problems)) == [
            (
                "$.modelParams.api_key: it can't be set here",
                "keys go by reference: auth-key-env or auth-keyfile under ephemeralSettings",
            ),
            ("$.modelParams.messages: it can't be set here", "messages come with each request"),
            ("$.modelParams.model: it can't be set here", "the profile's own model field names the model"),
            ("$.modelParams.stream: it can't be set here", "each request says whether it streams"),
        ]


class TestSettings:
    def test_they_are_kept_by_canonical_key_in_either_spelling(self) -> None:
        checked = check_settings({"timeout-ms": 5000.0, "context_limit": 8}, Scope.MEMBER, Problems("x"))

        assert checked == {"timeout_ms": 5000, "context-limit": 8}

    def test_a_wrong_value_is_told_with_place_and_value(self) -> None:
        assert in_pool({"timeout-ms": "fast"}) == [
            ('$.ephemeralSettings.timeout-ms: timeout_ms must be a positive integer, not "fast"', None)
        ]

    def test_an_unknown_setting_offers_the_nearest_and_never_its_value(self) -> None:
        assert in_pool({"timeout": "sk-proj-0123456789abcdef"}) == [
            ("$.ephemeralSettings.timeout: unknown setting", "did you mean timeout_ms?")
        ]

    def test_two_spellings_of_one_key_are_one_too_many(self) -> None:
        assert in_pool({"timeout_ms": 1, "timeout-ms": 2}) == [
            ("$.ephemeralSettings.timeout-ms: timeout_ms is given in two spellings", "keep one of them")
        ]

    def test_a_pools_setting_in_a_member_is_told_where_it_belongs(self) -> None:
        assert in_member({"failover_retry_count": 2}) == [
            (
                "$.ephemeralSettings.failover_retry_count: "
                "failover_retry_count belongs in the load-balancer profile",
                None,
            )
        ]

    def test_a_members_setting_in_a_pool_too(self) -> None:
        assert in_pool({"base_url": "https://a/v1", "auth-key": "secret"}) == [
            ("$.ephemeralSettings.base_url: base-url belongs in each member's own profile", None),
            ("$.ephemeralSettings.auth-key: auth-key belongs in each member's own profile", None),
        ]

    def test_what_both_may_say_both_may_say(self) -> None:
        assert in_pool({"timeout_ms": 1}) == in_member({"timeout_ms": 1}) == []

    @pytest.mark.parametrize("settings", [None, [], "timeout_ms=5"])
    def test_anything_but_an_object_is_refused(self, settings: Any) -> None:
        [(message, _)] = in_pool(settings)

        assert message.startswith("$.ephemeralSettings: it must be an object, not ")

    def test_an_inline_key_is_kept_as_a_secret(self) -> None:
        checked = check_settings({"auth_key": "my-key"}, Scope.MEMBER, Problems("x"))

        assert checked == {"auth-key": Secret("my-key")}
        assert check_settings(checked, Scope.MEMBER, Problems("x")) == checked

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("auth-key", "my\nkey"),
            ("auth-key-env", "my-key-itself"),
            ("auth-keyfile", "my\nkey"),
            ("auth-key-name", "my\nkey"),
            ("base-url", "https://me:my-key@example.com"),
        ],
    )
    def test_a_value_that_may_hold_a_key_is_not_shown(self, key: str, value: str) -> None:
        [(message, _)] = in_member({key: value})

        assert "must be" in message
        assert "my" not in message

    def test_a_wrong_address_without_a_password_is_shown(self) -> None:
        [(message, _)] = in_member({"base-url": "example.com/v1"})

        assert message.endswith(', not "example.com/v1"')

    def test_one_key_is_enough(self) -> None:
        assert in_member({"auth-key-env": "K", "auth_keyfile": "~/key"}) == [
            ("$.ephemeralSettings: auth-key-env and auth-keyfile both name a key", "keep one of them")
        ]
