"""Whole conversations and answers in neutral words, drawn by Hypothesis: all that can be said, or what one
format can say.

`Words` says everything. A format that can say less has words of its own, in which each thing that it leaves
out is overridden with a narrower strategy; what it loses is listed beside its tests, with the reason.
"""

from __future__ import annotations

import base64
from itertools import groupby
from typing import Any, ClassVar

import msgspec
from hypothesis import strategies as st

from understudy.wire.chat import ChatChunk, ChatRequest, ToolCallDelta, Usage
from understudy.wire.responses_state import state_of
from understudy.wire.state import FIELD, ProviderState

Drawn = st.SearchStrategy[Any]

TEXT = st.text(max_size=30)
WORDS = TEXT.filter(str.strip)
"""Text that is more than white space."""
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
ADDRESSES = st.from_regex(r"https?://[a-z]{1,8}\.example/[a-z]{1,8}(\.(png|jpg|pdf))?", fullmatch=True)
DATA = st.binary(min_size=1, max_size=20).map(lambda data: base64.b64encode(data).decode())

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=3
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
ARGUMENTS = OBJECTS.map(lambda value: msgspec.json.encode(value).decode())
"""Objects as compact JSON: other formats take the object, not its spelling."""

_LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"enum": ["a", 1, None]},
        {"const": "x"},
        {"$ref": "#/$defs/node"},
    ]
)
_INNER = st.recursive(
    _LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner})
    ),
    max_leaves=4,
)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(NAMES, _INNER, max_size=3)},
    optional={
        "required": st.lists(NAMES, max_size=2),
        "additionalProperties": st.booleans(),
        "$defs": st.just({"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}),
    },
)
"""JSON Schemas of tools and answers, with the keywords that the older dialects do not know."""

SIGNED = st.builds(ProviderState, st.just("anthropic"), st.just("signature"), NAMES, TEXT)
REDACTED = st.builds(ProviderState, st.just("anthropic"), st.just("redacted_thinking"), NAMES)
ENCRYPTED = st.builds(state_of, NAMES, st.none() | NAMES, TEXT)
SIGNATURES = st.builds(ProviderState, st.just("gemini"), st.just("thoughtSignature"), NAMES)


def text_part(text: Drawn = TEXT) -> Drawn:
    return st.fixed_dictionaries({"type": st.just("text"), "text": text})


def image_part(**more: Drawn) -> Drawn:
    kinds = st.sampled_from(["image/png", "image/jpeg", "image/webp"])
    data = st.builds("data:{};base64,{}".format, kinds, DATA)
    image = st.fixed_dictionaries({"url": data | ADDRESSES}, optional=more)
    return st.fixed_dictionaries({"type": st.just("image_url"), "image_url": image})


def file_part(*sources: Drawn) -> Drawn:
    return st.fixed_dictionaries({"type": st.just("file"), "file": st.one_of(*sources)})


FILE_DATA = DATA.map("data:application/pdf;base64,{}".format)
PLAIN_FILE = st.fixed_dictionaries(
    {
        "file_data": WORDS.map(
            lambda text: f"data:text/plain;base64,{base64.b64encode(text.encode()).decode()}"
        )
    }
)
NAMED_FILE = st.fixed_dictionaries({"filename": WORDS, "file_data": FILE_DATA})
NAMELESS_FILE = st.fixed_dictionaries({"file_data": FILE_DATA})
FILE_AT = st.fixed_dictionaries({"file_url": ADDRESSES}, optional={"filename": WORDS})
FILE_ID = st.fixed_dictionaries({"file_id": NAMES})
AUDIO = st.fixed_dictionaries(
    {
        "type": st.just("input_audio"),
        "input_audio": st.fixed_dictionaries({"data": DATA, "format": st.sampled_from(["wav", "mp3"])}),
    }
)
REFUSAL = st.fixed_dictionaries({"type": st.just("refusal"), "refusal": TEXT})
DETAIL = st.sampled_from(["low", "high"])  # "auto" is what no detail means


def is_no_lone_text(parts: list[Any]) -> bool:
    """One text alone is said as a string, not as a list of parts."""
    return len(parts) != 1 or parts[0]["type"] != "text"


def is_not_all_text(parts: list[Any]) -> bool:
    return any(part["type"] != "text" for part in parts)


FUNCTION_CALL = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": NAMES, "arguments": ARGUMENTS | TEXT}),
    }
)
CUSTOM_CALL = st.fixed_dictionaries(
    {"type": st.just("custom"), "custom": st.fixed_dictionaries({"name": NAMES, "input": TEXT})}
)


