"""What a session holds between two lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.builders import home, pair, standard
from understudy.cli.session import LIVE_SETTINGS, Session
from understudy.config.profile import StandardProfile
from understudy.config.store import ProfileStore
from understudy.core.settings import Source
from understudy.errors import ConfigurationError, SettingError


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return home(tmp_path)


@pytest.fixture
async def session(store: ProfileStore) -> AsyncIterator[Session]:
    session = Session(store, {}, options={"stall_timeout_ms": "7000"})
    yield session
    await session.close()


class TestWhoAnswers:
    async def test_nobody_at_first(self, session: Session) -> None:
        with pytest.raises(ConfigurationError, match=r"/profile load NAME .* `understudy demo`"):
            await session.balancer()
        with pytest.raises(ConfigurationError, match="no profile is loaded"):
            _ = session.profile
        assert (session.load_balancer, session.stats(), session.status) == (None, None, "no profile")
        assert repr(session) == "<Session no profile, 0 messages>"

    async def test_a_loaded_load_balancer(self, session: Session) -> None:
        await session.load("pair")

        assert session.load_balancer is session.profile
        assert session.status == "lb:pair:first:model-of-first"
        assert (await session.balancer()).profile.name == "pair"
        stats = session.stats()
        assert stats is not None
        assert [backend.name for backend in stats.backends] == ["first", "second"]

    async def test_a_loaded_standard_profile_which_is_no_load_balancer(self, session: Session) -> None:
        await session.load("first")

        assert (session.load_balancer, session.stats()) == (None, None)
        assert session.status == "first:model-of-first"
        assert (await session.balancer()).profile.members[0].name == "first"
        assert session.profile.name == "first"

    async def test_the_draft_once_it_is_one(self, session: Session) -> None:
        session.draft = session.draft.with_provider("ollama")
        assert session.status == "unsaved:-"
        with pytest.raises(ConfigurationError, match="no model yet"):
            await session.balancer()
        session.draft = session.draft.with_model("m")

        assert session.status == "unsaved:m"
        assert (await session.balancer()).profile.name == "unsaved"

    async def test_a_changed_draft_answers_anew_and_an_unchanged_one_goes_on(self, session: Session) -> None:
        await session.load("first")
        before = await session.balancer()
        assert await session.balancer() is before
        session.draft = session.draft.with_model("other")
        after = await session.balancer()

        assert after is not before
        assert after.profile.members[0].profile is not None
        assert after.profile.members[0].profile.model == "other"

    async def test_beside_a_load_balancer_a_draft_only_prepares_another_profile(
        self, session: Session
    ) -> None:
        await session.load("pair")
        session.draft = session.draft.with_provider("ollama").with_model("m")

        assert (await session.balancer()).profile.name == "pair"
        assert session.status.startswith("lb:pair:")

    async def test_who_answered_last_stands_in_the_status_until_another_profile_is_loaded(
        self, session: Session
    ) -> None:
        await session.load("pair")
        session.answered("q", "a", "second", "model-2")
        assert session.status == "lb:pair:second:model-2"
        session.answered("q", "a", "second", None)
        assert session.status == "lb:pair:second:-"
        await session.load("pair")

        assert session.status == "lb:pair:first:model-of-first"

    async def test_before_any_answer_the_status_names_the_first_member_that_can(
        self, session: Session, store: ProfileStore
    ) -> None:
        store.save(StandardProfile("first", "openai", "m"))
        warnings = await session.load("pair")

        assert session.status == "lb:pair:second:model-of-second"
        assert "first is skipped (no_key)" in warnings[0]


class TestLoading:
    async def test_it_drops_what_set_had_set(self, session: Session) -> None:
        session.set("timeout_ms", "5000")
        await session.load("pair")

        assert session.live_keys == ()
        assert session.setting("timeout_ms") == (60_000, Source.DEFAULT)

    async def test_what_cant_be_loaded_leaves_everything_as_it_was(
        self, session: Session, store: ProfileStore
    ) -> None:
        await session.load("pair")
        session.set("timeout_ms", "5000")
        balancer = await session.balancer()
        store.save(StandardProfile("keyless", "openai", "m"))
        for name in ("absent", "keyless"):
            with pytest.raises(ConfigurationError):
                await session.load(name)

        assert await session.balancer() is balancer
        assert session.live_keys == ("timeout_ms",)

    async def test_it_keeps_the_conversation_and_replaces_draft_and_load_balancer(
        self, session: Session
    ) -> None:
        session.answered("q", "a", None, None)
        await session.load("pair")
        session.draft = session.draft.with_model("m")
        await session.load("pair")
        assert session.draft.is_empty
        await session.load("first")

        assert session.load_balancer is None
        assert session.draft.name == "first"
        assert len(session.messages) == 2

    async def test_a_path_will_do(self, session: Session, tmp_path: Path) -> None:
        folder = tmp_path / "elsewhere"
        ProfileStore(folder).save(standard("away"))
        await session.load(str(folder / "profiles" / "away.json"))

        assert session.status == "away:model-of-away"


class TestSettings:
    async def test_each_layer_wins_over_those_before_it(self, session: Session, store: ProfileStore) -> None:
        store.save(pair(timeout_ms=1000, stall_timeout_ms=1000, connect_timeout_ms=1000))
        await session.load("pair")
        session.set("timeout-ms", "2000")

        assert session.setting("timeout_ms") == (2000, Source.SESSION)
        assert session.setting("stall_timeout_ms") == (7000, Source.OPTION)
        assert session.setting("connect_timeout_ms") == (1000, Source.PROFILE)
        assert session.setting("bench_max_ms") == (900_000, Source.DEFAULT)

    async def test_a_change_holds_at_once_and_is_taken_back(self, session: Session) -> None:
        await session.load("pair")
        balancer = await session.balancer()
        session.set("timeout_ms", "2000")
        assert balancer.setting("timeout_ms") == (2000, Source.SESSION)

        assert session.unset("timeout-ms")
        assert balancer.setting("timeout_ms") == (60_000, Source.DEFAULT)
        assert not session.unset("timeout_ms")

    async def test_what_is_set_before_there_is_a_balancer_holds_for_the_drafts(
        self, session: Session
    ) -> None:
        session.set("timeout_ms", "2000")
        session.set("tpm_threshold", "5")
        session.unset("tpm_threshold")
        session.draft = session.draft.with_provider("ollama").with_model("m")
        balancer = await session.balancer()

        assert balancer.setting("timeout_ms") == (2000, Source.SESSION)
        assert balancer.setting("stall_timeout_ms") == (7000, Source.OPTION)
        assert balancer.setting("tpm_threshold") == (None, Source.DEFAULT)

    def test_the_registry_judges_every_value(self, session: Session, store: ProfileStore) -> None:
        with pytest.raises(SettingError, match="tpm_threshold must be a positive integer"):
            session.set("tpm_threshold", "0")
        with pytest.raises(SettingError, match="unknown setting"):
            session.unset("tpm")
        with pytest.raises(SettingError, match="timeout_ms must be"):
            Session(store, {}, options={"timeout_ms": "soon"})

    async def test_a_single_backends_own_settings_are_in_force(
        self, session: Session, store: ProfileStore
    ) -> None:
        store.save(standard("first", timeout_ms=1234))
        await session.load("first")

        assert session.setting("timeout_ms") == (1234, Source.MEMBER)
        assert session.member_settings("timeout_ms") == []

    async def test_members_with_settings_of_their_own_are_named(
        self, session: Session, store: ProfileStore
    ) -> None:
        store.save(standard("second", timeout_ms=1234))
        await session.load("pair")

        assert session.setting("timeout_ms") == (60_000, Source.DEFAULT)
        assert session.member_settings("timeout_ms") == [("second", 1234)]
        session.set("timeout_ms", "5")
        assert session.member_settings("timeout_ms") == []

    async def test_a_load_balancer_saved_now_gets_all_that_is_in_force_and_no_default(
        self, session: Session, store: ProfileStore
    ) -> None:
        store.save(standard("first", connect_timeout_ms=9))
        store.save(pair(timeout_ms=1000))
        await session.load("pair")
        session.set("tpm_threshold", "5")

        assert session.pool_settings() == {
            "failover_retry_delay_ms": 1,
            "timeout_ms": 1000,
            "stall_timeout_ms": 7000,
            "tpm_threshold": 5,
        }
        await session.load("first")
        assert session.pool_settings() == {"stall_timeout_ms": 7000}

    def test_settings_of_one_backend_are_none_to_change_here(self) -> None:
        keys = {setting.key for setting in LIVE_SETTINGS}

        assert "tpm_threshold" in keys
        assert not keys & {"base-url", "auth-key", "auth-keyfile", "context-limit"}


class TestConversation:
    def test_a_question_takes_along_what_was_said(self, session: Session) -> None:
        session.answered("one", "1", "first", "m")

        assert session.question("two") == [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "two"},
        ]
        assert len(session.messages) == 2

    def test_an_answer_without_text_is_none_to_go_on_from(self, session: Session) -> None:
        session.answered("one", "", "first", "m")

        assert session.messages == []


async def test_a_balancer_that_is_replaced_is_closed(session: Session) -> None:
    await session.load("pair")
    balancer = await session.balancer()
    await session.load("first")

    with pytest.raises(Exception, match="the balancer is closed"):
        await balancer.complete("hello")
