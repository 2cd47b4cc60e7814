"""The documentation of the words is made from their table, and is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from understudy.faults.reference import listing, markdown
from understudy.faults.script import Script
from understudy.faults.vocabulary import WORDS
from understudy.faults.wordings import WORDINGS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- words: begin -->\n", "<!-- words: end -->"


def test_the_page_holds_the_reference_as_the_code_has_it() -> None:
    """If this fails, put `understudy.faults.reference.markdown()` between the two comments."""
    found = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert found.strip() == markdown().strip()


def test_the_page_says_of_every_fault_what_it_is() -> None:
    rows = re.findall(r"^\| (F\d\d)(?: ◦)? \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [f"F{number:02}" for number in range(1, 75)]


def catalogue_scripts() -> list[str]:
    rows = re.findall(r"^\| F\d\d.*?\| .*? \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    spans = [span for row in rows for span in re.findall(r"`([^`]+)`", row)]
    return [span for span in spans if not re.search(r"Port|port|ssl|invalid$", span)]


def example_scripts() -> list[str]:
    table = (
        PAGE.read_text(encoding="utf-8").partition("| script | plays |\n|---|---|\n")[2].partition("\n\n")[0]
    )
    return re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)


@pytest.mark.parametrize("script", [*catalogue_scripts(), *example_scripts()])
def test_every_script_on_the_page_can_be_read(script: str) -> None:
    assert str(Script.parse(script)) == script


def test_there_are_scripts_on_the_page() -> None:
    assert len(catalogue_scripts()) > 90
    assert len(example_scripts()) > 10


def test_words_refer_only_to_faults_of_the_catalogue() -> None:
    ids = {name for word in WORDS.values() for name in word.faults.split()}
    assert ids <= {f"F{number:02}" for number in range(1, 75)}


def test_the_listing_has_one_line_per_word() -> None:
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines] == list(WORDS)
    assert all(word.meaning in line for word, line in zip(WORDS.values(), lines, strict=True))


def test_the_reference_names_every_word_and_wording() -> None:
    text = markdown()
    for word in WORDS.values():
        assert f"| `{word.syntax}` | {word.meaning} | `{word.example}` | {word.faults} |" in text
    for wording in WORDINGS.values():
        assert f"| `{wording.name}` | {wording.status} | {wording.meaning} |" in text
