"""The page in a real browser, before a real gateway and providers that fail when they are told to.

Every browser is one that has seen nothing. Whatever it logs as an error, and whatever it asks of anybody but
the gateway, fails the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    Route,
    async_playwright,
    expect,
)

from tests.gateway.house import KEY, PROFILE, SETTINGS, chat, listening
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import FaultProvider
from understudy.gateway.admin import Admin
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.edge import EdgeProtocol
from understudy.gateway.http import Message, Receive, Scope, Send, answer
from understudy.gateway.keys import Keys
from understudy.gateway.news import BACKLOG, News
from understudy.gateway.profiles import Profiles, Served

CHROMIUM = shutil.which("chromium")
MISSING = "no chromium: scripts/services installs it"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ADMIN_KEY = "key-of-the-operator-1147"
HOSTILE = "<img src=x onerror=alert(1)>"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason=MISSING),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None, MISSING
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


class _Cut(EdgeProtocol):
    """Connections that can all be cut."""

    open: set[_Cut] = set()  # noqa: RUF012 - one test at a time

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.open.discard(self)


class House:
    """A gateway behind a proxy that takes a prefix off, and may be down."""

    def __init__(self, names: tuple[str, str], keys: str, prefix: str) -> None:
        self.lead = FaultProvider()
        self.second = FaultProvider()
        self.names = names
        self.keys = Keys(keys)
        self.prefix = prefix
        self.url = ""
        self.is_down = False
        self.is_silent = False
        self.gateway: Gateway

    def open(self) -> None:
        """A gateway that knows of nothing yet."""
        providers = dict(zip(self.names, (self.lead, self.second), strict=True))
        members = [
            StandardProfile(name, "openai", f"{name}-model", settings={"base-url": provider.base_url})
            for name, provider in providers.items()
        ]
        rules = {
            "failover_retry_count": 1,
            "circuit_breaker_failure_threshold": 1,
            "circuit_breaker_recovery_timeout_ms": 4000,
            "slow_start_ms": 3000,
        }
        profile = LoadBalancerProfile(PROFILE, "failover", tuple(providers), settings={**SETTINGS, **rules})
        served = Served(PROFILE, Balancer(profile, members), Door(100, 100, 1.0))
        profiles = Profiles({PROFILE: served}, default=PROFILE)
        self.gateway = Gateway(profiles, keys=self.keys)
        self.gateway.admin = Admin(ADMIN_KEY, lambda: self.gateway.profiles, self._reload)

    async def _reload(self) -> None:
        self.reloads = True

    @property
    def balancer(self) -> Balancer:
        return self.gateway.profiles.by_name[PROFILE].balancer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_down or not scope["path"].startswith(self.prefix):
            await answer(send, 502, b"bad gateway", [])
            return

        async def passed_on(message: Message) -> None:
            while self.is_silent:
                await asyncio.sleep(0.05)
            await send(message)

        await self.gateway({**scope, "path": scope["path"].removeprefix(self.prefix)}, receive, passed_on)

    async def ask(self, **fields: Any) -> int:
        """One chat request; its status."""
        import httpx

        async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:
            answered = await client.post(f"{self.url}v1/chat/completions", json=chat(**fields))
            return answered.status_code

    def cut(self) -> None:
        """Every connection, without a word."""
        for connection in tuple(_Cut.open):
            connection.transport.abort()


@asynccontextmanager
async def house(
    names: tuple[str, str] = ("lead", "second"), *, keys: str = "", prefix: str = ""
) -> AsyncIterator[House]:
    house = House(names, keys, prefix)
    async with house.lead, house.second:
        house.open()
        try:
            async with listening(house, protocol=_Cut) as port:
                house.url = f"http://127.0.0.1:{port}{prefix}/"
                yield house
        finally:
            await house.gateway.close()


@asynccontextmanager
async def visit(
    browser: Browser, house: House, *, width: int = 1200, key: str | None = None, tolerant: bool = False
) -> AsyncIterator[Page]:
    """The page, looked at. `tolerant`: refused and failed requests, which Chromium logs, are meant."""
    context = await browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page = await context.new_page()
    wrong: list[str] = []

    def logged(message: ConsoleMessage) -> None:
        is_meant = tolerant and message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not is_meant:
            wrong.append(message.text)

    page.on("console", logged)

    def asked(request: Request) -> None:
        if not request.url.startswith(house.url):
            wrong.append(request.url)

    def failed(error: Error) -> None:
        wrong.append(str(error))

    page.on("pageerror", failed)
    page.on("request", asked)
    if key is not None:
        await page.add_init_script(f"sessionStorage.setItem('understudy.key', '{key}')")
    await page.goto(house.url)
    try:
        yield page
        assert wrong == []
    finally:
        await context.close()


def member(page: Page, name: str) -> Locator:
    return page.locator("#profiles tbody").filter(has=page.get_by_role("button", name=name, exact=True))


def state(page: Page, name: str) -> Locator:
    return member(page, name).locator(".state")


def decision(page: Page, words: str | re.Pattern[str]) -> Locator:
    return page.locator("#stream li").filter(has_text=words)


async def live(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_text("live")


async def seconds(countdown: Locator) -> int:
    await expect(countdown).to_have_text(re.compile(r"\d+ s$"))
    found = re.search(r"(\d+) s$", await countdown.inner_text())
    assert found is not None
    return int(found[1])


# What is seen


async def test_a_quiet_gateway_says_so(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        await expect(page.locator("#troubles li")).to_have_text("Nothing is wrong2 members are well")
        await expect(page.locator("#stream-empty")).to_have_text(re.compile("No request yet"))
        await expect(state(page, "lead")).to_have_text("closed")
        heads = page.locator("thead th")
        assert await heads.first.inner_text() == "Member"
        assert await page.locator("tbody th[scope=row]").count() == 2
        await expect(page.locator(".tag")).to_have_text(["failover", "default"])
        assert await page.title() == "Understudy"


async def test_circuits_are_seen_to_open_to_be_counted_down_and_to_close(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        open_house.lead.set_script("status 500")
        assert await open_house.ask() == 200
        await expect(state(page, "lead")).to_have_text("open")
        await expect(state(page, "second")).to_have_text("closed")
        trouble = page.locator("#troubles li").first
        await expect(trouble).to_contain_text("its circuit is open; server error 1")
        assert await page.title() == "(1) Understudy"
        first = await seconds(member(page, "lead").locator(".until"))
        assert 1 <= first <= 4
        await expect(decision(page, "circuit open after 1 failure")).to_be_visible()
        while await seconds(trouble.locator(".until")) >= first:
            await asyncio.sleep(0.1)
        open_house.lead.set_script("fine")
        await expect(state(page, "lead")).to_have_text("half-open")
        await expect(member(page, "lead").locator(".until")).to_have_text("with the next request")
        assert await open_house.ask() == 200
        await expect(state(page, "lead")).to_have_text("easing in")
        await expect(state(page, "lead")).to_have_text("closed")
        await expect(decision(page, "lead: circuit closed, well again")).to_be_visible()
        await expect(page.locator("#announcer")).to_contain_text("circuit closed", timeout=8000)


async def test_every_state_has_a_word_and_a_shape_of_its_own(browser: Browser) -> None:
    """What colours say is said without them."""
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        lead = state(page, "lead")
        shapes: dict[str, str | None] = {}

        async def note(word: str) -> None:
            await expect(lead).to_have_text(word)
            shapes[word] = await lead.locator("path").get_attribute("d")

        await note("closed")
        open_house.lead.set_script("status 429 retry-after=60; fine")
        await open_house.ask()
        await note("benched")
        open_house.balancer.act("lead", "drain")
        await note("drained")
        open_house.balancer.act("lead", "enable")
        open_house.balancer.act("lead", "reset")
        open_house.lead.set_script("status 500")
        await open_house.ask()
        await note("open")
        assert len(set(shapes.values())) == len(shapes) == 4
        open_house.balancer.act("lead", "close")
        await expect(lead).to_have_text("held closed")
        open_house.balancer.act("lead", "open")
        await expect(lead).to_have_text("held open")


async def test_where_nobody_can_be_asked_that_comes_first(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        open_house.balancer.act("lead", "drain")
        open_house.second.set_script("status 500")
        await open_house.ask()
        troubles = page.locator("#troubles li")
        await expect(troubles).to_contain_text(["no member can be asked", "circuit is open", "took it out"])


async def test_the_last_minutes_are_told_to_who_sees_no_bars(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        open_house.lead.set_script("status 500")
        await open_house.ask()
        words = "Last ten minutes: 0 answered, 1 failed (server error 1), 0 refused"
        await expect(member(page, "lead").get_by_role("img")).to_have_accessible_name(words)
        await expect(member(page, "second").locator(".strip .ok")).to_have_attribute("d", re.compile("M236"))


async def test_cost_is_shown_where_the_statistics_have_it(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        await expect(page.locator(".figures dt").filter(has_text="Cost")).to_have_count(0)
        shown = await page.evaluate(
            "import('./page/format.js').then(({dollars}) => [12.5, 0.05, 0.00012, null].map(dollars))"
        )
        assert shown == ["$12.50", "$0.0500", "$0.000120", None]


# Decisions


async def test_a_decision_opens_to_its_trail(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        open_house.lead.set_script("status 500")
        await open_house.ask(stream=True)
        row = decision(page, "lead: server_error (500) → second answered in")
        await expect(row.locator(".status")).to_have_text("failed over")
        await row.locator("summary").click()
        steps = row.locator(".trail ol li")
        await expect(steps).to_have_count(2)
        await expect(steps.first).to_have_text(
            re.compile(r"^lead, attempt 1: failed after \d+ ms: server_error")
        )
        await expect(steps.last).to_contain_text("second, attempt 1: answered in")
        await expect(row.locator(".pairs")).to_contain_text(PROFILE)


async def test_what_was_decided_before_is_there_and_what_is_filtered_out_is_not(browser: Browser) -> None:
    async with house() as open_house:
        await open_house.ask()
        open_house.lead.set_script("status 500")
        await open_house.ask()
        async with visit(browser, open_house) as page:
            shown = page.locator("#stream li:visible")
            await expect(shown).to_have_count(2)
            await page.get_by_label("Filter").fill("second evening")
            await expect(shown).to_have_count(1)
            await page.get_by_label("Filter").fill("nobody")
            await expect(shown).to_have_count(0)
            await expect(page.locator("#stream-empty")).to_have_text("Nothing here matches the filter.")
            await page.get_by_label("Filter").fill("")
            await page.get_by_label("only what went wrong").check()
            await expect(shown).to_have_count(1)
            await expect(shown).to_contain_text("server_error")


async def test_a_paused_stream_holds_what_comes(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        await page.get_by_role("button", name="Pause").click()
        await open_house.ask()
        await expect(page.locator("#held")).to_have_text("1 new")
        await expect(page.locator("#stream li")).to_have_count(0)
        await page.get_by_role("button", name="Go on").click()
        await expect(page.locator("#stream li")).to_have_count(1)


async def test_what_came_too_fast_is_counted(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        told = {"at": "2026-11-27T20:00:00.000Z", "profile": PROFILE, "backend": "lead", "words": "well"}
        (reader,) = open_house.gateway.live._readers
        for _ in range(BACKLOG + 3):
            reader.tell(News("change", None, lambda: told))
        await expect(decision(page, "3 more, too many to be shown")).to_be_visible()
        assert await page.locator("#stream li").count() <= 120


async def test_what_others_wrote_stays_text(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        escaped = "&lt;b&gt;no&lt;/b&gt;"
        open_house.lead.set_script(f"status 401 message='{escaped}'")
        await open_house.ask(model=f"gpt{HOSTILE}", stream=True)
        await expect(decision(page, f"check key and model: 401 Unauthorized: {escaped}")).to_be_visible()
        for summary in await page.locator("#stream summary").all():
            await summary.click()
        await expect(page.locator(".trail dd").filter(has_text=f"gpt{HOSTILE}")).to_have_count(1)
        assert await page.locator("main img, main b, main script").count() == 0


async def test_so_would_a_name_if_names_were_free(browser: Browser) -> None:
    """No profile may be named so; the page does not rely on that."""
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        open_house.balancer.act("lead", "drain")

        async def rename(route: Route) -> None:
            picture = (await (await page.request.get(f"{open_house.url}live?once=1")).text()).replace(
                "lead", HOSTILE
            )
            hello = json.dumps({"client": HOSTILE, "operator": False, "admin": False, "version": HOSTILE})
            body = f"event: hello\ndata: {hello}\n\nevent: picture\ndata: {picture}\n\n"
            await route.fulfill(body=body, content_type="text/event-stream")

        await page.route("**/live", rename)
        open_house.cut()
        await expect(page.locator("#troubles li").first).to_contain_text(HOSTILE)
        await page.locator(".disclose").first.click()
        await expect(page.locator("footer")).to_contain_text(HOSTILE)
        assert await page.locator("main img, footer img").count() == 0


# Keys and an operator's hand


async def test_without_a_key_the_page_asks_for_one_and_tells_a_wrong_one(browser: Browser) -> None:
    async with house(keys=f"alice={KEY}") as open_house, visit(browser, open_house, tolerant=True) as page:
        await expect(page.get_by_role("heading", name="This gateway asks for a key")).to_be_visible()
        await expect(page.locator("#unlock-refusal")).to_be_hidden()
        await expect(page.locator("#view")).to_be_hidden()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#unlock-refusal")).to_have_text("Refused: this key is not known here")
        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.get_by_role("button", name="Look").click()
        await live(page)
        await expect(page.locator("#scope")).to_have_text("The requests of alice.")
        assert KEY not in page.url
        await page.reload()
        await live(page)
        await page.get_by_role("button", name="Forget the key").click()
        await expect(page.get_by_role("heading", name="This gateway asks for a key")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0


async def test_an_action_asks_first_is_refused_with_a_wrong_key_and_works_with_the_right_one(
    browser: Browser,
) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        await member(page, "lead").locator(".disclose").click()
        await member(page, "lead").get_by_role("button", name="Drain").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("lead in evening finishes what it has begun")
        await dialog.get_by_role("button", name="Leave it").click()
        await expect(dialog).to_be_hidden()
        assert not open_house.balancer.pool.members[0].health.drained

        await member(page, "lead").get_by_role("button", name="Drain").click()
        await dialog.get_by_label("Admin key").fill("wrong")
        await dialog.get_by_role("button", name="Drain").click()
        await expect(dialog.get_by_role("alert")).to_have_text("Refused: this route needs the admin key")
        assert not open_house.balancer.pool.members[0].health.drained

        await dialog.get_by_label("Admin key").fill(ADMIN_KEY)
        await dialog.get_by_role("button", name="Drain").click()
        await expect(page.locator("#result")).to_have_text("lead in evening is drained.")
        await expect(state(page, "lead")).to_have_text("drained")
        await expect(page.locator("#scope")).to_have_text("All requests, seen with the admin key.")

        # From now on the page knows the key.
        await member(page, "lead").get_by_role("button", name="Take into service").click()
        await expect(dialog.get_by_label("Admin key")).to_be_hidden()
        await dialog.get_by_role("button", name="Take into service").click()
        await expect(state(page, "lead")).to_have_text("closed")


@pytest.mark.parametrize(
    ("button", "word"), [("Hold open", "held open"), ("Hold closed", "held closed"), ("Reset", "closed")]
)
async def test_every_action_does_what_it_says(browser: Browser, button: str, word: str) -> None:
    async with house() as open_house:
        open_house.lead.set_script("status 500")
        await open_house.ask()
        async with visit(browser, open_house, key=ADMIN_KEY) as page:
            await live(page)
            await member(page, "lead").locator(".disclose").click()
            await member(page, "lead").get_by_role("button", name=button).click()
            await page.get_by_role("dialog").get_by_role("button", name=button).click()
            await expect(state(page, "lead")).to_have_text(word)


async def test_profiles_are_loaded_anew_and_an_action_that_cannot_be_is_told(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, key=ADMIN_KEY, tolerant=True) as page:
        await page.get_by_role("button", name="Reload profiles").click()
        await page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        await expect(page.locator("#result")).to_have_text("Loaded anew: evening.")
        assert open_house.reloads
        open_house.gateway.admin = None
        await page.get_by_role("button", name="Reload profiles").click()
        await page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        await expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(
            "Refused: there is no route /admin/reload"
        )


async def test_where_there_is_no_admin_key_the_actions_are_off_and_say_why(browser: Browser) -> None:
    async with house() as open_house:
        open_house.gateway.admin = None
        async with visit(browser, open_house) as page:
            await live(page)
            await member(page, "lead").locator(".disclose").click()
            await expect(member(page, "lead").get_by_role("button", name="Drain")).to_be_disabled()
            await expect(member(page, "lead")).to_contain_text("UNDERSTUDY_ADMIN_KEY switches these on")
            await expect(page.get_by_role("button", name="Reload profiles")).to_be_hidden()


# The connection


async def test_a_lost_connection_is_told_with_the_pictures_age_and_made_anew(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        open_house.lead.set_script("status 500")
        await open_house.ask()
        await expect(state(page, "lead")).to_have_text("open")
        await expect(page.locator("#stream details")).to_have_count(1)
        open_house.is_down = True
        open_house.cut()
        connection = page.locator("#connection")
        await expect(connection).to_have_text(re.compile(r", the picture is \d+ s old; next try in \d+ s"))
        await expect(page.locator("#view")).to_have_class("stale")
        await expect(page.locator("#now-title")).to_have_text("When last seen")
        for until in (page.locator("#troubles .until"), member(page, "lead").locator(".until")):
            await expect(until).to_have_text("probe in a moment")
        open_house.is_down = False
        await expect(connection).to_have_text("live", timeout=15000)
        await open_house.ask()
        await expect(page.locator("#stream details")).to_have_count(2)


async def test_tries_come_further_and_further_apart_and_can_be_hurried(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        tries: list[float] = []
        loop = asyncio.get_running_loop()

        def asked(request: Request) -> None:
            if request.url.endswith("/live"):
                tries.append(loop.time())

        page.on("request", asked)
        open_house.is_down = True
        open_house.cut()
        while len(tries) < 3:
            await asyncio.sleep(0.1)
        assert tries[2] - tries[1] > 1.3 * (tries[1] - tries[0]) > 0.7
        open_house.is_down = False
        await page.get_by_role("button", name="Try now").click()
        await live(page)


async def test_who_comes_back_to_the_tab_does_not_wait_for_the_next_try(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        await page.evaluate("Math.random = () => 20")  # the next try is far away
        open_house.is_down = True
        open_house.cut()
        await expect(page.locator("#connection")).to_contain_text("next try in")
        open_house.is_down = False
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await live(page)


async def test_a_stream_that_falls_silent_is_given_up(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await page.clock.install()
        await page.reload()
        await live(page)
        open_house.is_silent = True
        await page.clock.fast_forward(4000)
        await expect(page.locator("#connection")).to_have_text(re.compile("waiting, the picture is .* old"))
        await page.clock.fast_forward(8000)
        await expect(page.locator("#connection")).to_contain_text("the gateway has fallen silent")
        open_house.is_silent = False


async def test_a_gateway_that_shuts_down_says_so_and_its_successor_is_found(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house, tolerant=True) as page:
        await live(page)
        await open_house.ask()
        await expect(page.locator("#stream li")).to_have_count(1)
        open_house.gateway.draining = True
        await expect(page.locator("#connection")).to_contain_text("the gateway shuts down")
        old = open_house.gateway
        open_house.open()
        await expect(page.locator("#connection")).to_have_text("live", timeout=15000)
        await expect(page.locator(".figures dd").first).to_have_text("0")
        await expect(page.locator("#stream li")).to_have_count(1)
        await old.close()


async def test_it_works_below_a_path_of_a_proxy(browser: Browser) -> None:
    async with house(prefix="/llm/one") as open_house, visit(browser, open_house, key=ADMIN_KEY) as page:
        await live(page)
        await open_house.ask()
        await decision(page, "lead answered").locator("summary").click()
        await expect(page.locator(".trail ol li")).to_have_count(1)
        await member(page, "lead").locator(".disclose").click()
        await member(page, "lead").get_by_role("button", name="Drain").click()
        await page.get_by_role("dialog").get_by_role("button", name="Drain").click()
        await expect(state(page, "lead")).to_have_text("drained")


# Hands and eyes


async def test_a_request_that_is_being_read_stays_where_it_is_when_it_ends(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        open_house.lead.set_script("status 500")
        open_house.second.set_script("delay 1s; fine")
        slow = asyncio.ensure_future(open_house.ask())
        row = page.locator("#stream li:has(details)").last
        await expect(row.locator(".status")).to_have_text("goes on")
        await row.locator("summary").focus()
        assert await open_house.ask() == 200
        await expect(page.locator("#stream details")).to_have_count(2)
        assert await slow == 200
        await expect(row.locator(".status")).to_have_text("failed over")
        await expect(row.locator("summary")).to_be_focused()


@pytest.mark.parametrize("width", [360, 768, 1200])
async def test_nothing_is_wider_than_the_screen(browser: Browser, width: int) -> None:
    names = ("lead" + "-of-the-longest-name-that-may-be-given" * 2, "second")
    async with (
        house((names[0][:64], "second")) as open_house,
        visit(browser, open_house, width=width) as page,
    ):
        await live(page)
        open_house.lead.set_script("status 429 retry-after=60")
        await open_house.ask(model="m" * 90, stream=True)
        await decision(page, "second answered").locator("summary").click()
        await expect(page.locator(".trail ol li")).to_have_count(2)
        for button in await page.locator(".disclose").all():
            await button.click()
        await member(page, "second").get_by_role("button", name="Drain").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        sticking_out = await page.evaluate(
            """[...document.querySelectorAll('body *')]
                .filter((one) => !one.closest('.unseen, .skip, thead, svg'))
                .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
                .map((one) => one.outerHTML.slice(0, 200))"""
        )
        assert sticking_out == []


async def tab_to(page: Page, what: Locator) -> None:
    """Press Tab until this has the focus, which must be seen on the way."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        on_page = await page.evaluate("document.activeElement !== document.body")
        assert outline != "none" or not on_page
        if await what.evaluate("(one) => one === document.activeElement"):
            return
    raise AssertionError(f"{what} is not reached")


