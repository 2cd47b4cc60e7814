"""The table of providers."""

from __future__ import annotations

import re

import pytest

from understudy.config.aliases import ALIASES, Alias, WireFormat
from understudy.core.shapes import BASE_URL, VARIABLE


@pytest.mark.parametrize("alias", ALIASES.values(), ids=lambda alias: alias.name)
def test_every_row_could_stand_in_a_profile(alias: Alias) -> None:
    assert ALIASES[alias.name] is alias
    assert alias.homepage.startswith("https://")
    assert alias.base_url is None or BASE_URL.check(alias.base_url) == alias.base_url.rstrip("/")
    assert alias.key_variable is None or VARIABLE.check(alias.key_variable).isupper()


@pytest.mark.parametrize("alias", ALIASES.values(), ids=lambda alias: alias.name)
def test_a_key_travels_encrypted_or_not_at_all(alias: Alias) -> None:
    local = (alias.base_url or "").startswith("http://localhost:")

    assert local is (alias.key_variable is None)
    assert local or (alias.base_url or "https://").startswith("https://")


def test_every_wire_format_is_a_name_too() -> None:
    assert {ALIASES[str(wire_format)].wire_format for wire_format in WireFormat} == set(WireFormat)


def test_usage_is_not_asked_of_those_who_refuse_the_field() -> None:
    silent = {alias.name for alias in ALIASES.values() if not alias.knows_stream_usage}

    assert silent == {"openai-responses", "anthropic", "gemini", "mistral", "perplexity"}


@pytest.mark.parametrize(
    ("name", "base_url", "owns"),
    [
        ("openai", "https://api.openai.com/v1", True),
        ("openai", "https://api.openai.com.evil.example/v1", False),
        ("openai", "http://api.openai.com/v1", False),
        ("openai", "https://proxy.example/v1", False),
        ("azure-openai", "https://mine.openai.azure.com/openai/v1", True),
        ("azure-openai", "https://MINE.services.ai.azure.com/openai/v1", True),
        ("azure-openai", "http://mine.openai.azure.com/openai/v1", False),
        ("azure-openai", "https://openai.azure.com.evil.example/v1", False),
        ("azure-openai", "https://evilopenai.azure.com/v1", False),
        ("azure-openai", "https://evil.example/.openai.azure.com", False),
    ],
)
def test_a_providers_own_address_is_known_and_nobody_elses(name: str, base_url: str, owns: bool) -> None:
    assert ALIASES[name].owns(base_url) is owns


def test_the_issue_of_names_like_each_other_is_none() -> None:
    """A hint would be no help if two names differed in case or punctuation alone."""
    assert len({re.sub(r"\W", "", name).lower() for name in ALIASES}) == len(ALIASES)
