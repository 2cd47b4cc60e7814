"""The Gemini format, literally: the only file here that knows its bytes.

::

    { chunk with a piece }, chunk with the finish reason

1. The path names the model and the method. A stream is one of events if ``alt=sse`` asks for it, else
   one JSON array.
2. There is no preamble and no last event: every chunk has the same shape, and with the finish reason
   all is said.
3. Usage is in every chunk and counts what has been said so far; the last one counts.
4. A tool call comes whole. It is as many tokens as elsewhere, and all of them at once. Arguments that
   are no JSON object cannot be said: the model is said to have made a malformed call.
5. A signature stands on the first tool call of an answer with reasoning, without a call on its last
   part.
6. A finish reason that is neither ``STOP`` nor ``MAX_TOKENS`` has no content of its own beside it.
7. A prompt that was blocked has a reason for that, and no candidates.
8. Ids are as wide as `IDENTITY`, so that an answer can be written once and stamped per request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from understudy.faults.act import DONE, FINISH, HEAD, PREAMBLE, USAGE, ErrorForm, Event, Timeline
from understudy.faults.answer import Answer, Call, ToolCall
from understudy.faults.json_bytes import dump

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage

NAME = "gemini"
IDENTITY = b"gemini-0000000000"
REQUEST_ID: str | None = None
LINE = "\r\n"
ANSWER_PATH = "/models/"
STREAM = ":streamGenerateContent"
COUNT = ":countTokens"
PATHS: tuple[str, ...] = (":generateContent", STREAM, COUNT)
KEY_HEADER, KEY_QUERY = "x-goog-api-key", "key"

ERROR_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
MALFORMED_CALL = "MALFORMED_FUNCTION_CALL"
SIGNATURE = b"ZXZlcnkgaG91c2UgaGFzIGl0cyBvd24gc2VhbA=="
HARM = "HARM_CATEGORY_DANGEROUS_CONTENT"

FAULT = "gemini-server"
LAST = Event(
    b'{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}',
    DONE,
)
HALF = b'data: {"candidates":[{"content":{"par'
MALFORMED: Mapping[str, bytes] = {
    "json": b'{"candidates":[{"content":{"parts":[{"text":"bro',
    "shape": b'{"candidates":"none"}',
}
CHUNK = b'{%b%b%b"modelVersion":%b,"responseId":"%b"}'
NO_USAGE = b'"usageMetadata":{"promptTokenCount":0,"candidatesTokenCount":0,"totalTokenCount":0},'
SO_MUCH = (
    b'"usageMetadata":{"promptTokenCount":%d,%b"totalTokenCount":%d,'
    b'"promptTokensDetails":[{"modality":"TEXT","tokenCount":%d}]%b},'
)
CONTENT = b'"content":{"parts":[%b],"role":"model"},'
NO_PARTS = b'"content":{"role":"model"},'
SIGNED = b'{"text":"","thoughtSignature":"%b"}' % SIGNATURE


def identity(number: int) -> bytes:
    return b"gemini-%010d" % number


def read_call(body: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Call:
    """Fields may be spelled in camel case or with underscores. What is counted may be a whole request."""
    body = _object(_field(body, "generateContentRequest", "generate_content_request")) or body
    choices = _field(_object(_field(body, "generationConfig", "generation_config")), *CANDIDATES)
    stream = path.endswith(STREAM)
    contents = [*_objects(body.get("contents")), _object(_field(body, *INSTRUCTION))]
    return Call(
        model=path.rpartition(":")[0].rpartition(ANSWER_PATH)[2],
        stream=stream,
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
        prompt_size=sum(map(_size, contents)),
        as_array=stream and query.get("alt") != "sse",
        prefill=_prefill(_objects(body.get("contents"))),
    )


def _prefill(contents: list[dict[str, Any]]) -> str:
    if not contents or contents[-1].get("role") != "model":
        return ""
    return "".join(str(part.get("text", "")) for part in _objects(contents[-1].get("parts")))


CANDIDATES = ("candidateCount", "candidate_count")
INSTRUCTION = ("systemInstruction", "system_instruction")


def _field(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if name in value), None)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _size(content: Mapping[str, Any]) -> int:
    """Of its parts' texts; a part of another kind counts as it is written."""
    parts = _objects(content.get("parts"))
    return sum(len(part["text"]) if isinstance(part.get("text"), str) else len(dump(part)) for part in parts)


def count(path: str, call: Call) -> bytes | None:
    if not path.endswith(COUNT):
        return None
    details = [{"modality": "TEXT", "tokenCount": call.input_tokens}]
    return dump({"totalTokens": call.input_tokens, "promptTokensDetails": details})