def function_tool(required: dict[str, Drawn], optional: dict[str, Drawn]) -> Drawn:
    function = st.fixed_dictionaries({"name": NAMES, **required}, optional=optional)
    return st.fixed_dictionaries({"type": st.just("function"), "function": function})


CUSTOM_TOOL = st.fixed_dictionaries(
    {
        "type": st.just("custom"),
        "custom": st.fixed_dictionaries(
            {"name": NAMES},
            optional={
                "description": WORDS,
                "format": st.sampled_from(
                    [
                        {"type": "text"},
                        {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}},
                    ]
                ),
            },
        ),
    }
)
NAMED_FUNCTION = NAMES.map(lambda name: {"type": "function", "function": {"name": name}})
NAMED_CUSTOM = NAMES.map(lambda name: {"type": "custom", "custom": {"name": name}})
ALLOWED_TOOLS = st.builds(
    lambda mode, tools: {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}},
    st.sampled_from(["auto", "required"]),
    st.lists(NAMED_FUNCTION, min_size=1, max_size=2),
)


def schema_format(**more: Drawn) -> Drawn:
    named = st.fixed_dictionaries({"name": NAMES, "schema": SCHEMAS}, optional=more)
    return named.map(lambda named: {"type": "json_schema", "json_schema": named})


class Words:
    """Everything that neutral words can say: a strategy for each place where something stands."""

    system: Drawn = TEXT | st.lists(text_part(), min_size=1, max_size=2)
    later_system: Drawn | None = system  # None: only the first message is the system's
    first_system_roles: tuple[str, ...] = ("system", "developer")
    later_system_roles: tuple[str, ...] = ("system", "developer")
    users_in_a_row = 2
    assistants_in_a_row = 2

    text: Drawn = TEXT
    parts: Drawn = (
        text_part()
        | image_part(detail=DETAIL)
        | file_part(NAMED_FILE, NAMELESS_FILE, PLAIN_FILE, FILE_AT, FILE_ID)
        | AUDIO
    )
    answer: Drawn = TEXT | st.none() | st.lists(text_part() | REFUSAL, min_size=1, max_size=3)
    call: Drawn = FUNCTION_CALL | CUSTOM_CALL
    result: Drawn = TEXT | st.lists(text_part() | image_part(detail=DETAIL), min_size=1, max_size=3)
    states: Drawn = st.lists(SIGNED | REDACTED | ENCRYPTED | SIGNATURES, max_size=2)
    more_of_assistants: ClassVar[dict[str, Drawn]] = {
        "reasoning_content": TEXT,
        "name": NAMES,
        "refusal": TEXT,
    }

    tool: Drawn = (
        function_tool({}, {"description": TEXT, "parameters": SCHEMAS, "strict": st.booleans()}) | CUSTOM_TOOL
    )
    tool_choice: Drawn = (
        st.sampled_from(["auto", "none", "required"]) | NAMED_FUNCTION | NAMED_CUSTOM | ALLOWED_TOOLS
    )
    parallel: Drawn = st.booleans()

    required: ClassVar[dict[str, Drawn]] = {}
    fields: ClassVar[dict[str, Drawn]] = {  # the others, but for tools and what goes with them
        "max_tokens": st.integers(1, 100_000),
        "max_completion_tokens": st.integers(1, 100_000),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "stop": WORDS | st.lists(WORDS, min_size=1, max_size=3),
        "user": st.text(min_size=1, max_size=100),
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
        "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}])
        | schema_format(strict=st.booleans(), description=TEXT),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        "verbosity": st.sampled_from(["low", "medium", "high"]),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "seed": st.integers(0, 2**40),
        "logit_bias": st.dictionaries(st.sampled_from(["1", "50256"]), st.integers(-100, 100)),
        "metadata": st.dictionaries(NAMES, TEXT, max_size=2),
        "prompt_cache_key": NAMES,
        "n": st.just(1),
        "modalities": st.just(["text"]),
        "store": st.booleans(),
    }

    def settled(self, request: ChatRequest) -> ChatRequest:
        """The request without what goes badly with something else in it."""
        return request


