"""Takes docs/page.png: the gateway's page ten minutes into an evening on which two members fail.

Gateway, providers, requests and browser are real. The gateway's clock runs twelve times as fast, so that ten
minutes of history take fifty seconds. Given a folder it also takes the dark page, the one on a phone, an
opened request and a dialog, and puts them there.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import FaultProvider
from understudy.gateway.admin import Admin
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.profiles import Profiles, Served
from understudy.gateway.server import Server, listen
from understudy.runtime.ports import Handle

PICTURE = Path(__file__).parent.parent / "docs" / "page.png"
KEY = "key-of-the-operator"
SPEED = 12
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Profile, policy, and its members: name, model, what it plays at first.
PROFILES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "testlb489": (
        "failover",
        {
            "synthetic": ("hf:zai-org/GLM-4.6", "delay 30ms"),
            "chutes": ("zai-org/GLM-4.6-TEE", "delay 45ms"),
            "groqgpt": ("openai/gpt-oss-120b", "delay 15ms"),
        },
    ),
    "summaries": (
        "least_busy",
        {
            "local-a": ("qwen3-32b", "delay 20ms"),
            "local-b": ("qwen3-32b", "delay 25ms"),
            "spare": ("qwen3-8b", "fine"),
            "cloud": ("gpt-5-mini", "fine"),
        },
    ),
}
# What happens, by the second of the run.
TURNS = [
    (18.0, "local-b", "40% status 503; delay 25ms"),
    (27.0, "local-b", "delay 25ms"),
    (31.0, "synthetic", "25% status 500; delay 30ms; loop"),
    (34.0, "synthetic", "status 500"),
    (43.0, "chutes", "30% status 503; delay 60ms; loop"),
    (47.0, "chutes", "status 429 retry-after=170"),
]
LASTS = 50.0


class FastClock:
    """A minute in five seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._wall = time.time() - LASTS * (SPEED - 1)

    def _elapsed(self) -> float:
        return (time.monotonic() - self._began) * SPEED

    def now(self) -> float:
        return self._began + self._elapsed()

    def wall(self) -> float:
        return self._wall + self._elapsed()

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()) / SPEED, callback)


def served(name: str, providers: dict[str, FaultProvider], clock: FastClock) -> Served:
    policy, members = PROFILES[name]
    profiles = []
    for member, (model, _) in members.items():
        settings: dict[str, Any] = {"base-url": providers[member].base_url}
        if member == "cloud":
            settings["auth-key-env"] = "NOT_SET"
        profiles.append(StandardProfile(member, "openai", model, settings=settings))
    settings = {
        "circuit_breaker_recovery_timeout_ms": 90_000,
        "failover_retry_count": 1,
        "stall_timeout_ms": 4000,
    }
    pool = LoadBalancerProfile(name, policy, tuple(members), settings=settings)
    return Served(name, Balancer(pool, profiles, clock=clock, environ={}), Door(100, 100, 20.0))


@asynccontextmanager
async def evening() -> AsyncIterator[str]:
    """The gateway's URL, once it is ten minutes old."""
    clock = FastClock()
    async with AsyncExitStack() as stack:
        providers = {
            member: await stack.enter_async_context(FaultProvider(script, pace=1500))
            for _, members in PROFILES.values()
            for member, (_, script) in members.items()
        }
        profiles = {name: served(name, providers, clock) for name in PROFILES}
        gateway = Gateway(Profiles(profiles, default="testlb489"), clock=clock)
        gateway.admin = Admin(KEY, lambda: gateway.profiles, gateway.close)
        server = Server(gateway, listen("127.0.0.1", 0), drain_delay=0, drain_timeout=1)
        ready = asyncio.Event()
        running = asyncio.ensure_future(server.run_until_stopped(ready.set))
        await ready.wait()
        asking = asyncio.ensure_future(ask(server.url))
        await play(profiles, providers)
        try:
            yield server.url
        finally:
            asking.cancel()
            server.stop(delay=False)
            await running


async def play(profiles: dict[str, Served], providers: dict[str, FaultProvider]) -> None:
    began = time.monotonic()
    profiles["summaries"].balancer.act("spare", "drain")
    for second, member, script in TURNS:
        await asyncio.sleep(began + second - time.monotonic())
        providers[member].set_script(script)
    await asyncio.sleep(began + LASTS - time.monotonic())


async def ask(url: str) -> None:
    """Requests at chance intervals, more of them in the middle."""
    chance = random.Random(7)  # noqa: S311 - no secret depends on it
    tasks: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(url) as session:
        while True:
            name = chance.choice(["testlb489", "testlb489", "summaries"])
            task = asyncio.ensure_future(post(session, name))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(chance.expovariate(12))


async def post(session: aiohttp.ClientSession, name: str) -> None:
    body = {"model": name, "stream": True, "messages": [{"role": "user", "content": "What now? " * 40}]}
    with suppress(aiohttp.ClientError):  # the curtain falls
        async with session.post("/v1/chat/completions", json=body) as answer:
            await answer.read()


async def look(browser: Browser, url: str, *, width: int, height: int, dark: bool = False) -> Page:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    page = await context.new_page()
    await page.add_init_script(f"sessionStorage.setItem('understudy.key', '{KEY}')")
    await page.goto(url)
    await page.locator("#stream li").first.wait_for()
    await asyncio.sleep(2.5)
    return page


async def take(folder: Path | None) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("error: there is no chromium\nhint: scripts/services installs it")
    async with async_playwright() as playwright, evening() as url:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = await look(browser, url, width=1160, height=1140)
        await page.locator("#trouble-only").check()
        picture = PICTURE if folder is None else folder / "light.png"
        await page.screenshot(path=picture)
        compress(picture)
        if folder is not None:
            await take_others(browser, url, page, folder)
        await browser.close()


def compress(picture: Path) -> None:
    """As many colours as a page has, which is a third of the bytes."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(256).save(picture, optimize=True)


async def take_others(browser: Browser, url: str, page: Page, folder: Path) -> None:
    await page.locator("#stream li.failed-over summary").first.click()
    await page.get_by_role("button", name="synthetic").first.click()
    await asyncio.sleep(1.5)
    await page.screenshot(path=folder / "opened.png", full_page=True)
    await page.get_by_role("button", name="Drain").first.click()
    await page.screenshot(path=folder / "dialog.png")
    dark = await look(browser, url, width=1240, height=1000, dark=True)
    await dark.screenshot(path=folder / "dark.png")
    phone = await look(browser, url, width=360, height=740)
    await phone.screenshot(path=folder / "phone.png", full_page=True)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
