"""``understudy top``: what keeps it from showing anything, and real terminals where it shows something."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pexpect

from tests.cli.command_line import Run
from tests.cli.test_serve import without
from tests.gateway.house import KEY
from tests.tui.running import running
from understudy.cli.top_demo import ACTS, MEMBERS, gateway

ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


@contextmanager
def terminal(*arguments: str, **environ: str) -> Iterator[pexpect.spawn[str]]:
    """The command on a terminal of its own."""
    process = pexpect.spawn(
        sys.executable,
        ["-m", "understudy", "top", *arguments],
        dimensions=(30, 120),
        env={**os.environ, "TERM": "xterm-256color", "UNDERSTUDY_KEY": "", **environ},
        encoding="utf-8",
        timeout=20,
    )
    try:
        yield process
    finally:
        process.close(force=True)


def test_a_running_gateway_is_watched_until_somebody_leaves() -> None:
    with running("500; fine", keys=f"alice={KEY}", failover_retry_count=1) as made:
        made.ask("one")
        with terminal(made.url, UNDERSTUDY_KEY=KEY) as process:
            process.expect_exact(ENTER_SCREEN)
            process.expect("evening")
            process.expect("second")
            made.ask("two")
            process.expect("answered in")
            process.send("q")
            process.expect_exact(LEAVE_SCREEN)
            process.expect(pexpect.EOF)
            process.close()
            assert process.exitstatus == 0


def test_the_demo_needs_nothing_and_ends_on_a_signal() -> None:
    with terminal("--demo", http_proxy="http://127.0.0.1:9") as process:
        process.expect("matinee")
        process.expect("answered in")
        process.kill(signal.SIGTERM)
        process.expect_exact(LEAVE_SCREEN)
        process.expect(pexpect.EOF)
        process.close()
        assert process.exitstatus == 143


def test_no_gateway_is_said_before_the_screen_is_taken() -> None:
    with terminal("127.0.0.1:9") as process:
        process.expect("error: no gateway answers at http://127.0.0.1:9: connection refused")
        process.expect("hint: `understudy serve` starts one")
        process.expect(pexpect.EOF)
        assert ENTER_SCREEN not in (process.before or "")
        process.close()
        assert process.exitstatus == 1


def test_a_wrong_key_is_said_before_the_screen_is_taken() -> None:
    with running(keys=f"alice={KEY}") as made, terminal(made.url, "--key", "sk-of-nobody") as process:
        process.expect("error: this key is not known here")
        process.expect(pexpect.EOF)
        process.close()
        assert process.exitstatus == 1


def test_without_a_terminal_it_says_what_to_use_instead(run: Run) -> None:
    status, out, err = run("top")
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "error: top needs a terminal",
        "hint: `understudy stats` prints the figures once",
    ]


def test_without_textual_it_says_what_to_install() -> None:
    told = subprocess.run([*without("textual"), "top", "--demo"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        "error: top needs textual, which is not installed",
        "hint: pip install 'understudy[top]'",
    ]


async def test_in_the_demo_backends_misbehave_and_requests_are_answered() -> None:
    async with gateway(act_seconds=1.0, ask_seconds=0.05, rng=Random(4)) as remote:
        async with asyncio.timeout(60):
            while not _is_lively(json.loads(await remote.get("/stats"))["profiles"]):
                await asyncio.sleep(0.1)


def _is_lively(profiles: dict[str, Any]) -> bool:
    evening, matinee = profiles["evening"], profiles["matinee"]
    kinds = {kind for backend in evening["backends"].values() for kind in backend["by_kind"]}
    is_bad = {"server_error", "truncated", "rate_limited"} <= kinds
    return is_bad and evening["failed_over"] > 0 and evening["recovered"] > 0 and matinee["answered"] > 0


def test_every_act_is_some_members() -> None:
    assert {name for name, _ in ACTS} <= set(MEMBERS)
