"""What a client of the gateway asks and what it gets, in its protocol's own words.

A `Reply` is an answer byte by byte; what is in it is told by the `Words` of its protocol, of which there is a
class for each. They are the tests' own: nothing here is read with the product's parsers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Protocol = Literal["openai", "anthropic", "responses"]
# Those that most tests are played in, clients and members alike: a member may speak either by the same name.
PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic")

CLIENT_KEY = "client-key-of-alice-0123456789"
QUESTION = "What happens when the lead falls silent?"
PATHS: dict[Protocol, str] = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
}


def asking(protocol: Protocol, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A request's body. A stream asks for its usage."""
    body: dict[str, Any] = {"model": "evening", "stream": stream}
    if protocol == "responses":
        return {**body, "input": QUESTION, **fields}
    body["messages"] = [{"role": "user", "content": QUESTION}]
    if protocol == "anthropic":
        body["max_tokens"] = 1000
    elif stream:
        body["stream_options"] = {"include_usage": True}
    return {**body, **fields}


def authorized(protocol: Protocol, key: str = CLIENT_KEY) -> dict[str, str]:
    """The headers by which each protocol's clients say who they are."""
    if protocol == "anthropic":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key}"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; `name` is ``message`` where the stream gives none."""

    name: str
    data: str

    @property
    def value(self) -> Any:
        return json.loads(self.data)


def events_of(body: bytes) -> list[Event]:
    """The events that are complete; comments are none."""
    events = []
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line.partition(":") for line in block.split("\n") if not line.startswith(":")]
        fields = [(name, value.removeprefix(" ")) for name, _, value in lines]
        data = [value for name, value in fields if name == "data"]
        if data:
            name = next((value for name, value in fields if name == "event"), "message")
            events.append(Event(name, "\n".join(data)))
    return events


def joined(pieces: Iterable[str]) -> str:
    """Halves of one character that came in two pieces are one."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16")


@dataclass(frozen=True)
class Reply:
    """One answer as it came over the wire. `whole`: its body ended as HTTP wants it."""

    protocol: Protocol
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @cached_property
    def events(self) -> list[Event]:
        return events_of(self.body)

    @property
    def dones(self) -> int:
        """How often it says that this was all."""
        return sum(map(self._words.is_done, self.events))

    @property
    def error(self) -> dict[str, Any] | None:
        """The error object, in whichever place the protocol has it."""
        found = [error for error in self._words.errors if error]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def text(self) -> str:
        return joined(self._words.texts)

    @property
    def tools(self) -> dict[int, tuple[str, str]]:
        """Name and arguments of every tool call that a stream has begun, by its place."""
        calls: dict[int, tuple[str, str]] = {}
        for index, name, arguments in self._words.tool_pieces:
            begun = calls.get(index, ("", ""))
            calls[index] = (begun[0] + name, begun[1] + arguments)
        return calls

    @property
    def ids(self) -> set[str]:
        """The answers that this one is made of: one, if it is not glued together."""
        return self._words.ids

    @property
    def model(self) -> str:
        return str(next(model for model in self._words.models if model))

    @property
    def finish(self) -> str | None:
        """Why it ended, in the protocol's word."""
        return next((reason for reason in self._words.finishes if reason), None)

    @property
    def output_tokens(self) -> int | None:
        found = [usage for usage in self._words.usages if usage]
        return found[-1].get(self._words.output_tokens) if found else None

    @cached_property
    def _words(self) -> Words:
        return _WORDS[self.protocol](self._values)

    @property
    def _values(self) -> list[dict[str, Any]]:
        """The JSON objects that it consists of."""
        if not self.is_stream:
            return [self.value]
        return [event.value for event in self.events if event.data.startswith("{")]


class Words:
    """The JSON objects of one answer: a stream's events, or the one of a unary answer."""

    output_tokens = "output_tokens"

    def __init__(self, values: Sequence[dict[str, Any]]) -> None:
        self.values = values

    @staticmethod
    def is_done(event: Event) -> bool:
        raise NotImplementedError

    @property
    def errors(self) -> list[dict[str, Any] | None]:
        return [value.get("error") for value in self.values]

    @property
    def texts(self) -> list[str]:
        raise NotImplementedError

    @property
    def tool_pieces(self) -> list[tuple[int, str, str]]:
        """Place, name and arguments, of which one is empty."""
        raise NotImplementedError

    @property
    def ids(self) -> set[str]:
        raise NotImplementedError

    @property
    def models(self) -> list[str | None]:
        raise NotImplementedError

    @property
    def finishes(self) -> list[str | None]:
        raise NotImplementedError

    @property
    def usages(self) -> list[dict[str, Any] | None]:
        return [value.get("usage") for value in self.values]


