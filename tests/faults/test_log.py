from __future__ import annotations

import json

import pytest

from understudy.faults import log as log_module
from understudy.faults.log import Request, RequestLog, credential_id, without_keys
from understudy.faults.waiting import Changes


def request(number: int = 1, body_size: int = 0) -> Request:
    return Request(
        number=number,
        arrived=0.0,
        connection=1,
        reused=False,
        method="POST",
        path="/",
        headers={"host": "here"},
        credential=None,
        body={"model": "m"},
        body_size=body_size,
    )


def log(size: int = 10) -> RequestLog:
    return RequestLog(size, Changes())


def test_a_credential_is_a_hash_that_is_the_same_for_the_same_key() -> None:
    first = credential_id({"authorization": "Bearer sk-secret"})
    assert first is not None
    assert len(first) == 12
    assert "secret" not in first
    assert first == credential_id({"x-api-key": "sk-secret"})
    assert first != credential_id({"authorization": "Bearer sk-other"})
    assert credential_id({"host": "here"}) is None


def test_a_credential_may_be_in_the_query() -> None:
    assert credential_id({}, {"key": "sk-secret"}) == credential_id({"x-goog-api-key": "sk-secret"})
    both = credential_id({"x-goog-api-key": "sk-one"}, {"key": "sk-two"})
    assert both == credential_id({"x-goog-api-key": "sk-one"})
    assert credential_id({}, {"alt": "sse"}) is None


def test_headers_and_queries_are_kept_without_keys() -> None:
    assert without_keys({"key": "secret", "alt": "sse"}) == {"alt": "sse"}
    assert without_keys({"x-goog-api-key": "secret", "host": "here"}) == {"host": "here"}


def test_the_log_keeps_the_newest_and_counts_all() -> None:
    kept = log(size=3)
    for number in range(5):
        kept.add(request(number))
    assert [entry.number for entry in kept.requests] == [2, 3, 4]
    assert kept.count == 5


def test_the_log_keeps_no_body_of_a_request_it_has_dropped() -> None:
    kept, first = log(size=1), request()
    kept.add(first)
    kept.add(request(2))
    assert first.body is None


def test_the_newest_bodies_are_kept_up_to_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BODY_BUDGET", 100)
    kept = log()
    for number in range(4):
        kept.add(request(number, body_size=40))
    assert [entry.body is None for entry in kept.requests] == [True, True, False, False]
    kept.clear()
    kept.add(request(body_size=100))
    assert kept.requests[0].body is not None


def test_clear_forgets_everything() -> None:
    kept = log()
    kept.add(request())
    kept.clear()
    assert (list(kept.requests), kept.count) == ([], 0)


async def test_an_arrival_is_a_change() -> None:
    kept = log()
    kept.changes.happened()
    kept.add(request())
    await kept.changes.wait_until(lambda: kept.count == 1, timeout=0.0)


def test_a_request_is_settled_when_it_is_finished_or_the_client_is_gone() -> None:
    assert not request().settled
    finished, left = request(), request()
    finished.finished, left.client_closed = 1.0, 1.0
    assert finished.settled
    assert left.settled


def test_a_record_can_be_written_as_json_and_has_no_body() -> None:
    row = json.loads(json.dumps(request().to_dict()))
    assert (row["headers"], row["query"]) == ({"host": "here"}, {})
    assert "body" not in row
    assert {"arrived", "model", "prompt_size", "step", "finished", "client_closed"} <= set(row)
