"""Facts about profiles from their files: what is served, and what a change of the files makes of it."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.files import Files, Repertory
from tests.runtime.house import DONE, STOP, completion, delta, refusal, stream
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError
from understudy.gateway import loading
from understudy.gateway.loading import Plan, SharedTransport
from understudy.gateway.worker import Worker
from understudy.testing import ManualClock, ScriptedTransport

KEYS = dict.fromkeys(("SYNTHETIC_API_KEY", "CHUTES_API_KEY", "GROQ_API_KEY"), "sk-0123456789")
HELD = stream(delta("To"), 5.0, delta(" be"), STOP, DONE)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def refused(files: Files, *names: str, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Repertory(files, None, *names, **options)
    return caught.value


# Rule 1


def test_with_names_given_these_are_served_and_nothing_else(files: Files) -> None:
    files.pool("morning", "b", "a")
    house = Repertory(files, None, "morning", "a")
    assert list(house.profiles.by_name) == ["morning", "a"]


@pytest.mark.parametrize("name", ["nobody", "broken", "useless"])
def test_a_wrong_one_is_an_error(files: Files, name: str) -> None:
    files.save("broken", "{")
    files.pool("useless", "x", "y")
    assert refused(files, "evening", name).message


def test_a_profile_may_be_given_by_path(files: Files, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("evening", "a", "b"):
        (files.path / "profiles" / f"{name}.json").rename(elsewhere / f"{name}.json")
    house = Repertory(files, None, str(elsewhere / "evening.json"))
    assert list(house.profiles.by_name) == ["evening"]


def test_without_names_every_saved_load_balancer_is_served(files: Files) -> None:
    files.pool("morning", "b", "a")
    assert list(Repertory(files).profiles.by_name) == ["evening", "morning"]


def test_a_shipped_example_too_once_its_keys_are_there(files: Files) -> None:
    assert "testlb489" in Repertory(files, environ=KEYS).profiles.by_name


def test_one_that_cannot_be_used_is_left_out_with_a_warning(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.save("broken", "{")
    files.pool("useless", "x", "y")
    assert list(Repertory(files).profiles.by_name) == ["evening"]
    broken, useless = (record.getMessage() for record in caplog.records)
    assert broken.startswith("broken is not served: ")
    assert useless.startswith("useless is not served: no member of useless can be used: x: no profile named")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_if_none_is_left_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    with pytest.raises(ConfigurationError, match=r"no load-balancer profile in .* can be served") as caught:
        loading.load(_plan(tmp_path))
    assert "--profile-load NAME" in str(caught.value.hint)


def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    plan = _plan(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="can be served"):
        loading.load(plan)
    assert loading.fingerprint(plan) == ()


def _plan(home: Path, *names: str) -> Plan:
    return Plan(ProfileStore(home), {}, SharedTransport(ScriptedTransport(ManualClock(), {})), names=names)


def test_a_profiles_warnings_are_said(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.pool("evening", "a", "b", "c")
    Repertory(files)
    (record,) = caplog.records
    assert record.getMessage().startswith('evening: c is skipped (missing): no profile named "c"')


def test_options_come_before_the_profiles_settings_and_doors_are_as_asked_for(files: Files) -> None:
    house = Repertory(files, settings={"wait_for_capacity_ms": "1500"}, limit=3, queue=2)
    served = house.profiles.by_name["evening"]
    assert served.balancer.setting("wait_for_capacity_ms") == (1500, "--set")
    assert (served.door.limit, served.door.queue, served.door.patience) == (3, 2, 1.5)


# Rule 2


def test_the_first_name_given_is_the_default(files: Files) -> None:
    files.pool("morning", "b", "a")
    assert Repertory(files, None, "morning", "evening").profiles.default == "morning"


def test_without_names_the_saved_default_is_if_it_is_served(files: Files) -> None:
    store = ProfileStore(files.path)
    assert Repertory(files).profiles.default is None
    store.set_default("evening")
    assert Repertory(files).profiles.default == "evening"
    store.set_default("a")
    assert Repertory(files).profiles.default is None
    assert Repertory(files, None, "evening").profiles.default == "evening"


# Rule 3


def test_aliases_are_saved_or_given_and_those_given_come_first(files: Files) -> None:
    files.pool("morning", "b", "a")
    files.name_aliases(**{"gpt-*": "morning", "claude-*": "morning"})
    house = Repertory(files, aliases={"claude-*": "evening", "o1": "evening"})
    assert list(house.profiles.aliases.items()) == [
        ("claude-*", "evening"),
        ("o1", "evening"),
        ("gpt-*", "morning"),
    ]


def test_an_alias_stands_for_a_profile_that_is_served(files: Files) -> None:
    files.name_aliases(gpt="a")
    error = refused(files)
    assert error.message == "the alias gpt stands for a, which is not served"
    assert error.hint == "served are evening"
    files.say("{}")
    assert "o1 stands for nobody" in refused(files, aliases={"o1": "nobody"}).message


@pytest.mark.parametrize("text", ["{", "[]", '{"aliases": {"a": 1}}', '{"aliasses": {}}'])
def test_a_gateway_file_that_holds_anything_else_is_refused(files: Files, text: str) -> None:
    files.say(text)
    error = refused(files)
    assert "gateway.json: " in error.message
    assert '{"aliases": {"MODEL": "PROFILE"}}' in str(error.hint)


def test_one_that_cannot_be_read_is_no_empty_one(files: Files) -> None:
    (files.path / "gateway.json").symlink_to("nowhere")
    assert "gateway.json: no such file" in refused(files).message


# Rule 4: anew


async def test_a_changed_profile_is_served_by_what_its_file_says_now(files: Files) -> None:
    house = Repertory(files, {"a": completion(), "b": completion(), "c": completion()})
    assert await house.answered_by() == "a"
    files.member("c", model="another")
    files.pool("evening", "c", "a", failover_retry_count=5)
    await house.reload()
    assert await house.answered_by() == "c"
    assert house.asked() == ["m", "another"]
    assert house.profiles.by_name["evening"].balancer.setting("failover_retry_count")[0] == 5
    assert list(house.stats()["backends"]) == ["c", "a"]


async def test_a_profile_that_is_new_is_served_and_one_that_is_gone_is_not_found_at_once(
    files: Files,
) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()})
    files.pool("morning", "b", "a")
    files.remove("evening")
    await house.reload()
    assert await house.answered_by("morning") == "b"
    assert (await house.ask("evening")).status == 404


async def test_what_runs_finishes_on_what_it_started_with(files: Files) -> None:
    house = Repertory(files, {"a": [HELD, completion()], "b": completion()})
    running = await house.ask(stream=True)
    files.member("a", model="another")
    files.pool("evening", "a", "b", timeout_ms=1)
    await house.reload()
    await house.ask()
    assert house.asked() == ["m", "another"]
    assert house.stats()["in_flight"] == 1
    await house.clock.advance(5)
    assert running.body == delta("To") + delta(" be") + STOP + DONE
    assert (house.stats()["answered"], house.stats()["in_flight"]) == (2, 0)


async def test_so_does_what_runs_on_a_profile_that_is_gone(files: Files) -> None:
    house = Repertory(files, {"a": HELD, "b": completion()})
    files.pool("morning", "b", "a")
    await house.reload()
    running = await house.ask(stream=True)
    files.remove("evening")
    await house.reload()
    assert [one.name for one in house.profiles.leaving] == ["evening"]
    await house.reload()
    assert [one.name for one in house.profiles.leaving] == ["evening"], "it is still busy"
    await house.clock.advance(5)
    assert running.body.endswith(DONE)
    await house.reload()
    assert house.profiles.leaving == ()


async def test_and_it_is_ended_with_the_rest_when_the_gateway_closes(files: Files) -> None:
    house = Repertory(files, {"a": HELD, "b": completion()}, limit=1)
    files.pool("morning", "b", "a")
    await house.reload()
    running, queued = await house.ask(stream=True), await house.ask(stream=True)
    files.remove("evening")
    await house.reload()
    await house.gateway.close()
    await house.clock.advance()
    assert b"shutting_down" in running.body
    assert (queued.status, queued.json["error"]["code"]) == (503, "shutting_down")


async def _ailing(house: Repertory) -> None:
    """`a` is benched and has its circuit forced open, and has answered once."""
    await house.ask()
    await house.ask()
    house.profiles.by_name["evening"].balancer.act("a", "open")


async def test_a_member_that_is_the_same_keeps_its_circuit_bench_and_figures(files: Files) -> None:
    house = Repertory(files, {"a": [completion(), refusal(429, retry_after="600")], "b": completion()})
    await _ailing(house)
    before = house.stats()
    files.pool("evening", "b", "a", circuit_breaker_failure_threshold=7)
    await house.reload()
    after = house.stats()
    for name in "ab":
        kept = {**before["backends"][name], "bench_remaining_ms": None}
        assert {**after["backends"][name], "bench_remaining_ms": None} == kept
    assert after["backends"]["a"]["circuit_breaker"]["state"] == "open"
    assert after["backends"]["a"]["bench_remaining_ms"] > 500_000
    assert after["backends"]["a"]["tpm"] > 0
    assert (after["total_requests"], after["answered"], after["failed_over"]) == (2, 2, 1)


@pytest.mark.parametrize("change", [{"model": "another"}, {"timeout_ms": 1234}, {"auth-key": "sk-new-key"}])
async def test_one_that_has_changed_begins_anew(files: Files, change: dict[str, Any]) -> None:
    house = Repertory(files, {"a": [completion(), refusal(429, retry_after="600")], "b": completion()})
    await _ailing(house)
    files.member("a", **change)
    await house.reload()
    backends = house.stats()["backends"]
    assert (backends["a"]["requests"], backends["a"]["bench_remaining_ms"], backends["a"]["tpm"]) == (0, 0, 0)
    assert backends["a"]["circuit_breaker"]["state"] == "closed"
    assert backends["b"]["requests"] == 1
    assert house.stats()["total_requests"] == 2, "the pool goes on counting"


async def test_a_key_that_has_changed_in_the_environment_is_a_change_too(files: Files) -> None:
    environ = {"A_KEY": "sk-old-0123456789"}
    files.member("a", **{"auth-key-env": "A_KEY"})
    house = Repertory(files, {"a": completion(), "b": completion()}, environ=environ)
    await house.ask()
    await house.reload()
    assert house.stats()["backends"]["a"]["requests"] == 1
    environ["A_KEY"] = "sk-new-0123456789"
    await house.reload()
    assert house.stats()["backends"]["a"]["requests"] == 0
    await house.ask()
    sent = [request.headers["authorization"] for request in house.transport.requests]
    assert sent == ["Bearer sk-old-0123456789", "Bearer sk-new-0123456789"]


async def test_live_settings_stay_in_force_and_the_door_follows_the_new_ones(files: Files) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()})
    served = house.profiles.by_name["evening"]
    served.balancer.set("timeout_ms", 777)
    files.pool("evening", "a", "b", timeout_ms=5, wait_for_capacity_ms=2500)
    await house.reload()
    assert house.profiles.by_name["evening"] is served
    assert served.balancer.setting("timeout_ms") == (777, "/set")
    assert served.door.patience == 2.5


async def test_round_robin_goes_on_where_it_was(files: Files) -> None:
    files.pool("evening", "a", "b", policy="roundrobin")
    house = Repertory(files, {"a": completion(), "b": completion()})
    assert await house.answered_by() == "a"
    files.pool("evening", "a", "b", policy="roundrobin", timeout_ms=1234)
    await house.reload()
    assert await house.answered_by() == "b"


async def test_aliases_and_the_default_are_loaded_anew(files: Files) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()})
    assert (await house.ask("gpt-4o")).status == 404
    files.name_aliases(**{"gpt-*": "evening"})
    await house.reload()
    assert (await house.ask("gpt-4o")).status == 200
    ProfileStore(files.path).set_default("evening")
    await house.reload()
    assert (await house.ask("whatever")).status == 200


# Rule 4: all or nothing


def _malformed(files: Files) -> None:
    files.save("evening", "{")


def _malformed_member(files: Files) -> None:
    files.save("a", "[]")


def _unknown_setting(files: Files) -> None:
    files.pool("evening", "a", "b", timout_ms=5)


def _vanished_member(files: Files) -> None:
    files.remove("b")


def _unknown_member(files: Files) -> None:
    files.pool("evening", "a", "b", "nobody")


def _no_usable_member(files: Files) -> None:
    files.pool("evening", "x", "y")


def _member_without_key(files: Files) -> None:
    files.member("b", **{"auth-key-env": "NO_SUCH_KEY"})


def _malformed_newcomer(files: Files) -> None:
    files.save("newcomer", "{")


def _malformed_aliases(files: Files) -> None:
    files.say("{")


def _alias_to_nobody(files: Files) -> None:
    files.name_aliases(gpt="nobody")


def _unreadable_default(files: Files) -> None:
    (files.path / "default-profile").write_bytes(b"\xff")


def _nothing_left(files: Files) -> None:
    files.remove("evening")
    files.remove("morning")


BAD = [
    (_malformed, "evening.json"),
    (_malformed_member, "a.json: a profile must be a JSON object"),
    (_unknown_setting, "timout_ms"),
    (_vanished_member, 'evening: b: no profile named "b"'),
    (_unknown_member, 'evening: nobody: no profile named "nobody"'),
    (_no_usable_member, "no member of evening can be used"),
    (_member_without_key, "evening: b: environment variable NO_SUCH_KEY"),
    (_malformed_newcomer, "newcomer.json"),
    (_malformed_aliases, "gateway.json"),
    (_alias_to_nobody, "stands for nobody"),
    (_unreadable_default, "default-profile: not UTF-8"),
    (_nothing_left, "can be served"),
]


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=[spoil.__name__.strip("_") for spoil, _ in BAD])
async def test_one_bad_file_and_all_stays_as_it_is(files: Files, spoil: Any, said: str) -> None:
    """Another profile has changed too, rightly, and is not taken either."""
    files.pool("morning", "a", "b")
    house = Repertory(files, {"a": [HELD, completion()], "b": completion()})
    running = await house.ask(stream=True)
    before, stats = house.profiles, house.stats()
    files.pool("morning", "b", "a")
    spoil(files)
    with pytest.raises(ConfigurationError, match=said):
        await house.reload()
    assert house.profiles is before
    assert house.stats() == stats
    assert await house.answered_by("morning") == "a"
    assert await house.answered_by("evening") == "a"
    await house.clock.advance(5)
    assert running.body.endswith(DONE)


async def test_with_names_given_one_that_has_gone_is_refused(files: Files) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()}, "evening")
    files.remove("evening")
    with pytest.raises(ConfigurationError, match='no profile named "evening"'):
        await house.reload()
    assert await house.answered_by() == "a"


async def test_and_a_member_of_it_whose_file_is_spoilt(files: Files) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()}, "evening")
    files.save("b", "{")
    with pytest.raises(ConfigurationError, match="evening: b: "):
        await house.reload()
    assert house.stats()["backends"].keys() == {"a", "b"}


async def test_a_new_profile_that_cannot_be_used_yet_is_left_out_with_a_warning(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    house = Repertory(files, {"a": completion(), "b": completion()})
    files.pool("useless", "x", "y")
    await house.reload()
    assert list(house.profiles.by_name) == ["evening"]
    assert "useless is not served: no member of useless can be used" in caplog.text


async def test_a_file_that_was_broken_at_the_start_is_no_reason_to_refuse(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.save("broken", "{")
    house = Repertory(files, {"a": completion(), "b": completion()})
    files.pool("morning", "b", "a")
    await house.reload()
    await house.reload()
    assert list(house.profiles.by_name) == ["evening", "morning"]
    assert caplog.text.count("broken is not served") == 1


async def test_but_one_that_is_broken_in_another_way_is(files: Files) -> None:
    files.save("broken", "{")
    house = Repertory(files, {"a": completion(), "b": completion()})
    files.save("broken", "[")
    with pytest.raises(ConfigurationError, match="broken"):
        await house.reload()
    files.save("broken", "{")
    await house.reload()


async def test_and_so_is_one_that_was_mended_and_broken_again(files: Files) -> None:
    files.save("broken", "{")
    house = Repertory(files, {"a": completion(), "b": completion()})
    files.pool("broken", "b", "a")
    await house.reload()
    files.save("broken", "{")
    with pytest.raises(ConfigurationError, match="broken"):
        await house.reload()


async def test_a_member_that_could_not_be_used_before_is_no_reason_to_refuse(files: Files) -> None:
    files.pool("evening", "a", "b", "c")
    house = Repertory(files, {"a": completion(), "b": completion(), "c": completion()})
    files.pool("evening", "b", "a", "c")
    await house.reload()
    assert await house.answered_by() == "b"
    files.member("c")
    files.pool("evening", "c", "a", "b")
    await house.reload()
    assert await house.answered_by() == "c"


async def test_only_new_warnings_are_said(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.pool("evening", "a", "b", "c")
    house = Repertory(files)
    caplog.clear()
    files.pool("evening", "a", "b", "c", timeout_ms=700_000)
    await house.reload()
    (record,) = caplog.records
    assert record.getMessage().startswith("evening: evening: request_timeout_ms")
    caplog.clear()
    files.pool("morning", "a", "b", timeout_ms=700_000)
    await house.reload()
    (record,) = caplog.records
    assert record.getMessage().startswith("morning: ")


# What is looked at


def test_the_fingerprint_changes_with_every_file_that_is_read(files: Files) -> None:
    plan = _plan(files.path)
    seen = [loading.fingerprint(plan)]

    def changed() -> bool:
        seen.append(loading.fingerprint(plan))
        return seen[-1] != seen[-2]

    assert not changed()
    files.member("c")
    assert changed()
    files.member("c", model="another-one")
    assert changed()
    os.utime(files.path / "profiles" / "c.json", (1, 1))
    assert changed()
    files.remove("c")
    assert changed()
    files.name_aliases()
    assert changed()
    ProfileStore(files.path).set_default("evening")
    assert changed()
    (files.path / "profiles" / "notes.txt").write_text("no profile")
    assert not changed()


def test_so_it_does_when_a_file_is_swapped_for_another_of_the_same_size_and_time(files: Files) -> None:
    plan = _plan(files.path)
    file, other = files.path / "profiles" / "a.json", files.path / "profiles" / "draft"
    os.utime(file, (1, 1))
    before = loading.fingerprint(plan)
    other.write_bytes(file.read_bytes())
    os.utime(other, (1, 1))
    other.replace(file)
    assert loading.fingerprint(plan) != before


def test_beside_a_profile_given_by_path_its_members_are_looked_at(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(elsewhere / "evening.json"), "~/elsewhere/evening.json"):
        plan = _plan(files.path, name)
        before = loading.fingerprint(plan)
        (elsewhere / "a.json").write_text(json.dumps(name))
        assert loading.fingerprint(plan) != before


def test_a_file_that_is_gone_since_it_was_listed_is_passed_over(files: Files) -> None:
    (files.path / "profiles" / "a.json").unlink()
    (files.path / "profiles" / "a.json").symlink_to("nowhere")
    assert "a.json" not in repr(loading.fingerprint(_plan(files.path)))


# The transport


async def test_one_transport_serves_all_and_is_closed_at_the_end_alone(files: Files) -> None:
    files.pool("morning", "b", "a")
    house = Repertory(files, {"a": completion(), "b": completion()})
    await house.profiles.by_name["morning"].balancer.aclose()
    assert not house.transport.closed
    assert await house.answered_by("evening") == "a"
    await house.plan.transport.close_for_good()
    assert house.transport.closed


# Rule 5


def test_what_was_read_once_serves_whatever_becomes_of_the_files(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.pool("useless", "x", "y")
    files.name_aliases(gpt="evening")
    plan = Repertory(files, None).plan
    caplog.clear()
    reading = loading.read(plan)
    files.remove("evening")
    for number in (1, 2):
        profiles = loading.load(replace(plan, worker=Worker(number, 2)), reading)
        assert (list(profiles.by_name), profiles.aliases) == (["evening"], {"gpt": "evening"})
        assert "useless" in profiles.left_out
    assert len(caplog.messages) == 1, "what is left out is said by who has read it"


async def test_the_ceilings_of_all_workers_are_those_that_the_files_set_loaded_anew_too(files: Files) -> None:
    files.member("a", rpm_limit=7)
    files.pool("evening", "a", "b", tpm_limit=1000)
    houses = [
        Repertory(files, None, worker=Worker(number, 3), limit=10, queue=2, settings={"max_concurrency": "4"})
        for number in (1, 2, 3)
    ]
    doors = [house.profiles.by_name["evening"].door for house in houses]
    assert [(door.limit, door.queue) for door in doors] == [(4, 1), (3, 1), (3, 0)]

    def ceilings(key: str) -> int:
        return sum(house.stats()["backends"]["a"]["ceilings"][key]["limit"] for house in houses)

    assert [ceilings(key) for key in ("rpm_limit", "tpm_limit", "max_concurrency")] == [7, 1000, 4]
    files.member("a", rpm_limit=8)
    for house in houses:
        await house.reload()
    assert ceilings("rpm_limit") == 8
    files.member("a", rpm_limit=2)
    for house in houses:
        with pytest.raises(ConfigurationError, match="rpm_limit 2 can't be divided among 3 workers"):
            await house.reload()
    assert ceilings("rpm_limit") == 8
