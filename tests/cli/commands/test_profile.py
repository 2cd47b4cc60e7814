"""`/profile`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.builders import NOWHERE, context, do, home, pair, standard
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError

KEY = "sk-live-0123456789abcdef"


def written(store: ProfileStore, name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((store.folder / f"{name}.json").read_text())
    return document


class TestSaveLoadBalancer:
    async def test_it_gets_the_sessions_settings_and_its_policy_in_small_letters(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        session = context(store, stall_timeout_ms="8")
        await do(session, "/set tpm_threshold 500")
        await do(session, "/profile save loadbalancer mine RoundRobin first second first")

        assert written(store, "mine") == {
            "name": "mine",
            "version": 1,
            "type": "loadbalancer",
            "policy": "roundrobin",
            "profiles": ["first", "second", "first"],
            "ephemeralSettings": {"tpm_threshold": 500, "stall_timeout_ms": 8},
        }
        assert capsys.readouterr().out.splitlines()[1:] == [
            f"saved mine: roundrobin over first, second, first as {store.folder / 'mine.json'}",
            "  tpm_threshold = 500",
            "  stall_timeout_ms = 8",
        ]

    async def test_a_loaded_one_saved_anew_loses_nothing(self, tmp_path: Path) -> None:
        store = home(tmp_path)
        store.save(replace(pair(timeout_ms=77), model_params={"temperature": 0}))
        session = context(store)
        await session.session.load("pair")
        await do(session, "/set timeout_ms 99")
        await do(session, "/profile save loadbalancer pair failover second first")

        document = written(store, "pair")
        assert document["modelParams"] == {"temperature": 0}
        assert document["ephemeralSettings"] == {"failover_retry_delay_ms": 1, "timeout_ms": 99}

    async def test_it_never_holds_a_key_or_a_base_url(self, tmp_path: Path) -> None:
        store = home(tmp_path)
        session = context(store)
        for line in ("/provider openai", f"/baseurl {NOWHERE}", f"/key {KEY}"):
            await do(session, line)
        await do(session, "/profile save loadbalancer mine failover first second")

        assert written(store, "mine")["ephemeralSettings"] == {}
        assert KEY not in (store.folder / "mine.json").read_text()

    async def test_replacing_and_doubtful_settings_are_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path), request_timeout_ms="5")
        await do(session, "/profile save loadbalancer pair failover first second")

        out, err = capsys.readouterr()
        assert "pair.json (replaced)\n" in out
        assert err.startswith("warning: pair: request_timeout_ms (5) is no longer than timeout_ms")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("mine", "this is written: /profile save loadbalancer NAME POLICY MEMBER MEMBER …"),
            ("mine failover", "this is written: /profile save loadbalancer"),
            ("mine fialover first second", 'unknown: "fialover"'),
            ("mine failover first", "failover needs at least two members"),
            ("mine failover first absent", 'no profile named "absent"'),
            ("mine failover first pair", "pair is a load balancer and can't be a member of mine"),
            ("-- failover first second", "name"),
        ],
    )
    async def test_what_can_be_no_load_balancer_is_refused(
        self, arguments: str, message: str, tmp_path: Path
    ) -> None:
        store = home(tmp_path)
        with pytest.raises(ConfigurationError) as error:
            await do(context(store), f"/profile save loadbalancer {arguments}")

        assert message in error.value.message
        assert store.own_names() == ("first", "pair", "second")


class TestSaveModel:
    async def test_it_keeps_the_draft_and_gives_it_its_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        session = context(store)
        for line in ("/provider openai", "/model m", f"/baseurl {NOWHERE}", "/profile save model mine"):
            await do(session, line)

        assert written(store, "mine") == {
            "name": "mine",
            "version": 1,
            "type": "standard",
            "provider": "openai",
            "model": "m",
            "ephemeralSettings": {"base-url": NOWHERE},
        }
        assert session.session.draft.name == "mine"
        out, err = capsys.readouterr()
        assert out.splitlines()[-1] == f"saved mine: openai, m as {store.folder / 'mine.json'}"
        assert err == ""

    @pytest.mark.parametrize("flag", ["", "--inline-key"])
    async def test_a_key_that_was_typed_in_is_saved_only_if_asked_for(
        self, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        session = context(store)
        for line in ("/provider openai", "/model m", f"/key {KEY}", f"/profile save model {flag} mine"):
            await do(session, line)

        assert (KEY in (store.folder / "mine.json").read_text()) is bool(flag)
        out, err = capsys.readouterr()
        assert KEY not in out + err
        expected = "the key itself is in the profile" if flag else "the key was not saved"
        assert err.startswith("warning:")
        assert expected in err
        assert session.session.draft.has_inline_key

    @pytest.mark.parametrize("arguments", ["model", "model a b", "module a", ""])
    async def test_it_takes_one_name(self, arguments: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"/profile save model NAME \[--inline-key\]"):
            await do(context(home(tmp_path)), f"/profile save {arguments}")

    async def test_a_draft_that_is_none_yet_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="the backend has no provider yet"):
            await do(context(home(tmp_path)), "/profile save model mine")


class TestLoad:
    async def test_it_says_what_answers_now_and_what_was_dropped(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path))
        await do(session, "/profile load pair")
        await do(session, "/set timeout_ms 5")
        await do(session, "/profile load first")

        assert capsys.readouterr().out.splitlines() == [
            "loaded pair: failover over first, second",
            "timeout_ms = 5 (/set)",
            "loaded first: openai, model-of-first",
            "dropped what /set had set: timeout_ms",
        ]

    async def test_its_warnings_go_to_stderr_and_a_path_may_be_quoted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        store.save(replace(standard("first"), provider="openai", settings={}))
        await do(context(store), f"/profile load '{store.folder / 'pair.json'}'")

        assert capsys.readouterr().err.startswith("warning: first is skipped (no_key)")

    async def test_it_needs_a_name_that_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="/profile load NAME"):
            await do(context(home(tmp_path)), "/profile load")
        with pytest.raises(ConfigurationError, match='no profile named "pairs"') as error:
            await do(context(home(tmp_path)), "/profile load pairs")
        assert "did you mean pair?" in (error.value.hint or "")


class TestLooking:
    async def test_the_list_has_a_line_for_each_broken_ones_too(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        (store.folder / "broken.json").write_text("{")
        await do(context(store), "/profile set-default pair")
        await do(context(store), "/profile list")

        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert lines[0] == "the default is pair"
        assert "first standard openai: model-of-first" in lines
        assert "pair loadbalancer failover: first, second (default)" in lines
        assert "testlb489 loadbalancer failover: synthetic, chutes, groqgpt (example)" in lines
        assert any(line.startswith("broken broken ") for line in lines)
        with pytest.raises(ConfigurationError, match="/profile list"):
            await do(context(store), "/profile list all")

    async def test_a_profile_is_shown_as_its_file_has_it_without_its_key(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        store.save(standard("secret", **{"auth-key": KEY}), inline_key=True)
        await do(context(store), "/profile show pair")
        assert json.loads(capsys.readouterr().out) == written(store, "pair")
        await do(context(store), "/profile show secret")

        assert json.loads(capsys.readouterr().out)["ephemeralSettings"]["auth-key"] == "********"

    async def test_without_a_name_what_answers_is_shown(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path))
        with pytest.raises(ConfigurationError, match="no profile is loaded"):
            await do(session, "/profile show")
        await session.session.load("first")
        await do(session, "/model other")
        capsys.readouterr()
        await do(session, "/profile show")

        assert json.loads(capsys.readouterr().out)["model"] == "other"


class TestDeleteAndDefault:
    async def test_a_profile_that_a_load_balancer_lists_is_not_deleted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        with pytest.raises(ConfigurationError, match="it is a member of pair"):
            await do(context(store), "/profile delete first")
        await do(context(store), "/profile delete pair")
        await do(context(store), "/profile delete first")

        assert capsys.readouterr().out == "deleted pair\ndeleted first\n"
        assert store.own_names() == ("second",)

    async def test_the_default_is_chosen_and_forgotten(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = home(tmp_path)
        await do(context(store), "/profile set-default pair")
        assert store.default == "pair"
        await do(context(store), "/profile set-default --none")

        assert store.default is None
        assert capsys.readouterr().out == "the default is pair\nthere is no default any more\n"

    @pytest.mark.parametrize("line", ["delete", "delete a b", "set-default", "set-default a b"])
    async def test_they_take_one_name(self, line: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"/profile {line.split()[0]} NAME"):
            await do(context(home(tmp_path)), f"/profile {line}")


@pytest.mark.parametrize("line", ["/profile", "/profile laod pair"])
async def test_an_unknown_verb_is_told_the_known_ones(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"/profile load\|list\|show\|save\|delete\|set-default …"):
        await do(context(home(tmp_path)), line)
