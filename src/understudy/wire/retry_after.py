"""When a backend says it may be asked again: headers, or else the body, to seconds from arrival.

The first of these that makes sense decides:

1. ``retry-after-ms``: milliseconds;
2. ``retry-after``: seconds, also with a fraction, or a date;
3. the reset of a dimension whose remaining count is 0 (``x-ratelimit-remaining-tokens`` with
   ``x-ratelimit-reset-tokens``, ``anthropic-ratelimit-tokens-remaining`` with ``…-reset``): a duration
   such as ``6m0s``, plain seconds, an instant since 1970, or a date. Of several the latest.

Where the headers say nothing, Google's ``RetryInfo`` among an error's details may (`retry_delay`).

Zero, a negative number and a date that has passed mean one second. What is neither a finite number
nor a date means nothing. A date is measured from the answer's own ``Date``, so that the backend's
clock need not agree with ours, and from `wall` where it has none. No limit is set here: how long a
backend is left alone at most is a setting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RETRY_INFO = re.compile(r'retryDelay\\*"\s*:\s*\\*"([^"\\]{1,40})')
_REMAINING = re.compile(
    r"(?P<before>x-ratelimit|anthropic-ratelimit)(?P<dimension>-[\w-]+)?-remaining(?P<after>-[\w-]+)?"
)
_EPOCH_SECONDS = 1e9  # a reset in thirty years and more is no duration but an instant since 1970,
_EPOCH_MILLISECONDS = 1e11  # and one in three thousand is that in milliseconds


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds from arrival, None if the headers do not say. `wall`: arrival, seconds since 1970."""
    now = _now(headers, wall)
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _ahead(milliseconds / 1000)
    seconds = _seconds(headers.get("retry-after", ""), now)
    if seconds is not None:
        return _ahead(seconds)
    reset = resets_in(headers, wall=wall)
    return None if reset is None else _ahead(reset)


def resets_in(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds until the last of the used-up dimensions is reset (rule 3); None if none is, or none says."""
    now = _now(headers, wall)
    return max((reset for reset in _resets(headers, now) if reset is not None), default=None)


def retry_delay(body: str) -> float | None:
    """The `retryDelay` of an error's body, which may be cut short, or be a string inside another's."""
    matched = _RETRY_INFO.search(body)
    seconds = _duration(matched[1]) if matched else None
    return None if seconds is None else _ahead(seconds)


def _now(headers: Mapping[str, str], wall: float) -> float:
    instant = _instant(headers.get("date", ""))
    return wall if instant is None else instant


def _ahead(seconds: float) -> float:
    return seconds if seconds > 0 else 1.0


def _resets(headers: Mapping[str, str], now: float) -> Iterator[float | None]:
    for name, value in headers.items():
        match = _REMAINING.fullmatch(name)
        remaining = _number(value) if match else None
        if match and remaining is not None and remaining <= 0:
            reset = f"{match['before']}{match['dimension'] or ''}-reset{match['after'] or ''}"
            yield _reset(headers.get(reset, ""), now)


def _reset(value: str, now: float) -> float | None:
    duration = _duration(value)
    seconds = _seconds(value, now) if duration is None else duration
    if seconds is None or seconds < _EPOCH_SECONDS:
        return seconds
    return (seconds / 1000 if seconds >= _EPOCH_MILLISECONDS else seconds) - now


def _seconds(value: str, now: float) -> float | None:
    """A number of seconds, or the time until a date."""
    number = _number(value)
    if number is not None:
        return number
    instant = _instant(value)
    return None if instant is None else instant - now


def _number(value: str) -> float | None:
    if not _NUMBER.fullmatch(value.strip()):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _duration(value: str) -> float | None:
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value.strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _instant(value: str) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(value.strip())
        except (ValueError, TypeError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
