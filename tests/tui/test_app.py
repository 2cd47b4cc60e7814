"""Facts about the screen of ``understudy top``: Textual's own terminal, a real gateway, a manual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.stage import ADMIN_KEY, Stage
from tests.runtime.house import completion, refusal
from tests.tui.stage import MIDDLE, NARROW, WIDE, Seat, seated
from understudy.cli.in_process import InProcess
from understudy.gateway.worker import Worker
from understudy.tui.feed import Missed
from understudy.tui.remote import GatewayError
from understudy.tui.screens import Lines, Question, Reading

EVENING = (
    [refusal(500)] * 6 + [completion()],
    [completion(), completion(), refusal(429, retry_after="20"), *[completion()] * 9],
    completion(),
)


async def evening(seat: Seat) -> None:
    """Five requests: a's circuit opens at the third, where b is benched."""
    for number in range(5):
        await seat.ask(f"request-{number}", 12.0)
    await seat.after(1)


@pytest.mark.parametrize(
    ("name", "size"),
    [("vast", (164, 24)), ("wide", WIDE), ("middle", MIDDLE), ("small", (76, 18)), ("narrow", NARROW)],
)
async def test_members_above_and_what_happened_below(name: str, size: tuple[int, int]) -> None:
    async with seated(*EVENING, size=size, failover_retry_count=1) as seat:
        await evening(seat)
        seat.check(name)


async def test_another_size_is_drawn_anew() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.pilot.resize_terminal(*NARROW)
        await seat.after(0)
        seat.check("narrow")


async def test_before_anything_is_heard_it_says_so() -> None:
    async with seated(completion(), remote=Silent()) as seat:
        assert seat.screen[0] == " silent · connecting"


async def test_figures_go_on_by_themselves() -> None:
    async with seated(completion()) as seat:
        before = seat.screen[0]
        await seat.ask("one", 0.0)
        await seat.after(1)
        assert seat.screen[0] != before
        assert seat.shows("a answered in 0 ms")


# How it is looked at


async def test_sorting_puts_first_who_needs_a_look() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        assert names(seat) == ["evening", "a", "b", "c"]
        await seat.press("s", "s")
        assert "sorted by state" in seat.screen[0]
        assert names(seat) == ["evening", "a", "b", "c"]
        await seat.press("s", "s", "s")
        assert "sorted by first content" in seat.screen[0]
        await seat.press("s")
        assert "sorted" not in seat.screen[0]


def names(seat: Seat) -> list[str]:
    lines = seat.screen[2 : seat.screen.index(next(line for line in seat.screen if line.startswith("──")))]
    return [line.split()[0] for line in lines if line.strip()]


async def test_a_filter_is_typed_and_taken_back() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("slash", *"benched")
        assert names(seat) == [], "no member is any more"
        assert seat.shows("b: benched for 20.0 s")
        assert not seat.shows("a: server_error (500) → b answered")
        await seat.press("enter")
        assert "filter benched" in seat.screen[0]
        await seat.press("slash", *["backspace"] * 7, *"model-C", "enter")
        assert names(seat) == ["evening", "c"]
        await seat.press("escape")
        assert names(seat) == ["evening", "a", "b", "c"]


async def test_paused_it_stands_still_and_goes_on_with_what_came() -> None:
    async with seated(completion()) as seat:
        await seat.press("p")
        await seat.ask("one")
        assert seat.screen[0] == " http://gateway.test:4141 · PAUSED at 22:13:20 UTC"
        assert not seat.shows("answered")
        await seat.press("p")
        assert "PAUSED" not in seat.screen[0]
        assert seat.shows("a answered in 0 ms")


async def test_what_was_too_much_to_tell_is_counted() -> None:
    async with seated(completion()) as seat:
        seat.app.board.take([Missed(3), Missed(4)])
        seat.app.draw()
        await seat.after(0)
        assert "7 not shown" in seat.screen[0]


@pytest.mark.parametrize("row", ["another", "the same"])
async def test_a_line_that_is_drawn_at_once_is_not_cut_short(row: str) -> None:
    async with seated(completion()) as seat:
        news = seat.app.query_one("#news", Lines)
        news.show(["What"], [("the same", ["short"])])
        await seat.after(0)
        news.show(["What"], [(row, ["something longer than any before it"])])
        assert news.render_line(1).text.startswith(" something longer than any before it ")


async def test_the_worker_that_answers_is_told() -> None:
    async with seated(completion()) as seat:
        seat.stage.gateway.worker = Worker(2, of=2)
        await seat.after(1)
        assert seat.screen[0].endswith("· worker 2")


async def test_the_keys_are_explained() -> None:
    async with seated(completion()) as seat:
        await seat.press("question_mark")
        seat.check("help")
        await seat.press("escape")
        assert not isinstance(seat.app.screen, Reading)


