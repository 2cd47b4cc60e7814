"""The table of commands: dispatch, help, completion, documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.builders import context, do, home
from understudy.cli.commands.table import COMMANDS, completions, find, written_ways
from understudy.cli.session import Session
from understudy.config.aliases import ALIASES
from understudy.config.store import ProfileStore
from understudy.core.policies import BY_NAME
from understudy.errors import ConfigurationError

ALL = ["broken", "chutes", "first", "groqgpt", "pair", "second", "synthetic", "testlb489"]
STANDARD = ["chutes", "first", "groqgpt", "second", "synthetic"]
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "repl.md"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = home(tmp_path)
    (store.folder / "broken.json").write_text("{")
    return Session(store, {})


class TestFind:
    def test_a_command_is_known_by_its_name_or_alias_in_any_case(self) -> None:
        assert find("/quit") is find("/exit") is find("/QUIT")
        assert find("/stats").name == "/stats"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("/stat", "did you mean /stats? /help shows all commands"),
            ("/profil", "did you mean /profile? /help shows all commands"),
            ("/xyzzy", "/help shows all commands"),
        ],
    )
    def test_an_unknown_one_is_told_the_nearest(self, name: str, hint: str) -> None:
        with pytest.raises(ConfigurationError) as error:
            find(name)

        assert error.value.message == f'unknown command "{name}"'
        assert error.value.hint == hint


class TestHelp:
    async def test_it_has_a_line_for_every_way_to_write_a_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await do(context(ProfileStore(tmp_path)), "/help")

        lines = capsys.readouterr().out.splitlines()
        for command, meaning in written_ways(COMMANDS):
            assert any(line.startswith(command) for line in lines)
            assert any(line.endswith(meaning) for line in lines)
        assert max(map(len, lines)) <= 100

    @pytest.mark.parametrize("line", ["/help why", "/help /why"])
    async def test_it_tells_of_one_command(
        self, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await do(context(ProfileStore(tmp_path)), line)

        assert capsys.readouterr().out.split(maxsplit=1) == [
            "/why",
            "what was decided about the last request, and its trail, in words\n",
        ]

    def test_the_documentation_has_the_same_table(self) -> None:
        text = DOCUMENTATION.read_text(encoding="utf-8")

        for command, meaning in written_ways(COMMANDS):
            assert f"| `{command}` | {meaning} |" in text


class TestCompletion:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("hello", []),
            ("", []),
            ("hello /st", []),
            ("/st", ["/stats"]),
            ("/S", ["/stats", "/set"]),
            ("/stats ", ["lb", "loadbalancer"]),
            ("/stats lo", ["loadbalancer"]),
            ("/stats lb ", ["--json"]),
            ("/unknown ", []),
            ("/set circuit_breaker_en", ["circuit_breaker_enabled"]),
            ("/set un", ["unset", "unary_timeout_ms"]),
            ("/set error", []),
            ("/set auth", []),
            ("/set tpm_measure ", ["serving", "window"]),
            ("/set strict_events T", ["true"]),
            ("/set timeout_ms ", []),
            ("/set nonsense ", []),
            ("/set tpm_measure window ", []),
            ("/profile s", ["show", "save", "set-default"]),
            ("/profile load ", ALL),
            ("/profile show te", ["testlb489"]),
            ("/profile delete ", ["broken", "first", "pair", "second"]),
            ("/profile load pair ", []),
            ("/profile save ", ["loadbalancer", "model"]),
            ("/profile save loadbalancer p", ["pair"]),
            ("/profile save loadbalancer mine ", sorted(BY_NAME)),
            ("/profile save loadbalancer mine FA", ["failover", "failover_sticky", "fastest"]),
            ("/profile save loadbalancer mine failover ", STANDARD),
            ("/profile save loadbalancer mine failover first s", ["second", "synthetic"]),
            ("/profile save model mine ", ["--inline-key"]),
            ("/profile save model mine --inline-key ", []),
            ("/provider openr", ["openrouter"]),
            ("/provider openai ", []),
            ("/model ", []),
            ("/help /w", ["/why"]),
            ("/help why ", []),
        ],
    )  # fmt: skip
    def test_it_offers_what_may_stand_there(self, text: str, words: list[str], session: Session) -> None:
        assert completions(session, text) == words

    def test_unset_is_offered_what_is_set(self, session: Session) -> None:
        assert completions(session, "/set unset ") == []
        session.set("timeout_ms", "5")

        assert completions(session, "/set unset ") == ["timeout_ms"]

    def test_every_provider_is_offered(self, session: Session) -> None:
        assert completions(session, "/provider ") == sorted(ALIASES)
