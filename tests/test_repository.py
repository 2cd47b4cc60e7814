"""What holds for the repository as a whole: its scripts, pins, contracts and papers."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = (ROOT / "requirements-dev.txt").read_text()
COMMANDS = [
    ROOT / ".ci" / "run",
    *(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix),
]
SCRIPTS = [*COMMANDS, ROOT / "scripts" / "lib.sh"]
PAPERS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Scripts


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_a_command_is_executable_and_says_what_it_does(path: Path) -> None:
    assert os.access(path, os.X_OK)
    shebang, purpose = path.read_text().splitlines()[:2]
    assert shebang == "#!/usr/bin/env bash"
    assert purpose.startswith("# ")


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_is_proper_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)


FAKE_PYTHON = """#!/bin/bash
# Answers the questions the scripts ask of an interpreter, and notes what it is told to do.
case "$*" in
*version_info*sys.exit* | *sys.exit*version_info*) exit {too_old} ;;
*"import ensurepip"*) exit {no_venv} ;;
*"print(*sys.version_info"*) echo 3 {minor} ;;
*"pip --version"*) ;;
*"-m venv"*) echo "$*" >>"{log}" && mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" ;;
*) echo "$*" >>"{log}" && exit {broken} ;;
esac
"""


class Clone:
    """A copy of the scripts in a folder of its own, with an interpreter that only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.log = folder / "log"
        self.python = folder / "python3"
        (self.root / "scripts").mkdir(parents=True)
        for path in (
            "scripts/lib.sh",
            "scripts/services",
            "scripts/test",
            "pyproject.toml",
            "requirements-dev.txt",
        ):
            shutil.copy(ROOT / path, self.root / path)
        self.interpreter()

    def interpreter(self, **traits: int) -> None:
        flawless = {"too_old": 0, "no_venv": 0, "broken": 0, "minor": 11}
        self.python.write_text(FAKE_PYTHON.format(**{**flawless, **traits}, log=self.log))
        self.python.chmod(0o755)

    def run(self, *arguments: str, script: Path | None = None, cwd: str = "/", **more: str) -> Any:
        inherited = {
            name: value for name, value in os.environ.items() if name not in {"UNDERSTUDY_VENV", "PYTHON"}
        }
        return subprocess.run(
            [str(script or self.root / "scripts" / "test"), *arguments],
            cwd=cwd,
            env={**inherited, "PYTHON": str(self.python), **more},
            capture_output=True,
            text=True,
        )

    @property
    def notes(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


INSTALL = "-m pip install --quiet --quiet --disable-pip-version-check --no-input"


def test_the_environment_is_made_once_with_hashes_then_left_alone(clone: Clone) -> None:
    first = clone.run("-k", "one")
    assert first.returncode == 0, first.stderr
    assert clone.notes == [
        f"-m venv --clear {clone.root}/.venv",
        f"{INSTALL} --require-hashes --requirement requirements-dev.txt",
        f"{INSTALL} --no-deps --no-build-isolation --editable .",
        "-m pytest -k one",
    ]
    assert first.stderr.count("\n") == 1
    clone.run("-k", "two")
    assert clone.notes[4:] == ["-m pytest -k two"]


@pytest.mark.parametrize("changed", ["requirements-dev.txt", "pyproject.toml"])
def test_an_outdated_environment_is_kept_and_brought_up_to_date(clone: Clone, changed: str) -> None:
    clone.run()
    before = len(clone.notes)
    with (clone.root / changed).open("a") as file:
        file.write("# changed\n")
    clone.run()
    steps = [note.split()[1] for note in clone.notes[before:]]
    assert steps == ["pip", "pip", "pytest"]


def test_a_moved_environment_is_not_taken_for_a_ready_one(clone: Clone) -> None:
    clone.run()
    before = len(clone.notes)
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    clone.run()
    assert [note.split()[1] for note in clone.notes[before:]] == ["pip", "pip", "pytest"]


def test_an_environment_of_another_python_is_made_anew(clone: Clone) -> None:
    clone.run()
    before = len(clone.notes)
    clone.interpreter(minor=12)
    clone.run()
    assert [note.split()[1] for note in clone.notes[before:]] == ["venv", "pip", "pip", "pytest"]


def test_a_failed_set_up_is_taken_up_again(clone: Clone) -> None:
    clone.interpreter(broken=1)
    failed = clone.run()
    assert failed.returncode == 2
    assert "error: could not install into" in failed.stderr
    assert "hint: " in failed.stderr
    clone.interpreter()
    shutil.copy(clone.python, clone.root / ".venv/bin/python")
    assert clone.run("-k", "one").returncode == 0
    assert clone.notes[-1] == "-m pytest -k one"


def test_a_script_works_through_a_link_from_anywhere(clone: Clone, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(clone.root / "scripts" / "test")
    assert clone.run("-k", "one", script=link, cwd=str(tmp_path)).returncode == 0
    assert (clone.root / ".venv" / ".stamp").exists()


def test_the_environment_may_be_somewhere_else(clone: Clone, tmp_path: Path) -> None:
    assert clone.run(UNDERSTUDY_VENV=str(tmp_path / "else where")).returncode == 0
    assert (tmp_path / "else where" / ".stamp").exists()
    assert not (clone.root / ".venv").exists()


@pytest.mark.parametrize(
    ("flaw", "message", "hint"),
    [
        ("too_old", "is not a Python 3.11 or newer", "unset PYTHON"),
        ("no_venv", "has no venv module", "apt install python3-venv"),
    ],
)
def test_an_unfit_interpreter_is_told_in_two_lines(clone: Clone, flaw: str, message: str, hint: str) -> None:
    clone.interpreter(**{flaw: 1})
    told = clone.run()
    assert told.returncode == 2
    error, advice = told.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert clone.notes == []


def test_without_any_python_the_found_one_is_named(clone: Clone, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "cat", "cmp", "dirname", "env", "readlink"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tools / "python3").write_text('#!/bin/bash\n[[ $1 == --version ]] && echo "Python 3.8.10"')
    (tools / "python3").chmod(0o755)
    told = clone.run(PATH=str(tools), PYTHON="")
    assert told.returncode == 2
    assert "error: no Python 3.11 or newer found; python3 is Python 3.8.10\n" in told.stderr


def test_without_arguments_every_branch_must_be_covered(clone: Clone) -> None:
    clone.run()
    assert "--cov" in clone.notes[-1]
    assert PYPROJECT["tool"]["coverage"]["report"]["fail_under"] == 100
    assert PYPROJECT["tool"]["coverage"]["run"]["branch"] is True


def test_an_unknown_bench_is_a_usage_error(tmp_path: Path) -> None:
    text = (ROOT / "scripts" / "bench").read_text().replace('source "$(', 'true "$(')
    (tmp_path / "bench").write_text(text)
    told = subprocess.run(["bash", str(tmp_path / "bench"), "speed"], capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr.startswith(
        "usage: scripts/bench core|translate|library|gateway|failover|scale|fleet|import"
    )


# Versions and pins


def test_the_supported_versions_are_the_same_everywhere() -> None:
    prefix = "Programming Language :: Python :: "
    classifiers = PYPROJECT["project"]["classifiers"]
    declared = [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)]
    matrix = re.search(r"versions=\((.*)\)", (ROOT / "scripts" / "matrix").read_text())
    oldest = re.search(r"^oldest=(.*)$", (ROOT / "scripts" / "lib.sh").read_text(), re.MULTILINE)
    assert matrix
    assert oldest
    assert matrix[1].split() == declared
    assert PYPROJECT["project"]["requires-python"] == f">={oldest[1]}"
    assert oldest[1] == PYPROJECT["tool"]["mypy"]["python_version"] == declared[0]


def requirements() -> list[str]:
    """The logical lines of the pins."""
    return [line for line in PINS.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def test_every_pin_is_one_version_with_hashes_and_no_address() -> None:
    for line in requirements():
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ ", line), line
        assert "--hash=sha256:" in line, line
    assert "://" not in PINS
    assert "--index-url" not in PINS


def test_every_declared_dependency_is_pinned() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    declared = [
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["dependency-groups"]["dev"],
        *(requirement for extra in extras for requirement in extra),
    ]
    pinned = {re.split(r"\[|==", line)[0] for line in requirements()}
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in declared}
    assert names <= pinned


def test_runtime_dependencies_have_lower_bounds_and_no_upper_ones() -> None:
    for requirement in PYPROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement)


# Import contracts: each bites


OFFENCES = [
    ("Outer rings", "errors.py", "import understudy.core.outcome"),
    ("Outer rings", "core/outcome.py", "import understudy.wire.chat"),
    ("Outer rings", "wire/chat.py", "import understudy.runtime.ports"),
    ("Outer rings", "runtime/engine.py", "import understudy.config.profile"),
    ("Outer rings", "config/profile.py", "import understudy.observe.logging"),
    ("Outer rings", "observe/logging.py", "import understudy.library.balancer"),
    ("Outer rings", "library/balancer.py", "import understudy.cli"),
    ("Outer rings", "library/balancer.py", "import understudy.gateway"),
    ("Outer rings", "gateway/app.py", "import understudy.cli"),
    ("Outer rings", "cli/__init__.py", "import understudy.testing"),
    ("Outer rings", "utils/__init__.py", ""),
    ("Inside core", "core/breaker.py", "import understudy.core.dispatch"),
    ("Inside core", "core/window.py", "import understudy.core.metrics"),
    ("Inside core", "core/helpers.py", ""),
    ("A policy", "core/policies/failover.py", "import understudy.core.policies.round_robin"),
    ("Core decides", "core/pool.py", "import time"),
    ("Core decides", "core/backoff.py", "import random"),
    ("Core decides", "core/dispatch.py", "import asyncio"),
    ("Core decides", "core/stats.py", "import datetime"),
    ("Core decides", "core/dispatch.py", "import aiohttp"),
    ("Wire translates", "wire/sse.py", "import asyncio"),
    ("Wire translates", "wire/refusal.py", "import socket"),
    ("The fault provider", "faults/openai_chat.py", "import understudy.wire.openai_chat"),
    ("The fault provider", "faults/provider.py", "import understudy.core.outcome"),
    ("The fault provider", "faults/provider.py", "import understudy._version"),
    ("A wire format", "wire/sse.py", "import understudy.wire.refusal"),
    ("A wire format", "wire/decoder.py", "import understudy.wire.openai_answer"),
    ("A wire format", "wire/misc.py", ""),
    ("A wire format", "wire/openai_client.py", "import understudy.wire.anthropic_client"),
    ("In the gateway", "gateway/http.py", "import understudy.gateway.app"),
    ("In the gateway", "gateway/keys.py", "import understudy.gateway.journal"),
    ("In the gateway", "gateway/helpers.py", ""),
    ("An optional dependency", "config/store.py", "import keyring"),
    ("An optional dependency", "gateway/app.py", "import uvicorn"),
    ("An optional dependency", "library/balancer.py", "import pyreqwest"),
    ("The terminal's libraries", "library/balancer.py", "import rich"),
    ("The terminal's libraries", "gateway/app.py", "import click"),
]


@pytest.mark.parametrize(("contract", "module", "line"), OFFENCES)
def test_a_contract_is_broken_by_the_import_it_forbids(
    contract: str, module: str, line: str, tmp_path: Path
) -> None:
    shutil.copytree(
        ROOT / "src" / "understudy", tmp_path / "understudy", ignore=shutil.ignore_patterns("__pycache__")
    )
    offender = tmp_path / "understudy" / module
    offender.parent.mkdir(exist_ok=True)
    with offender.open("a") as file:
        file.write(f"\n{line}\n")
    broken = broken_contracts(tmp_path)
    assert any(name.startswith(contract) for name in broken), broken


def test_no_contract_is_broken_as_it_stands() -> None:
    assert broken_contracts(ROOT / "src") == []


def broken_contracts(folder: Path) -> list[str]:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("lint-imports")),
            f"--config={ROOT / 'pyproject.toml'}",
            "--no-cache",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )
    assert re.search(r"Contracts: \d+ kept, \d+ broken", done.stdout), done.stdout + done.stderr
    return re.findall(r"^(.*) BROKEN", done.stdout, re.MULTILINE)


# Papers


def test_the_license_is_the_unmodified_text() -> None:
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_readme_opens_with_two_commands() -> None:
    first_block = (ROOT / "README.md").read_text().split("```")[1]
    assert first_block.splitlines()[1:] == ["scripts/demo", "scripts/test"]


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_a_link_leads_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", paper.read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (paper.parent / target.partition("#")[0]).exists(), target


def test_architecture_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "src" / "understudy").glob("*/__init__.py")]
    assert packages
    for package in packages:
        assert re.search(rf"\b{package}\b", text), package


def test_architecture_points_at_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    mentioned = re.findall(r"`((?:core|wire|runtime|library|config|observe)/[a-z_]*(?:\.py)?)`", text)
    assert mentioned
    for path in mentioned:
        assert (ROOT / "src" / "understudy" / path).exists(), path


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    first_section = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first_section
    assert first_section[1] == "[Unreleased]"
