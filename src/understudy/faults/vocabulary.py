"""Every fault word, in one table: it parses scripts, and it prints their reference."""

from __future__ import annotations

from understudy.faults import endings, replies, timing
from understudy.faults.word import Word

WORDS: dict[str, Word] = {
    word.name: word for words in (replies.WORDS, timing.WORDS, endings.WORDS) for word in words
}
