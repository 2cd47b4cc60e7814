"""Errors as a user reads them, on stderr.

1. The first line is ``error: …``. What each backend said follows, a line each. The way out is a line of
   its own, ``hint: …``. A profile with several mistakes gets such lines for each.
2. A line is one line and shows no control characters, whatever an upstream sent.
3. The exit status is 2 for what has to be configured or written differently, 1 for everything else.
4. A bug of ours is one line too; its traceback is for ``--debug``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import click

from understudy.cli.foreign_text import one_line
from understudy.errors import (
    ConfigurationError,
    FailureKind,
    InternalError,
    ProfileError,
    RequestError,
    SkipEntry,
    StreamInterrupted,
    UnderstudyError,
)

ANSWERED = 0
FAILED = 1
MISUSED = 2

_WAYS_OUT = {
    FailureKind.CONNECT: "is the base-url of {backend} right, and can it be reached from here?",
    FailureKind.TIMEOUT: "if {backend} is only slow, raise timeout_ms",
    FailureKind.STALL: "the text is incomplete; if {backend} is only slow, raise stall_timeout_ms",
    FailureKind.TRUNCATED: "the text is incomplete; ask again",
    FailureKind.RATE_LIMITED: "{backend} limits how often it may be asked; wait, or add another backend",
    FailureKind.QUOTA: "the credit at {backend} is used up; add some, or another backend",
    FailureKind.AUTH: "check the key of {backend}: `understudy check` says where it comes from",
    FailureKind.MODEL_NOT_FOUND: "check the model in the profile of {backend}",
    FailureKind.CONTEXT_LENGTH: "shorten the prompt, or add a backend with a larger context window",
}
_SKIPPED = "`understudy check` says what is wrong with each member"
_UNKNOWN = "--debug shows every step"


# Click would print the whole help as the error's message.
_NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


def show(error: BaseException, stream: TextIO) -> None:
    """Rules 1 and 2."""
    _print(lines(error), stream)


def complain(message: str, hint: str | None, stream: TextIO) -> None:
    """The same for what is wrong without being an exception."""
    _print(_error_lines(message, hint), stream)


def warn(message: str, stream: TextIO) -> None:
    """One ``warning: …`` line."""
    _print([f"warning: {one_line(message)}"], stream)


def status_of(error: BaseException) -> int:
    """Rule 3."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return MISUSED if isinstance(error, ConfigurationError) else FAILED


def is_bug(error: BaseException) -> bool:
    """Is it something that nobody raised on purpose?"""
    expected = (UnderstudyError, click.ClickException, click.Abort, click.exceptions.Exit, OSError)
    return isinstance(error, InternalError) or not isinstance(error, expected)


def lines(error: BaseException) -> Iterator[str]:
    """What `show` prints."""
    match error:
        case ProfileError(problems=(_, *_)):
            for problem in error.problems:
                yield from _error_lines(problem.message, problem.hint)
        case ConfigurationError():
            yield from _error_lines(error.message, error.hint)
        case RequestError():
            yield from _request_lines(error)
        case click.ClickException():
            yield from _error_lines(*_words_of_click(error))
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            yield from _error_lines(f"{where}{(error.strerror or str(error)).lower()}", None)
        case _:
            bug = f"a bug of Understudy: {type(error).__name__}: {error}"
            yield from _error_lines(bug, "run it again with --debug for the traceback, and report it")


def way_out(backend: str, kind: FailureKind) -> str | None:
    """What a user can do about a backend's failure, if it depends on the kind."""
    words = _WAYS_OUT.get(kind)
    return words.format(backend=backend) if words else None


def _print(printed: Iterable[str], stream: TextIO) -> None:
    stream.write("".join(f"{line}\n" for line in printed))
    stream.flush()


def _error_lines(message: str, hint: str | None) -> Iterator[str]:
    yield f"error: {one_line(message)}"
    if hint:
        yield f"hint: {one_line(hint)}"


def _request_lines(error: RequestError) -> Iterator[str]:
    from understudy.observe.words import entry_words

    yield f"error: {one_line(_headline(error))}"
    for cause in error.causes:
        yield f"  {one_line(str(cause))}"
    for entry in error.trail:
        if isinstance(entry, SkipEntry):
            yield f"  {one_line(entry_words(entry))}"
    yield f"hint: {_hint(error)}"


def _headline(error: RequestError) -> str:
    """The message up to where it begins to list what has lines of its own here."""
    listed = [cause.backend for cause in error.causes] + [skip.backend for skip in error.skips]
    return error.message.partition(f"{listed[0]}: ")[0].rstrip(" :;") if listed else error.message


def _hint(error: RequestError) -> str:
    """There are four cases: the answer broke off, a failure with a way out, nothing to ask, the rest."""
    causes = error.causes[-1:] if isinstance(error, StreamInterrupted) else error.causes
    for cause in causes:
        words = way_out(cause.backend, cause.kind)
        if words:
            return words
    if error.retry_after is not None:
        return f"ask again in {error.retry_after:.1f} s"
    return _SKIPPED if error.skips else _UNKNOWN


def _words_of_click(error: click.ClickException) -> tuple[str, str | None]:
    """Click's sentence, and the way out: ours, a word it takes for the likely one, or the command's help."""
    message, _, hint = error.format_message().partition("\nhint: ")
    if isinstance(error, _NO_COMMAND):
        message = "a command is missing"
    likely = getattr(error, "possibilities", None)
    if likely:
        message, hint = error.message, f"did you mean {likely[0]}?"
    if not hint and isinstance(error, click.UsageError):
        hint = f"`{error.ctx.command_path if error.ctx else 'understudy'} --help` shows how"
    return message, hint or None
