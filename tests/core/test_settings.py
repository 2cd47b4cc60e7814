"""The registry, the layers of a value, and the frozen settings made of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.error_rules import ErrorRule
from understudy.core.facts import Facts, Price, Tokenizer
from understudy.core.settings import (
    REGISTRY,
    BreakerSettings,
    HedgeSettings,
    Layers,
    MemberSettings,
    PoolSettings,
    RecoverySettings,
    RetrySettings,
    Scope,
    Setting,
    Source,
    Timeouts,
    check_live,
    lookup,
    lookup_live,
    nearest,
)
from understudy.core.shapes import Integer
from understudy.errors import FailureKind, SettingError

# The registry's promise to its users: key, default in file units, scope.
PROMISED: dict[str, tuple[Any, Scope]] = {
    "tpm_threshold": (None, Scope.BOTH),
    "tpm_measure": ("serving", Scope.POOL),
    "timeout_ms": (60_000, Scope.BOTH),
    "unary_timeout_ms": (None, Scope.BOTH),
    "connect_timeout_ms": (5_000, Scope.BOTH),
    "stall_timeout_ms": (30_000, Scope.BOTH),
    "stream_recovery": ("same_model", Scope.POOL),
    "recovery_timeout_ms": (30_000, Scope.POOL),
    "hold_tool_calls": (False, Scope.POOL),
    "stream_hold_ms": (0, Scope.POOL),
    "max_attempts": (None, Scope.POOL),
    "retry_budget_percent": (20, Scope.POOL),
    "hedge": ("off", Scope.POOL),
    "hedge_budget_percent": (10, Scope.POOL),
    "model-identity": (None, Scope.MEMBER),
    "request_timeout_ms": (600_000, Scope.POOL),
    "circuit_breaker_enabled": (True, Scope.POOL),
    "circuit_breaker_failure_threshold": (3, Scope.POOL),
    "circuit_breaker_failure_window_ms": (60_000, Scope.POOL),
    "circuit_breaker_recovery_timeout_ms": (30_000, Scope.POOL),
    "circuit_breaker_failure_rate": (50, Scope.POOL),
    "circuit_breaker_half_open_max": (1, Scope.POOL),
    "panic_mode": (True, Scope.POOL),
    "failover_retry_count": (2, Scope.POOL),
    "failover_retry_delay_ms": (500, Scope.POOL),
    "failover_on_network_errors": (True, Scope.POOL),
    "failover_status_codes": (None, Scope.POOL),
    "retry_after_max_ms": (2_000, Scope.POOL),
    "wait_for_capacity_ms": (20_000, Scope.POOL),
    "bench_max_ms": (900_000, Scope.POOL),
    "weight": (1, Scope.MEMBER),
    "failback_after_ms": (300_000, Scope.POOL),
    "slow_start_ms": (30_000, Scope.POOL),
    "tpm_limit": (None, Scope.BOTH),
    "rpm_limit": (None, Scope.BOTH),
    "max_concurrency": (None, Scope.BOTH),
    "failover_in_rpm": (None, Scope.BOTH),
    "ceilings_fail_closed": (False, Scope.POOL),
    "queue_limit": (1_000, Scope.POOL),
    "timeout_mode": ("adaptive", Scope.BOTH),
    "strict_events": (False, Scope.BOTH),
    "error_rules": (None, Scope.BOTH),
    "context-limit": (None, Scope.MEMBER),
    "max-output": (None, Scope.MEMBER),
    "supports": (None, Scope.MEMBER),
    "refuses": (None, Scope.MEMBER),
    "price": (None, Scope.MEMBER),
    "tokenizer": (None, Scope.MEMBER),
    "base-url": (None, Scope.MEMBER),
    "auth-key-env": (None, Scope.MEMBER),
    "auth-keyfile": (None, Scope.MEMBER),
    "auth-key-name": (None, Scope.MEMBER),
    "auth-key": (None, Scope.MEMBER),
    "ca-file": (None, Scope.MEMBER),
}

# The largest and smallest that a bounded setting takes.
RANGES = {
    "tpm_threshold": (1, None),
    "timeout_ms": (1, None),
    "circuit_breaker_failure_threshold": (1, None),
    "circuit_breaker_failure_rate": (0, 100),
    "circuit_breaker_half_open_max": (1, None),
    "failover_retry_count": (1, 100),
    "failover_retry_delay_ms": (0, None),
    "retry_after_max_ms": (0, None),
    "wait_for_capacity_ms": (0, None),
    "bench_max_ms": (1, None),
    "weight": (0, None),
    "failback_after_ms": (0, None),
    "slow_start_ms": (0, None),
    "tpm_limit": (1, None),
    "rpm_limit": (1, None),
    "max_concurrency": (1, None),
    "failover_in_rpm": (1, None),
    "queue_limit": (0, None),
    "context-limit": (1, None),
    "max-output": (1, None),
}


class TestRegistry:
    def test_it_holds_the_promised_keys_defaults_and_scopes_and_no_other(self) -> None:
        assert {row.key: (row.default, row.scope) for row in REGISTRY} == PROMISED

    @pytest.mark.parametrize(("key", "bounds"), RANGES.items())
    def test_ranges_hold_to_the_last_number(self, key: str, bounds: tuple[int, int | None]) -> None:
        setting, (smallest, largest) = lookup(key), bounds
        assert setting.check(smallest) == smallest
        with pytest.raises(SettingError):
            setting.check(smallest - 1)
        if largest is not None:
            assert setting.check(largest) == largest
            with pytest.raises(SettingError):
                setting.check(largest + 1)

    @pytest.mark.parametrize("row", REGISTRY, ids=lambda row: row.key)
    def test_every_row_has_help_and_a_default_that_it_would_take_itself(self, row: Setting) -> None:
        assert row.help.endswith(".")
        assert row.default is None or row.check(row.default) == row.default

    @pytest.mark.parametrize("key", ["auth-key-env", "auth-keyfile", "auth-key-name", "auth-key"])
    def test_what_may_hold_a_key_is_marked(self, key: str) -> None:
        assert lookup(key).secret

    def test_only_keys_are_marked_secret(self) -> None:
        assert {row.key for row in REGISTRY if row.secret} == {
            "auth-key-env",
            "auth-keyfile",
            "auth-key-name",
            "auth-key",
        }

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("timeout_ms", "60000"),
            ("strict_events", "false"),
            ("tpm_measure", "serving"),
            ("tpm_threshold", "off"),
            ("error_rules", "none"),
        ],
    )
    def test_defaults_are_shown_as_a_file_would_have_them(self, key: str, text: str) -> None:
        assert lookup(key).default_text == text


class TestLookup:
    @pytest.mark.parametrize("key", ["timeout_ms", "timeout-ms", "context-limit", "context_limit"])
    def test_snake_and_kebab_spelling_are_the_same_key(self, key: str) -> None:
        assert lookup(key) is lookup(key.replace("_", "-"))

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("timeout", "timeout_ms"),
            ("tpm_treshold", "tpm_threshold"),
            ("contextlimit", "context-limit"),
            ("TIMEOUT_MS", "timeout_ms"),
            ("circuit-breaker-enable", "circuit_breaker_enabled"),
        ],
    )
    def test_an_unknown_key_offers_the_nearest_known_one(self, wrong: str, right: str) -> None:
        with pytest.raises(SettingError, match=f"unknown setting '{wrong}'") as caught:
            lookup(wrong)
        assert caught.value.hint == f"did you mean {right}?"

    def test_a_key_like_none_is_told_where_the_list_is(self) -> None:
        with pytest.raises(SettingError) as caught:
            lookup("zzz")
        assert caught.value.hint == "/set or the settings reference lists all keys"

    def test_nearest_of_nothing_similar_is_none(self) -> None:
        assert nearest("zzz", ["alpha", "beta"]) is None


class TestWords:
    def test_a_wrong_value_is_told_in_the_registrys_words_and_not_shown(self) -> None:
        with pytest.raises(SettingError) as caught:
            lookup("tpm_threshold").check("secret-looking")
        assert caught.value.message == "tpm_threshold must be a positive integer"
        assert caught.value.__suppress_context__

    def test_a_wrong_text_too(self) -> None:
        with pytest.raises(SettingError, match=r"^tpm_threshold must be a positive integer$"):
            lookup("tpm_threshold").parse("-5")


class TestCheckLive:
    def test_a_text_becomes_a_checked_value_under_the_canonical_key(self) -> None:
        assert check_live("timeout-ms", "5000") == ("timeout_ms", 5000)

    @pytest.mark.parametrize("key", ["base-url", "auth-key", "context_limit"])
    def test_a_members_own_settings_are_not_set_here(self, key: str) -> None:
        with pytest.raises(SettingError, match="belongs to one backend") as caught:
            check_live(key, "x")
        assert caught.value.hint == "set it in that member's own profile, under ephemeralSettings"
        with pytest.raises(SettingError, match="belongs to one backend"):
            lookup_live(key)

    def test_what_is_set_here_is_found_in_either_spelling(self) -> None:
        assert lookup_live("timeout-ms") is lookup_live("timeout_ms") is lookup("timeout_ms")

    def test_error_rules_are_for_files(self) -> None:
        with pytest.raises(SettingError, match="can't be set from here") as caught:
            check_live("error_rules", "[]")
        assert caught.value.hint == "write it into the profile's ephemeralSettings"

    def test_a_wrong_value_is_refused(self) -> None:
        with pytest.raises(SettingError, match="must be a positive integer"):
            check_live("timeout_ms", "soon")


class TestLayers:
    def test_the_last_layer_given_wins_and_is_named(self) -> None:
        """Film strip: one layer more each time."""
        given: dict[str, dict[str, int]] = {}
        seen = [Layers(**given).effective("timeout_ms")]
        for number, layer in enumerate(("profile", "member", "option", "session"), start=1):
            given[layer] = {"timeout_ms": number}
            seen.append(Layers(**given).effective("timeout_ms"))

        assert seen == [
            (60_000, Source.DEFAULT),
            (1, Source.PROFILE),
            (2, Source.MEMBER),
            (3, Source.OPTION),
            (4, Source.SESSION),
        ]

    def test_a_member_has_no_say_in_what_is_the_pools(self) -> None:
        layers = Layers(profile={"failover_retry_count": 3}, member={"failover_retry_count": 9})

        assert layers.effective("failover_retry_count") == (3, Source.PROFILE)

    def test_a_pool_has_no_say_in_what_is_a_members(self) -> None:
        layers = Layers(profile={"context-limit": 3}, member={"context-limit": 9})

        assert layers.effective("context_limit") == (9, Source.MEMBER)
        assert Layers(profile={"context-limit": 3}).effective("context_limit") == (None, Source.DEFAULT)

    def test_what_is_known_of_a_model_goes_before_the_default_and_nothing_else(self) -> None:
        model = {"context-limit": 9}

        assert Layers(model=model).effective("context-limit") == (9, Source.MODEL)
        assert Layers(member={"context-limit": 8}, model=model).effective("context-limit") == (
            8,
            Source.MEMBER,
        )

    def test_a_false_value_given_is_a_value(self) -> None:
        assert Layers(profile={"circuit_breaker_enabled": False}).value("circuit_breaker_enabled") is False

    def test_seconds_are_milliseconds_over_a_thousand(self) -> None:
        assert Layers(session={"timeout_ms": 1500}).seconds("timeout_ms") == 1.5

    def test_an_unknown_key_is_an_error(self) -> None:
        with pytest.raises(SettingError):
            Layers().value("nonsense")


class TestFrozenSettings:
    def test_without_any_layer_each_is_its_own_default(self) -> None:
        layers = Layers()

        assert BreakerSettings.of(layers) == BreakerSettings()
        assert RetrySettings.of(layers) == RetrySettings()
        assert Timeouts.of(layers) == Timeouts()
        assert MemberSettings.of(layers) == MemberSettings()
        assert PoolSettings.of(layers) == PoolSettings()

    def test_the_breakers_are_seconds_and_a_fraction(self) -> None:
        layers = Layers(
            profile={
                "circuit_breaker_enabled": False,
                "circuit_breaker_failure_threshold": 7,
                "circuit_breaker_failure_window_ms": 1_000,
                "circuit_breaker_recovery_timeout_ms": 2_000,
                "circuit_breaker_failure_rate": 25,
                "circuit_breaker_half_open_max": 4,
            }
        )

        assert BreakerSettings.of(layers) == BreakerSettings(False, 7, 1.0, 2.0, 0.25, 4)

    def test_the_retries_are_seconds_and_a_set(self) -> None:
        layers = Layers(
            profile={
                "failover_retry_count": 5,
                "failover_retry_delay_ms": 250,
                "failover_on_network_errors": False,
                "failover_status_codes": (500, 503),
                "retry_after_max_ms": 1,
                "wait_for_capacity_ms": 2,
                "bench_max_ms": 3,
                "request_timeout_ms": 4,
            }
        )

        assert RetrySettings.of(layers) == RetrySettings(
            5, 0.25, False, frozenset({500, 503}), 0.001, 0.002, 0.003, 0.004
        )

    def test_limits_on_attempts_are_a_number_and_a_fraction(self) -> None:
        settings = RetrySettings.of(Layers(profile={"max_attempts": 3, "retry_budget_percent": 50}))
        assert (settings.max_attempts, settings.budget) == (3, 0.5)

    def test_recovery_has_a_scope_and_clocks(self) -> None:
        layers = Layers(
            profile={
                "stream_recovery": "any",
                "recovery_timeout_ms": 5_000,
                "stream_hold_ms": 250,
                "hold_tool_calls": True,
            }
        )
        assert RecoverySettings.of(layers) == RecoverySettings("any", 5.0, 0.25, True)
        assert PoolSettings.of(layers).recovery == RecoverySettings("any", 5.0, 0.25, True)

    @pytest.mark.parametrize(
        ("value", "settings"),
        [
            ("off", HedgeSettings(None, None, 0.5)),
            (0, HedgeSettings(0.0, None, 0.5)),
            (1500, HedgeSettings(1.5, None, 0.5)),
            ("p95", HedgeSettings(None, 95, 0.5)),
        ],
    )
    def test_a_hedge_is_late_by_time_or_by_rank(self, value: str | int, settings: HedgeSettings) -> None:
        layers = Layers(profile={"hedge": value, "hedge_budget_percent": 50})
        assert HedgeSettings.of(layers) == settings
        assert settings.is_on is (value != "off")

    def test_a_member_has_its_model_and_what_that_is(self) -> None:
        settings = MemberSettings.of(Layers(member={"model-identity": "qwen-3"}), "Qwen/Qwen3")
        assert (settings.model, settings.identity) == ("Qwen/Qwen3", "qwen-3")
        assert (MemberSettings.of(Layers()).model, MemberSettings.of(Layers()).identity) == ("", "")

    def test_no_status_at_all_is_something_else_than_not_said(self) -> None:
        assert RetrySettings.of(Layers(profile={"failover_status_codes": ()})).status_codes == frozenset()
        assert RetrySettings.of(Layers()).status_codes is None

    def test_the_clocks_are_seconds(self) -> None:
        layers = Layers(
            member={
                "timeout_ms": 1_000,
                "unary_timeout_ms": 2_000,
                "connect_timeout_ms": 3_000,
                "stall_timeout_ms": 4_000,
            }
        )

        assert Timeouts.of(layers) == Timeouts(1.0, 2.0, 3.0, 4.0)

    @pytest.mark.parametrize(("timeout_ms", "unary"), [(5_000, 240.0), (240_000, 240.0), (300_000, 300.0)])
    def test_a_unary_answer_gets_the_larger_of_timeout_and_four_minutes(
        self, timeout_ms: int, unary: float
    ) -> None:
        assert Timeouts.of(Layers(profile={"timeout_ms": timeout_ms})).unary == unary

    def test_a_member_has_its_own_clocks_floor_and_limits(self) -> None:
        rules = (ErrorRule(418, None, FailureKind.AUTH),)
        layers = Layers(
            profile={"tpm_threshold": 100},
            member={
                "timeout_ms": 1_000,
                "tpm_threshold": 200,
                "strict_events": True,
                "error_rules": rules,
                "context-limit": 8_000,
            },
        )

        assert MemberSettings.of(layers) == MemberSettings(
            Timeouts(first_content=1.0), 200, True, rules, Facts(context_limit=8_000)
        )

    def test_facts_are_the_members_own_before_those_of_its_model(self) -> None:
        price = {"input": 1.0, "output": 2.5}
        layers = Layers(
            member={"context-limit": 8_000, "supports": ()},
            model={
                "context-limit": 1,
                "max-output": 2,
                "supports": ("tools",),
                "price": price,
                "tokenizer": "qwen",
            },
        )

        assert MemberSettings.of(layers).facts == Facts(
            8_000, 2, frozenset(), Price(1.0, 2.5), Tokenizer.QWEN
        )

    def test_a_pool_is_its_breakers_its_retries_and_its_measure(self) -> None:
        layers = Layers(profile={"tpm_measure": "window", "failover_retry_count": 9})

        assert PoolSettings.of(layers) == PoolSettings(retry=RetrySettings(count=9), tpm_measure="window")


@given(st.sampled_from([row for row in REGISTRY if isinstance(row.shape, Integer)]), st.data())
def test_any_number_in_range_survives_the_command_line(row: Setting, data: st.DataObject) -> None:
    assert isinstance(row.shape, Integer)
    number = data.draw(st.integers(row.shape.minimum, row.shape.maximum))

    assert row.parse(str(number)) == row.check(number) == number
