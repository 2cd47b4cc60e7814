"""What three official SDKs make of an answer, in the same words.

1. Every object that an SDK hands out is held against the type that it is said to be (`checked`): the SDKs
   build theirs without a look.
2. Of a stream every event has its place. Whatever is out of order, out of turn, told twice or not at all
   fails, and so does an end that says something else than what was said bit by bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anthropic.types import Message
from openai.types.responses import Response


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call. Where the protocol has its arguments as a value they are one."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `turn` is what a client keeps of it, `order` tells its parts in their order, if that shows.

    `usage` are the tokens in and out, and those of reasoning among the latter; `cached` those that were read
    from a cache and written to one, among the tokens in. `cited` are addresses and titles, `tokens` those
    whose probabilities are told.
    """

    id: str
    model: str
    finish: str
    usage: tuple[int, int, int]
    turn: list[Any]
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Called, ...] = ()
    order: tuple[str, ...] = ()
    events: tuple[Any, ...] = ()
    cached: tuple[int, int] = (0, 0)
    cited: tuple[tuple[str, str], ...] = ()
    tokens: tuple[str, ...] = ()
    tier: str | None = None


def checked(thing: Any) -> Any:
    """What an SDK made, if it is what the SDK says it is: nothing is missing or of another type.

    The SDK has chosen among a union's types by their names, which each of them says again.
    """
    said = json.dumps(thing.to_dict(mode="json"), ensure_ascii=False)
    type(thing).model_validate_json(said.encode(errors="replace"), strict=True)  # halves of characters, too
    return thing


