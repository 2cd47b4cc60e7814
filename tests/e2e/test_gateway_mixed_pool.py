"""An Anthropic client before members that speak Anthropic's Messages, OpenAI chat and Gemini: every fault.

Each row of the library's tables (`fault_rows`) is played by every member in its own format, in the first
place, the second and the last. Whoever answers, the client has one sound stream of Anthropic's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.e2e.fault_rows import (
    AFTER_CONTENT,
    BEFORE_CONTENT,
    TO_THE_CALLER,
    TOLERATED,
    AfterContent,
    BeforeContent,
    Tolerated,
)
from tests.e2e.mixed_pool import (
    MEMBERS,
    NAMES,
    all_out_before,
    answered_in,
    check_answered,
    check_broken_off,
    check_left,
    check_told,
    check_whole,
    hear,
    mixed_pool,
    playing_at,
    shape,
    shapes,
)
from understudy.faults import TEXT, TOKENS

HERE = Path(__file__).parent
PLACES = range(len(NAMES))
EVERY_PLACE = pytest.mark.parametrize("place", PLACES, ids=MEMBERS)
IDS = [f"{name} speaks {spoken}" for name, spoken in zip(NAMES, MEMBERS, strict=True)]


# Before the first content


WAITED_FOR = ("silence", "silence after=preamble", "pings every=0.1s kind=event")


def _before_content(places: range) -> Iterator[Any]:
    """In the first place in both shapes, then as a stream if there is one."""
    for place in places:
        for row in BEFORE_CONTENT:
            if place == 0 and row.fault in TO_THE_CALLER:
                continue
            if place > 0 and row.kind == "timeout" and row.script not in WAITED_FOR:
                continue  # all that is waited for in vain takes its time
            for streamed in shapes(row.only, place):
                yield pytest.param(row, place, streamed, id=f"{row}-{IDS[place]}-{shape(streamed)}")


@pytest.mark.parametrize(("row", "place", "streamed"), list(_before_content(PLACES[:2])))
async def test_the_next_member_answers_in_whole(row: BeforeContent, place: int, streamed: bool) -> None:
    failing, answering = NAMES[place : place + 2]
    async with mixed_pool(*playing_at(place, row.script), runs_out=row.kind) as house:
        heard = await hear(house, "anthropic", stream=streamed)
        failed = [*all_out_before(place), *[(failing, row.kind)] * row.attempts]
        await check_answered(house, heard, answering, failed)
        assert (await house.stats(answering))["output_tokens"] == len(TOKENS)


@pytest.mark.parametrize(("row", "place", "streamed"), list(_before_content(PLACES[2:])))
async def test_f62_when_the_last_fails_too_there_is_one_error_that_names_all(
    row: BeforeContent, place: int, streamed: bool
) -> None:
    async with mixed_pool(*playing_at(place, row.script), runs_out=row.kind) as house:
        heard = await hear(house, "anthropic", stream=streamed)
        attempts = [*all_out_before(place), *[("third", row.kind)] * row.attempts]
        assert isinstance(heard.error, anthropic.InternalServerError)
        assert (heard.reply.status, heard.reply.is_stream) == (502, False)
        assert heard.error.body == heard.reply.value
        assert heard.reply.value["type"] == "error"
        error = heard.reply.error
        assert error is not None
        assert (error["type"], error["code"]) == ("api_error", "all_backends_failed")
        assert [(cause["backend"], cause["kind"]) for cause in error["causes"]] == attempts
        assert all(name in error["message"] for name in NAMES)
        await check_told(house, heard, attempts)
        assert (await house.pool())["failed"] == 1


# After the first content


# Gemini says a tool call in one piece: before it there is no content, after it nothing is amiss.
WHOLE_IN_GEMINI = "F49"


def _after_content() -> Iterator[Any]:
    for place in PLACES:
        for row in AFTER_CONTENT:
            if MEMBERS[place] != "gemini" or row.fault != WHOLE_IN_GEMINI:
                yield pytest.param(row, place, id=f"{row}-{IDS[place]}")
    # Two of the formats have a last event without which an answer is none.
    for place, word in ((0, "done missing"), (0, "finish none"), (2, "finish none")):
        row = AfterContent("F46", word, "truncated")
        yield pytest.param(row, place, id=f"{row}-{IDS[place]}")


@pytest.mark.parametrize(("row", "place"), list(_after_content()))
async def test_the_answer_that_broke_off_is_one_error_and_no_second_answer(
    row: AfterContent, place: int
) -> None:
    failing = NAMES[place]
    async with mixed_pool(*playing_at(place, row.script), runs_out=row.kind) as house:
        heard = await hear(house, "anthropic")
        await check_broken_off(house, heard, [*all_out_before(place), (failing, row.kind)])
        assert heard.text or heard.reply.tools
        assert (await house.stats(failing))["circuit_breaker"]["failures"] == int(row.counts)
        if row.open_socket:
            await check_left(house, failing, within=0.3)


# Oddities that are no failures


def _tolerated() -> Iterator[Any]:
    for place in PLACES:
        for row in TOLERATED:
            if row.fault == "F46" and MEMBERS[place] == "anthropic":
                continue  # there it is no oddity: see above
            if row.script == "done data-after" and MEMBERS[place] == "gemini":
                continue  # no event says that this was all, so whatever comes belongs to the answer
            if row.script == "usage missing" and MEMBERS[place] == "anthropic":
                continue  # see below
            for streamed in shapes(row.only, place):
                yield pytest.param(row, place, streamed, id=f"{row}-{IDS[place]}-{shape(streamed)}")


@pytest.mark.parametrize(("row", "place", "streamed"), list(_tolerated()))
async def test_an_oddity_is_no_failure(row: Tolerated, place: int, streamed: bool) -> None:
    answering = NAMES[place]
    tokens = None if row.estimated else len(TOKENS) + ("surrogates" in row.script)
    requests = {answering: 2} if row.fault == "F53" else None
    async with mixed_pool(*playing_at(place, row.script)) as house:
        heard = await hear(house, "anthropic", stream=streamed)
        await check_answered(house, heard, answering, all_out_before(place), tokens=tokens, requests=requests)
        member = await house.stats(answering)
        assert (member["successes"], member["failures"]) == (1, 0)
        assert member["malformed_events"] == int(row.fault == "F16")
        assert (member["estimated"] > 0) is row.estimated


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_f44_what_a_member_of_the_clients_own_format_leaves_out_is_estimated_and_not_added(
    streamed: bool,
) -> None:
    """Anthropic's SDK wants a usage: here it would fail as it does before the member itself."""
    async with mixed_pool("usage missing") as house:
        reply = await house.ask("anthropic", stream=streamed)
        assert (reply.error, reply.text, reply.dones) == (None, TEXT, int(streamed))
        assert b"usage" not in reply.body
        assert (await house.stats())["estimated"] > 0