def models_body(names: Sequence[str]) -> bytes:
    methods = ["generateContent", "countTokens"]
    rows = [
        {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        for name in names
    ]
    return dump({"models": rows})


def error_body(message: str, *, status: int, kind: str | None = None, code: str | None = None) -> bytes:
    kind = kind or ERROR_STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    error: dict[str, Any] = {"code": status, "message": message, "status": kind}
    if code is not None:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code}
        error["details"] = [{**info, "domain": "googleapis.com"}]
    return dump({"error": error})


def _choices(plan: Plan, call: Call) -> int:
    return call.choices if plan.answer.choices is None else plan.answer.choices


def content_tokens(plan: Plan, call: Call) -> int:
    return plan.answer.output_tokens * (plan.answer.choices or call.choices)


# What an answer consists of.


def _arguments(tool: ToolCall) -> dict[str, Any] | None:
    """None if they cannot be said."""
    try:
        value = json.loads(tool.arguments or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _calls(answer: Answer) -> Iterator[tuple[ToolCall, dict[str, Any]]]:
    """The tool calls, or none of them if one cannot be said."""
    calls = [(tool, _arguments(tool)) for tool in answer.tool_calls]
    if all(arguments is not None for _, arguments in calls):
        yield from ((tool, arguments or {}) for tool, arguments in calls)


def _call(tool: ToolCall, arguments: Mapping[str, Any], *, signed: bool) -> dict[str, Any]:
    named = {"name": tool.name, "args": arguments}
    part: dict[str, Any] = {"functionCall": {**named, "id": tool.id} if tool.id else named}
    if signed:
        part["thoughtSignature"] = SIGNATURE.decode()
    return part


def _finish_reason(answer: Answer) -> str | None:
    if answer.finish is None and answer.tool_calls and not any(_calls(answer)):
        return MALFORMED_CALL
    reason = answer.finish_reason
    return None if reason is None else FINISH_REASONS.get(reason, reason)


def _candidate(content: bytes, index: int, reason: str | None, answer: Answer) -> bytes:
    ending = b""
    if reason is not None:
        ending = b'"finishReason":%b,' % dump(reason)
    if reason == "SAFETY":
        rating = {"category": HARM, "probability": "HIGH", "blocked": True}
        ending += b'"safetyRatings":%b,' % dump([rating])
    if reason == MALFORMED_CALL:
        ending += b'"finishMessage":%b,' % dump(_malformed_message(answer))
    return b'{%b%b"index":%d}' % (content, ending, index)


def _malformed_message(answer: Answer) -> str:
    calls = "".join(f"{tool.name}({tool.arguments}" for tool in answer.tool_calls)
    return f"Malformed function call: {calls or 'print(default_api.'}"


def _blank(answer: Answer, reason: str | None) -> bytes:
    """The content beside a finish reason that has none of its own."""
    if reason not in ("STOP", "MAX_TOKENS"):
        return b""
    if answer.is_null:
        return NO_PARTS
    return CONTENT % (SIGNED if answer.reasoning and not answer.tool_calls else b'{"text":""}')


def whole(plan: Plan, call: Call, stage: Stage) -> bytes:
    return Writer(plan, call, stage).whole()


def failed(plan: Plan, call: Call, stage: Stage) -> bytes:
    return dump(plan.failure)


def events(plan: Plan, call: Call, stage: Stage) -> Timeline:
    return Writer(plan, call, stage).events()


def completed(acts: Timeline, plan: Plan, call: Call, stage: Stage) -> Timeline:
    return acts


def token_event(answer: Answer, text: str | None) -> Event:
    content = NO_PARTS if text is None else CONTENT % (b'{"text":%b}' % dump(text))
    return Event(b'{"candidates":[{%b"index":0}]}' % content, PREAMBLE)


def error_events(value: Any, form: ErrorForm) -> tuple[Event, ...]:
    if form == "chunk":
        value = {"candidates": [{"finishReason": "OTHER", "index": 0}], "error": value.get("error", value)}
    return (Event(dump(value), PREAMBLE),)


def unreadable_event(data: bytes) -> Event:
    return Event(data, PREAMBLE)


def prelude() -> Event:
    """What was found in the prompt, which is no reason to block it."""
    ratings = [{"category": HARM, "probability": "NEGLIGIBLE"}]
    return Event(dump({"promptFeedback": {"safetyRatings": ratings}}), HEAD)


def prefixed(body: bytes, data: bytes) -> bytes:
    """Text is behind the thoughts."""
    thoughts, mark, rest = body.rpartition(b',"thought":true},')
    return thoughts + mark + rest.replace(b'{"text":"', b'{"text":"' + data, 1)


class Writer:
    """Writes the chunks of one answer: those of a stream, or the one that is a unary answer."""

    def __init__(self, plan: Plan, call: Call, stage: Stage) -> None:
        self.plan, self.call, self.answer = plan, call, plan.answer
        self.choices = _choices(plan, call)
        self.model = dump(plan.answer.model or call.model, ascii_only=plan.ascii)
        self.identity = stage.identity
        self.reason = _finish_reason(self.answer)

    def chunk(self, candidates: bytes, usage: bytes, feedback: bytes = b"") -> bytes:
        if candidates:
            candidates = b'"candidates":[%b],' % candidates
        return CHUNK % (feedback, candidates, usage, self.model, self.identity)

    def usage(self, said: int, thought: int) -> bytes:
        """Of so many tokens. Nothing is told of what there was none of."""
        if self.plan.usage == "missing":
            return b""
        if self.plan.usage == "zero":
            return NO_USAGE
        prompt = self.call.input_tokens
        of_text = b'"candidatesTokenCount":%d,' % said if said else b""
        of_thought = b',"thoughtsTokenCount":%d' % thought if thought else b""
        cached, _ = self.plan.cache_of(prompt)
        of_cache = b',"cachedContentTokenCount":%d' % cached if cached else b""
        return SO_MUCH % (prompt, of_text, prompt + said + thought, prompt, of_thought + of_cache)

    def total(self) -> bytes:
        thought = len(self.answer.reasoning)
        said = self.answer.output_tokens - thought
        return self.usage(said * self.choices, thought * self.choices)

    def blocked(self) -> bytes:
        feedback = dump({"blockReason": self.answer.blocked})
        return self.chunk(b"", self.usage(0, 0), b'"promptFeedback":%b,' % feedback)

    # A unary answer.

    def whole(self) -> bytes:
        if self.answer.blocked is not None:
            return self.blocked()
        candidates = (self._whole(index) for index in range(self.choices))
        return self.chunk(b",".join(candidates), self.total())

    def _whole(self, index: int) -> bytes:
        parts = b",".join(self._parts())
        content = CONTENT % parts if parts else _blank(self.answer, self.reason)
        return _candidate(content, index, self.reason, self.answer)

    def _parts(self) -> Iterator[bytes]:
        answer = self.answer
        signed = b',"thoughtSignature":"%b"}' % SIGNATURE
        if answer.reasoning:
            yield self._text("".join(answer.reasoning), b',"thought":true}')
        if answer.tokens or (answer.reasoning and not answer.tool_calls):
            yield self._text(answer.text, signed if answer.reasoning and not answer.tool_calls else b"}")
        for part, _ in self._calls():
            yield part

    def _text(self, text: str, rest: bytes) -> bytes:
        return b'{"text":%b%b' % (dump(text, ascii_only=self.plan.ascii), rest)

    def _calls(self) -> Iterator[tuple[bytes, int]]:
        """Each with its tokens. The first of them is signed."""
        for number, (tool, arguments) in enumerate(_calls(self.answer)):
            signed = bool(self.answer.reasoning) and number == 0
            part = dump(_call(tool, arguments, signed=signed), ascii_only=self.plan.ascii)
            yield part, 1 + len(self.answer.pieces(tool))

    # A stream.

    def events(self) -> Timeline:
        if self.answer.blocked is not None:
            yield Event(self.blocked(), FINISH)
            return
        mark = PREAMBLE
        said = thought = 0
        for part, tokens, is_thought in self._pieces():
            for index in range(self.choices):
                mark += tokens
                said, thought = (said, thought + tokens) if is_thought else (said + tokens, thought)
                usage = b"" if self.plan.usage == "finish" else self.usage(said, thought)
                candidate = b'{%b"index":%d}' % (CONTENT % part, index)
                yield Event(self.chunk(candidate, usage), mark)
        yield from self._endings()

    def _pieces(self) -> Iterator[tuple[bytes, int, bool]]:
        """Each part with its tokens, and whether it is a thought."""
        for token in self.answer.reasoning:
            yield self._text(token, b',"thought":true}'), 1, True
        for token in self.answer.tokens:
            yield self._text(token, b"}"), 1, False
        for part, tokens in self._calls():
            yield part, tokens, False

    def _endings(self) -> Timeline:
        """The first of two usages is wrong on purpose: the last one counts."""
        is_twice = self.plan.usage == "twice"
        usage = NO_USAGE if is_twice else self.total()
        if self.reason is not None:
            content = _blank(self.answer, self.reason)
            for index in range(self.choices):
                candidate = _candidate(content, index, self.reason, self.answer)
                yield Event(self.chunk(candidate, usage), FINISH)
        if not self.choices:
            yield Event(self.chunk(b"", usage), FINISH)
        if is_twice:
            yield Event(self.chunk(b"", self.total()), USAGE)
