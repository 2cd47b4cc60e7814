"""Where a member's requests go, and in which wire format."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from math import isfinite
from typing import Any, Literal, Protocol, TypeGuard
from urllib.parse import urlsplit

import msgspec

from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.dialect import BadRequest, ClientRequest
from understudy.wire.state import FIELD
from understudy.wire.thoughts import readable, without_state
from understudy.wire.unwanted import BUDGET, without

Request = ChatRequest | ClientRequest
"""In neutral words, or in those of the client it came from."""


_OUR_WORDS = "openai"  # the format that leaves no neutral word out, because they are its own
_MAPPING = (dict, Mapping)  # nearly all are the first, which is found out faster


class UnwritableRequest(Exception):
    """The request holds what the wire format cannot say. `param` names the client's field, if it is known."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class StreamDecoder(Protocol):
    """Bytes of a stream's body in, chunks and failures out; stands for one attempt."""

    @property
    def finished(self) -> bool:
        """Has a terminal marker come for every choice?"""
        ...

    @property
    def done(self) -> bool:
        """Can nothing more come (``[DONE]``)?"""
        ...

    @property
    def malformed(self) -> int:
        """Events dropped so far."""
        ...

    @property
    def finish_reason(self) -> str | None: ...

    def feed(self, data: bytes) -> Sequence[Any]: ...


