"""What tests say about runs of the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[..., tuple[int, str, str]]
"""Arguments in; status, stdout and stderr out."""


def failing(error: BaseException) -> Callable[..., Any]:
    """A function that raises it, whatever it is called with."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail
