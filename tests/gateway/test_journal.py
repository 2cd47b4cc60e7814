"""Facts about the recent requests that are kept."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.runtime.house import House, Show, refusal, speech
from understudy.gateway.journal import LIMIT, Entry, Journal
from understudy.runtime.engine import Call
from understudy.wire.chat import ChatRequest


class Said(dict[str, str]):
    """A message whose end can be watched."""


def entry(request_id: str, client: str = "alice", call: Call | None = None) -> Entry:
    return Entry(request_id, client, "evening", "gpt-4o", 1_700_000_000.5, call or House(speech("Hi")).call())


async def ended(house: House, status: str = "answered") -> Entry:
    """The entry of a request that is over."""
    show = await house.play()
    kept = entry("mine", call=show.call)
    kept.end(status, 0.0123456)
    return kept


def test_the_newest_are_kept() -> None:
    journal = Journal(limit=2)
    for request_id in "abc":
        journal.add(entry(request_id))
    assert len(journal) == 2
    assert [journal.find(request_id, None) is None for request_id in "abc"] == [True, False, False]


def test_by_default_that_is_a_thousand() -> None:
    journal, call = Journal(), House(speech("Hi")).call()
    for number in range(LIMIT + 5):
        journal.add(entry(str(number), call=call))
    assert len(journal) == LIMIT == 1000
    assert journal.find("4", None) is None
    assert journal.find("5", None) is not None


def test_of_two_with_the_same_id_the_later_one_is_kept_and_is_the_newest() -> None:
    journal = Journal(limit=2)
    for request_id, client in [("a", "alice"), ("b", "alice"), ("a", "bob"), ("c", "alice")]:
        journal.add(entry(request_id, client))
    found = journal.find("a", None)
    assert found is not None
    assert found.client == "bob"
    assert journal.find("b", None) is None


def test_a_client_sees_its_own_requests_alone_and_the_operator_all() -> None:
    journal = Journal()
    kept = entry("a", "alice")
    journal.add(kept)
    assert journal.find("a", "alice") is kept
    assert journal.find("a", None) is kept
    assert journal.find("a", "bob") is None
    assert journal.find("b", "alice") is None


async def test_a_request_is_listed_from_its_beginning_with_what_is_known() -> None:
    house = House(refusal(401), speech("Hi"))
    call = house.call()
    kept = entry("mine", call=call)
    assert kept.to_dict() == {
        "id": "mine",
        "profile": "evening",
        "model": "gpt-4o",
        "status": "running",
        "backend": None,
        "began": 1_700_000_000.5,
        "duration_ms": None,
        "words": "nobody was asked",
        "cost_usd": None,
        "cost_partial": False,
        "trail": [],
        "trail_words": [],
    }
    await call.next_batch()
    told = kept.to_dict()
    assert (told["backend"], [step["outcome"] for step in told["trail"]]) == ("b", ["auth", "running"])
    call.leave()


async def test_once_it_has_ended_it_tells_how() -> None:
    kept = await ended(House(refusal(401), speech("Hi")))
    told = kept.to_dict()
    assert (told["status"], told["backend"], told["duration_ms"]) == ("answered", "b", 12.346)
    assert [step["outcome"] for step in told["trail"]] == ["auth", "success"]
    assert told["words"] == "a: auth (401) → b answered in 0 ms"
    assert [words.partition(":")[0] for words in told["trail_words"]] == ["a, attempt 1", "b, attempt 1"]
    assert kept.summary() == {key: told[key] for key in told if not key.startswith("trail")}


async def test_it_went_smoothly_if_the_first_who_was_asked_answered() -> None:
    assert (await ended(House(speech("Hi")))).is_smooth
    drained = House(speech("Hi"), speech("Hi"))
    drained.members[0].health.drained = True
    assert (await ended(drained)).is_smooth
    assert not (await ended(House(refusal(401), speech("Hi")))).is_smooth
    assert not (await ended(House(speech("Hi")), "cancelled")).is_smooth
    assert not entry("running").is_smooth


def test_the_newest_are_listed_first_and_a_clients_own_alone() -> None:
    journal = Journal()
    for request_id, client in [("a", "alice"), ("b", "bob"), ("c", "alice"), ("d", "alice")]:
        journal.add(entry(request_id, client))
    assert [kept.id for kept in journal.newest(10, None)] == ["d", "c", "b", "a"]
    assert [kept.id for kept in journal.newest(2, "alice")] == ["d", "c"]
    assert [kept.id for kept in journal.newest(10, "bob")] == ["b"]


async def test_a_running_request_is_found_by_its_number_in_its_profile() -> None:
    house, journal = House(speech("Hi"), speech("Hi")), Journal()
    calls = [house.call(), house.call()]
    for name, call in zip("ab", calls, strict=True):
        journal.add(entry(name, call=call))
        await call.next_batch()
    assert [getattr(journal.running("evening", number), "id", None) for number in (1, 2, 3)] == [
        "a",
        "b",
        None,
    ]
    assert journal.running("matinee", 1) is None
    for call in calls:
        call.leave()
    entry_of_a = journal.find("a", None)
    assert entry_of_a is not None
    entry_of_a.end("answered", 0.1)
    assert journal.running("evening", 1) is None


async def test_whoever_wants_to_know_is_told_of_each_that_ends() -> None:
    journal, told = Journal(), list[Entry]()
    kept = await ended(House(speech("Hi")))
    journal.ended(kept)
    journal.on_end = told.append
    journal.ended(kept)
    assert told == [kept]


async def test_and_only_its_trail_is_kept() -> None:
    house = House(speech("a secret"))
    said = Said(role="user", content="another secret")
    watched = weakref.ref(said)
    show = Show(house.engine.call(ChatRequest([said]), stream=True))
    await house.clock.advance()
    kept = entry("mine", call=show.call)
    kept.end("answered", 0.01)
    del show, said
    gc.collect()
    assert watched() is None
    assert kept.to_dict()["trail"][0]["outcome"] == "success"


def test_a_request_ends_once() -> None:
    kept = entry("mine")
    kept.end("cancelled", 0.0)
    with pytest.raises(AssertionError, match="ends once"):
        kept.end("answered", 0.0)


async def test_an_entry_shows_who_asked_and_who_answered() -> None:
    kept = entry("mine")
    assert repr(kept) == "<Entry mine of alice: evening, running by None>"
    assert repr(await ended(House(speech("Hi")))) == (
        "<Entry mine of alice: evening, answered by a in 12 ms>"
    )
