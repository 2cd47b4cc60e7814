"""``understudy --prompt``: one question, one answer.

1. stdout holds the answer's text, written as it arrives, or with ``--json`` one object; nothing else. On
   a terminal the last line is ended.
2. Everything else goes to stderr: warnings, what else the model sent, the stats, errors.
3. An error begins its own line, also after half an answer.
4. The exit status is 0 for a whole answer, 1 for none or half of one. Leaving, however it happens,
   closes the backend's connection.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from understudy.cli import failures, prompt, standard_streams
from understudy.cli.failures import ANSWERED, FAILED
from understudy.cli.foreign_text import safe
from understudy.errors import InternalError, RequestError, UnderstudyError

if TYPE_CHECKING:
    from understudy.library.answer import Answer
    from understudy.library.balancer import Balancer, TransportName
    from understudy.library.chat_stream import ChatStream


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asks for. `profile` None means the default one."""

    prompt: str
    profile: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    transport: TransportName = "aiohttp"
    as_json: bool = False
    with_stats: bool = False
    plain: bool = False


def answer(question: Question) -> int:
    """Ask it, and return the exit status; raises `ConfigurationError` before anything is asked."""
    from understudy.cli import stopping

    return stopping.run(_answer(question, prompt.read(question.prompt)))


async def _answer(question: Question, text: str) -> int:
    balancer = _balancer(question)
    for warning in balancer.profile.warnings:
        failures.warn(warning, sys.stderr)
    async with balancer, balancer.stream(text) as stream:
        error = await (_collect(stream) if question.as_json else _print(stream))
        if question.as_json:
            standard_streams.write_json(_object(stream.so_far(), balancer, error))
        else:
            for remark in remarks(stream.so_far()):
                failures.warn(remark, sys.stderr)
        if error is not None:
            failures.show(error, sys.stderr)
        if question.with_stats:
            _print_stats(balancer, question)
    return ANSWERED if error is None else FAILED


def _balancer(question: Question) -> Balancer:
    from understudy.cli.saved_profiles import chosen
    from understudy.library.balancer import Balancer

    name = chosen(question.profile)
    return Balancer.load(name, settings=question.settings, transport=question.transport)


async def _collect(stream: ChatStream) -> UnderstudyError | None:
    """Read to the end; what went wrong is returned."""
    try:
        async for _ in stream:
            pass
    except (RequestError, InternalError) as error:
        return error
    return None


async def _print(stream: ChatStream) -> UnderstudyError | None:
    """The text of the first choice as it arrives; what went wrong is returned."""
    on_terminal = sys.stdout.isatty()
    last, error = "\n", None
    try:
        async for chunk in stream:
            if chunk.text and chunk.index == 0:
                standard_streams.write(safe(chunk.text) if on_terminal else chunk.text)
                last = chunk.text[-1]
    except (RequestError, InternalError) as failure:
        error = failure
    finally:
        if last != "\n" and (on_terminal or (error and standard_streams.share_a_line())):
            standard_streams.write("\n")
    return error


def _object(so_far: Answer, balancer: Balancer, error: UnderstudyError | None) -> dict[str, Any]:
    """The answer, or what there is instead of one."""
    stats = balancer.stats().to_dict()
    if error is None:
        return so_far.to_dict() | {"stats": stats}
    trail = [entry.to_dict() for entry in so_far.trail]
    return {"error": _error_object(error), "partial": so_far.text, "trail": trail, "stats": stats}


def _error_object(error: UnderstudyError) -> dict[str, Any]:
    if isinstance(error, RequestError):
        return error.to_dict()
    return RequestError(str(error)).to_dict() | {"type": "internal_error"}


def remarks(so_far: Answer) -> Iterator[str]:
    """What belongs to the answer and is no text of it."""
    if so_far.refusal:
        yield f"the model refused: {so_far.refusal}"
    if so_far.tool_calls:
        names = ", ".join(call.name for call in so_far.tool_calls)
        yield f"the model calls tools ({names}); --json shows the calls"
    if so_far.finish_reason in ("length", "content_filter"):
        yield f"the model stopped early (finish_reason {so_far.finish_reason})"


def _print_stats(balancer: Balancer, question: Question) -> None:
    from understudy.cli import render

    render.stats_text(balancer.stats(), sys.stderr, plain=question.plain)
