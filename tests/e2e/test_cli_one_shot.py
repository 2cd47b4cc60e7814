"""The command line as a real process: pipes, signals, encodings, exit statuses."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pexpect
import pytest

from understudy.faults import TEXT, FaultProvider

PROGRAM = (sys.executable, "-m", "understudy")
ASK = ("--profile-load", "p", "--prompt", "hello")


@pytest.fixture
async def upstream() -> AsyncIterator[FaultProvider]:
    async with FaultProvider(
        models={"late": "silence", "slow": "drip every=0.05s", "cut": "cut after=20"}
    ) as it:
        yield it


class Stage:
    """Starts processes whose profile ``p`` leads to the provider."""

    def __init__(self, home: Path, upstream: FaultProvider) -> None:
        self.home = home
        self.upstream = upstream
        self.environ = {**os.environ, "UNDERSTUDY_HOME": str(home)}
        for name in ("UNDERSTUDY_DEBUG", "http_proxy", "HTTP_PROXY", "PYTHONUNBUFFERED"):
            self.environ.pop(name, None)

    def model(self, name: str) -> None:
        folder = self.home / "profiles"
        folder.mkdir(exist_ok=True)
        settings = {"base-url": self.upstream.base_url}
        document = {"provider": "openai", "model": name, "ephemeralSettings": settings}
        (folder / "p.json").write_text(json.dumps(document))

    async def start(self, *arguments: str, **options: Any) -> Process:
        streams = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, **options}
        return await asyncio.create_subprocess_exec(
            *PROGRAM, *arguments, env={**self.environ, **streams.pop("env", {})}, **streams
        )

    async def run(self, *arguments: str, given: bytes = b"", **options: Any) -> tuple[int | None, bytes, str]:
        """Status, stdout, stderr."""
        process = await self.start(*arguments, **options)
        out, err = await asyncio.wait_for(process.communicate(given), 20)
        return process.returncode, out or b"", (err or b"").decode()


@pytest.fixture
def stage(tmp_path: Path, upstream: FaultProvider) -> Stage:
    made = Stage(tmp_path, upstream)
    made.model("fine-model")
    return made


async def until_asked(stage: Stage) -> Any:
    return (await stage.upstream.wait_for_requests(1, 15))[0]


async def test_the_answer_is_on_stdout_and_nothing_anywhere_else(stage: Stage) -> None:
    assert await stage.run(*ASK) == (0, TEXT.encode(), "")


async def test_the_prompt_comes_through_a_pipe(stage: Stage) -> None:
    status, out, _ = await stage.run("--profile-load", "p", "--prompt", "-", given="Grüße\n".encode())
    assert (status, out) == (0, TEXT.encode())
    assert stage.upstream.requests[0].body["messages"][0]["content"] == "Grüße"


@pytest.mark.parametrize(
    ("given", "words"), [(b"", "the prompt is empty"), (b"caf\xe9", "not UTF-8"), (b" \n", "empty")]
)
async def test_a_prompt_that_is_none_ends_in_status_2(given: bytes, words: str, stage: Stage) -> None:
    status, out, err = await stage.run("--profile-load", "p", "--prompt", "-", given=given)
    assert (status, out) == (2, b"")
    assert err.startswith("error: ")
    assert words in err
    assert stage.upstream.requests == []


async def test_a_stdout_that_cannot_show_a_character_gets_the_rest(stage: Stage) -> None:
    status, out, err = await stage.run(*ASK, env={"PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert out.decode("ascii") == TEXT.encode("ascii", "replace").decode()
    status, out, err = await stage.run(*ASK, "--json", env={"PYTHONIOENCODING": "latin-1"})
    assert (status, err) == (0, "")
    assert json.loads(out)["answer"] == TEXT


async def test_a_reader_that_leaves_ends_it_in_silence_and_the_backend_sees_it(stage: Stage) -> None:
    stage.model("slow")
    process = await stage.start(*ASK)
    assert process.stdout is not None
    assert await process.stdout.read(3) == b"The"
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    left = monotonic()
    assert await asyncio.wait_for(process.wait(), 5) == 141
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert await stage.upstream.wait_closed(stage.upstream.requests[0]) - left < 1


async def test_a_reader_that_leaves_before_the_first_word_is_noticed_too(stage: Stage) -> None:
    stage.model("late")
    process = await stage.start(*ASK)
    request = await until_asked(stage)
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    left = monotonic()
    assert await asyncio.wait_for(process.wait(), 5) == 141
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert await stage.upstream.wait_closed(request) - left < 1


@pytest.mark.parametrize("arguments", [["--help"], ["profile", "list"]])
async def test_a_reader_that_never_was_is_silence_for_every_command(
    arguments: list[str], stage: Stage
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        assert await stage.run(*arguments, stdout=stdout) == (141, b"", "")


@pytest.mark.parametrize("closed", ["1", "2", "0"])
async def test_a_stream_that_was_closed_from_the_start_is_no_crash(closed: str, stage: Stage) -> None:
    command = f'exec "$@" {closed}>&-'
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, "sh", *PROGRAM, *ASK, env=stage.environ, stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    expected = (141, b"") if closed == "1" else (0, TEXT.encode())
    assert (process.returncode, out, err) == (*expected, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
async def test_a_full_disk_is_one_line(stage: Stage) -> None:
    with open("/dev/full", "wb") as full:
        status, _, err = await stage.run(*ASK, stdout=full)
    assert (status, err) == (1, "error: no space left on device\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("model", ["late", "slow"])
async def test_a_signal_closes_the_backends_connection_and_ends_it(
    model: str, number: signal.Signals, status: int, stage: Stage
) -> None:
    stage.model(model)
    process = await stage.start(*ASK)
    request = await until_asked(stage)
    if model == "slow":
        assert process.stdout is not None
        await process.stdout.read(1)
    process.send_signal(number)
    left = monotonic()
    _, err = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, err) == (status, b"")
    assert await stage.upstream.wait_closed(request) - left < 1


async def test_half_an_answer_stays_on_stdout_and_the_reason_is_on_stderr(stage: Stage) -> None:
    stage.model("cut")
    status, out, err = await stage.run(*ASK, "--set", "stream_recovery=off")
    assert status == 1
    assert out
    assert TEXT.encode().startswith(out)
    assert err.startswith("error: p broke off after its first content")
    status, both, _ = await stage.run(*ASK, "--set", "stream_recovery=off", stderr=subprocess.STDOUT)
    assert status == 1
    assert both.startswith(out + b"\nerror: p broke off")


async def test_log_lines_are_on_stderr(stage: Stage) -> None:
    status, out, err = await stage.run(*ASK, env={"UNDERSTUDY_DEBUG": "understudy:*"})
    assert (status, out) == (0, TEXT.encode())
    assert "[LB:failover] Trying backend: p (attempt 1/2)" in err
    assert "[LB:failover] Success on backend: p" in err


def test_on_a_terminal_the_answer_ends_its_line_and_an_interrupt_too(tmp_path: Path) -> None:
    async def played() -> None:
        async with FaultProvider(models={"slow": "drip every=0.05s"}) as upstream:
            stage = Stage(tmp_path, upstream)
            stage.model("fine-model")
            assert await asyncio.to_thread(on_terminal, stage, None) == (0, f"{TEXT}\r\n")
            stage.model("slow")
            status, text = await asyncio.to_thread(on_terminal, stage, "show")
            assert status == 130
            assert text.startswith("The show")
            assert text.replace("^C", "").endswith("\r\n")

    asyncio.run(played())


def on_terminal(stage: Stage, until: str | None) -> tuple[int | None, str]:
    """Status and everything that was shown; interrupted once `until` is."""
    program, *arguments = PROGRAM
    child = pexpect.spawn(
        program, [*arguments, *ASK], env={**stage.environ, "TERM": "xterm"}, encoding="utf-8", timeout=20,
        dimensions=(24, 400),
    )  # fmt: skip
    heard = io.StringIO()
    child.logfile_read = heard
    if until is not None:
        child.expect(until)
        child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, heard.getvalue()


def test_the_version_costs_no_more_than_six_bare_starts() -> None:
    """The best of alternating starts; without coverage, which would be measured too."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}

    def seconds(*arguments: str) -> float:
        began = monotonic()
        subprocess.run([sys.executable, *arguments], check=True, env=environ, stdout=subprocess.DEVNULL)
        return monotonic() - began

    seconds("-m", "understudy", "--version")  # compiled once
    pairs = [(seconds("-c", "pass"), seconds("-m", "understudy", "--version")) for _ in range(11)]
    assert min(ours for _, ours in pairs) <= 6 * min(bare for bare, _ in pairs)


def test_the_version_loads_nothing_heavy() -> None:
    heavy = {"aiohttp", "asyncio", "rich", "prompt_toolkit", "msgspec", "logging", "yarl", "pyreqwest"}
    program = (
        "import sys; sys.argv = ['understudy', '--version']\n"
        "from understudy.__main__ import main\n"
        "try: main()\n"
        f"except SystemExit: print(sorted({heavy!r} & set(sys.modules)))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    found = subprocess.run([sys.executable, "-c", program], check=True, env=environ, stdout=PIPE, text=True)
    assert found.stdout.splitlines()[1] == "[]"
