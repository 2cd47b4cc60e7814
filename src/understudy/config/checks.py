"""The rules for a profile's fields, one function each; all add what they find to `Problems`.

Unknown settings, providers and policies get the nearest known word as a hint. A setting in a profile
of the wrong kind is told where it belongs. Values are quoted, but not those that may be a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from understudy.config.aliases import ALIASES
from understudy.config.problem import Problems, place
from understudy.config.secret import Secret, shown
from understudy.core.policies import BY_NAME as POLICIES
from understudy.core.settings import Scope, Setting, lookup, nearest
from understudy.core.shapes import TEXT, Shape, Text
from understudy.errors import SettingError

NAME = Text(
    "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit, not ending in .json",
    r"^(?!.*\.json$(?!\n))[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)",
)

SETTINGS = "ephemeralSettings"
PARAMS = "modelParams"

# What the request or the profile itself says; a parameter of that name would undo it.
RESERVED_PARAMS: dict[str, str] = {
    "model": "the profile's own model field names the model",
    "messages": "messages come with each request",
    "stream": "each request says whether it streams",
    "api_key": "keys go by reference: auth-key-env or auth-keyfile under ephemeralSettings",
}

KEY_SETTINGS = ("auth-key-env", "auth-keyfile", "auth-key-name", "auth-key")


def check_shape(value: object, shape: Shape, where: str, problems: Problems) -> None:
    """`value` must be there and of this shape."""
    if value is None:
        problems.add(where, f"it is missing; it must be {shape.description}")
        return
    try:
        shape.check(value)
    except ValueError:
        problems.add(where, f"it must be {shape.description}, not {shown(value)}")


def check_word(value: object, known: Iterable[str], where: str, problems: Problems) -> None:
    """`value` must be one of the `known` words."""
    words = sorted(known)
    if isinstance(value, str) and value in words:
        return
    if value is None:
        problems.add(where, f"it is missing; it must be one of {', '.join(words)}")
        return
    likely = nearest(value.lower(), words) if isinstance(value, str) else None
    problems.add(where, f"unknown: {shown(value)}", hint_of(likely, words))


def hint_of(likely: str | None, words: Iterable[str]) -> str:
    return f"did you mean {likely}?" if likely else f"known: {', '.join(words)}"


def check_provider(value: object, problems: Problems) -> None:
    check_word(value, ALIASES, place("provider"), problems)


def check_policy(value: object, problems: Problems) -> None:
    check_word(value, POLICIES, place("policy"), problems)


def check_model(value: object, problems: Problems) -> None:
    check_shape(value, TEXT, place("model"), problems)


def check_params(params: object, problems: Problems) -> dict[str, Any]:
    """The model parameters; any name goes, because providers differ, but for the reserved ones."""
    if not isinstance(params, Mapping):
        problems.add(place(PARAMS), f"it must be an object, not {shown(params)}")
        return {}
    for name in sorted(RESERVED_PARAMS.keys() & params.keys()):
        problems.add(place(PARAMS, name), "it can't be set here", RESERVED_PARAMS[name])
    return dict(params)


def check_settings(settings: object, kind: Scope, problems: Problems) -> dict[str, Any]:
    """The checked values by canonical key; `kind` is whose profile this is, POOL or MEMBER."""
    if not isinstance(settings, Mapping):
        problems.add(place(SETTINGS), f"it must be an object, not {shown(settings)}")
        return {}
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        setting = _known(key, problems)
        if setting is None or not _at_home(key, setting, kind, problems):
            continue
        if setting.key in checked:
            problems.add(place(SETTINGS, key), f"{setting.key} is given in two spellings", "keep one of them")
        _check_value(key, value, setting, checked, problems)
    _one_key(checked, problems)
    return checked


def _known(key: str, problems: Problems) -> Setting | None:
    try:
        return lookup(key)
    except SettingError as error:
        problems.add(place(SETTINGS, key), "unknown setting", error.hint)
        return None


def _at_home(key: str, setting: Setting, kind: Scope, problems: Problems) -> bool:
    if setting.scope in (kind, Scope.BOTH):
        return True
    if setting.scope is Scope.POOL:
        problems.add(place(SETTINGS, key), f"{setting.key} belongs in the load-balancer profile")
    else:
        problems.add(place(SETTINGS, key), f"{setting.key} belongs in each member's own profile")
    return False


def _check_value(
    key: str, value: object, setting: Setting, checked: dict[str, Any], problems: Problems
) -> None:
    plain = value.reveal() if isinstance(value, Secret) else value
    try:
        kept = setting.check(plain)
    except SettingError as error:
        quote = "" if setting.secret or _may_hold_password(plain) else f", not {shown(plain)}"
        problems.add(place(SETTINGS, key), f"{error.message}{quote}")
        return
    checked[setting.key] = Secret(kept) if setting.key == "auth-key" else kept


def _may_hold_password(value: object) -> bool:
    """``https://user:password@host`` is refused, and must not be quoted either."""
    return isinstance(value, str) and "@" in value


def _one_key(checked: Mapping[str, Any], problems: Problems) -> None:
    named = [key for key in KEY_SETTINGS if key in checked]
    if len(named) > 1:
        problems.add(place(SETTINGS), f"{' and '.join(named)} both name a key", "keep one of them")
