"""JSON text → a plain object that can be trusted to be JSON.

Refused, each with its place: text that is not JSON (line and column), anything but an object at the
top, a key that occurs twice in one object (one of the two would be ignored), and what could not be
sent on as JSON: numbers without end or beyond a float, and broken Unicode.
"""

from __future__ import annotations

import json
import math
from collections import deque
from typing import Any, NoReturn

from understudy.config.problem import Problems, place
from understudy.errors import ProfileError

_Steps = tuple[str | int, ...]


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys occurred more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.repeated = sorted({key for key in keys if keys.count(key) > 1})


def read_document(text: str, source: str) -> dict[str, Any]:
    """The object that `text` holds; raises `ProfileError`, its messages beginning with `source`."""
    document = _loads(text, source)
    if not isinstance(document, _Object):
        raise ProfileError(f"{source}: a profile must be a JSON object", hint='it begins with "{"')
    problems = Problems(source)
    _inspect(document, problems)
    problems.raise_if_any()
    return document


def _loads(text: str, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"{source}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except ValueError:
        raise ProfileError(f"{source}: not JSON: a number that no JSON reader keeps") from None
    except RecursionError:
        raise ProfileError(f"{source}: nested too deeply") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _inspect(document: _Object, problems: Problems) -> None:
    """Look at every value; a queue, not recursion, because depth is the file's choice."""
    queue: deque[tuple[_Steps, Any]] = deque([((), document)])
    while queue:
        steps, value = queue.popleft()
        match value:
            case _Object():
                _inspect_keys(steps, value, problems)
                queue.extend(((*steps, key), item) for key, item in value.items())
            case list():
                queue.extend(((*steps, index), item) for index, item in enumerate(value))
            case float() if not math.isfinite(value):
                problems.add(place(*steps), "a number too large for JSON")
            case str() if _broken(value):
                problems.add(place(*steps), "broken Unicode: half of a surrogate pair")


def _inspect_keys(steps: _Steps, value: _Object, problems: Problems) -> None:
    for key in value.repeated:
        problems.add(place(*steps), f"{json.dumps(key)} is given twice", hint="keep one of them")
    for key in filter(_broken, value):
        problems.add(place(*steps), f"{json.dumps(key)}: broken Unicode: half of a surrogate pair")


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
