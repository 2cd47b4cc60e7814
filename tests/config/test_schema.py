"""The JSON Schemas: valid themselves, and of one mind with the parser."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from understudy.config.aliases import ALIASES
from understudy.config.profile_file import parse_profile
from understudy.config.schema import load_balancer_schema, standard_schema
from understudy.core.settings import REGISTRY
from understudy.errors import ProfileError

STANDARD = Draft202012Validator(standard_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
BALANCER = Draft202012Validator(load_balancer_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)

MEMBER: dict[str, Any] = {"provider": "openai", "model": "m"}
POOL: dict[str, Any] = {"type": "loadbalancer", "policy": "failover", "profiles": ["a", "b"]}
AZURE = {"provider": "azure-openai", "model": "m"}


def schemas_take(document: dict[str, Any]) -> bool:
    balancer = document.get("type") == "loadbalancer"
    return bool((BALANCER if balancer else STANDARD).is_valid(document))


def parser_takes(document: dict[str, Any]) -> bool:
    try:
        parse_profile(json.dumps(document), name="x")
    except ProfileError:
        return False
    return True


@pytest.mark.parametrize("schema", [standard_schema(), load_balancer_schema()])
def test_each_is_a_schema_itself(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


def test_the_shipped_examples_are_valid() -> None:
    examples = [*(resources.files("understudy.config") / "examples").iterdir()]

    assert len(examples) == 4
    for example in examples:
        assert schemas_take(json.loads(example.read_text(encoding="utf-8"))), example.name


@pytest.mark.parametrize(
    "document",
    [
        MEMBER,
        {**MEMBER, "$schema": "x", "version": 1, "type": "standard", "name": "x"},
        {**MEMBER, "modelParams": {"temperature": 0.2, "stop": ["x"]}},
        {**MEMBER, "ephemeralSettings": {"timeout-ms": 5, "context_limit": 5, "auth-key": "k"}},
        {**MEMBER, "ephemeralSettings": {"error_rules": [{"status": 500, "kind": "auth"}]}},
        {**AZURE, "ephemeralSettings": {"base-url": "https://a/v1"}},
        {**AZURE, "ephemeralSettings": {"base_url": "https://a/v1"}},
        POOL,
        {**POOL, "policy": "FailOver", "provider": "", "model": None, "version": 1.0},
        {**POOL, "policy": "ROUNDROBIN", "profiles": ["a"]},
        {**POOL, "ephemeralSettings": {"failover-retry-count": 1, "failover_status_codes": [500]}},
    ],
)
def test_both_take_these(document: dict[str, Any]) -> None:
    assert parser_takes(document)
    assert schemas_take(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"provider": "openai"},
        {"model": "m"},
        {**MEMBER, "provider": "opnai"},
        {**MEMBER, "model": " "},
        {**MEMBER, "version": 2},
        {**MEMBER, "version": True},
        {**MEMBER, "type": "Standard"},
        {**MEMBER, "name": "two words"},
        {**MEMBER, "$schema": 5},
        {**MEMBER, "policy": "failover"},
        {**MEMBER, "modelParams": None},
        {**MEMBER, "modelParams": {"stream": True}},
        {**MEMBER, "ephemeralSettings": []},
        {**MEMBER, "ephemeralSettings": {"timeout_ms": "5"}},
        {**MEMBER, "ephemeralSettings": {"Timeout_ms": 5}},
        {**MEMBER, "ephemeralSettings": {"failover_retry_count": 5}},
        {**MEMBER, "ephemeralSettings": {"auth-key-env": "A", "auth_key": "b"}},
        {**MEMBER, "ephemeralSettings": {"base-url": "https://a/v1/chat/completions"}},
        {**MEMBER, "ephemeralSettings": {"base-url\n": "https://a/v1"}},
        AZURE,
        {**AZURE, "ephemeralSettings": {}},
        {"type": "loadbalancer"},
        {**POOL, "policy": "random"},
        {**POOL, "policy": None},
        {**POOL, "policy": "failover\n"},
        {**POOL, "profiles": []},
        {**POOL, "profiles": ["a"]},
        {**POOL, "policy": "FAILOVER", "profiles": ["a"]},
        {**POOL, "profiles": ["a", "b.json"]},
        {**POOL, "profiles": "a, b"},
        {**POOL, "provider": "openai"},
        {**POOL, "model": "m"},
        {**POOL, "ephemeralSettings": {"base-url": "https://a/v1"}},
    ],
)
def test_both_refuse_these(document: dict[str, Any]) -> None:
    assert not parser_takes(document)
    assert not schemas_take(document)


VALUES = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            1,
            1.0,
            2,
            50,
            500,
            1.5,
            30_000,
            -1,
            2**53,
            "",
            " ",
            "x",
            "KEY",
            "a\nb",
            "true",
        ),
        *("https://a/v1", "https://a:b@c", "serving", "window", "failover", "roundrobin", "RoundRobin"),
        *("standard", "loadbalancer", "m", [], ["a"], ["a", "b"], ["a", 5], [400, 503], {}, {"a": 1}),
        *({"temperature": 1}, {"stream": True}),
        [{"status": 500, "kind": "quota"}],
        [{"match": "(", "kind": "quota"}],
        *ALIASES,
    ]
)
KEYS = st.sampled_from([row.key for row in REGISTRY]) | st.sampled_from(["timeout", "unknown"])
SETTINGS = st.dictionaries(
    st.builds(lambda key, kebab: key.replace("_", "-") if kebab else key, KEYS, st.booleans()),
    VALUES,
    max_size=3,
).filter(lambda settings: len({key.replace("-", "_") for key in settings}) == len(settings))
FIELDS = st.sampled_from(
    [
        *("$schema", "version", "type", "provider", "model", "modelParams", "policy", "profiles"),
        "unknown",
    ]
)


@given(st.sampled_from([MEMBER, POOL]), st.dictionaries(FIELDS, VALUES, max_size=2), st.none() | SETTINGS)
def test_they_never_disagree(
    base: dict[str, Any], changes: dict[str, Any], settings: dict[str, Any] | None
) -> None:
    document = {**base, **changes} | ({} if settings is None else {"ephemeralSettings": settings})

    assert parser_takes(document) == schemas_take(document)
