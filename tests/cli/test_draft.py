"""The backend that a session is building."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from understudy.cli.draft import UNSAVED, Draft
from understudy.config.profile import StandardProfile
from understudy.config.secret import Secret
from understudy.errors import ConfigurationError

URL = "https://one.example/v1"
KEY = "sk-live-0123456789abcdef"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def loaded(**settings: str) -> Draft:
    return Draft.of(StandardProfile("saved", "openai", "m", {"temperature": 0}, settings))


class TestBuilding:
    def test_every_change_makes_another_draft_and_leaves_the_first_alone(self) -> None:
        empty = Draft()
        built = empty.with_provider("openai").with_model("m").with_base_url(URL).with_key(KEY)

        assert empty.is_empty
        assert not built.is_empty
        assert built.profile() == StandardProfile(
            UNSAVED, "openai", "m", settings={"base-url": URL, "auth-key": KEY}
        )
        with pytest.raises(FrozenInstanceError):
            built.model = "n"  # type: ignore[misc]

    def test_the_order_of_the_fields_does_not_matter(self) -> None:
        forward = Draft().with_provider("openai").with_model("m").with_base_url(URL).with_key(KEY)
        backward = Draft().with_key(KEY).with_base_url(URL).with_model("m").with_provider("openai")

        assert forward.profile() == backward.profile()

    def test_any_field_ends_its_being_empty(self) -> None:
        assert not Draft().with_provider("openai").is_empty
        assert not Draft().with_model("m").is_empty
        assert not Draft().with_key(KEY).is_empty

    def test_it_becomes_a_profile_once_provider_and_model_are_known(self) -> None:
        with pytest.raises(ConfigurationError, match="no provider yet") as no_provider:
            Draft().with_model("m").profile()
        with pytest.raises(ConfigurationError, match="no model yet") as no_model:
            Draft().with_provider("openai").profile()

        assert "/provider NAME" in (no_provider.value.hint or "")
        assert "/model NAME" in (no_model.value.hint or "")
        assert Draft().with_provider("openai").with_model("m").profile("named").name == "named"

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("with_provider", "opneai", "unknown provider"),
            ("with_model", "two\nlines", "model must be a non-empty text of one line"),
            ("with_base_url", "one.example", "base-url must be an http or https URL"),
            ("with_key", "two words", "holds no key"),
            ("with_key_file", "/no/such/file", "can't be read"),
        ],
    )
    def test_what_no_profile_may_hold_is_refused(self, field: str, value: str, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            getattr(Draft(), field)(value)

    def test_an_unknown_provider_is_told_the_nearest(self) -> None:
        with pytest.raises(ConfigurationError) as error:
            Draft().with_provider("OpenRoute")

        assert error.value.hint == "did you mean openrouter?"


class TestKeys:
    def test_one_replaces_the_other(self, key_file: Path) -> None:
        draft = Draft().with_key(KEY)
        assert draft.has_inline_key
        draft = draft.with_key_file(str(key_file))

        assert draft.settings == {"auth-keyfile": str(key_file)}
        assert draft.has_key
        assert not draft.has_inline_key
        assert draft.with_key(KEY).settings == {"auth-key": Secret(KEY)}

    def test_a_relative_path_is_meant_from_here_and_a_home_stays_a_home(
        self, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(key_file.parent)
        monkeypatch.setenv("HOME", str(key_file.parent))

        assert Draft().with_key_file("key").settings["auth-keyfile"] == str(key_file)
        assert Draft().with_key_file("~/key").settings["auth-keyfile"] == "~/key"

    def test_another_provider_starts_without_the_former_ones_key_and_address(self) -> None:
        draft = Draft().with_provider("openai").with_key(KEY).with_base_url(URL).with_model("m")
        other = draft.with_provider("groq")

        assert (other.settings, other.model) == ({}, "m")
        assert draft.with_provider("openai") == draft

    def test_a_saved_profiles_key_is_not_sent_to_another_address(self) -> None:
        draft = loaded(**{"base-url": URL, "auth-key-env": "SAVED_KEY"})
        moved = draft.with_base_url("https://two.example/v1")

        assert moved.settings == {"base-url": "https://two.example/v1"}
        assert draft.with_base_url(URL) == draft

    def test_a_key_of_this_session_goes_along_to_another_address(self) -> None:
        draft = loaded(**{"base-url": URL, "auth-key-env": "SAVED_KEY"}).with_key(KEY)

        assert draft.with_base_url("https://two.example/v1").has_key

    def test_it_never_shows_one(self, tmp_path: Path) -> None:
        draft = Draft().with_provider("openai").with_model("m").with_base_url(URL).with_key(KEY)

        assert str(draft) == f"provider openai, model m, base-url {URL}, auth-key ********"
        assert KEY not in repr(draft)
        assert str(loaded(**{"auth-keyfile": "~/key"})) == "provider openai, model m, auth-keyfile ~/key"
        assert str(Draft().with_model(KEY)) == "model sk-***"
        assert str(Draft()) == ""


class TestModel:
    def test_another_one_starts_without_the_former_ones_facts(self) -> None:
        facts = {"context-limit": 1000, "max-output": 10, "supports": ["tools"], "tokenizer": "qwen"}
        profile = StandardProfile("saved", "openai", "m", settings={**facts, "timeout_ms": 5})
        draft = Draft.of(profile)

        assert draft.with_model("n").settings == {"timeout_ms": 5}
        assert draft.with_model("m") is draft


class TestOfASavedProfile:
    def test_it_is_that_profile(self, tmp_path: Path) -> None:
        profile = StandardProfile(
            "saved", "groq", "m", {"temperature": 0}, {"auth-keyfile": "key"}, tmp_path / "saved.json"
        )

        assert Draft.of(profile).profile() == profile
