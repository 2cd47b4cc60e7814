"""The rule of thumb for tokens, against what the families' own tokenizers counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.core.facts import Tokenizer
from understudy.wire.tokens import SAMPLE, SAMPLES, WEIGHTS, estimate

CORPUS = json.loads((Path(__file__).parent / "corpus" / "tokens.json").read_text(encoding="utf-8"))
TEXTS: list[dict[str, Any]] = CORPUS["texts"]
KINDS = sorted({text["kind"] for text in TEXTS})


def error(texts: list[dict[str, Any]], tokenizer: Tokenizer) -> float:
    """How far the estimate of all these texts together is off."""
    estimated = sum(estimate(text["text"], tokenizer) for text in texts)
    counted: int = sum(text["tokens"][tokenizer] for text in texts)
    return estimated / counted - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokenizer", Tokenizer)
def test_every_kind_of_text_is_within_15_percent(kind: str, tokenizer: Tokenizer) -> None:
    assert abs(error([text for text in TEXTS if text["kind"] == kind], tokenizer)) <= 0.15


@pytest.mark.parametrize("tokenizer", Tokenizer)
def test_all_of_them_together_are_within_5_percent(tokenizer: Tokenizer) -> None:
    assert abs(error(TEXTS, tokenizer)) <= 0.05


def test_the_corpus_has_each_kind_and_says_who_counted() -> None:
    assert len(TEXTS) >= 40
    assert {"english", "code", "json", "tool schemas", "chinese", "japanese", "korean", "german", "russian",
            "arabic", "emoji", "logs", "markdown tables"} <= set(KINDS)  # fmt: skip
    assert set(CORPUS["tokenizers"]) == set(Tokenizer) == set(WEIGHTS)


@pytest.mark.parametrize("text", ["1\n" * 50, "1 2 3 4 5", "\n", "1", "é\n1", "1\n" * 50_000])
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    for tokenizer in Tokenizer:
        assert estimate(text, tokenizer) <= len(text.encode())


def test_nothing_is_nothing() -> None:
    assert estimate("") == 0


def test_an_unknown_family_counts_as_openais() -> None:
    text = TEXTS[0]["text"]
    assert estimate(text) == estimate(text, Tokenizer.O200K) != estimate(text, Tokenizer.QWEN)


def test_runs_count_and_so_do_their_letters() -> None:
    """Rule 1."""
    o200k = WEIGHTS[Tokenizer.O200K]
    assert estimate("ab cde") == pytest.approx(2 * o200k.word + 5 * o200k.letter)
    assert estimate("12 3") == pytest.approx(2 * o200k.number + 3 * o200k.digit)
    assert estimate("({ }  \n") == pytest.approx(2 * o200k.mark_run + 3 * o200k.mark + o200k.line)


@pytest.mark.parametrize(
    ("letter", "script"),
    [
        ("é", "latin"),
        ("λ", "greek"),
        ("ж", "cyrillic"),
        ("ש", "hebrew"),
        ("ع", "arabic"),
        ("क", "indic"),
        ("த", "indic"),
        ("ก", "thai"),
        ("—", "symbol"),
        ("か", "kana"),
        ("学", "han"),
        ("한", "hangul"),
        ("，", "wide"),
        ("😀", "emoji"),
    ],
)
def test_a_letter_beyond_ascii_counts_by_its_script(letter: str, script: str) -> None:
    for tokenizer in (Tokenizer.LLAMA, Tokenizer.DEEPSEEK):
        assert estimate(letter * 3, tokenizer) == pytest.approx(3 * getattr(WEIGHTS[tokenizer], script))


def test_half_a_surrogate_pair_is_counted_as_a_mark() -> None:
    assert estimate("\ud83d") == estimate("?")


@pytest.mark.parametrize("kind", ["english", "chinese", "code", "mixed"])
def test_samples_stand_for_a_long_text(kind: str) -> None:
    """Rule 3."""
    pieces = [text["text"] for text in TEXTS if kind in (text["kind"], "mixed")]
    long = "\n".join(pieces * (4 * SAMPLES * SAMPLE // len("".join(pieces))))
    assert len(long) > 2 * SAMPLES * SAMPLE
    by_pieces = sum(map(estimate, pieces)) / len("".join(pieces)) * len(long)
    assert estimate(long) == pytest.approx(by_pieces, rel=0.1)
