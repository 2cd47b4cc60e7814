"""Reading and writing small text files.

1. Whatever the operating system says becomes one line that names the file.
2. A file is written whole or not at all, for its owner only (0600, a new folder 0700).
3. No file that is read here is large: beyond 1 MiB it is not what we were told it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from understudy.errors import ConfigurationError, ProfileError

_LARGEST = 1024 * 1024


def reason(error: OSError) -> str:
    """What the operating system says, without its number and path."""
    return (error.strerror or type(error).__name__).lower()


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """OSErrors inside become "`what`: reason"."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{what}: {reason(error)}") from None


def read_text(path: Path) -> str:
    """The text of a profile's file; raises `ProfileError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ProfileError(f"{path}: {reason(error)}") from None
    if len(data) > _LARGEST:
        raise ProfileError(f"{path}: larger than 1 MiB, so it is no profile")
    try:
        # Some editors begin UTF-8 with a mark; JSON allows readers to ignore it.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: not UTF-8 (byte {error.start})", hint="save the file as UTF-8") from None


def write_text(path: Path, text: str) -> None:
    """Put `text` in place of the file; raises `ConfigurationError`."""
    # Imported late: it brings much along, and most runs only read.
    import tempfile

    with mapped(f"{path} can't be written"):
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
