"""What is known of models by their names: the table itself, and how a name finds its row."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from understudy.config.models import Family, facts_of, families, family_of, plain
from understudy.config.profile import StandardProfile
from understudy.core.facts import Facts, Price
from understudy.core.settings import FACTS

FAMILIES = families()


def named(model: str) -> str | None:
    """The first name of the row that a model finds."""
    family = family_of(model)
    return None if family is None else family.names[0]


class TestNames:
    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("openai/gpt-4o", "gpt-4o"),
            ("models/gemini-2.5-pro", "gemini-2-5-pro"),
            ("accounts/fireworks/models/llama-v3p1-70b-instruct", "llama-v3p1-70b-instruct"),
            ("@cf/meta/Llama-3.1-8B-Instruct", "llama-3-1-8b-instruct"),
            ("hf:openai/gpt-oss-120b", "gpt-oss-120b"),
            ("hf:gpt-oss-120b", "gpt-oss-120b"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929-v1:0"),
            ("anthropic.claude-3-haiku", "claude-3-haiku"),
            ("ft:gpt-4o-mini:acme::id", "gpt-4o-mini:acme::id"),
        ],
    )
    def test_what_resellers_add_is_dropped(self, model: str, name: str) -> None:
        """Rule 1."""
        assert plain(model) == name

    @pytest.mark.parametrize(
        ("model", "row"),
        [
            ("gpt-4o", "gpt-4o"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
            ("gpt-4o-mini", "gpt-4o-mini"),
            ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("gpt-4-0613", "gpt-4"),
            ("gpt-4-1106-preview", "gpt-4-turbo"),
            ("gpt-4.1-nano-2025-04-14", "gpt-4.1-nano"),
            ("o3", "o3"),
            ("o3-mini-2025-01-31", "o3-mini"),
            ("gpt-5-chat-latest", "gpt-5-chat"),
            ("anthropic/claude-3.7-sonnet:thinking", "claude-3-7-sonnet"),
            ("claude-sonnet-4@20250514", "claude-sonnet-4"),
            ("claude-opus-4-20250514", "claude-opus-4"),
            ("claude-opus-4-1-20250805", "claude-opus-4"),
            ("gemini-2.5-flash-lite-preview-06-17", "gemini-2.5-flash-lite"),
            ("mistral-large-2411", "mistral-large-2411"),
            ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama-3.3"),
            ("llama3.1:70b", "llama-3.1"),
            ("llama3.2-vision:11b", "llama-3.2-11b"),
            ("qwen3:32b", "qwen3"),
            ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen3-coder"),
            ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "deepseek-r1-distill"),
            ("xai/grok-4-0709", "grok-4"),
            ("moonshotai/kimi-k2-0905-preview", "kimi-k2"),
            ("zai-org/GLM-4.6", "glm-4.6"),
        ],
    )
    def test_the_longest_match_counts(self, model: str, row: str) -> None:
        """Rules 2 and 3."""
        assert named(model) == row

    @pytest.mark.parametrize(
        "model",
        ["", "m", "lead-model", "my-gpt-4o", "gpt-4ox", "gpt-5.9", "gpt-5-9-mini", "claude-opus-4-9", "o31",
         "gemini-2.5", "gpt-4o-transcribe", "gemini-2.5-flash-image", "gpt-4o-mini-tts"],
    )  # fmt: skip
    def test_of_any_other_nothing_is_known(self, model: str) -> None:
        assert named(model) is None
        assert facts_of(model, hosted=True) == {}


class TestTable:
    def test_it_has_the_makers_that_people_use(self) -> None:
        makers = {family.maker for family in FAMILIES}
        assert {"OpenAI", "Anthropic", "Google", "DeepSeek", "Mistral", "Meta", "Alibaba", "xAI",
                "Moonshot AI", "Z.ai"} <= makers  # fmt: skip
        assert len(FAMILIES) >= 50

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.names[0])
    def test_every_row_is_whole_and_names_its_page_and_its_month(self, family: Family) -> None:
        assert family.names
        assert urlsplit(family.source).scheme == "https"
        assert re.fullmatch(r"202\d-(0[1-9]|1[0-2])", family.as_of)
        assert family.facts.keys() <= set(FACTS)
        facts = Facts.of(family.facts)
        assert facts.supports is not None
        assert facts.context_limit is not None
        assert facts.max_output is None or facts.max_output <= facts.context_limit

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.names[0])
    def test_every_name_finds_its_own_row(self, family: Family) -> None:
        assert all(family_of(name) == family for name in family.names)

    def test_a_cache_is_no_dearer_to_read_and_no_cheaper_to_write_than_input_is(self) -> None:
        prices = [Price(**family.facts["price"]) for family in families() if "price" in family.facts]
        assert prices
        for price in prices:
            assert price.cached_input is None or 0 < price.cached_input <= price.input <= price.output
            assert price.cache_write is None or price.cache_write >= price.input

    def test_no_name_is_there_twice(self) -> None:
        names = [plain(name) for family in FAMILIES for name in family.names]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("model", "refuses"),
    [
        ("claude-opus-4-6", None),
        ("anthropic/claude-opus-4.7", ("sampling", "thinking-budget")),
        ("us.anthropic.claude-sonnet-5", ("sampling", "thinking-budget")),
        ("claude-haiku-4-5", None),
        ("gpt-5-mini", ("sampling",)),
        ("o3", ("sampling",)),
        ("gpt-5-chat", None),
        ("gpt-5.1", None),  # refuses sampling only while it reasons
    ],
)
def test_models_are_known_by_what_they_refuse(model: str, refuses: tuple[str, ...] | None) -> None:
    assert facts_of(model, hosted=True).get("refuses") == refuses


class TestHosts:
    """Rule 4."""

    @pytest.mark.parametrize(
        ("profile", "window"),
        [
            (StandardProfile("a", "groq", "openai/gpt-oss-120b"), 131_072),
            (StandardProfile("a", "groq", "openai/gpt-oss-120b", {}, {"base-url": "http://gpu7/v1"}), None),
            (StandardProfile("a", "ollama", "gpt-oss:20b"), None),
            (StandardProfile("a", "vllm", "qwen3-32b"), None),
            (StandardProfile("a", "openai", "gpt-4o"), 128_000),
            (StandardProfile("a", "openai", "gpt-4o", {}, {"base-url": "http://proxy/v1"}), 128_000),
        ],
    )
    def test_an_open_models_window_is_believed_only_of_its_provider(
        self, profile: StandardProfile, window: int | None
    ) -> None:
        assert profile.facts.get("context-limit") == window
        assert "supports" in profile.facts

    def test_a_model_of_no_family_has_no_facts(self) -> None:
        assert StandardProfile("a", "openai", "m").facts == {}
