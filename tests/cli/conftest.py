"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command_line import Run
from tests.cli.local_provider import Home
from understudy.cli import process


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty configuration folder, and an environment without keys or wishes about logging."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    for name in ("UNDERSTUDY_DEBUG", "NO_COLOR", "GROQ_API_KEY", "SYNTHETIC_API_KEY", "CHUTES_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process: status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = process.run(arguments)
        return status, *capsys.readouterr()

    return run
