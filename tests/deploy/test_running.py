"""docs/running.md: what it says of failures is shown by tests that are there, and its files are, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "running.md").read_text()
SHOWN = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_failure_is_shown_by_a_test() -> None:
    rows = PAGE.partition("| what fails |")[2].splitlines()[2:]
    assert len(SHOWN) == len([row for row in rows if row.startswith("|")]) > 20


@pytest.mark.parametrize(("path", "name"), SHOWN, ids=[name for _, name in SHOWN])
def test_that_is_there(path: str, name: str) -> None:
    assert re.search(rf"^\s*(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("folder", re.findall(r"\]\(\.\./(deploy/\w+)\)", PAGE))
def test_what_it_points_at_is_there(folder: str) -> None:
    assert any((ROOT / folder).iterdir())


def test_every_way_that_deploy_holds_is_named() -> None:
    ways = {"compose", "container", "kubernetes", "systemd"}
    assert ways <= {path.name for path in (ROOT / "deploy").iterdir()}
    assert all(f"(../deploy/{way})" in PAGE for way in ways)
