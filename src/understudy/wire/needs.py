"""What a request asks of whoever answers it, found out no sooner than somebody wants to know.

1. Tools, a JSON schema and reasoning are asked for by fields of the request; what says nothing (null, an
   empty list) asks for nothing.
2. Images, files and audio are parts of the conversation, at whatever depth, also inside a tool's result. A
   document that is plain text is text. An answer is prefilled if the last message is the assistant's, has
   content, and calls no tool.
3. Of a client's conversation only the outline is decoded for that: roles, and types of parts.
   `most_tokens` is then the number of bytes, and `ATTACHMENT` for each part that is no text. All of it is
   decoded only to count `prompt_tokens`.
4. A conversation that cannot be read asks for nothing: whoever is asked will say what is wrong with it.
5. Counted is what a model reads: texts, what a tool was called with, tools and schemas as JSON; not the names
   of fields, ids and the like.
6. Requests belong together by the session that they name: to the gateway by a header, else by
   `prompt_cache_key`, `metadata.user_id` or `user`. Without one they do if they begin alike: in what stands
   before the first message of the user, that message, and the tools.

`suited` makes of a request what a member's model can take: an answer no longer than it gives, and no word
about reasoning to one that has none. `suited_params` does so with the parameters that a member adds itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import msgspec

from understudy.core.facts import Facts, Feature, Tokenizer
from understudy.wire.anthropic_request import MANAGED, without_clearing
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import ClientRequest
from understudy.wire.tokens import ATTACHMENT, MESSAGE, estimate

__all__ = ["Needs", "Suited", "own_limit", "suited", "suited_params"]

Request = ChatRequest | ClientRequest

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
REASONING = ("reasoning_effort", "reasoning", "thinking")
_CONFIG, _CONFIGURED = "generationConfig", "maxOutputTokens"  # Gemini's limit

_TOOLS = ("tools", "functions")
_FORMATS = ("response_format", "text", "output_config", "output_format")
_SYSTEM = ("system", "instructions")
_AS_JSON = (*_TOOLS, *_FORMATS)
_NOTHING = ("null", "[]", '""', "{}", '"none"')
_SHORT = max(map(len, _NOTHING))
_LEAST_BUDGET = 1024

_ATTACHMENTS = {
    "image_url": Feature.IMAGES,
    "image": Feature.IMAGES,
    "input_image": Feature.IMAGES,
    "computer_screenshot": Feature.IMAGES,
    "file": Feature.FILES,
    "input_file": Feature.FILES,
    "document": Feature.FILES,
    "input_audio": Feature.AUDIO,
}
_PLAIN_SOURCES = ("text", "content")  # of a document: it is text to the model

# What no model reads as text.
_UNREAD = frozenset(
    (
        "type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "status", "cache_control", "index",
        "signature", "encrypted_content", "provider_state", "reasoning_details", "media_type", "audio",
    )
)  # fmt: skip


class Needs:
    """One request's needs; each is found out once."""

    __slots__ = (
        "_affinity",
        "_answer_limit",
        "_features",
        "_most_tokens",
        "_outline",
        "_reading",
        "_request",
        "_texts",
        "_tokens",
    )

    def __init__(self, request: Request) -> None:
        self._request = request
        self._affinity: int | None = None
        self._answer_limit: int | None = None
        self._features: frozenset[Feature] | None = None
        self._most_tokens: int | None = None
        self._outline: _Outline | None = None
        self._reading: _Reading | None = None
        self._texts = _plain_texts(_conversation(request))
        self._tokens: dict[Tokenizer | None, int] = {}

    def __repr__(self) -> str:
        return f"<Needs of {self._request!r}>"

    @property
    def features(self) -> frozenset[Feature]:
        if self._features is None:
            outline, fields = self._outlined(), self._request.fields
            prefill = (Feature.PREFILL,) if outline.is_prefilled else ()
            of_fields = _of_fields(fields) if fields else ()
            self._features = frozenset((*of_fields, *outline.attachments, *prefill))
        return self._features

    @property
    def answer_limit(self) -> int:
        """The most tokens that the answer may have; 0 if the request does not say."""
        if self._answer_limit is None:
            fields = self._request.fields
            self._answer_limit = _answer_limit(fields) if fields else 0
        return self._answer_limit

    @property
    def most_tokens(self) -> int:
        """More than the prompt can have, told without counting."""
        if self._most_tokens is None:
            size = _size(self._request)
            attached = ATTACHMENT * len(self._outlined().attachments)
            self._most_tokens = attached + (self._read().size if size is None else size)
        return self._most_tokens

    @property
    def session(self) -> str:
        """What the request itself says it belongs to; empty if it does not say."""
        return _session(self._request)

    @property
    def affinity(self) -> int:
        """64 bits, the same for requests that belong together (rule 6)."""
        if self._affinity is None:
            key = self.session or "\n".join(_beginning(self._request))
            digest = blake2b(key.encode(errors="replace"), digest_size=8).digest()
            self._affinity = int.from_bytes(digest)
        return self._affinity

    def prompt_tokens(self, tokenizer: Tokenizer | None = None) -> int:
        """The estimate, by the rule of `wire.tokens`."""
        if tokenizer not in self._tokens:
            attached = ATTACHMENT * len(self._outlined().attachments)
            self._tokens[tokenizer] = attached + self._read().tokens(tokenizer)
        return self._tokens[tokenizer]

    def _outlined(self) -> _Outline:
        if self._outline is None:
            self._outline = _outline(_conversation(self._request), self._texts)
        return self._outline

    def _read(self) -> _Reading:
        if self._reading is None:
            self._reading = _Reading(self._request, self._texts)
        return self._reading


