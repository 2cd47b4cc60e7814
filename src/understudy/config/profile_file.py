"""A profile's JSON text ↔ its value.

1. ``type`` may be left out: the profile is then a standard one. ``version`` is 1, also when left out.
2. A ``name`` inside that differs from the file's is an error: the file's name is the profile's name.
3. In a load balancer ``provider`` and ``model`` are empty or absent; its members have their own.
4. What is written holds canonical keys only, and an inline key only if asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from understudy.config.checks import PARAMS, SETTINGS, check_word, hint_of
from understudy.config.document import read_document
from understudy.config.problem import Problems, place
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile, source_of
from understudy.config.secret import Secret, shown
from understudy.core.error_rules import ErrorRule
from understudy.core.settings import nearest
from understudy.errors import ProfileError

VERSION = 1
STANDARD = "standard"
LOAD_BALANCER = "loadbalancer"

STANDARD_FIELDS = ("$schema", "version", "type", "name", "provider", "model", PARAMS, SETTINGS)
LOAD_BALANCER_FIELDS = (*STANDARD_FIELDS, "policy", "profiles")


def parse_profile(text: str, *, name: str, path: Path | None = None) -> Profile:
    """The profile that `text` holds; raises `ProfileError` with everything that is wrong with it."""
    source = source_of(name, path)
    document = read_document(text, source)
    problems = Problems(source)
    kind = document.get("type", STANDARD)
    check_word(kind, (STANDARD, LOAD_BALANCER), place("type"), problems)
    problems.raise_if_any()
    _check_common(document, name, problems)
    make = _standard
    if kind == LOAD_BALANCER:
        make = _load_balancer
        _check_empty(document, problems)
    _check_fields(document, LOAD_BALANCER_FIELDS if kind == LOAD_BALANCER else STANDARD_FIELDS, problems)
    try:
        profile = make(document, name, path)
    except ProfileError as error:
        raise problems.joined(error) from None
    problems.raise_if_any()
    return profile


def _check_common(document: Mapping[str, Any], name: str, problems: Problems) -> None:
    version = document.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        problems.add(place("version"), f"it must be {VERSION}, not {shown(version)}")
    if "name" in document and document["name"] != name:
        problems.add(
            place("name"),
            f"it must be {shown(name)}, not {shown(document['name'])}",
            "the file's name is the profile's name; rename one of them, or leave the field out",
        )
    if not isinstance(document.get("$schema", ""), str):
        problems.add(place("$schema"), f"it must be a text, not {shown(document['$schema'])}")


def _standard(document: Mapping[str, Any], name: str, path: Path | None) -> Profile:
    return StandardProfile(
        name,
        document.get("provider"),  # type: ignore[arg-type]  # the value itself checks it
        document.get("model"),  # type: ignore[arg-type]  # likewise
        document.get(PARAMS, {}),
        document.get(SETTINGS, {}),
        path,
    )


def _load_balancer(document: Mapping[str, Any], name: str, path: Path | None) -> Profile:
    return LoadBalancerProfile(
        name,
        document.get("policy"),  # type: ignore[arg-type]  # the value itself checks it
        document.get("profiles", ()),
        document.get(PARAMS, {}),
        document.get(SETTINGS, {}),
        path,
    )


def _check_empty(document: Mapping[str, Any], problems: Problems) -> None:
    for key in ("provider", "model"):
        if document.get(key) not in (None, ""):
            problems.add(
                place(key), f"it must be empty, not {shown(document[key])}", "each member has its own"
            )


def _check_fields(document: Mapping[str, Any], known: Iterable[str], problems: Problems) -> None:
    for key in document:
        if key in known:
            continue
        if key in LOAD_BALANCER_FIELDS:
            hint = f'a load balancer says "type": "{LOAD_BALANCER}"'
        else:
            hint = hint_of(nearest(key, known), known)
        problems.add(place(key), "unknown field", hint)


def to_document(profile: Profile) -> dict[str, Any]:
    """The profile as its file has it, for looking at: an inline key is masked."""
    head: dict[str, Any] = {"name": profile.name, "version": VERSION}
    if isinstance(profile, StandardProfile):
        head |= {"type": STANDARD, "provider": profile.provider, "model": profile.model}
    else:
        head |= {"type": LOAD_BALANCER, "policy": profile.policy, "profiles": list(profile.members)}
    if profile.model_params:
        head[PARAMS] = dict(profile.model_params)
    return head | {SETTINGS: {key: _plain(value) for key, value in profile.settings.items()}}


def to_text(profile: Profile, *, inline_key: bool = False) -> str:
    """The text of the profile's file. A key kept inline is left out but with `inline_key`."""
    document = to_document(profile)
    secret = document[SETTINGS].pop("auth-key", None)
    if secret is not None and inline_key:
        document[SETTINGS]["auth-key"] = profile.settings["auth-key"].reveal()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(value: object) -> object:
    match value:
        case Secret():
            return str(value)
        case ErrorRule():
            rule = {"status": value.status, "match": value.match, "kind": str(value.kind)}
            return {key: item for key, item in rule.items() if item is not None}
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return value