async def test_the_cursor_stays_with_its_line() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        news = seat.app.query_one("#news", Lines)
        await seat.press("tab", "down")
        chosen = news.chosen
        assert chosen is not None
        await seat.ask("request-5")
        await seat.after(1)
        assert news.chosen == chosen
        assert news.cursor_row > 1, "it has moved down with its line"
        await seat.press(*["up"] * news.cursor_row)
        await seat.ask("request-6")
        await seat.after(1)
        assert (news.chosen, news.cursor_row) == ("request-6", 0)


# Details


async def test_all_about_a_member_kept_current() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("down", "enter")
        seat.check("member")
        assert seat.shows("State               half-open")
        await seat.after(1)
        seat.stage.balancer.act("a", "drain")
        await seat.after(1)
        assert seat.shows("State               drained")


async def test_all_about_a_profile() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("enter")
        seat.check("profile")


async def test_a_member_that_went_is_not_there_any_more() -> None:
    async with seated(*EVENING) as seat:
        await seat.press("down", "enter")
        await seat.press("escape", "slash", *"zz", "enter")
        seat.app._tell_line("evening/a")
        await seat.after(0)
        assert seat.shows("it is not there any more")


async def test_a_request_opens_to_its_trail() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("tab", "down", "enter")
        seat.check("request")


async def test_a_change_opens_to_nothing() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("tab", "down", "down", "down", "enter")
        assert not isinstance(seat.app.screen, Reading)


async def test_a_request_that_is_forgotten_is_said() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        seat.stage.gateway.journal._entries.clear()
        await seat.press("tab", "enter")
        assert seat.shows("no recent request of yours has this id")
        await seat.press("escape")
        assert not seat.shows("no recent request of yours has this id")


# Actions


async def test_resetting_is_asked_about_and_done() -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("down", "r")
        seat.check("question")
        await seat.press("y")
        await seat.after(1)
        assert seat.shows("a of evening: reset")
        assert seat.stage.balancer.stats().backends[0].circuit_breaker.state == "closed"


@pytest.mark.parametrize("answer", ["n", "escape", "enter"])
async def test_anything_but_yes_is_no(answer: str) -> None:
    async with seated(*EVENING, failover_retry_count=1) as seat:
        await evening(seat)
        await seat.press("down", "r", answer)
        await seat.after(1)
        assert not isinstance(seat.app.screen, Question)
        assert seat.stage.balancer.stats().backends[0].circuit_breaker.state == "half-open"


@pytest.mark.parametrize(("key", "state"), [("d", "drained"), ("o", "held open"), ("c", "held closed")])
async def test_members_are_taken_in_hand(key: str, state: str) -> None:
    async with seated(*EVENING) as seat:
        await seat.press("down", key, "y")
        await seat.after(1)
        assert next(line for line in seat.screen if line.startswith("   a")).split("  ")[3:5].count(
            state
        ) or seat.shows(state)
        await seat.press("e", "y")
        await seat.after(1)
        assert seat.stage.balancer.stats().backends[0].drained is False


async def test_what_the_gateway_refuses_is_said() -> None:
    async with seated(*EVENING) as seat:
        await seat.press("down", "r")
        seat.stage.gateway.admin = None
        await seat.press("y")
        assert seat.shows("there is no route /admin/profiles/evening/backends/a/reset")


async def test_a_profile_is_no_member() -> None:
    async with seated(*EVENING) as seat:
        await seat.press("r")
        assert seat.shows("no member is marked")


async def test_without_the_admin_key_it_is_said_what_is_missing() -> None:
    async with seated(*EVENING, operator=False) as seat:
        await seat.press("down", "r")
        assert seat.shows("this needs the gateway's admin key, as UNDERSTUDY_KEY or --key")


# The stream


async def test_a_lost_stream_is_said_and_taken_up_again() -> None:
    first, second = Stage(*EVENING), Stage(completion())
    inside = InProcess(first.gateway, "gateway")
    async with seated(completion(), remote=inside) as seat:
        assert names(seat) == ["evening", "a", "b", "c"]
        first.gateway.draining = True
        await seat.after(0)
        seat.check("lost")
        await seat.after(1)
        assert seat.screen[0].startswith(
            " gateway · DISCONNECTED, again in 2 s: the gateway is shutting down"
        )
        inside.gateway = second.gateway
        await seat.after(2)
        assert "DISCONNECTED" not in seat.screen[0]
        assert names(seat) == ["evening", "a"]


async def test_a_gateway_that_was_never_there_has_no_figures() -> None:
    async with seated(completion(), remote=Gone()) as seat:
        assert seat.screen[0] == " gone · DISCONNECTED, again in 1 s: nobody is there"


class Silent:
    """A gateway that says nothing, and never will."""

    name = "silent"

    async def get(self, path: str) -> bytes:
        raise GatewayError("nobody is there")

    async def post(self, path: str) -> bytes:
        raise GatewayError("nobody is there")

    async def live(self) -> AsyncIterator[bytes]:
        yield b": hold on\n\n"
        inside = InProcess(Stage(completion()).gateway, "silent", ADMIN_KEY)
        async for _ in inside.live():
            continue


class Gone(Silent):
    """One that is not there."""

    name = "gone"

    async def live(self) -> AsyncIterator[bytes]:
        raise GatewayError("nobody is there")
        yield b""
