"""The OpenAI chat format, literally: the only file here that knows its bytes.

1. Ids are as wide as `IDENTITY`, so that an answer can be written once and stamped per request.
2. A stream asked for its usage tells it in a chunk of its own, with no choices, before ``[DONE]``;
   all other chunks then say ``"usage": null``. Otherwise nothing about usage is in the stream.
3. Of a tool call only the first event has id, type and name.
4. What Azure's content filter found stands beside every choice, and what it found in the prompt
   beside them all: in a unary answer, and in the first event of a stream, which has no choices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from understudy.faults.act import DONE, FINISH, HEAD, PREAMBLE, USAGE, ErrorForm, Event, Timeline
from understudy.faults.answer import Answer, Call
from understudy.faults.json_bytes import dump

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage

NAME = "openai-chat"
IDENTITY = b"chatcmpl-0000000000"
REQUEST_ID: str | None = "x-request-id"
MOST_CHOICES = 128
ANSWER_PATH = "/chat/completions"
PATHS: tuple[str, ...] = (ANSWER_PATH,)
LINE = "\n"
MODELS_PATH = "/models"

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}

SAFE = {"filtered": False, "severity": "safe"}
NOTHING_FOUND = dict.fromkeys(("hate", "self_harm", "sexual", "violence"), SAFE)

FAULT = "openai-server"
LAST = Event(b"[DONE]", DONE)
HALF = b'data: {"id":"chatcmpl-'
MALFORMED: Mapping[str, bytes] = {
    "json": b'{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"bro',
    "shape": b'{"id":"chatcmpl-broken","choices":"none"}',
}


def identity(number: int) -> bytes:
    return b"chatcmpl-%010d" % number


def read_call(body: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Call:
    options = body.get("stream_options")
    choices = body.get("n")
    return Call(
        model=str(body.get("model") or ""),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=choices if isinstance(choices, int) and 0 < choices <= MOST_CHOICES else 1,
        prompt_size=sum(map(_size, _messages(body))),
        prefill=_prefill(_messages(body)),
    )


def _messages(body: Mapping[str, Any]) -> Sequence[Any]:
    messages = body.get("messages")
    return messages if isinstance(messages, list) else ()


def _prefill(messages: Sequence[Any]) -> str:
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return ""
    content = last.get("content")
    return content if isinstance(content, str) else ""


def _size(message: object) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    return len(content) if isinstance(content, str) else 0 if content is None else len(dump(content))


def count(path: str, call: Call) -> bytes | None:
    return None


def error_body(message: str, *, status: int, kind: str | None = None, code: str | None = None) -> bytes:
    kind = kind or ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return dump({"error": {"message": message, "type": kind, "param": None, "code": code}})


def models_body(names: Sequence[str], created: int) -> bytes:
    rows = [{"id": name, "object": "model", "created": created, "owned_by": "understudy"} for name in names]
    return dump({"object": "list", "data": rows})


def _usage(plan: Plan, call: Call, choices: int) -> dict[str, Any]:
    """Of the prompt what was cached is a part."""
    answer = plan.answer
    cached, written = plan.cache_of(call.input_tokens)
    output = answer.output_tokens * choices
    usage: dict[str, Any] = {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": output,
        "total_tokens": call.input_tokens + output,
    }
    if cached or written:
        usage["prompt_tokens_details"] = {"cached_tokens": cached, "cache_write_tokens": written}
    if answer.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(answer.reasoning) * choices}
    return usage


def _no_usage() -> dict[str, Any]:
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def _choices(plan: Plan, call: Call) -> int:
    return call.choices if plan.answer.choices is None else plan.answer.choices


def content_tokens(plan: Plan, call: Call) -> int:
    return plan.answer.output_tokens * (plan.answer.choices or call.choices)


def whole(plan: Plan, call: Call, stage: Stage) -> bytes:
    answer, choices = plan.answer, _choices(plan, call)
    body: dict[str, Any] = {
        "id": stage.identity.decode(),
        "object": "chat.completion",
        "created": stage.created,
        "model": answer.model or call.model,
        "choices": [
            {
                "index": index,
                "message": _message(answer),
                "logprobs": None,
                "finish_reason": answer.finish_reason,
                **(
                    {"content_filter_results": content_results(answer.finish_reason)} if plan.filtered else {}
                ),
            }
            for index in range(choices)
        ],
    }
    if plan.filtered:
        body["prompt_filter_results"] = prompt_results()
    if plan.usage != "missing":
        body["usage"] = _no_usage() if plan.usage == "zero" else _usage(plan, call, choices)
    return dump(body, ascii_only=plan.ascii)


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _content(answer), "refusal": None}
    if answer.is_refusal:
        message.update(content=None, refusal=answer.text)
    if answer.reasoning:
        message[answer.reasoning_field] = "".join(answer.reasoning)
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": tool.id,
                "type": "function",
                "function": {"name": tool.name, "arguments": tool.arguments},
            }
            for tool in answer.tool_calls
        ]
    return message


def _content(answer: Answer) -> str | None:
    speaks_otherwise = answer.is_null or answer.tool_calls or answer.reasoning
    return answer.text or (None if speaks_otherwise else "")


def _bare_chunk(delta: Mapping[str, Any]) -> bytes:
    """A chunk without an envelope: all that a lenient reader needs."""
    return dump({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def token_event(answer: Answer, text: str | None) -> Event:
    return Event(_bare_chunk({} if text is None else {_text_field(answer): text}), PREAMBLE)


def _text_field(answer: Answer) -> str:
    return "refusal" if answer.is_refusal else "content"


def error_events(value: Any, form: ErrorForm) -> tuple[Event, ...]:
    return (Event(_error_chunk(value) if form == "chunk" else dump(value), PREAMBLE),)


def failed(plan: Plan, call: Call, stage: Stage) -> bytes:
    return dump(plan.failure)


def _error_chunk(value: Any) -> bytes:
    """An error that comes as a chunk, with a finish reason that says so."""
    error = value.get("error", value)
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return dump({"object": "chat.completion.chunk", "choices": [choice], "error": error})


def unreadable_event(data: bytes) -> Event:
    return Event(data, PREAMBLE)


def prelude() -> Event:
    """As Azure sends it, without choices."""
    empty = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    return Event(dump({**empty, "prompt_filter_results": prompt_results()}), HEAD)


def prompt_results() -> list[dict[str, Any]]:
    results = {**NOTHING_FOUND, "jailbreak": {"filtered": False, "detected": False}}
    return [{"prompt_index": 0, "content_filter_results": results}]


def content_results(finish: str | None) -> dict[str, Any]:
    if finish != "content_filter":
        return NOTHING_FOUND
    return {**NOTHING_FOUND, "violence": {"filtered": True, "severity": "medium"}}


def prefixed(body: bytes, data: bytes) -> bytes:
    # Into the first choice's text.
    return re.sub(rb'"(?:content|refusal)":"', lambda found: found[0] + data, body, count=1)


def events(plan: Plan, call: Call, stage: Stage) -> Timeline:
    return Writer(plan, call, stage).events()


def completed(acts: Timeline, plan: Plan, call: Call, stage: Stage) -> Timeline:
    return acts


class Writer:
    """Writes the events of one stream."""

    def __init__(self, plan: Plan, call: Call, stage: Stage) -> None:
        self.plan, self.call = plan, call
        self.answer = plan.answer
        self.choices = _choices(plan, call)
        self.shows_usage = plan.usage in ("always", "zero", "twice", "finish") or (
            plan.usage == "asked" and call.include_usage
        )
        self._templates: dict[tuple[int, str], tuple[bytes, bytes]] = {}
        self.envelope = {
            "id": stage.identity.decode(),
            "object": "chat.completion.chunk",
            "created": stage.created,
            "model": plan.answer.model or call.model,
        }

    def events(self) -> Timeline:
        yield from self._preamble()
        mark = PREAMBLE
        for data in self._content():
            mark += 1
            yield Event(data, mark)
        if self.answer.finish_reason is not None:
            yield from (Event(self._finish(index), FINISH) for index in range(self.choices))
        yield from self._usage_events()
        yield LAST

    def chunk(self, *choices: Mapping[str, Any], usage: object = None) -> bytes:
        body: dict[str, Any] = {**self.envelope, "choices": choices}
        if self.shows_usage:
            body["usage"] = usage
        return dump(body, ascii_only=self.plan.ascii)

    def _choice(self, index: int, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if self.plan.filtered:
            choice["content_filter_results"] = content_results(finish)
        return choice

    def _preamble(self) -> Timeline:
        if not self.choices:
            yield Event(self.chunk(), PREAMBLE)
        for index in range(self.choices):
            delta = {"role": "assistant", "content": "", "refusal": None}
            yield Event(self.chunk(self._choice(index, delta)), PREAMBLE)

    def _content(self) -> Iterator[bytes]:
        for field, value in self._deltas():
            data = dump(value, ascii_only=self.plan.ascii)
            for index in range(self.choices):
                before, after = self._around(index, field)
                yield before + data + after

    def _around(self, index: int, field: str) -> tuple[bytes, bytes]:
        """What is in front of and behind a value; written once, for answers can be long."""
        key = (index, field)
        if key not in self._templates:
            before, _, after = self.chunk(self._choice(index, {field: 0})).rpartition(b'":0}')
            self._templates[key] = (before + b'":', b"}" + after)
        return self._templates[key]

    def _deltas(self) -> Iterator[tuple[str, Any]]:
        for token in self.answer.reasoning:
            yield self.answer.reasoning_field, token
        for token in self.answer.tokens:
            yield _text_field(self.answer), token
        for tool in self._tool_deltas():
            yield "tool_calls", [tool]
        if self.answer.is_null:
            yield "content", None

    def _tool_deltas(self) -> Iterator[dict[str, Any]]:
        streams = [list(self._tool(index)) for index in range(len(self.answer.tool_calls))]
        if not self.answer.interleaved:
            yield from (delta for stream in streams for delta in stream)
            return
        for step in range(max(map(len, streams), default=0)):
            yield from (stream[step] for stream in streams if step < len(stream))

    def _tool(self, index: int) -> Iterator[dict[str, Any]]:
        tool = self.answer.tool_calls[index]
        yield {
            "index": index,
            "id": tool.id,
            "type": "function",
            "function": {"name": tool.name, "arguments": ""},
        }
        for piece in self.answer.pieces(tool):
            yield {"index": index, "function": {"arguments": piece}}

    def _finish(self, index: int) -> bytes:
        usage = self._usage() if self.plan.usage == "finish" else None
        return self.chunk(self._choice(index, {}, self.answer.finish_reason), usage=usage)

    def _usage(self) -> dict[str, Any]:
        if self.plan.usage == "zero":
            return _no_usage()
        return _usage(self.plan, self.call, self.choices)

    def _usage_events(self) -> Timeline:
        if not self.shows_usage or self.plan.usage == "finish":
            return
        if self.plan.usage == "twice":
            # The first is wrong on purpose: the last one counts.
            yield Event(self.chunk(usage=_no_usage()), USAGE)
        yield Event(self.chunk(usage=self._usage()), USAGE)
