"""The two kinds of profile as frozen values.

They are checked when they are made, from a file or in code alike, and raise `ProfileError`. Settings
take either spelling and are kept checked, by canonical key. Rules:

1. The base URL is the profile's own, else the alias's.
2. The key is the one the profile names; else the alias's variable if the base URL is the alias's own;
   else none. A member never has another member's key or base URL.
3. Paths in a profile may begin with ``~``; relative ones start at the folder of the profile's file.
4. A load balancer under policy failover lists at least two members, under any other at least one, and
   never itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.config.aliases import ALIASES, Alias, WireFormat
from understudy.config.checks import (
    NAME,
    SETTINGS,
    check_model,
    check_params,
    check_policy,
    check_provider,
    check_settings,
    check_shape,
)
from understudy.config.models import facts_of
from understudy.config.problem import Problems, place
from understudy.config.secret import (
    InlineKey,
    KeyFile,
    KeyReference,
    KeyringEntry,
    KeyVariable,
    concerns,
    shown,
)
from understudy.core.settings import Layers, Scope


@dataclass(frozen=True, slots=True)
class StandardProfile:
    """One backend.

    StandardProfile("local", "vllm", "qwen3")
    StandardProfile("mine", "openai", "m", settings={"base-url": "https://…/v1", "auth-key-env": "MY_KEY"})

    `model_params` fill what a request leaves out. `path` is the file it came from, None if from code.
    """

    name: str
    provider: str
    model: str
    model_params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def __post_init__(self) -> None:
        problems = Problems(source_of(self.name, self.path))
        check_shape(self.name, NAME, place("name"), problems)
        check_provider(self.provider, problems)
        check_model(self.model, problems)
        params = check_params(self.model_params, problems)
        settings = check_settings(self.settings, Scope.MEMBER, problems)
        _check_base_url(self.provider, settings, problems)
        problems.raise_if_any()
        object.__setattr__(self, "model_params", params)
        object.__setattr__(self, "settings", settings)

    @property
    def alias(self) -> Alias:
        return ALIASES[self.provider]

    @property
    def wire_format(self) -> WireFormat:
        return self.alias.wire_format

    @property
    def base_url(self) -> str:
        """Without a slash at its end."""
        url: str = self.settings.get("base-url", self.alias.base_url)
        return url.rstrip("/")

    @property
    def knows_stream_usage(self) -> bool:
        """May ``stream_options.include_usage`` be asked of it?"""
        return self.alias.knows_stream_usage

    @property
    def key(self) -> KeyReference | None:
        """Where its key is; None if it gets none.

        There are six cases: the four ways to name one, the alias's own, and none.
        """
        match self.settings:
            case {"auth-key-env": name}:
                return KeyVariable(name)
            case {"auth-keyfile": path}:
                return KeyFile(located(path, self.path))
            case {"auth-key-name": name}:
                return KeyringEntry(name)
            case {"auth-key": secret}:
                return InlineKey(secret)
        variable = self.alias.key_variable
        return KeyVariable(variable) if variable and self.alias.owns(self.base_url) else None

    @property
    def ca_file(self) -> Path | None:
        """The certificate authorities to trust besides the system's."""
        path = self.settings.get("ca-file")
        return None if path is None else located(path, self.path)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the table of models says of its model, by the keys of settings."""
        alias, url = self.alias, self.base_url
        return facts_of(self.model, hosted=alias.key_variable is not None and alias.owns(url))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unwise about it, though it works."""
        return tuple(f"{self.name}: {concern}" for concern in concerns(self.key)) if self.key else ()


@dataclass(frozen=True, slots=True)
class LoadBalancerProfile:
    """A policy over members, named in order of preference.

    LoadBalancerProfile("pair", "failover", ("first", "second"), settings={"timeout_ms": 5000})

    `model_params` fill what neither the request nor the member sets.
    """

    name: str
    policy: str
    members: tuple[str, ...]
    model_params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def __post_init__(self) -> None:
        problems = Problems(source_of(self.name, self.path))
        policy = self.policy.lower() if isinstance(self.policy, str) else self.policy
        check_shape(self.name, NAME, place("name"), problems)
        check_policy(policy, problems)
        _check_members(self.members, policy, self.name, problems)
        params = check_params(self.model_params, problems)
        settings = check_settings(self.settings, Scope.POOL, problems)
        problems.raise_if_any()
        object.__setattr__(self, "policy", policy)
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "model_params", params)
        object.__setattr__(self, "settings", settings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unwise about it, though it works."""
        layers = Layers(profile=self.settings)
        whole, first_content = layers.value("request_timeout_ms"), layers.value("timeout_ms")
        if whole > first_content:
            return ()
        return (
            f"{self.name}: request_timeout_ms ({whole}) is no longer than timeout_ms ({first_content}), "
            "so a request is over before a silent backend is given up",
        )


Profile = StandardProfile | LoadBalancerProfile


def source_of(name: object, path: Path | None) -> str:
    """What a message calls a profile: its file if it has one."""
    return f"profile {shown(name)}" if path is None else str(path)


def located(text: str, profile: Path | None) -> Path:
    """The file that a profile means by `text` (rule 3)."""
    path = Path(os.path.expanduser(text))
    return path if profile is None else profile.parent / path


def _check_base_url(provider: object, settings: Mapping[str, Any], problems: Problems) -> None:
    alias = ALIASES.get(provider) if isinstance(provider, str) else None
    if alias is not None and alias.base_url is None and "base-url" not in settings:
        problems.add(
            place(SETTINGS),
            f"base-url is missing: {alias.name} has no address that serves everybody",
            f"see {alias.homepage}",
        )


def _check_members(members: object, policy: object, own_name: object, problems: Problems) -> None:
    where = place("profiles")
    if not isinstance(members, list | tuple):
        problems.add(where, f"it must be a list of profile names, not {shown(members)}")
        return
    if not members:
        problems.add(where, "no members", "list the names of standard profiles")
    elif len(members) == 1 and policy == "failover":
        problems.add(where, "failover needs at least two members", "list another one to fail over to")
    for index, member in enumerate(members):
        check_shape(member, NAME, place("profiles", index), problems)
        if member == own_name:
            problems.add(place("profiles", index), f"{shown(member)} is this load balancer itself")
