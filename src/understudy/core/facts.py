"""What is known of a member's model: its limits, what it takes, what it costs.

Whatever is not known is None, and then nothing is assumed of it: the member may be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Feature(StrEnum):
    """What a request may hold that not every model takes."""

    TOOLS = "tools"
    IMAGES = "images"
    FILES = "files"
    AUDIO = "audio"
    JSON_SCHEMA = "json-schema"
    PREFILL = "prefill"
    REASONING = "reasoning"


class Refusal(StrEnum):
    """What some models answer with an error where others heed it: both are left out of their requests."""

    SAMPLING = "sampling"
    THINKING_BUDGET = "thinking-budget"


class Tokenizer(StrEnum):
    """Families of models that cut texts into tokens alike."""

    O200K = "o200k"
    CL100K = "cl100k"
    CLAUDE = "claude"
    GEMINI = "gemini"
    LLAMA = "llama"
    MISTRAL = "mistral"
    QWEN = "qwen"
    DEEPSEEK = "deepseek"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens. What is None costs what `input` does. `reasoning`: `output`."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One model's. Limits are in tokens; `supports` are the only features that it takes,
    `refuses` are words that are left out of requests to it.

    Facts()                                             # nothing is known
    Facts(context_limit=8000, supports=frozenset())     # text alone, and not much of it
    """

    context_limit: int | None = None
    max_output: int | None = None
    supports: frozenset[Feature] | None = None
    price: Price | None = None
    tokenizer: Tokenizer | None = None
    refuses: frozenset[Refusal] = frozenset()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Facts:
        """From checked settings, by their keys."""
        supports, price, tokenizer = (values.get(key) for key in ("supports", "price", "tokenizer"))
        return cls(
            context_limit=values.get("context-limit"),
            max_output=values.get("max-output"),
            supports=None if supports is None else frozenset(map(Feature, supports)),
            price=None if price is None else Price(**price),
            tokenizer=None if tokenizer is None else Tokenizer(tokenizer),
            refuses=frozenset(map(Refusal, values.get("refuses") or ())),
        )

    def takes(self, feature: Feature) -> bool:
        """Does the model take this, as far as is known?"""
        return self.supports is None or feature in self.supports
