"""The mixed pool before the other two clients: OpenAI's SDK as a client of chat and of Responses.

One row of every kind, played by each member in its own format. All rows are played to Anthropic's client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.fault_rows import (
    AFTER_CONTENT,
    BEFORE_CONTENT,
    TOLERATED,
    AfterContent,
    BeforeContent,
    Tolerated,
)
from tests.e2e.gateway_theatre import Protocol
from tests.e2e.mixed_pool import (
    MEMBERS,
    NAMES,
    OUT,
    all_out_before,
    check_answered,
    check_broken_off,
    check_told,
    hear,
    mixed_pool,
    playing_at,
    shape,
    shapes,
)
from understudy.faults import TOKENS, closed_port

CLIENTS: tuple[Protocol, ...] = ("openai", "responses")
PLACES = range(len(NAMES))

BEFORE = {
    "silence",
    "error after=preamble",
    "end after=preamble",
    "reset",
    "malformed after=headers",
    "malformed",
    "error openai-overloaded after=0",
    "status 500",
    "html 200",
    "status 429",
    "status 401",
    "says openai-context",
    "empty choices",
    "empty blank",
    "truncate",
}
AFTER = {
    "stall after=20",
    "cut after=40",
    "end after=40",
    "reset after=20",
    "malformed after=10 + malformed after=10",
    "error openai-overloaded after=20",
    "error openai-context after=20",
    "tools 1 + cut after=1",
    "tools 1 + malformed after=3",
}
ODD = {
    "malformed after=10",
    "as unary",
    "encoding gzip",
    "usage missing",
    "usage twice",
    "done twice",
    "done missing",
    "split 1",
    "surrogates",
    "sse lines=crlf comments + split 1",
    "redirect 307",
}


def test_every_row_that_is_named_here_is_one() -> None:
    assert {row.script for row in BEFORE_CONTENT} >= BEFORE
    assert {row.script for row in AFTER_CONTENT} >= AFTER
    assert {row.script for row in TOLERATED} >= ODD


def _id(*facts: object) -> str:
    return "-".join(map(str, facts))


def _before() -> Iterator[Any]:
    for client in CLIENTS:
        for place in PLACES[:2]:
            for row in BEFORE_CONTENT:
                for streamed in shapes(row.only, place) if row.script in BEFORE else ():
                    name = _id(row, client, MEMBERS[place], shape(streamed))
                    yield pytest.param(client, row, place, streamed, id=name)


@pytest.mark.parametrize(("client", "row", "place", "streamed"), list(_before()))
async def test_the_next_member_answers_in_whole(
    client: Protocol, row: BeforeContent, place: int, streamed: bool
) -> None:
    failing, answering = NAMES[place : place + 2]
    async with mixed_pool(*playing_at(place, row.script), runs_out=row.kind) as house:
        heard = await hear(house, client, stream=streamed)
        failed = [*all_out_before(place), *[(failing, row.kind)] * row.attempts]
        await check_answered(house, heard, answering, failed)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_f01_two_refused_connections_fail_over(client: Protocol, streamed: bool) -> None:
    with closed_port() as port:
        urls = dict.fromkeys(NAMES[:2], f"http://127.0.0.1:{port}/v1")
        async with mixed_pool(urls=urls) as house:
            heard = await hear(house, client, stream=streamed)
            failed = [("lead", "connect"), ("second", "connect")]
            await check_answered(house, heard, "third", failed, requests={"lead": 0, "second": 0})


def _after() -> Iterator[Any]:
    for client in CLIENTS:
        for place in PLACES:
            for row in AFTER_CONTENT:
                if row.script not in AFTER or (MEMBERS[place] == "gemini" and "tools" in row.script):
                    continue  # Gemini says a tool call in one piece
                yield pytest.param(client, row, place, id=_id(row, client, MEMBERS[place]))


@pytest.mark.parametrize(("client", "row", "place"), list(_after()))
async def test_the_answer_that_broke_off_is_one_error_and_no_second_answer(
    client: Protocol, row: AfterContent, place: int
) -> None:
    async with mixed_pool(*playing_at(place, row.script), runs_out=row.kind) as house:
        heard = await hear(house, client)
        await check_broken_off(house, heard, [*all_out_before(place), (NAMES[place], row.kind)])
        assert heard.text or heard.reply.tools


def _odd() -> Iterator[Any]:
    for client in CLIENTS:
        for place in PLACES:
            for row in TOLERATED:
                if row.script not in ODD or (row.fault == "F46" and MEMBERS[place] == "anthropic"):
                    continue  # there the last event is what says that this was all
                yield pytest.param(client, row, place, id=_id(row, client, MEMBERS[place]))


@pytest.mark.parametrize(("client", "row", "place"), list(_odd()))
async def test_an_oddity_is_no_failure(client: Protocol, row: Tolerated, place: int) -> None:
    tokens = None if row.estimated else len(TOKENS) + ("surrogates" in row.script)
    requests = {NAMES[place]: 2} if row.fault == "F53" else None
    async with mixed_pool(*playing_at(place, row.script)) as house:
        heard = await hear(house, client)
        before = all_out_before(place)
        await check_answered(house, heard, NAMES[place], before, tokens=tokens, requests=requests)


# The three scripts; status, the SDK's exception, code
DOWN: list[tuple[tuple[str, str, str], int, type[openai.APIStatusError], str]] = [
    (("429 retry-after=60", "says openai-quota", "status 429"), 429, openai.RateLimitError, "rate_limited"),
    ((OUT, "status 500", "says gemini-key"), 502, openai.InternalServerError, "all_backends_failed"),
    (("silence", "silence", "silence"), 504, openai.InternalServerError, "timeout"),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("scripts", "status", "exception", "code"), DOWN)
async def test_f61_when_all_fail_there_is_one_error_that_names_all(
    client: Protocol,
    scripts: tuple[str, str, str],
    status: int,
    exception: type[openai.APIStatusError],
    code: str,
) -> None:
    runs_out = "timeout" if "silence" in scripts else ""
    async with mixed_pool(*scripts, runs_out=runs_out, wait_for_capacity_ms=1) as house:
        heard = await hear(house, client)
        assert isinstance(heard.error, exception)
        assert (heard.reply.status, heard.error.body) == (status, heard.reply.error)
        error = heard.reply.error
        assert error is not None
        assert error["code"] == code
        causes = [(cause["backend"], cause["kind"]) for cause in error["causes"]]
        assert {name for name, _ in causes} == set(NAMES)
        await check_told(house, heard, causes)