class WireFormat(Protocol):
    """One way of speaking chat over HTTP. A module of `understudy.wire` is one."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 - a module's constant

    @property
    def StreamDecoder(self) -> Any: ...  # noqa: N802 - a module's class

    def path(self, model: str, stream: bool) -> str:
        """What follows the base URL."""
        ...

    def headers(self, key: str | None) -> dict[str, str]: ...

    def encode_request(
        self,
        request: ChatRequest,
        *,
        model: str,
        stream: bool,
        include_usage: bool,
        defaults: Mapping[str, Any],
    ) -> bytes: ...

    def left_out(self, request: ChatRequest, defaults: Mapping[str, Any]) -> tuple[str, ...]:
        """What `encode_request` drops, for want of a word: fields, and parts of messages."""
        ...

    def decode_unary(
        self, body: bytes, choices: int, *, rules: Sequence[ErrorRule], secrets: Sequence[str]
    ) -> list[ChatChunk] | Failure: ...

    def sniff(self, content_type: str | None, first_bytes: bytes) -> Literal["sse", "json", "unknown"]: ...

    def empty_is_legitimate(self, finish_reason: str | None) -> bool: ...


class NativeFormat(WireFormat, Protocol):
    """One that clients speak as well."""

    def encode_native(
        self,
        fields: Mapping[str, msgspec.Raw],
        *,
        model: str,
        stream: bool,
        include_usage: bool,
        defaults: Mapping[str, Any],
    ) -> bytes: ...

    def left_out_native(self, fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
        """What `encode_native` drops of what is asked."""
        ...

    def stateless(self, fields: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
        """The fields without anything that only its issuer can read; None if there is nothing like it."""
        ...


class Backend:
    """One member's upstream. The key is kept inside the headers, which no repr shows.

    `base_url` has no slash at its end. `origin` tells it from backends of the same format elsewhere.

    `defaults` fill what the request leaves out. `continuation` are fields that tell it to go on with a
    prefilled answer. `asks_usage`: ask for usage in streams. `unwanted` are fields that it never hears of,
    because it is known to refuse them (`wire.unwanted`), or was found to.
    """

    __slots__ = (
        "asks_usage",
        "base_url",
        "ca_file",
        "continuation",
        "defaults",
        "format",
        "headers",
        "model",
        "name",
        "origin",
        "secrets",
        "unwanted",
    )

    def __init__(
        self,
        name: str,
        wire_format: WireFormat,
        *,
        base_url: str,
        model: str,
        key: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        asks_usage: bool = True,
        ca_file: str | None = None,
        continuation: Mapping[str, Any] | None = None,
        unwanted: Collection[str] = (),
    ) -> None:
        self.name = name
        self.format = wire_format
        self.base_url = base_url
        self.origin = _origin(base_url)
        self.model = model
        self.headers = wire_format.headers(key)
        self.secrets = (key,) if key else ()
        self.defaults = dict(defaults or {})
        self.asks_usage = asks_usage
        self.ca_file = ca_file
        self.continuation = continuation or {}
        self.unwanted = frozenset(unwanted)

    def __repr__(self) -> str:
        return f"<Backend {self.name}, {self.model} at {self.base_url}>"

    def url_for(self, *, stream: bool) -> str:
        """Where requests go."""
        return self.base_url + self.format.path(self.model, stream)

    def encode(
        self, request: Request, *, stream: bool, besides: Collection[str] = ()
    ) -> tuple[bytes, tuple[str, ...]]:
        """The request's body, and which fields it lacks because the backend does not want them.

        `besides` are unwanted this time. Raises `UnwritableRequest` where the format cannot say it, or JSON
        cannot.
        """
        body = self._written(request, stream)
        unwanted = self.unwanted.union(besides) if besides else self.unwanted
        return without(body, unwanted) if unwanted else (body, ())

    def refuses(self, names: Collection[str]) -> None:
        """It was found to answer without them, and not with them."""
        self.unwanted = self.unwanted.union(names)

    def _written(self, request: Request, stream: bool) -> bytes:
        try:
            return self._encode(request, stream)
        except BadRequest as error:
            raise UnwritableRequest(error.message, error.param) from error
        except RecursionError as error:
            raise UnwritableRequest("the request is nested too deeply") from error
        except (TypeError, msgspec.MsgspecError) as error:
            raise UnwritableRequest(f"the request cannot be written as JSON: {error}") from error
        except ValueError as error:
            raise UnwritableRequest(str(error)) from error

    def left_out(self, request: Request) -> tuple[str, ...]:
        """What of the request the backend never hears of. Of one that can't be written `encode` tells."""
        if self.is_native(request):
            native: NativeFormat = request.dialect.FORMAT
            return native.left_out_native(request.fields)
        try:
            untold = request.left_out if isinstance(request, ClientRequest) else ()
            if self.format.NAME == _OUR_WORDS:
                return untold
            chat = self._readable(_neutral(request))
            return (*untold, *self.format.left_out(chat, self._defaults(chat)))
        except (BadRequest, TypeError, ValueError):
            return ()

    def stateless(self, request: Request) -> Request | None:
        """The request without anything that only its issuer can read; None if there is nothing like it."""
        if self.is_native(request):
            native: NativeFormat = request.dialect.FORMAT
            fields = native.stateless(request.fields)
            return None if fields is None else request.with_fields(fields)
        chat = _neutral(request)
        if not any(map(_has_state, chat.messages)):
            return None
        messages = [without_state(one) if _has_state(one) else one for one in chat.messages]
        return ChatRequest(messages, chat.fields)

    def signed(self, chunk: ChatChunk) -> ChatChunk:
        """The chunk with this backend's origin on whatever state it brings."""
        if not chunk.state:
            return chunk
        state = tuple(msgspec.structs.replace(one, origin=self.origin) for one in chunk.state)
        return msgspec.structs.replace(chunk, state=state)

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """The request's headers: the member's own, and what a client of this format has to add to them."""
        if self.is_native(request) and request.headers:
            return {**request.headers, **self.headers}
        return self.headers

    def is_native(self, request: Request) -> TypeGuard[ClientRequest]:
        """Did the request come in this backend's own format?"""
        return isinstance(request, ClientRequest) and request.dialect.FORMAT is self.format

    def _readable(self, chat: ChatRequest) -> ChatRequest:
        """The request without state that a backend of this format issued elsewhere."""
        if chat.fields:
            _check_numbers(chat.fields)
        if not any(map(_has_state, chat.messages)):
            return chat
        ours = self.format.NAME, self.origin
        messages = [readable(one, *ours) if _has_state(one) else one for one in chat.messages]
        return ChatRequest(messages, chat.fields)

    def _encode(self, request: Request, stream: bool) -> bytes:
        """There are three cases: in this format already, from a client of another one, in neutral words."""
        include_usage = stream and self.asks_usage
        if self.is_native(request):
            native: NativeFormat = request.dialect.FORMAT
            return native.encode_native(
                request.fields,
                model=self.model,
                stream=stream,
                include_usage=include_usage,
                defaults=self.defaults,
            )
        chat = self._readable(_neutral(request))
        return self.format.encode_request(
            chat,
            model=self.model,
            stream=stream,
            include_usage=include_usage,
            defaults=self._defaults(chat),
        )

    def _defaults(self, chat: ChatRequest) -> Mapping[str, Any]:
        """Who takes no budget for its thoughts is asked for them in its own way, where any are wanted."""
        if self.format.NAME != "anthropic" or BUDGET not in self.unwanted:
            return self.defaults
        if chat.fields.get("reasoning_effort") in (None, "none"):
            return self.defaults
        return {**self.defaults, "thinking": {"type": "adaptive"}}


def _check_numbers(fields: Mapping[str, Any]) -> None:
    """JSON has no word for them, and null says something else."""
    for name, value in fields.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{name}: {value} is no number that JSON knows")


def _has_state(message: object) -> bool:
    return isinstance(message, _MAPPING) and FIELD in message


def _origin(base_url: str) -> str:
    """A digest, because clients get to see it, and whom their requests go to is no business of theirs."""
    place = urlsplit(base_url)
    return sha256(f"{place.scheme}://{place.netloc}".lower().encode()).hexdigest()[:12]


def _neutral(request: Request) -> ChatRequest:
    return request.chat if isinstance(request, ClientRequest) else request
