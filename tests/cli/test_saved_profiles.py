"""The saved profiles, and ``KEY=VALUE`` arguments."""

from __future__ import annotations

import click
import pytest

from tests.cli.local_provider import Home
from understudy.cli import saved_profiles
from understudy.errors import ConfigurationError, SettingError


def test_the_profile_asked_for_comes_before_the_default(home: Home) -> None:
    home.backend("mine", "http://localhost/v1")
    saved_profiles.store().set_default("mine")
    assert saved_profiles.chosen("other") == "other"
    assert saved_profiles.chosen(None) == "mine"


def test_an_empty_name_is_no_wish_for_the_default(home: Home) -> None:
    home.backend("mine", "http://localhost/v1")
    saved_profiles.store().set_default("mine")
    assert saved_profiles.chosen("") == ""


def test_without_any_profile_the_ways_out_are_named(home: Home) -> None:
    with pytest.raises(ConfigurationError, match="no profile to answer with") as caught:
        saved_profiles.chosen(None)
    hint = caught.value.hint or ""
    assert all(word in hint for word in ("--profile-load", "understudy profile list", "understudy demo"))


def test_names_are_completed(home: Home) -> None:
    home.backend("chorus", "http://localhost/v1")
    context = click.Context(click.Command("x"))
    assert saved_profiles.complete(context, click.Argument(["name"]), "ch") == ["chorus", "chutes"]


def test_settings_are_checked_and_the_last_one_wins_whatever_its_spelling() -> None:
    pairs = ("timeout_ms=1", "timeout-ms=2", "timeout_ms = 3", "tpm_measure=window")
    assert saved_profiles.settings_of(pairs) == {"timeout_ms": "3", "tpm_measure": "window"}


def test_a_setting_that_does_not_exist_or_fit_is_an_error() -> None:
    with pytest.raises(SettingError, match="unknown setting") as caught:
        saved_profiles.settings_of(("timeout=3",))
    assert "timeout_ms" in (caught.value.hint or "")
    with pytest.raises(SettingError, match="timeout_ms must be a positive integer"):
        saved_profiles.settings_of(("timeout_ms=soon",))


@pytest.mark.parametrize("text", ["timeout_ms", "=5", ""])
def test_an_argument_without_key_and_value_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not KEY=VALUE"):
        saved_profiles.pair(text)


def test_a_value_may_hold_what_separates_it() -> None:
    assert saved_profiles.pair("stop=a=b") == ("stop", "a=b")


def test_what_looks_like_a_key_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        saved_profiles.pair("sk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    assert "aaaa" not in caught.value.message
