"""Facts about which profile a model's name means."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.stage import Stage
from tests.runtime.house import delta, speech, stream
from understudy.gateway.admission import Door
from understudy.gateway.http import HttpError
from understudy.gateway.profiles import Profiles, Served, patience


def served(name: str) -> Served:
    return Served(name, Stage(speech("Hello")).balancer, Door(1, 1, 1.0))


def profiles(*names: str, default: str | None = None, **aliases: str) -> Profiles:
    return Profiles({name: served(name) for name in names}, default=default, aliases=aliases)


def found(many: Profiles, model: str) -> str:
    return many.find(model).name


def message(many: Profiles, model: str) -> str:
    with pytest.raises(HttpError) as caught:
        many.find(model)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
    return caught.value.message


# Rule 1


def test_a_model_is_a_profiles_name_before_all_else() -> None:
    many = Profiles(
        {name: served(name) for name in ("evening", "morning")},
        default="morning",
        aliases={"evening": "morning", "*": "morning"},
    )
    assert found(many, "evening") == "evening"


def test_then_an_exact_alias_then_the_first_pattern_that_matches_then_the_default() -> None:
    many = Profiles(
        {name: served(name) for name in ("a", "b", "c", "d")},
        default="d",
        aliases={"claude-*": "b", "claude-opus": "a", "claude-o*": "c", "gpt-[45]": "c", "o?": "c"},
    )
    models = ["claude-opus", "claude-other", "gpt-4", "gpt-3", "o1", "o10", "anything"]
    assert [found(many, model) for model in models] == ["a", "b", "c", "d", "c", "d", "d"]


def test_letters_are_matched_as_they_are() -> None:
    many = Profiles({"a": served("a")}, aliases={"GPT-*": "a"})
    assert message(many, "gpt-4").startswith("no profile or alias is named 'gpt-4'")


def test_without_a_default_an_unknown_model_is_not_found_with_the_nearest_name() -> None:
    many = profiles("evening", "morning", gpt4o="evening")
    assert message(many, "evenin") == "no profile or alias is named 'evenin'; did you mean evening?"
    assert message(many, "gpt4") == "no profile or alias is named 'gpt4'; did you mean gpt4o?"
    assert message(many, "xyz").endswith("there are evening, morning, gpt4o")


def test_of_a_name_without_end_the_beginning_is_shown_and_compared() -> None:
    name = "e" * 60
    said = message(profiles(name), name + "v" * 1000)
    assert said == f"no profile or alias is named '{name}{'v' * 40}…'; did you mean {name}?"


def test_a_default_that_is_not_there_is_none() -> None:
    assert "xyz" in message(profiles("evening", default="gone"), "xyz")


def test_a_long_name_is_cut_where_it_is_shown_and_a_long_list_too() -> None:
    many = profiles(*(f"p{number}" for number in range(30)))
    shown = message(many, "x" * 1000)
    assert "x" * 100 + "…'" in shown
    assert "p19" in shown
    assert "p20" not in shown


@pytest.mark.parametrize("name", ["../evening", "/etc/passwd", "evening.json", "evening/", ""])
def test_names_never_become_paths(name: str) -> None:
    message(profiles("evening"), name)


def test_routes_that_name_a_profile_know_exact_aliases_and_neither_patterns_nor_the_default() -> None:
    many = Profiles(
        {"evening": served("evening")}, default="evening", aliases={"a": "evening", "b*": "evening"}
    )
    assert many.find_named("evening").name == many.find_named("a").name == "evening"
    for name in ("b1", "b*x", "other"):
        with pytest.raises(HttpError) as caught:
            many.find_named(name)
        assert (caught.value.status, caught.value.param) == (404, None)


def test_what_may_be_asked_for_by_name_are_profiles_and_aliases_that_are_no_patterns() -> None:
    many = Profiles(
        {"evening": served("evening")}, aliases={"a": "evening", "b*": "evening", "c?": "evening"}
    )
    assert many.names() == ["evening", "a"]


# What is served


def test_a_profile_that_is_served_names_itself_in_answers() -> None:
    one = served("evening")
    assert one.header == (b"x-understudy-profile", b"evening")
    assert repr(one) == "<Served evening, <Door 0 of 1 inside, 0 waiting>>"


async def test_it_is_busy_while_somebody_is_inside_or_waits() -> None:
    one = served("evening")
    assert not one.busy
    await one.door.enter()
    waiting = asyncio.ensure_future(one.door.enter())
    await asyncio.sleep(0)
    assert one.busy
    one.door.leave()
    await waiting
    assert one.busy
    one.door.leave()
    assert not one.busy


def test_how_long_one_may_wait_at_the_door_follows_from_the_settings() -> None:
    stage = Stage(speech("Hello"))
    assert patience(stage.balancer) == 20.0
    stage.balancer.set("wait_for_capacity_ms", 500)
    stage.served.heed_settings()
    assert stage.served.door.patience == 0.5


async def test_closing_ends_what_runs_on_all_of_them_those_that_leave_too() -> None:
    stages = [Stage(stream(delta("Hello"), 60.0)) for _ in range(2)]
    visits = [await stage.play(1, stream=True) for stage in stages]
    await Profiles({"evening": stages[0].served}, leaving=[stages[1].served]).close()
    for stage, visit in zip(stages, visits, strict=True):
        await stage.clock.advance()
        assert b"shutting_down" in visit.body
        stage.check()


async def test_one_client_that_takes_nothing_does_not_keep_others_from_their_last_words() -> None:
    stages = [Stage(stream(delta("Hello"), 60.0)) for _ in range(2)]
    visits = [await stage.play(1, stream=True) for stage in stages]
    visits[0].takes.clear()
    closing = asyncio.ensure_future(Profiles({"a": stages[0].served, "b": stages[1].served}).close())
    await stages[1].clock.advance()
    assert b"shutting_down" in visits[1].body
    assert not closing.done()
    visits[0].takes.set()
    await closing
