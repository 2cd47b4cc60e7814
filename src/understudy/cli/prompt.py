"""The prompt of a one-shot call, from the command line or from stdin.

1. ``-`` reads stdin to its end; the line ends behind the text are left out, as a shell's ``$(…)`` does.
2. What is not UTF-8 is refused, wherever it came from: guessing an encoding would garble the prompt.
3. White space alone is no prompt.
"""

from __future__ import annotations

import sys

from understudy.errors import ConfigurationError

STDIN = "-"


def read(argument: str) -> str:
    """The prompt that `argument` means; raises `ConfigurationError`."""
    text = _stdin() if argument == STDIN else _checked(argument)
    if not text.strip():
        source = "stdin" if argument == STDIN else "--prompt"
        raise ConfigurationError(f"the prompt is empty ({source})", hint="say what you want to ask")
    return text


def decoded(data: bytes, what: str) -> str:
    """Bytes from stdin as text; raises `ConfigurationError`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(f"{what} is not UTF-8 (byte {error.start})") from None


def _stdin() -> str:
    return decoded(sys.stdin.buffer.read(), "the prompt on stdin").rstrip("\r\n")


def _checked(argument: str) -> str:
    """An argument's bytes that are not UTF-8 arrive as halves of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise _not_utf8(f"the prompt is not UTF-8 (character {error.start})") from None
    return argument


def _not_utf8(message: str) -> ConfigurationError:
    return ConfigurationError(message, hint="convert it first, as in: iconv -f latin1 -t utf-8")
