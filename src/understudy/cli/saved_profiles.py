"""The saved profiles as the command line reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.errors import ConfigurationError

if TYPE_CHECKING:
    import click

    from understudy.config.store import ProfileStore


def store() -> ProfileStore:
    """The profiles of the user's configuration folder."""
    from understudy.config.store import ProfileStore, config_dir

    return ProfileStore(config_dir())


def chosen(name: str | None) -> str:
    """The profile asked for, or the default one; raises `ConfigurationError`."""
    name = store().default if name is None else name
    if name is None:
        raise ConfigurationError(
            "no profile to answer with",
            hint="--profile-load NAME takes one, `understudy profile list` shows them, "
            "`understudy demo` needs none",
        )
    return name


def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """The names that begin like this, for the shell's completion."""
    return [name for name in store().names() if name.startswith(incomplete)]


def settings_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping by canonical key, the last one winning; raises `SettingError`."""
    from understudy.core.settings import check_live

    settings: dict[str, str] = {}
    for key, value in map(pair, pairs):
        settings[check_live(key, value)[0]] = value
    return settings


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` as two; raises `ConfigurationError`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        from understudy.config.secret import shown

        raise ConfigurationError(f"{shown(text)} is not KEY=VALUE", hint="as in timeout_ms=5000")
    return key.strip(), value.strip()
