"""What is known of a model, and that nothing is assumed of what is not."""

from __future__ import annotations

from tests.core.stage import takes
from understudy.core.facts import Facts, Feature, Price, Refusal, Tokenizer


def test_without_any_setting_nothing_is_known() -> None:
    assert Facts.of({}) == Facts()
    assert all(Facts().takes(feature) for feature in Feature)


def test_they_are_made_of_checked_settings() -> None:
    values = {
        "context-limit": 8000,
        "max-output": 1000,
        "supports": ("tools", "json-schema"),
        "price": {"input": 1.0, "output": 2.0, "cache_write": 1.25, "reasoning": 3.0},
        "tokenizer": "claude",
        "refuses": ("sampling",),
    }
    assert Facts.of(values) == Facts(
        8000,
        1000,
        takes("tools", "json-schema"),
        Price(1.0, 2.0, None, 1.25, 3.0),
        Tokenizer.CLAUDE,
        frozenset({Refusal.SAMPLING}),
    )


def test_a_model_takes_what_is_listed_and_nothing_else() -> None:
    facts = Facts(supports=takes("tools"))
    assert [feature for feature in Feature if facts.takes(feature)] == [Feature.TOOLS]
