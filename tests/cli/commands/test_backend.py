"""`/provider`, `/model`, `/baseurl`, `/keyfile`, `/key`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.builders import Typed, context, do, home
from understudy.errors import ConfigurationError

KEY = "sk-live-0123456789abcdef"


async def test_each_field_is_set_and_the_draft_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = context(home(tmp_path))
    key_file = tmp_path / "my key"
    key_file.write_text(KEY)
    for line in (
        "/provider openai",
        "/model some model",
        "/baseurl http://127.0.0.1:9/v1",
        f"/keyfile '{key_file}'",
        f"/key {KEY}",
    ):
        await do(session, line)

    out = capsys.readouterr().out
    assert out.splitlines() == [
        "provider openai",
        "provider openai, model some model",
        "provider openai, model some model, base-url http://127.0.0.1:9/v1",
        f"provider openai, model some model, base-url http://127.0.0.1:9/v1, auth-keyfile {key_file}",
        "provider openai, model some model, base-url http://127.0.0.1:9/v1, auth-key ********",
    ]
    assert KEY not in out


async def test_without_a_value_the_draft_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = context(home(tmp_path))
    await do(session, "/model")
    await do(session, "/model m")
    await do(session, "/provider")

    assert capsys.readouterr().out.splitlines() == [
        "nothing is known of the backend yet",
        "model m",
        "model m",
    ]


async def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    session = context(home(tmp_path))
    with pytest.raises(ConfigurationError):
        await do(session, "/provider nobody")

    assert session.session.draft.is_empty


class TestKey:
    async def test_without_a_value_it_is_read_hidden(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reader = Typed(hidden=[f" {KEY} "])
        session = context(home(tmp_path), reader)
        await do(session, "/key")

        assert reader.labels == ["Key: "]
        assert session.session.draft.has_inline_key
        assert KEY not in capsys.readouterr().out

    async def test_none_changes_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        session = context(home(tmp_path), Typed(hidden=[""]))
        await do(session, "/key")

        assert capsys.readouterr().out == "no key was given, so nothing has changed\n"
        assert session.session.draft.is_empty

    async def test_one_that_is_dropped_with_its_address_is_missed_aloud(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        session = context(home(tmp_path))
        for line in ("/provider openai", f"/key {KEY}", "/provider groq"):
            await do(session, line)

        out, err = capsys.readouterr()
        assert out.splitlines()[-1] == "provider groq"
        assert err == (
            "warning: the key was given for another address and is dropped; /key or /keyfile name one anew\n"
        )


async def test_beside_a_load_balancer_it_is_said_who_goes_on_answering(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = context(home(tmp_path), terminal=True)
    await session.session.load("pair")
    await do(session, "/model m")

    assert "pair goes on answering; /profile save model NAME saves this one" in capsys.readouterr().err
