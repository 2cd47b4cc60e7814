"""The reference pages are what the tables say today."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from understudy.config.aliases import ALIASES
from understudy.config.models import families
from understudy.config.profile_file import parse_profile
from understudy.config.reference import pages, write
from understudy.core.settings import REGISTRY

COMMITTED = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", pages())
def test_the_committed_page_is_current(name: str) -> None:
    assert (COMMITTED / name).read_text(encoding="utf-8") == pages()[name], "run scripts/reference"


def test_every_setting_has_a_row_with_its_words() -> None:
    page = pages()["settings.md"]

    for setting in REGISTRY:
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{setting.key}` |")]
        assert row.count("|") == 6
        for words in (setting.shape.description, setting.default_text, setting.scope, setting.help):
            assert words in row


def test_every_provider_has_a_row_with_its_address() -> None:
    page = pages()["providers.md"]

    for alias in ALIASES.values():
        [row] = [line for line in page.splitlines() if line.startswith(f"| [{alias.name}](")]
        assert row.count("|") == 6
        assert (alias.base_url or "your own") in row
        assert (alias.key_variable or "none needed") in row
        assert ("| asked for |" in row) is alias.knows_stream_usage


def test_every_family_of_models_has_a_row_with_its_names_and_its_page() -> None:
    page = pages()["models.md"]

    for family in families():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{family.names[0]}`")]
        assert row.count("|") == 9
        assert all(f"`{name}`" in row for name in family.names)
        assert f"[{family.maker}]({family.source}), {family.as_of}" in row
        assert ("(open)" in row) is family.is_open
    [row] = [line for line in page.splitlines() if line.startswith("| `claude-haiku-4-5`")]
    assert "| 200000 | 64000 | tools, images, files, json-schema, prefill, reasoning |" in row
    assert "|  | 1 / 5 / 0.1 / 1.25 | claude |" in row
    [row] = [line for line in page.splitlines() if line.startswith("| `claude-haiku-5-5`")]
    assert "| sampling, thinking-budget |" in row


def test_the_pages_say_how_they_are_made_anew() -> None:
    for name, text in pages().items():
        assert "scripts/reference" in text.split("\n\n")[0], name


def test_writing_puts_them_into_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "reference")

    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "reference").iterdir()}
    assert written == pages()


GUIDE = Path(__file__).parents[2] / "docs" / "profiles.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_profiles_in_the_guide_are_valid(text: str) -> None:
    assert parse_profile(text, name=json.loads(text).get("name", "example")).warnings == ()


def test_the_guide_shows_both_kinds() -> None:
    assert {json.loads(text).get("type") for text in EXAMPLES} == {"standard", "loadbalancer", None}