@st.composite
def requests(draw: st.DrawFn, words: Words) -> ChatRequest:
    """A whole request in these words."""
    messages = draw(_conversations(words))
    fields = draw(st.fixed_dictionaries(words.required, optional=words.fields))
    if tools := draw(st.lists(words.tool, max_size=3)):
        choosing = {"tool_choice": words.tool_choice, "parallel_tool_calls": words.parallel}
        fields |= {"tools": tools, **draw(st.fixed_dictionaries({}, optional=choosing))}
    return words.settled(ChatRequest(messages, fields))


@st.composite
def _conversations(draw: st.DrawFn, words: Words) -> list[dict[str, Any]]:
    """A beginning by the system, and then turns: a user's, an assistant's, and the results of its calls."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        role = draw(st.sampled_from(words.first_system_roles))
        messages.append({"role": role, "content": draw(words.system)})
    count = draw(st.integers(1, 2))
    for number in range(count):
        must_answer = number < count - 1 and words.users_in_a_row == 1
        messages += draw(_exchange(words, number, must_answer))
    if words.later_system is not None and draw(st.booleans()):
        place = draw(st.sampled_from(_places_between(messages)))
        role = draw(st.sampled_from(words.later_system_roles))
        messages.insert(place, {"role": role, "content": draw(words.later_system)})
    return messages


def _places_between(messages: list[dict[str, Any]]) -> list[int]:
    """Where another message may stand: not between a call and its results."""
    return [at for at in range(1, len(messages) + 1) if at == len(messages) or messages[at]["role"] != "tool"]


@st.composite
def _exchange(draw: st.DrawFn, words: Words, number: int, must_answer: bool) -> list[dict[str, Any]]:
    content = words.text | st.lists(words.parts, min_size=1, max_size=3).filter(is_no_lone_text)
    said = [
        {"role": "user", "content": draw(content)} for _ in range(draw(st.integers(1, words.users_in_a_row)))
    ]
    in_a_row = 0
    for turn in range(draw(st.integers(int(must_answer), 2))):
        message, results = draw(_turn(words, f"{number}_{turn}"))
        in_a_row = 0 if results else in_a_row + 1
        said += [message, *results]
        if in_a_row == words.assistants_in_a_row:
            break
    return said


@st.composite
def _turn(draw: st.DrawFn, words: Words, place: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An assistant's message, and the results of its calls."""
    drawn = draw(st.lists(words.call, max_size=2))
    calls = [{"id": f"{draw(NAMES)}_{place}_{at}", **call} for at, call in enumerate(drawn)]
    content = draw(words.answer)
    message = {"role": "assistant", "content": content if content or not calls else None}
    message |= draw(st.fixed_dictionaries({}, optional=words.more_of_assistants))
    if calls:
        message["tool_calls"] = calls
    if states := draw(words.states):
        message[FIELD] = [state.to_dict() for state in states]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(words.result)} for call in calls]
    return message, results


# Answers


class Voice:
    """How an answer may sound: thoughts, texts and refusals in turns, then calls, and why it ended."""

    answer_id: Drawn = NAMES
    text: Drawn = st.text(min_size=1, max_size=10)
    thought: Drawn = text
    refuses = True
    state: Drawn | None = None  # kind and value of what vouches for a thought; None: nothing does
    redacted: Drawn | None = None  # states without a text of their own
    logprobs: Drawn = st.just(())
    annotation: Drawn | None = None
    call_id: Drawn = NAMES
    arguments: Drawn = ARGUMENTS | text
    tier: Drawn = st.sampled_from([None, "default", "priority", "flex"])
    reasons: tuple[str, ...] = ("stop", "length", "content_filter")
    reasons_with_calls: tuple[str, ...] = ("tool_calls", "length")


@st.composite
def answers(draw: st.DrawFn, voice: Voice) -> tuple[list[ChatChunk], Usage]:
    """One choice's chunks as they might come, and the usage that is known at the end."""
    chunks = [ChatChunk(id=draw(voice.answer_id), model=draw(NAMES))]
    kinds = ["thought", "text", *(["refusal"] if voice.refuses else [])]
    drawn = draw(st.lists(st.sampled_from(kinds), max_size=3))
    for kind, _ in groupby(drawn):
        chunks += draw(_thought(voice) if kind == "thought" else _said(voice, kind, _length(chunks)))
    calls = draw(_called(voice))
    reasons = voice.reasons_with_calls if calls else voice.reasons
    last = ChatChunk(finish_reason=draw(st.sampled_from(reasons)), service_tier=draw(voice.tier))
    return draw(_batched([*chunks, *calls, last])), draw(USAGES)


