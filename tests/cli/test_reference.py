"""The pages about the command line say what it does today."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cli.local_provider import Home, provider
from understudy.cli import main, performance, process, reference, stopping

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "cli.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [
    json.loads(text) for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
]


def test_the_committed_reference_is_current(tmp_path: Path) -> None:
    reference.write(tmp_path / "reference")
    written = (tmp_path / "reference" / "cli.md").read_text(encoding="utf-8")
    assert (DOCS / "reference" / "cli.md").read_text(encoding="utf-8") == written


def test_the_reference_holds_every_command_and_its_options() -> None:
    page = reference.page()
    for heading in (
        "understudy",
        "understudy check",
        "understudy faults serve",
        "understudy profile save model",
    ):
        assert f"\n## `{heading}`\n" in page
    assert "--inline-key" in page
    assert max(map(len, page.splitlines())) <= 100


def test_the_guide_mentions_every_option_of_the_root_command() -> None:
    for option in main.root.params:
        assert isinstance(option, click.Option)
        assert option.opts[-1] in GUIDE or option.opts[-1] in ("--plain", "--version", "--help"), option


@pytest.mark.parametrize(
    "status", [0, 1, 2, stopping.INTERRUPTED, stopping.STDOUT_CLOSED, stopping.TERMINATED]
)
def test_the_guide_explains_every_exit_status(status: int) -> None:
    assert f"\n| {status} | " in GUIDE


def test_the_guides_objects_have_the_fields_that_are_printed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with provider(models={"down": "status 500", "cut": "cut after=20"}) as upstream:
        home.backend("synthetic", upstream.base_url, "down")
        home.backend("chutes", upstream.base_url)
        home.pool("answered", "synthetic", "chutes", failover_retry_count=1)
        home.backend("broken", upstream.base_url, "cut")
        printed = []
        for name in ("answered", "broken"):
            process.run(["--profile-load", name, "--prompt", "hello", "--json"])
            printed.append(json.loads(capsys.readouterr().out))
    for example, real in zip(EXAMPLES, printed, strict=True):
        assert list(example) == list(real)
    assert [list(entry) for entry in EXAMPLES[0]["trail"]] == [list(entry) for entry in printed[0]["trail"]]
    assert list(EXAMPLES[0]["usage"]) == list(printed[0]["usage"])
    assert list(EXAMPLES[1]["error"]) == list(printed[1]["error"])
    assert list(EXAMPLES[1]["error"]["causes"][0]) == list(printed[1]["error"]["causes"][0])


def test_the_guide_says_which_times_the_demo_shortens() -> None:
    for key, value in performance.SHORTER.items():
        assert f"`{key}` {value}" in GUIDE