# The outline (rules 2 and 3)


class _Outline(NamedTuple):
    """`attachments` has one feature for each part that is no text."""

    attachments: list[Feature]
    is_prefilled: bool


class _Source(msgspec.Struct, gc=False):
    type: str | None = None


class _Part(msgspec.Struct):
    """Of a message, an item or a part of either."""

    type: str | None = None
    role: str | None = None
    content: str | list[str | _Part] | None = None
    output: str | _Part | list[str | _Part] | None = None
    source: _Source | None = None
    tool_calls: list[_Source] | None = None


_PARTS = msgspec.json.Decoder(str | list[_Part])


_TEXT = _Outline([], False)


def _outline(conversation: Any, texts: list[str] | None) -> _Outline:
    if texts and conversation[-1]["role"] != "assistant":
        return _TEXT
    try:
        if isinstance(conversation, msgspec.Raw):
            parts = _PARTS.decode(conversation)
        else:
            parts = msgspec.convert(conversation, list[_Part])
    except (msgspec.MsgspecError, RecursionError):
        return _TEXT
    if isinstance(parts, str) or not parts:
        return _TEXT
    return _Outline(list(_attachments(parts)), _is_prefilled(parts[-1]))


def _attachments(parts: Sequence[str | _Part]) -> Iterator[Feature]:
    for part in parts:
        if isinstance(part, str):
            continue
        feature = _attachment(part.type, part.source and part.source.type)
        if feature is not None:
            yield feature
        if isinstance(part.content, list):
            yield from _attachments(part.content)
        if part.output is not None and not isinstance(part.output, str):
            yield from _attachments([part.output] if isinstance(part.output, _Part) else part.output)


def _attachment(kind: object, source: object) -> Feature | None:
    if kind == "document" and source in _PLAIN_SOURCES:
        return None
    return _ATTACHMENTS.get(kind) if isinstance(kind, str) else None


def _is_prefilled(last: _Part) -> bool:
    if last.role != "assistant" or not last.content or last.tool_calls:
        return False
    return all(isinstance(part, str) or part.type != "tool_use" for part in last.content)


# What a model reads (rule 5)


