"""The single backend that a session is building, or has loaded.

1. A draft is frozen; every change makes another, and refuses what no profile may hold.
2. Another provider starts without the former one's base URL and key; another base URL without a key that
   came with a saved profile: nobody's key is sent to an address it was not given for.
3. Another model starts without the former one's context limit.
4. It becomes a profile once it has a provider and a model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from understudy.config.aliases import ALIASES
from understudy.config.checks import KEY_SETTINGS, hint_of
from understudy.config.profile import StandardProfile
from understudy.config.secret import InlineKey, KeyFile, Secret, resolve, shown
from understudy.core.settings import FACTS, lookup, nearest
from understudy.core.shapes import TEXT
from understudy.errors import ConfigurationError
from understudy.wire.masking import mask

UNSAVED = "unsaved"


@dataclass(frozen=True, slots=True)
class Draft:
    """`loaded_key`: the key came with a saved profile rather than from this session."""

    name: str = UNSAVED
    provider: str | None = None
    model: str | None = None
    model_params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    loaded_key: bool = False

    @classmethod
    def of(cls, profile: StandardProfile) -> Draft:
        return cls(
            profile.name,
            profile.provider,
            profile.model,
            profile.model_params,
            profile.settings,
            profile.path,
            loaded_key=True,
        )

    @property
    def is_empty(self) -> bool:
        return self.provider is None and self.model is None and not self.settings

    @property
    def has_key(self) -> bool:
        """Does it name a key of its own?"""
        return any(key in self.settings for key in KEY_SETTINGS)

    @property
    def has_inline_key(self) -> bool:
        return "auth-key" in self.settings

    def with_provider(self, provider: str) -> Draft:
        if provider not in ALIASES:
            likely = nearest(provider.lower(), ALIASES)
            raise ConfigurationError(f"unknown provider {shown(provider)}", hint=hint_of(likely, ALIASES))
        if self.provider in (None, provider):
            return replace(self, provider=provider)
        return replace(self, provider=provider, settings=self._settings("base-url", *KEY_SETTINGS))

    def with_model(self, model: str) -> Draft:
        if model == self.model:
            return self
        try:
            TEXT.check(model)
        except ValueError:
            raise ConfigurationError(f"model must be {TEXT.description}") from None
        return replace(self, model=model, settings=self._settings(*FACTS))

    def with_base_url(self, url: str) -> Draft:
        checked = lookup("base-url").parse(url)
        foreign = KEY_SETTINGS if self.loaded_key and checked != self.settings.get("base-url") else ()
        return replace(self, settings={**self._settings(*foreign), "base-url": checked})

    def with_key_file(self, path: str) -> Draft:
        """The key is read once, so that a wrong path is said at once."""
        if not path.startswith("~"):
            path = str(Path(path).absolute())
        resolve(KeyFile(Path(os.path.expanduser(path))), {})
        return self._with_key("auth-keyfile", lookup("auth-keyfile").parse(path))

    def with_key(self, key: str) -> Draft:
        secret = resolve(InlineKey(Secret(key)), {})
        return self._with_key("auth-key", secret)

    def profile(self, name: str | None = None) -> StandardProfile:
        """The profile it makes; raises `ConfigurationError` while something is missing."""
        if self.provider is None or self.model is None:
            missing = "provider" if self.provider is None else "model"
            raise ConfigurationError(
                f"the backend has no {missing} yet", hint=f"/{missing} NAME says which, /help shows more"
            )
        return StandardProfile(
            name or self.name, self.provider, self.model, self.model_params, self.settings, self.path
        )

    def __str__(self) -> str:
        """provider openai, model gpt-4o-mini, base-url https://…/v1, auth-keyfile ~/key"""
        parts = {"provider": self.provider, "model": self.model, "base-url": self.settings.get("base-url")}
        parts |= {key: self.settings[key] for key in KEY_SETTINGS if key in self.settings}
        # Masked, because a key may have been taken for a path or a model.
        known = {label: mask(str(value)) for label, value in parts.items() if value is not None}
        return ", ".join(f"{label} {value}" for label, value in known.items())

    def _settings(self, *dropped: str) -> dict[str, Any]:
        return {key: value for key, value in self.settings.items() if key not in dropped}

    def _with_key(self, setting: str, value: object) -> Draft:
        settings = {**self._settings(*KEY_SETTINGS), setting: value}
        return replace(self, settings=settings, loaded_key=False)
