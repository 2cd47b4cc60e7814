"""Keys: where they are, how they are read, and that they never show.

1. A `Secret` masks itself in repr, str and format, and can't be pickled; only `reveal` shows it.
2. A key that is missing, empty or not one printable word is an error; what was found is not shown.
3. Keys come by reference: an environment variable, a file of one line, an entry of the OS keyring.
   The key itself in a profile, and a key file that others can read, are accepted and warned about.
4. Text that looks like a key is masked wherever a message would quote it: people paste keys into the
   wrong field.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from understudy.config.files import reason
from understudy.errors import ConfigurationError
from understudy.wire.masking import mask

KEYRING_SERVICE = "understudy"

_MASK = "********"
_SHOWN_CHARACTERS = 60
# Some providers' keys are nothing but letters and digits.
_BARE_KEY = re.compile(r"(?<![\w./~-])[A-Za-z0-9]{32,}(?![\w./-])")
_LARGEST_KEY_FILE = 64 * 1024


class Secret:
    """A key. Equal to another of the same value; everything else about it is a mask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, specification: str) -> str:
        return format(_MASK, specification)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._value == other._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled: it would be written out in full")


@dataclass(frozen=True, slots=True)
class KeyVariable:
    """The key is in this environment variable."""

    name: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The key is the one line of this file."""

    path: Path


@dataclass(frozen=True, slots=True)
class KeyringEntry:
    """The key is in the OS keyring, under the service ``understudy`` and this user name."""

    name: str


@dataclass(frozen=True, slots=True)
class InlineKey:
    """The key is in the profile itself."""

    secret: Secret


KeyReference = KeyVariable | KeyFile | KeyringEntry | InlineKey


def shown(value: object) -> str:
    """`value` as a message may quote it: JSON on one line, shortened, anything like a key masked."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not text.isprintable():
        text = json.dumps(value, default=str)
    text = _masked(text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def resolve(reference: KeyReference, environ: Mapping[str, str]) -> Secret:
    """The key itself; raises `ConfigurationError` that says what is missing and the way out."""
    match reference:
        case KeyVariable(name):
            return _from_variable(name, environ)
        case KeyFile(path):
            return _from_file(path)
        case KeyringEntry(name):
            return _from_keyring(name)
    return _checked(reference.secret.reveal(), "auth-key", "name a variable with auth-key-env instead")


def concerns(reference: KeyReference) -> tuple[str, ...]:
    """What is unwise about where the key is kept, one sentence each."""
    match reference:
        case InlineKey():
            return ("the key itself is in the profile; auth-key-env or auth-keyfile keep it out",)
        case KeyFile(path) if _open_to_others(path):
            return (f"others can read the key file {_masked(str(path))}; chmod 600 closes it",)
        case _:
            return ()


def _masked(text: str) -> str:
    return _BARE_KEY.sub(_MASK, mask(text))


def _from_variable(name: str, environ: Mapping[str, str]) -> Secret:
    value = environ.get(name, "")
    if not value.strip():
        state = "is empty" if name in environ else "is not set"
        raise ConfigurationError(
            f"environment variable {name} {state}", hint=f"export {name}=… before starting"
        )
    return _checked(value, f"environment variable {name}", f"export {name} anew, the key alone")


def _from_file(path: Path) -> Secret:
    name = f"key file {_masked(str(path))}"
    try:
        with path.open("rb") as file:
            value = file.read(_LARGEST_KEY_FILE).decode()
    except OSError as error:
        raise ConfigurationError(
            f"{name} can't be read: {reason(error)}",
            hint="auth-keyfile names a file with the key on its one line",
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not text", hint="it must hold the key on one line") from None
    if not value.strip():
        raise ConfigurationError(f"{name} is empty", hint="it must hold the key on one line")
    return _checked(value, name, "it must hold the key on one line")


def _from_keyring(name: str) -> Secret:
    label = f"keyring entry {shown(name)}"
    try:
        import keyring
    except ImportError:
        raise ConfigurationError(
            f"{label} can't be read: the keyring library is not installed",
            hint="pip install 'understudy[keyring]'",
        ) from None
    try:
        value = keyring.get_password(KEYRING_SERVICE, name)
    except Exception as error:  # a keyring's back end is a plug-in and raises what it likes
        raise ConfigurationError(
            f"{label} can't be read: {type(error).__name__}",
            hint="unlock the keyring, or use auth-key-env or auth-keyfile",
        ) from error
    if value is None or not value.strip():
        raise ConfigurationError(
            f"{label} is not there", hint=f"keyring set {KEYRING_SERVICE} {shown(name)} stores it"
        )
    return _checked(value, label, f"store it anew with keyring set {KEYRING_SERVICE} {shown(name)}")


def _checked(value: str, origin: str, hint: str) -> Secret:
    key = value.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{origin} holds no key: it is not one plain word", hint=hint)
    return Secret(key)


def _open_to_others(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH))
