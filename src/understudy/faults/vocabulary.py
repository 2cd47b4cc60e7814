"""Every fault word, in one table: it parses scripts, and it prints their reference."""

from __future__ import annotations

from understudy.faults import answers, bodies, endings, events, heads, lines, replies, timing
from understudy.faults.word import Word

KINDS: dict[str, tuple[Word, ...]] = {
    "Instead of an answer": replies.WORDS,
    "Late, slow, silent": timing.WORDS,
    "How the connection ends": endings.WORDS,
    "Inside the answer": events.WORDS,
    "How events are written": lines.WORDS,
    "The body as bytes": bodies.WORDS,
    "Head and connection": heads.WORDS,
    "Other healthy answers": answers.WORDS,
}

WORDS: dict[str, Word] = {word.name: word for words in KINDS.values() for word in words}