@EVERY_PLACE
async def test_f15_a_drip_is_not_cut(place: int) -> None:
    async with mixed_pool(*playing_at(place, "drip every=0.006s"), runs_out="stall") as house:
        heard = await hear(house, "anthropic")
        await check_answered(house, heard, NAMES[place], all_out_before(place))
        assert (await house.stats(NAMES[place]))["by_kind"] == {}


@EVERY_PLACE
async def test_f41_four_megabytes_on_one_line_pass(place: int) -> None:
    async with mixed_pool(*playing_at(place, "big-event 4MB after=10")) as house:
        heard = await hear(house, "anthropic")
        assert heard.error is None
        assert len(heard.text) == len(TEXT) + 4_000_000
        assert heard.reply.model == f"{NAMES[place]}-model"


@EVERY_PLACE
async def test_f51_bytes_that_are_no_utf8_are_replaced(place: int) -> None:
    async with mixed_pool(*playing_at(place, "invalid-utf8 after=10")) as house:
        heard = await hear(house, "anthropic")
        assert heard.error is None
        assert "\N{REPLACEMENT CHARACTER}" in heard.text
        assert heard.text.endswith(TEXT[-20:])


async def test_f53_a_redirect_that_loops_fails_over_after_three_hops() -> None:
    async with mixed_pool("redirect 307 to=loop", failover_retry_count=1) as house:
        heard = await hear(house, "anthropic")
        await check_answered(house, heard, "second", [("lead", "protocol")], requests={"lead": 4})


@EVERY_PLACE
async def test_f47_an_answer_that_is_over_is_over_though_the_connection_stays_open(place: int) -> None:
    after = "done" if MEMBERS[place] == "anthropic" else "finish"
    async with mixed_pool(*playing_at(place, f"silence after={after}")) as house:
        heard = await answered_in(2, hear(house, "anthropic"))
        # OpenAI tells usage after the finish reason.
        tokens = None if MEMBERS[place] == "openai" else len(TOKENS)
        await check_answered(house, heard, NAMES[place], all_out_before(place), tokens=tokens)
        await check_left(house, NAMES[place], within=1)


@EVERY_PLACE
async def test_f54_a_dead_kept_alive_connection_is_replaced_once_unseen(place: int) -> None:
    script = "fine; when reused cut after=request; fine"
    async with mixed_pool(*playing_at(place, script), failover_retry_count=1) as house:
        await hear(house, "anthropic")
        heard = await hear(house, "anthropic")
        check_whole(heard, NAMES[place], len(TOKENS))
        entry = await house.told(heard.reply.headers["x-request-id"])
        assert entry["trail"][-1]["reconnected"] is True
        assert len(house.providers[NAMES[place]].requests) == 3
        assert (await house.stats(NAMES[place]))["failures"] == 0


# All of the catalogue

# Rows in which it makes no difference who speaks what, and where else they are played
ELSEWHERE = {
    "F55": "down for a while: who is asked when is decided before anybody speaks (test_faults_policies)",
    "F56": "failures by chance: as F55",
    "F57": "slower and slower: as F55 (test_faults_routing)",
    "F58": "back, but weak: as F55 (test_faults_routing)",
    "F68": "state is shared between processes, whatever they speak (test_shared_state)",
    "F69": "state is shared between processes, whatever they speak (test_shared_state)",
    "F70": "state is shared between processes, whatever they speak (test_shared_state)",
    "F71": "a gateway that is told to stop is a process of its own (test_gateway_signals)",
    "F73": "no transport speaks HTTP/2",
}


def _played() -> set[str]:
    """By a row of a table, or by a test that bears its name."""
    params = (*_before_content(PLACES), *_after_content(), *_tolerated())
    rows = {param.values[0].fault for param in params}
    sources = [path.read_text(encoding="utf-8") for path in HERE.glob("test_gateway_mixed_*.py")]
    names = [name for source in sources for name in re.findall(r"def (test_f\d\d\w*)", source)]
    return rows | {f"F{number}" for name in names for number in re.findall(r"_f(\d\d)(?=_)", name)}


def test_every_fault_is_played_or_it_is_said_why_not() -> None:
    played = _played()
    assert played.isdisjoint(ELSEWHERE)
    assert played | ELSEWHERE.keys() == {f"F{number:02}" for number in range(1, 75)}