def joined(text: str) -> str:
    """With the halves of characters that came in two events put together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _in_order(kinds: Iterable[str]) -> tuple[str, ...]:
    """Each kind once for every time that it begins."""
    found: list[str] = []
    for kind in kinds:
        if found[-1:] != [kind]:
            found.append(kind)
    return tuple(found)


# OpenAI chat


def of_completion(answer: Any) -> Said:
    (choice,) = answer.choices
    message = choice.message.to_dict(mode="json", exclude_none=True)
    probabilities = choice.logprobs.content if choice.logprobs else None
    return _of_message_of_chat(
        message,
        answer,
        usage=answer.usage,
        finish=choice.finish_reason,
        tier=answer.service_tier,
        tokens=[entry.token for entry in probabilities or ()],
    )


def of_chunks(chunks: Sequence[Any]) -> Said:
    """The role comes first, one finish reason at the end, and usage last, in a chunk of its own."""
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert usage is chunks[-1].usage
    assert not chunks[-1].choices
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    deltas = [choice.delta for choice in choices]
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert deltas[0].role == "assistant"
    (finish,) = [choice.finish_reason for choice in choices if choice.finish_reason is not None]
    probable = [choice.logprobs.content or () for choice in choices if choice.logprobs]
    return _of_message_of_chat(
        _put_together(deltas),
        chunks[0],
        usage=usage,
        finish=finish,
        tier=next((chunk.service_tier for chunk in chunks if chunk.service_tier), None),
        tokens=[entry.token for entries in probable for entry in entries],
        order=_in_order(kind for delta in deltas for kind in _kinds(delta)),
        events=tuple(chunks),
    )


def _of_message_of_chat(
    message: dict[str, Any], named: Any, *, usage: Any, tokens: Sequence[str], **said: Any
) -> Said:
    notes = message.get("annotations", ())
    cited = [note["url_citation"] for note in notes if note["type"] == "url_citation"]
    return Said(
        id=named.id,
        model=named.model,
        usage=_chat_usage(usage),
        turn=[message],
        text=message.get("content", ""),
        reasoning=message.get("reasoning_content", ""),
        refusal=message.get("refusal", ""),
        calls=tuple(
            Called(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", ())
        ),
        cached=_chat_cached(usage.prompt_tokens_details),
        cited=tuple((page["url"], page["title"]) for page in cited),
        tokens=tuple(tokens),
        **said,
    )


def _chat_usage(usage: Any) -> tuple[int, int, int]:
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    details = usage.completion_tokens_details
    return usage.prompt_tokens, usage.completion_tokens, (details and details.reasoning_tokens) or 0


def _chat_cached(details: Any) -> tuple[int, int]:
    return (details.cached_tokens or 0, details.cache_write_tokens or 0) if details else (0, 0)


def _kinds(delta: Any) -> list[str]:
    said = {
        "thought": getattr(delta, "reasoning_content", None),
        "text": delta.content,
        "refusal": delta.refusal,
        "call": delta.tool_calls,
    }
    return [kind for kind, value in said.items() if value]


def _put_together(deltas: Sequence[Any]) -> dict[str, Any]:
    """The message, as a client puts it together that keeps what it does not know."""
    message: dict[str, Any] = {"role": "assistant"}
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        for name, value in delta.to_dict(mode="json", exclude_none=True).items():
            if name in ("content", "reasoning_content", "refusal"):
                message[name] = message.get(name, "") + value
            elif name in ("reasoning_details", "annotations"):
                message[name] = [*message.get(name, ()), *value]
        for call in delta.tool_calls or ():
            _take_call(calls, call)
    if calls:
        assert list(calls) == list(range(len(calls)))
        message["tool_calls"] = list(calls.values())
    return message


def _take_call(calls: dict[int, dict[str, Any]], delta: Any) -> None:
    """Name and id stand in the first piece, and in no other."""
    if delta.index not in calls:
        assert (delta.type, bool(delta.id)) == ("function", True)
        function = {"name": delta.function.name, "arguments": ""}
        calls[delta.index] = {"id": delta.id, "type": "function", "function": function}
    else:
        assert (delta.id, delta.function.name) == (None, None)
    calls[delta.index]["function"]["arguments"] += delta.function.arguments or ""


# OpenAI Responses


def of_response(answer: Response, events: Sequence[Any] = ()) -> Said:
    parts = [part for item in answer.output if item.type == "message" for part in item.content]
    texts = [part for part in parts if part.type == "output_text"]
    summaries = [part for item in answer.output if item.type == "reasoning" for part in item.summary]
    calls = [item for item in answer.output if item.type == "function_call"]
    pages = [page for part in texts for page in part.annotations if page.type == "url_citation"]
    reason = answer.incomplete_details.reason if answer.incomplete_details else None
    usage = answer.usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    read = usage.input_tokens_details
    return Said(
        id=answer.id,
        model=answer.model,
        finish=f"{answer.status}: {reason}" if reason else str(answer.status),
        usage=(usage.input_tokens, usage.output_tokens, usage.output_tokens_details.reasoning_tokens),
        turn=[item.to_dict(mode="json", exclude_none=True) for item in answer.output],
        text="".join(part.text for part in texts),
        reasoning="".join(part.text for part in summaries),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        calls=tuple(Called(call.call_id, call.name, call.arguments) for call in calls),
        order=_in_order(kind for item in answer.output for kind in _kinds_of(item)),
        events=tuple(events),
        cached=(read.cached_tokens, read.cache_write_tokens),
        cited=tuple((page.url, page.title) for page in pages),
        tokens=tuple(entry.token for part in texts for entry in part.logprobs or ()),
        tier=answer.service_tier,
    )


_KINDS = {"reasoning": "thought", "function_call": "call", "output_text": "text", "refusal": "refusal"}


def _kinds_of(item: Any) -> list[str]:
    return [_KINDS[part.type] for part in item.content] if item.type == "message" else [_KINDS[item.type]]


def of_response_events(events: Sequence[Any]) -> Said:
    """Numbered; opened twice over; the items bit by bit; and all of it once more at the end."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    whole = events[-1].response
    assert events[-1].type == f"response.{whole.status}"
    assert {event.response.id for event in (*events[:2], events[-1])} == {whole.id}
    done = _items_said(events[2:-1])
    assert [item.to_dict() for item in done] == [item.to_dict() for item in whole.output]
    return of_response(whole, events)


Place = tuple[int, int | None]
"""Of an item and, if it has parts, of one of them."""


def _items_said(events: Sequence[Any]) -> list[Any]:
    """The items in the order in which they were added. What was said of them bit by bit is what they hold."""
    added: list[Any] = []
    done: dict[int, Any] = {}
    pieces: dict[Place, str] = {}
    whole: list[Place] = []
    for event in events:
        if event.type == "response.output_item.added":
            assert event.output_index == len(added)
            added.append(event.item)
            continue
        assert event.output_index not in done, "nothing more is said of an item that is done"
        if event.type == "response.output_item.done":
            assert event.item.id == added[event.output_index].id
            done[event.output_index] = event.item
            continue
        assert event.item_id == added[event.output_index].id
        _take_piece(pieces, whole, event)
    assert sorted(done) == list(range(len(added)))
    # A part is said to be done twice over: what it says, and then itself.
    assert all(whole.count(place) == (1 if place[1] is None else 2) for place in {*pieces, *whole})
    return [done[index] for index in range(len(added))]