@st.composite
def _batched(draw: st.DrawFn, chunks: list[ChatChunk]) -> list[ChatChunk]:
    """The same, some of them in one: a chunk says thoughts first, then text, refusals, calls, the end."""
    batched = chunks[:1]
    for chunk in chunks[1:]:
        if draw(st.booleans()) and _may_follow(chunk, batched[-1]):
            batched[-1] = _joined(batched[-1], chunk)
        else:
            batched.append(chunk)
    return batched


def _may_follow(chunk: ChatChunk, before: ChatChunk) -> bool:
    """State ends a thought, or belongs to the text beside it if it has none; a citation ends its text."""
    belongs = chunk.text and not before.reasoning
    ended = (before.state and (chunk.reasoning or chunk.state or belongs)) or (
        before.annotations and chunk.text
    )
    return not ended and max(_ranks(before)) <= min(_ranks(chunk))


def _ranks(chunk: ChatChunk) -> list[int]:
    said = (
        chunk.id,
        chunk.reasoning or chunk.state,
        chunk.text or chunk.annotations,
        chunk.refusal,
        chunk.tool_calls,
        chunk.finish_reason,
    )
    return [rank for rank, value in enumerate(said) if value]


def _joined(one: ChatChunk, other: ChatChunk) -> ChatChunk:
    more = {name: getattr(other, name) for name in ("finish_reason", "service_tier")}
    for name in ("text", "reasoning", "refusal", "tool_calls", "logprobs", "annotations", "state"):
        more[name] = getattr(one, name) + getattr(other, name)
    return msgspec.structs.replace(one, **more)


def _length(chunks: list[ChatChunk]) -> int:
    return sum(len(chunk.text) for chunk in chunks)


@st.composite
def _thought(draw: st.DrawFn, voice: Voice) -> list[ChatChunk]:
    """A thought in pieces, and what vouches for it; or a state alone."""
    if voice.redacted is not None and draw(st.booleans()):
        return [ChatChunk(state=(draw(voice.redacted),))]
    pieces = draw(st.lists(voice.thought, min_size=1, max_size=2))
    chunks = [ChatChunk(reasoning=piece) for piece in pieces]
    if voice.state is None:
        return chunks
    state = msgspec.structs.replace(draw(voice.state), text="".join(pieces))
    return [*chunks, ChatChunk(state=(state,))]


@st.composite
def _said(draw: st.DrawFn, voice: Voice, kind: str, start: int) -> list[ChatChunk]:
    pieces = draw(st.lists(voice.text, min_size=1, max_size=3))
    if kind == "refusal":
        return [ChatChunk(refusal=piece) for piece in pieces]
    chunks = [ChatChunk(piece, logprobs=draw(voice.logprobs)) for piece in pieces]
    if voice.annotation is not None and draw(st.booleans()):
        place = {"start_index": start, "end_index": start + sum(map(len, pieces))}
        page = {**draw(voice.annotation), **place}
        chunks.append(ChatChunk(annotations=({"type": "url_citation", "url_citation": page},)))
    return chunks


@st.composite
def _called(draw: st.DrawFn, voice: Voice) -> list[ChatChunk]:
    """Calls that begin one after the other, and then go on in turns."""
    arguments = draw(st.lists(voice.arguments, max_size=2))
    begun = [
        ToolCallDelta(index, f"{draw(voice.call_id)}_{index}", draw(NAMES)) for index in range(len(arguments))
    ]
    halves = [draw(st.integers(0, len(whole))) for whole in arguments]
    first = [ToolCallDelta(at, arguments=whole[: halves[at]]) for at, whole in enumerate(arguments)]
    rest = [ToolCallDelta(at, arguments=whole[halves[at] :]) for at, whole in enumerate(arguments)]
    return [ChatChunk(tool_calls=(delta,)) for delta in [*begun, *first, *rest]]


@st.composite
def _usages(draw: st.DrawFn) -> Usage:
    read, written, more = (draw(st.integers(0, 1000)) for _ in range(3))
    output = draw(st.integers(1, 1000))
    return Usage(
        read + written + more,
        output,
        reasoning_tokens=draw(st.integers(0, output)),
        cached_tokens=read,
        cache_write_tokens=written,
    )


USAGES = _usages()
PAGE = st.fixed_dictionaries({"url": ADDRESSES, "title": TEXT})
LOGPROBS = st.lists(
    st.fixed_dictionaries(
        {"token": TEXT, "logprob": st.floats(-100, 0), "bytes": st.none(), "top_logprobs": st.just([])}
    ),
    max_size=2,
).map(tuple)
