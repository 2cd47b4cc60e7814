"""stdin, stdout and stderr, made safe to use whatever the caller connected them to.

1. A character that stdout's encoding can't show becomes ``?``; nothing crashes over it.
2. A closed stdout is like a pipe that nobody reads: writing raises BrokenPipeError. A closed stderr
   takes everything, a closed stdin is at its end.
3. After a broken pipe nothing is flushed into it any more, so that the interpreter ends in silence.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def prepare() -> None:
    """Rules 1 and 2."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - open as long as the process
    if sys.stdout is None:
        sys.stdout = _unread_pipe()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - likewise
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def write(text: str) -> None:
    """To stdout, at once. Raises BrokenPipeError when nobody reads it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def abandon_stdout() -> None:
    """Rule 3: what is still held back goes nowhere."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def share_a_line() -> bool:
    """Do stdout and stderr end up in the same place, so that one may have to end the other's line?"""
    ours, theirs = descriptor(sys.stdout), descriptor(sys.stderr)
    return ours is not None and theirs is not None and os.path.sameopenfile(ours, theirs)


def descriptor(stream: TextIO) -> int | None:
    """The stream's descriptor, None if there is no file behind it."""
    try:
        return stream.fileno()
    except OSError:
        return None


def write_json(document: object) -> None:
    """One value to stdout: on one line but for a terminal, escaped where the encoding needs it."""
    import json

    is_unicode = sys.stdout.encoding.lower().startswith("utf")
    indent = 2 if sys.stdout.isatty() else None
    write(json.dumps(document, ensure_ascii=not is_unicode, indent=indent) + "\n")


def is_hung_up(descriptor: int) -> bool:
    """Has the reader of this pipe or socket gone?"""
    import select

    poll = select.poll()
    poll.register(descriptor, 0)
    return any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0))


def _unread_pipe() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")
