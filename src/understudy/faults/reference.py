"""The fault words for people: made from the table that parses them, so it cannot be out of date."""

from __future__ import annotations

from collections.abc import Iterator

from understudy.faults.vocabulary import KINDS, WORDS
from understudy.faults.wordings import WORDINGS


def listing() -> str:
    """One line per word, for a terminal."""
    width = max(map(len, WORDS))
    return "\n".join(f"{word.name:<{width}}  {word.meaning}" for word in WORDS.values())


def markdown() -> str:
    """The reference of words and wordings, as it stands in the documentation."""
    return "\n".join([*_words(), *_wordings()])


def _words() -> Iterator[str]:
    for kind, words in KINDS.items():
        yield from ("", f"### {kind}", "", "| word | plays | example | faults |", "|---|---|---|---|")
        for word in words:
            yield _row(_code(word.syntax), word.meaning, _code(word.example), word.faults)


def _wordings() -> Iterator[str]:
    yield from ("", "### Providers' own words", "", "| wording | status | what it is |", "|---|---|---|")
    for wording in WORDINGS.values():
        yield _row(_code(wording.name), str(wording.status), wording.meaning)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text}`"