class ChatWords(Words):
    """OpenAI chat's."""

    output_tokens = "completion_tokens"

    @staticmethod
    def is_done(event: Event) -> bool:
        return event.data == "[DONE]"

    @property
    def texts(self) -> list[str]:
        return [part["content"] for part in self._parts if part.get("content")]

    @property
    def tool_pieces(self) -> list[tuple[int, str, str]]:
        return [
            (call["index"], call["function"].get("name") or "", call["function"].get("arguments") or "")
            for part in self._parts
            for call in part.get("tool_calls") or ()
        ]

    @property
    def ids(self) -> set[str]:
        return {value["id"] for value in self.values if value.get("choices")}

    @property
    def models(self) -> list[str | None]:
        return [value.get("model") for value in self.values]

    @property
    def finishes(self) -> list[str | None]:
        return [choice.get("finish_reason") for choice in self._choices]

    @property
    def _choices(self) -> list[dict[str, Any]]:
        return [choice for value in self.values for choice in value.get("choices", ())]

    @property
    def _parts(self) -> list[dict[str, Any]]:
        return [choice.get("delta") or choice.get("message") or {} for choice in self._choices]


class MessagesWords(Words):
    """Anthropic's."""

    @staticmethod
    def is_done(event: Event) -> bool:
        return event.name == "message_stop"

    @property
    def texts(self) -> list[str]:
        blocks = [block for message in self._messages for block in message.get("content", ())]
        whole = [block["text"] for block in blocks if block["type"] == "text"]
        return whole + [value["delta"]["text"] for value in self._deltas("text_delta")]

    @property
    def tool_pieces(self) -> list[tuple[int, str, str]]:
        pieces = []
        for value in self.values:
            block, delta = value.get("content_block", {}), value.get("delta", {})
            if block.get("type") == "tool_use":
                pieces.append((value["index"], block["name"], ""))
            elif delta.get("type") == "input_json_delta":
                pieces.append((value["index"], "", delta["partial_json"]))
        return pieces

    @property
    def ids(self) -> set[str]:
        return {message["id"] for message in self._messages}

    @property
    def models(self) -> list[str | None]:
        return [message["model"] for message in self._messages]

    @property
    def finishes(self) -> list[str | None]:
        deltas = [value["delta"] for value in self.values if value.get("type") == "message_delta"]
        return [part.get("stop_reason") for part in (*self._messages, *deltas)]

    @property
    def _messages(self) -> list[dict[str, Any]]:
        """The whole message, or what a stream begins with."""
        whole = [value for value in self.values if value.get("type") == "message"]
        return whole + [value["message"] for value in self.values if value.get("type") == "message_start"]

    def _deltas(self, kind: str) -> list[dict[str, Any]]:
        return [value for value in self.values if value.get("delta", {}).get("type") == kind]


class ResponsesWords(Words):
    """Those of OpenAI's Responses."""

    @staticmethod
    def is_done(event: Event) -> bool:
        return event.name in ("response.completed", "response.incomplete")

    @property
    def errors(self) -> list[dict[str, Any] | None]:
        """Also that of a stream's last response; an event of type ``error`` is one itself."""
        events = [value if value.get("type") == "error" else None for value in self.values]
        return [*events, *(value.get("response", value).get("error") for value in self.values)]

    @property
    def texts(self) -> list[str]:
        items = [item for response in self._whole for item in response["output"]]
        parts = [part for item in items for part in item.get("content", ())]
        whole = [part["text"] for part in parts if part["type"] == "output_text"]
        return whole + [value["delta"] for value in self._of("response.output_text.delta")]

    @property
    def tool_pieces(self) -> list[tuple[int, str, str]]:
        pieces = []
        for value in self.values:
            if value.get("item", {}).get("type") == "function_call" and value["type"].endswith(".added"):
                pieces.append((value["output_index"], value["item"]["name"], ""))
            elif value.get("type") == "response.function_call_arguments.delta":
                pieces.append((value["output_index"], "", value["delta"]))
        return pieces

    @property
    def ids(self) -> set[str]:
        return {response["id"] for response in self._responses}

    @property
    def models(self) -> list[str | None]:
        return [response["model"] for response in self._responses]

    @property
    def finishes(self) -> list[str | None]:
        """``completed``, or why it is not."""
        ended = [each for each in self._responses if each["status"] in ("completed", "incomplete")]
        return [(each["incomplete_details"] or {}).get("reason", each["status"]) for each in ended]

    @property
    def usages(self) -> list[dict[str, Any] | None]:
        return [response["usage"] for response in self._responses]

    @property
    def _whole(self) -> list[dict[str, Any]]:
        """The response of a unary answer."""
        return [value for value in self.values if value.get("object") == "response"]

    @property
    def _responses(self) -> list[dict[str, Any]]:
        return [*self._whole, *(value["response"] for value in self.values if "response" in value)]

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [value for value in self.values if value.get("type") == kind]


_WORDS: dict[Protocol, type[Words]] = {
    "openai": ChatWords,
    "anthropic": MessagesWords,
    "responses": ResponsesWords,
}
