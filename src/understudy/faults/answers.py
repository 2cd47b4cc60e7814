"""Words that give another answer than the canonical one, but a healthy one."""

from __future__ import annotations

from dataclasses import replace

from understudy.faults.answer import TOKENS, ToolCall
from understudy.faults.plan import Plan
from understudy.faults.word import Option, Word, count, flag, positive

ARGUMENTS = '{"city": "東京 🎭", "units": "metric"}'
TOOLS = ("get_weather", "get_time", "get_news")


def text(plan: Plan, *, text: str) -> Plan:
    return replace(plan, answer=plan.answer.saying(text))


def tokens(plan: Plan, *, count: int) -> Plan:
    return replace(plan, answer=plan.answer.of_length(count))


def model(plan: Plan, *, name: str) -> Plan:
    return replace(plan, answer=replace(plan.answer, model=name))


def choices(plan: Plan, *, count: int) -> Plan:
    return replace(plan, answer=replace(plan.answer, choices=count))


def reasoning(plan: Plan, *, tokens: int, field: str, only: bool) -> Plan:
    thought = tuple(f" thought-{number}" for number in range(1, tokens + 1))
    spoken = () if only else plan.answer.tokens
    answer = replace(plan.answer, reasoning=thought, reasoning_field=field, tokens=spoken)
    return replace(plan, answer=answer)


def tools(
    plan: Plan,
    *,
    calls: int,
    first: int,
    split: int,
    arguments: str,
    interleaved: bool,
    with_text: bool,
    no_ids: bool,
) -> Plan:
    made = tuple(
        ToolCall(TOOLS[index % len(TOOLS)], arguments, "" if no_ids else f"call_{index:04d}")
        for index in range(first, first + calls)
    )
    spoken = plan.answer.tokens if with_text else ()
    answer = replace(plan.answer, tool_calls=made, piece=split, interleaved=interleaved, tokens=spoken)
    return replace(plan, answer=answer)


def cached(plan: Plan, *, tokens: int, written: int) -> Plan:
    return replace(plan, cached=tokens, written=written)


def refusal(plan: Plan, *, text: str | None) -> Plan:
    answer = plan.answer if text is None else plan.answer.saying(text)
    return replace(plan, answer=replace(answer, is_refusal=True))


def escape(plan: Plan) -> Plan:
    return replace(plan, ascii=True)


def surrogates(plan: Plan) -> Plan:
    halves = tuple(half for token in plan.answer.tokens for half in _halves(token))
    return replace(plan, ascii=True, answer=replace(plan.answer, tokens=halves))


def _halves(token: str) -> list[str]:
    """The token cut inside every character beyond the basic plane."""
    units = token.encode("utf-16-be", "surrogatepass")
    pieces, start = [], 0
    for at in range(0, len(units), 2):
        if 0xDC <= units[at] <= 0xDF:
            pieces.append(units[start:at])
            start = at
    return [piece.decode("utf-16-be", "surrogatepass") for piece in (*pieces, units[start:])]


_ROWS = (
    Word(
        "text",
        "another text, a token per word",
        text,
        (Option("text", str, bare=True),),
        "text 'Hello there'",
    ),
    Word(
        "tokens",
        f"so many tokens instead of {len(TOKENS)}, one event each",
        tokens,
        (Option("count", count, bare=True),),
        "tokens 100000",
        "F41",
    ),
    Word(
        "model", "the model's name in the answer", model, (Option("name", str, bare=True),), "model gpt-other"
    ),
    Word(
        "choices",
        "so many choices, whatever was asked for; in Messages and Responses always one",
        choices,
        (Option("count", positive, bare=True),),
        "choices 2",
    ),
    Word(
        "reasoning",
        "reasoning before the text, or nothing else",
        reasoning,
        (
            Option("tokens", positive, 20, bare=True),
            Option("field", str, "reasoning_content"),
            Option("only", flag, False),
        ),
        "reasoning 20 field=reasoning",
    ),
    Word(
        "tools",
        "tool calls instead of text, numbered from first= on, their arguments in pieces of split= characters",
        tools,
        (
            Option("calls", positive, 1, bare=True),
            Option("first", count, 0),
            Option("split", positive, 4),
            Option("arguments", str, ARGUMENTS),
            Option("interleaved", flag, False),
            Option("with-text", flag, False),
            Option("no-ids", flag, False),
        ),
        "tools 2 split=1 interleaved",
        "F48 F49 F50",
    ),
    Word(
        "cached",
        "the usage tells that so many of the prompt's tokens were read from a cache, and written= to one",
        cached,
        (Option("tokens", count, bare=True), Option("written", count, 0)),
        "cached 4 written=2",
    ),
    Word(
        "refusal",
        "the model says that it will not",
        refusal,
        (Option("text", str, None, bare=True),),
        "refusal 'I will not say that.'",
        "F35",
    ),
    Word("escape", "everything beyond ASCII as \\u escapes", escape, example="escape", faults="F51"),
    Word(
        "surrogates",
        "the same, with the halves of an emoji in different events",
        surrogates,
        example="surrogates",
        faults="F51",
    ),
)

WORDS = tuple(replace(word, shapes_answer=True) for word in _ROWS)
