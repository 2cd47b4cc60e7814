"""`/set`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.builders import context, do, home, standard
from understudy.cli.session import LIVE_SETTINGS
from understudy.errors import ConfigurationError, SettingError


async def test_a_value_is_set_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = context(home(tmp_path))
    await do(session, "/set tpm-threshold   500")
    await do(session, "/set circuit_breaker_enabled off")
    await do(session, "/set failover_status_codes [429, 503]")

    assert capsys.readouterr().out.splitlines() == [
        "tpm_threshold = 500 (/set)",
        "circuit_breaker_enabled = false (/set)",
        "failover_status_codes = 429,503 (/set)",
    ]
    assert session.session.setting("tpm_threshold")[0] == 500


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/set tpm_threshold none", "tpm_threshold must be a positive integer"),
        ("/set tmp_threshold 5", "unknown setting 'tmp_threshold'"),
        ("/set tmp_threshold", "unknown setting 'tmp_threshold'"),
        ("/set auth-key x", "auth-key belongs to one backend"),
    ],
)
async def test_the_registry_says_what_is_wrong(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        await do(context(home(tmp_path)), line)

    assert error.value.message == message


async def test_a_change_is_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = context(home(tmp_path))
    await do(session, "/set timeout_ms 5")
    await do(session, "/set unset timeout_ms")
    await do(session, "/set unset timeout_ms")

    assert capsys.readouterr().out.splitlines() == [
        "timeout_ms = 5 (/set)",
        "timeout_ms = 60000 (default)",
        "timeout_ms = 60000 (default); /set had not changed it",
    ]


@pytest.mark.parametrize("line", ["/set unset", "/set unset a b"])
async def test_one_key_is_unset_at_a_time(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="/set unset KEY"):
        await do(context(home(tmp_path)), line)


class TestHelp:
    async def test_a_key_alone_is_explained(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        await do(context(home(tmp_path), timeout_ms="5"), "/set timeout-ms")

        head, *lines = capsys.readouterr().out.splitlines()
        assert head == "timeout_ms = 5 (--set)"
        assert max(map(len, lines)) <= 80
        text = " ".join(line.strip() for line in lines)
        assert "to the first content" in text
        assert "Takes a positive integer; default 60000; in load-balancer profiles and in those" in text

    async def test_a_backends_own_setting_is_explained_without_its_value(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path))
        session.session.draft = session.session.draft.with_key("sk-live-0123456789")
        await do(session, "/set auth-key")

        assert capsys.readouterr().out.splitlines()[0] == "auth-key"


class TestList:
    async def test_every_setting_stands_there_with_value_and_source(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path, timeout_ms=9), stall_timeout_ms="8")
        await session.session.load("pair")
        await do(session, "/set tpm_threshold 7")
        capsys.readouterr()
        await do(session, "/set")

        lines = capsys.readouterr().out.splitlines()
        words = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
        assert list(words) == [setting.key for setting in LIVE_SETTINGS]
        assert words["tpm_threshold"].split(maxsplit=1) == ["7", "/set"]
        assert words["stall_timeout_ms"].split(maxsplit=1) == ["8", "--set"]
        assert words["timeout_ms"].split(maxsplit=1) == ["9", "load-balancer profile"]
        assert words["circuit_breaker_enabled"].split() == ["true", "default"]
        assert words["unary_timeout_ms"].startswith("the larger of timeout_ms and 240000 ")
        assert max(map(len, lines)) <= 100

    async def test_members_that_decide_for_themselves_stand_below(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        rule = {"status": 418, "kind": "quota"}
        store.save(standard("second", timeout_ms=1234, error_rules=[rule]))
        store.save(standard("first", error_rules=[rule, rule]))
        session = context(store)
        await session.session.load("pair")
        await do(session, "/set")

        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        at = [row[0] for row in rows].index("timeout_ms")
        assert rows[at + 1] == ["for", "second", "1234", "member", "profile"]
        assert ["for", "second", "1", "rule", "member", "profile"] in rows
        assert ["for", "first", "2", "rules", "member", "profile"] in rows

    async def test_an_empty_list_is_no_default(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await do(context(home(tmp_path)), "/set failover_status_codes []")

        assert capsys.readouterr().out == "failover_status_codes = empty list (/set)\n"
