"""The session: lines in, answers out."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.builders import Typed, context, home
from tests.e2e.servers import Peer, serve
from understudy.cli import repl
from understudy.cli.commands.command import Context
from understudy.cli.repl import Repl
from understudy.config.profile import StandardProfile
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError
from understudy.faults import TEXT, FaultProvider

Capture = pytest.CaptureFixture[str]


def first_to_last(context: Context) -> list[str]:
    """What a backend was sent, as roles and texts."""
    return [f"{message['role']}: {message['content'][:20]}" for message in context.session.messages]


class TestPrompt:
    async def test_its_answer_is_printed_and_joins_the_conversation(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        async with FaultProvider() as provider:
            held = context(home(tmp_path, provider.base_url), Typed("  hello  ", "", " \t", "again"))
            status = await Repl(held).hold("pair")

            assert status == 0
            assert capsys.readouterr() == (f"{TEXT}\n{TEXT}\n", "")
            sizes = [request.prompt_size for request in provider.requests]
            assert sizes == [len("hello"), len("hello") + len(TEXT) + len("again")]
            assert held.session.status == "lb:pair:first:model-of-first"

    async def test_two_slashes_begin_one(self, tmp_path: Path) -> None:
        async with FaultProvider() as provider:
            held = context(home(tmp_path, provider.base_url), Typed("//why?"))
            await Repl(held).hold("pair")

            assert held.session.messages[0]["content"] == "//why?"

    async def test_the_draft_answers_where_no_load_balancer_does(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        async with FaultProvider() as provider:
            lines = ("/provider openai", "/model m", f"/baseurl {provider.base_url}", "hello", "/stats lb")
            held = context(ProfileStore(tmp_path), Typed(*lines))
            assert await Repl(held).hold(None) == 0

        assert capsys.readouterr().out.splitlines()[-2:] == [
            TEXT,
            "No load balancer profile active. Use /profile load to activate a load balancer profile.",
        ]

    async def test_without_a_profile_it_is_told_what_to_do_in_one_line(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        assert await Repl(context(ProfileStore(tmp_path), Typed("hello"))).hold(None) == 1

        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert "/profile load" in err
        assert "understudy demo" in err

    async def test_a_refusal_is_what_the_model_says_too(self, tmp_path: Path, capsys: Capture) -> None:
        async def refuse(peer: Peer) -> None:
            await peer.request()
            deltas = [{"refusal": "I would "}, {"refusal": "rather not."}]
            events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
            events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body.encode())

        async with serve(refuse) as server:
            held = context(home(tmp_path, server.url), Typed("hello"))
            assert await Repl(held).hold("pair") == 0

        assert capsys.readouterr().out == "I would rather not.\n"
        assert held.session.messages[1]["content"] == "I would rather not."

    async def test_of_several_choices_the_first_is_shown(self, tmp_path: Path, capsys: Capture) -> None:
        async with FaultProvider() as provider:
            store = home(tmp_path)
            settings = {"base-url": provider.base_url}
            store.save(StandardProfile("first", "openai", "m", {"n": 2}, settings))
            await Repl(context(store, Typed("hello"))).hold("first")

        assert capsys.readouterr().out == f"{TEXT}\n"


class TestFailure:
    async def test_it_is_told_and_the_session_goes_on_but_its_status_is_1(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        async with FaultProvider("401; fine") as one, FaultProvider("401; fine") as two:
            store = home(tmp_path, one.base_url, two.base_url)
            held = context(store, Typed("hello", "/nonsense", "/why", "again"))
            assert await Repl(held).hold("pair") == 1

        out, err = capsys.readouterr()
        decision, first = out.splitlines()[:2]
        assert decision == "first: auth (401) → second: auth (401)"
        assert first.startswith("1. first, attempt 1: failed after ")
        assert out.splitlines()[-1] == TEXT
        assert err.startswith("error: All backends failed\n  first: auth (401 Unauthorized")
        assert 'error: unknown command "/nonsense"\n' in err
        assert first_to_last(held) == ["user: again", f"assistant: {TEXT[:20]}"]

    async def test_after_half_an_answer_the_error_begins_its_own_line(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        async with FaultProvider("cut after=3") as provider:
            held = context(home(tmp_path, provider.base_url), Typed("hello"))
            assert await Repl(held).hold("pair") == 1

        out, err = capsys.readouterr()
        assert out == "The show goes\n"
        assert err.startswith("error: first broke off after its first content")
        assert held.session.messages == []

    async def test_a_line_that_cant_be_read_is_one_that_failed(self, tmp_path: Path, capsys: Capture) -> None:
        class Garbled(Typed):
            async def line(self) -> str:
                line = await super().line()
                if line == "garbled":
                    raise ConfigurationError("line 1 of stdin is not UTF-8")
                return line

        assert await Repl(context(home(tmp_path), Garbled("garbled", "/why"))).hold(None) == 1

        assert capsys.readouterr() == (
            "nothing has been asked yet\n",
            "error: line 1 of stdin is not UTF-8\n",
        )

    async def test_a_bug_is_told_too_and_logged_with_its_traceback(
        self, tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
    ) -> None:
        held = context(home(tmp_path), Typed("/key", "/why"))  # it has no hidden line to give: IndexError
        caplog.set_level(logging.DEBUG, "understudy.cli.repl")
        assert await Repl(held).hold(None) == 1

        out, err = capsys.readouterr()
        assert "error: a bug of Understudy: IndexError" in err
        assert out == "nothing has been asked yet\n"
        assert caplog.records[0].exc_info is not None

    async def test_a_stdout_that_nobody_reads_ends_the_session(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(text: str) -> None:
            raise BrokenPipeError

        held = context(home(tmp_path), Typed("/why", "/why"))
        monkeypatch.setattr(held.screen, "say", refuse, raising=False)
        with pytest.raises(BrokenPipeError):
            await Repl(held).hold(None)

    async def test_on_a_terminal_the_status_is_0_whatever_failed(self, tmp_path: Path) -> None:
        assert await Repl(context(home(tmp_path), Typed("/nonsense"), terminal=True)).hold(None) == 0


class TestBeginning:
    async def test_a_profile_that_was_asked_for_has_to_load(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match='no profile named "pear"'):
            await Repl(context(home(tmp_path), Typed("/why"))).hold("pear")

    async def test_else_the_default_one_is_loaded(self, tmp_path: Path) -> None:
        store = home(tmp_path)
        store.set_default("pair")
        held = context(store)
        assert await Repl(held).hold(None) == 0

        assert held.session.status.startswith("lb:pair:")

    async def test_a_default_that_is_broken_can_be_mended_in_the_session(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        store = home(tmp_path)
        store.set_default("pair")
        (store.folder / "pair.json").write_text("{")
        assert await Repl(context(store, Typed("/profile load first"))).hold(None) == 1

        out, err = capsys.readouterr()
        assert "pair.json: not JSON" in err
        assert out == "loaded first: openai, model-of-first\n"

    async def test_warnings_of_the_profile_are_told(self, tmp_path: Path, capsys: Capture) -> None:
        store = home(tmp_path)
        store.save(StandardProfile("first", "openai", "m"))
        await Repl(context(store)).hold("pair")

        assert capsys.readouterr().err.startswith("warning: first is skipped (no_key)")

    async def test_on_a_terminal_it_says_how_to_find_help(self, tmp_path: Path, capsys: Capture) -> None:
        await Repl(context(home(tmp_path), terminal=True)).hold(None)

        assert "/help lists the commands, Ctrl-D ends the session" in capsys.readouterr().err


class TestEnd:
    async def test_quit_ends_it_and_later_lines_are_not_read(self, tmp_path: Path) -> None:
        reader = Typed("/quit", "/why")
        assert await Repl(context(home(tmp_path), reader)).hold(None) == 0

        assert await reader.line() == "/why"

    async def test_every_connection_is_closed(self, tmp_path: Path) -> None:
        async with FaultProvider() as provider:
            await Repl(context(home(tmp_path, provider.base_url), Typed("hello"))).hold("pair")
            await provider.wait_for_connections(0)


class TestFailoverNote:
    async def test_on_a_terminal_it_is_said_who_stepped_in(self, tmp_path: Path, capsys: Capture) -> None:
        async with FaultProvider("401; fine") as one, FaultProvider() as two:
            store = home(tmp_path, one.base_url, two.base_url)
            await Repl(context(store, Typed("hello", "again"), terminal=True)).hold("pair")

        err = capsys.readouterr().err
        assert err.count("answered by") == 1
        assert "answered by second (model-of-second) after first failed: auth" in err


class TestInterrupt:
    """Ctrl-C as the terminal sends it: SIGINT to this process."""

    class Person(Typed):
        """Does something before each line."""

        def __init__(self, *steps: tuple[Callable[[], Awaitable[object]], str]) -> None:
            super().__init__(*(line for _, line in steps))
            self._steps = [step for step, _ in steps]

        async def line(self) -> str:
            if self._steps:
                await self._steps.pop(0)()
            return await super().line()

    async def test_it_cancels_the_answer_and_the_session_goes_on(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        async with FaultProvider("stall after=3; fine") as provider:
            held = context(home(tmp_path, provider.base_url), Typed("hello", "/why", "again"), terminal=True)
            session = asyncio.ensure_future(Repl(held).hold("pair"))
            (request, *_) = await provider.wait_for_requests(1)
            while "goes" not in (printed := capsys.readouterr().out):
                await asyncio.sleep(0)
            signal.raise_signal(signal.SIGINT)
            assert await session == 0
            await provider.wait_closed(request, timeout=1)

        out, err = capsys.readouterr()
        shown = printed + out
        assert "goes\n1. first, attempt 1: cancelled after " in shown
        assert shown.endswith(f"{TEXT}\n")
        assert "cancelled\n" in err
        assert first_to_last(held) == ["user: again", f"assistant: {TEXT[:20]}"]

    async def test_between_lines_it_does_nothing(self, tmp_path: Path, capsys: Capture) -> None:
        async def interrupt() -> None:
            signal.raise_signal(signal.SIGINT)
            for _ in range(3):
                await asyncio.sleep(0)

        held = context(home(tmp_path), self.Person((interrupt, "/why")), terminal=True)
        assert await Repl(held).hold(None) == 0

        assert capsys.readouterr().out == "nothing has been asked yet\n"

    async def test_a_session_that_is_cancelled_itself_ends(self, tmp_path: Path) -> None:
        async with FaultProvider("silence") as provider:
            held = context(home(tmp_path, provider.base_url), Typed("hello", "/why"), terminal=True)
            session = asyncio.ensure_future(Repl(held).hold("pair"))
            (request, *_) = await provider.wait_for_requests(1)
            session.cancel()
            with pytest.raises(asyncio.CancelledError):
                await session
            await provider.wait_closed(request, timeout=1)


class TestRun:
    """The way in, with a stdin that is no terminal."""

    def test_it_reads_stdin_and_returns_the_exit_status(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
    ) -> None:
        home(tmp_path)
        stdin = io.TextIOWrapper(io.BytesIO(b"/set timeout_ms\n/stats lb\n"), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stdin)
        environ = {"UNDERSTUDY_HOME": str(tmp_path)}
        status = repl.run("pair", settings={"timeout_ms": "5"}, plain=True, environ=environ)

        assert status == 0
        out = capsys.readouterr().out
        assert out.startswith("timeout_ms = 5 (--set)\n")
        assert "Profile: pair\n" in out

    @pytest.mark.parametrize(
        ("stdin", "stdout", "stderr", "watched"),
        [
            (True, True, True, True),
            (True, False, True, True),
            (True, True, False, True),
            (True, False, False, False),
            (False, True, True, False),
        ],
    )
    def test_a_person_has_to_type_and_to_see_it(
        self, stdin: bool, stdout: bool, stderr: bool, watched: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: stdin)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr)

        assert repl.is_watched() is watched
