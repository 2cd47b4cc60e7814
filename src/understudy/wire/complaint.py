"""What an error body says, whoever wrote it: its words, its sentences, the status it names.

Providers agree on no shape: ``{"error": {…}}``, the same in a list, ``{"error": "…"}``, ``{"message": …}``,
``{"detail": […]}``, ``{"errors": […]}``, an upstream's body as a string inside ``metadata.raw``, HTML,
plain text, or any of them cut short. So this walks whatever is there by field name:

- *words* are codes, types and reasons, in lower case, outermost first, codes before types;
- *sentences* are for people, outermost first, each once. Fields that may repeat the caller's own
  prompt are not read, so that a prompt about context windows does not look like a complaint about one;
- *status* is the first whole number from 400 to 599 in a code or status field.

Of HTML only the title is read, of cut JSON what can still be told apart.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

_WORD_FIELDS = ("code", "type", "status", "reason", "error_type", "error_code", "quotaId")
_STATUS_FIELDS = ("code", "status", "status_code", "http_status")
_SENTENCE_FIELDS = ("message", "msg", "detail", "error", "raw", "title")
_NESTED_FIELDS = (
    "error", "message", "detail", "errors", "metadata", "details", "violations", "innererror",
)  # fmt: skip
_DEEPEST = 8  # levels,
_MOST = 32  # and words and sentences: nobody complains at more length

_STATUS = re.compile(r"[45]\d\d", re.ASCII)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_LOOKS_LIKE_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml|!--|center|h1)", re.IGNORECASE)
_STRING = r'"((?:[^"\\]|\\.)*)'
_CUT_WORD = re.compile(rf'"(?:{"|".join(_WORD_FIELDS)})"\s*:\s*{_STRING}"')
_CUT_SENTENCE = re.compile(rf'"(?:{"|".join(_SENTENCE_FIELDS)})"\s*:\s*{_STRING}')


@dataclass(slots=True)
class Complaint:
    """One error body, read. Empty where it said nothing."""

    words: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    status: int | None = None

    @property
    def summary(self) -> str:
        """What a person should read: the sentences, or the first word where there are none."""
        return "; ".join(self.sentences or self.words[:1])

    @property
    def everything(self) -> str:
        return "; ".join([*self.sentences, *self.words])

    def hear_words(self, words: Iterable[str]) -> None:
        self.words.extend(word.lower() for word in islice(words, _MOST - len(self.words)))

    def hear_sentence(self, sentence: str) -> None:
        if sentence.strip() and len(self.sentences) < _MOST and sentence not in self.sentences:
            self.sentences.append(sentence)


def read(text: str) -> Complaint:
    """The complaint in an error body."""
    decoded = _decoded(text)
    if decoded is not None:
        return read_value(decoded)
    if _LOOKS_LIKE_HTML.match(text):
        return _read_html(text)
    if text.lstrip()[:1] in ("{", "["):
        return _read_cut(text)
    complaint = Complaint()
    complaint.hear_sentence(text)
    return complaint


def read_value(value: object) -> Complaint:
    """The complaint in an error that is decoded already: an object, a list or a string."""
    complaint = Complaint()
    _walk(value, complaint, 0)
    return complaint


def _read_html(text: str) -> Complaint:
    complaint = Complaint()
    for title in _TITLE.findall(text)[:1]:
        complaint.hear_sentence(html.unescape(title))
    return complaint


def _read_cut(text: str) -> Complaint:
    complaint = Complaint()
    complaint.hear_words(_CUT_WORD.findall(text))
    for sentence in _CUT_SENTENCE.findall(text):
        complaint.hear_sentence(str(_decoded(f'"{sentence}"') or sentence))
    return complaint


def _decoded(text: str) -> object:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list | str) else None


def _walk(value: object, complaint: Complaint, depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            _walk(item, complaint, depth + 1)
    elif isinstance(value, dict):
        _walk_object(value, complaint, depth)
    elif isinstance(value, str):
        _walk_sentence(value, complaint, depth)


def _walk_object(value: dict[str, object], complaint: Complaint, depth: int) -> None:
    if complaint.status is None:
        complaint.status = next(_statuses(value), None)
    complaint.hear_words(word for name in _WORD_FIELDS if isinstance(word := value.get(name), str))
    for name in _SENTENCE_FIELDS:
        if isinstance(sentence := value.get(name), str):
            _walk_sentence(sentence, complaint, depth)
    for name in _NESTED_FIELDS:
        if isinstance(nested := value.get(name), dict | list):
            _walk(nested, complaint, depth + 1)


def _walk_sentence(sentence: str, complaint: Complaint, depth: int) -> None:
    """A sentence may be an upstream's whole body, passed on as a string."""
    inner = _decoded(sentence) if sentence.lstrip()[:1] in ("{", "[") else None
    if inner is None:
        complaint.hear_sentence(sentence)
    else:
        _walk(inner, complaint, depth + 1)


def _statuses(value: dict[str, object]) -> Iterator[int]:
    for name in _STATUS_FIELDS:
        number = value.get(name)
        if isinstance(number, str) and _STATUS.fullmatch(number):
            number = int(number)
        if isinstance(number, int) and 400 <= number <= 599:
            yield number
