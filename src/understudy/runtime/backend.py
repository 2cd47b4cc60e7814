"""Where a member's requests go, and in which wire format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeGuard

import msgspec

from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.wire.chat import ChatChunk, ChatRequest
from understudy.wire.dialect import BadRequest, ClientRequest

Request = ChatRequest | ClientRequest
"""In neutral words, or in those of the client it came from."""


class UnwritableRequest(Exception):
    """The request holds something that the wire format cannot say."""


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

    def left_out(self, request: ChatRequest) -> tuple[str, ...]:
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


class Backend:
    """One member's upstream. The key is kept inside the headers, which no repr shows.

    `base_url` has no slash at its end.

    `defaults` fill what the request leaves out. `continuation` are fields that tell it to go on with a
    prefilled answer. `asks_usage`: ask for usage in streams; turned off for good when the backend refuses to
    know the field.
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
        "secrets",
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
    ) -> None:
        self.name = name
        self.format = wire_format
        self.base_url = base_url
        self.model = model
        self.headers = wire_format.headers(key)
        self.secrets = (key,) if key else ()
        self.defaults = dict(defaults or {})
        self.asks_usage = asks_usage
        self.ca_file = ca_file
        self.continuation = continuation or {}

    def __repr__(self) -> str:
        return f"<Backend {self.name}, {self.model} at {self.base_url}>"

    def url_for(self, *, stream: bool) -> str:
        """Where requests go."""
        return self.base_url + self.format.path(self.model, stream)

    def encode(self, request: Request, *, stream: bool) -> bytes:
        """The request's body; raises `UnwritableRequest` where the format cannot say it, or JSON cannot."""
        try:
            return self._encode(request, stream)
        except BadRequest as error:
            raise UnwritableRequest(error.message) from error
        except (TypeError, msgspec.MsgspecError) as error:
            raise UnwritableRequest(f"the request cannot be written as JSON: {error}") from error
        except ValueError as error:
            raise UnwritableRequest(str(error)) from error

    def left_out(self, request: Request) -> tuple[str, ...]:
        """What of the request the backend never hears of. Of one that can't be written `encode` tells."""
        if self.is_native(request):
            return ()
        try:
            untold = request.left_out if isinstance(request, ClientRequest) else ()
            return (*untold, *self.format.left_out(_neutral(request)))
        except (BadRequest, TypeError, ValueError):
            return ()

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """The request's headers: the member's own, and what a client of this format has to add to them."""
        if self.is_native(request) and request.headers:
            return {**request.headers, **self.headers}
        return self.headers

    def is_native(self, request: Request) -> TypeGuard[ClientRequest]:
        """Did the request come in this backend's own format?"""
        return isinstance(request, ClientRequest) and request.dialect.FORMAT is self.format

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
        return self.format.encode_request(
            _neutral(request),
            model=self.model,
            stream=stream,
            include_usage=include_usage,
            defaults=self.defaults,
        )


def _neutral(request: Request) -> ChatRequest:
    return request.chat if isinstance(request, ClientRequest) else request
