"""Who may ask: named keys of clients.

1. Keys come as ``NAME=KEY`` entries, separated by commas or lines: from the variable ``UNDERSTUDY_KEYS``,
   or from a file that may hold empty lines and comments (``#``) too.
2. Only digests are kept. A key is looked up by its SHA-256: how long that takes says nothing about how
   much of a guess was right. A found key is compared once more, in constant time.
3. ``Authorization: Bearer`` and ``x-api-key`` are alike; whoever sends both is judged by the first.
4. Without any key everybody is let in, under the name ``anonymous``.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from understudy.config.files import reason
from understudy.errors import ConfigurationError
from understudy.gateway.http import HttpError, Request

ANONYMOUS = "anonymous"
VARIABLE = "UNDERSTUDY_KEYS"

_HINT = f"{VARIABLE}='alice=KEY,bob=KEY', or a key file with a line NAME=KEY for each"
_BEARER = b"bearer "
_CHALLENGE = [(b"www-authenticate", b"Bearer")]


class Keys:
    """The keys in force; empty, it lets everybody in."""

    def __init__(self, entries: str = "") -> None:
        self._names: dict[bytes, tuple[bytes, str]] = {}
        for name, key in _entries(entries):
            digest = sha256(key.encode()).digest()
            if name in (known for _, known in self._names.values()):
                raise ConfigurationError(f"two keys are named {name}", hint=_HINT)
            if digest in self._names:
                raise ConfigurationError(f"{name} has the key of {self._names[digest][1]}", hint=_HINT)
            self._names[digest] = (digest, name)

    @classmethod
    def of_file(cls, path: Path) -> Keys:
        """Raises `ConfigurationError`; an empty file is one, for it would let everybody in."""
        try:
            keys = cls(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is not text"
            raise ConfigurationError(f"key file {path} can't be read: {why}", hint=_HINT) from None
        if not keys:
            raise ConfigurationError(f"key file {path} names no key", hint=_HINT)
        return keys

    def __bool__(self) -> bool:
        return bool(self._names)

    def __repr__(self) -> str:
        return f"<Keys of {', '.join(name for _, name in self._names.values()) or 'nobody'}>"

    def check(self, request: Request) -> str:
        """The name of who asks; raises `HttpError` 401."""
        if not self._names:
            return ANONYMOUS
        key = given_key(request)
        if key is None:
            raise HttpError(
                401,
                "missing_api_key",
                "a key is needed: Authorization: Bearer KEY, or x-api-key: KEY",
                headers=_CHALLENGE,
            )
        digest = sha256(key).digest()
        known, name = self._names.get(digest, (b"", ""))
        if not hmac.compare_digest(known, digest):
            raise HttpError(401, "invalid_api_key", "this key is not known here", headers=_CHALLENGE)
        return name


def given_key(request: Request) -> bytes | None:
    """The key a request brings (rule 3)."""
    authorization = request.headers.get(b"authorization")
    if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return request.headers.get(b"x-api-key")


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace(",", "\n").splitlines():
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, equals, key = (part.strip() for part in entry.partition("="))
        if not (name and equals and key and name.isprintable() and key.isascii() and " " not in key):
            # The entry itself is not shown: it may be a bare key.
            raise ConfigurationError("a key entry is not NAME=KEY", hint=_HINT)
        yield name, key
