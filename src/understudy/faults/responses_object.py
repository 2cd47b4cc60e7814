"""OpenAI's response as an object: what it says of itself, and its items.

A unary answer is this object; a stream tells of it bit by bit and ends with the whole of it.

1. Reasoning comes as a summary, or under its own name as what was thought; encrypted, too, if the
   request wants it included.
2. The message is behind the reasoning, function calls are behind the message. What has nothing to
   say has no item, but an answer of blank text has a message.
3. A response that is incomplete ends with an item that is.
4. What Azure's content filter found in the prompt is told from the beginning, what it found in the
   answer at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from understudy.faults.answer import Answer, Call, ToolCall
from understudy.faults.openai_chat import content_results

if TYPE_CHECKING:
    from understudy.faults.plan import Plan, Stage

INCOMPLETE_REASONS = {"length": "max_output_tokens"}
ENCRYPTED = "gAAAAABYmVoaW5kIHRoZSBjdXJ0YWlu"
RAW_REASONING = "reasoning_text"


def response(plan: Plan, call: Call, stage: Stage, **known: Any) -> dict[str, Any]:
    """All that a response says of itself, and what is `known` of it so far."""
    value = {
        "id": f"resp_{stage.identity.decode()}",
        "object": "response",
        "created_at": stage.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": plan.answer.model or call.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
        **known,
    }
    if plan.filtered:
        value["content_filters"] = _filters(plan.answer, value["status"])
    return value


def _filters(answer: Answer, status: str) -> list[dict[str, Any]]:
    """What Azure found in the prompt, and at the end in the answer."""
    sources = ["prompt"] if status == "in_progress" else ["prompt", "completion"]
    offsets = {"start_offset": 0, "end_offset": 0, "check_offset": 0}
    return [
        {
            "blocked": source == "completion" and answer.finish_reason == "content_filter",
            "source_type": source,
            "content_filter_raw": [],
            "content_filter_results": content_results(
                answer.finish_reason if source == "completion" else None
            ),
            "content_filter_offsets": offsets,
        }
        for source in sources
    ]


def final(plan: Plan, call: Call, stage: Stage) -> dict[str, Any]:
    """The whole response. Without a stop reason it is still in progress."""
    status, reason = ending(plan.answer)
    return response(
        plan,
        call,
        stage,
        status=status,
        incomplete_details=None if reason is None else {"reason": reason},
        output=[item.done for item in items(plan, call, stage)],
        usage=_usage(plan, call),
    )


def ending(answer: Answer) -> tuple[str, str | None]:
    """The status of the response, and why it is incomplete if it is."""
    reason = answer.finish_reason
    if reason is None:
        return "in_progress", None
    if reason in ("stop", "tool_calls"):
        return "completed", None
    return "incomplete", INCOMPLETE_REASONS.get(reason, reason)


def _usage(plan: Plan, call: Call) -> dict[str, Any] | None:
    if plan.usage == "missing":
        return None
    if plan.usage == "zero":
        return counts(0, 0, 0)
    cache = plan.cache_of(call.input_tokens)
    return counts(call.input_tokens, plan.answer.output_tokens, len(plan.answer.reasoning), cache)


def counts(given: int, output: int, reasoning: int, cache: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """`cache`: read from it, written to it."""
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cache[0], "cache_write_tokens": cache[1]},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + output,
    }


@dataclass(frozen=True, slots=True)
class Part:
    """What of an item is said in pieces.

    `event` is what its deltas are named for. A part that is `added` to its item is of a `kind`, and
    counted by `index`. What `holds` its text also does so in the event that says it is done.
    """

    event: str
    holds: str
    added: str = ""
    kind: str = ""
    index: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def value(self, text: str) -> dict[str, Any]:
        return {"type": self.kind, self.holds: text, **self.more}


TEXT = Part(
    "response.output_text",
    "text",
    "response.content_part",
    "output_text",
    "content_index",
    {"annotations": [], "logprobs": []},
)
REFUSAL = Part("response.refusal", "refusal", "response.content_part", "refusal", "content_index")
THOUGHT = Part("response.reasoning_text", "text", "response.content_part", "reasoning_text", "content_index")
SUMMARY = Part(
    "response.reasoning_summary_text",
    "text",
    "response.reasoning_summary_part",
    "summary_text",
    "summary_index",
)
ARGUMENTS = Part("response.function_call_arguments", "arguments")


@dataclass(frozen=True, slots=True)
class Item:
    """An item: as it is added, as it is when done, and what it says in between."""

    index: int
    added: dict[str, Any]
    done: dict[str, Any]
    part: Part | None
    pieces: Sequence[str]


def items(plan: Plan, call: Call, stage: Stage) -> list[Item]:
    found = list(_healthy_items(plan.answer, call, stage.identity.decode()))
    if found and ending(plan.answer)[0] == "incomplete":
        found[-1].done["status"] = "incomplete"
    return found


def _healthy_items(answer: Answer, call: Call, identity: str) -> Iterator[Item]:
    index = 0
    if answer.reasoning:
        yield _reasoning(answer, call, f"rs_{identity}{index:02}")
        index += 1
    if _has_message(answer):
        yield _message(answer, index, f"msg_{identity}{index:02}")
        index += 1
    for number, tool in enumerate(answer.tool_calls, index):
        yield _function_call(answer, tool, number, f"fc_{identity}{number:02}")


def _has_message(answer: Answer) -> bool:
    speaks_otherwise = answer.choices == 0 or answer.tool_calls or answer.reasoning or answer.blocked
    return bool(answer.tokens or not speaks_otherwise)


def _reasoning(answer: Answer, call: Call, id_: str) -> Item:
    part = THOUGHT if answer.reasoning_field == RAW_REASONING else SUMMARY
    said = [part.value("".join(answer.reasoning))]
    added: dict[str, Any] = {"id": id_, "type": "reasoning", "summary": []}
    done = {**added, "content" if part is THOUGHT else "summary": said}
    if call.encrypted:
        # Only when the item is done is it whole.
        added["encrypted_content"], done["encrypted_content"] = ENCRYPTED[:8], ENCRYPTED
    return Item(0, added, done, part, answer.reasoning)


def _message(answer: Answer, index: int, id_: str) -> Item:
    part = None if answer.is_null else spoken(answer)
    added = {"id": id_, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    content = [] if part is None else [part.value(answer.text)]
    return Item(index, added, {**added, "status": "completed", "content": content}, part, answer.tokens)


def spoken(answer: Answer) -> Part:
    return REFUSAL if answer.is_refusal else TEXT


def _function_call(answer: Answer, tool: ToolCall, index: int, id_: str) -> Item:
    named = {"call_id": tool.id, "name": tool.name}
    added = {"id": id_, "type": "function_call", "status": "in_progress", "arguments": "", **named}
    done = {**added, "status": "completed", "arguments": tool.arguments}
    return Item(index, added, done, ARGUMENTS, answer.pieces(tool))