def _take_piece(pieces: dict[Place, str], whole: list[Place], event: Any) -> None:
    part = getattr(event, "content_index", getattr(event, "summary_index", None))
    place = (event.output_index, part)
    assert place not in whole or event.type.endswith("part.done")
    if event.type.endswith("part.added"):
        assert place not in pieces
        pieces[place] = ""
    elif event.type.endswith(".delta"):
        assert part is None or place in pieces
        pieces[place] = pieces.get(place, "") + event.delta
    elif event.type.endswith(".done"):
        assert joined(_whole(event)) == joined(pieces.get(place, ""))
        whole.append(place)


def _whole(event: Any) -> str:
    """What an event that says that something is done says that it is."""
    value = event.part if hasattr(event, "part") else event
    names = ("text", "refusal", "arguments")
    return next(str(getattr(value, name)) for name in names if hasattr(value, name))


# Anthropic


def of_message(answer: Any, arguments: Mapping[str, str] | None = None, events: Sequence[Any] = ()) -> Said:
    """`arguments`: as a stream said them, by the calls' ids."""
    texts = [block for block in answer.content if block.type == "text"]
    used = [block for block in answer.content if block.type == "tool_use"]
    pages = [page for block in texts for page in block.citations or ()]
    usage = answer.usage
    cached = (usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0)
    details = usage.output_tokens_details
    content = [block.to_dict(mode="json", exclude_none=True) for block in answer.content]
    return Said(
        id=answer.id,
        model=answer.model,
        finish=str(answer.stop_reason),
        usage=(
            usage.input_tokens + sum(cached),
            usage.output_tokens,
            details.thinking_tokens if details else 0,
        ),
        turn=[{"role": "assistant", "content": content}],
        text="".join(block.text for block in texts),
        reasoning="".join(block.thinking for block in answer.content if block.type == "thinking"),
        calls=tuple(
            Called(block.id, block.name, arguments[block.id] if arguments else block.input) for block in used
        ),
        order=_in_order(_BLOCKS[block.type] for block in answer.content),
        events=tuple(events),
        cached=cached,
        cited=tuple((page.url, page.title) for page in pages),
        tier=usage.service_tier,
    )


_BLOCKS = {"thinking": "thought", "redacted_thinking": "thought", "text": "text", "tool_use": "call"}


def of_message_events(events: Sequence[Any]) -> Said:
    start, *blocks, ending, stop = events
    assert (start.type, ending.type, stop.type) == ("message_start", "message_delta", "message_stop")
    content, arguments = _blocks_said(blocks)
    message = start.message.to_dict()
    usage = {**message["usage"], **ending.usage.to_dict()}
    message |= {**ending.delta.to_dict(), "content": content, "usage": usage}
    return of_message(checked(Message.construct(**message)), arguments, events)


def _blocks_said(events: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The blocks, of which one is open at a time, and the arguments of tool calls as they were said."""
    blocks: list[dict[str, Any]] = []
    arguments: dict[str, str] = {}
    is_open = False
    for event in events:
        if event.type == "content_block_start":
            assert (is_open, event.index) == (False, len(blocks))
            is_open = True
            blocks.append(event.content_block.to_dict())
        elif event.type == "content_block_stop":
            assert (is_open, event.index) == (True, len(blocks) - 1)
            is_open = False
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads(arguments.get(blocks[-1]["id"]) or "{}")
        else:
            assert (event.type, is_open, event.index) == ("content_block_delta", True, len(blocks) - 1)
            _take_delta(blocks[-1], event.delta, arguments)
    assert not is_open
    return blocks, arguments


_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def _take_delta(block: dict[str, Any], delta: Any, arguments: dict[str, str]) -> None:
    match delta.type:
        case "input_json_delta":
            assert block["type"] == "tool_use"
            arguments[block["id"]] = arguments.get(block["id"], "") + delta.partial_json
        case "citations_delta":
            assert block["type"] == "text"
            block["citations"] = [*(block.get("citations") or ()), delta.citation.to_dict()]
        case kind:
            name = _DELTAS[kind]
            assert block["type"] == {"signature": "thinking"}.get(name, name)
            block[name] += getattr(delta, name)
