"""Keys: read by reference, masked everywhere, refused unseen."""

from __future__ import annotations

import copy
import logging
import pickle
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from understudy.config.secret import (
    InlineKey,
    KeyFile,
    KeyReference,
    KeyringEntry,
    KeyVariable,
    Secret,
    concerns,
    resolve,
    shown,
)
from understudy.errors import ConfigurationError

KEY = "sk-live-0123456789abcdef"


class TestSecret:
    @pytest.mark.parametrize("text", [repr, str, "{}".format, "{!r:>20}".format, "{:>20}".format, ascii])
    def test_it_masks_itself_however_it_is_written(self, text: object) -> None:
        assert callable(text)
        assert KEY not in text(Secret(KEY))
        assert "********" in text(Secret(KEY))

    def test_a_log_line_shows_the_mask(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.getLogger("test").warning("key %s %r", Secret(KEY), Secret(KEY))

        assert caplog.messages == ["key ******** Secret(********)"]

    def test_only_reveal_shows_it(self) -> None:
        assert Secret(KEY).reveal() == KEY
        assert not hasattr(Secret(KEY), "__dict__")

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_cant_be_pickled(self, protocol: int) -> None:
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(Secret(KEY), protocol)

    def test_a_copy_is_the_secret_itself_so_that_values_with_keys_can_be_copied(self) -> None:
        @dataclass
        class Holder:
            key: Secret

        secret = Secret(KEY)

        assert copy.copy(secret) is secret
        assert asdict(Holder(secret))["key"] is secret

    def test_equal_keys_are_equal_and_hash_alike(self) -> None:
        assert Secret(KEY) == Secret(KEY)
        assert hash(Secret(KEY)) == hash(Secret(KEY))
        assert Secret(KEY) != Secret("other")
        assert Secret(KEY) != KEY


class TestVariable:
    def test_the_key_is_the_variables_value_without_the_white_space_around_it(self) -> None:
        assert resolve(KeyVariable("MY_KEY"), {"MY_KEY": f" {KEY}\r\n"}) == Secret(KEY)

    @pytest.mark.parametrize(
        ("environ", "state"), [({}, "is not set"), ({"K": ""}, "is empty"), ({"K": " \n"}, "is empty")]
    )
    def test_missing_and_empty_say_which_and_the_way_out(self, environ: dict[str, str], state: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            resolve(KeyVariable("K"), environ)
        assert caught.value.message == f"environment variable K {state}"
        assert caught.value.hint == "export K=… before starting"


class TestFile:
    def test_the_key_is_its_one_line(self, tmp_path: Path) -> None:
        assert resolve(_file(tmp_path, f"\n{KEY}\n"), {}) == Secret(KEY)

    def test_an_empty_one_counts_as_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"key file .*/key is empty"):
            resolve(_file(tmp_path, " \n"), {})

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="nowhere can't be read: no such file") as caught:
            resolve(KeyFile(tmp_path / "nowhere"), {})
        assert caught.value.hint

    def test_a_folder_is_no_key(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="can't be read: is a directory"):
            resolve(KeyFile(tmp_path), {})

    def test_bytes_are_no_key(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigurationError, match="is not text"):
            resolve(KeyFile(path), {})

    def test_an_endless_one_is_not_read_to_its_end(self) -> None:
        with pytest.raises(ConfigurationError, match="holds no key"):
            resolve(KeyFile(Path("/dev/zero")), {})

    def test_a_key_pasted_in_place_of_the_path_is_not_shown(self) -> None:
        for pasted in (KEY, "a3f9c2d47b8e41f0a6c5d2e9b7f3a1c8"):
            with pytest.raises(ConfigurationError) as caught:
                resolve(KeyFile(Path(pasted)), {})
            assert pasted not in caught.value.message


