"""What a peer is told: where the backends are, how long to wait, and its own settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Pool(NamedTuple):
    """`timeout`, in seconds, is for the first content, or what a peer has nearest to that."""

    backends: list[str]
    timeout: float
    seed: int
    settings: Mapping[str, Any]

    @property
    def milliseconds(self) -> int:
        return round(self.timeout * 1000)

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Pool:
        return cls(**json.loads(text))