class _Reading:
    """The texts of a request. `size` is more than the tokens that they can have."""

    __slots__ = ("_messages", "_texts")

    def __init__(self, request: Request, texts: list[str] | None) -> None:
        fields = request.fields
        if texts is None:
            conversation = _plain(_conversation(request))
            self._messages = len(conversation) if isinstance(conversation, list | tuple) else 1
            self._texts = list(_texts([conversation]))
        else:
            self._messages, self._texts = len(texts), texts
        if fields:
            system = _texts([_plain(fields[name]) for name in _SYSTEM if name in fields])
            self._texts = [
                *system,
                *self._texts,
                *(_json(fields[name]) for name in _AS_JSON if name in fields),
            ]

    @property
    def size(self) -> int:
        letters = sum([len(text) if text.isascii() else 4 * len(text) for text in self._texts])
        return letters + len(self._texts) + MESSAGE * self._messages

    def tokens(self, tokenizer: Tokenizer | None) -> int:
        return round(estimate("\n".join(self._texts), tokenizer)) + MESSAGE * self._messages


def _plain_texts(conversation: Any) -> list[str] | None:
    """The short way for what most conversations are: of a role and a text each; None of any other."""
    if not isinstance(conversation, list | tuple):
        return None
    texts: list[str] = []
    for message in conversation:
        if type(message) is not dict or len(message) != 2 or type(message.get("role")) is not str:
            return None
        text = message.get("content")
        if type(text) is not str:
            return None
        texts.append(text)
    return texts


def _texts(values: list[Any]) -> Iterator[str]:
    """Without recursion: a client may nest its request however deep."""
    waiting = values[::-1]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case Mapping() as part if not _is_attachment(part):
                waiting += [
                    _json(item) if name == "input" else item
                    for name, item in part.items()
                    if name not in _UNREAD
                ][::-1]
            case list() | tuple() as items:
                waiting += items[::-1]


def _is_attachment(part: Mapping[str, Any]) -> bool:
    source = part.get("source")
    kind = source.get("type") if isinstance(source, Mapping) else None
    return _attachment(part.get("type"), kind) is not None


# What requests belong together by (rule 6)

_ITEMS = msgspec.json.Decoder(str | list[msgspec.Raw])


def _session(request: Request) -> str:
    fields = request.fields
    metadata = _plain(fields.get("metadata"))
    named = (
        request.session if isinstance(request, ClientRequest) else None,
        _plain(fields.get("prompt_cache_key")),
        metadata.get("user_id") if isinstance(metadata, Mapping) else None,
        _plain(fields.get("user")),
    )
    return next((name for name in named if isinstance(name, str) and name), "")


def _beginning(request: Request) -> Iterator[str]:
    fields = request.fields
    yield from (_json(fields[name]) for name in _TOOLS if name in fields)
    yield from _texts([_plain(fields[name]) for name in _SYSTEM if name in fields])
    yield from _texts(list(_until_the_users(_items(_conversation(request)))))


def _items(conversation: Any) -> Iterable[Any]:
    """The messages one by one: no more of them is decoded than is looked at."""
    if not isinstance(conversation, msgspec.Raw):
        return cast(Iterable[Any], conversation)
    try:
        items = _ITEMS.decode(conversation)
    except (msgspec.MsgspecError, RecursionError):
        return ()
    return [items] if isinstance(items, str) else map(_plain, items)