class Memory(keyring.backend.KeyringBackend):
    """A keyring of one entry, or one that is locked."""

    priority = 1

    def __init__(self, entries: dict[tuple[str, str], str] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring has not typed it
        self._entries = entries

    def get_password(self, service: str, username: str) -> str | None:
        if self._entries is None:
            raise keyring.errors.KeyringLocked("the secret service said: locked")
        return self._entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture(name="original")
def _original_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("original")
class TestKeyring:
    def test_the_key_is_the_entry_of_our_service(self) -> None:
        keyring.set_keyring(Memory({("understudy", "groq"): KEY}))

        assert resolve(KeyringEntry("groq"), {}) == Secret(KEY)

    @pytest.mark.parametrize("entries", [{}, {("understudy", "groq"): " "}, {("other", "groq"): KEY}])
    def test_a_missing_entry_says_how_to_store_it(self, entries: dict[tuple[str, str], str]) -> None:
        keyring.set_keyring(Memory(entries))

        with pytest.raises(ConfigurationError, match='keyring entry "groq" is not there') as caught:
            resolve(KeyringEntry("groq"), {})
        assert caught.value.hint == 'keyring set understudy "groq" stores it'

    def test_a_locked_keyring_is_one_line(self) -> None:
        keyring.set_keyring(Memory(None))

        with pytest.raises(ConfigurationError, match="can't be read: KeyringLocked") as caught:
            resolve(KeyringEntry("groq"), {})
        assert "unlock" in str(caught.value.hint)

    def test_an_entry_of_two_words_is_refused(self) -> None:
        keyring.set_keyring(Memory({("understudy", "groq"): "two words"}))

        with pytest.raises(ConfigurationError, match="holds no key"):
            resolve(KeyringEntry("groq"), {})

    def test_without_the_library_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)

        with pytest.raises(ConfigurationError, match="not installed") as caught:
            resolve(KeyringEntry("groq"), {})
        assert caught.value.hint == "pip install 'understudy[keyring]'"


class TestWhatIsNoKey:
    @pytest.mark.parametrize("value", ["two words", "one\ntwo", "tab\tbed", "nul\x00", "käse", "esc\x1b[0m"])
    def test_it_is_refused_and_not_shown_wherever_it_is(self, value: str, tmp_path: Path) -> None:
        references: list[KeyReference] = [
            KeyVariable("K"),
            _file(tmp_path, value),
            InlineKey(Secret(value)),
        ]
        for reference in references:
            with pytest.raises(ConfigurationError, match="holds no key") as caught:
                resolve(reference, {"K": value})
            assert value not in f"{caught.value.message} {caught.value.hint}"

    def test_an_inline_key_of_nothing_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="auth-key holds no key"):
            resolve(InlineKey(Secret(" ")), {})


class TestConcerns:
    def test_a_key_in_the_profile_is_warned_about_but_works(self) -> None:
        reference = InlineKey(Secret(KEY))

        assert resolve(reference, {}) == Secret(KEY)
        assert concerns(reference) == (
            "the key itself is in the profile; auth-key-env or auth-keyfile keep it out",
        )

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
    def test_a_key_file_open_to_others_is_warned_about_but_works(self, tmp_path: Path, mode: int) -> None:
        reference = _file(tmp_path, KEY, mode)

        assert resolve(reference, {}) == Secret(KEY)
        assert [concern.endswith("chmod 600 closes it") for concern in concerns(reference)] == [True]

    def test_a_private_key_file_a_missing_one_and_a_variable_are_fine(self, tmp_path: Path) -> None:
        assert concerns(_file(tmp_path, KEY)) == ()
        assert concerns(KeyFile(tmp_path / "nowhere")) == ()
        assert concerns(KeyVariable("K")) == ()

    def test_looking_does_not_change_the_file(self, tmp_path: Path) -> None:
        reference = _file(tmp_path, KEY, 0o644)
        concerns(reference)

        assert stat.S_IMODE(reference.path.stat().st_mode) == 0o644


class TestShown:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("fast", '"fast"'),
            (None, "null"),
            ([1, True], "[1, true]"),
            ("grün", '"grün"'),
            ("two\nlines", '"two\\nlines"'),
            ("\u2028", '"\\u2028"'),
            (Secret(KEY), '"********"'),
            ("x " * 100, '"' + ("x " * 100)[:59] + "…"),
            ("/home/me/desktop/a-folder-with-a-long-name", '"/home/me/desktop/a-folder-with-a-long-name"'),
        ],
    )
    def test_a_message_quotes_values_as_json_on_one_line(self, value: object, text: str) -> None:
        assert shown(value) == text

    @pytest.mark.parametrize("key", [KEY, "gsk_0123456789abcdefABCD", "a3f9c2d47b8e41f0a6c5d2e9b7f3a1c8"])
    def test_what_looks_like_a_key_is_masked(self, key: str) -> None:
        assert key not in shown({"provider": key})


def _file(folder: Path, text: str, mode: int = 0o600) -> KeyFile:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return KeyFile(path)