async def test_a_keyboard_is_enough(browser: Browser) -> None:
    async with house() as open_house, visit(browser, open_house) as page:
        await live(page)
        open_house.lead.set_script("status 500")
        await open_house.ask()
        await expect(state(page, "lead")).to_have_text("open")

        # From what is wrong to the member, and on to what can be done about it.
        await tab_to(page, page.locator("#troubles button").first)
        await page.keyboard.press("Enter")
        await expect(member(page, "lead").locator(".disclose")).to_be_focused()
        await expect(member(page, "lead").locator(".disclose")).to_have_attribute("aria-expanded", "true")
        drain = member(page, "lead").get_by_role("button", name="Drain")
        await tab_to(page, drain)
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Admin key")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(drain).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.type(ADMIN_KEY)
        await page.keyboard.press("Enter")
        await expect(state(page, "lead")).to_have_text("drained")

        # To a decision and into its trail; and it stays where it is while others come.
        row = decision(page, "server_error (500) → second answered")
        await tab_to(page, row.locator("summary"))
        await page.keyboard.press("Enter")
        await expect(row.locator(".trail ol li")).to_have_count(2)
        await open_house.ask()
        await expect(page.locator("#stream details")).to_have_count(2)
        await expect(row.locator("summary")).to_be_focused()
        await expect(row.locator(".trail ol li")).to_have_count(2)
