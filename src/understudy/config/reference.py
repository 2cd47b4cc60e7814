"""The reference pages, made from the tables that the code itself goes by.

`pages` holds them by file name; ``scripts/reference`` writes them to ``docs/reference``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from understudy.config.aliases import ALIASES, Alias
from understudy.config.models import Family, families
from understudy.config.schema import load_balancer_schema, standard_schema
from understudy.core.facts import Price
from understudy.core.outcome import RULES
from understudy.core.settings import REGISTRY, Scope, Setting
from understudy.errors import FailureKind

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


_MODELS_INTRODUCTION = """\
# Models

What Understudy knows of models by their names: the defaults of a member's `context-limit`,
`max-output`, `supports`, `refuses`, `price` and `tokenizer`. A profile's own settings go before them; a
model that is not listed has no facts, and nothing is assumed of it. [Models](../models.md) tells how names
are matched and what facts are for.

A name matches if it begins with one of a row's and continues with a date, a size or a variant at most;
the longest match counts. Provider prefixes (`openai/`, `models/`, `us.anthropic.`) are dropped, and a
dot between digits is as good as a dash. *open*: an open model; its window is believed only at a
provider's own address.

Prices are US dollars for a million tokens, in this order: input, output, input read from a cache, input
written to one; reasoning costs what other output does. They are the maker's list prices, without tiers,
batches and discounts. *As of* is the month that a row tells about, and the link goes to the maker's page
on it. Most figures were taken over from the price table that LiteLLM 1.110.2 ships (MIT licence), which
cites those pages; the rest is general knowledge of them. Where a provider says otherwise, it is right: set
it in the profile.
"""

_FAILURES_INTRODUCTION = """\
# Failure kinds

Every failed attempt has one of these kinds, in the trail, the statistics, the log and the errors. The
kind decides whether the same backend is asked again in this request, whether the next one is, and
whether the circuit breaker counts it. [Failover](../failover.md) tells what lies beside this table:
benches, the settings that outrank it, and what happens after the first content.
"""

_MEANINGS = {
    FailureKind.CONNECT: "refused, name not resolved, TLS refused, connect timeout",
    FailureKind.RESET: "the connection ended with the answer incomplete, before content",
    FailureKind.TIMEOUT: "no first content in time",
    FailureKind.STALL: "silence after content",
    FailureKind.TRUNCATED: "the end came after content, but before the answer's",
    FailureKind.SERVER_ERROR: "5xx, 529, 408, 409, 425",
    FailureKind.PROTOCOL: "a web page, garbage, cut JSON, 204, a redirect that may not be followed, a limit",
    FailureKind.EMPTY: "an answer without content; not counted if it ended properly",
    FailureKind.RATE_LIMITED: "429; with a Retry-After it benches the backend and is not counted",
    FailureKind.QUOTA: "402, or a body that says quota, credit or billing is used up",
    FailureKind.AUTH: "401, 403, or a 400 about the key",
    FailureKind.MODEL_NOT_FOUND: "404, or a 400 saying so",
    FailureKind.CONTEXT_LENGTH: "the request is too long for the model",
    FailureKind.CONTENT_FILTER: "a policy error; a `finish_reason` of that name is a success",
    FailureKind.INVALID_REQUEST: "any other 4xx: the request itself is to blame",
    FailureKind.UNFIT: "the request is not for this backend, though another may take it: its wire format "
    "cannot say it (it was not sent), it refuses what others said before, or it cannot fetch a file",
    FailureKind.MISMATCH: "asked to go on with a broken answer, it said something else",
    FailureKind.CANCELLED: "the caller left, or the request's deadline cut the attempt short",
    FailureKind.INTERNAL: "a bug of Understudy, raised loudly",
}


def pages() -> dict[str, str]:
    """Text by file name."""
    return {
        "settings.md": settings_page(),
        "providers.md": providers_page(),
        "failures.md": failures_page(),
        "models.md": models_page(),
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


def models_page() -> str:
    table = _table(
        ("models", "window", "longest answer", "takes", "refuses", "price", "tokens like", "as of"),
        map(_model_row, families()),
    )
    return _page("src/understudy/config/models.json", _MODELS_INTRODUCTION, table)


def failures_page() -> str:
    rows = [
        (f"`{kind}`", _MEANINGS[kind], rule.again.value, rule.next.value, "counts" if rule.counts else "no")
        for kind, rule in RULES.items()
    ]
    table = _table(("kind", "what happened", "same backend again", "next backend", "breaker"), rows)
    return _page("src/understudy/core/outcome.py", _FAILURES_INTRODUCTION, table)


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


def _model_row(family: Family) -> tuple[str, ...]:
    facts, names = family.facts, ", ".join(f"`{name}`" for name in family.names)
    return (
        f"{names} (open)" if family.is_open else names,
        _known(facts.get("context-limit")),
        _known(facts.get("max-output")),
        ", ".join(facts["supports"]) if "supports" in facts else "",
        ", ".join(facts.get("refuses", ())),
        _price(Price(**facts["price"])) if "price" in facts else "",
        _known(facts.get("tokenizer")),
        f"[{family.maker}]({family.source}), {family.as_of}",
    )


def _known(value: object) -> str:
    return "" if value is None else str(value)


def _price(price: Price) -> str:
    amounts = (price.input, price.output, price.cached_input, price.cache_write)
    return " / ".join("–" if amount is None else f"{amount:g}" for amount in amounts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(head)
    lines = (titles, ("---",) * len(titles), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _page(source: str, introduction: str, table: str) -> str:
    return f"{_NOTICE.format(source=source)}\n\n{introduction}\n{table}"


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
