"""The reference pages, made from the tables that the code itself goes by.

`pages` holds them by file name; ``scripts/reference`` writes them to ``docs/reference``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from understudy.config.aliases import ALIASES, Alias
from understudy.config.schema import load_balancer_schema, standard_schema
from understudy.core.settings import REGISTRY, Scope, Setting

_NOTICE = "<!-- Made by scripts/reference; edit {source} and run it again. -->"

_SETTINGS_INTRODUCTION = """\
# Settings

Settings stand under `ephemeralSettings` in a profile. Snake and kebab spelling are the same key
(`timeout_ms`, `timeout-ms`). Durations are milliseconds.

The value in force is the last one given of: the default, the load-balancer profile, the member's own
profile (where *both* is the scope), `--set KEY=VALUE` on the command line, `/set KEY VALUE` in the
session. `/set` alone shows every value and where it came from.

| scope | belongs in |
|---|---|
| pool | the load-balancer profile |
| both | the load-balancer profile, for all members; or a member's own profile, for that one |
| member | the member's own profile |
"""

_PROVIDERS_INTRODUCTION = """\
# Providers

The names that a profile's `provider` may have. Each stands for a wire format, a base URL and the
environment variable its key is usually in. The variable is read only if the base URL is the provider's
own: a profile with a `base-url` of its own names its own key, or none is sent.

*Usage* says whether a stream is asked to report its tokens (`stream_options.include_usage`); where it
is not, tokens that the backend does not report unasked are estimated.
"""


def pages() -> dict[str, str]:
    """Text by file name."""
    return {
        "settings.md": settings_page(),
        "providers.md": providers_page(),
        "standard-profile.schema.json": _json(standard_schema()),
        "load-balancer-profile.schema.json": _json(load_balancer_schema()),
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def settings_page() -> str:
    rows = [_setting_row(setting) for setting in sorted(REGISTRY, key=_scope_order)]
    table = _table(("key", "value", "default", "scope", "meaning"), rows)
    return _page("src/understudy/core/settings.py", _SETTINGS_INTRODUCTION, table)


def providers_page() -> str:
    rows = [_provider_row(alias) for alias in ALIASES.values()]
    table = _table(("provider", "base URL", "key variable", "wire format", "usage"), rows)
    return _page("src/understudy/config/aliases.py", _PROVIDERS_INTRODUCTION, table)


def _scope_order(setting: Setting) -> int:
    return (Scope.BOTH, Scope.POOL, Scope.MEMBER).index(setting.scope)


def _setting_row(setting: Setting) -> tuple[str, ...]:
    default = setting.default_text if setting.default is None else f"`{setting.default_text}`"
    return f"`{setting.key}`", setting.shape.description, default, setting.scope, setting.help


def _provider_row(alias: Alias) -> tuple[str, ...]:
    return (
        f"[{alias.name}]({alias.homepage})",
        f"`{alias.base_url}`" if alias.base_url else "your own",
        f"`{alias.key_variable}`" if alias.key_variable else "none needed",
        alias.wire_format,
        "asked for" if alias.knows_stream_usage else "not asked for",
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(head)
    lines = (titles, ("---",) * len(titles), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _page(source: str, introduction: str, table: str) -> str:
    return f"{_NOTICE.format(source=source)}\n\n{introduction}\n{table}"


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
