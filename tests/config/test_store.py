"""The folder of profiles: found, saved, deleted, and never half written or lost."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.secret import KeyFile, Secret
from understudy.config.store import ProfileStore, config_dir, is_path
from understudy.errors import ConfigurationError, ProfileError

EXAMPLES = ("chutes", "groqgpt", "synthetic", "testlb489")


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "home")


def member(name: str, **settings: Any) -> StandardProfile:
    return StandardProfile(name, "ollama", "m", settings=settings)


def balancer(name: str, *members: str) -> LoadBalancerProfile:
    return LoadBalancerProfile(name, "roundrobin", members)


def put(store: ProfileStore, name: str, text: str) -> Path:
    store.folder.mkdir(parents=True, exist_ok=True)
    path = store.folder / f"{name}.json"
    path.write_text(text)
    return path


class TestConfigDir:
    def test_it_is_the_platforms_own(self) -> None:
        assert config_dir({}) == Path(platformdirs.user_config_path("understudy", appauthor=False))
        assert config_dir({"UNDERSTUDY_HOME": " "}) == config_dir({})

    def test_a_variable_overrides_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")

        assert config_dir({"UNDERSTUDY_HOME": "/etc/understudy"}) == Path("/etc/understudy")
        assert config_dir({"UNDERSTUDY_HOME": "~/lb"}) == Path("/home/me/lb")

    def test_the_environment_is_the_process_unless_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UNDERSTUDY_HOME", "/etc/understudy")

        assert config_dir() == Path("/etc/understudy")


@pytest.mark.parametrize(
    ("text", "path"),
    [("name", False), ("./name", True), ("/a/name", True), ("name.json", True), ("na.me", False)],
)
def test_a_separator_or_json_makes_a_path(text: str, path: bool) -> None:
    assert is_path(text) is path


class TestLoad:
    def test_a_name_is_a_file_in_the_folder(self, store: ProfileStore) -> None:
        path = put(store, "mine", '{"provider": "ollama", "model": "m"}')

        assert store.load("mine") == StandardProfile("mine", "ollama", "m", path=path)

    def test_else_an_example(self, store: ProfileStore) -> None:
        profile = store.load("testlb489")

        assert isinstance(profile, LoadBalancerProfile)
        assert profile.members == ("synthetic", "chutes", "groqgpt")
        assert profile.path is None

    def test_a_file_of_ones_own_goes_before_the_example(self, store: ProfileStore) -> None:
        put(store, "chutes", '{"provider": "ollama", "model": "mine"}')

        assert getattr(store.load("chutes"), "model", None) == "mine"

    def test_a_broken_file_of_ones_own_does_not_fall_back_to_the_example(self, store: ProfileStore) -> None:
        put(store, "chutes", "{")

        with pytest.raises(ProfileError, match="not JSON"):
            store.load("chutes")

    def test_a_link_to_nowhere_is_told_and_not_passed_over(self, store: ProfileStore) -> None:
        put(store, "other", "{}")
        (store.folder / "chutes.json").symlink_to("nowhere")

        with pytest.raises(ProfileError, match=r"chutes\.json: no such file"):
            store.load("chutes")

    def test_a_path_is_read_wherever_it_is(
        self, store: ProfileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here.json").write_text('{"provider": "ollama", "model": "m"}')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))

        for path in ("here.json", "./here.json", str(tmp_path / "here.json"), "~/here.json"):
            profile = store.load(path)
            assert profile.name == "here"
            assert profile.path is not None
            assert profile.path.samefile(tmp_path / "here.json")

    def test_a_path_without_json_is_its_whole_name(self, store: ProfileStore, tmp_path: Path) -> None:
        (tmp_path / "a.b").write_text('{"provider": "ollama", "model": "m"}')

        assert store.load(str(tmp_path / "a.b")).name == "a.b"

    def test_a_missing_path_is_one_line(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match=r"^nowhere\.json: no such file or directory$"):
            store.load("./nowhere.json")

    def test_beside_comes_first_for_members(self, store: ProfileStore, tmp_path: Path) -> None:
        put(store, "one", '{"provider": "ollama", "model": "of the folder"}')
        beside = tmp_path / "project"
        beside.mkdir()
        (beside / "one.json").write_text('{"provider": "ollama", "model": "beside"}')

        models = [
            getattr(store.load("one", beside=where), "model", None)
            for where in (beside / "lb.json", tmp_path / "lb.json", None)
        ]

        assert models == ["beside", "of the folder", "of the folder"]

    def test_a_missing_name_offers_the_nearest_and_the_list(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match='no profile named "sintetic" in ') as caught:
            store.load("sintetic")
        assert caught.value.hint == "did you mean synthetic? `understudy profile list` shows all"

        with pytest.raises(ProfileError) as caught:
            store.load("zzz")
        assert caught.value.hint == "`understudy profile list` shows all"

    @pytest.mark.parametrize("name", ["", ".hidden", "two words", "a" * 65, "name\n"])
    def test_a_name_that_is_none_is_told_so(self, store: ProfileStore, name: str) -> None:
        with pytest.raises(ProfileError, match="is no profile name") as caught:
            store.load(name)
        assert str(caught.value.hint).startswith("a name is 1 to 64 letters")


class TestNames:
    def test_the_folders_and_the_examples_sorted(self, store: ProfileStore) -> None:
        assert store.own_names() == ()
        assert store.example_names() == EXAMPLES

        put(store, "mine", "{}")
        put(store, "chutes", "{}")

        assert store.own_names() == ("chutes", "mine")
        assert store.names() == ("chutes", "groqgpt", "mine", "synthetic", "testlb489")

    def test_what_is_no_profile_is_left_alone(self, store: ProfileStore) -> None:
        for name in ("notes", ".draft", "two words", "mine"):
            put(store, name, "{}")
        (store.folder / "notes.json").rename(store.folder / "notes.txt")

        assert store.own_names() == ("mine",)

    def test_a_folder_that_is_none_is_one_line(self, store: ProfileStore) -> None:
        store.home.mkdir()
        store.folder.write_text("")

        with pytest.raises(ConfigurationError, match=r"profiles can't be listed: not a directory$"):
            store.names()

    def test_its_repr_names_the_folder(self, store: ProfileStore) -> None:
        assert repr(store) == f"<ProfileStore {store.home}>"


class TestSave:
    def test_what_is_saved_is_loaded_and_private(self, store: ProfileStore) -> None:
        path = store.save(member("mine", timeout_ms=5))

        assert path == store.folder / "mine.json"
        assert store.load("mine").settings == {"timeout_ms": 5}
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, store.folder, store.home)]
        assert modes == [0o600, 0o700, 0o700]

    def test_it_takes_the_place_of_what_was_there(self, store: ProfileStore) -> None:
        store.save(member("mine", timeout_ms=5))
        store.save(member("mine", timeout_ms=6))

        assert store.load("mine").settings == {"timeout_ms": 6}
        assert os.listdir(store.folder) == ["mine.json"]

    def test_an_inline_key_is_saved_only_if_asked_for(self, store: ProfileStore) -> None:
        profile = member("mine", auth_key="my-key")

        assert "my-key" not in store.save(profile).read_text()
        store.save(profile, inline_key=True)
        assert store.load("mine").settings == {"auth-key": Secret("my-key")}
        assert "my-key" not in json.dumps(store.show("mine"))
        assert store.show("mine")["ephemeralSettings"] == {"auth-key": "********"}

    def test_a_balancer_is_saved_without_any_key_or_address(self, store: ProfileStore) -> None:
        store.save(member("a", auth_key="my-key", base_url="https://a/v1"), inline_key=True)
        text = store.save(balancer("lb", "a")).read_text()

        assert "my-key" not in text
        assert "https" not in text

    def test_paths_still_lead_where_they_led(
        self, store: ProfileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store.save(member("mine", auth_keyfile="keys/mine", ca_file="~/ca.pem"))

        saved = store.load("mine")

        assert isinstance(saved, StandardProfile)
        assert saved.key == KeyFile(tmp_path / "keys" / "mine")
        assert saved.settings["ca-file"] == "~/ca.pem"

    def test_paths_of_a_profile_at_home_stay_as_they_are(self, store: ProfileStore) -> None:
        put(
            store,
            "mine",
            '{"provider": "ollama", "model": "m", "ephemeralSettings": {"auth-keyfile": "keys/mine"}}',
        )
        store.save(store.load("mine"))

        assert store.load("mine").settings == {"auth-keyfile": "keys/mine"}

    def test_a_balancer_of_a_missing_member_is_refused_with_the_nearest_name(
        self, store: ProfileStore
    ) -> None:
        with pytest.raises(ProfileError, match='no profile named "chute"') as caught:
            store.save(balancer("lb", "chute"))
        assert "did you mean chutes?" in str(caught.value.hint)
        assert store.own_names() == ()

    def test_a_balancer_of_balancers_is_refused(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match="testlb489 is a load balancer") as caught:
            store.save(balancer("lb", "chutes", "testlb489"))
        assert caught.value.hint == "list its members instead"

    def test_a_member_does_not_become_a_balancer(self, store: ProfileStore) -> None:
        store.save(member("a"))
        store.save(balancer("lb", "a"))

        with pytest.raises(ConfigurationError, match="a can't become a load balancer: it is a member of lb"):
            store.save(balancer("a", "chutes"))

    def test_a_folder_that_cant_be_written_is_one_line(self, store: ProfileStore) -> None:
        store.home.write_text("")

        with pytest.raises(ConfigurationError, match=r"mine\.json can't be written: "):
            store.save(member("mine"))


class TestDelete:
    def test_it_is_gone(self, store: ProfileStore) -> None:
        store.save(member("mine"))
        store.delete("mine")

        assert store.own_names() == ()

    def test_a_member_is_refused_and_who_refers_to_it_is_named(self, store: ProfileStore) -> None:
        store.save(member("mine"))
        store.save(balancer("first", "mine"))
        store.save(balancer("second", "mine"))
        put(store, "broken", '{"type": "loadbalancer", "profiles": ["mine", 5], "unknown": 1}')
        put(store, "unreadable", "{")
        put(store, "strange", '{"profiles": "mine"}')

        with pytest.raises(ConfigurationError) as caught:
            store.delete("mine")

        assert caught.value.message == "mine can't be deleted: it is a member of broken, first, second"
        assert caught.value.hint == "take it off their lists first, or delete them"
        assert "mine" in store.own_names()

    def test_an_example_cant_be_deleted_but_ones_own_in_its_place_can(self, store: ProfileStore) -> None:
        with pytest.raises(ConfigurationError, match="chutes ships with Understudy"):
            store.delete("chutes")

        store.save(member("chutes"))
        store.delete("chutes")

        assert store.load("chutes").settings["auth-key-env"] == "CHUTES_API_KEY"

    def test_a_missing_one_is_told_so(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match='no profile named "mine"'):
            store.delete("mine")

    def test_a_path_is_no_name(self, store: ProfileStore, tmp_path: Path) -> None:
        with pytest.raises(ProfileError, match="is no profile name"):
            store.delete(str(tmp_path))

    def test_what_the_system_refuses_is_one_line(self, store: ProfileStore) -> None:
        (store.folder / "mine.json").mkdir(parents=True)

        with pytest.raises(ConfigurationError, match=r"mine\.json can't be deleted: "):
            store.delete("mine")

    def test_the_default_goes_with_its_profile(self, store: ProfileStore) -> None:
        for name in ("mine", "other"):
            store.save(member(name))
        store.set_default("mine")

        store.delete("other")
        assert store.default == "mine"
        store.delete("mine")
        assert store.default is None


class TestDefault:
    def test_there_is_none_until_one_is_chosen(self, store: ProfileStore) -> None:
        assert store.default is None

        store.set_default("testlb489")
        assert store.default == "testlb489"

        store.set_default(None)
        assert store.default is None
        store.set_default(None)

    def test_a_missing_one_is_refused(self, store: ProfileStore) -> None:
        with pytest.raises(ProfileError, match='no profile named "nothing"'):
            store.set_default("nothing")

    def test_an_empty_file_is_none(self, store: ProfileStore) -> None:
        store.home.mkdir()
        (store.home / "default-profile").write_text("\n")

        assert store.default is None

    def test_what_the_system_refuses_is_one_line(self, store: ProfileStore) -> None:
        (store.home / "default-profile").mkdir(parents=True)

        with pytest.raises(ConfigurationError, match="can't be deleted"):
            store.set_default(None)


class TestExamples:
    def test_the_balancer_ships_as_it_was_promised(self, store: ProfileStore) -> None:
        assert store.load("testlb489") == LoadBalancerProfile(
            "testlb489",
            "failover",
            ("synthetic", "chutes", "groqgpt"),
            settings={
                "tpm_threshold": 500,
                "timeout_ms": 30_000,
                "circuit_breaker_enabled": True,
                "circuit_breaker_failure_threshold": 3,
                "circuit_breaker_failure_window_ms": 60_000,
                "circuit_breaker_recovery_timeout_ms": 30_000,
                "failover_retry_count": 2,
                "failover_retry_delay_ms": 1_000,
            },
        )

    @pytest.mark.parametrize(
        ("name", "base_url", "variable"),
        [
            ("synthetic", "https://api.synthetic.new/openai/v1", "SYNTHETIC_API_KEY"),
            ("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY"),
            ("groqgpt", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        ],
    )
    def test_its_members_are_real(self, store: ProfileStore, name: str, base_url: str, variable: str) -> None:
        profile = store.load(name)

        assert isinstance(profile, StandardProfile)
        assert (profile.base_url, profile.settings["auth-key-env"]) == (base_url, variable)
        assert profile.warnings == ()
