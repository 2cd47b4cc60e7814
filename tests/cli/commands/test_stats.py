"""`/stats lb`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.builders import context, do, home
from understudy.errors import ConfigurationError

SENTENCE = "No load balancer profile active. Use /profile load to activate a load balancer profile."


@pytest.mark.parametrize("line", ["/stats lb", "/stats loadbalancer", "/stats"])
async def test_it_prints_the_load_balancers_table(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = context(home(tmp_path))
    await session.session.load("pair")
    await do(session, line)

    assert capsys.readouterr().out == f"{session.session.stats()}\n"


@pytest.mark.parametrize("line", ["/stats lb --json", "/stats --json loadbalancer"])
async def test_for_programs_it_prints_json(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = context(home(tmp_path))
    await session.session.load("pair")
    await do(session, line)

    stats = session.session.stats()
    assert stats is not None
    assert json.loads(capsys.readouterr().out) == stats.to_dict()


@pytest.mark.parametrize("profile", [None, "first"])
async def test_without_a_load_balancer_it_says_so(
    profile: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = context(home(tmp_path))
    if profile:
        await session.session.load(profile)
    await do(session, "/stats lb")

    assert capsys.readouterr() == (f"{SENTENCE}\n", "")
    with pytest.raises(ConfigurationError, match=SENTENCE):
        await do(session, "/stats lb --json")


@pytest.mark.parametrize("line", ["/stats tokens", "/stats lb lb"])
async def test_nothing_else_can_be_asked(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"this is written: /stats lb \[--json\]"):
        await do(context(home(tmp_path)), line)
