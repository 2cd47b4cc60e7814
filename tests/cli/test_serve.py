"""``understudy serve``: what it refuses, what it says, and how it ends. Real processes where one serves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import Run
from tests.cli.local_provider import Home, provider
from understudy.faults import TEXT

MODULE = (sys.executable, "-m", "understudy")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNDERSTUDY_KEYS", "UNDERSTUDY_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def evening(home: Home) -> Iterator[Home]:
    """A profile over two members that are well."""
    with provider() as made:
        for name in "ab":
            home.backend(name, made.base_url)
        home.pool("evening", "a", "b")
        yield home


class Served:
    """A process that serves, and what it printed."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def get(self, path: str, key: str | None = None, body: Any = None, method: str | None = None) -> Any:
        """The JSON of an answer, whatever its status."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def chat(self, key: str | None = None, model: str = "evening") -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        return self.get("/v1/chat/completions", key, {"model": model, "messages": messages})

    def end(self, told: signal.Signals = signal.SIGINT) -> tuple[str, str]:
        """What else it said on stdout and stderr, once it has left with status 0."""
        self.process.send_signal(told)
        out, err = self.process.communicate(timeout=15)
        assert self.process.returncode == 0, err
        return out, err


@contextmanager
def serving(*arguments: str, start: Sequence[str] = MODULE, **environ: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*start, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        assert process.stdout is not None
        yield Served(process, process.stdout.readline().strip())
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()


def without(*modules: str) -> tuple[str, ...]:
    """How to start the command line where these cannot be imported."""
    program = f"""
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {modules!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Blocker())
        from understudy.cli.process import run

        raise SystemExit(run(sys.argv[1:]))
    """
    return (sys.executable, "-c", textwrap.dedent(program))


# Rule 2: who may ask


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "0", "127.1"])
def test_an_address_that_others_reach_needs_keys(run: Run, evening: Home, host: str) -> None:
    status, out, err = run("serve", "--host", host)
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        f"error: {host} can be reached by others, and there are no client keys",
        "hint: set UNDERSTUDY_KEYS='NAME=KEY' or --keyfile, or say --allow-unauthenticated",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "::1"])
def test_on_loopback_nobody_needs_one(evening: Home, host: str) -> None:
    with serving("--host", host) as served:
        assert served.chat()["choices"][0]["message"]["content"] == TEXT
        served.end()


def test_with_keys_others_may_be_let_in(evening: Home) -> None:
    with serving("--host", "0.0.0.0", UNDERSTUDY_KEYS="alice=key-of-alice") as served:
        assert served.chat()["error"]["code"] == "missing_api_key"
        assert served.chat("key-of-alice")["choices"][0]["message"]["content"] == TEXT
        served.end()


def test_a_keyfile_comes_before_the_variable(evening: Home, tmp_path: Path) -> None:
    keyfile = tmp_path / "keys"
    keyfile.write_text("bob=key-of-bob\n")
    with serving(
        "--host", "0.0.0.0", "--keyfile", str(keyfile), UNDERSTUDY_KEYS="alice=key-of-alice"
    ) as served:
        assert served.chat("key-of-alice")["error"]["code"] == "invalid_api_key"
        assert served.chat("key-of-bob")["choices"]
        served.end()


def test_whoever_says_so_does_without(evening: Home) -> None:
    with serving("--host", "0.0.0.0", "--allow-unauthenticated") as served:
        assert served.chat()["choices"]
        served.end()


def test_keys_that_cannot_be_read_are_a_configuration_error(
    run: Run, evening: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_KEYS", "sk-a-bare-key")
    status, _, err = run("serve")
    assert status == 2
    assert "sk-a-bare-key" not in err


# What keeps it from serving


def test_a_port_that_is_taken_is_one_line_and_a_hint(run: Run, evening: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = run("serve", "--port", str(port))
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use",
        "hint: --port and --host choose another address",
    ]


def test_no_profile_to_serve_is_a_configuration_error(run: Run, home: Home) -> None:
    status, out, err = run("serve", "--port", "0")
    assert (status, out) == (2, "")
    error, hint = err.splitlines()
    assert error.startswith("error: no load-balancer profile in ")
    assert hint.startswith("hint: --profile-load NAME says which and why not")


def test_so_is_a_state_url_of_another_kind(run: Run, evening: Home) -> None:
    status, out, err = run("serve", "--port", "0", "--state", "http://:secret@localhost")
    assert (status, out) == (2, "")
    error, hint = err.splitlines()
    assert error.startswith("error: the state URL has to begin with one of redis://")
    assert hint == "hint: for example redis://localhost:6379/0"
    assert "secret" not in err


def test_so_is_a_profile_that_is_not_there(run: Run, evening: Home) -> None:
    status, out, err = run("serve", "--port", "0", "--profile-load", "evenin")
    assert (status, out) == (2, "")
    assert "hint: did you mean evening?" in err


def test_so_is_an_alias_to_nobody(run: Run, evening: Home) -> None:
    status, out, err = run("serve", "--port", "0", "--alias", "gpt-4o=nobody")
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "error: the alias gpt-4o stands for nobody, which is not served",
        "hint: served are evening",
    ]


@pytest.mark.parametrize(
    "arguments", [("--alias", "gpt-4o"), ("--set", "timout_ms=5"), ("--max-concurrent", "0")]
)
def test_so_is_an_option_that_makes_no_sense(run: Run, evening: Home, arguments: tuple[str, ...]) -> None:
    status, out, err = run("serve", "--port", "0", *arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("module", ["uvicorn", "httptools"])
def test_without_the_servers_packages_it_says_what_to_install(evening: Home, module: str) -> None:
    run = subprocess.run(
        [*without(module), "serve", "--port", "0"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"error: the gateway needs {module}, which is not installed",
        "hint: pip install 'understudy[gateway]'",
    ]


# Rule 1, and how it runs


def test_the_url_is_on_stdout_alone_and_everything_else_on_stderr(evening: Home) -> None:
    evening.pool("useless", "x", "y")
    with serving() as served:
        assert served.url.startswith("http://127.0.0.1:")
        assert not served.url.endswith(":0")
        assert served.chat()["choices"]
        out, err = served.end()
    assert out == ""
    (line,) = err.splitlines()
    assert "WARNING understudy.gateway: useless is not served" in line


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_nothing_to_say(evening: Home, told: signal.Signals) -> None:
    with serving("--drain-delay", "0") as served:
        assert served.get("/health/readiness") == {"status": "ready"}
        assert served.end(told) == ("", "")


def test_where_nobody_reads_stdout_it_leaves_as_any_program_does(evening: Home) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-W", "error", "-m", "understudy", "serve", "--port", "0"]
        run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False)
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (141, b"")


def test_it_runs_from_an_installed_entry_point(evening: Home) -> None:
    script = Path(sysconfig.get_path("scripts")) / "understudy"
    with serving(start=[str(script)]) as served:
        assert served.chat()["choices"]
        assert served.end() == ("", "")


def test_it_runs_without_the_faster_loop(evening: Home) -> None:
    with serving(start=without("uvloop")) as served:
        assert served.chat()["choices"]
        assert served.end() == ("", "")


def test_options_reach_what_they_are_for(evening: Home) -> None:
    evening.pool("morning", "b", "a")
    arguments = ("--profile-load", "morning", "--profile-load", "evening", "--alias", "gpt-*=evening")
    with serving(*arguments, "--set", "timeout_ms=4321", UNDERSTUDY_ADMIN_KEY=" admin ") as served:
        assert [row["id"] for row in served.get("/v1/models")["data"]] == ["morning", "evening"]
        assert served.get("/admin/reload", "admin", {}, "POST") == {"profiles": ["morning", "evening"]}
        settings = served.get("/admin/profiles/evening/settings", "admin")
        assert settings["timeout_ms"] == {"value": 4321, "source": "--set"}
        for model in ("evening", "gpt-4o"):
            assert served.chat(model=model)["model"] == "m"
        assert served.chat(model="whatever")["choices"], "the first profile is the default"
        stats = served.get("/stats")["profiles"]
        assert (stats["evening"]["answered"], stats["morning"]["answered"]) == (2, 1)
        served.end()


def test_without_an_admin_key_there_is_no_operator(evening: Home) -> None:
    with serving(UNDERSTUDY_ADMIN_KEY=" ") as served:
        assert served.get("/admin/profiles/evening/settings", "")["error"]["code"] == "not_found"
        served.end()


def test_the_other_transport_serves_too(evening: Home) -> None:
    with serving("--transport", "pyreqwest") as served:
        assert served.chat()["choices"]
        assert served.end() == ("", "")


# Several workers


def test_what_is_wrong_is_said_once_however_many_workers_there_are_to_be(run: Run, evening: Home) -> None:
    status, out, err = run("serve", "--port", "0", "--workers", "3", "--profile-load", "evenin")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 2
    assert "hint: did you mean evening?" in err


def test_so_are_warnings(evening: Home) -> None:
    evening.pool("useless", "x", "y")
    with serving("--workers", "2") as served:
        assert served.chat()["choices"]
        out, err = served.end()
    assert out == ""
    (line,) = err.splitlines()
    assert "WARNING understudy.gateway: useless is not served" in line


def test_a_ceiling_that_cannot_be_divided_is_a_configuration_error(run: Run, evening: Home) -> None:
    for options, where in [(("--set", "rpm_limit=2"), "--set"), ((), "evening")]:
        if not options:
            evening.pool("evening", "a", "b", rpm_limit=2)
        status, out, err = run("serve", "--port", "0", "--workers", "3", *options)
        assert (status, out) == (2, "")
        error, hint = err.splitlines()
        assert error == f"error: {where}: rpm_limit 2 can't be divided among 3 workers"
        assert "--state redis://" in hint


def test_nor_can_a_place_for_one_request_be(run: Run, evening: Home) -> None:
    status, out, err = run("serve", "--port", "0", "--workers", "3", "--max-concurrent", "2")
    assert (status, out) == (2, "")
    assert "--max-concurrent 2 can't be divided among 3 workers" in err


def test_where_nobody_reads_stdout_no_worker_stays(evening: Home) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "understudy",
            "serve",
            "--port",
            "0",
            "--workers",
            "2",
        ]
        run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False)
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (141, b"")


def test_workers_run_without_the_faster_loop_and_in_a_folder_with_a_long_name(
    evening: Home, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with serving("--workers", "2", start=without("uvloop"), TMPDIR=str(folder)) as served:
        assert served.chat()["choices"]
        assert served.get("/stats")["profiles"]["evening"]["answered"] == 1
        assert list(folder.iterdir()) == []
        assert served.end() == ("", "")


def test_a_worker_that_cannot_begin_ends_all_with_its_status(evening: Home) -> None:
    program = """
        import asyncio, os, sys
        from understudy.gateway import server

        async def fail(self, ready):
            os.{how}

        server.Server.run_until_stopped = fail
        from understudy.cli.process import run

        raise SystemExit(run(sys.argv[1:]))
    """
    for how, status, said in [
        ("_exit(7)", 7, ""),
        ("kill(os.getpid(), 9)", 1, "error: worker 1 was killed by SIGKILL before it was ready\n"),
    ]:
        command = [sys.executable, "-c", textwrap.dedent(program.format(how=how))]
        run = subprocess.run(
            [*command, "serve", "--port", "0", "--workers", "2"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert (run.returncode, run.stdout) == (status, "")
        assert run.stderr.replace("worker 2", "worker 1") == said
