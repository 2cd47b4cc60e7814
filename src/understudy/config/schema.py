"""JSON Schema (draft 2020-12) of both kinds of profile, for editors and other tools.

Made from the settings registry and the alias table, and of one mind with the parser, but for what a
schema can't say: a key given twice, also as two spellings; two keys named at once in mixed spellings;
a ``name`` that is not the file's; a load balancer that lists itself.
"""

from __future__ import annotations

from typing import Any

from understudy.config.aliases import ALIASES
from understudy.config.checks import KEY_SETTINGS, NAME, PARAMS, RESERVED_PARAMS, SETTINGS
from understudy.config.profile_file import LOAD_BALANCER, STANDARD, VERSION
from understudy.core.policies import BY_NAME as POLICIES
from understudy.core.settings import REGISTRY, Scope, Setting, spelled
from understudy.core.shapes import TEXT

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def standard_schema() -> dict[str, Any]:
    """What `StandardProfile` takes."""
    without_address = [alias.name for alias in ALIASES.values() if alias.base_url is None]
    return _profile_schema(
        "A backend for Understudy",
        STANDARD,
        {
            "provider": {"description": "Who answers, by name.", "enum": sorted(ALIASES)},
            "model": TEXT.schema() | {"description": "The model, by the provider's name for it."},
        },
        ["provider", "model"],
        Scope.MEMBER,
    ) | {
        "if": {"properties": {"provider": {"enum": without_address}}, "required": ["provider"]},
        "then": {
            "properties": {SETTINGS: {"anyOf": [{"required": [key]} for key in _spellings("base-url")]}},
            "required": [SETTINGS],
        },
    }


def load_balancer_schema() -> dict[str, Any]:
    """What `LoadBalancerProfile` takes."""
    members = {
        "description": "Standard profiles, in order of preference.",
        "type": "array",
        "items": NAME.schema(),
        "minItems": 1,
    }
    nothing = {"description": "Each member has its own.", "enum": ["", None]}
    schema = _profile_schema(
        "A load balancer for Understudy",
        LOAD_BALANCER,
        {"policy": _policy_schema(), "profiles": members, "provider": nothing, "model": nothing},
        ["type", "policy", "profiles"],
        Scope.POOL,
    )
    return schema | {
        "if": {"properties": {"policy": _any_case("failover")}},
        "then": {"properties": {"profiles": {"minItems": 2}}},
    }


def _profile_schema(
    title: str, kind: str, fields: dict[str, Any], required: list[str], scope: Scope
) -> dict[str, Any]:
    common = {
        "$schema": {"type": "string"},
        "version": {"const": VERSION},
        "type": {"const": kind},
        "name": NAME.schema() | {"description": "The file's name without .json."},
    }
    settings = {PARAMS: _params_schema(), SETTINGS: _settings_schema(scope)}
    return {
        "$schema": _DIALECT,
        "$comment": "Made by scripts/reference from the settings registry; not for editing.",
        "title": title,
        "type": "object",
        "properties": common | fields | settings,
        "required": required,
        "additionalProperties": False,
    }


def _params_schema() -> dict[str, Any]:
    return {
        "description": "Fields of a chat request, for what a request leaves out.",
        "type": "object",
        "properties": dict.fromkeys(RESERVED_PARAMS, False),
    }


def _settings_schema(scope: Scope) -> dict[str, Any]:
    rows = [setting for setting in REGISTRY if setting.scope in (scope, Scope.BOTH)]
    schema = {
        "type": "object",
        "properties": {row.key: _described(row) for row in rows},
        "patternProperties": {_any_spelling(row.key): row.shape.schema() for row in rows},
        "additionalProperties": False,
    }
    if scope is Scope.MEMBER:
        schema["not"] = {"anyOf": _two_keys()}
    return schema


def _described(row: Setting) -> dict[str, Any]:
    described = {"description": row.help} | row.shape.schema()
    return described if row.default is None else described | {"default": row.default}


def _two_keys() -> list[dict[str, Any]]:
    pairs = [(one, other) for one in KEY_SETTINGS for other in KEY_SETTINGS if one < other]
    return [
        {"required": [first, second]}
        for one, other in pairs
        for first in _spellings(one)
        for second in _spellings(other)
    ]


def _spellings(key: str) -> tuple[str, str]:
    return key.replace("_", "-"), spelled(key)


def _any_spelling(key: str) -> str:
    return "^" + spelled(key).replace("_", "[_-]") + r"$(?!\n)"


def _policy_schema() -> dict[str, Any]:
    return {
        "description": "Who is asked first; any case.",
        "anyOf": [{"enum": sorted(POLICIES)}, *(_any_case(policy) for policy in sorted(POLICIES))],
    }


def _any_case(word: str) -> dict[str, Any]:
    letters = "".join(f"[{letter.upper()}{letter.lower()}]" for letter in word)
    return {"type": "string", "pattern": rf"^{letters}$(?!\n)"}