def _until_the_users(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield item
        if isinstance(item, Mapping) and item.get("role") == "user":
            return


# Fields, of either kind of request


def _conversation(request: Request) -> Any:
    return request.messages if isinstance(request, ChatRequest) else request.fields[request.prompt]


def _size(request: Request) -> int | None:
    """The bytes of all that is counted, where they are at hand."""
    if isinstance(request, ChatRequest):
        return None
    names = (request.prompt, *_SYSTEM, *_AS_JSON)
    return sum(len(request.fields[name]) for name in names if name in request.fields)


def _answer_limit(fields: Mapping[str, Any]) -> int:
    limits = (_plain(fields[name]) for name in LIMITS if name in fields)
    return max((limit for limit in limits if isinstance(limit, int)), default=0)


def _of_fields(fields: Mapping[str, Any]) -> Iterator[Feature]:
    if any(_is_given(fields, name) for name in _TOOLS):
        yield Feature.TOOLS
    if any("json_schema" in _json(fields[name]) for name in _FORMATS if name in fields):
        yield Feature.JSON_SCHEMA
    if any(_is_given(fields, name) for name in REASONING):
        yield Feature.REASONING


def _is_given(fields: Mapping[str, Any], name: str) -> bool:
    """Is the field there, and does it say anything?"""
    value = fields.get(name)
    if isinstance(value, msgspec.Raw):
        return len(value) > _SHORT or _json(value) not in _NOTHING
    return bool(value) and value != "none"


def _json(value: Any) -> str:
    """A field as JSON, whatever is in it."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    try:
        return msgspec.json.encode(value, enc_hook=repr).decode()
    except (ValueError, TypeError, RecursionError):
        return repr(value)


def _plain(value: Any) -> Any:
    """A field's value; None if it is none that can be read (rule 4)."""
    try:
        return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
    except (msgspec.MsgspecError, RecursionError):
        return None


# What a member can take


class Suited(NamedTuple):
    """A request as it goes to one member: `left_out` are fields that its model has no use for,
    `answer_limit` what the request's own was lowered to, if it was."""

    request: Request
    left_out: tuple[str, ...] = ()
    answer_limit: int | None = None


def suited(request: Request, needs: Needs, facts: Facts) -> Suited:
    """The request as a model of these facts can take it; itself, where nothing stands against it."""
    if not request.fields:
        return Suited(request)
    limit = facts.max_output
    if limit is not None and needs.answer_limit <= limit:
        limit = None
    silent = not facts.takes(Feature.REASONING) and Feature.REASONING in needs.features
    if limit is None and not silent:
        return Suited(request)
    fields: dict[str, Any] = dict(request.fields)
    left_out = tuple(name for name in REASONING if silent and _is_given(fields, name))
    for name in left_out:
        del fields[name]
    if left_out and MANAGED in fields:
        fields[MANAGED] = _as_came(fields[MANAGED], without_clearing(_plain(fields[MANAGED])))
    if limit is not None:
        _lower(fields, limit)
    return Suited(request.with_fields(fields), left_out, limit)


def own_limit(params: Mapping[str, Any]) -> int:
    """The most tokens of an answer that a member's own parameters ask for, in any format's words, or 0."""
    said = [params.get(name) for name in LIMITS]
    if isinstance(config := params.get(_CONFIG), Mapping):
        said.append(config.get(_CONFIGURED))
    return max((limit for limit in said if isinstance(limit, int)), default=0)


def suited_params(params: Mapping[str, Any], facts: Facts, unasked: int = 0) -> dict[str, Any]:
    """A member's own parameters as its model can take them. `unasked` is the limit of an answer that its
    format sets where nobody does."""
    fields, limit = dict(params), facts.max_output
    if limit is None or (own_limit(params) or unasked) <= limit:
        return fields
    if not own_limit(params):
        fields["max_tokens"] = limit
    if isinstance(config := fields.get(_CONFIG), Mapping) and _CONFIGURED in config:
        fields[_CONFIG] = {**config, _CONFIGURED: limit}
    _lower(fields, limit)
    return fields


def _lower(fields: dict[str, Any], limit: int) -> None:
    for name in LIMITS:
        if name in fields:
            fields[name] = _as_came(fields[name], limit)
    thinking = _plain(fields.get("thinking"))
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    if isinstance(budget, int) and budget >= limit:
        _lower_budget(fields, thinking, limit // 2)


def _lower_budget(fields: dict[str, Any], thinking: Mapping[str, Any], budget: int) -> None:
    """Thinking is part of the answer, and must leave some of it."""
    if budget < _LEAST_BUDGET:
        del fields["thinking"]
    else:
        fields["thinking"] = _as_came(fields["thinking"], {**thinking, "budget_tokens": budget})


def _as_came(before: object, value: object) -> object:
    """A field's new value, written as JSON if the old one was."""
    return msgspec.Raw(msgspec.json.encode(value)) if isinstance(before, msgspec.Raw) else value
