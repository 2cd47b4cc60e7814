"""What the provider saw: one record per request.

1. Times are monotonic seconds (`time.monotonic`), so they can be compared with the test's own.
2. A key is never kept: `credential` is a short hash of it, `headers` and `query` are without it.
3. Memory is bounded: the newest `size` records, and of their bodies the newest 64 MiB.
4. `client_closed` is set only if the client left before the provider was done with the request.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from understudy.faults.waiting import Changes

BODY_BUDGET = 64 * 1024 * 1024
SECRET_QUERY = ("key", "access_token")
SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization")


def credential_id(headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> str | None:
    """Twelve hex digits that stand for the key, the same for the same key; None without one."""
    told = [headers.get(name) for name in SECRET_HEADERS]
    told += [(query or {}).get(name) for name in SECRET_QUERY]
    for value in filter(None, told):
        key = value.removeprefix("Bearer ").strip()
        return hashlib.sha256(key.encode("latin-1", "replace")).hexdigest()[:12]
    return None


def without_keys(values: Mapping[str, str]) -> dict[str, str]:
    """Headers or a query."""
    secret = (*SECRET_HEADERS, *SECRET_QUERY)
    return {name: value for name, value in values.items() if name not in secret}


@dataclass(slots=True, eq=False)
class Request:
    """One request as the provider saw it.

    `format` is the one whose path it came to, blank if it is nobody's, and `step` the part of the
    script that it got. `prompt_size` is in characters, `tokens` the content tokens that were written.
    `finished` and `client_closed` are None until they happen.
    """

    number: int
    arrived: float
    connection: int
    reused: bool
    method: str
    path: str
    headers: Mapping[str, str]
    credential: str | None
    query: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    model: str = ""
    stream: bool = False
    prompt_size: int = 0
    body: Any = field(default=None, repr=False)
    body_size: int = 0
    step: str = ""
    status: int | None = None
    tokens: int = 0
    finished: float | None = None
    client_closed: float | None = None

    @property
    def settled(self) -> bool:
        """Is the provider done with it, one way or the other?"""
        return self.finished is not None or self.client_closed is not None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; without the body."""
        names = [name for name in Request.__slots__ if name not in ("body", "headers", "query")]
        values = {name: getattr(self, name) for name in names}
        return {**values, "headers": dict(self.headers), "query": dict(self.query)}


class RequestLog:
    """The newest requests. `count` are all that have arrived since the start or `clear`."""

    def __init__(self, size: int, changes: Changes) -> None:
        self.requests: deque[Request] = deque(maxlen=size)
        self.count = 0
        self._bodies: deque[Request] = deque()
        self._body_bytes = 0
        self.changes = changes

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.count += 1
        self._keep_body(request)
        self.changes.happened()

    def _keep_body(self, request: Request) -> None:
        self._bodies.append(request)
        self._body_bytes += request.body_size
        while self._body_bytes > BODY_BUDGET or len(self._bodies) > (self.requests.maxlen or 0):
            oldest = self._bodies.popleft()
            self._body_bytes -= oldest.body_size
            oldest.body = None

    def clear(self) -> None:
        self.requests.clear()
        self._bodies.clear()
        self.count = self._body_bytes = 0
