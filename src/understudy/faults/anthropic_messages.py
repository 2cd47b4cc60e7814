"""The Anthropic Messages format, literally: the only file here that knows its bytes.

::

    message_start, ping, { content_block_start, { content_block_delta }, content_block_stop },
    message_delta, message_stop

1. Every event has the name that is its type.
2. Blocks come one after the other: thinking, which its signature ends, then text, then tool calls.
   What has nothing to say has no block, but an answer of blank text has a blank one.
3. A tool call's start, which names it, is a token; so is every piece of its arguments. The start of
   any other block comes with what was before it, and so does its stop; the last block's stop comes
   with the stop reason.
4. Usage is told without being asked for: the input's in ``message_start``, the output's in
   ``message_delta``, where the last one counts.
5. Without a stop reason there is no ``message_stop`` either: nothing says that this was all.
6. There is one choice, whatever is asked for.
7. Ids are as wide as `IDENTITY`, so that an answer can be written once and stamped per request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from understudy.faults.act import DONE, FINISH, PREAMBLE, USAGE, ErrorForm, Event, Timeline
from understudy.faults.answer import Answer, Call, ToolCall
from understudy.faults.json_bytes import dump

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage

NAME = "anthropic-messages"
IDENTITY = b"msg_0000000000"
REQUEST_ID: str | None = "request-id"
ANSWER_PATH = "/messages"
COUNT_PATH = "/messages/count_tokens"
PATHS: tuple[str, ...] = (ANSWER_PATH, COUNT_PATH)
LINE = "\n"

ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
SIGNATURE = "dGhlIHNob3cgZ29lcyBvbg=="

FAULT = "anthropic-server"
LAST = Event(b'{"type":"message_stop"}', DONE, "message_stop")
HALF = b'event: content_block_delta\ndata: {"type":"content_bl'
MALFORMED: Mapping[str, bytes] = {
    "json": b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"bro',
    "shape": b'{"type":"content_block_delta","index":"none","delta":"none"}',
}
DELTA = b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}'


def identity(number: int) -> bytes:
    return b"msg_%010d" % number


def read_call(body: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Call:
    messages = body.get("messages")
    contents = [message.get("content") for message in _objects(messages)]
    return Call(
        model=str(body.get("model") or ""),
        stream=body.get("stream") is True,
        prompt_size=sum(map(_size, (body.get("system"), *contents))),
        prefill=_prefill(_objects(messages)),
    )


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _prefill(messages: list[dict[str, Any]]) -> str:
    if not messages or messages[-1].get("role") != "assistant":
        return ""
    content = messages[-1].get("content")
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text", "")) for block in _objects(content))


def _size(content: object) -> int:
    """Of a text, or of the texts of its blocks; a block of another kind counts as it is written."""
    if isinstance(content, str):
        return len(content)
    return sum(_size(block["text"]) if "text" in block else len(dump(block)) for block in _objects(content))


def count(path: str, call: Call) -> bytes | None:
    return dump({"input_tokens": call.input_tokens}) if path.endswith(COUNT_PATH) else None


def error_body(message: str, *, status: int, kind: str | None = None, code: str | None = None) -> bytes:
    kind = kind or ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error: dict[str, Any] = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    return dump({"type": "error", "error": error, "request_id": "req_000000000000"})


def content_tokens(plan: Plan, call: Call) -> int:
    return plan.answer.output_tokens


def whole(plan: Plan, call: Call, stage: Stage) -> bytes:
    message = {
        **_message(plan, call, stage),
        "content": list(_contents(plan.answer)),
        "stop_reason": _stop_reason(plan.answer),
    }
    if plan.usage != "missing":
        message["usage"] = _usage(plan, call, plan.answer.output_tokens)
    return dump(message, ascii_only=plan.ascii)


def _message(plan: Plan, call: Call, stage: Stage) -> dict[str, Any]:
    """A message without content yet."""
    return {
        "id": stage.identity.decode(),
        "type": "message",
        "role": "assistant",
        "model": plan.answer.model or call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _contents(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.reasoning:
        yield {"type": "thinking", "thinking": "".join(answer.reasoning), "signature": SIGNATURE}
    if _has_text(answer):
        yield {"type": "text", "text": None if answer.is_null else answer.text}
    for tool in answer.tool_calls:
        yield {"type": "tool_use", "id": tool.id, "name": tool.name, "input": _input(tool)}


def _has_text(answer: Answer) -> bool:
    speaks_otherwise = answer.choices == 0 or answer.tool_calls or answer.reasoning or answer.blocked
    return bool(answer.tokens or not speaks_otherwise)


def _input(tool: ToolCall) -> Any:
    # Here arguments are a value and no text; what is none stays the text that it was.
    try:
        return json.loads(tool.arguments or "{}")
    except ValueError:
        return tool.arguments


def _stop_reason(answer: Answer) -> str | None:
    """A refusal is told by its stop reason; its text is a text like any other."""
    if answer.is_refusal and answer.finish is None:
        return "refusal"
    reason = answer.finish_reason
    return None if reason is None else STOP_REASONS.get(reason, reason)


def _usage(plan: Plan, call: Call, output: int) -> dict[str, int]:
    """What was cached is besides the input."""
    if plan.usage == "zero":
        return _counts(0, 0, 0, 0)
    cached, written = plan.cache_of(call.input_tokens)
    return _counts(call.input_tokens - cached - written, written, cached, output)


def _counts(given: int, written: int, cached: int, output: int) -> dict[str, int]:
    return {
        "input_tokens": given,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }


def token_event(answer: Answer, text: str | None) -> Event:
    # Text is in the block behind the thinking.
    return _delta(1 if answer.reasoning else 0, b"text_delta", b"text", dump(text or ""), PREAMBLE)


def error_events(value: Any, form: ErrorForm) -> tuple[Event, ...]:
    return (Event(dump(value), PREAMBLE, "" if form == "chunk" else "error"),)


def failed(plan: Plan, call: Call, stage: Stage) -> bytes:
    return dump(plan.failure)


def unreadable_event(data: bytes) -> Event:
    return Event(data, PREAMBLE, "content_block_delta")


def prelude() -> Event:
    """Of a type that nobody knows, as the format reserves the right to; SDKs want a message to have begun."""
    return _event({"type": "prompt_annotations", "prompt_filter_results": []}, PREAMBLE)


def prefixed(body: bytes, data: bytes) -> bytes:
    return body.replace(b'"text":"', b'"text":"' + data, 1)


def events(plan: Plan, call: Call, stage: Stage) -> Timeline:
    return Writer(plan, call, stage).events()


def completed(acts: Timeline, plan: Plan, call: Call, stage: Stage) -> Timeline:
    return acts


def _event(value: Mapping[str, Any], mark: int, *, ascii_only: bool = False) -> Event:
    return Event(dump(value, ascii_only=ascii_only), mark, value["type"])


def _delta(index: int, kind: bytes, field: bytes, value: bytes, mark: int) -> Event:
    return Event(DELTA % (index, kind, field, value), mark, "content_block_delta")


@dataclass(frozen=True, slots=True)
class Block:
    """A content block as a stream writes it.

    `pieces` are its tokens, in deltas of one `kind`. A block that `names` itself is a token by its
    start. `seal` is a delta behind the last token, with its kind and field.
    """

    start: Mapping[str, Any]
    kind: bytes
    field: bytes
    pieces: Sequence[str | None]
    names: bool = False
    seal: tuple[bytes, bytes, str] | None = None


def _blocks(answer: Answer) -> Iterator[Block]:
    if answer.reasoning:
        start = {"type": "thinking", "thinking": "", "signature": ""}
        seal = (b"signature_delta", b"signature", SIGNATURE)
        yield Block(start, b"thinking_delta", b"thinking", answer.reasoning, seal=seal)
    if _has_text(answer):
        pieces = (None,) if answer.is_null else answer.tokens
        yield Block({"type": "text", "text": ""}, b"text_delta", b"text", pieces)
    for tool in answer.tool_calls:
        named = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
        yield Block(named, b"input_json_delta", b"partial_json", answer.pieces(tool), names=True)


class Writer:
    """Writes the events of one stream."""

    def __init__(self, plan: Plan, call: Call, stage: Stage) -> None:
        self.plan, self.call, self.stage = plan, call, stage
        self.answer = plan.answer

    def events(self) -> Timeline:
        yield self._start()
        yield Event(b'{"type":"ping"}', PREAMBLE, "ping")
        yield from self._content()
        yield from self._message_deltas()
        if self.answer.finish_reason is not None:
            yield LAST

    def _written(self, value: Mapping[str, Any], mark: int) -> Event:
        return _event(value, mark, ascii_only=self.plan.ascii)

    def _start(self) -> Event:
        message = _message(self.plan, self.call, self.stage)
        if self.plan.usage != "missing":
            message["usage"] = _usage(self.plan, self.call, 1)
        return self._written({"type": "message_start", "message": message}, PREAMBLE)

    def _content(self) -> Timeline:
        mark, index = PREAMBLE, -1
        for index, block in enumerate(_blocks(self.answer)):
            if index:
                yield self._stop(index - 1, mark)
            for event in self._block(index, block, mark):
                mark = event.mark
                yield event
        if index >= 0:
            yield self._stop(index, FINISH)

    def _stop(self, index: int, mark: int) -> Event:
        return _event({"type": "content_block_stop", "index": index}, mark)

    def _block(self, index: int, block: Block, mark: int) -> Iterator[Event]:
        mark += block.names
        start = {"type": "content_block_start", "index": index, "content_block": block.start}
        yield self._written(start, mark)
        if block.names:
            # As the real one does: arguments begin with nothing.
            yield _delta(index, block.kind, block.field, b'""', mark)
        for piece in block.pieces:
            mark += 1
            yield _delta(index, block.kind, block.field, dump(piece, ascii_only=self.plan.ascii), mark)
        if block.seal is not None:
            kind, field, value = block.seal
            yield _delta(index, kind, field, dump(value), mark)

    def _message_deltas(self) -> Timeline:
        """There are three cases: with the stop reason; usage once more; usage alone."""
        reason = _stop_reason(self.answer)
        if reason is not None:
            # The first of two is wrong on purpose: the last one counts.
            yield self._message_delta(reason, FINISH, 0 if self.plan.usage == "twice" else None)
        if self.plan.usage == "twice" or (reason is None and self.plan.usage != "missing"):
            yield self._message_delta(reason, USAGE)

    def _message_delta(self, reason: str | None, mark: int, output: int | None = None) -> Event:
        value: dict[str, Any] = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
        }
        if self.plan.usage != "missing":
            output = self.answer.output_tokens if output is None else output
            value["usage"] = {"output_tokens": 0 if self.plan.usage == "zero" else output}
        return self._written(value, mark)
