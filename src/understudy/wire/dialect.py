"""What a client of ours speaks: how its requests are read and how it is answered.

A wire format is spoken on two sides. Towards a backend it is a `runtime.backend.WireFormat`; towards a
client it is a `Dialect`, a module of its own (`openai_client`, `responses_client`, `anthropic_client`).
Where both are the same format, nothing is translated: the client's fields go out as they came, and the
backend's bytes come back as they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from understudy.wire.chat import ChatChunk, ChatRequest, ToolCallDelta, Usage

Fields = Mapping[str, msgspec.Raw]
"""A JSON object's fields, cut apart but not decoded."""

_OURS = frozenset({"model", "stream", "stream_options", "store", "background"})
"""Fields about how the answer comes, not about what is asked."""

_NOTHING = (b"null", b"[]", b'""', b"{}", b"false")
_SHORT = max(map(len, _NOTHING))

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class BadRequest(Exception):
    """The client's request cannot be served, and it is to blame. `param` names the field, if one is."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as a client hears of it, whatever its protocol. `details` go into the error object."""

    status: int
    code: str
    message: str
    param: str | None = None
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class StreamWriter(Protocol):
    """Writes one answer as the client's event stream.

    A chunk's own bytes are used where `native` says that the backend speaks the client's format, and
    everything is put into the client's words where it does not.
    """

    def write(self, chunks: Sequence[ChatChunk], *, native: bool) -> bytes:
        """The events of these chunks, ``b""`` if there is nothing to say yet."""
        ...

    def end(self, usage: Usage | None) -> bytes:
        """What a successful answer ends with. `usage` is known by now, if only as an estimate."""
        ...

    def fail(self, reply: ErrorReply) -> bytes:
        """What an answer ends with that failed, however much of it is written. Nothing follows it."""
        ...


class Dialect(Protocol):
    """One format towards clients. A module of `understudy.wire` is one."""

    @property
    def FORMAT(self) -> Any: ...  # noqa: N802 - the module that speaks it towards backends

    @property
    def PASSED_ON(self) -> Sequence[str]:  # noqa: N802
        """The client's headers that backends of its own format should see, in lower case."""
        ...

    @property
    def ERROR_FIELDS(self) -> frozenset[str]:  # noqa: N802
        """By these top-level fields an error in this format is known."""
        ...

    @property
    def StreamWriter(self) -> Any: ...  # noqa: N802 - a module's class; made from a `ClientRequest`

    def read_request(self, body: bytes) -> ClientRequest:
        """Raises `BadRequest`."""
        ...

    def chat_of(self, fields: Fields) -> ChatRequest:
        """The whole request in neutral words. Raises `BadRequest`."""
        ...

    def parts_left_out(self, fields: Fields) -> tuple[str, ...]:
        """What of parts of the conversation asks for something, and is not in the neutral words, by name."""
        ...

    def write_answer(self, chunks: Sequence[ChatChunk], usage: Usage | None, request: ClientRequest) -> bytes:
        """A unary answer, put together from what another format's decoder read."""
        ...

    def write_error(self, reply: ErrorReply) -> bytes:
        """The body of an answer that is an error."""
        ...


class ClientRequest:
    """A request as it came: its fields cut apart, and of them decoded what deciding takes.

    `choices` is how many answers were asked for, `wants_usage` whether the client is to see the tokens of
    a stream, `prompt` the field that holds the conversation. Whoever received it adds: `headers`, those of
    the client that its own format's backends should see; `session`, what the client says that it belongs to;
    `id` and `created` (seconds since 1970), for an answer whose backend gives it none; `trace`, the headers
    that say of which trace it is a part.
    """

    __slots__ = (
        "_chat",
        "_watched",
        "choices",
        "created",
        "dialect",
        "fields",
        "headers",
        "id",
        "model",
        "prompt",
        "session",
        "stream",
        "trace",
        "wants_usage",
    )

    def __init__(
        self,
        dialect: Dialect,
        fields: dict[str, msgspec.Raw],
        *,
        model: str,
        stream: bool,
        choices: int = 1,
        wants_usage: bool = True,
        prompt: str = "messages",
    ) -> None:
        self.prompt = prompt
        self.dialect = dialect
        self.fields = fields
        self.model = model
        self.stream = stream
        self.choices = choices
        self.wants_usage = wants_usage
        self.headers: Mapping[str, str] = {}
        self.session = ""
        self.trace: Mapping[str, str] = {}
        self.id = ""
        self.created = 0
        self._chat: ChatRequest | None = None
        self._watched: _Watched = _Watched()

    def __repr__(self) -> str:
        return f"<ClientRequest for {self.model}, {'stream' if self.stream else 'unary'}>"

    def with_fields(self, fields: dict[str, msgspec.Raw]) -> ClientRequest:
        """The same request, but for its fields."""
        other = copy(self)
        other.fields = fields
        other._chat = None
        return other

    @property
    def chat(self) -> ChatRequest:
        """In neutral words, for a backend of another format. Raises `BadRequest`."""
        if self._chat is None:
            self._watched = _Watched(self.fields)
            self._chat = self.dialect.chat_of(self._watched)
        return self._chat

    @property
    def left_out(self) -> tuple[str, ...]:
        """What says something and is not in the neutral words: fields, and parts. Raises `BadRequest`."""
        unseen = {} if self.chat and self._watched.all_seen else self.fields
        seen = self._watched.seen | _OURS
        lost = [name for name, raw in unseen.items() if name not in seen and not says_nothing(raw)]
        return (*lost, *self.dialect.parts_left_out(self.fields))


class _Watched(dict[str, msgspec.Raw]):
    """Fields that remember which of them were looked at."""

    def __init__(self, fields: Fields | None = None) -> None:
        super().__init__(fields or {})
        self.seen: set[str] = set()
        self.all_seen = False

    def __getitem__(self, name: str) -> msgspec.Raw:
        self.seen.add(name)
        return super().__getitem__(name)

    def items(self) -> Any:
        self.all_seen = True
        return super().items()


def says_nothing(raw: msgspec.Raw) -> bool:
    """Is a field's value null, or an empty one?"""
    return len(raw) <= _SHORT and bytes(raw) in _NOTHING


def cut_apart(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level fields of a JSON object. Raises `BadRequest`.

    Of a name that comes twice the last one counts, for us and for whoever gets the fields from us.
    """
    try:
        body.decode()
        return _FIELDS.decode(body)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except msgspec.ValidationError:
        raise BadRequest("the body must be a JSON object") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def convert(name: str, raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any], wanted: str) -> Any:
    """One field's value. Raises `BadRequest` that names the field and what was wanted."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        raise BadRequest(f"{name} must be {wanted}", name) from None


def checked(name: str, raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> Any:
    """One field's value, of any depth. Raises `BadRequest` with the path of what is wrong in it."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        said, _, path = str(error).partition(" - at `$")
        where = name + path.removesuffix("`")
        raise BadRequest(f"{where}: {said[:1].lower()}{said[1:]}", where) from None


def whole_calls(chunks: Sequence[ChatChunk]) -> list[ToolCallDelta]:
    """The tool calls of one choice in the order of their beginning, each in one piece."""
    calls: dict[int, list[ToolCallDelta]] = {}
    for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
        calls.setdefault(delta.index, []).append(delta)
    return [
        ToolCallDelta(
            index,
            next((piece.id for piece in pieces if piece.id), None),
            next((piece.name for piece in pieces if piece.name), None),
            "".join(piece.arguments for piece in pieces),
        )
        for index, pieces in calls.items()
    ]
